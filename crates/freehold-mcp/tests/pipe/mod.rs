//! A server on a pair of pipes, line by line.

use crate::stage::within;
use bytes::BytesMut;
use freehold_mcp::{
    McpServer, StdioError,
    freehold::runtime::{Runtime, TokioRuntime},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
};

/// The client's end of a server's standard streams.
pub(crate) struct Pipe {
    pub(crate) input: Option<DuplexStream>,
    pub(crate) output: DuplexStream,
    read: BytesMut,
    pub(crate) ended: oneshot::Receiver<Result<(), StdioError>>,
}

impl Pipe {
    pub(crate) fn new(server: McpServer) -> Self {
        // Small, so that lines come in pieces and the server must wait for its reader.
        let (input, server_input) = duplex(256);
        let (output, server_output) = duplex(256);
        let (end, ended) = oneshot::channel();
        let serving = async move {
            let _ = end.send(server.serve_io(server_input, server_output).await);
        };
        TokioRuntime.spawn("server", Box::pin(serving));
        Self { input: Some(input), output, read: BytesMut::new(), ended }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        within(input.write_all(bytes)).await.expect("the server reads");
    }

    pub(crate) async fn send_line(&mut self, message: &Value) {
        self.send(format!("{message}\n").as_bytes()).await;
    }

    /// The next line; `None` when the server closed its end.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            if within(self.output.read_buf(&mut self.read)).await.expect("the server writes") == 0 {
                assert!(self.read.is_empty(), "the output ended in the middle of a line");
                return None;
            }
        }
    }

    pub(crate) async fn ask(&mut self, message: &Value) -> Value {
        self.send_line(message).await;
        self.line().await.expect("there is an answer")
    }

    /// Ends the input, and waits for the server to end.
    pub(crate) async fn finish(mut self) {
        self.input = None;
        assert_eq!(self.line().await, None, "everything was read before");
        within(self.ended).await.expect("the server ends").expect("and not by a failure");
    }

    pub(crate) async fn initialize(&mut self) {
        self.initialize_as("2025-11-25").await;
    }

    pub(crate) async fn initialize_as(&mut self, version: &str) {
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": {} });
        let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let answer = self.ask(&message).await;
        assert_eq!(answer["result"]["protocolVersion"], version);
        self.send_line(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    }
}
