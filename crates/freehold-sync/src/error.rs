//! How a wait can fail.

use crate::report::{Actor, Deadlock, Grade, LockName, OrderViolation};
use std::{error::Error, fmt, sync::Arc, time::Duration};

/// Why a lock, a permit or the end of an activity could not be had.
///
/// Whatever the reason, this wait is over when it is returned: it is in no queue and holds nothing. What the activity held
/// before it still holds. What to do with each: [`guide::recovery`](crate::guide::recovery).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LockError {
    /// The wait was part of a proven deadlock and was chosen to break it. Give up what you hold and start again, or
    /// answer with an error that names the ring. Until the activity holds nothing, wherever it would have to wait it gets
    /// the same error.
    Deadlock(Arc<Deadlock>),
    /// The deadline passed; it says behind whom.
    Timeout(Box<Timeout>),
    /// Taking it now would be against the order of levels, and the order is enforced. Trying again gives the same.
    Order(Box<OrderViolation>),
    /// A panic happened while it was held, and it was made to be poisoned by that.
    Poisoned(Box<LockName>),
    /// The pool was closed; or the activity waited for is gone without a result: it panicked, was dropped, or was ended as
    /// an orphan.
    Closed(Box<LockName>),
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
        }
    }
}

impl Error for LockError {}

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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// It held what others waited for, and nothing was left in the world that could have woken it; so it was dropped.
    Deadlock(Arc<Deadlock>),
    /// It was ended from outside without a report.
    Dropped,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock(report) => write!(f, "ended by deadlock {}: {}", report.id, report.headline()),
            Self::Dropped => f.write_str("dropped before it was done"),
        }
    }
}

impl Error for Ended {}
