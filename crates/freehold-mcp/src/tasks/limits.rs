use std::time::Duration;

/// Tasks on one page of `tasks/list`.
pub(super) const PAGE: usize = 100;
/// Characters of a status message: it is a line for a person, and every poll carries it.
pub(super) const MESSAGE_CHARACTERS: usize = 500;
/// Messages of a task that may wait for somebody who reads them; the oldest notification makes room. Above the questions
/// that a session may have open, so that there always is one.
pub(super) const WAITING_MESSAGES: usize = 1_024;
/// Bytes of those: as many as wait in a stream by default.
pub(super) const WAITING_BYTES: usize = 1 << 20;
/// The shortest time to live: a task that is gone before its creation was read would be of no use.
pub(super) const TTL_LEAST: Duration = Duration::from_secs(1);

/// The bounds of a server's tasks, for [`McpServerBuilder::tasks`](crate::McpServerBuilder::tasks). Whatever exceeds one gets a
/// typed error at once.
///
/// # Examples
///
/// ```
/// use freehold_mcp::TaskLimits;
/// use std::time::Duration;
///
/// let limits = TaskLimits { run: Duration::from_secs(120), ..TaskLimits::default() };
/// assert!(limits.run < limits.ttl);
/// ```
// Exhaustive, so that the update syntax of the example works outside of this crate too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLimits {
    /// Tasks that one owner may have at the same time, running and ended ones: one principal, in all its sessions and stateless
    /// requests; where it is not known, one session, and all stateless clients together.
    pub per_owner: usize,
    /// Tasks of all owners together.
    pub total: usize,
    /// How long a task lives, from its creation, if its client does not say; then it is cancelled if it still runs, and
    /// forgotten with its result.
    pub ttl: Duration,
    /// The longest time to live that a client gets, whatever it says.
    pub ttl_most: Duration,
    /// How long the call of a task may take, also if it makes progress; a shorter timeout of its tool holds for it too. The
    /// clock stands while the client is asked.
    pub run: Duration,
    /// How often clients are told to poll.
    pub poll_interval: Duration,
    /// Bytes of a result that is kept, or of an error with its data; a larger one is replaced by an error that says so.
    pub result_bytes: usize,
    /// Bytes of all results and errors that are kept together, and of the notifications that wait with them; a result for which
    /// there is no room is replaced by an error, and notifications are dropped.
    pub results_bytes: usize,
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self {
            per_owner: 1_024,
            total: 16_384,
            ttl: Duration::from_secs(3_600),
            ttl_most: Duration::from_secs(24 * 3_600),
            run: Duration::from_secs(600),
            poll_interval: Duration::from_secs(1),
            result_bytes: 4 << 20,
            results_bytes: 256 << 20,
        }
    }
}

impl TaskLimits {
    /// The time to live of a task whose client wants this one.
    pub(super) fn ttl_of(&self, wanted: Option<Duration>) -> Duration {
        let most = self.ttl_most.max(TTL_LEAST);
        wanted.unwrap_or(self.ttl).clamp(TTL_LEAST, most)
    }
}

#[cfg(test)]
mod tests {
    use super::{TTL_LEAST, TaskLimits};
    use std::time::Duration;

    #[test]
    fn a_client_chooses_the_time_to_live_within_bounds() {
        let limits = TaskLimits::default();
        assert_eq!(limits.ttl_of(None), limits.ttl);
        assert_eq!(limits.ttl_of(Some(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(limits.ttl_of(Some(Duration::ZERO)), TTL_LEAST);
        assert_eq!(limits.ttl_of(Some(Duration::MAX)), limits.ttl_most);
    }
}
