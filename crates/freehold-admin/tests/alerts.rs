//! Alerts arrive; a receiver that is dead or never comes back blocks nothing.

mod watched;

use freehold::{
    Limits,
    runtime::{Runtime, TokioRuntime},
};
use freehold_admin::{AdminOptions, Alert, ReceiveAlert, Telemetry, Webhook, limits};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};
use watched::{LIMIT, Watched, eventually};

/// A webhook receiver that answers so: its address, and the bodies that come.
fn receiver(answer: &'static str) -> (String, Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/alerts?from=freehold", listener.local_addr().unwrap());
    let (tell, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let _ = (&stream).write_all(answer.as_bytes());
            if tell.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

fn watched_by(receivers: Vec<Box<dyn ReceiveAlert>>, limits: Limits) -> std::sync::Arc<Watched> {
    Watched::with(Telemetry::with_receivers(receivers).unwrap(), AdminOptions::default(), limits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_deadlocks_breakers_and_findings() {
    let (url, bodies) = receiver("HTTP/1.1 204 No Content\r\n\r\n");
    let limits = Limits { soft_limit: Duration::from_millis(50), ..Limits::default() };
    let watched = watched_by(vec![Box::new(Webhook::new(&url).unwrap())], limits);
    let next = |kind: &str| loop {
        let body = bodies.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no {kind}"));
        if body["kind"] == kind {
            return body;
        }
    };
    watched.deadlock().await;
    let deadlock = next("deadlock_proven");
    assert!(deadlock["report"].as_str().unwrap().starts_with("FH-"), "{deadlock}");
    assert!(deadlock["advice"].as_str().unwrap().contains("one order"), "{deadlock}");
    for _ in 0..50 {
        watched.call("fail", 0).await;
    }
    let breaker = next("breaker_opened");
    assert!(
        breaker["subject"] == "fail" && breaker["summary"].as_str().unwrap().contains("closed to open"),
        "{breaker}"
    );
    watched.start("wait", 0);
    assert_eq!(next("call_slow")["subject"], "wait");
    watched.shelf.go.add_permits(1);
    watched.call("block", 300).await;
    assert_eq!(next("thread_blocked")["subject"], "block");
    next("thread_unblocked");
    eventually("the count", || watched.metric("freehold_alerts_total{result=\"delivered\"}") >= 5.0).await;
    assert_eq!(watched.metric("freehold_alerts_total{result=\"failed\"}"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_are_dead_refuse_or_panic_are_counted_and_disturb_nobody() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = Webhook::new(&format!("http://{gone}/")).unwrap();
    let (url, refused) = receiver("HTTP/1.1 500 No\r\n\r\n");
    let (tell, told) = channel();
    let well = move |alert: &Alert| {
        let _ = tell.send(alert.kind);
        Ok(())
    };
    let panics = |_: &Alert| -> std::io::Result<()> { panic!("as a receiver may") };
    let receivers: Vec<Box<dyn ReceiveAlert>> =
        vec![Box::new(dead), Box::new(Webhook::new(&url).unwrap()), Box::new(panics), Box::new(well)];
    let watched = watched_by(receivers, Limits::default());
    watched.deadlock().await;
    told.recv_timeout(LIMIT).unwrap();
    refused.recv_timeout(LIMIT).unwrap();
    eventually("three failures", || watched.metric("freehold_alerts_total{result=\"failed\"}") == 3.0).await;
    assert_eq!(watched.metric("freehold_alerts_total{result=\"delivered\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_never_comes_back_delays_no_call_and_loses_what_is_too_much() {
    // It accepts and says nothing for ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let webhook = Webhook::new(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
    let (stay, stays) = channel::<()>();
    let stuck = move |_: &Alert| {
        let _ = stays.recv();
        Ok(())
    };
    let watched = watched_by(vec![Box::new(webhook), Box::new(stuck)], Limits::default());
    let begun = TokioRuntime.now();
    for _ in 0..limits::ALERTS + 20 {
        watched.deadlock().await;
        assert!(watched.call("echo", 1).await);
    }
    // Nobody waited for the 5 s that a webhook may take, let alone for all of them.
    assert!(TokioRuntime.now() - begun < LIMIT, "{:?}", TokioRuntime.now() - begun);
    let lost = watched.metric("freehold_alerts_total{result=\"lost\"}");
    assert!(lost >= 20.0, "{lost}");
    drop(stay);
}
