//! What goes between an rmcp handler and its client, through our transports, reaches whom it is for.

mod stage;
#[path = "../../freehold-mcp/tests/wire/mod.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod wire;

use freehold_rmcp::{
    freehold_mcp::{
        HttpOptions,
        freehold::{ErrorCode, Limits},
    },
    rmcp::{
        ErrorData, RoleServer, ServerHandler,
        model::{
            CallToolRequest, CallToolRequestParams, CallToolResponse, CallToolResult, ClientNotification,
            ClientRequest, ContentBlock, CustomNotification, CustomRequest, InitializeRequestParams,
            InitializeResult, RequestMetaObject, RootsListChangedNotification, ServerResult,
            SubscriptionFilter,
        },
        service::{PeerRequestOptions, RequestContext},
    },
};
use serde_json::{Value, json};
use stage::{Client, Way, connect, connect_as, params, server, within};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use wire::{Request, open_session, serve};

fn call_of(tool: &str, arguments: Value) -> ClientRequest {
    ClientRequest::CallToolRequest(CallToolRequest::new(params(tool, arguments)))
}

#[tokio::test]
async fn a_handler_knows_its_client() {
    for way in Way::ALL {
        let (server, _audience) = server(Limits::default());
        let client = connect(&server, way).await;
        let version = if way.is_stateless() { "2026-07-28" } else { "2025-11-25" };
        assert_eq!(client.call("who", json!({})).await.expect("an answer"), format!("person {version}"));
        let tools = within(client.sdk.list_all_tools()).await.expect("a list");
        assert!(tools.iter().any(|tool| tool.name == "echo"), "{way:?}");
    }
}

#[tokio::test]
async fn a_handler_asks_and_is_answered() {
    for way in Way::SESSIONS {
        let (server, mut audience) = server(Limits::default());
        let mut client = connect(&server, way).await;
        audience.hears_of("initialized by person").await;
        assert_eq!(client.call("roots", json!({})).await.expect("an answer"), "file:///a file:///b");
        assert_eq!(client.hears().await, "asked for roots");
        // Notifications' handlers may ask, too.
        let changed =
            ClientNotification::RootsListChangedNotification(RootsListChangedNotification::default());
        within(client.sdk.send_notification(changed)).await.expect("it is sent");
        audience.hears_of("roots changed: 2").await;
    }
}

#[tokio::test]
async fn a_client_is_not_asked_what_it_cannot_do() {
    for way in Way::ALL {
        let (server, _audience) = server(Limits::default());
        let client = connect_as(&server, way, true, json!({})).await;
        let error = client.call("roots", json!({})).await.expect_err("it was not asked").to_string();
        let reason =
            if way.is_stateless() { "not allowed on protocol 2026-07-28" } else { "did not declare" };
        assert!(error.contains(reason), "{way:?}: {error}");
    }
}

#[tokio::test]
async fn a_peer_that_was_kept_still_reaches_its_client() {
    for way in Way::SESSIONS {
        let (server, mut audience) = server(Limits::default());
        let mut client = connect(&server, way).await;
        assert_eq!(client.call("roots_later", json!({})).await.expect("an answer"), "later");
        audience.release();
        audience.hears_of("later: 2").await;
        assert_eq!(client.hears().await, "asked for roots");
    }
}

#[tokio::test]
async fn progress_and_logs_come_with_their_request() {
    for way in Way::ALL {
        let (server, _audience) = server(Limits::default());
        let mut client = connect(&server, way).await;
        client.call("flood", json!({ "n": 3, "bytes": 1 })).await.expect("an answer");
        let mut progress = Vec::new();
        for _ in 0..3 {
            progress.push(client.hears().await);
        }
        progress.sort();
        assert_eq!(progress, ["progress 1", "progress 2", "progress 3"], "{way:?}");
    }
}

/// What a client hears of `tells`, which logs at two levels and says that the tools changed, up to its answer.
async fn told_of(client: &mut Client, meta: RequestMetaObject) -> Vec<String> {
    let options = PeerRequestOptions::no_options().with_meta(meta);
    let sent = within(client.sdk.send_request_with_option(call_of("tells", json!({})), options)).await;
    let answer = within(sent.expect("it is sent").await_response()).await.expect("an answer");
    assert!(matches!(answer, ServerResult::CallToolResult(_)));
    // A notification that comes before the answer is handled in a task of its own; this one comes after all of them.
    client.call("flood", json!({ "n": 1, "bytes": 1 })).await.expect("an answer");
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "progress 1") {
        heard.push(client.hears().await);
    }
    heard.pop();
    heard.sort();
    heard
}

#[tokio::test]
async fn a_stateless_client_gets_the_logs_that_it_wants() {
    for way in [Way::HttpStateless, Way::StdioStateless] {
        let (server, _audience) = server(Limits::default());
        let mut client = connect(&server, way).await;
        assert!(told_of(&mut client, RequestMetaObject::new()).await.is_empty(), "{way:?}");
        let mut meta = RequestMetaObject::new();
        meta.set_log_level(serde_json::from_value(json!("warning")).expect("a level"));
        assert_eq!(told_of(&mut client, meta).await, ["log Error"], "{way:?}");
    }
}

#[tokio::test]
async fn a_cancel_reaches_the_handler() {
    for way in [Way::Http, Way::Stdio, Way::StdioStateless] {
        let (server, mut audience) = server(Limits::default());
        let client = connect(&server, way).await;
        if !way.is_stateless() {
            audience.hears_of("initialized by person").await;
        }
        let options = PeerRequestOptions::no_options();
        let sent = within(client.sdk.send_request_with_option(call_of("wait", json!({})), options)).await;
        let handle = sent.expect("it is sent");
        audience.hears_of("waiting").await;
        within(handle.cancel(Some("enough".to_owned()))).await.expect("it is sent");
        if way.is_stateless() {
            audience.hears_of("cancelled").await;
            continue;
        }
        let mut heard = [audience.hears().await, audience.hears().await];
        heard.sort();
        assert_eq!(heard, ["cancelled", "on_cancelled enough"], "{way:?}");
    }
}

#[tokio::test]
async fn a_stateless_client_that_leaves_cancels() {
    let (server, mut audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let connection = Request::stateless_call(1, "wait", json!({})).send(address).await;
    audience.hears_of("waiting").await;
    drop(connection);
    audience.hears_of("cancelled").await;
}

#[tokio::test]
async fn a_subscription_is_told_until_it_ends() {
    for way in [Way::HttpStateless, Way::StdioStateless] {
        let (server, mut audience) = server(Limits::default());
        let client = connect(&server, way).await;
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let mut stream = within(client.sdk.listen(filter)).await.expect("a subscription");
        audience.hears_of("listening").await;
        audience.change();
        within(stream.next()).await.expect("a change").expect("no failure");
        within(stream.cancel()).await.expect("it is cancelled");
        audience.hears_of("listened").await;
    }
}

#[tokio::test]
async fn methods_of_the_applications_own() {
    let (server, mut audience) = server(Limits::default());
    let client = connect(&server, Way::Http).await;
    let sum = |method: &str| ClientRequest::CustomRequest(CustomRequest::new(method, None));
    let answer = within(client.sdk.send_request(sum("acme/sum"))).await.expect("an answer");
    assert_eq!(serde_json::to_value(answer).expect("JSON"), json!({ "asked": "acme/sum" }));
    let error = within(client.sdk.send_request(sum("acme/other"))).await.expect_err("nobody handles it");
    assert!(error.to_string().contains("-32601"), "{error}");
    // Without params, rmcp's client writes them as null.
    for params in [Some(json!({ "of": [1, 2] })), None] {
        let told = CustomNotification::new("notifications/acme/sum", params.clone());
        within(client.sdk.send_notification(ClientNotification::CustomNotification(told)))
            .await
            .expect("it is sent");
        audience.hears_of(&format!("custom notifications/acme/sum {params:?}")).await;
    }
}

/// SEP-2260: a question goes where the messages of its request go, though the session has a stream of its own.
#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_request() {
    let (server, mut audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": { "roots": {} }, "clientInfo": { "name": "t", "version": "1" } } });
    let response = Request::post(&initialize).exchange(address).await;
    let session = response.headers["mcp-session-id"].to_str().expect("text").to_owned();
    let mut own = Request::new("GET", "").in_session(&session).send(address).await;
    own.begins_events().await;
    let mut calls = Vec::new();
    for id in 1..=2 {
        let mut call = Request::call(&session, id, "roots", json!({})).send(address).await;
        audience.hears_of("asking").await;
        call.begins_events().await;
        let question = call.message().await.expect("a question");
        assert_eq!(question["method"], "roots/list");
        calls.push((id, call, question["id"].clone()));
    }
    // Answered the other way round, each to its own.
    for (id, mut call, question) in calls.into_iter().rev() {
        let roots = json!({ "roots": [{ "uri": format!("file:///{id}") }] });
        let answer = json!({ "jsonrpc": "2.0", "id": question, "result": roots });
        assert_eq!(Request::post(&answer).in_session(&session).exchange(address).await.status, 202);
        let result = call.message().await.expect("an answer");
        assert_eq!(result["result"]["content"][0]["text"], format!("file:///{id}"));
    }
}

/// Two clients of one server never get each other's messages, also when the handler keeps their peers.
#[tokio::test]
async fn peers_of_two_sessions_do_not_mix() {
    let (server, mut audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let (one, other) = (open_session(address).await, open_session(address).await);
    assert_ne!(one, other);
    audience.hears_of("initialized by test").await;
    audience.hears_of("initialized by test").await;
    let mut streams = Vec::new();
    for session in [&one, &other] {
        let mut stream = Request::new("GET", "").in_session(session).send(address).await;
        stream.begins_events().await;
        streams.push(stream);
    }
    // What belongs to no request goes to the session of who caused it, and to nobody else.
    for session in [&one, &one, &other] {
        let answer = Request::call(session, 1, "tells", json!({})).exchange(address).await;
        assert_eq!(answer.status, 200);
    }
    for ((session, mut stream), expected) in [&one, &other].into_iter().zip(streams).zip([2, 1]) {
        let ended = Request::new("DELETE", "").in_session(session).exchange(address).await;
        assert_eq!(ended.status, 204);
        let mut told = Vec::new();
        while let Some(message) = stream.message().await {
            told.push(message["method"].as_str().expect("a notification").to_owned());
        }
        assert_eq!(told, vec!["notifications/tools/list_changed"; expected]);
    }
}

#[tokio::test]
async fn a_second_handshake_is_refused_and_disturbs_nothing() {
    let (server, _audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    let again = json!({ "jsonrpc": "2.0", "id": 9, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let refused = Request::post(&again).in_session(&session).exchange(address).await;
    assert_eq!(refused.json()["error"]["code"], ErrorCode::INVALID_REQUEST.0);
    let echo = Request::call(&session, 2, "echo", json!({ "text": "hi" })).exchange(address).await;
    assert_eq!(echo.json()["result"]["content"][0]["text"], "hi");
}

/// A handler with state of its own, which refuses clients that it does not like.
struct Counter(AtomicUsize);

impl ServerHandler for Counter {
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        // A handshake may take its time.
        tokio::task::yield_now().await;
        if request.client_info.name == "bad" {
            return Err(ErrorData::invalid_params("go away", None));
        }
        context.peer.set_peer_info(request.clone());
        self.negotiate_initialize(&request)
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(CallToolResult::success(vec![ContentBlock::text(count.to_string())]).into())
    }
}

#[tokio::test]
async fn a_handler_may_refuse_its_client_and_each_session_may_have_its_own() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let make = move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Counter(AtomicUsize::new(0)))
    };
    let server = freehold_rmcp::service_per_session(make).build().expect("methods are unique");
    let address = serve(&server, HttpOptions::default()).await;
    let bad = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bad", "version": "1" } } });
    let refused = Request::post(&bad).exchange(address).await;
    assert_eq!(refused.json()["error"]["message"], "go away");
    assert!(!refused.headers.contains_key("mcp-session-id"));
    assert_eq!(server.engine().session_count(), 0, "nothing is left behind");
    let (one, other) = (open_session(address).await, open_session(address).await);
    for (session, expected) in [(&one, "1"), (&one, "2"), (&other, "1")] {
        let answer = Request::call(session, 1, "any", json!({})).exchange(address).await;
        assert_eq!(answer.json()["result"]["content"][0]["text"], expected);
    }
    for _ in 0..2 {
        let answer = Request::stateless_call(1, "any", json!({})).exchange(address).await;
        assert_eq!(answer.json()["result"]["content"][0]["text"], "1", "each stateless request has its own");
    }
    // For who was refused, for two sessions and for two requests.
    assert_eq!(made.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_method_for_this_process_only_is_nobody_elses() {
    let (server, _audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    let ask = json!({ "method": "roots/list", "params": {} });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "notifications/rmcp/ask", "params": ask });
    let answer = Request::post(&message).in_session(&session).exchange(address).await;
    assert_eq!(answer.json()["error"]["code"], ErrorCode::METHOD_NOT_FOUND.0);
    let answer = Request::stateless(1, "notifications/rmcp/ask", ask).exchange(address).await;
    assert_eq!(answer.json()["error"]["code"], ErrorCode::METHOD_NOT_FOUND.0);
}

/// What the reader has noticed goes to the handler under a name of its own. A client that gives that name has noticed nothing.
#[tokio::test]
async fn a_client_cannot_say_what_only_the_reader_says() {
    let (server, mut audience) = server(Limits::default());
    let address = serve(&server, HttpOptions::default()).await;
    let session = open_session(address).await;
    audience.hears_of("initialized by test").await;
    let params = json!({ "requestId": 7, "reason": "forged" });
    for method in ["notifications/rmcp/initialized", "notifications/rmcp/cancelled", "notifications/rmcp/ask"]
    {
        let told = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        assert_eq!(Request::post(&told).in_session(&session).exchange(address).await.status, 202);
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = Request::post(&asked).in_session(&session).exchange(address).await;
        assert_eq!(answer.json()["error"]["code"], ErrorCode::METHOD_NOT_FOUND.0, "{method}");
    }
    server.engine().sessions()[0].calls_ended().await;
    let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {
        "requestId": 7, "reason": "real" } });
    assert_eq!(Request::post(&cancelled).in_session(&session).exchange(address).await.status, 202);
    assert_eq!(audience.hears().await, "on_cancelled real", "and nothing before it");
}
