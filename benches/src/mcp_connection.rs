//! One connection that speaks MCP and checks every answer.

use anyhow::{Context, Result, ensure};

use crate::http_client::HttpConnection;
use crate::mcp_answers::{check_call, check_progress, check_result};
use crate::mcp_requests::{Era, RequestWriter, ToolCall};

/// Request ids of different connections never meet, since they may share a session.
const IDS_PER_CONNECTION: u64 = 1 << 32;

/// Of the message of progress: about as long as the text of an echo.
const PROGRESS_BYTES: usize = 32;

/// A keep-alive connection to the server under test, one request at a time.
#[derive(Debug)]
pub struct McpConnection {
    http: HttpConnection,
    writer: RequestWriter,
    era: Era,
    next_id: u64,
}

impl McpConnection {
    /// Connects to the server at `port`; `number` tells this connection from the others of the same run.
    ///
    /// # Errors
    ///
    /// When nothing listens there.
    pub async fn connect(port: u16, era: Era, number: u32) -> Result<Self> {
        Ok(Self {
            http: HttpConnection::connect(port).await?,
            writer: RequestWriter::new(era, port),
            era,
            next_id: u64::from(number) * IDS_PER_CONNECTION + 1,
        })
    }

    /// `initialize` and `initialized`; from now on this connection speaks for the new session, whose id is returned.
    ///
    /// # Errors
    ///
    /// When the server does not open a session.
    pub async fn open_session(&mut self) -> Result<String> {
        let session = self.initialize().await?.context("initialize was answered without a session id")?;
        self.writer.set_session(session.clone());
        let status = self.initialized().await?;
        ensure!(status == 202, "initialized was answered with status {status}");
        Ok(session)
    }

    /// The same with a server that gives no session id: it tells its clients apart by something else, or not at all. How it
    /// answers `initialized` is its own business, as long as it does.
    ///
    /// # Errors
    ///
    /// When the server does not answer as it should.
    pub async fn open_without_id(&mut self) -> Result<()> {
        self.initialize().await?;
        let status = self.initialized().await?;
        ensure!((200..300).contains(&status), "initialized was answered with status {status}");
        Ok(())
    }

    /// The session id, if there is one in the answer.
    async fn initialize(&mut self) -> Result<Option<String>> {
        let id = self.take_id();
        self.http.send(self.writer.initialize(id)).await?;
        let response = self.http.receive().await?;
        check_result(&response, id).context("initialize")?;
        Ok(response.session)
    }

    async fn initialized(&mut self) -> Result<u16> {
        self.http.send(self.writer.initialized()).await?;
        Ok(self.http.receive().await?.status)
    }

    /// From now on this connection speaks for an existing session.
    pub fn join_session(&mut self, session: String) {
        self.writer.set_session(session);
    }

    /// Ends the session, if there is one. Servers may refuse; only a missing answer is an error.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn end_session(&mut self) -> Result<()> {
        if self.writer.session().is_some() {
            self.http.send(self.writer.end_session()).await?;
            self.http.receive().await?;
        }
        Ok(())
    }

    /// Calls `echo` and checks that the text comes back.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer, or with the connection.
    pub async fn echo(&mut self, text: &str) -> Result<()> {
        self.call(ToolCall::Echo(text), Some(text)).await
    }

    /// Calls `slow` and waits for its answer.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer, or with the connection.
    pub async fn slow(&mut self, milliseconds: u64) -> Result<()> {
        self.call(ToolCall::Slow(milliseconds), None).await
    }

    /// Calls `flood` for one notification of progress, and checks that it comes before the answer, in an event stream.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer, or with the connection.
    pub async fn progress(&mut self) -> Result<()> {
        let id = self.take_id();
        self.http.send(self.writer.tool_call(id, ToolCall::Flood { n: 1, bytes: PROGRESS_BYTES })).await?;
        let response = self.http.receive().await?;
        check_progress(&response, id)?;
        check_call(&response, self.era, id, Some("1 notifications"))
    }

    /// Calls `flood` and reads nothing. Returns the id of the request, and the connection, on which only raw bytes are
    /// left to read.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn start_flood(mut self, n: u32, bytes: usize) -> Result<(u64, HttpConnection)> {
        let id = self.take_id();
        self.http.send(self.writer.tool_call(id, ToolCall::Flood { n, bytes })).await?;
        Ok((id, self.http))
    }

    async fn call(&mut self, call: ToolCall<'_>, text: Option<&str>) -> Result<()> {
        let id = self.take_id();
        self.http.send(self.writer.tool_call(id, call)).await?;
        let response = self.http.receive().await?;
        check_call(&response, self.era, id, text)
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
