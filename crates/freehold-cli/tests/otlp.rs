//! `freehold serve` exports its metrics to a collector of OpenTelemetry.

mod freehold_process;

use freehold_process::{Server, freehold, run};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A collector that takes everything: its address, and what comes, as head and body.
fn collector() -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, exports) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() <= 2 {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            // Names and attributes stand in the message as they are.
            if tell.send((head, String::from_utf8_lossy(&body).into_owned())).is_err() {
                return;
            }
        }
    });
    (url, exports)
}

const SERVE: [&str; 4] = ["--http", "127.0.0.1:0", "--admin", "off"];

#[test]
fn the_flag_says_where_and_the_variables_the_rest() {
    let (url, exports) = collector();
    let mut command = freehold(&[&SERVE[..], &["--otlp", &url]].concat());
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://elsewhere.test")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret");
    command.env("OTEL_SERVICE_NAME", "shop").env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let server = Server::start(command);
    server.stderr.until("exporting metrics");
    let (head, body) = exports.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /v1/metrics ") && head.contains("api-key: s3cret\r\n"), "{head}");
    for told in ["freehold_calls_total", "service.name", "shop"] {
        assert!(body.contains(told), "no {told} in {body}");
    }
    exports.recv_timeout(PATIENCE).expect("another one");
}

#[cfg(unix)]
#[test]
fn a_drain_ends_with_one_export_of_all() {
    let (url, exports) = collector();
    let mut command = freehold(&SERVE);
    command.env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("{url}/mine"));
    let mut server = Server::start(command);
    server.stderr.until("exporting metrics");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    let (head, body) =
        exports.recv_timeout(PATIENCE).expect("the last one, long before the first interval is over");
    assert!(head.starts_with("POST /mine ") && body.contains("freehold_draining"), "{head}");
    for told in ["freehold", "service.version", env!("CARGO_PKG_VERSION")] {
        assert!(body.contains(told), "no {told} in {body}");
    }
}

#[test]
fn variables_for_others_are_warned_of_and_a_flag_turns_them_off() {
    let elsewhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://elsewhere.test");
    let mut command = freehold(&SERVE);
    command.env(elsewhere.0, elsewhere.1);
    let server = Server::start(command);
    server.stderr.until("http://127.0.0.1");
    let warning = server.stderr.until("no export of metrics");
    assert!(warning.contains("elsewhere.test"), "{warning}");
    let mut command = freehold(&[&SERVE[..], &["--otlp", "off", "--print-config"]].concat());
    command.env(elsewhere.0, elsewhere.1);
    let (code, config, errors) = run(command);
    assert!(code == Some(0) && config.contains("otlp = \"off\"") && errors.is_empty(), "{config} {errors}");
}
