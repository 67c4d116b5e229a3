//! Sessions end by themselves, once, with everything in them; and there are never more than the cap.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{AtCap, CloseReason, Engine, Limits, OpenError, Session};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{all_gone, builder, call, error, eventually, result, start, within};
use tokio::time::{advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn lives() -> Limits {
    Limits { session_ttl: SECOND * 100, initialize_window: SECOND * 10, ..Limits::default() }
}

fn open(engine: &Engine<u64>) -> Session<u64> {
    let session = engine.open().unwrap();
    assert!(session.mark_initialized());
    session
}

#[tokio::test]
async fn a_session_that_ends_takes_its_calls_and_questions_with_it_once() {
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    let calls: Vec<_> = (0..10).map(|id| start(&engine, &session, id, "obedient", json!(null))).collect();
    let asking: Vec<_> = (10..20).map(|id| start(&engine, &session, id, "ask", json!([id]))).collect();
    probe.entered(20).await;
    assert!(session.close(CloseReason::Client));
    assert!(!session.close(CloseReason::Server), "only the first one ends it");
    assert_eq!(session.closed(), Some(CloseReason::Client));
    for call in calls.into_iter().chain(asking) {
        assert_eq!(error(within(call).await.unwrap()).1["reason"], "sessionClosed");
    }
    all_gone(&engine).await;
    assert_eq!(session.gauges().questions, 0);
    while within(listener.next()).await.is_some() {}
    assert!(engine.session(session.id()).is_err());
    assert_eq!(error(call(&engine, &session, 1, "echo", json!(null)).await).0, -31001);
    assert_eq!((engine.session_count(), engine.counters().sessions_closed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_initializes_or_uses_expires() {
    let (builder, _) = builder();
    let engine = builder.limits(lives()).build().unwrap();
    let (fresh, idle, used) = (engine.open().unwrap(), open(&engine), open(&engine));
    assert!(!used.mark_initialized(), "once");
    sleep(SECOND * 15).await;
    assert_eq!(fresh.closed(), Some(CloseReason::NeverInitialized));
    assert_eq!((idle.closed(), used.closed()), (None, None));
    sleep(SECOND * 50).await;
    call(&engine, &used, 1, "ping", json!(null)).await;
    sleep(SECOND * 50).await;
    assert_eq!((idle.closed(), used.closed()), (Some(CloseReason::Expired), None));
    sleep(SECOND * 60).await;
    assert_eq!(used.closed(), Some(CloseReason::Expired));
    assert_eq!((engine.session_count(), engine.counters().sessions_expired), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_spares_its_session() {
    let (builder, probe) = builder();
    let endless = Limits { deadline: Duration::MAX, deadline_cap: Duration::MAX, ..lives() };
    let engine = builder.limits(endless).build().unwrap();
    let (calls, listens) = (open(&engine), open(&engine));
    let listener = listens.listen();
    let long = start(&engine, &calls, 1, "wait", json!([1]));
    probe.entered(1).await;
    sleep(SECOND * 1_000).await;
    assert_eq!((calls.closed(), listens.closed()), (None, None));
    probe.release(1);
    assert_eq!(result(within(long).await.unwrap()), json!([1]));
    drop(listener);
    sleep(SECOND * 50).await;
    assert_eq!((calls.closed(), listens.closed()), (None, None), "their time begins at the end of the use");
    sleep(SECOND * 70).await;
    assert_eq!((calls.closed(), listens.closed()), (Some(CloseReason::Expired), Some(CloseReason::Expired)));
}

/// Calls the engine back in its drop, then panics.
struct Vicious(Engine<u64>, Arc<AtomicUsize>);

impl Drop for Vicious {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
        let session = self.0.open().unwrap();
        assert!(session.close(CloseReason::Server));
        assert!(self.0.sessions().len() <= 1_000);
        panic!("in the drop of a session's value");
    }
}

/// A session's values are dropped by whichever thread comes by.
#[tokio::test(start_paused = true)]
async fn the_drop_of_a_sessions_values_may_call_the_engine_and_panic() {
    let (builder, _) = builder();
    let engine = builder.limits(lives()).build().unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..5 {
        for _ in 0..200 {
            let vicious = Vicious(engine.clone(), dropped.clone());
            engine.open().unwrap().attach(vicious).map_err(|_| "attached twice").unwrap();
        }
        sleep(SECOND * 60).await;
        assert_eq!(engine.session_count(), 0);
    }
    assert_eq!(engine.counters().sessions_expired, 1_000);
    eventually(|| dropped.load(Ordering::SeqCst) == 1_000).await;
}

#[tokio::test]
async fn at_the_cap_a_session_is_refused() {
    let (builder, _) = builder();
    let engine = builder.limits(Limits { sessions: 3, ..Limits::default() }).build().unwrap();
    let sessions: Vec<_> = (0..3).map(|_| engine.open().unwrap()).collect();
    assert!(matches!(engine.open(), Err(OpenError::Full)));
    assert_eq!(result(call(&engine, &engine.ephemeral(), 1, "echo", json!([1])).await), json!([1]));
    sessions[1].close(CloseReason::Client);
    engine.open().unwrap();
    assert!(matches!(engine.open(), Err(OpenError::Full)));
    assert_eq!(engine.session_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn at_the_cap_the_idlest_gives_way_but_none_that_is_in_use() {
    let (builder, probe) = builder();
    let engine = builder
        .limits(Limits { sessions: 3, ..Limits::default() })
        .at_cap(AtCap::EvictIdlest)
        .build()
        .unwrap();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(engine.open().unwrap());
        advance(SECOND).await;
    }
    call(&engine, &sessions[0], 1, "ping", json!(null)).await;
    engine.open().unwrap();
    assert_eq!(sessions[1].closed(), Some(CloseReason::Evicted));
    let busy: Vec<_> = engine
        .sessions()
        .into_iter()
        .map(|session| start(&engine, &session, 1, "wait", json!([1])))
        .collect();
    probe.entered(3).await;
    assert!(matches!(engine.open(), Err(OpenError::Full)), "all are in use");
    probe.release(3);
    for busy in busy {
        result(within(busy).await.unwrap());
    }
    engine.open().unwrap();
    assert_eq!(engine.session_count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opening_and_closing_from_all_sides_adds_up() {
    let (builder, _) = builder();
    let engine = builder.limits(Limits { sessions: 20, ..Limits::default() }).build().unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let Ok(session) = engine.open() else { return 0 };
                assert!(engine.session_count() <= 20 + 4, "a refused opening counts for an instant");
                tokio::task::yield_now().await;
                let again = engine.session(session.id());
                let closings = [session.close(CloseReason::Client), session.close(CloseReason::Server)];
                assert_eq!(closings, [true, false]);
                assert!(again.is_ok() && engine.session(session.id()).is_err(), "{number}");
                1
            })
        })
        .collect();
    let mut opened = 0;
    for task in tasks {
        opened += within(task).await.unwrap();
    }
    let counters = engine.counters();
    assert_eq!((counters.sessions_opened, counters.sessions_closed), (opened, opened));
    assert_eq!((engine.session_count(), engine.sessions().len()), (0, 0));
}

#[tokio::test]
async fn a_session_that_its_preparation_closes_leaves_no_place_taken() {
    let (builder, _) = builder();
    let engine = builder.limits(Limits { sessions: 1, ..Limits::default() }).build().unwrap();
    for _ in 0..3 {
        let stillborn = engine.open_with(|session| assert!(session.close(CloseReason::Server))).unwrap();
        assert!(engine.session(stillborn.id()).is_err());
        assert_eq!(engine.session_count(), 0);
    }
    engine.open().unwrap();
}

#[tokio::test]
async fn one_of_many_initializes_a_session() {
    let (builder, _) = builder();
    let engine = builder.build().unwrap();
    for _ in 0..100 {
        let session = engine.open().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let session = session.clone();
                std::thread::spawn(move || session.mark_initialized())
            })
            .collect();
        let first = threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count();
        assert_eq!(first, 1);
    }
    eventually(|| engine.session_count() == 100).await;
}
