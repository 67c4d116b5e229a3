use crate::oracle::Members;
use freehold::{
    Limits, Message, RequestId, Response,
    message::{Decoded, Malformed, decode as decode_unit, encode_notification, encode_request},
};
use serde_json::{Value, value::RawValue};
use std::sync::LazyLock;

static USUAL: LazyLock<Limits> = LazyLock::new(Limits::default);

/// So small that inputs reach every bound.
static TIGHT: LazyLock<Limits> = LazyLock::new(|| Limits {
    message_bytes: 200,
    batch_messages: 3,
    id_bytes: 8,
    method_bytes: 12,
    ..Limits::default()
});

/// For what was decoded once and is decoded again: an error without an `id` is written with one, and so longer.
static AGAIN: LazyLock<Limits> = LazyLock::new(|| Limits { message_bytes: usize::MAX, ..Limits::default() });

/// Any bytes, as one transport unit: a verdict without a panic, and one that keeps its promises.
///
/// # Panics
///
/// When one is broken.
pub fn decode(data: &[u8]) {
    check_unit(data, &USUAL);
    check_unit(data, &TIGHT);
}

fn check_unit(data: &[u8], limits: &Limits) {
    match decode_unit(data, limits) {
        Decoded::Single(verdict) if data.len() > limits.message_bytes => {
            check_answer(&verdict.expect_err("larger than the limit"));
        }
        Decoded::Single(verdict) => check_part(data, &verdict, limits),
        Decoded::Batch(verdicts) => check_batch(data, &verdicts, limits),
    }
}

fn check_batch(data: &[u8], verdicts: &[Result<Message<'_>, Malformed>], limits: &Limits) {
    let parts: Vec<&RawValue> = serde_json::from_slice(data).expect("a batch is an array");
    assert!((1..=limits.batch_messages).contains(&verdicts.len()));
    assert_eq!(parts.len(), verdicts.len());
    for (part, verdict) in parts.into_iter().zip(verdicts) {
        check_part(part.get().as_bytes(), verdict, limits);
        let refusal = Malformed::in_batch(verdict.clone());
        check_answer(&refusal);
        if let Ok(Message::Request(request)) = verdict {
            assert_eq!(refusal.id.as_ref(), Some(&request.id));
        }
    }
}

/// Checks the verdict on one message.
fn check_part(bytes: &[u8], verdict: &Result<Message<'_>, Malformed>, limits: &Limits) {
    match verdict {
        Ok(message) => {
            assert!(std::str::from_utf8(bytes).is_ok(), "JSON is UTF-8");
            check_message(message, bytes.len());
        }
        Err(malformed) => check_answer(malformed),
    }
    let Some(members) = Members::read(bytes) else { return };
    if let Some(id) = members.id(limits) {
        assert_eq!(id_of(verdict), Some(&id), "the id can be read");
    }
    if members.is_clearly_a_call(bytes, limits) {
        assert!(matches!(verdict, Ok(Message::Request(_) | Message::Notification(_))), "{verdict:?}");
    }
    let (method, params) = match verdict {
        Ok(Message::Request(request)) => (&request.method, &request.params),
        Ok(Message::Notification(notification)) => (&notification.method, &notification.params),
        _ => return,
    };
    assert_eq!(members.once("jsonrpc"), Some(&Value::from("2.0")));
    assert_eq!(members.once("method"), Some(&Value::from(&**method)));
    let params = params.as_deref().map(|raw| serde_json::from_str(raw.get()).expect("the whole was JSON"));
    // Those that are null are as if they were not there.
    assert_eq!(members.once("params").filter(|params| !params.is_null()), params.as_ref());
}

fn id_of<'a>(verdict: &'a Result<Message<'_>, Malformed>) -> Option<&'a RequestId> {
    match verdict {
        Ok(Message::Request(request)) => Some(&request.id),
        Ok(Message::Notification(_)) => None,
        Ok(Message::Response(response)) => response.id.as_ref(),
        Err(malformed) => malformed.id.as_ref(),
    }
}

/// What was decoded is encoded and decoded to the same.
fn check_message(message: &Message<'_>, length: usize) {
    let encoded = match message {
        Message::Request(request) => {
            let encoded = encode_request(&request.id, &request.method, request.params.as_deref());
            assert!(encoded.len() <= length, "only the shortest form is written");
            encoded
        }
        Message::Notification(notification) => {
            let Some(params) = notification.params.as_deref() else { return };
            encode_notification(&notification.method, &params).expect("raw JSON is JSON")
        }
        Message::Response(response) => response.encode(),
    };
    let again = decode_unit(&encoded, &AGAIN);
    let Decoded::Single(Ok(again)) = &again else { panic!("{message:?} came back as {again:?}") };
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

/// The answer to what is malformed is an error, with the id that could be read or `null`.
fn check_answer(malformed: &Malformed) {
    let encoded = malformed.response().encode();
    let answer: Value = serde_json::from_slice(&encoded).expect("an answer is JSON");
    let id = match &malformed.id {
        Some(RequestId::Number(number)) => Value::from(*number),
        Some(RequestId::String(text)) => Value::from(&**text),
        None => Value::Null,
    };
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer.get("id"), Some(&id));
    assert!(matches!(answer["error"]["code"].as_i64(), Some(-32700 | -32600 | -32602)), "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    // Nobody answers an answer: it must be read as one.
    let again = decode_unit(&encoded, &AGAIN);
    let Decoded::Single(Ok(Message::Response(Response { id, result: Err(_) }))) = again else {
        panic!("an error answer came back as {again:?}")
    };
    assert_eq!(id, malformed.id);
}
