//! `freehold serve --stdio`: one client, and nothing but the protocol on standard output.

mod freehold_process;

use freehold_process::{Lines, Server, freehold};
use serde_json::{Value, json};
use std::{io::Write, process::Stdio};

/// How often something is asked until it is so. More than enough: it takes a few.
const ATTEMPTS: u32 = 100_000;

fn request(id: u64, method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn call(id: u64, tool: &str, arguments: Value) -> String {
    request(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
}

fn next(server: &Server) -> Value {
    let line = server.stdout.next();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn initialized(arguments: &[&str]) -> Server {
    let mut server = Server::start(freehold(&[&["--stdio"], arguments].concat()));
    let client = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "0" },
    });
    server.write_line(&request(0, "initialize", client));
    assert_eq!(next(&server)["result"]["serverInfo"]["name"], "freehold");
    server.write_line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    server
}

#[test]
fn a_round_trip_with_the_loudest_log_leaves_standard_output_to_the_protocol() {
    let mut server = initialized(&["--log", "trace"]);
    server.write_line(&request(1, "tools/list", json!({})));
    let tools = next(&server)["result"]["tools"].clone();
    let names: Vec<_> = tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["audit", "balance", "deposit", "echo", "open_account", "slow", "transfer"]);

    server.write_line(&call(2, "echo", json!({ "text": "zwei\nZeilen" })));
    assert_eq!(next(&server)["result"]["content"][0]["text"], "zwei\nZeilen");

    server.write_line("{ no json");
    assert_eq!(next(&server)["error"]["code"], -32700);

    drop(server.stdin.take());
    assert_eq!(server.ended(), Some(0));
    let rest = std::mem::replace(&mut server.stdout, Lines::of(std::io::empty())).rest();
    assert!(rest.is_empty(), "{rest:?}");
}

/// The threads are there, by the names that the system knows, and the tools answer.
#[test]
fn tools_have_threads_of_their_own_if_asked() {
    for threads in [0, 3] {
        let mut server = initialized(&["--tool-threads", &threads.to_string()]);
        server.write_line(&call(1, "echo", json!({ "text": "here" })));
        assert_eq!(next(&server)["result"]["content"][0]["text"], "here");
        #[cfg(target_os = "linux")]
        {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
            let name = |task: std::io::Result<std::fs::DirEntry>| {
                std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
            };
            assert_eq!(tasks.map(name).filter(|name| name.starts_with("freehold-tools")).count(), threads);
        }
        drop(server.stdin.take());
        assert_eq!(server.ended(), Some(0));
    }
}

#[test]
fn log_lines_are_json_if_asked() {
    let server = initialized(&["--log-format", "json", "--log", "debug"]);
    for _ in 0..2 {
        let line = server.stderr.next();
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string());
    }
}

#[test]
fn the_ledger_answers_with_structures_and_refuses_with_words() {
    let mut server = initialized(&[]);
    let mut ask = |id, tool, arguments| {
        server.write_line(&call(id, tool, arguments));
        next(&server)["result"].clone()
    };
    let opened = ask(1, "open_account", json!({ "owner": "Ada", "balance": 500 }));
    let ada = opened["structuredContent"]["account"].clone();
    let bob = ask(2, "open_account", json!({ "owner": "Bob" }))["structuredContent"]["account"].clone();
    assert_eq!(
        ask(3, "deposit", json!({ "account": bob, "amount": 20 }))["structuredContent"]["balance"],
        20
    );
    let moved = ask(4, "transfer", json!({ "from": ada, "to": bob, "amount": 200, "pause_ms": 1 }));
    assert_eq!(moved["isError"], Value::Null);
    assert_eq!(ask(5, "balance", json!({ "account": ada }))["structuredContent"]["balance"], 300);
    let audit = json!({
        "accounts": 2, "balances": 520, "in_transit": 0, "total": 520, "paid_in": 520, "balanced": true,
    });
    assert_eq!(ask(6, "audit", json!({}))["structuredContent"], audit);
    for (tool, arguments, words) in [
        ("transfer", json!({ "from": ada, "to": bob, "amount": 301 }), "300 cents"),
        ("transfer", json!({ "from": ada, "to": ada, "amount": 1 }), "same account"),
        ("transfer", json!({ "from": ada, "to": bob, "amount": 0 }), "more than zero"),
        ("transfer", json!({ "from": ada, "to": "nobody", "amount": 1 }), "no account nobody"),
        ("deposit", json!({ "account": ada, "amount": u64::MAX }), "can count"),
        ("deposit", json!({ "account": ada, "amount": -1 }), "arguments"),
    ] {
        let refused = ask(7, tool, arguments);
        assert_eq!(refused["isError"], true);
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(ask(8, "audit", json!({}))["structuredContent"], audit);
}

#[test]
fn a_transfer_that_its_client_cancels_gives_the_money_back() {
    let mut server = initialized(&[]);
    let open = |id| call(id, "open_account", json!({ "owner": "somebody", "balance": 100 }));
    server.write_line(&open(1));
    let from = next(&server)["result"]["structuredContent"]["account"].clone();
    server.write_line(&open(2));
    let to = next(&server)["result"]["structuredContent"]["account"].clone();
    server.write_line(&call(
        3,
        "transfer",
        json!({ "from": from, "to": to, "amount": 60, "pause_ms": 3_600_000 }),
    ));
    let mut id = 4;
    let mut in_transit = |server: &mut Server| {
        id += 1;
        server.write_line(&call(id, "audit", json!({})));
        let audit = next(server);
        assert_eq!((&audit["id"], &audit["result"]["structuredContent"]["total"]), (&json!(id), &json!(200)));
        audit["result"]["structuredContent"]["in_transit"].clone()
    };
    assert!((0..ATTEMPTS).any(|_| in_transit(&mut server) == 60));
    let params = json!({ "requestId": 3 });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    server.write_line(&cancel.to_string());
    assert!((0..ATTEMPTS).any(|_| in_transit(&mut server) == 0));
    server.write_line(&call(3, "balance", json!({ "account": from })));
    assert_eq!(next(&server)["result"]["structuredContent"]["balance"], 100);
}

#[test]
fn slow_reports_progress_that_grows_and_ends_before_its_answer() {
    let mut server = initialized(&["--timeout", "400ms"]);
    let params = json!({ "name": "slow", "arguments": { "ms": 1000 }, "_meta": { "progressToken": "p" } });
    server.write_line(&request(1, "tools/call", params));
    let mut last = -1.0;
    let mut steps = 0;
    let answer = loop {
        let message = next(&server);
        if message["id"] == 1 {
            break message;
        }
        let progress = message["params"]["progress"].as_f64().unwrap();
        assert!(progress > last && progress <= message["params"]["total"].as_f64().unwrap(), "{message}");
        last = progress;
        steps += 1;
    };
    // Longer than the timeout: progress begins it anew.
    assert_eq!((answer["result"]["content"][0]["text"].as_str(), steps), (Some("took 1000 ms"), 10));
    server.write_line(&request(2, "ping", json!({})));
    assert_eq!(next(&server)["id"], 2);
}

#[test]
fn a_client_that_closes_only_its_reading_end_ends_the_server() {
    let mut command = freehold(&["--stdio"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    writeln!(child.stdin.as_ref().unwrap(), "{}", request(1, "ping", json!({}))).unwrap();
    assert_eq!(freehold_process::ended(&mut child), Some(0));
}

#[test]
fn log_lines_that_nobody_reads_hold_nothing_up() {
    /// Their log lines are far more than what a pipe holds.
    const PINGS: u64 = 5_000;
    let mut command = freehold(&["--stdio", "--log", "trace"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _unread = child.stderr.take();
    let answers = Lines::of(child.stdout.take().unwrap());
    let mut input = child.stdin.take().unwrap();
    for id in 0..PINGS {
        writeln!(input, "{}", request(id, "ping", json!({}))).unwrap();
        answers.next();
    }
    drop(input);
    assert_eq!(freehold_process::ended(&mut child), Some(0));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_although_its_input_stays_open() {
    let mut server = initialized(&[]);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
}

/// A client that started the server may look into it, also while it has as many calls as it takes.
#[test]
fn the_client_may_inspect_a_stuck_server_if_asked() {
    let mut server = initialized(&["--mcp-inspection", "--max-calls", "1", "--admin", "off"]);
    server.write_line(&call(1, "slow", json!({ "ms": 300_000 })));
    let mut seen = Value::Null;
    for id in 2..ATTEMPTS {
        server.write_line(&call(id.into(), "freehold_inspect", json!({ "search": "slow" })));
        let answer = next(&server);
        seen = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        if seen["calls"]["listed"][0]["stage"] == "handler" {
            break;
        }
    }
    assert_eq!(seen["calls"]["listed"][0]["subject"], "slow", "{seen}");
    server.write_line(&call(3, "echo", json!({ "text": "no place" })));
    assert!(next(&server)["error"]["message"].as_str().unwrap().contains("too many calls"));
    server.write_line(&request(4, "tools/list", json!({})));
    assert_eq!(next(&server)["result"]["tools"][0]["name"], "freehold_inspect");
    server.write_line(&request(5, "resources/read", json!({ "uri": "freehold://metrics" })));
    let read = next(&server);
    let text = read["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read}"));
    assert!(text.contains("freehold_calls_in_flight 1"), "{text}");
}

#[test]
fn over_http_the_inspection_is_refused() {
    let (code, _, errors) = freehold_process::run(freehold(&["--http", "127.0.0.1:0", "--mcp-inspection"]));
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("--stdio") && errors.contains("--admin"), "{errors}");
}
