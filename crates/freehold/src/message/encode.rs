use super::{ErrorObject, RequestId, Response};
use serde::Serialize;
use serde_json::value::RawValue;

/// Room for the envelope around a payload.
const ENVELOPE_BYTES: usize = 64;

/// Appends `string` as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, string: &str) {
    // A str always serializes, and writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, string);
}

fn write_error(out: &mut Vec<u8>, error: &ErrorObject) {
    let _ = serde_json::to_writer(out, error);
}

pub(super) fn encode_response(response: &Response<'_>) -> Vec<u8> {
    let payload = response.result.as_ref().map_or(ENVELOPE_BYTES, |raw| raw.get().len());
    let mut out = Vec::with_capacity(payload + ENVELOPE_BYTES);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    match &response.id {
        Some(id) => id.write_json(&mut out),
        None => out.extend_from_slice(b"null"),
    }
    match &response.result {
        Ok(raw) => {
            out.extend_from_slice(br#","result":"#);
            out.extend_from_slice(raw.get().as_bytes());
        }
        Err(error) => {
            out.extend_from_slice(br#","error":"#);
            write_error(&mut out, error);
        }
    }
    out.push(b'}');
    out
}

fn encode_call(id: Option<&RequestId>, method: &str, params: Option<&RawValue>) -> Vec<u8> {
    let payload = params.map_or(0, |raw| raw.get().len());
    let mut out = Vec::with_capacity(payload + method.len() + ENVELOPE_BYTES);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","#);
    if let Some(id) = id {
        out.extend_from_slice(br#""id":"#);
        id.write_json(&mut out);
        out.push(b',');
    }
    out.extend_from_slice(br#""method":"#);
    write_string(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.get().as_bytes());
    }
    out.push(b'}');
    out
}

/// A request of ours as JSON bytes, without a line end.
#[must_use]
pub fn encode_request(id: &RequestId, method: &str, params: Option<&RawValue>) -> Vec<u8> {
    encode_call(Some(id), method, params)
}

/// A notification as JSON bytes, without a line end.
///
/// # Errors
///
/// If `params` cannot be written as JSON.
pub fn encode_notification(method: &str, params: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    Ok(encode_call(None, method, Some(&*serde_json::value::to_raw_value(params)?)))
}

/// Encoded answers as one batch; `None` if there are none, since an empty batch must not be sent.
#[must_use]
pub fn encode_batch(answers: &[Vec<u8>]) -> Option<Vec<u8>> {
    if answers.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    for (index, answer) in answers.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.extend_from_slice(answer);
    }
    out.push(b']');
    Some(out)
}
