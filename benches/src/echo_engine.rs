//! An engine with one typed method, the requests it is sent, and the same work done by serde_json alone.

use anyhow::{Context as _, Result, ensure};
use freehold::message::{Decoded, Message, decode};
use freehold::{BreakerOptions, Context, Engine, EngineBuilder, ErrorObject, Limits, MethodOptions, Session};
use freehold_admin::Telemetry;
use serde::{Deserialize, Serialize};

/// The parameters of a `tools/call`.
#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: Arguments,
}

#[derive(Deserialize)]
struct Arguments {
    text: String,
}

/// The result of a `tools/call`.
#[derive(Serialize)]
struct CallResult {
    content: [Content; 1],
    #[serde(rename = "isError")]
    is_error: bool,
}

#[derive(Serialize)]
struct Content {
    r#type: &'static str,
    text: String,
}

impl Call {
    fn run(self) -> Result<CallResult, ErrorObject> {
        if self.name != "echo" {
            return Err(ErrorObject::invalid_params(format!("no tool named {:?}", self.name)));
        }
        let content = [Content { r#type: "text", text: self.arguments.text }];
        Ok(CallResult { content, is_error: false })
    }
}

async fn call(_ctx: &Context<()>, params: Call) -> Result<CallResult, ErrorObject> {
    params.run()
}

/// One request as bytes, and what must come back.
#[derive(Debug)]
pub struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
    result: String,
}

/// `count` exchanges, each with an id and a text of its own, of the same length.
#[must_use]
pub fn exchanges(count: u32) -> Vec<Exchange> {
    (0..count).map(|number| Exchange::new(10_000_000 + number)).collect()
}

impl Exchange {
    fn new(id: u32) -> Self {
        let text = format!("the quick brown fox number {id}");
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
        );
        let result = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}"#);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        Self { request: request.into_bytes(), answer: answer.into_bytes(), result }
    }

    /// The request, decoded.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn message(&self) -> Result<Message<'_>> {
        match decode(&self.request, &Limits::default()) {
            Decoded::Single(Ok(message)) => Ok(message),
            other => anyhow::bail!("not a message: {other:?}"),
        }
    }

    fn check(&self, answer: &[u8]) -> Result<()> {
        ensure!(answer == self.answer, "a wrong answer: {}", answer.escape_ascii());
        Ok(())
    }
}

/// The engine and one session of it.
#[derive(Debug)]
pub struct EchoEngine {
    engine: Engine<()>,
    session: Session<()>,
}

impl EchoEngine {
    /// Builds the engine; inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// When there is no room for the session.
    pub fn new() -> Result<Self> {
        Self::of(Engine::builder(()).method("tools/call", call))
    }

    /// The same with everything on that recovers: a circuit breaker, and a method that may be run again.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recovering() -> Result<Self> {
        let options = MethodOptions::new().idempotent(true).breaker(BreakerOptions::new());
        Self::of(Engine::builder(()).method_with("tools/call", options, call))
    }

    /// The same with telemetry: what metrics, the admin page and alerts are made of.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn watched() -> Result<Self> {
        Self::watched_by(Telemetry::new())
    }

    /// The same with this telemetry.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn watched_by(telemetry: Telemetry) -> Result<Self> {
        Self::of(Engine::builder(()).observer(telemetry).method("tools/call", call))
    }

    /// The engine itself.
    #[must_use]
    pub fn engine(&self) -> &Engine<()> {
        &self.engine
    }

    fn of(builder: EngineBuilder<()>) -> Result<Self> {
        let engine = builder.build()?;
        let session = engine.open()?;
        Ok(Self { engine, session })
    }

    /// Decoded messages in, checked answers out.
    ///
    /// # Errors
    ///
    /// When an answer is wrong.
    pub async fn process(&self, messages: Vec<Message<'_>>, exchanges: &[Exchange]) -> Result<()> {
        for (message, exchange) in messages.into_iter().zip(exchanges) {
            let response = self.engine.process(&self.session, message).await.context("no answer")?;
            let result = response.result.context("an error")?;
            ensure!(result.get() == exchange.result, "a wrong result: {}", result.get());
        }
        Ok(())
    }

    /// Bytes in, checked bytes out.
    ///
    /// # Errors
    ///
    /// When an answer is wrong.
    pub async fn process_bytes(&self, exchanges: &[Exchange]) -> Result<()> {
        for exchange in exchanges {
            let answer =
                self.engine.process_bytes(&self.session, &exchange.request).await.context("no answer")?;
            exchange.check(&answer)?;
        }
        Ok(())
    }
}

/// The floor: bytes in, checked bytes out, by serde_json and typed structs alone.
///
/// # Errors
///
/// When an answer is wrong.
pub fn parse_and_serialize(exchanges: &[Exchange]) -> Result<()> {
    #[derive(Deserialize)]
    struct Request<'a> {
        jsonrpc: &'a str,
        id: u64,
        method: &'a str,
        params: Call,
    }
    #[derive(Serialize)]
    struct Answer {
        jsonrpc: &'static str,
        id: u64,
        result: CallResult,
    }
    for exchange in exchanges {
        let request: Request<'_> = serde_json::from_slice(&exchange.request)?;
        ensure!(request.jsonrpc == "2.0" && request.method == "tools/call", "not a call");
        let answer = Answer { jsonrpc: "2.0", id: request.id, result: request.params.run()? };
        exchange.check(&serde_json::to_vec(&answer)?)?;
    }
    Ok(())
}
