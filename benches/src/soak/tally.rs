//! What became of each request, as its client saw it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::limits;

/// Complaints that are kept and shown.
const COMPLAINTS: usize = 5;

/// How a request ended. Exactly one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The right result.
    Result,
    /// Refused at once: too many calls.
    Overloaded,
    /// An error: its deadline passed.
    DeadlineExceeded,
    /// An error: it was cancelled with its session.
    Cancelled,
    /// Its client cancelled it and wants no answer: the stream ended without one.
    Ended,
    /// An error: its session has ended.
    SessionGone,
    /// Its client left in the middle.
    GivenUp,
    /// Answered by what is no answer to it.
    Wrong,
    /// Never answered.
    Lost,
}

/// Counts of one cycle.
#[derive(Debug)]
pub struct Tally {
    began: Instant,
    /// How long the load lasts.
    load: Duration,
    /// Calls of tools by their outcome.
    pub calls: BTreeMap<Outcome, u64>,
    /// All other requests.
    pub others: BTreeMap<Outcome, u64>,
    /// Calls and others that were begun.
    pub sent: u64,
    /// Connections on which more came than was asked for.
    pub unasked: u64,
    /// From sending to the end of the answer, of calls that were admitted and got a result.
    pub admitted: Vec<Duration>,
    /// The same of calls that were refused.
    pub refused: Vec<Duration>,
    /// How much later than planned requests of the open loop were sent.
    pub lag: Vec<Duration>,
    /// Refusals in each stretch of the load.
    pub refused_in: [u64; limits::STRETCHES],
    /// What was wrong with the first that were wrong or lost.
    pub complaints: Vec<String>,
}

impl Tally {
    /// An empty one, for a load that begins now.
    #[must_use]
    pub fn new(load: Duration) -> Self {
        Self {
            began: Instant::now(),
            load,
            calls: BTreeMap::new(),
            others: BTreeMap::new(),
            sent: 0,
            unasked: 0,
            admitted: Vec::new(),
            refused: Vec::new(),
            lag: Vec::new(),
            refused_in: [0; limits::STRETCHES],
            complaints: Vec::new(),
        }
    }

    /// Calls with this outcome.
    #[must_use]
    pub fn calls(&self, outcome: Outcome) -> u64 {
        self.calls.get(&outcome).copied().unwrap_or(0)
    }

    /// Requests with this outcome, calls and others.
    #[must_use]
    pub fn all(&self, outcome: Outcome) -> u64 {
        self.calls(outcome) + self.others.get(&outcome).copied().unwrap_or(0)
    }

    /// Calls of all outcomes.
    #[must_use]
    pub fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    fn call_ended(&mut self, outcome: Outcome, took: Duration) {
        *self.calls.entry(outcome).or_default() += 1;
        match outcome {
            Outcome::Result => self.admitted.push(took),
            Outcome::Overloaded => {
                self.refused.push(took);
                let share = self.began.elapsed().as_secs_f64() / self.load.as_secs_f64();
                if let Some(stretch) = self.refused_in.get_mut(stretch(share)) {
                    *stretch += 1;
                }
            }
            _ => {}
        }
    }

    fn complain(&mut self, complaint: impl FnOnce() -> String) {
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(complaint());
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a time that is about 1 at most"
)]
fn stretch(share: f64) -> usize {
    (share * limits::STRETCHES as f64) as usize
}

/// A tally that all clients of a cycle write to. A cheap handle.
#[derive(Debug, Clone)]
pub struct SharedTally(Arc<Mutex<Tally>>);

impl SharedTally {
    /// An empty one, for a load that begins now.
    #[must_use]
    pub fn new(load: Duration) -> Self {
        Self(Arc::new(Mutex::new(Tally::new(load))))
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is about to be sent. Who calls this calls one of the others once.
    pub fn begun(&self) {
        self.lock().sent += 1;
    }

    /// How much later than planned a request is sent.
    pub fn late(&self, lag: Duration) {
        self.lock().lag.push(lag);
    }

    /// A call of a tool has ended.
    pub fn call_ended(&self, outcome: Outcome, took: Duration) {
        self.lock().call_ended(outcome, took);
    }

    /// Another request has ended.
    pub fn other_ended(&self, outcome: Outcome) {
        *self.lock().others.entry(outcome).or_default() += 1;
    }

    /// More came on a connection than was asked for.
    pub fn unasked(&self) {
        self.lock().unasked += 1;
    }

    /// Tells what was wrong with a request.
    pub fn complain(&self, complaint: impl FnOnce() -> String) {
        self.lock().complain(complaint);
    }

    /// What was counted; the tally is empty afterwards.
    #[must_use]
    pub fn take(&self) -> Tally {
        std::mem::replace(&mut *self.lock(), Tally::new(Duration::ZERO))
    }
}
