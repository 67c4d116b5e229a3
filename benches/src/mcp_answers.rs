//! Reading answers, and telling right ones from wrong ones.

use std::borrow::Cow;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::event_stream::Events;
use crate::http_client::{ContentKind, Response};
use crate::mcp_requests::Era;

#[derive(Deserialize)]
struct Message<'a, R> {
    id: Option<u64>,
    method: Option<IgnoredAny>,
    result: Option<R>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Text<'a>>,
    #[serde(borrow)]
    result_type: Option<Cow<'a, str>>,
    #[serde(default)]
    is_error: bool,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Checks that this answers the call with this id, and that the tool did not fail; with `text`, that this is the one
/// text answered.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_call(response: &Response<'_>, era: Era, id: u64, text: Option<&str>) -> Result<()> {
    with_answer(response, id, |answer| {
        let result: CallResult<'_> = result_of(answer, id)?;
        if era == Era::Stateless {
            ensure!(result.result_type.as_deref() == Some("complete"), "the result's type is not complete");
        }
        check_content(&result, text)
    })
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    params: Token,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    progress_token: u64,
}

/// Checks that this is an event stream that begins with progress of the call with this id.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_progress(response: &Response<'_>, id: u64) -> Result<()> {
    ensure!(response.content == ContentKind::EventStream, "the answer is no event stream");
    let first = Events::of(response.body).next().context("an event stream without events")?;
    let progress: Progress<'_> = serde_json::from_slice(&first)
        .with_context(|| format!("no progress: {}", String::from_utf8_lossy(&first)))?;
    ensure!(progress.method == "notifications/progress", "{} instead of progress", progress.method);
    let token = progress.params.progress_token;
    ensure!(token == id, "progress of call {token} instead of {id}");
    Ok(())
}

/// Checks that this answers the request with this id with any result.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_result(response: &Response<'_>, id: u64) -> Result<()> {
    with_answer(response, id, |answer| result_of(answer, id).map(|_: IgnoredAny| ()))
}

fn check_content(result: &CallResult<'_>, text: Option<&str>) -> Result<()> {
    let [content] = &*result.content else {
        bail!("{} contents instead of one", result.content.len());
    };
    ensure!(!result.is_error, "the tool failed: {}", content.text);
    match text {
        Some(text) if content.text != text => bail!("answered {:?} instead of {text:?}", content.text),
        _ => Ok(()),
    }
}

fn with_answer(response: &Response<'_>, id: u64, check: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
    let status = response.status;
    ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(response.body));
    match response.content {
        ContentKind::Json => check(response.body),
        ContentKind::EventStream => {
            let answer = Events::of(response.body)
                .find(|data| is_answer(data))
                .with_context(|| format!("the stream ended without an answer to request {id}"))?;
            check(&answer)
        }
        ContentKind::Other => bail!("the answer is neither JSON nor an event stream"),
    }
}

fn is_answer(data: &[u8]) -> bool {
    serde_json::from_slice::<Message<'_, IgnoredAny>>(data)
        .is_ok_and(|message| message.method.is_none() && message.id.is_some())
}

fn result_of<'a, R: Deserialize<'a>>(answer: &'a [u8], id: u64) -> Result<R> {
    let message: Message<'a, R> = serde_json::from_slice(answer)
        .with_context(|| format!("not an answer: {}", String::from_utf8_lossy(answer)))?;
    if let Some(error) = message.error {
        bail!("request {id} was answered with the error {error}");
    }
    ensure!(message.id == Some(id), "request {id} was answered as {:?}", message.id);
    message.result.context("an answer without a result")
}

#[cfg(test)]
mod tests {
    use super::{check_call, check_progress};
    use crate::http_client::{ContentKind, Response};
    use crate::mcp_requests::Era;

    const RIGHT: &str = r#"{"jsonrpc":"2.0","id":4,"result":{"content":[{"type":"text","text":"t"}]}}"#;

    fn verdict(status: u16, content: ContentKind, body: &str, era: Era) -> bool {
        let response = Response { status, content, session: None, body: body.as_bytes() };
        check_call(&response, era, 4, Some("t")).is_ok()
    }

    #[test]
    fn json_answers() {
        let rows = [
            (200, Era::Session, RIGHT.to_owned(), true),
            (500, Era::Session, RIGHT.to_owned(), false),
            (200, Era::Stateless, RIGHT.to_owned(), false),
            (200, Era::Stateless, RIGHT.replace("}]}}", r#"}],"resultType":"complete"}}"#), true),
            (200, Era::Session, RIGHT.replace(r#""id":4"#, r#""id":5"#), false),
            (200, Era::Session, RIGHT.replace(r#""t""#, r#""u""#), false),
            (200, Era::Session, RIGHT.replace("}]}}", r#"}],"isError":true}}"#), false),
            (
                200,
                Era::Session,
                r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32603,"message":"m"}}"#.to_owned(),
                false,
            ),
            (200, Era::Session, RIGHT[..20].to_owned(), false),
        ];
        for (status, era, body, expected) in rows {
            assert_eq!(verdict(status, ContentKind::Json, &body, era), expected, "{status} {era} {body}");
        }
        assert!(!verdict(200, ContentKind::Other, RIGHT, Era::Session));
    }

    #[test]
    fn progress_comes_first() {
        let progress = |token: u64| {
            format!(
                r#"data: {{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
            )
        };
        let rows = [
            (ContentKind::EventStream, format!("{}\n\ndata: {RIGHT}\n\n", progress(4)), true),
            (ContentKind::EventStream, format!("{}\n\ndata: {RIGHT}\n\n", progress(5)), false),
            (ContentKind::EventStream, format!("data: {RIGHT}\n\n{}\n\n", progress(4)), false),
            (ContentKind::EventStream, String::new(), false),
            (ContentKind::Json, RIGHT.to_owned(), false),
        ];
        for (content, body, expected) in rows {
            let response = Response { status: 200, content, session: None, body: body.as_bytes() };
            assert_eq!(check_progress(&response, 4).is_ok(), expected, "{body}");
        }
    }

    #[test]
    fn streamed_answers() {
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        let rows = [
            (format!("data: \nid: 0\n\ndata: {notification}\n\ndata: {RIGHT}\n\n"), true),
            (format!("data: {notification}\n\n"), false),
        ];
        for (body, expected) in rows {
            assert_eq!(verdict(200, ContentKind::EventStream, &body, Era::Session), expected, "{body}");
        }
    }
}
