//! What models of other crates need of this one. Exists under `cfg(loom)` and `cfg(shuttle)` only.

/// Atomics for a model under loom: loom's, with the one total order of `SeqCst` accesses.
#[cfg(loom)]
pub use crate::shim::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(shuttle)]
mod time {
    use crate::{clock, driver, graph::sweep, slot::pool};
    use std::time::{Duration, Instant};

    /// A run begins: frees what the one before left, whose threads must be gone, and sets the clock of the locks.
    pub fn begin_run(now: Instant) {
        pool::model::begin_run();
        clock::set(clock::of(now));
    }

    /// How many slots are in use: one for each activity, and each wait outside of activities, that has not ended.
    #[must_use]
    pub fn slots_in_use() -> usize {
        pool::model::in_use()
    }

    /// Does what the driver's thread does: ends the waits whose deadline has passed by `now`, and sweeps the graph.
    /// Returns the next deadline, if somebody waits until one.
    pub fn look(now: Instant) -> Option<Instant> {
        let ticks = clock::of(now);
        clock::set(ticks);
        let (waiting, _) = driver::expire(ticks);
        if waiting {
            sweep::sweep(ticks);
        }
        let (_, next) = driver::expire(ticks);
        (next != clock::NEVER).then(|| now + Duration::from_nanos(next.saturating_sub(ticks)))
    }
}

#[cfg(shuttle)]
pub use time::{begin_run, look, slots_in_use};

#[cfg(shuttle)]
mod programs {
    use shuttle::{
        Config, MaxSteps, Runner,
        rand::{Rng, thread_rng},
        scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
    };
    use std::sync::LazyLock;

    /// How random programs are run under random schedules.
    ///
    /// `FREEHOLD_PROGRAMS=n` runs n under each scheduler. A failure prints a schedule; `FREEHOLD_SCHEDULE=...` runs that one
    /// again, program and all.
    #[derive(Clone, Copy, Debug)]
    pub struct Programs {
        /// How many there are in an ordinary run.
        pub ordinary: usize,
        /// Of each thread, in bytes.
        pub stack: usize,
        /// The most of one program; one that takes more fails.
        pub steps: usize,
    }

    impl Programs {
        fn count(self) -> usize {
            std::env::var("FREEHOLD_PROGRAMS")
                .map_or(self.ordinary, |text| text.parse().expect("FREEHOLD_PROGRAMS is a number"))
        }

        /// Any schedule.
        #[must_use]
        pub fn random(self) -> RandomScheduler {
            RandomScheduler::new(self.count())
        }

        /// Few preemptions, each anywhere.
        #[must_use]
        pub fn few_preemptions(self) -> PctScheduler {
            PctScheduler::new(4, self.count())
        }

        /// Runs `program`, which is another one each time, under `scheduler`, or once under the schedule that is to be run again.
        pub fn run(self, scheduler: impl Scheduler + 'static, program: impl Fn() + Send + Sync + 'static) {
            let mut config = Config::new();
            config.stack_size = self.stack;
            config.max_steps = MaxSteps::FailAfter(self.steps);
            config.silence_warnings = true;
            match schedule() {
                Some(schedule) => {
                    Runner::new(ReplayScheduler::new_from_encoded(schedule), config).run(program)
                }
                None => Runner::new(scheduler, config).run(program),
            };
        }
    }

    /// The schedule that is to be run again.
    pub fn schedule() -> Option<&'static str> {
        static SCHEDULE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("FREEHOLD_SCHEDULE").ok());
        SCHEDULE.as_deref()
    }

    /// What this run draws: numbers below what is asked for.
    pub fn numbers() -> impl FnMut(usize) -> usize {
        let mut random = thread_rng().r#gen::<u64>() | 1;
        move |n| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as usize % n
        }
    }
}

#[cfg(shuttle)]
pub use programs::{Programs, numbers, schedule};
