//! What a task says on its way to its client.

use super::id::TaskId;
use crate::protocol::key;
use bytes::Bytes;
use freehold::RequestId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use std::borrow::Cow;

/// A question that a task has for its client.
pub(super) struct Question {
    pub(super) id: RequestId,
    /// Its method and parameters, as an object.
    pub(super) request: Box<RawValue>,
}

/// Reads the encoded message of a question.
pub(super) fn read_question(bytes: &[u8]) -> Option<Question> {
    #[derive(Deserialize)]
    struct Message<'a> {
        id: i64,
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    #[derive(Serialize)]
    struct Request<'a> {
        method: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<&'a RawValue>,
    }
    let message: Message<'_> = serde_json::from_slice(bytes).ok()?;
    let request = Request { method: &message.method, params: message.params };
    let request = serde_json::value::to_raw_value(&request).ok()?;
    Some(Question { id: RequestId::Number(message.id), request })
}

/// The message with the task that it belongs to in its parameters' `_meta`.
pub(super) fn related_message(bytes: &Bytes, task: TaskId) -> Bytes {
    let Ok(mut message) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return bytes.clone() };
    if let Value::Object(params) = message.entry("params").or_insert_with(|| json!({})) {
        relate(params, task);
    }
    serde_json::to_vec(&message).map_or_else(|_| bytes.clone(), Bytes::from)
}

/// The result with the task that it belongs to in its `_meta`.
pub(super) fn related_result(result: Box<RawValue>, task: TaskId) -> Box<RawValue> {
    let Ok(mut members) = serde_json::from_str::<Map<String, Value>>(result.get()) else { return result };
    relate(&mut members, task);
    serde_json::value::to_raw_value(&members).unwrap_or(result)
}

fn relate(members: &mut Map<String, Value>, task: TaskId) {
    if let Value::Object(meta) = members.entry("_meta").or_insert_with(|| json!({})) {
        meta.insert(key::RELATED_TASK.to_owned(), json!({ "taskId": task }));
    }
}

/// How a tool failed that says in its result that it did.
pub(super) fn failure_in(result: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        is_error: bool,
        #[serde(default)]
        content: Vec<Value>,
    }
    let answer = serde_json::from_str::<Answer>(result.get()).ok().filter(|answer| answer.is_error)?;
    let text = answer.content.first().and_then(|content| content["text"].as_str());
    Some(text.unwrap_or("the tool failed and says nothing").to_owned())
}

#[cfg(test)]
mod tests {
    use super::{TaskId, read_question, related_message, related_result};
    use bytes::Bytes;
    use serde_json::{Value, json, value::RawValue};

    const ID: &str = "00ff00ff00ff00ff00ff00ff00ff00ff";

    fn id() -> TaskId {
        TaskId::read(ID).unwrap()
    }

    #[test]
    fn a_message_names_its_task_beside_what_its_meta_has() {
        for (message, meta) in [
            (json!({ "method": "m" }), json!({})),
            (json!({ "method": "m", "params": { "a": 1 } }), json!({})),
            (json!({ "method": "m", "params": { "_meta": { "b": 2 } } }), json!({ "b": 2 })),
        ] {
            let marked = related_message(&Bytes::from(message.to_string()), id());
            let marked: Value = serde_json::from_slice(&marked).unwrap();
            let mut expected = meta;
            expected["io.modelcontextprotocol/related-task"] = json!({ "taskId": ID });
            assert_eq!(marked["params"]["_meta"], expected);
            assert_eq!(marked["params"]["a"], message["params"]["a"]);
        }
    }

    #[test]
    fn a_result_that_is_no_object_stays() {
        let result = RawValue::from_string("7".to_owned()).unwrap();
        assert_eq!(related_result(result, id()).get(), "7");
    }

    #[test]
    fn a_question_is_its_method_and_its_parameters() {
        let question = br#"{"jsonrpc":"2.0","id":3,"method":"elicitation/create","params":{"message":"?"}}"#;
        let question = read_question(question).unwrap();
        assert_eq!(question.id, freehold::RequestId::Number(3));
        let request: Value = serde_json::from_str(question.request.get()).unwrap();
        assert_eq!(request, json!({ "method": "elicitation/create", "params": { "message": "?" } }));
        assert!(read_question(br#"{"jsonrpc":"2.0","method":"m"}"#).is_none(), "a notification is none");
    }
}
