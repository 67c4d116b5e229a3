//! Questions of a peer that serves no request: from a task that goes on after its request was answered.
//!
//! The engine asks on behalf of a call, whose deadline stands still meanwhile and whose end ends the question. So such a
//! question is a call that the server begins for itself, and its messages go to the session's own stream.

use freehold_mcp::freehold::{Context, ErrorObject, HandlerResult, Response, ServerCall, Session, Step};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, sync::Arc};

/// The method of such calls. Its name is one of notifications, which transports take no requests for.
pub(crate) const ASK: &str = "notifications/rmcp/ask";

/// What is asked. Attached to the call, so that no client can make one.
struct Asked {
    method: String,
    params: Value,
}

/// Asks the client of `session` on its own stream.
pub(crate) async fn ask(
    session: &Session<()>,
    method: String,
    params: Value,
) -> Result<Box<RawValue>, ErrorObject> {
    let call = ServerCall::new(ASK, None).attach(Arc::new(Asked { method, params }));
    let mut running = session.engine().begin(session, call)?;
    loop {
        match running.next().await {
            Step::Frame(frame) => drop(session.forward(frame)),
            Step::CloseStream => {}
            Step::End(Some(Response { result, .. })) => return result.map(Cow::into_owned),
            Step::End(None) => return Err(ErrorObject::internal()),
        }
    }
}

/// The call that asks.
pub(crate) async fn asked(context: &Context<()>) -> HandlerResult {
    let Some(asked) = context.attachment::<Asked>() else { return Err(ErrorObject::method_not_found(ASK)) };
    Ok(context.ask(&asked.method, &asked.params).await?)
}
