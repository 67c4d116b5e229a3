//! The rings that were proven while somebody listened.

use freehold_mcp::freehold::sync::{Deadlock, Event, Grade, Subscription, subscribe};
use std::sync::{Arc, Mutex, PoisonError};

/// The proven rings among calls of one tool, of all scenarios of the process, from its making on.
#[derive(Debug)]
pub struct Rings {
    told: Arc<Mutex<Vec<Arc<Deadlock>>>>,
    _subscription: Subscription,
}

impl Rings {
    /// Listens for rings in which a call of `tool` waits.
    #[must_use]
    pub fn about(tool: &'static str) -> Self {
        let told: Arc<Mutex<Vec<Arc<Deadlock>>>> = Arc::default();
        let into = told.clone();
        let subscription = subscribe(move |event| {
            if let Event::Deadlock(report) = event
                && report.grade == Grade::Proven
                && report.edges.iter().any(|edge| edge.waiter.name == tool)
            {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(report.clone());
            }
        });
        Self { told, _subscription: subscription }
    }

    /// Those that were told of until now.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Deadlock>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of them have so many edges.
    #[must_use]
    pub fn of_length(&self, edges: usize) -> usize {
        self.all().iter().filter(|report| report.edges.len() == edges).count()
    }
}
