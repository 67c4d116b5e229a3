//! Degraded answers: of a tool's fallback, in the form of the revision, with their mark.

use super::{
    call::{Params, write},
    output::ToolError,
    tool::{ToolFallback, arguments_text},
};
use crate::{
    model::{Meta, ServerMeta},
    protocol::key,
};
use freehold::{DegradeReason, ErrorObject, State, Subject};
use serde_json::{Map, Value, json, value::RawValue};
use std::sync::Arc;

/// The subject, with a fallback that answers as its tool would.
pub(super) fn answering<S: State>(
    subject: Subject<S>,
    fallback: ToolFallback<S>,
    server_meta: Arc<ServerMeta>,
) -> Subject<S> {
    subject.fallback(move |session, params, reason| {
        let read = read(params.as_deref());
        let answer = read.map(|(arguments, stateless)| (fallback(session, arguments, reason), stateless));
        let server_meta = server_meta.clone();
        async move {
            let (answer, stateless) = answer?;
            let outcome = answer.await.map_err(|ToolError(failure)| failure);
            write(outcome, stateless.then_some(&*server_meta))
        }
    })
}

/// The arguments, and whether the request is stateless.
fn read(params: Option<&RawValue>) -> Result<(Map<String, Value>, bool), ErrorObject> {
    let params = Params::read(params)?;
    let arguments =
        serde_json::from_str(arguments_text(params.arguments)).map_err(ErrorObject::invalid_params)?;
    let meta = params.meta.map(Meta::from_raw).transpose()?.unwrap_or_default();
    Ok((arguments, meta.claims_stateless()))
}

/// Says in an answer's `_meta` that it is degraded.
pub(crate) fn mark_degraded(answer: Box<RawValue>, reason: DegradeReason) -> Box<RawValue> {
    let mut marked = match serde_json::from_str(answer.get()) {
        Ok(Value::Object(members)) => members,
        // A result is an object in this protocol; of a method of the application's own it may be anything.
        Ok(other) => Map::from_iter([("result".to_owned(), other)]),
        Err(_) => return answer,
    };
    let meta = marked.entry("_meta").or_insert_with(|| json!({}));
    if let Value::Object(meta) = meta {
        meta.insert(key::DEGRADED.to_owned(), json!({ "reason": reason }));
    }
    serde_json::value::to_raw_value(&marked).unwrap_or(answer)
}

#[cfg(test)]
mod tests {
    use super::mark_degraded;
    use freehold::DegradeReason;
    use serde_json::value::RawValue;

    #[test]
    fn the_mark_stands_beside_what_meta_has() {
        const MARK: &str = r#""io.github.freehold-rs/degraded":{"reason":"circuitOpen"}"#;
        for (answer, marked) in [
            (r#"{"content":[]}"#, format!(r#"{{"_meta":{{{MARK}}},"content":[]}}"#)),
            (r#"{"_meta":{"a":1}}"#, format!(r#"{{"_meta":{{"a":1,{MARK}}}}}"#)),
            ("7", format!(r#"{{"_meta":{{{MARK}}},"result":7}}"#)),
        ] {
            let answer = RawValue::from_string(answer.to_owned()).unwrap();
            assert_eq!(mark_degraded(answer, DegradeReason::CircuitOpen).get(), marked);
        }
    }
}
