//! Clients in the same process: a pipe in memory instead of standard input and output.

use crate::server::McpServer;
use freehold::State;
use tokio::io::{DuplexStream, duplex};

/// Bytes that may be under way in each direction before the one who writes waits: as a pipe of the system's.
const PIPE_BYTES: usize = 64 << 10;

impl<S: State> McpServer<S> {
    /// Connects a client in this process, for tests and for programs that are both: one session, one message a line, exactly
    /// as [`serve_stdio`](Self::serve_stdio). Any client that speaks over a pair of streams can have the end that is returned.
    ///
    /// The server's end is served by a task of the engine's runtime; when the client's end is dropped, it ends as
    /// [`serve_io`](Self::serve_io) does. Why it ended early, if it did, goes to the log.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, with the default runtime of the engine.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{McpServer, tool};
    /// use rmcp::{ServiceExt, model::CallToolRequestParams};
    ///
    /// /// Says hello.
    /// #[tool(read_only)]
    /// async fn hello(name: String) -> String {
    ///     format!("Hello, {name}!")
    /// }
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let server = McpServer::builder("greeter", "1.0.0").tool(hello::tool()).build()?;
    ///     let client = ().serve(server.connect_in_memory()).await?;
    ///     let arguments = serde_json::json!({ "name": "Ada" }).as_object().cloned().unwrap_or_default();
    ///     let result = client.call_tool(CallToolRequestParams::new("hello").with_arguments(arguments)).await?;
    ///     assert_eq!(result.content[0].as_text().unwrap().text, "Hello, Ada!");
    ///     client.cancel().await?;
    ///     Ok(())
    /// }
    /// ```
    #[must_use = "the session ends when the client's end is dropped"]
    pub fn connect_in_memory(&self) -> DuplexStream {
        let (client, server) = duplex(PIPE_BYTES);
        let (input, output) = tokio::io::split(server);
        let served = self.clone();
        let serve = async move {
            if let Err(error) = served.serve_io(input, output).await {
                tracing::warn!(%error, "a client in memory was not served to its end");
            }
        };
        self.engine().runtime().spawn("client in memory", Box::pin(serve));
        client
    }
}
