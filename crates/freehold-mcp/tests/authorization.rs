//! The server as an OAuth resource server, and two principals who get nothing of each other.

mod stage;
#[expect(dead_code, reason = "sessions here are opened with a token")]
mod wire;

use freehold_mcp::{
    Audience, Authorization, AuthorizationTarget, AuthorizeError, Authorizer, HttpOptions,
    InvalidAuthorization, McpServer, MemoryEventStore, Principal, Resumption,
    freehold::{Limits, runtime::BoxFuture},
};
use serde_json::{Value, json};
use stage::{Audience as Listening, server};
use std::{future::ready, net::SocketAddr, sync::Arc};
use wire::{Connection, Request, Response, serve};

const RESOURCE: &str = "https://mcp.example.com/mcp";
const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
const NOT_FOUND: i32 = -31001;

/// Tokens are words: who, and how the token is.
struct Words;

impl Authorizer for Words {
    fn authorize(&self, token: &str) -> BoxFuture<'static, Result<Principal, AuthorizeError>> {
        let (who, how) = token.split_once('.').unwrap_or((token, ""));
        let audience = match how {
            "elsewhere" => Audience::Claimed(vec!["https://other.example.com/mcp".to_owned()]),
            "both" => Audience::Claimed(vec!["x".to_owned(), "HTTPS://MCP.example.com/mcp/".to_owned()]),
            _ => Audience::Verified,
        };
        let principal = Principal::new(who, audience).issued_by("https://as.example.com");
        Box::pin(ready(match how {
            "expired" => Err(AuthorizeError::Invalid("it has \"expired\"".into())),
            "unavailable" => Err(AuthorizeError::Unavailable),
            "admin" => Ok(principal.with_scopes(["admin"])),
            "caller" => Ok(principal.with_scopes(["call"])),
            "client" => Ok(principal.of_client("another")),
            "panics" => panic!("as told"),
            _ => Ok(principal),
        }))
    }

    fn required_scopes(&self, target: &AuthorizationTarget<'_>) -> Vec<String> {
        match (target.method, target.name) {
            ("tools/call", Some("mirrored")) => vec!["call".to_owned(), "mirror".to_owned()],
            (_, Some("guarded")) => vec!["guard".to_owned()],
            _ => Vec::new(),
        }
    }

    fn grants(&self, principal: &Principal, scope: &str) -> bool {
        principal.scopes.contains("admin") || principal.scopes.contains(scope)
    }
}

struct Scene {
    server: McpServer,
    audience: Listening,
    address: SocketAddr,
}

impl Scene {
    async fn new() -> Self {
        let authorization = Authorization::new(RESOURCE, ["https://as.example.com"], Words)
            .expect("the resource is one")
            .scopes(["call", "not a scope"])
            .scopes_supported(["call", "mirror"])
            .metadata("resource_name", json!("Stage"));
        let options = HttpOptions {
            authorization: Some(authorization),
            resumption: Some(Resumption::new(Arc::new(MemoryEventStore::default()))),
            ..HttpOptions::default()
        };
        let (server, audience) = server(Limits::default());
        let address = serve(&server, options).await;
        Self { server, audience, address }
    }

    async fn open(&self, token: &str) -> String {
        self.open_as(token, "2025-11-25").await
    }

    async fn open_as(&self, token: &str, version: &str) -> String {
        let params =
            json!({ "protocolVersion": version, "capabilities": { "sampling": {} }, "clientInfo": {} });
        let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let opened = by(token, Request::post(&message)).exchange(self.address).await;
        assert_eq!(opened.status, 200, "{token}");
        let session = opened.headers["mcp-session-id"].to_str().expect("it is text").to_owned();
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let request = by(token, Request::post(&initialized)).in_session(&session);
        assert_eq!(request.exchange(self.address).await.status, 202);
        session
    }

    async fn exchange(&self, token: &str, request: Request) -> Response {
        by(token, request).exchange(self.address).await
    }

    async fn stream(&self, token: &str, request: Request) -> Connection {
        let mut stream = by(token, request).send(self.address).await;
        stream.begins_events().await;
        stream
    }
}

fn by(token: &str, request: Request) -> Request {
    request.with("Authorization", format!("Bearer {token}"))
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

fn discover() -> Request {
    Request::stateless(1, "server/discover", json!({}))
}

fn challenge(response: &Response) -> &str {
    response.headers["www-authenticate"].to_str().expect("it is text")
}

fn text(answer: &Value) -> &Value {
    &answer["result"]["content"][0]["text"]
}

#[tokio::test]
async fn tokens_and_what_they_get() {
    let scene = Scene::new().await;
    let needed = format!("Bearer resource_metadata=\"{METADATA}\", scope=\"call\"");
    let because = |error: &str, reason: &str| {
        format!(
            "Bearer resource_metadata=\"{METADATA}\", error=\"{error}\", error_description=\"{reason}\", scope=\"call\""
        )
    };
    let malformed = because("invalid_request", "the access token is malformed");
    let long = format!("Bearer {}", "x".repeat(8 * 1024 + 1));
    for (name, header, status, expected) in [
        ("none", None, 401, Some(&needed)),
        ("another scheme", Some("Basic YWxpY2U6"), 401, Some(&needed)),
        ("no token", Some("Bearer"), 400, Some(&malformed)),
        ("two words", Some("Bearer alice bob"), 400, Some(&malformed)),
        ("strange letters", Some("Bearer al\"ice"), 400, Some(&malformed)),
        ("too long", Some(long.as_str()), 400, Some(&malformed)),
        (
            "expired",
            Some("Bearer alice.expired"),
            401,
            Some(&because("invalid_token", "the access token is not valid: it has 'expired'")),
        ),
        (
            "for another server",
            Some("Bearer alice.elsewhere"),
            401,
            Some(&because("invalid_token", "the access token was issued for another resource")),
        ),
        ("for this one, too", Some("Bearer alice.both"), 200, None),
        ("as it should be", Some("bearer alice"), 200, None),
        ("padded", Some("Bearer alice=="), 200, None),
        ("cannot be checked", Some("Bearer alice.unavailable"), 503, None),
        ("breaks the check", Some("Bearer alice.panics"), 500, None),
    ] {
        let request = match header {
            Some(value) => discover().with("Authorization", value),
            None => discover(),
        };
        let response = request.exchange(scene.address).await;
        println!("{name}: {} {}", response.status, String::from_utf8_lossy(&response.body));
        assert_eq!(response.status, status, "{name}");
        assert_eq!(
            response.headers.get("www-authenticate").map(|_| challenge(&response)),
            expected.map(String::as_str),
            "{name}"
        );
    }
    let twice = by("alice", by("bob", discover())).exchange(scene.address).await;
    assert_eq!(twice.status, 400);
    let mut in_query = discover();
    in_query.path = "/mcp?access_token=alice";
    assert_eq!(in_query.exchange(scene.address).await.status, 401, "never from the URI");
}

#[test]
fn what_cannot_be_an_authorization_is_refused() {
    let nowhere = Authorization::new(RESOURCE, [""; 0], Words);
    assert_eq!(nowhere.err(), Some(InvalidAuthorization::NoAuthorizationServer));
    let relative = Authorization::new("/mcp", ["https://as.example.com"], Words);
    assert_eq!(relative.err(), Some(InvalidAuthorization::Resource("/mcp".to_owned())));
}

#[tokio::test]
async fn metadata_is_public_and_says_where_tokens_are() {
    let scene = Scene::new().await;
    let get = |path| {
        let mut request = Request::new("GET", "").with("Origin", "https://anywhere.example");
        request.path = path;
        request
    };
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let response = get(path).exchange(scene.address).await;
        assert_eq!(
            (response.status, &response.headers["access-control-allow-origin"]),
            (200, &"*".parse().unwrap())
        );
        let expected = json!({
            "resource": RESOURCE,
            "authorization_servers": ["https://as.example.com"],
            "scopes_supported": ["call", "mirror"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Stage",
        });
        assert_eq!(response.json(), expected, "{path}");
    }
    assert_eq!(get("/.well-known/oauth-protected-resource/other").exchange(scene.address).await.status, 404);
    let mut post = Request::new("POST", "{}");
    post.path = "/.well-known/oauth-protected-resource";
    assert_eq!(post.exchange(scene.address).await.status, 405);
    let (server, _audience) = server(Limits::default());
    let open = serve(&server, HttpOptions::default()).await;
    assert_eq!(
        get("/.well-known/oauth-protected-resource").exchange(open).await.status,
        404,
        "nothing to tell"
    );
}

#[tokio::test]
async fn what_a_token_does_not_allow_is_told_with_all_that_it_takes() {
    let scene = Scene::new().await;
    let session = scene.open_as("alice", "2025-03-26").await;
    let call = || Request::call(&session, 7, "mirrored", json!({}));
    let stateless = || Request::stateless_call(7, "mirrored", json!({}));
    let message =
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "mirrored" } });
    let batch = || Request::post(&json!([ping(), message])).in_session(&session);
    for (name, request) in [("session", call()), ("stateless", stateless()), ("batch", batch())] {
        for token in ["alice", "alice.caller"] {
            let refused = scene.exchange(token, request.clone()).await;
            assert_eq!((refused.status, &refused.json()["id"]), (403, &json!(7)), "{name}");
            assert!(challenge(&refused).contains("error=\"insufficient_scope\""), "{name}");
            assert!(
                challenge(&refused).ends_with("scope=\"call mirror\""),
                "{name}: {}",
                challenge(&refused)
            );
        }
        assert_eq!(
            scene.exchange("alice.admin", request).await.status,
            200,
            "one scope implies the others: {name}"
        );
    }
    assert_eq!(
        scene.exchange("alice", Request::call(&session, 8, "echo", json!({ "text": "" }))).await.status,
        200
    );
}

/// Whatever names something can be guarded by that name.
#[tokio::test]
async fn scopes_may_depend_on_what_any_method_names() {
    let scene = Scene::new().await;
    let session = scene.open("alice").await;
    let named = json!({ "name": "guarded" });
    let located = json!({ "uri": "guarded" });
    let task = json!({ "taskId": "guarded" });
    let argument = json!({ "name": "a", "value": "" });
    let of_prompt = json!({ "ref": { "type": "ref/prompt", "name": "guarded" }, "argument": argument });
    let of_template = json!({ "ref": { "type": "ref/resource", "uri": "guarded" }, "argument": argument });
    for (method, params) in [
        ("tools/call", &named),
        ("prompts/get", &named),
        ("resources/read", &located),
        ("resources/subscribe", &located),
        ("resources/unsubscribe", &located),
        ("completion/complete", &of_prompt),
        ("completion/complete", &of_template),
        ("tasks/get", &task),
        ("tasks/result", &task),
        ("tasks/cancel", &task),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let request = Request::post(&message).in_session(&session);
        let refused = scene.exchange("alice", request.clone()).await;
        assert_eq!(refused.status, 403, "{method}");
        assert!(challenge(&refused).ends_with("scope=\"guard\""), "{method}");
        assert_ne!(scene.exchange("alice.admin", request).await.status, 403, "{method}");
    }
    // What names nothing is no more than its method.
    let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": named });
    let listed = scene.exchange("alice", Request::post(&list).in_session(&session)).await;
    assert_eq!(listed.status, 200);
}

#[tokio::test]
async fn handlers_know_who_calls_in_both_eras() {
    let scene = Scene::new().await;
    for who in ["alice", "bob"] {
        let session = scene.open(who).await;
        let call = scene.exchange(who, Request::call(&session, 1, "whoami", json!({}))).await.json();
        let stateless = scene.exchange(who, Request::stateless_call(1, "whoami", json!({}))).await.json();
        assert_eq!((text(&call), text(&stateless)), (&json!(who), &json!(who)));
    }
    let (server, _audience) = server(Limits::default());
    let open = serve(&server, HttpOptions::default()).await;
    let nobody = Request::stateless_call(1, "whoami", json!({})).exchange(open).await.json();
    assert_eq!(text(&nobody), "nobody");
}

/// Everything that one can try with the other's session id, event ids and request ids.
#[tokio::test]
async fn two_principals_get_nothing_of_each_other() {
    let mut scene = Scene::new().await;
    let (of_alice, of_bob) = (scene.open("alice").await, scene.open("bob").await);
    let get = |session: &str| Request::new("GET", "").in_session(session);
    let resume = |session: &str, last: &str| get(session).with("Last-Event-ID", last);
    // Alice has her own stream, a call under way, and a question to answer.
    let mut own = scene.stream("alice", get(&of_alice)).await;
    let own_first = own.fields().await.unwrap().id.unwrap();
    let mut call = scene.stream("alice", Request::call(&of_alice, 7, "step_and_wait", json!({}))).await;
    let call_first = call.fields().await.unwrap().id.unwrap();
    assert_eq!(call.fields().await.unwrap().message()["method"], "notifications/progress");
    assert_eq!(scene.audience.hears().await, "waiting");
    let mut asks = scene.stream("alice", Request::call(&of_alice, 8, "sample", json!({}))).await;
    asks.fields().await.unwrap();
    let question = asks.fields().await.unwrap().message();
    let reply = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "text": "bob's" } });
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });

    // To Bob, or who is Alice by way of another client, or has no token, her session does not exist.
    let unknown = "0123456789abcdef0123456789abcdef";
    let tries = |session: &str| {
        vec![
            ("a request", Request::post(&ping()).in_session(session)),
            ("a call", Request::call(session, 9, "whoami", json!({}))),
            (
                "initialize",
                Request::post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {},
            } }))
                .in_session(session),
            ),
            ("a cancel", Request::post(&cancel).in_session(session)),
            ("an answer", Request::post(&reply).in_session(session)),
            ("GET", get(session)),
            ("the call's stream", resume(session, &call_first)),
            ("the session's stream", resume(session, &own_first)),
            ("DELETE", Request::new("DELETE", "").in_session(session)),
        ]
    };
    for ((name, request), (_, to_unknown)) in tries(&of_alice).into_iter().zip(tries(unknown)) {
        assert_eq!(request.exchange(scene.address).await.status, 401, "{name}");
        for who in ["bob", "alice.client"] {
            let refused = scene.exchange(who, request.clone()).await;
            let none = scene.exchange(who, to_unknown.clone()).await;
            assert_eq!(
                (refused.status, &refused.json()["error"]["code"]),
                (404, &json!(NOT_FOUND)),
                "{name}"
            );
            assert_eq!(refused.body, none.body, "nobody learns whether it is somebody's: {name}");
        }
    }
    // In his own session her ids mean nothing.
    for last in [&call_first, &own_first] {
        let refused = scene.exchange("bob", resume(&of_bob, last)).await;
        let none = scene.exchange("bob", resume(&of_bob, "0123456789abcdef-0")).await;
        assert_eq!((refused.status, refused.body), (400, none.body));
    }
    for message in [&cancel, &reply] {
        let accepted = scene.exchange("bob", Request::post(message).in_session(&of_bob)).await;
        assert_eq!(accepted.status, 202);
    }
    // What goes on in hers is not heard in his: a change that is everybody's comes first there.
    let mut his = scene.stream("bob", get(&of_bob)).await;
    his.fields().await.unwrap();

    // All this has disturbed nothing, also for a newer token of hers.
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "text": "alice's" } });
    let accepted = scene.exchange("alice.refreshed", Request::post(&answer).in_session(&of_alice)).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(text(&asks.fields().await.unwrap().message()), r#"sampled {"text":"alice's"}"#);
    drop(call);
    scene.audience.release();
    let mut back = scene.stream("alice.refreshed", resume(&of_alice, &call_first)).await;
    back.fields().await.unwrap();
    assert_eq!(back.fields().await.unwrap().message()["params"]["progressToken"], 7);
    assert_eq!(text(&back.fields().await.unwrap().message()), "released");
    scene.server.tools().changed();
    for stream in [&mut own, &mut his] {
        let told = stream.fields().await.unwrap().message();
        assert_eq!(told["method"], "notifications/tools/list_changed");
    }
    let deleted = scene.exchange("alice", Request::new("DELETE", "").in_session(&of_alice)).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(scene.exchange("bob", Request::post(&ping()).in_session(&of_bob)).await.status, 200);
}

/// What a server gives one client to bring back is of no use to another.
#[tokio::test]
async fn the_state_of_a_round_is_good_for_its_principal_only() {
    let scene = Scene::new().await;
    let round = |id, state: Option<&Value>| {
        let mut params = json!({ "name": "sample", "arguments": {} });
        if let Some(state) = state {
            params["requestState"] = state.clone();
            params["inputResponses"] = json!({});
        }
        Request::stateless_with(id, "tools/call", params, json!({ "sampling": {} }))
    };
    let asked = scene.exchange("alice", round(1, None)).await.json();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let state = &asked["result"]["requestState"];
    assert!(state.is_string());
    let refused = scene.exchange("bob", round(2, Some(state))).await.json();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let again = scene.exchange("alice.refreshed", round(3, Some(state))).await.json();
    assert_eq!(again["result"]["resultType"], "input_required", "{again}");
}
