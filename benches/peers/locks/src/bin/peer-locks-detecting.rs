//! parking_lot's mutex with its detection of deadlocks.

use anyhow::Result;
use freehold_bench_locks::{ParkingLot, lock_child};

fn main() -> Result<()> {
    lock_child::serve_counter(&ParkingLot::default())
}
