use crate::{
    handler::{HandlerResult, write_result},
    message::ErrorObject,
    runtime::BoxFuture,
    session::Session,
    state::State,
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use std::{fmt, future::Future, sync::Arc};

/// Why a call is answered by its fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub enum DegradeReason {
    /// Its handler was chosen to end a deadlock, and was not, or not successfully, run again.
    Deadlock,
    /// A lock could not be had in time.
    LockTimeout,
    /// The circuit breaker of its method or subject is open; no handler ran.
    CircuitOpen,
}

impl fmt::Display for DegradeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "deadlock",
            Self::LockTimeout => "lock timeout",
            Self::CircuitOpen => "circuit open",
        })
    }
}

/// What answers for a handler that cannot.
pub(crate) type Fallback<S> = Arc<
    dyn Fn(Session<S>, Option<Box<RawValue>>, DegradeReason) -> BoxFuture<'static, HandlerResult>
        + Send
        + Sync,
>;

/// Writes into a degraded answer that it is one.
pub(crate) type MarkDegraded = Box<dyn Fn(Box<RawValue>, DegradeReason) -> Box<RawValue> + Send + Sync>;

/// A fallback with its types erased.
pub(crate) fn fallback_of<S, R, E, F, Fut>(fallback: F) -> Fallback<S>
where
    S: State,
    R: Serialize + 'static,
    E: Into<ErrorObject> + 'static,
    F: Fn(Session<S>, Option<Box<RawValue>>, DegradeReason) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
{
    Arc::new(move |session, params, reason| {
        let answer = fallback(session, params, reason);
        Box::pin(async move { write_result(&answer.await.map_err(Into::into)?) })
    })
}

/// The mark of an engine whose protocol has none of its own: the member `degraded` of the answer's object. What is no
/// object becomes the member `result` of one.
pub(crate) fn mark_member(answer: Box<RawValue>, reason: DegradeReason) -> Box<RawValue> {
    let mark = json!({ "reason": reason });
    let marked = match serde_json::from_str(answer.get()) {
        Ok(Value::Object(mut members)) => {
            members.insert("degraded".to_owned(), mark);
            Value::Object(members)
        }
        Ok(other) => json!({ "degraded": mark, "result": other }),
        Err(_) => return answer,
    };
    serde_json::value::to_raw_value(&marked).unwrap_or(answer)
}

#[cfg(test)]
mod tests {
    use super::{DegradeReason, mark_member};
    use serde_json::value::RawValue;

    #[test]
    fn objects_get_a_member_and_anything_else_becomes_one() {
        for (answer, marked) in [
            (r#"{"a":1}"#, r#"{"a":1,"degraded":{"reason":"lockTimeout"}}"#),
            ("{}", r#"{"degraded":{"reason":"lockTimeout"}}"#),
            ("[1]", r#"{"degraded":{"reason":"lockTimeout"},"result":[1]}"#),
            ("null", r#"{"degraded":{"reason":"lockTimeout"},"result":null}"#),
        ] {
            let answer = RawValue::from_string(answer.to_owned()).unwrap();
            assert_eq!(mark_member(answer, DegradeReason::LockTimeout).get(), marked);
        }
    }
}
