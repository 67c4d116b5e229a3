//! The admin page of `freehold serve`, `freehold inspect` and `freehold check`.

mod freehold_process;

use freehold_admin::HttpUrl;
use freehold_process::{Server, freehold, other, run};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server, its `HOST:PORT` and that of its admin page.
fn with_admin(arguments: &[&str]) -> (Server, String, String) {
    let (server, address) = Server::http(&[&["--admin", "127.0.0.1:0"], arguments].concat());
    let line = server.stderr.until("the admin page");
    let admin = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    (server, address, admin)
}

fn get(admin: &str, path: &str) -> (u16, String) {
    let url: HttpUrl = format!("http://{admin}{path}").parse().unwrap();
    let answer = url.get(None, PATIENCE).unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// Sends a stateless call of a tool; returns its connection.
fn call(address: &str, tool: &str, arguments: &serde_json::Value) -> TcpStream {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nAccept: application/json, text/event-stream\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

#[test]
fn serve_tells_where_its_page_is_and_shows_what_it_does_there() {
    let (server, address, admin) = with_admin(&[]);
    server.stdout.until(&format!("http://{admin}/"));
    let mut answer = String::new();
    call(&address, "echo", &json!({ "text": "hello" })).read_to_string(&mut answer).unwrap();
    assert!(answer.contains("hello"), "{answer}");
    let (status, page) = get(&admin, "/");
    assert!(status == 200 && page.contains("Running handlers"), "{page}");
    let (_, metrics) = get(&admin, "/metrics");
    let echoed =
        "freehold_call_duration_seconds_count{method=\"tools/call\",subject=\"echo\",outcome=\"answered\"} 1";
    assert!(metrics.contains(echoed), "{metrics}");
    assert_eq!(get(&admin, "/readyz"), (200, "ready\n".to_owned()));
}

#[cfg(unix)]
#[test]
fn it_is_not_ready_while_it_drains_and_answers_until_the_end() {
    let (mut server, address, admin) = with_admin(&[]);
    let _slow = call(&address, "slow", &json!({ "ms": 300_000 }));
    // The tool of a call, not the counter of the same name.
    while !get(&admin, "/admin/inspect").1.contains(":\"slow\"") {}
    server.signal("TERM");
    server.stderr.until("draining");
    // A look serves all who ask within a tenth of a second.
    let why = loop {
        match get(&admin, "/readyz") {
            (503, why) => break why,
            (status, _) => assert_eq!(status, 200),
        }
    };
    assert!(why.contains("draining"), "{why}");
    assert_eq!(get(&admin, "/livez").0, 200);
    let url = format!("http://{admin}/");
    assert_eq!(run(other(&["health", "--url", &url])), (Some(0), "alive\n".to_owned(), String::new()));
    let (code, _, errors) = run(other(&["health", "--ready", "--url", &url]));
    assert!(code == Some(1) && errors.contains("status 503: not ready; draining"), "{code:?} {errors}");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(143));
}

#[test]
fn an_address_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, errors) = run(freehold(&["--http", "127.0.0.1:0", "--admin", &address]));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains(&address) && errors.contains("--admin off"), "{errors}");
}

#[test]
fn the_default_address_that_is_taken_is_only_warned_of() {
    // Somebody has it now: this test or another program.
    let _taken = TcpListener::bind("127.0.0.1:8809");
    let (server, address) = Server::http(&[]);
    server.stderr.until("no admin page");
    let mut answer = String::new();
    call(&address, "echo", &json!({ "text": "all the same" })).read_to_string(&mut answer).unwrap();
    assert!(answer.contains("all the same"), "{answer}");
}

#[test]
fn settings_that_would_open_it_to_others_or_make_no_sense_are_refused() {
    for (arguments, told) in [
        (["--admin", "0.0.0.0:0"], "FREEHOLD_ADMIN_TOKEN"),
        (["--admin", "nowhere"], "HOST:PORT"),
        (["--admin-token", "a b"], "token"),
        (["--alert-webhook", "https://alerts.test/"], "forwarder"),
        (["--otlp", "https://collector.test:4318"], "proxy on this machine"),
    ] {
        let (code, _, errors) = run(freehold(&[&["--http", "127.0.0.1:0"], &arguments[..]].concat()));
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(told), "{arguments:?}: {errors}");
    }
    let mut command = freehold(&["--print-config"]);
    command.env("FREEHOLD_ADMIN_TOKEN", "s3cret");
    let (_, settings, _) = run(command);
    assert!(!settings.contains("s3cret") && settings.contains("admin-token is set"), "{settings}");
}

#[test]
fn inspect_shows_calls_as_text_and_as_json() {
    let (_server, address, admin) = with_admin(&["--admin-token", "s3cret"]);
    let _slow = call(&address, "slow", &json!({ "ms": 300_000 }));
    let url = format!("http://{admin}/");
    let inspect =
        |more: &[&str]| run(other(&[&["inspect", "--url", &url, "--token", "s3cret"], more].concat()));
    // Not its name alone: a counter has it, too.
    while !inspect(&["--json"]).1.contains(r#""subject":"slow""#) {}
    let (code, text, errors) = inspect(&[]);
    assert_eq!((code, &*errors), (Some(0), ""));
    assert!(text.starts_with("ready: 1 calls") && text.contains("1 x tools/call slow"), "{text}");
    let (_, found, _) = inspect(&["--search", "SLOW", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(
        (&found["calls"]["matching"], &found["calls"]["listed"][0]["subject"]),
        (&json!(1), &json!("slow"))
    );
    let (_, none, _) = inspect(&["--search", "no such & thing?", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&none).unwrap()["calls"]["matching"], 0);

    let (code, _, errors) = run(other(&["inspect", "--url", &url]));
    assert!(code == Some(1) && errors.contains("FREEHOLD_ADMIN_TOKEN"), "{errors}");
    let (code, _, errors) = run(other(&["inspect", "--url", &format!("http://{address}/"), "--token", "t"]));
    assert!(code == Some(1) && errors.contains("is no admin address"), "{errors}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, errors) = run(other(&["inspect", "--url", &format!("http://{nobody}/")]));
    assert!(code == Some(1) && errors.contains("does not answer"), "{errors}");
}

#[test]
fn inspect_watches() {
    let (_server, _address, admin) = with_admin(&[]);
    let watching = Server::start(other(&["inspect", "--watch", "--url", &format!("http://{admin}/")]));
    for _ in 0..2 {
        watching.stdout.until("ready: 0 calls");
    }
}

/// As `Deadlock::to_json` writes it.
fn report() -> serde_json::Value {
    let actor =
        |number: u64| json!({ "number": number, "name": "transfer", "site": null, "foreign_wakers": 0 });
    let edge = |waiter, holder, class: &str| {
        json!({
            "waiter": actor(waiter), "lock": { "class": class, "address": "0x10" }, "mode": "lock",
            "waited_nanos": 42_000, "waits_at": "src/bank.rs:7:22", "holder": actor(holder),
            "held_at": "src/bank.rs:5:21", "held_nanos": null,
        })
    };
    json!({
        "id": "FH-7", "fingerprint": "00ff", "grade": "PROVEN", "headline": "PROVEN ring of 2 over a -> b",
        "ring": true, "behind": 3, "action": "victim", "victim": 1, "suggested_order": ["a", "b"],
        "advice": "take these in one order everywhere, for example a, then b",
        "edges": [edge(1, 2, "a"), edge(2, 1, "b")],
    })
}

#[test]
fn check_explains_a_report() {
    let folder = std::env::temp_dir().join(format!("freehold-check-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("report.json");
    fs::write(&file, report().to_string()).unwrap();
    let (code, text, errors) = run(other(&["check", file.to_str().unwrap()]));
    assert_eq!((code, &*errors), (Some(0), ""));
    for part in [
        "FH-7: PROVEN ring of 2",
        "None of them could have gone on by itself",
        "1. transfer (#1) waits at src/bank.rs:7:22 for a (lock), for 42.0µs",
        "which transfer (#2) has, taken at src/bank.rs:5:21",
        "3 more wait behind them",
        "the wait of transfer (#2) failed",
        "What to change: take these in one order everywhere",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    fs::write(&file, "{\"id\": 1}").unwrap();
    let (code, _, errors) = run(other(&["check", file.to_str().unwrap()]));
    assert!(code == Some(2) && errors.contains("no deadlock report"), "{errors}");
    let (code, _, errors) = run(other(&["check", folder.join("none").to_str().unwrap()]));
    assert!(code == Some(2) && errors.contains("cannot read"), "{errors}");
    fs::remove_dir_all(&folder).unwrap();
}
