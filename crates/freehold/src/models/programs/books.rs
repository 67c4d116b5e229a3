//! What a program knows of itself: what was sent, what runs, what ended and how.

use super::plan::Step;
use crate::{Event, Observer, OutcomeKind, RequestId, SessionId};
use freehold_sync::Mutex as Lock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// A handler under way: its number, and those that called it, the outermost first.
#[derive(Clone, Debug)]
struct Running {
    number: u64,
    session: SessionId,
    #[expect(dead_code, reason = "it is told")]
    above: Vec<u64>,
    drains: bool,
}

/// A request on its way into a session, by a clock that counts what happens.
#[derive(Clone, Copy, Debug)]
struct Dispatch {
    session: SessionId,
    begun: u64,
    ended: Option<u64>,
    started: Option<u64>,
}

#[derive(Default)]
struct Inner {
    ticks: u64,
    next: u64,
    running: Vec<Running>,
    serial: BTreeSet<SessionId>,
    dispatches: BTreeMap<u64, Dispatch>,
    sent: BTreeMap<(SessionId, RequestId), usize>,
    ends: BTreeMap<(SessionId, RequestId), Vec<OutcomeKind>>,
    opened: Vec<SessionId>,
    closed: Vec<SessionId>,
    unknown_answers: usize,
    questions_answered: usize,
    answers_sent: usize,
    done: BTreeMap<SessionId, u64>,
    possible: BTreeMap<SessionId, u64>,
    /// What is wrong. A panic in a handler would only become an answer.
    wrong: Vec<String>,
}

/// Its section is left before anybody else runs.
pub(super) struct Books {
    inner: Mutex<Inner>,
    pub(super) scripts: Vec<Vec<Step>>,
    pub(super) sessions: Mutex<Vec<SessionId>>,
    pub(super) locks: [Lock<()>; super::plan::LOCKS],
}

impl Books {
    pub(super) fn new(scripts: Vec<Vec<Step>>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            scripts,
            sessions: Mutex::default(),
            locks: std::array::from_fn(|_| Lock::new(())),
        })
    }

    fn with<R>(&self, section: impl FnOnce(&mut Inner) -> R) -> R {
        section(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn wrong(&self, what: String) {
        self.with(|inner| inner.wrong.push(what));
    }

    pub(super) fn is_serial(&self, session: SessionId) {
        self.with(|inner| inner.serial.insert(session));
    }

    pub(super) fn target(&self, session: usize) -> SessionId {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)[session]
    }

    /// A request is about to be dispatched; the number that its handler will bring.
    pub(super) fn sends(&self, session: SessionId, id: &RequestId) -> u64 {
        self.with(|inner| {
            *inner.sent.entry((session, id.clone())).or_default() += 1;
            inner.next += 1;
            inner.ticks += 1;
            let dispatch = Dispatch { session, begun: inner.ticks, ended: None, started: None };
            inner.dispatches.insert(inner.next, dispatch);
            inner.next
        })
    }

    pub(super) fn dispatched(&self, number: u64) {
        self.with(|inner| {
            inner.ticks += 1;
            let now = inner.ticks;
            inner.dispatches.get_mut(&number).expect("it was sent").ended = Some(now);
        });
    }

    /// A handler begins. `sent`: the number of its request, if a client made it.
    pub(super) fn enter(self: &Arc<Self>, session: SessionId, sent: Option<u64>, above: &[u64]) -> Entry {
        let number = self.with(|inner| {
            inner.next += 1;
            inner.ticks += 1;
            let number = inner.next;
            super::trace(|| {
                format!("handler {number} of request {sent:?} begins in {session}, called by {above:?}")
            });
            if inner.serial.contains(&session) {
                inner.check_turn(session, above);
                if let Some(sent) = sent {
                    inner.check_order(sent);
                }
            }
            inner.running.push(Running { number, session, above: above.to_vec(), drains: false });
            number
        });
        Entry { books: self.clone(), number }
    }

    /// A change of a session's state begins; whether it was made comes later, if ever.
    pub(super) fn changes(&self, session: SessionId) {
        self.with(|inner| *inner.possible.entry(session).or_default() += 1);
    }

    pub(super) fn changed(&self, session: SessionId, done: bool) {
        self.with(|inner| {
            if done {
                *inner.done.entry(session).or_default() += 1;
            } else {
                *inner.possible.entry(session).or_default() -= 1;
            }
        });
    }

    pub(super) fn answers(&self) {
        self.with(|inner| inner.answers_sent += 1);
    }

    pub(super) fn got_an_answer(&self) {
        self.with(|inner| inner.questions_answered += 1);
    }

    /// Whether the end of this session was told.
    pub(super) fn is_closed(&self, session: SessionId) -> bool {
        self.with(|inner| inner.closed.contains(&session))
    }

    /// Handlers that run, and never waited for a drain.
    pub(super) fn running_beside_drains(&self) -> Vec<String> {
        self.with(|inner| {
            let others = inner.running.iter().filter(|running| !running.drains);
            others.map(|running| format!("{running:?}")).collect()
        })
    }

    /// How often each outcome was told.
    pub(super) fn outcomes(&self) -> Vec<OutcomeKind> {
        self.with(|inner| inner.ends.values().flatten().copied().collect())
    }

    /// What must hold when all is over. `lives`: the state of each session that has not ended.
    pub(super) fn check(&self, lives: &[(SessionId, u64)]) {
        self.with(|inner| {
            assert!(inner.wrong.is_empty(), "{:#?}", inner.wrong);
            assert!(inner.running.is_empty(), "handlers are left: {:?}", inner.running);
            for (key, sent) in &inner.sent {
                let ends = inner.ends.get(key).map_or(&[][..], Vec::as_slice);
                assert_eq!(ends.len(), *sent, "outcomes of {key:?}: {ends:?}");
            }
            assert!(
                inner.ends.keys().all(|key| inner.sent.contains_key(key)),
                "an outcome of what was not sent"
            );
            let asked = (inner.questions_answered, inner.answers_sent, inner.unknown_answers);
            assert!(asked.0 + asked.2 <= asked.1, "answers taken, sent, unknown: {asked:?}");
            let closed: BTreeSet<_> = inner.closed.iter().collect();
            assert_eq!(closed.len(), inner.closed.len(), "a session closed twice: {:?}", inner.closed);
            for (session, state) in lives {
                let (done, possible) = (inner.done.get(session), inner.possible.get(session));
                let (done, possible) = (done.copied().unwrap_or(0), possible.copied().unwrap_or(0));
                assert!(*state >= done && *state <= possible, "{state} of {done} to {possible}");
            }
        });
    }

    /// Sessions that were opened, and those whose end was told.
    pub(super) fn sessions_told(&self) -> (usize, usize) {
        self.with(|inner| (inner.opened.len(), inner.closed.len()))
    }
}

impl Inner {
    /// Who runs in a serial session is one of those who wait for the one that begins.
    fn check_turn(&mut self, session: SessionId, above: &[u64]) {
        let strangers: Vec<_> = self
            .running
            .iter()
            .filter(|running| running.session == session && !above.contains(&running.number))
            .map(|running| format!("{running:?}"))
            .collect();
        if !strangers.is_empty() {
            self.wrong.push(format!("one that was called by {above:?} begins in the turn of {strangers:?}"));
        }
    }

    /// What was dispatched before this one began to be has started, or never will.
    fn check_order(&mut self, sent: u64) {
        let now = self.ticks;
        let this = self.dispatches[&sent];
        let later = self.dispatches.values().find(|other| {
            other.session == this.session
                && other.started.is_some()
                && this.ended.is_some_and(|ended| ended < other.begun)
        });
        if let Some(later) = later {
            self.wrong.push(format!("{this:?} starts after {later:?}"));
        }
        self.dispatches.get_mut(&sent).expect("it was sent").started = Some(now);
    }
}

/// A handler, until its future is gone.
pub(super) struct Entry {
    books: Arc<Books>,
    pub(super) number: u64,
}

impl Entry {
    /// It asks for a drain, which so waits neither for it nor for its callers.
    pub(super) fn drains(&self, above: &[u64]) {
        self.books.with(|inner| {
            for running in &mut inner.running {
                running.drains |= running.number == self.number || above.contains(&running.number);
            }
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        super::trace(|| format!("handler {} is gone", self.number));
        self.books.with(|inner| inner.running.retain(|running| running.number != self.number));
    }
}

/// The engine tells the books.
pub(super) struct Teller(pub(super) Arc<Books>);

impl Observer for Teller {
    fn event(&self, event: &Event<'_>) {
        super::trace(|| format!("{event:?}"));
        self.0.with(|inner| match event {
            Event::CallEnded { session, id: Some(id), outcome, .. } => {
                inner.ends.entry((*session, (*id).clone())).or_default().push(*outcome);
            }
            Event::SessionOpened { session } => inner.opened.push(*session),
            Event::SessionClosed { session, .. } => inner.closed.push(*session),
            Event::UnknownAnswer { .. } => inner.unknown_answers += 1,
            _ => {}
        });
    }
}
