//! What the engine told.

use freehold::{Event, Observer, OutcomeKind, RequestId, SessionId, Stage};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The end of a call that came from outside.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) session: SessionId,
    pub(crate) id: RequestId,
    pub(crate) method: String,
    pub(crate) outcome: OutcomeKind,
    pub(crate) stage: Stage,
    pub(crate) took: Duration,
}

#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Ended>>>);

impl Record {
    pub(crate) fn all(&self) -> Vec<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many ends each request had.
    pub(crate) fn ends(&self) -> BTreeMap<(SessionId, String), usize> {
        let mut ends = BTreeMap::new();
        for ended in self.all() {
            *ends.entry((ended.session, ended.id.to_string())).or_default() += 1;
        }
        ends
    }
}

impl Observer for Record {
    fn event(&self, event: &Event<'_>) {
        if let Event::CallEnded { session, id: Some(id), method, outcome, stage, took, .. } = event {
            let ended = Ended {
                session: *session,
                id: (*id).clone(),
                method: (*method).to_owned(),
                outcome: *outcome,
                stage: *stage,
                took: *took,
            };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ended);
        }
    }
}
