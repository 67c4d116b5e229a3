//! Hooks run once for each event, under no lock of the engine, and may call it back or panic.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{CloseReason, Engine, Session};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{all_gone, builder, call, error, eventually, result, start, within};

type Counts = Arc<Mutex<BTreeMap<&'static str, usize>>>;

fn count(counts: &Counts, hook: &'static str) {
    *counts.lock().unwrap().entry(hook).or_default() += 1;
}

/// What every hook does to the engine: all that could wait for what the hook's own caller holds.
fn call_back(session: &Session<u64>) {
    let engine: Engine<u64> = session.engine();
    assert!(engine.sessions().len() <= 100);
    let _ = engine.calls();
    engine.broadcast("changed", &[1], |_| true).unwrap();
    engine.publish("topic", "changed", &[1]).unwrap();
    session.subscribe("topic");
    session.notify("n", &[1]).unwrap();
    session.cancel(&999.into(), None);
    let _ = (session.gauges(), session.listen(), session.mark_initialized());
    assert!(engine.session(session.id()).is_ok() || session.closed().is_some());
}

fn hooked(calls_back: bool, panics: bool) -> (Engine<u64>, Counts) {
    let counts = Counts::default();
    let hook = |name: &'static str| {
        let counts = counts.clone();
        move |session: &Session<u64>| {
            count(&counts, name);
            // Those of the hook itself would go on for ever.
            if calls_back && name != "initialized" && name != "dropped" {
                call_back(session);
            }
            assert!(!panics, "in a hook");
        }
    };
    let (called, closed, begun) = (hook("called"), hook("closed"), counts.clone());
    let engine = builder()
        .0
        .on_opened(hook("opened"))
        .on_initialized(hook("initialized"))
        .on_called(move |session, _| called(session))
        .on_closed(move |session, _| {
            assert!(!session.close(CloseReason::Server), "it is closed");
            closed(session);
        })
        .on_subscriber_dropped(hook("dropped"))
        .on_shutdown_begun(move || {
            count(&begun, "begun");
            assert!(!panics, "in a hook");
        })
        .build()
        .unwrap();
    (engine, counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_hook_runs_once_for_its_event_and_may_call_the_engine() {
    let (engine, counts) = hooked(true, false);
    let sessions: Vec<_> = (0..25).map(|_| engine.open().unwrap()).collect();
    for (id, session) in (0..).zip(&sessions) {
        assert!(!session.mark_initialized(), "the opened hook did");
        assert_eq!(result(call(&engine, session, id, "echo", json!([id])).await), json!([id]));
    }
    // All at the same moment, by three ways mixed, and each twice.
    let closing: Vec<_> = sessions
        .iter()
        .flat_map(|session| [session.clone(), session.clone()])
        .enumerate()
        .map(|(number, session)| {
            let reason = [CloseReason::Client, CloseReason::Server, CloseReason::Disconnected][number % 3];
            tokio::spawn(async move { session.close(reason) })
        })
        .collect();
    let mut first = 0;
    for closing in closing {
        first += usize::from(within(closing).await.unwrap());
    }
    assert_eq!((first, engine.session_count()), (25, 0));
    let session = engine.open().unwrap();
    assert_eq!(result(call(&engine, &session, 1, "echo", json!([1])).await), json!([1]));
    drop(session.listen());
    within(engine.drain(Duration::ZERO)).await;
    within(engine.drain(Duration::ZERO)).await;
    all_gone(&engine).await;
    let counts = counts.lock().unwrap().clone();
    // Each call back of the other three listens and stops again.
    let expected = BTreeMap::from([
        ("opened", 26),
        ("initialized", 26),
        ("called", 26),
        ("closed", 26),
        ("dropped", 26 * 3 + 1),
        ("begun", 1),
    ]);
    assert_eq!((counts, engine.counters().hook_panics), (expected, 0));
}

#[tokio::test]
async fn a_hook_that_panics_is_counted_and_stops_nothing() {
    let (engine, counts) = hooked(false, true);
    let session = engine.open().unwrap();
    assert!(session.mark_initialized());
    drop(session.listen());
    assert_eq!(result(call(&engine, &session, 1, "echo", json!([1])).await), json!([1]));
    assert!(session.close(CloseReason::Client));
    within(engine.drain(Duration::ZERO)).await;
    all_gone(&engine).await;
    assert_eq!(counts.lock().unwrap().values().sum::<usize>(), 6);
    assert_eq!((engine.counters().hook_panics, engine.session_count()), (6, 0));
}

#[tokio::test]
async fn hooks_may_close_sessions() {
    let (in_opened, probe) = builder();
    let engine = in_opened
        .on_opened(|session| {
            session.close(CloseReason::Server);
        })
        .build()
        .unwrap();
    let stillborn = engine.open().unwrap();
    assert_eq!((stillborn.closed(), engine.session_count()), (Some(CloseReason::Server), 0));
    drop(probe);

    let (in_called, probe) = builder();
    let engine = in_called
        .on_called(|session, _| {
            session.close(CloseReason::Server);
        })
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    assert_eq!(error(call(&engine, &session, 1, "wait", json!([1])).await).1["reason"], "sessionClosed");
    all_gone(&engine).await;
    assert_eq!(probe.logged(), [""; 0], "a handler whose call has ended is not started");

    let (in_closed, probe) = builder();
    let engine = in_closed
        .on_closed(|session, _| {
            for other in session.engine().sessions() {
                other.close(CloseReason::Server);
            }
        })
        .build()
        .unwrap();
    let sessions: Vec<_> = (0..25).map(|_| engine.open().unwrap()).collect();
    let waiting = start(&engine, &sessions[9], 1, "obedient", json!(null));
    probe.entered(1).await;
    sessions[0].close(CloseReason::Client);
    assert_eq!(error(within(waiting).await.unwrap()).0, -32800);
    eventually(|| engine.session_count() == 0).await;
    assert_eq!(engine.counters().sessions_closed, 25);
}

/// Closes the next session, from inside of the hook that says that one was closed.
#[tokio::test]
async fn a_hook_that_causes_the_next_one_needs_no_deeper_stack() {
    const SESSIONS: usize = 10_000;
    let (depth, deepest, runs) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let seen = (depth.clone(), deepest.clone(), runs.clone());
    let next = Arc::new(Mutex::new(Vec::<Session<u64>>::new()));
    let row = next.clone();
    let engine = builder()
        .0
        .on_closed(move |_, _| {
            let (depth, deepest, runs) = &seen;
            runs.fetch_add(1, Ordering::Relaxed);
            deepest.fetch_max(depth.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            let next = row.lock().unwrap().pop();
            assert!(next.is_none_or(|next| next.close(CloseReason::Server)));
            depth.fetch_sub(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let first = engine.open().unwrap();
    *next.lock().unwrap() = (1..SESSIONS).map(|_| engine.open().unwrap()).collect();
    assert!(first.close(CloseReason::Server));
    // All of it happened before the first `close` returned.
    assert_eq!((runs.load(Ordering::Relaxed), engine.session_count()), (SESSIONS, 0));
    assert_eq!((deepest.load(Ordering::Relaxed), engine.counters().hook_panics), (0, 0));
}
