//! Where each thread shows which activity it polls, for those who look from outside.
//!
//! # Invariants
//!
//! 1. A window is never freed; it belongs to one thread at a time, which alone writes `shows`.
//! 2. A slot is shown after its poll has begun and no longer than until the poll ends: a window that shows a slot which
//!    is being polled shows it in the thread that polls it, but for the instant between the two.
//!
//! *Deadlock safety*: the list's lock is taken when a thread shows something for the first time, when it ends, and by a
//! look; nothing else happens under it.

use super::Slot;
use crate::shim::{Ordering, PlainBool, PlainPtr};
use std::{
    cell::Cell,
    ptr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Alone in its cache line: its thread writes it twice a poll.
#[repr(align(128))]
pub(crate) struct Window {
    /// The activity that is polled innermost.
    shows: PlainPtr<Slot>,
    taken: PlainBool,
    thread: Mutex<Arc<str>>,
}

static ALL: Mutex<Vec<&'static Window>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: Cell<Option<&'static Window>> = const { Cell::new(None) };
    /// Gives the window back when the thread ends.
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

struct Lease(&'static Window);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.shows.store(ptr::null_mut(), Ordering::Release);
        MINE.set(None);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Shows that this thread polls `slot` innermost, or nothing.
#[inline(always)]
pub(super) fn show(slot: *const Slot) {
    // `MINE` needs no drop, so it is there for as long as the thread is.
    let window = MINE.get().or_else(open);
    if let Some(window) = window {
        // Release pairs with the look's Acquire: it sees the state of a poll that has begun.
        window.shows.store(slot.cast_mut(), Ordering::Release);
    }
}

/// The window of this thread; none while the thread ends.
#[cold]
fn open() -> Option<&'static Window> {
    LEASE
        .try_with(|lease| {
            let window = take();
            *window.thread.lock().unwrap_or_else(PoisonError::into_inner) = name_of_this_thread();
            lease.set(Some(Lease(window)));
            MINE.set(Some(window));
            window
        })
        .ok()
}

fn take() -> &'static Window {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    // Acquire pairs with the Release of the thread that gave it back.
    if let Some(window) = all.iter().find(|window| !window.taken.swap(true, Ordering::Acquire)) {
        return window;
    }
    let window: &'static Window = Box::leak(Box::new(Window {
        shows: PlainPtr::new(ptr::null_mut()),
        taken: PlainBool::new(true),
        thread: Mutex::new("".into()),
    }));
    all.push(window);
    window
}

/// Its name, and on Linux the number by which the system's tools know it.
fn name_of_this_thread() -> Arc<str> {
    let thread = thread::current();
    let name = thread.name().unwrap_or("a thread without a name");
    #[cfg(target_os = "linux")]
    if let Ok(link) = std::fs::read_link("/proc/thread-self")
        && let Some(number) = link.file_name().and_then(|number| number.to_str())
    {
        return format!("{name} (tid {number})").into();
    }
    name.into()
}

/// Calls `visit` for every thread that shows something, with its name and what it polls, innermost first.
pub(crate) fn for_each(mut visit: impl FnMut(Arc<str>, Vec<(&'static Slot, u64)>)) {
    let windows = ALL.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for window in windows {
        let polled = window.look();
        if !polled.is_empty() {
            let thread = window.thread.lock().unwrap_or_else(PoisonError::into_inner).clone();
            visit(thread, polled);
        }
    }
}

/// Polls inside of polls that are looked at.
const DEPTH: usize = 64;

impl Window {
    /// The slots shown, with the states in which they are polled; nothing if the thread moved on during the look.
    fn look(&self) -> Vec<(&'static Slot, u64)> {
        // SAFETY: only ever set from slots, which are never freed.
        let slot_of = |shown: *mut Slot| unsafe { shown.cast_const().as_ref() };
        let first = self.shows.load(Ordering::Acquire);
        let polled: Vec<_> =
            std::iter::successors(slot_of(first), |slot| slot_of(slot.below.load(Ordering::Relaxed)))
                .take(DEPTH)
                .map(|slot| (slot, slot.state.load(Ordering::Acquire)))
                .collect();
        let still = self.shows.load(Ordering::Acquire) == first
            && polled.first().is_none_or(|(slot, state)| slot.is_in_poll(*state));
        if still { polled } else { Vec::new() }
    }
}
