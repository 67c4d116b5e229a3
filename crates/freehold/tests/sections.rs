//! Every kind of traffic, under the check that no section of the engine is entered inside of another; and the sections of
//! one call, counted by name.
//!
//! `cargo test -p freehold --test sections -- --nocapture` prints them.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]
#![cfg(debug_assertions)]

mod support;

use freehold::{
    Engine, ErrorObject, Gate, Limits, MemoryStore, MethodOptions, Route, Subject,
    cluster::{FaultyStore, Injected, Injections, MemoryCluster},
    sync::Mutex,
};
use freehold_sync::held;
use serde_json::json;
use std::{
    collections::BTreeSet,
    panic,
    sync::{Arc, Mutex as StdMutex, Once},
    time::Duration,
};
use support::{
    Answer, Ctx, Probe, answer_next, builder, call, error, relay, relayed, request, result, start, within,
};

/// The sections that `lock_order.rs` lists, and that of signals.
fn listed() -> BTreeSet<&'static str> {
    let list = include_str!("../src/lock_order.rs");
    let names =
        list.lines().filter_map(|line| line.strip_suffix("\";")?.split_once(" = \"")).map(|(_, name)| name);
    names.chain(["Signal waiters"]).collect()
}

static PANICS: StdMutex<Vec<String>> = StdMutex::new(Vec::new());

/// The engine catches the panics of its handlers and hooks, so the message is taken where it is made.
fn catch_refusals() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let message = info.to_string();
            if message.contains("entered inside of section") {
                PANICS.lock().unwrap().push(message);
            }
            before(info);
        }));
    });
}

/// The sections that this thread entered; none of them inside of another, on whatever thread.
fn entered() -> Vec<(&'static str, u64)> {
    let panics = PANICS.lock().unwrap();
    assert!(panics.is_empty(), "{panics:#?}");
    held::take_entries()
}

#[derive(Default)]
struct World {
    busy: Mutex<u32>,
    attempts: StdMutex<u32>,
}

/// Finds a lock busy the first time.
async fn fails_once(ctx: &Ctx, (): ()) -> Answer {
    let world = ctx.app::<World>();
    let attempt = {
        let mut attempts = world.attempts.lock().unwrap();
        *attempts += 1;
        *attempts
    };
    if attempt == 1 {
        let _busy = ctx.lock(&world.busy).within(Duration::from_millis(1)).await?;
    }
    Ok(json!(attempt))
}

async fn guarded(ctx: &Ctx, (): ()) -> Answer {
    ctx.enter(ctx.app::<Subject<u64>>())?;
    Ok(json!("entered"))
}

async fn tells(ctx: &Ctx, (): ()) -> Answer {
    ctx.notify("note", &1).map_err(|_| ErrorObject::internal())?;
    tokio::task::yield_now().await;
    Ok(json!("told"))
}

fn engine() -> (Engine<u64>, Arc<Probe>, Arc<World>) {
    catch_refusals();
    let (builder, probe) = builder();
    let world = Arc::new(World::default());
    let limits = Limits { cancel_grace: Duration::from_millis(50), ..Limits::default() };
    let engine = builder
        .app(world.clone())
        .app(Arc::new(Subject::<u64>::new("subject", MethodOptions::new())))
        .method("relay", relay)
        .method("guarded", guarded)
        .method("tells", tells)
        .method_with("fails_once", MethodOptions::new().idempotent(true), fails_once)
        .limits(limits)
        .build()
        .unwrap();
    (engine, probe, world)
}

/// Calls that return, that call others, that are cancelled, that ask, that are run again.
async fn calls(engine: &Engine<u64>, probe: &Probe, world: &World) {
    let (session, serial) = (engine.open().unwrap(), engine.open().unwrap());
    serial.make_serial();
    assert_eq!(serial.gate(), Gate::Serial);
    assert_eq!(result(call(engine, &session, 1, "echo", json!(1)).await), 1);
    for (id, to) in [(2, &serial), (3, &session)] {
        assert_eq!(
            result(call(engine, to, id, "relay", relayed(&serial, "tells", &json!(null))).await),
            "told"
        );
    }
    let two: Vec<_> = [4, 5].map(|id| start(engine, &serial, id, "echo", json!(id))).into();
    for (id, answer) in [4, 5].into_iter().zip(two) {
        assert_eq!(result(within(answer).await.unwrap()), id);
    }
    let cancelled = start(engine, &session, 6, "obedient", json!(null));
    probe.entered(1).await;
    assert!(session.cancel(&6.into(), None));
    within(cancelled).await.unwrap();
    assert_eq!(result(call(engine, &session, 7, "guarded", json!(null)).await), "entered");
    let busy = freehold_sync::activity(async |ctx| {
        let _busy = ctx.lock(&world.busy).await.unwrap();
        result(call(engine, &session, 8, "fails_once", json!(null)).await)
    });
    assert_eq!(within(busy).await.unwrap(), 2);
}

/// Streams, topics, questions.
async fn streams(engine: &Engine<u64>, probe: &Probe) {
    let session = engine.open().unwrap();
    let mut listener = session.listen();
    assert!(session.subscribe("topic"));
    assert_eq!(engine.publish("topic", "changed", &1).unwrap(), 1);
    assert_eq!(support::json_of(&within(listener.next()).await.unwrap())["method"], "changed");
    engine.dispatch(&session, request(1, "ask", &json!(1)), Route::Session);
    within(probe.entered(1)).await;
    answer_next(engine, &mut listener, &json!("an answer")).await;
    let answer = within(listener.next()).await.unwrap();
    assert_eq!(support::json_of(&answer)["result"]["answer"], "an answer");
    assert!(engine.findings().is_empty());
}

/// From one engine to another, and to a store that does not tell.
async fn cluster() {
    let injections = Injections::default();
    let cluster = MemoryCluster::with_injections(&injections);
    let store = || Arc::new(FaultyStore::new(MemoryStore::<u64>::default(), &injections));
    let node = || cluster.join(builder().0.method("relay", relay).store(store())).unwrap();
    let (here, there) = (node(), node());
    let (one, two) = (here.open().unwrap(), there.open().unwrap());
    assert_eq!(result(call(&here, &one, 1, "relay", relayed(&two, "echo", &json!(1))).await), 1);
    injections.add([Some(Injected::UnknownDone)]);
    one.update(|count| *count += 1).await.unwrap();
}

async fn drain(engine: &Engine<u64>, probe: &Probe) {
    let session = engine.open().unwrap();
    let never = start(engine, &session, 1, "never", json!(null));
    probe.entered(1).await;
    let report = within(engine.drain(Duration::from_millis(10))).await;
    assert_eq!((report.cancelled, &*report.abandoned), (1, &["never".to_owned()][..]), "{report:?}");
    error(within(never).await.unwrap());
}

#[tokio::test]
async fn every_section_is_met_and_none_inside_of_another() {
    let (engine, probe, world) = engine();
    let _ = entered();
    calls(&engine, &probe, &world).await;
    streams(&engine, &probe).await;
    cluster().await;
    drain(&engine, &probe).await;
    let met = entered();
    println!("all traffic: {met:?}");
    assert_eq!(met.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), listed());
}

/// What a second call of a session enters, so that nothing is there that only a first one does.
async fn sections_of(method: &'static str) -> Vec<(&'static str, u64)> {
    let (engine, _probe, _world) = engine();
    let session = engine.open().unwrap();
    call(&engine, &session, 1, method, json!(null)).await;
    support::all_gone(&engine).await;
    let _ = entered();
    call(&engine, &session, 2, method, json!(null)).await;
    let entered = entered();
    let total: u64 = entered.iter().map(|(_, count)| count).sum();
    println!("one {method}: {total} sections: {entered:?}");
    entered
}

#[tokio::test]
async fn an_echo_enters_few_sections_each_of_its_own_session_or_call() {
    let entered = sections_of("echo").await;
    let own = ["admission", "call::table", "outbox"];
    assert_eq!(entered, own.map(|name| (name, 2)));
}

/// How often a drain looks at who asks for it, with so many sessions to close.
async fn looks_at_askers(sessions: usize) -> u64 {
    let (engine, _probe, _world) = engine();
    let kept: Vec<_> = (0..sessions).map(|_| engine.open().unwrap()).collect();
    let _ = entered();
    assert_eq!(within(engine.drain(Duration::from_millis(10))).await.sessions, kept.len());
    entered().into_iter().find(|(name, _)| *name == "drain askers").map_or(0, |(_, count)| count)
}

#[tokio::test]
async fn a_drain_looks_at_who_asks_for_it_no_oftener_for_more_sessions() {
    assert_eq!(looks_at_askers(1).await, looks_at_askers(50).await);
}
