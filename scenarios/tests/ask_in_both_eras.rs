//! One tool, with one way of asking, and the official SDK's client: in a session it is asked by requests, in the
//! stateless revision by results that it answers with the request sent again.

#![expect(deprecated, reason = "sampling and roots go in a later revision; all so far have them")]

use freehold_mcp::{CreateMessage, ListRoots, Question, Tool, ToolError, freehold::OutcomeKind};
use freehold_scenarios::{
    Builder, Ctx, TestServer, Transport,
    limits::{patient, prompt},
    over_both_transports,
};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, CreateMessageRequestParams,
        CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation,
        ListRootsResult, ProtocolVersion,
    },
    service::{ClientLifecycleMode, ClientServiceExt, RequestContext, RunningService},
    transport::StreamableHttpClientTransport,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

over_both_transports!(in_sessions => in_sessions_http, in_sessions_stdio);
over_both_transports!(in_rounds => in_rounds_http, in_rounds_stdio);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Size {
    Small,
    Large,
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    /// What it is for.
    purpose: String,
    size: Size,
}

#[derive(Deserialize, JsonSchema)]
struct Confirmed {
    sure: bool,
}

/// Asks for an order, then two things at once, then whether all of it is right.
async fn order(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let order = ctx.elicit::<Order>("What shall it be?").await?.into_accepted()?;
    let prompt = format!("A name for {}.", order.purpose);
    let named = CreateMessage::new(20).user(prompt).keyed("name");
    let (name, roots) = ctx.ask_all((named, ListRoots)).await?;
    let Confirmed { sure } = ctx.elicit("Is that right?").await?.into_accepted()?;
    let size = match order.size {
        Size::Small => "small",
        Size::Large => "large",
    };
    Ok(format!("{size} {} at {}: {sure}", name.text(), roots[0].uri))
}

fn tools(builder: Builder) -> Builder {
    builder.tool(Tool::new("order", "Asks for an order.", order))
}

/// A client that answers each question by what it is about.
#[derive(Clone, Debug)]
struct Helpful;

impl ClientHandler for Helpful {
    fn get_info(&self) -> ClientConfig {
        let all = json!({ "sampling": {}, "elicitation": {}, "roots": {} });
        let capabilities: ClientCapabilities = serde_json::from_value(all).expect("the SDK knows them");
        ClientConfig::new(capabilities, Implementation::new("helpful", "1"))
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let asked = serde_json::to_value(&params).expect("it is JSON");
        let content = match asked["requestedSchema"]["properties"]["sure"] {
            Value::Null => json!({ "purpose": "tea", "size": "large" }),
            _ => json!({ "sure": true }),
        };
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let asked = serde_json::to_value(&params).expect("it is JSON");
        let content = &asked["messages"][0]["content"];
        let text = content["text"].as_str().or_else(|| content[0]["text"].as_str()).unwrap_or_default();
        let said = if text == "A name for tea." { "pot" } else { text };
        let answer =
            json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": said } });
        Ok(serde_json::from_value(answer).expect("a message"))
    }

    async fn list_roots(&self, _context: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        let roots = json!({ "roots": [{ "uri": "file:///home" }] });
        Ok(serde_json::from_value(roots).expect("a list"))
    }
}

async fn check(mut sdk: RunningService<RoleClient, Helpful>) {
    let called = prompt("an answer", sdk.call_tool(CallToolRequestParams::new("order"))).await;
    let result = serde_json::to_value(called.expect("a result")).expect("it is JSON");
    assert_eq!(result["content"][0]["text"], "large pot at file:///home: true", "{result}");
    prompt("the SDK's client leaves", sdk.close()).await.expect("it does not panic");
}

async fn in_sessions(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let connected = async {
        match transport {
            Transport::Http => Helpful.serve(StreamableHttpClientTransport::from_uri(server.url())).await,
            Transport::Stdio => Helpful.serve(server.pipes()).await,
        }
    };
    check(prompt("the SDK's client connects", Box::pin(connected)).await.expect("a session")).await;
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), 1);
}

async fn in_rounds(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let mode = || ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    let connected = async {
        match transport {
            Transport::Http => {
                let http = StreamableHttpClientTransport::from_uri(server.url());
                Helpful.serve_with_lifecycle(http, mode()).await
            }
            Transport::Stdio => Helpful.serve_with_lifecycle(server.pipes(), mode()).await,
        }
    };
    check(prompt("the SDK's client connects", Box::pin(connected)).await.expect("a server")).await;
    // One call for each of the three rounds that asked, and one that is whole.
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Answered), 4);
    assert!(server.server.engine().calls().is_empty());
}
