//! One answer: a result, or a typed error that the client can act on.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::tally::Outcome;
use crate::event_stream::Events;
use crate::http_client::{ContentKind, Response};

const SESSION_NOT_FOUND: i64 = -31001;
const OVERLOADED: i64 = -31002;
const DEADLINE_EXCEEDED: i64 = -31003;
const RATE_LIMITED: i64 = -31011;
const CANCELLED: i64 = -32800;

#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    method: Option<IgnoredAny>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: i64,
    message: String,
    #[serde(default)]
    data: ErrorData,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorData {
    retry_after_ms: Option<u64>,
}

/// What became of request `id`; `check` looks at what should be its result.
///
/// # Errors
///
/// What is wrong with the answer.
pub fn outcome(
    response: &Response<'_>,
    id: u64,
    check: impl FnOnce(&Response<'_>) -> Result<()>,
) -> Result<Outcome> {
    let message = match (response.content, response.status) {
        (ContentKind::Json, _) => Some(message(response.body)?),
        (ContentKind::EventStream, 200) => only_answer(response.body)?,
        // A connection too many, which the server does not read.
        (ContentKind::Other, 503) if response.body.is_empty() => return Ok(Outcome::Overloaded),
        (_, status) => bail!("status {status}: {}", String::from_utf8_lossy(response.body)),
    };
    let Some(message) = message else { return Ok(Outcome::Ended) };
    ensure!(message.id == Some(id), "request {id} was answered as {:?}", message.id);
    match message.error {
        Some(error) => error_outcome(response.status, &error),
        None => check(response).map(|()| Outcome::Result),
    }
}

fn error_outcome(status: u16, error: &ErrorBody) -> Result<Outcome> {
    let ErrorBody { code, message, data } = error;
    match (*code, status) {
        (OVERLOADED, 200 | 503) | (RATE_LIMITED, 200 | 429) => {
            ensure!(data.retry_after_ms.is_some(), "refused without a hint when to come back: {message}");
            Ok(Outcome::Overloaded)
        }
        (DEADLINE_EXCEEDED, 200) => Ok(Outcome::DeadlineExceeded),
        (CANCELLED, 200) => Ok(Outcome::Cancelled),
        (SESSION_NOT_FOUND, 404) => Ok(Outcome::SessionGone),
        _ => bail!("status {status}, error {code}: {message}"),
    }
}

fn message(bytes: &[u8]) -> Result<Message> {
    serde_json::from_slice(bytes)
        .with_context(|| format!("not a message: {}", String::from_utf8_lossy(bytes)))
}

/// The answer in a stream that has ended. One that has two is wrong.
fn only_answer(body: &[u8]) -> Result<Option<Message>> {
    let mut answer = None;
    for data in Events::of(body) {
        let message = message(&data)?;
        if message.method.is_none() {
            ensure!(answer.is_none(), "a stream with two answers");
            answer = Some(message);
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::outcome;
    use crate::http_client::{ContentKind, Response};
    use crate::soak::tally::Outcome;

    const RESULT: &str = r#"{"jsonrpc":"2.0","id":4,"result":{}}"#;

    fn read(status: u16, content: ContentKind, body: &str) -> Option<Outcome> {
        let response = Response { status, content, session: None, body: body.as_bytes() };
        outcome(&response, 4, |_| Ok(())).ok()
    }

    fn error(id: u64, code: i64, data: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"m"{data}}}}}"#)
    }

    #[test]
    fn json_answers() {
        let hint = r#","data":{"retryAfterMs":500}"#;
        let rows = [
            (200, RESULT.to_owned(), Some(Outcome::Result)),
            (200, RESULT.replace('4', "5"), None),
            (200, error(4, -31002, hint), Some(Outcome::Overloaded)),
            (503, error(4, -31002, hint), Some(Outcome::Overloaded)),
            (200, error(5, -31002, hint), None),
            (200, error(4, -31002, ""), None),
            (429, error(4, -31011, hint), Some(Outcome::Overloaded)),
            (200, error(4, -31003, ""), Some(Outcome::DeadlineExceeded)),
            (200, error(4, -32800, ""), Some(Outcome::Cancelled)),
            (404, error(4, -31001, ""), Some(Outcome::SessionGone)),
            (200, error(4, -32603, ""), None),
            (500, error(4, -31002, hint), None),
            (200, RESULT[..9].to_owned(), None),
        ];
        for (status, body, expected) in rows {
            assert_eq!(read(status, ContentKind::Json, &body), expected, "{status} {body}");
        }
        assert_eq!(read(503, ContentKind::Other, ""), Some(Outcome::Overloaded));
        assert_eq!(read(500, ContentKind::Other, ""), None);
    }

    #[test]
    fn streams() {
        let progress = r#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        let rows = [
            (format!("{progress}\n\ndata: {RESULT}\n\n"), Some(Outcome::Result)),
            (format!("{progress}\n\n"), Some(Outcome::Ended)),
            (": keep-alive\n\n".to_owned(), Some(Outcome::Ended)),
            (format!("data: {RESULT}\n\ndata: {RESULT}\n\n"), None),
        ];
        for (body, expected) in rows {
            assert_eq!(read(200, ContentKind::EventStream, &body), expected, "{body}");
        }
    }
}
