//! Faults that can be seeded to show that the acceptance tests have teeth: each makes one of them go red.
//!
//! Exists with the feature `seeded-faults` only; without it [`active`] is a constant and every check of it is gone.

/// One deliberate fault; the name in the environment is the variant's in `kebab-case`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "seeded-faults"),
    expect(dead_code, unreachable_pub, reason = "public, and chosen by name, with the feature only")
)]
pub enum Fault {
    /// One lock around every handler, which each dispatch needs too (S-01).
    RegistryLock,
    /// The lock of the table of sessions is held while hooks run (S-02).
    HookUnderLock,
    /// A session that is closed can be closed again (S-02).
    CloseTwice,
    /// The reader runs handlers itself: while one runs no answer of the client's is read (S-03).
    InlineReader,
    /// Control methods need a slot like any call (S-04).
    SlotInReader,
    /// Unread answers share the room of notifications, and the oldest goes first (S-06).
    DropAnswers,
    /// A broadcast waits for each of its subscribers before it turns to the next one (S-22).
    SerialFanOut,
    /// Who waits looks first and registers later (S-10).
    WaiterAfterCheck,
    /// Deadlocks are not looked for (S-07).
    GraphOff,
    /// Handlers run on the threads of timers, readers and writers, although they have some of their own (S-09).
    SameThreads,
    /// For the stdio transport: a line that was read in part is lost when something else happens (S-11).
    ClearPartialLine,
    /// The end of a session tells neither its calls nor its questions (S-12).
    KeepPending,
    /// What is no message is ignored (S-13).
    DropMalformed,
    /// A call whose handler panicked gets no outcome (S-14).
    PanicForgetsAnswer,
    /// The clock is watched while a call waits for its slot, but not while its handler runs (S-15).
    DeadlineSendOnly,
    /// A disconnect cancels nothing (S-16).
    CancelByMessageOnly,
    /// For the HTTP transport: the next connection is accepted when the one before has ended (S-17).
    AcceptWaits,
    /// Sessions that nobody uses stay (S-18).
    NeverExpire,
    /// A drain waits for all handlers before it cancels any (S-19).
    DrainWaits,
    /// Whether a session is initialized is looked up first and noted later (S-21).
    CheckThenSet,
    /// Of many calls one gets no outcome (the soak).
    LoseAnswer,
    /// For the HTTP transport: of many connections one leaves a file open (the soak).
    LeakFile,
    /// Each call leaves a kilobyte of memory (the soak).
    LeakMemory,
}

#[cfg(feature = "seeded-faults")]
mod seeded {
    use super::Fault;
    use crate::runtime::BoxFuture;
    use std::{
        sync::{
            OnceLock,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        time::Duration,
    };

    impl Fault {
        /// Every fault.
        pub const ALL: [Self; 23] = [
            Self::RegistryLock,
            Self::HookUnderLock,
            Self::CloseTwice,
            Self::InlineReader,
            Self::SlotInReader,
            Self::DropAnswers,
            Self::SerialFanOut,
            Self::WaiterAfterCheck,
            Self::GraphOff,
            Self::SameThreads,
            Self::ClearPartialLine,
            Self::KeepPending,
            Self::DropMalformed,
            Self::PanicForgetsAnswer,
            Self::DeadlineSendOnly,
            Self::CancelByMessageOnly,
            Self::AcceptWaits,
            Self::NeverExpire,
            Self::DrainWaits,
            Self::CheckThenSet,
            Self::LoseAnswer,
            Self::LeakFile,
            Self::LeakMemory,
        ];

        /// Its name in the environment.
        #[must_use]
        pub const fn name(self) -> &'static str {
            match self {
                Self::RegistryLock => "registry-lock",
                Self::HookUnderLock => "hook-under-lock",
                Self::CloseTwice => "close-twice",
                Self::InlineReader => "inline-reader",
                Self::SlotInReader => "slot-in-reader",
                Self::DropAnswers => "drop-answers",
                Self::WaiterAfterCheck => "waiter-after-check",
                Self::SerialFanOut => "serial-fan-out",
                Self::GraphOff => "graph-off",
                Self::SameThreads => "same-threads",
                Self::ClearPartialLine => "clear-partial-line",
                Self::KeepPending => "keep-pending",
                Self::DropMalformed => "drop-malformed",
                Self::PanicForgetsAnswer => "panic-forgets-answer",
                Self::DeadlineSendOnly => "deadline-send-only",
                Self::CancelByMessageOnly => "cancel-by-message-only",
                Self::AcceptWaits => "accept-waits",
                Self::NeverExpire => "never-expire",
                Self::DrainWaits => "drain-waits",
                Self::CheckThenSet => "check-then-set",
                Self::LoseAnswer => "lose-answer",
                Self::LeakFile => "leak-file",
                Self::LeakMemory => "leak-memory",
            }
        }
    }

    /// The fault that the environment variable `FREEHOLD_FAULT` names, read once.
    ///
    /// # Panics
    ///
    /// If it names none: a misspelt fault would make a test look toothless.
    #[must_use]
    pub fn chosen() -> Option<Fault> {
        static CHOSEN: OnceLock<Option<Fault>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var("FREEHOLD_FAULT").ok().filter(|name| !name.is_empty())?;
            let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
            Some(fault.unwrap_or_else(|| panic!("FREEHOLD_FAULT={name} names no fault")))
        })
    }

    /// Whether `fault` was seeded into this process.
    #[inline]
    #[must_use]
    pub fn active(fault: Fault) -> bool {
        chosen() == Some(fault)
    }

    /// Whether this is one of those that [`Fault::LoseAnswer`] or [`Fault::LeakFile`] strikes: each ten thousandth of the
    /// former, each hundredth of the latter.
    #[must_use]
    pub fn strikes(fault: Fault) -> bool {
        static SO_FAR: AtomicUsize = AtomicUsize::new(0);
        let every = if fault == Fault::LoseAnswer { 10_000 } else { 100 };
        active(fault) && (SO_FAR.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
    }

    /// What a call leaves behind with [`Fault::LeakMemory`].
    pub(crate) fn leave_memory() {
        if active(Fault::LeakMemory) {
            vec![1_u8; 1_024].leak();
        }
    }

    /// Gives another thread a moment to come in between.
    pub(crate) fn hesitate() {
        for _ in 0..500 {
            std::hint::spin_loop();
        }
    }

    /// Gives another thread time to come in between.
    #[expect(clippy::disallowed_methods, reason = "blocking its thread is part of the fault")]
    pub(crate) fn linger() {
        std::thread::sleep(Duration::from_millis(50));
    }

    /// The lock of the table of sessions, as [`Fault::HookUnderLock`] has it.
    static REGISTRY_HELD: AtomicBool = AtomicBool::new(false);

    /// Holds the table's lock.
    pub(crate) struct RegistryHeld;

    impl Drop for RegistryHeld {
        fn drop(&mut self) {
            REGISTRY_HELD.store(false, Ordering::Release);
        }
    }

    /// A hook is about to run, and with the fault under the table's lock.
    pub(crate) fn registry_in_hook() -> Option<RegistryHeld> {
        active(Fault::HookUnderLock).then(take_registry)
    }

    /// The table is about to be used.
    pub(crate) fn enter_registry() {
        if active(Fault::HookUnderLock) {
            drop(take_registry());
        }
    }

    /// Blocks its thread, like any lock, but not for ever, so that the run ends.
    fn take_registry() -> RegistryHeld {
        for _ in 0..20 {
            if !REGISTRY_HELD.swap(true, Ordering::AcqRel) {
                return RegistryHeld;
            }
            linger();
        }
        panic!("the lock of the table of sessions is not free");
    }

    /// With [`Fault::SerialFanOut`], blocks until the message was written, or a second has gone; three times, so that
    /// the run ends.
    #[expect(clippy::disallowed_methods, reason = "blocking its thread is the fault")]
    pub(crate) fn written(done: impl Fn() -> bool) {
        static IN_VAIN: AtomicUsize = AtomicUsize::new(0);
        if !active(Fault::SerialFanOut) || IN_VAIN.load(Ordering::Relaxed) >= 3 {
            return;
        }
        for _ in 0..1_000 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        IN_VAIN.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a control method is a call like any other.
    pub(crate) fn control_is_call() -> bool {
        active(Fault::RegistryLock) || active(Fault::SlotInReader)
    }

    /// The body of a call, behind the one lock of [`Fault::RegistryLock`].
    pub(crate) fn locked<T: Send + 'static>(body: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
        static REGISTRY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        if !active(Fault::RegistryLock) {
            return body;
        }
        Box::pin(async {
            let _registry = REGISTRY.lock().await;
            body.await
        })
    }
}

#[cfg(feature = "seeded-faults")]
pub use seeded::{active, chosen, strikes};
#[cfg(feature = "seeded-faults")]
pub(crate) use seeded::{
    control_is_call, enter_registry, hesitate, leave_memory, linger, locked, registry_in_hook, written,
};

#[cfg(not(feature = "seeded-faults"))]
mod absent {
    use super::Fault;
    use crate::runtime::BoxFuture;

    #[inline(always)]
    pub(crate) const fn active(_fault: Fault) -> bool {
        false
    }

    #[inline(always)]
    pub(crate) const fn strikes(_fault: Fault) -> bool {
        false
    }

    #[inline(always)]
    pub(crate) const fn leave_memory() {}

    #[inline(always)]
    pub(crate) const fn hesitate() {}

    #[inline(always)]
    pub(crate) const fn linger() {}

    #[inline(always)]
    pub(crate) const fn registry_in_hook() -> Option<std::convert::Infallible> {
        None
    }

    #[inline(always)]
    pub(crate) fn written(_done: impl Fn() -> bool) {}

    #[inline(always)]
    pub(crate) const fn enter_registry() {}

    #[inline(always)]
    pub(crate) const fn control_is_call() -> bool {
        false
    }

    #[inline(always)]
    pub(crate) fn locked<T>(body: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
        body
    }
}

#[cfg(not(feature = "seeded-faults"))]
pub(crate) use absent::{
    active, control_is_call, enter_registry, hesitate, leave_memory, linger, locked, registry_in_hook,
    strikes, written,
};
