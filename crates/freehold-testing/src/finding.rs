use crate::limits;
use freehold::sync::{Deadlock, OrderViolation};
use std::{any::Any, fmt, sync::Arc};

/// Something that a run showed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Finding {
    /// Handlers waited for each other. The engine broke it; without it, or at its deadline only, they would hang.
    Deadlock(Arc<Deadlock>),
    /// Locks were taken against the order of their levels, or the other way round than before in the same run: a deadlock
    /// that waits for its moment.
    Order(Arc<OrderViolation>),
    /// A handler called another one while it held locks: whoever wants them waits for the callee too.
    CalledWhileHolding {
        /// The caller's method.
        caller: String,
        /// The method it called.
        method: String,
        /// How many locks and permits it held.
        held: usize,
    },
    /// The program did not end in virtual time: who still is there.
    Hangs(Vec<String>),
    /// After the program has ended calls go on, or somebody holds a lock or waits for one.
    LeftBehind(Vec<String>),
    /// Tasks wake each other for ever, and time does not pass.
    Spins,
    /// The program, or a task that it spawned, panicked: an assertion of yours, for example. Or a value of theirs, or of
    /// an engine's, did in its drop.
    Panicked {
        /// Which.
        task: &'static str,
        /// With what message.
        message: String,
    },
}

impl Finding {
    /// In a line that is the same in each run: no addresses, and no numbers that other runs go on with.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Deadlock(report) => {
                let edge = |edge: &freehold::sync::Edge| {
                    format!("{} waits for {} of {}", edge.waiter.name, edge.lock.class, edge.holder.name)
                };
                let ring: Vec<_> = report.edges.iter().map(edge).collect();
                format!("deadlock: {}", ring.join("; "))
            }
            Self::Order(violation) => {
                format!("against the order: {} held, {} wanted", violation.held, violation.wanted)
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: &[String]| {
            if all.is_empty() {
                return f.write_str("\n  nobody in its engines or at a lock; it waits for something else");
            }
            all.iter().take(limits::PRINTED_LINES).try_for_each(|one| write!(f, "\n  {one}"))
        };
        match self {
            Self::Deadlock(report) => write!(f, "a deadlock:\n{report}"),
            Self::Order(violation) => write!(f, "a lock against the order:\n{violation}"),
            Self::CalledWhileHolding { caller, method, held } => {
                write!(f, "{caller} called {method} while it held {held} locks; let them go before the call")
            }
            Self::Hangs(who) => {
                f.write_str("the program does not end; there still is:")?;
                list(f, who)
            }
            Self::LeftBehind(who) => {
                f.write_str("the program has ended, and still there is:")?;
                list(f, who)
            }
            Self::Spins => f.write_str("tasks wake each other for ever, and time does not pass"),
            Self::Panicked { task, message } => write!(f, "{task} panicked: {message}"),
        }
    }
}

/// What a run found, up to a bound of each kind.
#[derive(Default)]
pub(crate) struct Findings {
    all: Vec<Finding>,
    pub(crate) deadlocks: u64,
}

impl Findings {
    /// Returns it if there is no room for it.
    pub(crate) fn add(&mut self, finding: Finding) -> Option<Finding> {
        self.deadlocks += u64::from(matches!(finding, Finding::Deadlock(_)));
        let kind = std::mem::discriminant(&finding);
        if self.all.iter().filter(|other| std::mem::discriminant(*other) == kind).count() >= limits::FINDINGS
        {
            return Some(finding);
        }
        self.all.push(finding);
        None
    }

    pub(crate) fn all(&self) -> Vec<Finding> {
        self.all.clone()
    }
}

pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "not with a text".to_owned())
}
