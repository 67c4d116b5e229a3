use super::seat::{AskFailed, Seat};
use futures_util::future::{Either, ready};
use rmcp::{
    RoleServer, Service,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, JsonRpcMessage, ServerConfig,
        ServerJsonRpcMessage, ServerResult,
    },
    service::{NotificationContext, RequestContext},
    transport::Transport,
};
use std::{future::Future, sync::Arc};
use tokio::sync::mpsc;

/// What rmcp's loop takes for its transport.
pub(crate) struct Line {
    seat: Arc<Seat>,
    messages: mpsc::Receiver<ClientJsonRpcMessage>,
}

impl Line {
    pub(super) fn new(seat: Arc<Seat>, messages: mpsc::Receiver<ClientJsonRpcMessage>) -> Self {
        Self { seat, messages }
    }
}

impl Transport<RoleServer> for Line {
    type Error = AskFailed;

    /// A notification is sent when this returns. A request is answered, or failed, when its future is ready, which rmcp
    /// awaits in a task of its own.
    fn send(
        &mut self,
        item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        match item {
            JsonRpcMessage::Notification(message) => {
                Either::Left(ready(self.seat.tell(message.notification)))
            }
            JsonRpcMessage::Request(message) => {
                Either::Right(self.seat.clone().ask(message.id, message.request))
            }
            // The loop gets no requests, so it answers none.
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => Either::Left(ready(Ok(()))),
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        self.messages.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Travels with a notification through rmcp's loop, which makes the context that handlers get and that nobody else can
/// make; takes both out again, so that the handler runs in a call of the engine.
#[derive(Clone)]
pub(crate) struct Return(mpsc::Sender<Returned>);

/// A notification as a handler gets it.
pub(crate) type Returned = (ClientNotification, NotificationContext<RoleServer>);

impl Return {
    /// A way back, and where it ends.
    pub(crate) fn way() -> (Self, mpsc::Receiver<Returned>) {
        let (way, end) = mpsc::channel(1);
        (Self(way), end)
    }
}

/// What rmcp's loop takes for the handler.
pub(crate) struct Handover;

impl Service<RoleServer> for Handover {
    async fn handle_request(
        &self,
        _request: ClientRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        Err(ErrorData::internal_error("requests do not come this way", None))
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        mut context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Some(Return(way)) = context.extensions.remove::<Return>() {
            // Nobody waits for it any more if its call has ended.
            let _ = way.try_send((notification, context));
        }
        Ok(())
    }

    fn get_info(&self) -> ServerConfig {
        ServerConfig::default()
    }
}
