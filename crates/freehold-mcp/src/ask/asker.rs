use super::{AskError, Asked};
use freehold::runtime::BoxFuture;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The way by which the questions of a request reach its client where they are no requests of the server's own: in a
/// result, or with the state of a task.
pub(crate) trait Asker: Send + Sync {
    /// The key of the next question, which may have one of its own. Taken when the question is made, so that keys do not
    /// depend on who is polled first.
    fn next_key(&self, own: Option<&str>, kind: &'static str) -> Result<String, AskError>;

    /// Waits for the answer, as the client wrote it.
    fn answer(
        self: Arc<Self>,
        key: String,
        asked: Asked,
    ) -> BoxFuture<'static, Result<Box<RawValue>, AskError>>;
}
