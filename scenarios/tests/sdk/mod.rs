//! The official SDK's client.

#![allow(dead_code, reason = "each scenario uses its own part")]

use freehold_scenarios::{ALL_CAPABILITIES, TestServer, Transport, limits::prompt};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceError, ServiceExt,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
        ClientRequest, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation, PingRequest,
        ProtocolVersion, ServerResult,
    },
    service::{
        ClientLifecycleMode, ClientServiceExt, PeerRequestOptions, RequestContext, RequestHandle,
        RunningService,
    },
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::Value;

/// A client whose person accepts everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person;

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities: ClientCapabilities =
            serde_json::from_str(ALL_CAPABILITIES).expect("the SDK knows them all");
        ClientConfig::new(capabilities, Implementation::new("sdk", "1"))
    }

    async fn create_elicitation(
        &self,
        _params: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(serde_json::json!({})))
    }
}

pub(crate) type Sdk = RunningService<RoleClient, Person>;

/// How the SDK's transport for HTTP is set up: with room for more messages than the server sends while a client
/// leaves. In rmcp 3.11, `close` waits for the transport's worker and reads nothing meanwhile, and a worker whose queue
/// (of 16) is full waits for a reader, so neither ends.
fn http(server: &TestServer) -> StreamableHttpClientTransportConfig {
    let mut config = StreamableHttpClientTransportConfig::with_uri(server.url());
    config.channel_buffer_capacity = 4096;
    config
}

/// Connects with a session.
pub(crate) async fn connect(server: &TestServer, transport: Transport) -> Sdk {
    let connected = async {
        match transport {
            Transport::Http => Person.serve(StreamableHttpClientTransport::from_config(http(server))).await,
            Transport::Stdio => Person.serve(server.pipes()).await,
        }
    };
    prompt("the SDK's client connects", Box::pin(connected)).await.expect("a session")
}

/// Connects in the stateless revision.
pub(crate) async fn connect_stateless(server: &TestServer, transport: Transport) -> Sdk {
    let mode = || ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    let connected = async {
        match transport {
            Transport::Http => {
                let transport = StreamableHttpClientTransport::from_config(http(server));
                Person.serve_with_lifecycle(transport, mode()).await
            }
            Transport::Stdio => Person.serve_with_lifecycle(server.pipes(), mode()).await,
        }
    };
    prompt("the SDK's client connects", Box::pin(connected)).await.expect("a server")
}

fn params(tool: &str, arguments: Value) -> CallToolRequestParams {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)
}

/// Calls a tool and waits for what it returns.
pub(crate) async fn call(sdk: &Sdk, tool: &str, arguments: Value) -> Result<CallToolResult, ServiceError> {
    prompt("the SDK's client is answered", sdk.call_tool(params(tool, arguments))).await
}

/// Starts a call.
pub(crate) async fn start(
    sdk: &Sdk,
    tool: &str,
    arguments: Value,
    options: PeerRequestOptions,
) -> RequestHandle<RoleClient> {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params(tool, arguments)));
    let sent = sdk.send_cancellable_request(request, options);
    prompt("the SDK's client sends", sent).await.expect("it is sent")
}

/// Checks that `echo` works.
pub(crate) async fn echo(sdk: &Sdk, text: &str) {
    let result = call(sdk, "echo", serde_json::json!({ "text": text })).await.expect("an answer");
    assert_eq!(text_of(&result), text);
}

pub(crate) fn text_of(result: &CallToolResult) -> String {
    let json = serde_json::to_value(result).expect("a result is JSON");
    json["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// Checks that `ping` works.
pub(crate) async fn ping(sdk: &Sdk) {
    let request = ClientRequest::PingRequest(PingRequest::default());
    let answer = prompt("the SDK's ping is answered", sdk.send_request(request)).await;
    assert!(matches!(answer, Ok(ServerResult::EmptyResult(_))), "{answer:?}");
}

/// Leaves as a client should.
pub(crate) async fn leave(mut sdk: Sdk) {
    prompt("the SDK's client leaves", sdk.close()).await.expect("it does not panic");
}
