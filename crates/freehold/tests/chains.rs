//! Recovery in chains of calls: who is run again, and what stands in the way of that.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{Engine, EngineBuilder, ErrorCode, Event, Gate, MethodOptions, SessionId};
use freehold_sync::Mutex;
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex as StdMutex,
    atomic::{AtomicU32, Ordering},
};
use support::{Answer, Ctx, Probe, all_gone, call, result, start, within};
use tokio::sync::Barrier;

const DEADLOCK: i32 = ErrorCode::DEADLOCK.0;

/// What the handlers of a test want.
struct World {
    a: Mutex<u32>,
    b: Mutex<u32>,
    both_hold: Barrier,
    outer_runs: AtomicU32,
    inner_runs: AtomicU32,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            a: Mutex::new(0),
            b: Mutex::new(0),
            both_hold: Barrier::new(2),
            outer_runs: AtomicU32::new(0),
            inner_runs: AtomicU32::new(0),
        })
    }

    fn runs(&self) -> (u32, u32) {
        (self.outer_runs.load(Ordering::SeqCst), self.inner_runs.load(Ordering::SeqCst))
    }
}

type Retried = Arc<StdMutex<Vec<String>>>;

fn builder() -> (EngineBuilder<u64>, Arc<World>, Arc<Probe>, Retried) {
    let (world, retried) = (World::new(), Retried::default());
    let into = retried.clone();
    let observer = move |event: &Event<'_>| {
        if let Event::CallRetried { method, .. } = event {
            into.lock().unwrap().push((*method).to_owned());
        }
    };
    let probe = Arc::new(Probe::default());
    let builder = Engine::builder(0).app(world.clone()).app(probe.clone()).observer(observer);
    (builder, world, probe, retried)
}

fn idempotent() -> MethodOptions {
    MethodOptions::new().idempotent(true)
}

/// Older than the others: takes `b`, then `a`.
async fn opponent(ctx: &Ctx, (): ()) -> Answer {
    let world = ctx.app::<World>();
    let mut b = ctx.lock(&world.b).await?;
    ctx.app::<Probe>().enter();
    world.both_hold.wait().await;
    let mut a = ctx.lock(&world.a).await?;
    (*a, *b) = (*a + 1, *b + 1);
    Ok(json!("opponent"))
}

/// Holds `a` and calls for somebody to take `b`.
async fn outer_holds(ctx: &Ctx, other: String) -> Answer {
    let world = ctx.app::<World>();
    let other: SessionId = other.parse().unwrap();
    let first = world.outer_runs.fetch_add(1, Ordering::SeqCst) == 0;
    let _a = ctx.lock(&world.a).await?;
    if first {
        world.both_hold.wait().await;
    }
    Ok(ctx.call(other, "inner wants", &()).await?)
}

async fn inner_wants(ctx: &Ctx, (): ()) -> Answer {
    let world = ctx.app::<World>();
    world.inner_runs.fetch_add(1, Ordering::SeqCst);
    let b = ctx.lock(&world.b).await?;
    Ok(json!(*b))
}

/// As `inner wants`, after a commit.
async fn inner_commits(ctx: &Ctx, (): ()) -> Answer {
    ctx.update(|count| *count += 1).await?;
    inner_wants(ctx, ()).await
}

/// Calls for both locks to be taken.
async fn outer_only_calls(ctx: &Ctx, other: String) -> Answer {
    let world = ctx.app::<World>();
    let other: SessionId = other.parse().unwrap();
    world.outer_runs.fetch_add(1, Ordering::SeqCst);
    Ok(ctx.call(other, "inner holds", &()).await?)
}

async fn inner_holds(ctx: &Ctx, (): ()) -> Answer {
    let world = ctx.app::<World>();
    let first = world.inner_runs.fetch_add(1, Ordering::SeqCst) == 0;
    let _a = ctx.lock(&world.a).await?;
    if first {
        world.both_hold.wait().await;
    }
    let b = ctx.lock(&world.b).await?;
    Ok(json!(*b))
}

/// Runs `method` against the opponent; its answer.
async fn against_opponent(
    engine: &Engine<u64>,
    probe: &Probe,
    method: &'static str,
) -> Option<freehold::Response<'static>> {
    let (one, two, three) = (engine.open().unwrap(), engine.open().unwrap(), engine.open().unwrap());
    let opponent = start(engine, &three, 1, "opponent", json!(null));
    // The older one is never the victim.
    probe.entered(1).await;
    let answer = call(engine, &one, 1, method, json!(two.id().to_string())).await;
    assert_eq!(result(within(opponent).await.unwrap()), "opponent");
    all_gone(engine).await;
    answer
}

/// The victim waits, and what the opponent waits for is its caller's: that one is run again, and with it the victim.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_what_the_others_wait_for_is_run_again_though_the_victim_is_its_callee() {
    let (builder, world, probe, retried) = builder();
    let engine = builder
        .method("opponent", opponent)
        .method_with("outer holds", idempotent(), outer_holds)
        .method_with("inner wants", idempotent(), inner_wants)
        .build()
        .unwrap();
    assert_eq!(result(against_opponent(&engine, &probe, "outer holds").await), 1);
    assert_eq!(world.runs(), (2, 2));
    assert_eq!(*retried.lock().unwrap(), ["outer holds"]);
}

/// To run the callee again is enough, so its caller does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_holds_what_the_others_wait_for_is_run_again_by_itself() {
    for gate in [Gate::Concurrent, Gate::Serial] {
        let (builder, world, probe, retried) = builder();
        let engine = builder
            .gate(gate)
            .method("opponent", opponent)
            .method("outer only calls", outer_only_calls)
            .method_with("inner holds", idempotent(), inner_holds)
            .build()
            .unwrap();
        assert_eq!(result(against_opponent(&engine, &probe, "outer only calls").await), 1);
        assert_eq!(world.runs(), (1, 2), "{gate:?}");
        assert_eq!(*retried.lock().unwrap(), ["inner holds"]);
    }
}

/// What a callee did stands in the way of its caller's second run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_run_again_whose_callee_committed() {
    let (builder, world, probe, retried) = builder();
    let engine = builder
        .method("opponent", opponent)
        .method_with("outer holds", idempotent(), outer_holds)
        .method_with("inner wants", idempotent(), inner_commits)
        .build()
        .unwrap();
    let answer = against_opponent(&engine, &probe, "outer holds").await.unwrap();
    assert_eq!(answer.result.unwrap_err().code.0, DEADLOCK);
    assert_eq!(world.runs(), (1, 1));
    assert!(retried.lock().unwrap().is_empty());
}

/// A serial session's own call loses its turn with its attempt, and stands at the end of the line for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_serial_session_is_run_again_in_a_turn_of_its_own() {
    async fn with_turn(ctx: &Ctx, (): ()) -> Answer {
        inner_holds(ctx, ()).await
    }
    let (builder, world, probe, retried) = builder();
    let engine = builder
        .gate(Gate::Serial)
        .method("opponent", opponent)
        .method_with("with turn", idempotent(), with_turn)
        .build()
        .unwrap();
    let (one, three) = (engine.open().unwrap(), engine.open().unwrap());
    let opponent = start(&engine, &three, 1, "opponent", json!(null));
    probe.entered(1).await;
    assert_eq!(result(call(&engine, &one, 1, "with turn", json!(null)).await), 1);
    assert_eq!(result(within(opponent).await.unwrap()), "opponent");
    assert_eq!(world.runs(), (0, 2));
    assert_eq!(*retried.lock().unwrap(), ["with turn"]);
    let _: Value = result(call(&engine, &one, 2, "with turn", json!(null)).await);
    all_gone(&engine).await;
}
