//! Locks of others, each measured on command by [`lock_child`]; the programs are in `src/bin`.

#[path = "../../../src/sync/lock_child.rs"]
pub mod lock_child;

use lock_child::Counter;

/// parking_lot's mutex, with its detection or without, as this build has it.
#[derive(Default)]
pub struct ParkingLot(parking_lot::Mutex<u32>);

impl Counter for ParkingLot {
    #[inline]
    fn add_one(&self) {
        *self.0.lock() += 1;
    }

    fn take(&self) -> u32 {
        std::mem::take(&mut self.0.lock())
    }
}
