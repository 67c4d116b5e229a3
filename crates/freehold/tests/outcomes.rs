//! Every request has exactly one outcome, and every outcome gives back what its call held.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    CancelReason, Dispatched, Engine, Event, Limits, Message, Notification, RequestId, Route, Step,
};
use serde_json::json;
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};
use support::{all_gone, builder, call, error, eventually, request, result, start, within};

const INTERNAL: i32 = -32603;

fn one_slot() -> Limits {
    Limits { running_per_session: 1, ..Limits::default() }
}

#[tokio::test]
async fn a_panic_anywhere_in_a_handler_is_an_internal_error_and_costs_no_slot() {
    let (builder, _) = builder();
    let engine = builder.limits(one_slot()).build().unwrap();
    let (session, other) = (engine.open().unwrap(), engine.open().unwrap());
    for id in 0..100 {
        for method in ["panics_at_once", "panics_later", "panics_in_drop"] {
            let answer = call(&engine, &session, id, method, json!(null)).await;
            let text = String::from_utf8(answer.clone().unwrap().encode()).unwrap();
            assert!(!text.contains("secret"), "{text}");
            assert_eq!(error(answer).0, INTERNAL, "{method}");
        }
        assert_eq!(result(call(&engine, &session, id, "echo", json!([id])).await), json!([id]));
        assert_eq!(result(call(&engine, &other, id, "echo", json!([id])).await), json!([id]));
    }
    all_gone(&engine).await;
    assert_eq!((engine.counters().panicked, engine.counters().answered), (300, 200));
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_cancelled_handler_costs_no_slot() {
    let (builder, probe) = builder();
    let limits = Limits { cancel_grace: std::time::Duration::ZERO, ..one_slot() };
    let engine = builder.limits(limits).build().unwrap();
    let session = engine.open().unwrap();
    for id in 0..20 {
        let running = start(&engine, &session, id, "bomb", json!(null));
        probe.entered(1).await;
        assert!(session.cancel(&id.into(), None));
        assert_eq!(error(within(running).await.unwrap()).0, -32800);
    }
    all_gone(&engine).await;
    assert_eq!(engine.counters().abandoned, 20);
}

#[tokio::test]
async fn a_panic_whose_payload_panics_in_its_drop_is_contained() {
    async fn vicious(_: &support::Ctx, (): ()) -> support::Answer {
        std::panic::panic_any(support::PanicsInDrop)
    }
    let engine = Engine::builder(0).method("vicious", vicious).build().unwrap();
    let session = engine.open().unwrap();
    assert_eq!(error(call(&engine, &session, 1, "vicious", json!(null)).await).0, INTERNAL);
    all_gone(&engine).await;
}

#[tokio::test]
async fn several_observers_hear_the_same_in_order_and_the_panic_of_one_keeps_nothing_from_the_next() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listen = |name: &'static str| {
        let heard = heard.clone();
        move |event: &Event<'_>| {
            if let Event::SessionOpened { .. } = event {
                heard.lock().unwrap().push(name);
            }
            assert_ne!(name, "panics", "as it was told");
        }
    };
    let builder = Engine::builder(()).observer(listen("first")).observer(listen("panics"));
    let engine = builder.observer(listen("last")).build().unwrap();
    engine.open().unwrap();
    assert_eq!(*heard.lock().unwrap(), ["first", "panics", "last"]);
    assert_eq!(engine.counters().observer_panics, 1);
}

#[tokio::test]
async fn an_observer_that_panics_takes_no_answer_with_it() {
    let (builder, _) = builder();
    let engine = builder.observer(|_: &Event<'_>| panic!("in the observer")).build().unwrap();
    let session = engine.open().unwrap();
    assert_eq!(result(call(&engine, &session, 1, "echo", json!([1])).await), json!([1]));
    assert_eq!(engine.counters().observer_panics, 2, "the session's opening and the call's end");
}

#[tokio::test]
async fn a_duplicate_id_is_refused_and_the_first_caller_never_notices() {
    let (builder, probe) = builder();
    let engine = builder.build().unwrap();
    let (session, other) = (engine.open().unwrap(), engine.open().unwrap());
    let first = start(&engine, &session, 7, "wait", json!(["first"]));
    probe.entered(1).await;
    assert_eq!(error(call(&engine, &session, 7, "echo", json!(null)).await).0, -32600);
    assert_eq!(result(call(&engine, &other, 7, "echo", json!([1])).await), json!([1]), "another session");
    probe.release(1);
    assert_eq!(result(within(first).await.unwrap()), json!(["first"]));
    assert_eq!(result(call(&engine, &session, 7, "echo", json!([2])).await), json!([2]), "free again");
    all_gone(&engine).await;
    assert_eq!(engine.counters().duplicate_id, 1);
}

#[tokio::test]
async fn what_is_no_call_is_answered_too() {
    let (builder, _) = builder();
    let engine = builder
        .control::<()>("control that panics", |_, _| panic!("in a control method"))
        .limits(Limits { answer_bytes: 100, ..Limits::default() })
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let big = json!("x".repeat(200));
    for (method, params, code) in [
        ("no such method", json!(null), -32601),
        ("never", json!([1]), -32602),
        ("control that panics", json!(null), INTERNAL),
        ("echo", big, -31005),
    ] {
        assert_eq!(error(call(&engine, &session, 1, method, params).await).0, code, "{method}");
    }
    let unknown = Message::Notification(Notification::new("no such method", &()).unwrap());
    assert!(engine.process(&session, unknown).await.is_none());
    assert_eq!(engine.counters().unknown_notifications, 1);
    session.close(freehold::CloseReason::Server);
    assert_eq!(error(call(&engine, &session, 1, "ping", json!(null)).await).0, -31001);
    assert_eq!(error(call(&engine, &session, 1, "echo", json!(null)).await).0, -31001);
    assert_eq!(engine.counters().calls_ended(), 6);
    all_gone(&engine).await;
}

#[tokio::test]
async fn a_handle_gives_its_slot_back_however_it_ends_before_its_first_poll() {
    let (builder, probe) = builder();
    let engine = builder.limits(one_slot()).build().unwrap();
    let session = engine.open().unwrap();
    let running =
        |id: i64| match engine.dispatch(&session, request(id, "obedient", &json!(null)), Route::Call) {
            Dispatched::Running(handle) => handle,
            other => panic!("expected a call, got {other:?}"),
        };
    drop(running(1));
    all_gone(&engine).await;

    let mut settled = running(2);
    assert!(settled.cancel(CancelReason::Client));
    let Step::End(answer) = within(settled.next()).await else { panic!("expected the end") };
    assert_eq!(error(answer).0, -32800);
    all_gone(&engine).await;

    let (first, mut second) = (running(3), running(4));
    assert_eq!(session.gauges().running, 1);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(second.poll_next(&mut cx).is_pending(), "it waits for the first one's slot");
    drop(first);
    probe.entered(1).await;
    drop(second);
    probe.saw("cancelled: Disconnected, None").await;
    all_gone(&engine).await;
    assert_eq!((engine.counters().cancelled, engine.counters().calls_ended()), (4, 4));
}

#[test]
fn a_runtime_that_shuts_down_ends_every_call() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let engine = runtime.block_on(async {
        let (builder, probe) = builder();
        let engine = builder.limits(Limits { running_per_session: 5, ..Limits::default() }).build().unwrap();
        let session = engine.open().unwrap();
        for id in 0..10 {
            engine.dispatch(&session, request(id, "never", &json!(null)), Route::Session);
        }
        probe.entered(5).await;
        engine
    });
    drop(runtime);
    assert_eq!((engine.call_count(), engine.calls().len()), (0, 0));
    assert_eq!(engine.counters().cancelled, 10);
    assert_eq!(engine.sessions()[0].gauges().running, 0);
}

/// The fate of a call, drawn from its number: a generator of its own keeps the test the same in each run.
fn draw(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 32)
}

async fn varied(_: &support::Ctx, [fate]: [u64; 1]) -> Result<u64, freehold::ErrorObject> {
    for _ in 0..fate % 7 {
        tokio::task::yield_now().await;
    }
    match fate % 11 {
        0 => panic!("a fate"),
        1 => Err(freehold::ErrorObject::internal()),
        2 => std::future::pending().await,
        _ => Ok(fate),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_with_random_cancels_have_one_outcome_each() {
    const CALLS: u64 = 10_000;
    const SESSIONS: u64 = 10;
    let outcomes: Arc<Mutex<HashMap<(freehold::SessionId, RequestId), u32>>> = Arc::default();
    let seen = outcomes.clone();
    let engine = Engine::builder(0)
        .method("varied", varied)
        .limits(Limits {
            running_per_session: 20,
            queued_per_session: 800,
            deadline: std::time::Duration::from_millis(300),
            cancel_grace: std::time::Duration::from_millis(20),
            ..Limits::default()
        })
        .observer(move |event: &Event<'_>| {
            if let Event::CallEnded { session, id: Some(id), .. } = event {
                *seen.lock().unwrap().entry((*session, (*id).clone())).or_default() += 1;
            }
        })
        .build()
        .unwrap();
    let sessions: Vec<_> = (0..SESSIONS).map(|_| engine.open().unwrap()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let (engine, session) = (engine.clone(), sessions[(number % SESSIONS) as usize].clone());
        tasks.spawn(async move {
            let fate = draw(number);
            let (id, params) = (number as i64, json!([fate]));
            let process = engine.process(&session, request(id, "varied", &params));
            match (fate >> 40) % 4 {
                0 => {
                    // Disconnects at some point, perhaps before the first poll.
                    let mut process = Box::pin(process);
                    for _ in 0..(fate >> 50) % 4 {
                        if poll_once(process.as_mut()).await.is_ready() {
                            return None;
                        }
                        tokio::task::yield_now().await;
                    }
                    None
                }
                1 => {
                    let cancel = async {
                        for _ in 0..(fate >> 50) % 8 {
                            tokio::task::yield_now().await;
                        }
                        session.cancel(&id.into(), None);
                    };
                    Some(tokio::join!(process, cancel).0.is_some())
                }
                _ => Some(process.await.is_some()),
            }
        });
    }
    let mut unpolled = 0;
    while let Some(answered) = within(tasks.join_next()).await {
        assert!(answered.unwrap().unwrap_or(true), "whoever waits is answered");
    }
    all_gone(&engine).await;
    // A `process` that is never polled has sent nothing.
    for number in 0..CALLS {
        let fate = draw(number);
        unpolled += u64::from((fate >> 40).is_multiple_of(4) && (fate >> 50).is_multiple_of(4));
    }
    let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
    assert!(outcomes.values().all(|count| *count == 1), "no id has two outcomes");
    assert_eq!(outcomes.len() as u64, CALLS - unpolled, "no id has none");
    let counters = engine.counters();
    assert_eq!(counters.calls_ended(), CALLS - unpolled);
    for (what, count) in [
        ("answered", counters.answered),
        ("failed", counters.failed),
        ("panicked", counters.panicked),
        ("cancelled", counters.cancelled),
    ] {
        assert!(count > 0, "the draw gives no call that is {what}");
    }
    eventually(|| sessions.iter().all(|session| session.gauges() == freehold::SessionGauges::default()))
        .await;
}

#[tokio::test]
#[cfg(debug_assertions)]
async fn a_handler_that_is_polled_inside_an_engine_lock_is_refused() {
    let (builder, _) = builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    let Dispatched::Running(mut handle) =
        engine.dispatch(&session, request(1, "echo", &json!(null)), Route::Call)
    else {
        panic!("expected a call")
    };
    // The seeded fault: a lock of the engine's kind around the poll.
    let registry = freehold_sync::ScopedMutex::new(());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        registry.with(|()| handle.poll_next(&mut Context::from_waker(Waker::noop())).is_ready())
    }));
    let message = *caught.expect_err("the check must notice").downcast::<String>().unwrap();
    assert!(message.contains("1 engine lock(s) held"), "{message}");
    all_gone(&engine).await;
}
