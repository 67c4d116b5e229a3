//! Bytes of locks, guards, activities and their slots.

use std::mem::{size_of, size_of_val};

use anyhow::Result;
use freehold_sync::{activity, blocking};
use serde::{Deserialize, Serialize};

use crate::memory::resident_bytes;
use crate::table::Table;

use super::comparison::yes_or_no;

/// The bytes of one thing.
#[derive(Debug, Deserialize, Serialize)]
pub struct Size {
    /// What.
    pub what: String,
    /// How many bytes.
    pub bytes: u64,
    /// Tokio's counterpart.
    pub tokio: Option<u64>,
    /// The most that it should be.
    pub target: Option<u64>,
}

/// All sizes, those with a target beside it.
#[must_use]
pub fn table(all: &[Size]) -> Table {
    let mut table = Table::new(1, ["9 bytes", "freehold", "tokio", "target", "met"]);
    for Size { what, bytes, tokio, target } in all {
        table.push([
            what.clone(),
            bytes.to_string(),
            tokio.map(|bytes| bytes.to_string()).unwrap_or_default(),
            target.map(|target| format!("<= {target}")).unwrap_or_default(),
            target.map(|target| yes_or_no(*bytes <= target).to_owned()).unwrap_or_default(),
        ]);
    }
    table
}

const fn of<T>() -> u64 {
    size_of::<T>() as u64
}

fn alone(what: &str, bytes: u64) -> Size {
    Size { what: what.to_owned(), bytes, tokio: None, target: None }
}

/// `T` of Freehold beside `P` of tokio.
fn beside<T, P>(what: &str) -> Size {
    Size { what: what.to_owned(), bytes: of::<T>(), tokio: Some(of::<P>()), target: None }
}

/// Everything that has a size. Before any other activity has run, or the slots are not new.
///
/// # Errors
///
/// When the memory of this process cannot be read.
pub fn sizes() -> Result<Vec<Size>> {
    use freehold_sync as own;
    use tokio::sync as peer;
    let slot = slot_bytes()?;
    let (mutex, mutex_of_tokio) = (own::Mutex::new(()), peer::Mutex::new(()));
    Ok(vec![
        Size { target: Some(48), ..beside::<own::Mutex<()>, peer::Mutex<()>>("Mutex<()>") },
        beside::<own::RwLock<()>, peer::RwLock<()>>("RwLock<()>"),
        beside::<own::PermitPool, peer::Semaphore>("PermitPool"),
        alone("blocking::Mutex<()>", of::<blocking::Mutex<()>>()),
        alone("blocking::RwLock<()>", of::<blocking::RwLock<()>>()),
        beside::<own::MutexGuard<'_, ()>, peer::MutexGuard<'_, ()>>("MutexGuard"),
        beside::<own::RwLockReadGuard<'_, ()>, peer::RwLockReadGuard<'_, ()>>("RwLockReadGuard"),
        beside::<own::RwLockWriteGuard<'_, ()>, peer::RwLockWriteGuard<'_, ()>>("RwLockWriteGuard"),
        beside::<own::Permit<'_>, peer::SemaphorePermit<'_>>("Permit"),
        alone("blocking::MutexGuard", of::<blocking::MutexGuard<'_, ()>>()),
        Size {
            what: "future of lock()".to_owned(),
            bytes: size_of_val(&mutex.lock()) as u64,
            tokio: Some(size_of_val(&mutex_of_tokio.lock()) as u64),
            target: None,
        },
        alone("LockError", of::<own::LockError>()),
        alone("activity that does nothing", size_of_val(&activity(async |_| ())) as u64),
        alone("slot of an activity, resident", slot),
    ])
}

/// How many slots are looked at.
const SLOTS: usize = 50_000;

/// The growth of resident memory for each activity that lives, beside the activity's own bytes.
fn slot_bytes() -> Result<u64> {
    let make = || activity(async |_| ());
    let own = size_of_val(&make()) as u64;
    let before = resident_bytes(std::process::id())?;
    let activities: Vec<_> = (0..SLOTS).map(|_| make()).collect();
    let after = resident_bytes(std::process::id())?;
    drop(activities);
    Ok((after.saturating_sub(before) / SLOTS as u64).saturating_sub(own))
}
