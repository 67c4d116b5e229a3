//! The lock order of the engine.
//!
//! 1. The *turn* of a serial session ([`TURN`]), which a call has while its handler runs, with those that its chain has in
//!    other sessions. Turns have no level: chains take them in any order, and the graph of `freehold-sync` finds the rings.
//! 2. The locks of the application, which handlers take through their context (levels up to `HANDLER`, and their own).
//! 3. The *sections* below: the whole of the engine's own locking. All are at one level, the last one, so none is entered
//!    inside of another, and there is no order among them that anybody could get wrong. Who is in one wants nothing else.
//!
//! Debug builds and the feature `held-check` refuse a section inside a section (`ScopedMutex::with`). The test
//! `lock_order` holds this file against the sources and against *Every critical section* in `ARCHITECTURE.md`: a lock that
//! is missing here or there is an error, and so is one that is gone. A new one is declared here, named in its field's
//! type, and gets its row in the document.
//!
//! Locks of others, all of them:
//!
//! | Where | What | Why it cannot be in anybody's way |
//! |---|---|---|
//! | `admission::Waiter.waker` | `AtomicWaker` | lock-free; one waiter, woken after the section of its queue |
//! | `call::chain::Below.callee_left` | `Notify` | tokio's own section: its waiters; nothing of ours runs in it |
//! | `call::span::CallSpan.0` | `ArcSwapOption` | lock-free; emptied once, by who ends the span |
//! | `call::table::Undelivered.all_delivered` | `Notify` | the same |
//! | `cluster::memory::Cluster.nodes` | `papaya::HashMap` | as the registry |
//! | `cluster::memory::Cluster.sessions` | `papaya::HashMap` | as the registry |
//! | `drain::DrainState.call_left` | `Notify` | the same |
//! | `gate::Turns.turn` | `PermitPool` | the turn, see above: a wait in the graph, which a deadline ends |
//! | `session::registry::Registry.entries` | `papaya::HashMap` | reads are lock-free, a write retries or helps; no guard of it lives across an await (clippy) |
//! | `state::StateCell.latest` | `ArcSwap` | lock-free to read; a writer waits for readers that are between two loads |
//! | `state::reruns::Reruns.0` | `Semaphore` | turns of transactions that met a conflict; who has waited for its patience runs without one |
//! | `state::store::MemoryStore.states` | `papaya::HashMap` | as the registry |
//! | `fault::seeded::REGISTRY` | `Mutex` | a seeded fault: the lock that must not be, in no build of a server |

use freehold_sync::{LockClass, LockLevel, sections};

/// The turns of a serial session, or those inside of one call.
pub(crate) static TURN: LockClass = LockClass::new("session turn");

sections! {
    at LockLevel::INNERMOST;

    /// The calls of a session. One a session.
    pub(crate) CallTable = "call::table";
    /// The calls that have a task. One an engine.
    pub(crate) LiveCalls = "call::live";
    /// Its deadline and its open questions. One a call.
    pub(crate) CallClock = "call::deadline";
    /// What it called. One a call that called.
    pub(crate) Callees = "call::chain callees";
    /// The answer that a nested call owes. One such a call.
    pub(crate) OwedAnswer = "call::chain owed answer";
    /// The end that a nested call owes. One such a call.
    pub(crate) OwedEnd = "call::chain owed end";
    /// The calls of other engines. One an engine.
    pub(crate) InboundCalls = "cluster inbound";
    /// What is to fail. One a set of failures.
    pub(crate) Injections = "cluster injections";
    /// What became of commits that were not told. One a store that fails as told.
    pub(crate) Untold = "cluster untold commits";
    /// What the watchdog found and still is so. One an engine.
    pub(crate) Standing = "watchdog standing";
    /// Who runs and who queues. One a session.
    pub(crate) Slots = "admission";
    /// The frames of a stream. One a call, one a session.
    pub(crate) Outbox = "outbox";
    /// What the client was asked. One a session.
    pub(crate) Questions = "question";
    /// What it is subscribed to. One a session.
    pub(crate) Topics = "session topics";
    /// The sessions of the calls that asked for the drain. One an engine.
    pub(crate) DrainAskers = "drain askers";
    /// The calls that the drain gave up. One an engine.
    pub(crate) Abandoned = "drain abandoned";
    /// What is left for re-runs. One an engine.
    pub(crate) RetryBudget = "recovery budget";
    /// The subjects that were called. One an engine.
    pub(crate) Subjects = "recovery subjects";
}
