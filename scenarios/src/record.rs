use freehold_mcp::freehold::{
    CancelReason, CloseReason, Event, Observer, OutcomeKind, RequestId, SessionId, Stage,
    message::MalformedKind,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// One event of the engine's, owned.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "as the engine's event of the same name")]
pub enum Seen {
    Opened(SessionId),
    Closed(SessionId, CloseReason),
    Ended {
        session: SessionId,
        id: Option<RequestId>,
        method: String,
        outcome: OutcomeKind,
        stage: Stage,
        took: Duration,
    },
    Abandoned {
        session: SessionId,
        method: String,
        reason: CancelReason,
    },
    Malformed(MalformedKind),
    UnknownAnswer(SessionId),
    UnknownNotification(String),
    Dropped(u64),
    Overflowed,
    HookPanicked(&'static str),
    Slow {
        session: SessionId,
        subject: String,
    },
    ThreadBlocked {
        session: SessionId,
        subject: String,
        thread: String,
    },
    ThreadUnblocked {
        session: SessionId,
        subject: String,
        lasted: Duration,
    },
    Other(String),
}

/// All events of an engine, in order.
#[derive(Clone, Debug)]
pub struct Record {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: Mutex<Vec<Seen>>,
    changed: watch::Sender<()>,
}

impl Default for Record {
    fn default() -> Self {
        let (changed, _) = watch::channel(());
        Self { inner: Arc::new(Inner { events: Mutex::default(), changed }) }
    }
}

impl Record {
    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Seen> {
        self.inner.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bytes that the events take, as a clone of them shows; what they have in reserve is given back.
    ///
    /// `used` says how many bytes the process uses.
    #[must_use]
    pub fn bytes(&self, used: impl Fn() -> usize) -> usize {
        let mut events = self.inner.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.shrink_to_fit();
        let before = used();
        let copy = events.clone();
        let bytes = used() - before;
        drop(copy);
        bytes
    }

    /// How many events are as wanted.
    pub fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.events().iter().filter(|event| wanted(event)).count()
    }

    /// How many calls of `method` had this outcome.
    #[must_use]
    pub fn outcomes(&self, of: &str, wanted: OutcomeKind) -> usize {
        self.count(
            |event| matches!(event, Seen::Ended { method, outcome, .. } if method == of && *outcome == wanted),
        )
    }

    /// Waits until `count` events are as wanted.
    ///
    /// # Panics
    ///
    /// If they do not come soon.
    pub async fn until(&self, what: &str, count: usize, wanted: impl Fn(&Seen) -> bool) {
        let mut changed = self.inner.changed.subscribe();
        let all = async {
            while self.count(&wanted) < count {
                let _ = changed.changed().await;
            }
        };
        crate::limits::prompt(what, all).await;
    }

    /// Waits until the session was closed, and says why.
    ///
    /// # Panics
    ///
    /// If it is not closed soon.
    pub async fn closed(&self, session: SessionId) -> CloseReason {
        let of_it = |event: &Seen| matches!(event, Seen::Closed(closed, _) if *closed == session);
        self.until("the session is closed", 1, of_it).await;
        let events = self.events();
        let reason = events.iter().find_map(|event| match event {
            Seen::Closed(closed, reason) if *closed == session => Some(*reason),
            _ => None,
        });
        reason.expect("it was just seen")
    }
}

impl Observer for Record {
    fn event(&self, event: &Event<'_>) {
        let seen = match event {
            Event::SessionOpened { session } => Seen::Opened(*session),
            Event::SessionClosed { session, reason } => Seen::Closed(*session, *reason),
            Event::CallEnded { session, id, method, outcome, stage, took, .. } => Seen::Ended {
                session: *session,
                id: id.cloned(),
                method: (*method).to_owned(),
                outcome: *outcome,
                stage: *stage,
                took: *took,
            },
            Event::HandlerAbandoned { session, method, reason, .. } => {
                Seen::Abandoned { session: *session, method: (*method).to_owned(), reason: *reason }
            }
            Event::Malformed { kind } => Seen::Malformed(*kind),
            Event::UnknownAnswer { session } => Seen::UnknownAnswer(*session),
            Event::UnknownNotification { method, .. } => Seen::UnknownNotification((*method).to_owned()),
            Event::NotificationsDropped { count } => Seen::Dropped(*count),
            Event::StreamOverflowed => Seen::Overflowed,
            Event::HookPanicked { hook } => Seen::HookPanicked(hook),
            Event::CallSlow { session, subject, .. } => {
                Seen::Slow { session: *session, subject: subject.unwrap_or_default().to_owned() }
            }
            Event::ThreadBlocked { session, subject, thread, .. } => Seen::ThreadBlocked {
                session: *session,
                subject: subject.unwrap_or_default().to_owned(),
                thread: (*thread).to_owned(),
            },
            Event::ThreadUnblocked { session, subject, lasted, .. } => Seen::ThreadUnblocked {
                session: *session,
                subject: subject.unwrap_or_default().to_owned(),
                lasted: *lasted,
            },
            other => Seen::Other(format!("{other:?}")),
        };
        self.inner.events.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        self.inner.changed.send_replace(());
    }
}
