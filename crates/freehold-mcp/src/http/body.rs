use super::{
    answer::{self, Refusal},
    options::HttpOptions,
};
use bytes::{Bytes, BytesMut};
use freehold::{Engine, State, runtime::until};
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use std::fmt;

/// Why a body could not be collected.
enum Incomplete {
    TooLarge,
    Broken(String),
}

/// The whole body, within its limits of size and time.
pub(super) async fn collect<B, S>(
    body: B,
    most: usize,
    options: &HttpOptions,
    engine: &Engine<S>,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
    S: State,
{
    let mut reading = std::pin::pin!(read(body, most));
    // Nearly always it is all there: then no timer is made.
    let at_once = std::future::poll_fn(|cx| std::task::Poll::Ready(reading.as_mut().poll(cx))).await;
    let read = match at_once {
        std::task::Poll::Ready(read) => Some(read),
        std::task::Poll::Pending => {
            let runtime = engine.runtime();
            until(&**runtime, runtime.now() + options.body_timeout, reading).await
        }
    };
    match read {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(Incomplete::TooLarge)) => {
            let message = format!("the body is larger than the limit of {most} bytes");
            Err(Refusal::from(answer::refuse(StatusCode::PAYLOAD_TOO_LARGE, None, message)))
        }
        Some(Err(Incomplete::Broken(reason))) => {
            let message = format!("the body did not arrive whole: {reason}");
            Err(Refusal::from(answer::refuse(StatusCode::BAD_REQUEST, None, message)))
        }
        None => {
            let message = format!("the body did not arrive within {:?}", options.body_timeout);
            Err(Refusal::from(answer::refuse(StatusCode::REQUEST_TIMEOUT, None, message)))
        }
    }
}

async fn read<B>(mut body: B, most: usize) -> Result<Bytes, Incomplete>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    if body.size_hint().lower() > most as u64 {
        return Err(Incomplete::TooLarge);
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| Incomplete::Broken(error.to_string()))?.into_data() else {
            continue;
        };
        let so_far = rest.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + data.len() > most {
            return Err(Incomplete::TooLarge);
        }
        match &mut rest {
            Some(rest) => rest.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let mut joined = BytesMut::from(first.as_ref());
                joined.extend_from_slice(&data);
                rest = Some(joined);
            }
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}
