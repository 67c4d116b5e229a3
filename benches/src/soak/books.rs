//! The server's own books of a cycle.

use anyhow::Result;

use super::metrics::Metrics;

/// Counters of the server. They are whole numbers far below 2^52, so they can be compared as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Books {
    /// Calls of tools that were answered with a result.
    pub answered: f64,
    /// Calls that were refused for too many others, or because their session had ended.
    pub refused: f64,
    /// Calls of tools whose deadline passed.
    pub expired: f64,
    /// Calls of tools that were cancelled: by their client, its leaving, or the end of their session.
    pub cancelled: f64,
    /// Calls of tools that ended in any other way.
    pub others: f64,
    /// From arrival to outcome, all calls of tools together, in seconds.
    pub seconds: f64,
    /// Sessions opened.
    pub opened: f64,
    /// Sessions closed, for whatever reason.
    pub closed: f64,
    /// Of those, for being idle.
    pub sessions_expired: f64,
    /// What must never happen: panics, handlers that had to be abandoned, streams closed for unread answers.
    pub harm: f64,
}

impl Books {
    /// What the server says it has done since it began.
    ///
    /// # Errors
    ///
    /// When it does not say.
    pub fn of(metrics: &Metrics) -> Result<Self> {
        const TOOLS: (&str, &str) = ("method", "tools/call");
        const CALLS: &str = "freehold_call_duration_seconds_count";
        let calls = |outcome| metrics.sum(CALLS, &[TOOLS, ("outcome", outcome)]);
        let (answered, expired, cancelled) =
            (calls("answered"), calls("deadline_exceeded"), calls("cancelled"));
        let shed = |reason| metrics.total("freehold_calls_shed_total", &[("reason", reason)]);
        let total = |name| metrics.total(name, &[]);
        Ok(Self {
            answered,
            refused: shed("overloaded")? + shed("stopping")?,
            expired,
            cancelled,
            others: metrics.sum(CALLS, &[TOOLS]) - answered - expired - cancelled,
            seconds: metrics.sum("freehold_call_duration_seconds_sum", &[TOOLS]),
            opened: total("freehold_sessions_opened_total")?,
            closed: total("freehold_sessions_closed_total")?,
            sessions_expired: total("freehold_sessions_expired_total")?,
            harm: total("freehold_panics_total")?
                + total("freehold_handlers_abandoned_total")?
                + total("freehold_streams_overflowed_total")?,
        })
    }

    /// What it has done since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            answered: self.answered - before.answered,
            refused: self.refused - before.refused,
            expired: self.expired - before.expired,
            cancelled: self.cancelled - before.cancelled,
            others: self.others - before.others,
            seconds: self.seconds - before.seconds,
            opened: self.opened - before.opened,
            closed: self.closed - before.closed,
            sessions_expired: self.sessions_expired - before.sessions_expired,
            harm: self.harm - before.harm,
        }
    }
}
