//! A clock of one thread's own, for deterministic simulations of programs that use the locks of this crate.
//!
//! While a thread has one, all waits that begin on it are timed by it; deadlines pass, and the graph is swept, when the
//! simulation says so and not by the thread of this crate. The learned order is the simulation's own too. So what happens
//! depends on nothing outside of the thread. Other threads, and their locks, go on as ever.
//!
//! Everything that takes locks must then run on that one thread. Locks that block threads ([`blocking`](crate::blocking))
//! have no place in it.
//!
//! Exists with the feature `simulation` only, which is for tests.

use crate::{driver, graph::sweep, limits, order};
use std::{
    cell::RefCell,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The number of the system's clock.
pub(crate) const NONE: u64 = 0;

struct Here {
    number: u64,
    now: Box<dyn Fn() -> Instant>,
    random: u64,
    swept: Option<Instant>,
}

thread_local!(static HERE: RefCell<Option<Here>> = const { RefCell::new(None) });

/// A thread's simulated clock, until it is dropped.
///
/// # Examples
///
/// ```
/// use freehold_sync::simulation::SimulatedClock;
/// use std::{cell::Cell, rc::Rc, time::{Duration, Instant}};
///
/// # #[expect(clippy::disallowed_methods)]
/// let now = Rc::new(Cell::new(Instant::now()));
/// let time = now.clone();
/// let clock = SimulatedClock::enter(1, move || time.get());
/// now.set(now.get() + Duration::from_secs(3_600));
/// assert_eq!(clock.look(), None, "nobody waits");
/// ```
#[derive(Debug)]
#[must_use = "the thread has its own clock until this is dropped"]
pub struct SimulatedClock {
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl SimulatedClock {
    /// Gives this thread a clock of its own, whose time `now` tells, and random numbers that follow from `seed`.
    ///
    /// # Panics
    ///
    /// If it has one.
    pub fn enter(seed: u64, now: impl Fn() -> Instant + 'static) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(NONE);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!is_here(), "this thread has a simulated clock already; drop that one first");
        order::forget_here();
        HERE.with_borrow_mut(|here| {
            *here = Some(Here { number, now: Box::new(now), random: seed, swept: None });
        });
        Self { not_send: PhantomData }
    }

    /// Ends the waits whose deadline has passed, and sweeps the graph if it is time to; what that wakes is woken. Returns
    /// when to look again: nothing happens before that by itself. `None`: nobody waits.
    ///
    /// To be called whenever no task can go on.
    pub fn look(&self) -> Option<Instant> {
        let now = now()?;
        let (waiting, _) = driver::expire(crate::clock::of(now));
        let swept = HERE.with_borrow_mut(|here| {
            let here = here.as_mut()?;
            let due = here.swept.is_none_or(|swept| now.duration_since(swept) >= limits::SWEEP_EVERY);
            if waiting && due {
                here.swept = Some(now);
            }
            Some((here.swept?, due))
        });
        if !waiting {
            return None;
        }
        let (swept, due) = swept?;
        if due {
            sweep::sweep(crate::clock::of(now));
        }
        // Only now: what was woken may have ended waits, and what was swept as well.
        let (waiting, next) = driver::expire(crate::clock::of(now));
        let deadline = now.checked_add(Duration::from_nanos(next.saturating_sub(crate::clock::of(now))));
        let sweep = swept + limits::SWEEP_EVERY;
        waiting.then(|| deadline.map_or(sweep, |deadline| deadline.min(sweep)))
    }
}

impl Drop for SimulatedClock {
    fn drop(&mut self) {
        let here = HERE.take();
        order::forget_here();
        // After the section: it has values of the user.
        drop(here);
    }
}

/// The number of this thread's clock.
pub(crate) fn here() -> u64 {
    HERE.try_with(|here| here.borrow().as_ref().map_or(NONE, |here| here.number)).unwrap_or(NONE)
}

/// Whether this thread has a simulated clock.
pub(crate) fn is_here() -> bool {
    here() != NONE
}

/// The time by this thread's clock, if it has one of its own.
pub(crate) fn now() -> Option<Instant> {
    HERE.try_with(|here| here.borrow().as_ref().map(|here| (here.now)())).ok().flatten()
}

/// The next random number of this thread's simulation (splitmix64).
pub(crate) fn random() -> Option<u64> {
    HERE.with_borrow_mut(|here| {
        let state = &mut here.as_mut()?.random;
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    })
}
