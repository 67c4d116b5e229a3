#![expect(deprecated, reason = "clients may still ask for log messages")]

use super::Inbox;
use crate::{background, convert::error_data, lock_order};
use arc_swap::ArcSwapOption;
use freehold_mcp::freehold::{Context, ErrorObject, QuestionError, Session};
use freehold_sync::ScopedMutex;
use futures_util::future::{AbortHandle, Abortable};
use rmcp::model::{
    ClientCapabilities, ClientResult, JsonRpcMessage, LoggingLevel, NumberOrString, ProgressToken,
    ServerNotification, ServerRequest,
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use std::{future::Future, sync::Arc};

/// What a peer sent did not reach the client, or was not answered. A handler finds it in
/// [`ServiceError::TransportSend`](rmcp::ServiceError::TransportSend).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskFailed {
    /// The request that it belongs to is stateless, and over or not to be asked back.
    #[error("a stateless request cannot be asked back; return an InputRequiredResult instead")]
    Stateless,
    /// The client did not declare that it can do this, so it must not be asked.
    #[error("the client did not declare the capability {0:?}")]
    NotCapable(&'static str),
    /// It was asked, without success.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// It was asked on behalf of no request, without success.
    #[error("the client could not be asked: {0}")]
    Background(ErrorObject),
    /// The message has no JSON form, or the answer does not fit what was asked.
    #[error("the message or its answer does not fit: {0}")]
    Unfit(#[from] serde_json::Error),
    /// The peer's request or session has ended, or the handler took the request back.
    #[error("nobody waits for this any more")]
    Ended,
}

/// How the request that a peer serves speaks.
pub(crate) enum Era {
    Session,
    Stateless {
        /// The least level of log messages that it wants; none if it wants none.
        log_level: Option<LoggingLevel>,
        /// It is `subscriptions/listen`.
        listens: bool,
    },
}

/// A request, or a notification, that a peer serves.
pub(crate) struct Serving {
    pub(crate) context: Arc<Context<()>>,
    pub(crate) era: Era,
}

/// Where what a peer sends goes.
pub(crate) struct Seat {
    serving: ArcSwapOption<Serving>,
    /// The session, and the peer's number in it.
    session: Option<(Session<()>, u64)>,
    /// What the client declared.
    capabilities: ClientCapabilities,
    inbox: Inbox,
    asked: ScopedMutex<Vec<(NumberOrString, AbortHandle)>, lock_order::OpenQuestions>,
}

/// Which stream a notification belongs to.
enum Belongs {
    /// That of the request.
    Request,
    /// That of the session: it is about the server.
    Session,
}

fn belongs(notification: &ServerNotification) -> Belongs {
    match notification {
        ServerNotification::ResourceUpdatedNotification(_)
        | ServerNotification::ResourceListChangedNotification(_)
        | ServerNotification::ToolListChangedNotification(_)
        | ServerNotification::PromptListChangedNotification(_)
        | ServerNotification::TaskStatusNotification(_) => Belongs::Session,
        _ => Belongs::Request,
    }
}

/// A message as the engine sends it.
fn parts(message: &impl Serialize) -> Result<(String, Value), AskFailed> {
    let mut message = serde_json::to_value(message)?;
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    let params = match message.get_mut("params").map(Value::take) {
        None | Some(Value::Null) => json!({}),
        Some(params) => params,
    };
    Ok((method, params))
}

impl Serving {
    /// Whether a stateless request may carry this: nothing that its client did not ask for.
    fn takes(&self, notification: &ServerNotification) -> bool {
        let Era::Stateless { log_level, listens } = &self.era else { return true };
        match (notification, belongs(notification)) {
            (ServerNotification::LoggingMessageNotification(message), _) => {
                log_level.as_ref().is_some_and(|least| message.params.level as u8 >= *least as u8)
            }
            (_, Belongs::Session) => *listens,
            (_, Belongs::Request) => true,
        }
    }

    fn tell(&self, notification: &ServerNotification) -> Result<(), AskFailed> {
        if !self.takes(notification) {
            tracing::debug!(?notification, "the client did not ask for this notification");
            return Ok(());
        }
        if let ServerNotification::ProgressNotification(_) = notification {
            self.context.made_progress();
        }
        let (method, params) = parts(notification)?;
        Ok(self.context.notify(&method, &params)?)
    }
}

impl Seat {
    pub(super) fn new(
        session: Option<(Session<()>, u64)>,
        capabilities: ClientCapabilities,
        inbox: Inbox,
    ) -> Self {
        let (serving, asked) = (ArcSwapOption::empty(), ScopedMutex::default());
        Self { serving, session, capabilities, inbox, asked }
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.session.as_ref().map(|(_, number)| *number)
    }

    pub(super) fn serve(&self, serving: Option<Arc<Serving>>) {
        self.serving.store(serving);
    }

    /// Sends a notification. Never waits.
    pub(super) fn tell(&self, notification: ServerNotification) -> Result<(), AskFailed> {
        if let ServerNotification::CancelledNotification(cancelled) = &notification {
            if let Some(id) = &cancelled.params.request_id {
                self.take_back(id);
            }
            return Ok(());
        }
        let serving = self.serving.load_full();
        let of_session = matches!(belongs(&notification), Belongs::Session);
        match (serving, &self.session) {
            (Some(serving), None) => serving.tell(&notification),
            (Some(serving), Some(_)) if !of_session => serving.tell(&notification),
            (_, Some((session, _))) => {
                let (method, params) = parts(&notification)?;
                Ok(session.notify(&method, &params)?)
            }
            (None, None) => Err(AskFailed::Ended),
        }
    }

    /// The handler no longer waits for an answer.
    fn take_back(&self, id: &NumberOrString) {
        let asked = self.asked.with(|asked| {
            let at = asked.iter().position(|(asked, _)| asked == id)?;
            Some(asked.swap_remove(at))
        });
        if let Some((_, abort)) = asked {
            abort.abort();
        }
    }

    /// Asks the client, and hands its answer to the loop.
    pub(super) fn ask(
        self: Arc<Self>,
        id: NumberOrString,
        request: ServerRequest,
    ) -> impl Future<Output = Result<(), AskFailed>> + Send + 'static {
        // Now, not when it is polled first: the peer may serve another request then.
        let serving = self.serving.load_full();
        let (abort, registration) = AbortHandle::new_pair();
        let asked = id.clone();
        self.asked.with(|open| open.push((asked, abort)));
        let seat = self.clone();
        let open = Open { seat: self, id };
        async move {
            let answered = seat.answer_of(serving, &open.id, &request);
            Abortable::new(answered, registration).await.unwrap_or(Err(AskFailed::Ended))
        }
    }

    async fn answer_of(
        &self,
        serving: Option<Arc<Serving>>,
        id: &NumberOrString,
        request: &ServerRequest,
    ) -> Result<(), AskFailed> {
        let (method, params) = self.question(serving.as_deref(), request)?;
        let answer = match (&serving, &self.session) {
            (Some(serving), ..) => serving.context.ask::<Box<RawValue>>(&method, &params).await,
            (None, Some((session, _))) => {
                Ok(background::ask(session, method, params).await.map_err(AskFailed::Background)?)
            }
            _ => return Err(AskFailed::Ended),
        };
        let message = match answer {
            Ok(answer) => {
                JsonRpcMessage::response(serde_json::from_str::<ClientResult>(answer.get())?, id.clone())
            }
            Err(QuestionError::Refused(error)) => JsonRpcMessage::error(error_data(&error), Some(id.clone())),
            Err(error) => return Err(error.into()),
        };
        self.inbox.send(message).await.map_err(|_| AskFailed::Ended)
    }

    /// The question, if its client may be asked it.
    fn question(
        &self,
        serving: Option<&Serving>,
        request: &ServerRequest,
    ) -> Result<(String, Value), AskFailed> {
        if serving.is_some_and(|serving| matches!(serving.era, Era::Stateless { .. })) {
            return Err(AskFailed::Stateless);
        }
        check_capability(&self.capabilities, request)?;
        let (method, mut params) = parts(request)?;
        if let (Some(number), Some(token)) = (self.number(), params.pointer_mut("/_meta/progressToken")) {
            // Each peer counts its tokens from the beginning; the client sees those of all peers.
            *token = json!(format!("{number}/{token}"));
        }
        Ok((method, params))
    }
}

/// The peer that gave a token, and the token as it knows it.
pub(crate) fn giver_of(token: &ProgressToken) -> Option<(u64, ProgressToken)> {
    let NumberOrString::String(token) = &token.0 else { return None };
    let (number, token) = token.split_once('/')?;
    let token = token.parse::<i64>().ok()?;
    Some((number.parse().ok()?, ProgressToken(NumberOrString::Number(token))))
}

fn check_capability(declared: &ClientCapabilities, request: &ServerRequest) -> Result<(), AskFailed> {
    let (name, declared) = match request {
        ServerRequest::CreateMessageRequest(_) => ("sampling", declared.sampling.is_some()),
        ServerRequest::ElicitRequest(_) => ("elicitation", declared.elicitation.is_some()),
        ServerRequest::ListRootsRequest(_) => ("roots", declared.roots.is_some()),
        _ => return Ok(()),
    };
    if declared { Ok(()) } else { Err(AskFailed::NotCapable(name)) }
}

/// A question that a loop waits for, or stopped waiting for.
struct Open {
    seat: Arc<Seat>,
    id: NumberOrString,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.seat.take_back(&self.id);
    }
}
