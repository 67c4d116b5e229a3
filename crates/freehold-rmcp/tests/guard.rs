//! A guarded handler on rmcp's own transports: the four hangs that a wrapper can cure, and its bounds.

mod stage;

use freehold_rmcp::{
    Guard, GuardOptions,
    freehold_mcp::freehold::{
        ErrorCode,
        runtime::{Runtime, TokioRuntime},
    },
    rmcp::{
        ServiceError, ServiceExt,
        model::{CallToolRequest, ClientRequest},
        service::{PeerRequestOptions, RoleClient, RunningService},
    },
};
use serde_json::json;
use stage::{Audience, Person, params, stage, text_of, within};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::mpsc,
};

type Sdk = RunningService<RoleClient, Person>;

/// rmcp's server and rmcp's client, over pipes.
async fn connect(options: GuardOptions, answers: bool) -> (Sdk, Audience) {
    let (stage, audience) = stage();
    let guarded = Guard::new(options).wrap(stage);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = async move {
        let transport = guarded.watch(tokio::io::split(ours));
        let service = Box::pin(guarded.serve(transport)).await.expect("the client connects");
        let _ = service.waiting().await;
    };
    TokioRuntime.spawn("server", Box::pin(serving));
    let (tell, _) = mpsc::unbounded_channel();
    let person = Person::new(tell, answers, json!({ "roots": {} }));
    let sdk = within(Box::pin(person.serve(tokio::io::split(theirs)))).await.expect("a session");
    (sdk, audience)
}

fn short() -> GuardOptions {
    GuardOptions { deadline: Duration::from_millis(200), ..GuardOptions::default() }
}

async fn call(sdk: &Sdk, tool: &str) -> Result<String, ServiceError> {
    within(sdk.call_tool(params(tool, json!({ "text": "hi" })))).await.map(|result| text_of(&result))
}

fn code_of(error: &ServiceError) -> i32 {
    match error {
        ServiceError::McpError(error) => error.code.0,
        other => panic!("an error of the server, not {other}"),
    }
}

#[tokio::test]
async fn a_handler_that_panics() {
    let (sdk, _audience) = connect(GuardOptions::default(), true).await;
    let error = call(&sdk, "panics").await.expect_err("it panicked");
    assert_eq!(code_of(&error), ErrorCode::INTERNAL_ERROR.0);
    assert_eq!(call(&sdk, "echo").await.expect("an answer"), "hi");
}

#[tokio::test]
async fn a_handler_that_never_returns() {
    let (sdk, mut audience) = connect(short(), true).await;
    let error = call(&sdk, "stuck").await.expect_err("its deadline passed");
    assert_eq!(code_of(&error), ErrorCode::DEADLINE_EXCEEDED.0);
    audience.hears_of("stuck is dropped").await;
    assert_eq!(call(&sdk, "echo").await.expect("an answer"), "hi");
}

#[tokio::test]
async fn a_client_that_never_answers() {
    let (sdk, mut audience) = connect(short(), false).await;
    let error = call(&sdk, "roots").await.expect_err("nobody answered");
    assert_eq!(code_of(&error), ErrorCode::DEADLINE_EXCEEDED.0);
    audience.hears_of("asking").await;
    assert_eq!(call(&sdk, "echo").await.expect("an answer"), "hi");
}

#[tokio::test]
async fn input_that_ends_while_a_handler_is_stuck() {
    let (stage, mut audience) = stage();
    let after_input = Duration::from_millis(100);
    // Neither its deadline nor rmcp's patience, which is five seconds, ends the handler.
    let guarded = Guard::new(GuardOptions { after_input, ..GuardOptions::default() }).wrap(stage);
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = async move {
        let transport = guarded.watch(tokio::io::split(ours));
        let service = Box::pin(guarded.serve(transport)).await.expect("the client connects");
        let _ = service.waiting().await;
    };
    TokioRuntime.spawn("server", Box::pin(serving));
    let (output, mut input) = tokio::io::split(theirs);
    let mut output = BufReader::new(output);
    let mut line = String::new();
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    within(input.write_all(format!("{initialize}\n").as_bytes())).await.expect("it is read");
    within(output.read_line(&mut line)).await.expect("an answer");
    let stuck = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "stuck" } });
    within(input.write_all(format!("{stuck}\n").as_bytes())).await.expect("it is read");
    audience.hears_of("stuck").await;
    let begun = TokioRuntime.now();
    within(input.shutdown()).await.expect("it ends");
    audience.hears_of("stuck is dropped").await;
    let mut rest = String::new();
    within(output.read_to_string(&mut rest)).await.expect("the server ends its output");
    assert!(rest.contains("the client's input ended before call_tool did"), "{rest}");
    let took = TokioRuntime.now() - begun;
    assert!(took >= after_input, "the handler had its time: {took:?}");
}

#[tokio::test]
async fn a_full_house_is_told_at_once() {
    let options = GuardOptions { running: 1, waiting: 1, ..GuardOptions::default() };
    let (sdk, mut audience) = connect(options, true).await;
    let request = || ClientRequest::CallToolRequest(CallToolRequest::new(params("wait", json!({}))));
    let send = async || {
        let sent = sdk.send_request_with_option(request(), PeerRequestOptions::no_options());
        within(sent).await.expect("it is sent")
    };
    let running = send().await;
    audience.hears_of("waiting").await;
    // One of these two waits, the other is refused: which came first is not known.
    let (one, other) = (send().await, send().await);
    let (mut one, mut other) = (Box::pin(one.await_response()), Box::pin(other.await_response()));
    let (refused, waiting) = within(async {
        tokio::select! {
            refused = &mut one => (refused, other),
            refused = &mut other => (refused, one),
        }
    })
    .await;
    let error = refused.expect_err("the house is full");
    assert_eq!(code_of(&error), ErrorCode::OVERLOADED.0);
    audience.release();
    within(running.await_response()).await.expect("an answer");
    audience.hears_of("waiting").await;
    audience.release();
    within(waiting).await.expect("an answer");
}

#[tokio::test]
async fn a_cancelled_handler_that_does_not_listen_ends_after_its_grace() {
    let options = GuardOptions { cancel_grace: Duration::from_millis(50), ..GuardOptions::default() };
    let (sdk, mut audience) = connect(options, true).await;
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params("stuck", json!({}))));
    let sent = within(sdk.send_request_with_option(request, PeerRequestOptions::no_options())).await;
    audience.hears_of("stuck").await;
    within(sent.expect("it is sent").cancel(None)).await.expect("it is sent");
    audience.hears_of("stuck is dropped").await;
}
