//! One request by each way that a client may take: over HTTP and on a pipe, in a session and without one.

use crate::{
    pipe::Pipe,
    wire::{Request, STATELESS, open_session, serve},
};
use freehold_mcp::{HttpOptions, McpServer};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Http,
    HttpStateless,
    Pipe,
    PipeStateless,
}

pub(crate) const WAYS: [Way; 4] = [Way::Http, Way::HttpStateless, Way::Pipe, Way::PipeStateless];

impl Way {
    pub(crate) fn is_stateless(self) -> bool {
        matches!(self, Self::HttpStateless | Self::PipeStateless)
    }
}

/// A client by all of them.
pub(crate) struct Clients {
    address: SocketAddr,
    pub(crate) session: String,
    pub(crate) pipe: Pipe,
    id: u32,
}

impl Clients {
    pub(crate) async fn of(server: &McpServer) -> Self {
        let address = serve(server, HttpOptions::default()).await;
        let session = open_session(address).await;
        let mut pipe = Pipe::new(server.clone());
        pipe.initialize().await;
        Self { address, session, pipe, id: 0 }
    }

    /// The answer to a request.
    pub(crate) async fn ask(&mut self, way: Way, method: &str, params: Value) -> Value {
        self.id += 1;
        let message = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        let answer = match way {
            Way::Http => {
                let request = Request::post(&message).in_session(&self.session);
                request.exchange(self.address).await.json()
            }
            Way::HttpStateless => {
                Request::stateless(self.id, method, params).exchange(self.address).await.json()
            }
            Way::Pipe => self.pipe.ask(&message).await,
            Way::PipeStateless => self.pipe.ask(&stateless(message, json!({}))).await,
        };
        assert_eq!(answer["id"], self.id, "{way:?} {method}");
        answer
    }

    /// The result of a request.
    pub(crate) async fn result(&mut self, way: Way, method: &str, params: Value) -> Value {
        let answer = self.ask(way, method, params).await;
        assert!(answer["result"].is_object(), "{way:?} {method}: {answer}");
        answer["result"].clone()
    }

    /// The error of a request.
    pub(crate) async fn error(&mut self, way: Way, method: &str, params: Value) -> Value {
        let answer = self.ask(way, method, params).await;
        assert!(answer["error"].is_object(), "{way:?} {method}: {answer}");
        answer["error"].clone()
    }
}

/// The message with the envelope of the stateless revision, of a client with these capabilities.
pub(crate) fn stateless(mut message: Value, capabilities: Value) -> Value {
    let meta = &mut message["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!(STATELESS);
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    message
}
