//! Locks as they come: `peer-locks LOCK`.

use std::env;

use anyhow::{Context, Result, bail, ensure};
use freehold_bench_locks::ParkingLot;
use freehold_bench_locks::lock_child::{self, Counter, Load};
use tokio::runtime::Builder;

struct Deloxide(deloxide::Mutex<u32>);

impl Counter for Deloxide {
    #[inline]
    fn add_one(&self) {
        *self.0.lock() += 1;
    }

    fn take(&self) -> u32 {
        std::mem::take(&mut self.0.lock())
    }
}

/// Its types that always trace; those of the same name one module above do so with debug assertions only.
struct TracingMutex(tracing_mutex::stdsync::tracing::Mutex<u32>);

impl Counter for TracingMutex {
    #[inline]
    fn add_one(&self) {
        *self.0.lock().expect("nobody fails here") += 1;
    }

    fn take(&self) -> u32 {
        std::mem::take(&mut self.0.lock().expect("nobody fails here"))
    }
}

fn main() -> Result<()> {
    if cfg!(feature = "deadlock-detection") {
        bail!("built with deadlock-detection, which slows these locks down; build without features");
    }
    let lock = env::args().nth(1).context("usage: peer-locks LOCK")?;
    match lock.as_str() {
        "deloxide" => deloxide(),
        "tracing-mutex" => {
            lock_child::serve_counter(&TracingMutex(tracing_mutex::stdsync::tracing::Mutex::new(0)))
        }
        "parking-lot" => lock_child::serve_counter(&ParkingLot::default()),
        "async-lock" => in_a_task(mutex_of_async_lock),
        "async-lock-read" => in_a_task(read_of_async_lock),
        _ => bail!("no such lock: {lock}"),
    }
}

fn deloxide() -> Result<()> {
    deloxide::Deloxide::new().callback(|_| panic!("one lock cannot deadlock")).start()?;
    lock_child::serve_counter(&Deloxide(deloxide::Mutex::new(0)))
}

/// Uncontended, in one task of a runtime with one thread.
fn in_a_task<F>(count: impl Fn(u32) -> F) -> Result<()>
where
    F: Future<Output = u32> + Send + 'static,
{
    let runtime = Builder::new_current_thread().build()?;
    lock_child::serve(|load, operations| {
        ensure!(load == Load::Uncontended, "asked for alone only");
        let counted = runtime.block_on(runtime.spawn(count(operations)))?;
        ensure!(counted == operations, "{counted} of {operations} were counted");
        Ok(())
    })
}

async fn mutex_of_async_lock(operations: u32) -> u32 {
    let mutex = async_lock::Mutex::new(0);
    for _ in 0..operations {
        *mutex.lock().await += 1;
    }
    mutex.into_inner()
}

async fn read_of_async_lock(operations: u32) -> u32 {
    let lock = async_lock::RwLock::new(1);
    let mut sum = 0;
    for _ in 0..operations {
        sum += *lock.read().await;
    }
    sum
}
