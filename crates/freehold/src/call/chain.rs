//! Chains of calls: what a call knows of those that made it, and what it made.

use super::{Call, CancelReason, nested::CallError};
use crate::{gate::Turns, lock_order, runtime::Runtime, session::SessionId, shim::Notify, state::State};
use freehold_sync::{Context as Locks, JoinHandle, OwedReply, OwnedContext, Reply, ScopedMutex};
use serde_json::value::RawValue;
use std::{fmt, fmt::Write, pin::pin, sync::Arc, time::Instant};

/// The id of a call: never used again, by this engine or another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    engine: u64,
    serial: u64,
}

impl CallId {
    pub(crate) fn new(engine: u64, serial: u64) -> Self {
        Self { engine, serial }
    }

    /// What tells an engine from others in the ids of its calls.
    pub(crate) fn random_engine(runtime: &dyn Runtime) -> u64 {
        let mut bytes = [0; 8];
        runtime.fill_random(&mut bytes);
        u64::from_ne_bytes(bytes)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.engine, self.serial)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One call of a chain, as those further down know it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hop {
    /// The call.
    pub call: CallId,
    /// The session it came in.
    pub session: SessionId,
    /// Its subject (the tool, say) if it had one when it called, else its method.
    pub label: Arc<str>,
}

/// What a call brings along that another call made: who that was, and the limits it inherits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallHeader {
    /// The call itself.
    pub call: CallId,
    /// All those above it, the outermost first; the last one made it.
    pub path: Arc<[Hop]>,
    /// The deadline of the caller when it called; this call's is never later.
    pub deadline: Instant,
    /// Higher ones are more worth keeping when a deadlock has to be broken; inherited.
    pub priority: u8,
    /// Sessions in whose transactions the call was made: to commit there would run them again for ever.
    pub transactions: Arc<[SessionId]>,
}

impl CallHeader {
    /// The outermost call of the chain.
    #[must_use]
    pub fn chain(&self) -> CallId {
        self.path.first().map_or(self.call, |outermost| outermost.call)
    }

    /// The call that made this one.
    #[must_use]
    pub fn parent(&self) -> Option<CallId> {
        self.path.last().map(|caller| caller.call)
    }
}

/// Hops that a message names; the header has all.
const NAMED: usize = 4;

/// The last calls of a chain and `method`, for people: `a > b > c`.
pub(crate) fn path_text(path: &[Hop], method: &str) -> String {
    let mut text = String::new();
    if path.len() > NAMED {
        let _ = write!(text, "(+{}) > ", path.len() - NAMED);
    }
    for hop in &path[path.len().saturating_sub(NAMED)..] {
        let _ = write!(text, "{} > ", hop.label);
    }
    text + method
}

/// How a call that another call made ended, for that one.
pub(crate) type Reported = Result<Box<RawValue>, CallError>;

/// Where a call comes from that another call made.
pub(crate) struct Origin<S: State> {
    pub(crate) header: CallHeader,
    /// The caller, if it is in this engine.
    pub(crate) caller: Option<Arc<Call<S>>>,
    /// The context of the caller's activity.
    pub(crate) locks: Option<OwnedContext>,
    /// The answer it owes; taken once, by whoever settles the call.
    pub(crate) owed: ScopedMutex<Option<OwedReply<Reported>>, lock_order::OwedAnswer>,
    /// Its end, which it owes, too: it may go on for a while after its answer.
    pub(crate) end: ScopedMutex<Option<OwedReply<()>>, lock_order::OwedEnd>,
}

/// What a call owes to the one that made it.
pub(crate) struct Debts {
    pub(crate) answer: Reply<Reported>,
    pub(crate) end: Reply<()>,
}

impl<S: State> Origin<S> {
    /// Of a call whose caller is in this engine, in the activity of `locks`.
    pub(crate) fn here(header: CallHeader, caller: &Arc<Call<S>>, locks: &OwnedContext) -> Self {
        Self { caller: Some(caller.clone()), locks: Some(locks.clone()), ..Self::elsewhere(header) }
    }

    /// Of a call whose caller is in another engine.
    pub(crate) fn elsewhere(header: CallHeader) -> Self {
        Self { header, caller: None, locks: None, owed: ScopedMutex::default(), end: ScopedMutex::default() }
    }

    /// From now on the activity of `locks` owes them.
    pub(crate) fn bind(&self, debts: Debts, locks: &OwnedContext) {
        // Bound outside of the sections: that takes one of its own.
        let (answer, ended) = (debts.answer.bind_apart(locks), debts.end.bind_apart(locks));
        self.owed.with(|owed| *owed = Some(answer));
        self.end.with(|end| *end = Some(ended));
    }

    /// Now another activity owes what is still owed: that of the next attempt. Meanwhile nobody finds it: who settles the call
    /// in between leaves it to the caller of this to look.
    pub(crate) fn bind_again(&self, locks: &OwnedContext) {
        let (owed, end) = (self.owed.with(Option::take), self.end.with(Option::take));
        let (owed, end) = (owed.map(|debt| debt.bind_again(locks)), end.map(|debt| debt.bind_again(locks)));
        self.owed.with(|place| *place = owed);
        self.end.with(|place| *place = end);
    }

    /// The handler is gone.
    pub(crate) fn ended(&self) {
        if let Some(end) = self.end.with(Option::take) {
            end.send(());
        }
    }

    /// Tells the caller. The answer is sent outside of the section: it wakes.
    pub(crate) fn report(&self, reported: Reported) {
        if let Some(owed) = self.owed.with(Option::take) {
            owed.send(reported);
        }
    }
}

/// What a call has below itself: the calls it made, and the turns inside of its own.
pub(crate) struct Below<S: State> {
    calls: ScopedMutex<Vec<Callee<S>>, lock_order::Callees>,
    turns: Turns,
    /// One that is in no list any more is gone.
    callee_left: Notify,
}

impl<S: State> Default for Below<S> {
    fn default() -> Self {
        Self { calls: ScopedMutex::default(), turns: Turns::default(), callee_left: Notify::new() }
    }
}

struct Callee<S: State> {
    call: Arc<Call<S>>,
    /// To wait for its end; taken by whoever does.
    end: Option<JoinHandle<()>>,
}

/// As many calls as one call may have open are.
pub(crate) struct TooMany;

impl<S: State> Below<S> {
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(crate) fn insert(
        &self,
        call: &Arc<Call<S>>,
        end: JoinHandle<()>,
        most: usize,
    ) -> Result<(), TooMany> {
        self.calls.with(|calls| {
            if calls.len() >= most {
                return Err(TooMany);
            }
            calls.push(Callee { call: call.clone(), end: Some(end) });
            Ok(())
        })
    }

    /// The callee's handler is gone.
    pub(crate) fn remove(&self, callee: &Arc<Call<S>>) {
        let removed = self.calls.with(|calls| {
            let place = calls.iter().position(|known| Arc::ptr_eq(&known.call, callee));
            place.map(|place| calls.swap_remove(place))
        });
        drop(removed);
        self.callee_left.notify_waiters();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.with(|calls| calls.is_empty())
    }

    /// Cancels all.
    pub(crate) fn cancel(&self, reason: CancelReason) {
        let calls = self.calls.with(|calls| calls.iter().map(|known| known.call.clone()).collect::<Vec<_>>());
        for call in calls {
            call.cancel(reason, None);
        }
    }

    /// Waits until all are gone, for each by an edge of the graph: a callee in its grace may itself wait for somebody who
    /// waits for the turn of this call.
    pub(crate) async fn gone(&self, locks: &Locks) {
        while let Some(end) = self.next_end() {
            let _ = end.join(locks).without_any_deadline().patient().await;
        }
        self.left_all().await;
    }

    /// The same without an edge. A wait of a victim of a deadlock fails at once as long as it has what it had then, the turn,
    /// say; the callees are there all the same, and have a limit of their own, the grace.
    async fn left_all(&self) {
        loop {
            let mut left = pin!(self.callee_left.notified());
            // Registered before the look, so that the last one cannot leave in between unseen.
            left.as_mut().enable();
            if self.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn next_end(&self) -> Option<JoinHandle<()>> {
        self.calls.with(|calls| calls.iter_mut().find_map(|known| known.end.take()))
    }
}
