//! How a wait can fail.

use crate::report::{Actor, Deadlock, Grade, LockName, OrderViolation};
use std::{
    any::Any,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Why a lock, a permit or the result of an activity could not be had.
///
/// Whatever the reason, this wait is over when it is returned: it is in no queue and holds nothing. What the activity held
/// before it still holds. What to do with each: [`guide::recovery`](crate::guide::recovery).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LockError {
    /// The wait was part of a proven deadlock and was chosen to break it. Give up what you hold and start again, or
    /// answer with an error that names the ring. As long as the activity holds anything that it
    /// held then, wherever it would have to wait it gets the same error.
    Deadlock(Arc<Deadlock>),
    /// The deadline passed; it says behind whom.
    Timeout(Box<Timeout>),
    /// Taking it now would be against the order of levels, and the order is enforced. Trying again gives the same.
    Order(Box<OrderViolation>),
    /// A panic happened while it was held, and it was made to be poisoned by that.
    Poisoned(Box<LockName>),
    /// The pool was closed.
    Closed(Box<LockName>),
    /// The lock is in a set twice that was to be taken with [`lock_all`](crate::Context::lock_all): name it once. Nothing of
    /// the set was taken.
    Twice(Box<LockName>),
    /// The activity waited for has no result, and will have none; of a reply: it was dropped without being sent. Only a
    /// wait for a [`JoinHandle`](crate::JoinHandle) ends this way.
    Ended(Ended),
}

impl LockError {
    /// The report, if the wait was ended to break a deadlock.
    #[must_use]
    pub fn deadlock(&self) -> Option<&Arc<Deadlock>> {
        match self {
            Self::Deadlock(report) => Some(report),
            _ => None,
        }
    }

    /// Whether the wait was ended to break a deadlock; what [`Context::retry`](crate::Context::retry) asks for.
    #[must_use]
    pub fn is_deadlock(&self) -> bool {
        self.deadlock().is_some()
    }

    /// Why the activity waited for has no result, if that is what happened.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock(report) => write!(f, "deadlock {}: {}", report.id, report.headline()),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Order(violation) => violation.fmt(f),
            Self::Poisoned(lock) => {
                write!(
                    f,
                    "{lock} is poisoned: a panic happened while it was held; check its value and call clear_poison"
                )
            }
            Self::Closed(lock) => write!(f, "{lock} is closed"),
            Self::Twice(lock) => write!(f, "{lock} is in one set twice; name it once"),
            Self::Ended(ended) => write!(f, "what was waited for has no result: {ended}"),
        }
    }
}

impl Error for LockError {}

impl From<Ended> for LockError {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// A wait, or a future, that did not end in time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeout {
    /// What was waited for; nothing for [`within`](crate::within), which waits for a future.
    pub lock: Option<LockName>,
    /// How long.
    pub waited: Duration,
    /// Who held it then; nothing if nobody did, or nobody that is known.
    pub holder: Option<Actor>,
    /// Whom the holder waited for, and so on.
    pub chain: Vec<Actor>,
    /// What the activity that gave up held then; empty outside of an activity.
    pub held: Vec<LockName>,
    /// A deadline proves nothing: at most a suspicion.
    pub grade: Grade,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lock {
            Some(lock) => write!(f, "{lock} could not be had within {:?}", self.waited)?,
            None => write!(f, "the future was not ready within {:?}", self.waited)?,
        }
        if let Some(holder) = &self.holder {
            write!(f, "; held by {holder}")?;
        }
        for next in &self.chain {
            write!(f, ", which waits for {next}")?;
        }
        Ok(())
    }
}

impl Error for Timeout {}

/// Why an activity has no result.
///
/// Who polls an [`Activity`](crate::Activity) gets it as the output: `Orphan` or `Aborted`, since a panic passes through the
/// poll and nobody polls what was dropped. Who waits through a [`JoinHandle`](crate::JoinHandle) gets it as
/// [`LockError::Ended`], and there it may be any of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// It held what others waited for, and nothing was left in the world that could have woken it; so it was dropped. The
    /// report names those who waited.
    Orphan(Arc<Deadlock>),
    /// It was ended with [`ActivityHandle::abort`](crate::ActivityHandle::abort) or
    /// [`JoinHandle::abort`](crate::JoinHandle::abort).
    Aborted,
    /// It panicked.
    Panicked(Arc<Panic>),
    /// Whoever ran it dropped it before it was done; or a reply was dropped without being sent.
    Dropped,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan(report) => {
                write!(f, "ended as an orphan by deadlock {}: {}", report.id, report.headline())
            }
            Self::Aborted => f.write_str("aborted"),
            Self::Panicked(panic) => panic.fmt(f),
            Self::Dropped => f.write_str("dropped before it was done"),
        }
    }
}

impl Error for Ended {}

/// The panic of an activity, for whoever waits for its result.
pub struct Panic {
    message: Option<Box<str>>,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self { message: text.map(Box::from), payload: Mutex::new(Some(payload)) }
    }

    /// What it said, if it said it in text, as `panic!` does.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// What it was raised with, for [`resume_unwind`](std::panic::resume_unwind). Once: the error may have been cloned, the
    /// payload cannot be.
    #[must_use]
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic").field("message", &self.message).finish_non_exhaustive()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked"),
        }
    }
}

impl Error for Panic {}
