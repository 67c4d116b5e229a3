//! The end of an HTTP server: a signal drains it, a second one forces it.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam")]

mod freehold_process;

use freehold_process::{Lines, Server};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Posts one message on a connection of its own and returns the answer's lines.
fn post(address: &str, headers: &str, body: &serde_json::Value) -> Lines {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    Lines::of(stream)
}

/// Opens a session and returns the headers that name it.
fn session(address: &str) -> String {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "0" },
    });
    let answer =
        post(address, "", &json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }));
    let id = answer.until("mcp-session-id").split_once(": ").unwrap().1.to_owned();
    let headers = format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    post(address, &headers, &initialized).until("202");
    headers
}

/// Starts a call of `slow` and returns once it runs.
fn start_slow(address: &str, headers: &str, ms: u64) -> Lines {
    let params = json!({ "name": "slow", "arguments": { "ms": ms }, "_meta": { "progressToken": 1 } });
    let answer = post(
        address,
        headers,
        &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }),
    );
    answer.until("notifications/progress");
    answer
}

#[test]
fn a_signal_lets_a_running_call_be_answered_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let (mut server, address) = Server::http(&[]);
        let headers = session(&address);
        let slow = start_slow(&address, &headers, 1_000);
        server.signal(signal);
        server.stderr.until("draining");
        slow.until("took 1000 ms");
        assert_eq!(server.ended(), Some(0));
        server.stderr.until("drained");
    }
}

#[test]
fn a_drain_cancels_what_takes_longer_than_its_grace() {
    let (mut server, address) = Server::http(&["--drain-grace", "200ms"]);
    let headers = session(&address);
    let _slow = start_slow(&address, &headers, 300_000);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(server.stderr.until("drained").contains("cancelled=1"));
}

#[test]
fn a_second_signal_forces_and_says_so_by_its_exit_code() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let (mut server, address) = Server::http(&["--drain-grace", "10m"]);
        let headers = session(&address);
        let _slow = start_slow(&address, &headers, 300_000);
        server.signal("TERM");
        server.stderr.until("draining");
        server.signal(signal);
        assert_eq!(server.ended(), Some(code));
        server.stderr.until("ended by force");
    }
}

#[test]
fn a_connection_that_is_idle_or_half_a_request_does_not_hold_the_end_up() {
    let (mut server, address) = Server::http(&[]);
    let _idle = TcpStream::connect(&address).unwrap();
    let mut half = TcpStream::connect(&address).unwrap();
    half.write_all(b"POST /mcp HTTP/1.1\r\nHost: ").unwrap();
    session(&address);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    let mut rest = Vec::new();
    let _ = half.read_to_end(&mut rest);
}

/// S-19 on the real process: streams, a subscription, a call that ends soon, one that does not, a client that reads
/// nothing, connections that say nothing.
#[test]
fn a_signal_with_everything_open_ends_it_soon_after_the_grace() {
    const GRACE: Duration = Duration::from_secs(2);
    /// Half a second, and as much again for a busy machine.
    const MARGIN: Duration = Duration::from_secs(1);
    let (mut server, address) = Server::http(&["--drain-grace", "2s"]);
    let (one, two) = (session(&address), session(&address));
    let get = |headers: &str| {
        let request =
            format!("GET /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let lines = Lines::of(stream);
        lines.until("keep-alive");
        lines
    };
    let stream = get(&one);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "_meta": meta, "notifications": { "toolsListChanged": true } });
    let listen = json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params });
    let stateless = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n";
    let subscription = post(&address, stateless, &listen);
    subscription.until("acknowledged");
    let short = start_slow(&address, &one, 1_000);
    let long = start_slow(&address, &two, 300_000);
    let params = json!({ "name": "slow", "arguments": { "ms": 300_000 }, "_meta": { "progressToken": 1 } });
    let unread = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params }).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{two}Content-Length: {}\r\n\r\n{unread}",
        unread.len()
    );
    let mut nobody_reads = TcpStream::connect(&address).unwrap();
    nobody_reads.write_all(head.as_bytes()).unwrap();
    // It runs once its progress begins the answer, which stays unread.
    nobody_reads.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(nobody_reads.peek(&mut [0]).unwrap(), 1);
    let _idle = TcpStream::connect(&address).unwrap();
    let mut half = TcpStream::connect(&address).unwrap();
    half.write_all(b"POST /mcp HTTP/1.1\r\nHost: ").unwrap();

    let begin = Instant::now();
    server.signal("TERM");
    server.stderr.until("draining");
    let echo = json!({ "name": "echo", "arguments": { "text": "too late" } });
    let late = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": echo });
    post(&address, &one, &late).until("-31004");
    short.until("took 1000 ms");
    subscription.until("complete");
    long.until("shutdown");
    assert_eq!(server.ended(), Some(0));
    let took = begin.elapsed();
    assert!(took >= GRACE && took < GRACE + MARGIN, "{took:?}");
    let report = server.stderr.until("drained");
    assert!(report.contains("running=4") && report.contains("cancelled=2"), "{report}");
    // Ended, and properly: the chunk of no bytes.
    assert_eq!(stream.rest().iter().rfind(|line| !line.is_empty()).map(String::as_str), Some("0"));
}
