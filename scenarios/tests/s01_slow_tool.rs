//! S-01: a slow tool in one session must not delay any other session.

mod sdk;

use freehold_mcp::{
    Tool,
    freehold::{CloseReason, ErrorCode, OutcomeKind, Stage},
};
use freehold_scenarios::{
    Client, Cut, Outcome, Seen, TestServer, Transport, checks, echo, limits::prompt, over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use serde_json::json;

over_both_transports!(slow_tool => s01_slow_tool_http, s01_slow_tool_stdio);
over_both_transports!(sdk_clients => s01_sdk_clients_http, s01_sdk_clients_stdio);
over_both_transports!(sdk_stateless => s01_sdk_stateless_http, s01_sdk_stateless_stdio);

/// Everything that a client does at first.
async fn first_steps(server: &TestServer, transport: Transport) -> Client {
    let client = Client::connect(server, transport).await;
    let tools = client.request("tools/list", json!({})).await;
    assert!(tools["result"]["tools"].as_array().is_some_and(|tools| tools.len() >= 5), "{tools}");
    client.ping().await;
    client.echo("not delayed").await;
    client
}

async fn slow_tool(transport: Transport) {
    let server = TestServer::start().await;
    let a = Client::connect(&server, transport).await;
    let slow = a.call("wait", json!({}));
    server.probe.entered(1).await;

    let b = first_steps(&server, transport).await;
    let c = first_steps(&server, transport).await;
    b.listen("b's stream").await;
    server.server.tools().add(Tool::new("late", "Came late.", echo)).expect("a new name");
    prompt("b is told of the new tool", b.inbox.notification("notifications/tools/list_changed", 1)).await;
    let answer = c.tool("late", json!({ "text": "new" })).await;
    assert_eq!(answer["result"]["content"][0]["text"], "new", "{answer}");

    // All of that happened while the slow one had no outcome, and it is the one wait there is.
    assert_eq!(a.inbox.outcomes(&slow), []);
    let waits = server.engine().calls();
    assert_eq!(waits.len(), 1, "{waits:?}");
    let wait = &waits[0];
    assert_eq!((wait.session, wait.method.as_str(), wait.stage), (a.session, "tools/call", Stage::Handler));
    assert!(!wait.settled && !wait.age.is_zero() && !wait.remaining.is_zero(), "{wait:?}");

    // The session of the running call is closed: by its client, then (another one) by the server.
    let session = a.session;
    match transport {
        Transport::Http => {
            assert_eq!(a.delete().await.status, 204);
            let Outcome::Answer(answer) = a.outcome(&slow).await else { panic!("no answer") };
            assert_eq!(answer["error"]["code"], ErrorCode::CANCELLED.0, "{answer}");
            assert_eq!(server.record.closed(session).await, CloseReason::Client);
        }
        Transport::Stdio => {
            a.kill(Cut::Close).await;
            assert_eq!(server.record.closed(session).await, CloseReason::Disconnected);
        }
    }
    server.probe.saw(1, "wait cancelled").await;
    let d = Client::connect(&server, transport).await;
    let slow = d.call("wait", json!({}));
    server.probe.entered(1).await;
    assert!(server.session(d.session).close(CloseReason::Server));
    let Outcome::Answer(answer) = d.outcome(&slow).await else { panic!("no answer") };
    assert_eq!(answer["error"]["data"]["reason"], "sessionClosed", "{answer}");
    server.probe.saw(2, "wait cancelled").await;
    let cancelled = |event: &Seen| matches!(event, Seen::Ended { outcome: OutcomeKind::Cancelled, .. });
    assert_eq!(server.record.count(cancelled), 2);

    checks::everything(&server, vec![b, c, d]).await;
}

async fn sdk_clients(transport: Transport) {
    let server = TestServer::start().await;
    let a = sdk::connect(&server, transport).await;
    let slow = sdk::start(&a, "wait", json!({}), PeerRequestOptions::no_options()).await;
    server.probe.entered(1).await;
    let (b, c) = (sdk::connect(&server, transport).await, sdk::connect(&server, transport).await);
    for client in [&b, &c] {
        let tools = prompt("tools/list", client.list_all_tools()).await.expect("tools");
        assert!(tools.len() >= 5);
        sdk::ping(client).await;
        sdk::echo(client, "not delayed").await;
    }
    assert_eq!(server.engine().calls().len(), 1);
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Cancelled), 0);
    // The client leaves in the middle of its call.
    sdk::leave(a).await;
    server.probe.saw(1, "wait cancelled").await;
    assert!(slow.await_response().await.is_err());
    sdk::leave(b).await;
    sdk::leave(c).await;
    checks::everything(&server, vec![]).await;
}

/// Without sessions it is the requests that must not delay each other.
async fn sdk_stateless(transport: Transport) {
    let server = TestServer::start().await;
    let (a, b) =
        (sdk::connect_stateless(&server, transport).await, sdk::connect_stateless(&server, transport).await);
    let slow = sdk::start(&a, "wait", json!({}), PeerRequestOptions::no_options()).await;
    server.probe.entered(1).await;
    for client in [&a, &b] {
        assert!(prompt("tools/list", client.list_all_tools()).await.expect("tools").len() >= 5);
        sdk::echo(client, "not delayed").await;
    }
    assert_eq!(server.engine().calls().len(), 1);
    server.probe.release(1);
    prompt("the slow call is answered", slow.await_response()).await.expect("an answer");
    sdk::leave(a).await;
    sdk::leave(b).await;
    checks::everything(&server, vec![]).await;
}
