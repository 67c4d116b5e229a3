//! Questions of a peer that serves no request: from a task that goes on after its request was answered.
//!
//! The engine asks on behalf of a call, whose deadline stands still meanwhile and whose end ends the question. So such a
//! question is a call of its own, by a method that only this process can call.

use freehold_mcp::freehold::{
    Context, ErrorObject, HandlerResult, Request, RequestId, Response, Session, read_params, runtime::Runtime,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::{
    borrow::Cow,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Its name is one of notifications, which transports take no requests for.
pub(crate) const ASK: &str = "notifications/rmcp/ask";

/// Asks on behalf of no request. A cheap handle.
#[derive(Clone)]
pub(crate) struct Asker {
    /// Who knows this is in this process.
    secret: Arc<str>,
    next: Arc<AtomicU64>,
}

#[derive(Serialize, Deserialize)]
struct Params<'a> {
    secret: Cow<'a, str>,
    method: Cow<'a, str>,
    params: Value,
}

impl Asker {
    pub(crate) fn new(runtime: &dyn Runtime) -> Self {
        let mut bytes = [0; 16];
        runtime.fill_random(&mut bytes);
        let mut secret = String::with_capacity(32);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(secret, "{byte:02x}");
        }
        Self { secret: secret.into(), next: Arc::default() }
    }

    /// Asks the client of `session` on its own stream.
    pub(crate) async fn ask(
        &self,
        session: &Session<()>,
        method: &str,
        params: Value,
    ) -> Result<Box<RawValue>, ErrorObject> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = RequestId::from(format!("{}-{number}", self.secret).as_str());
        let params = Params { secret: Cow::Borrowed(&self.secret), method: Cow::Borrowed(method), params };
        let request = Request::new(id, ASK, &params).map_err(|_| ErrorObject::internal())?;
        match session.engine().process(session, request.into()).await {
            Some(Response { result, .. }) => result.map(Cow::into_owned),
            None => Err(ErrorObject::internal()),
        }
    }

    /// The call that asks.
    pub(crate) async fn asked(&self, context: &Context<()>, params: Option<Box<RawValue>>) -> HandlerResult {
        let params: Params<'_> = read_params(params.as_deref())?;
        if params.secret != *self.secret {
            return Err(ErrorObject::method_not_found(ASK));
        }
        Ok(context.ask(&params.method, &params.params).await?)
    }
}
