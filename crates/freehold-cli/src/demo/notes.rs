//! Who has what and waits for what, noted by hand. tokio's mutexes know neither, so the naive server could say nothing
//! without this.

use freehold::{
    runtime::{Runtime, TokioRuntime},
    sync::ScopedMutex,
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// All notes of one server.
#[derive(Default)]
pub(super) struct Notes {
    next: AtomicU64,
    all: ScopedMutex<BTreeMap<u64, Entry>>,
}

struct Entry {
    who: String,
    has: Vec<String>,
    waits: Option<(String, Instant)>,
}

/// One of those who wait.
pub(super) struct Waiter {
    pub(super) who: String,
    pub(super) has: Vec<String>,
    pub(super) waits_for: String,
    pub(super) waited: Duration,
}

impl Notes {
    /// Begins a note, which is erased when the result is dropped.
    pub(super) fn note(&self, who: String) -> Note<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { who, has: Vec::new(), waits: None };
        self.all.with(|all| all.insert(number, entry));
        Note { notes: self, number }
    }

    /// All who wait, in the order in which they came.
    pub(super) fn look(&self) -> Vec<Waiter> {
        let now = TokioRuntime.now();
        let waiter = |entry: &Entry| {
            entry.waits.as_ref().map(|(waits_for, since)| Waiter {
                who: entry.who.clone(),
                has: entry.has.clone(),
                waits_for: waits_for.clone(),
                waited: now.saturating_duration_since(*since),
            })
        };
        self.all.with(|all| all.values().filter_map(waiter).collect())
    }
}

/// The note of one call, or of one standing order.
pub(super) struct Note<'a> {
    notes: &'a Notes,
    number: u64,
}

impl Note<'_> {
    fn change(&self, change: impl FnOnce(&mut Entry)) {
        self.notes.all.with(|all| all.get_mut(&self.number).map(change));
    }

    /// Waits for `what`, and has it from then on.
    pub(super) async fn taking<T>(&self, what: &str, wait: impl Future<Output = T>) -> T {
        let since = TokioRuntime.now();
        self.change(|entry| entry.waits = Some((what.to_owned(), since)));
        let taken = wait.await;
        self.change(|entry| {
            entry.waits = None;
            entry.has.push(what.to_owned());
        });
        taken
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        let erased = self.notes.all.with(|all| all.remove(&self.number));
        drop(erased);
    }
}
