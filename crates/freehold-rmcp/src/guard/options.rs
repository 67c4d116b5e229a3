use std::time::Duration;

/// The bounds of a [`Guard`](super::Guard).
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// How long a request may take, from its arrival, also while it waits for its turn or for the client's answer. Not those
    /// of `subscriptions/listen`, which end with their client.
    pub deadline: Duration,
    /// How long a handler may go on after its request was cancelled.
    pub cancel_grace: Duration,
    /// How long requests may go on after the client's input has ended: clients kill a server that does not end within two
    /// seconds. Needs [`Guarded::watch`](super::Guarded::watch).
    pub after_input: Duration,
    /// Requests that run at the same time.
    pub running: usize,
    /// Requests that wait until they may run; one more is refused.
    pub waiting: usize,
    /// What a request that is refused is told to wait before it tries again.
    pub retry_after: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(1),
            after_input: Duration::from_millis(1_500),
            running: 16_384,
            waiting: 1_024,
            retry_after: Duration::from_millis(500),
        }
    }
}
