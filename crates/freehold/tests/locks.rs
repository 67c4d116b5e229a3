//! Handlers that lock: what they wait for is in the graph, whatever deadline or cancel surrounds it.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{Engine, ErrorObject, Limits, MethodOptions, Session};
use freehold_sync::{Mutex, PermitPool, RwLock, observe};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Answer, Ctx, Probe, Proven, all_gone, error, eventually, result, start, within};
use tokio::sync::Barrier;

const DEADLOCK: i32 = -31008;
const LOCK_TIMEOUT: i32 = -31009;
const DEADLINE_EXCEEDED: i32 = -31003;

/// The locks of a test, and where its handlers meet once each holds one.
struct Locks {
    a: Mutex<i64>,
    b: Mutex<i64>,
    table: RwLock<i64>,
    permits: PermitPool,
    all_hold: Barrier,
}

impl Locks {
    fn for_handlers(handlers: usize) -> Arc<Self> {
        Arc::new(Self {
            a: Mutex::new(0),
            b: Mutex::new(0),
            table: RwLock::new(0),
            permits: PermitPool::new(1),
            all_hold: Barrier::new(handlers),
        })
    }
}

/// Waits until both handlers hold their first lock. The barrier's waker is used up when it lets them on.
async fn meet(ctx: &Ctx) {
    ctx.app::<Locks>().all_hold.wait().await;
}

async fn a_then_b(ctx: &Ctx, (): ()) -> Answer {
    let locks = ctx.app::<Locks>();
    let _a = ctx.lock(&locks.a).await?;
    meet(ctx).await;
    let _b = ctx.lock(&locks.b).await?;
    Ok(json!("both"))
}

async fn b_then_a(ctx: &Ctx, (): ()) -> Answer {
    let locks = ctx.app::<Locks>();
    let _b = ctx.lock(&locks.b).await?;
    meet(ctx).await;
    let _a = ctx.lock(&locks.a).await?;
    Ok(json!("both"))
}

/// As `b_then_a`, and would rather be cancelled.
async fn b_then_a_or_cancel(ctx: &Ctx, (): ()) -> Answer {
    let locks = ctx.app::<Locks>();
    let _b = ctx.lock(&locks.b).await?;
    meet(ctx).await;
    tokio::select! {
        a = ctx.lock(&locks.a) => a.map(|_| json!("both")).map_err(ErrorObject::from),
        reason = ctx.cancelled() => Ok(json!(reason.as_str())),
    }
}

/// The two answers of a ring: one is an error of code DEADLOCK, the other a result.
#[track_caller]
fn one_of_two_failed(answers: [Option<freehold::Response<'static>>; 2]) -> ErrorObject {
    let mut failed = Vec::new();
    for answer in answers {
        match answer.expect("an answer").result {
            Ok(raw) => assert_eq!(raw.get(), "\"both\""),
            Err(error) => failed.push(error),
        }
    }
    assert_eq!(failed.len(), 1, "exactly one is told: {failed:?}");
    assert_eq!(failed[0].code.0, DEADLOCK, "{}", failed[0]);
    failed.remove(0)
}

async fn both(engine: &Engine<u64>, session: &Session<u64>, methods: [&'static str; 2]) -> ErrorObject {
    let [one, two] =
        methods.map(method_id).map(|(method, id)| start(engine, session, id, method, json!(null)));
    one_of_two_failed([within(one).await.unwrap(), within(two).await.unwrap()])
}

fn method_id(method: &'static str) -> (&'static str, i64) {
    (method, if method.starts_with("ring/a") { 1 } else { 2 })
}

/// Rings between handlers under 30 s deadlines. What tells them from a sweep's find is that the last of the two had
/// waited for less than the age at which a sweep begins to look; one of ten is enough on a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_between_handlers_under_30_s_deadlines_is_broken_when_it_closes() {
    let reports = Proven::among("ring/");
    for _ in 0..10 {
        let engine = Engine::builder(0)
            .app(Locks::for_handlers(2))
            .method("ring/a then b", a_then_b)
            .method("ring/b then a", b_then_a)
            .build()
            .unwrap();
        assert_eq!(engine.limits().deadline, Duration::from_secs(30));
        let session = engine.open().unwrap();
        let begun = Instant::now();
        let told = both(&engine, &session, ["ring/a then b", "ring/b then a"]).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "at a limit: {:?}", begun.elapsed());
        assert!(told.message.contains("ring/"), "it names the methods: {told}");
        all_gone(&engine).await;
    }
    let proven = reports.told(10).await;
    assert_eq!(proven.len(), 10);
    let youngest = |report: &Arc<freehold_sync::Deadlock>| report.edges.iter().map(|edge| edge.waited).min();
    let soonest = proven.iter().filter_map(youngest).min().unwrap();
    assert!(soonest < freehold_sync::limits::PROBE_AFTER, "{soonest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_a_handler_listens_for_is_no_sign_of_life() {
    let engine = Engine::builder(0)
        .app(Locks::for_handlers(2))
        .method("ring/a then b", a_then_b)
        .method("listens/b then a", b_then_a_or_cancel)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let begun = Instant::now();
    both(&engine, &session, ["ring/a then b", "listens/b then a"]).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "at a limit: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_over_a_mutex_a_table_and_a_permit_is_one_ring() {
    async fn a_then_write(ctx: &Ctx, (): ()) -> Answer {
        let locks = ctx.app::<Locks>();
        let _a = ctx.lock(&locks.a).await?;
        meet(ctx).await;
        let _table = ctx.write(&locks.table).await?;
        Ok(json!("both"))
    }
    async fn read_then_permit(ctx: &Ctx, (): ()) -> Answer {
        let locks = ctx.app::<Locks>();
        let _table = ctx.read(&locks.table).await?;
        meet(ctx).await;
        let _permit = ctx.permit(&locks.permits).await?;
        Ok(json!("both"))
    }
    async fn permit_then_a(ctx: &Ctx, (): ()) -> Answer {
        let locks = ctx.app::<Locks>();
        let _permit = ctx.permit(&locks.permits).await?;
        meet(ctx).await;
        let _a = ctx.lock(&locks.a).await?;
        Ok(json!("both"))
    }
    let reports = Proven::among("three/");
    let engine = Engine::builder(0)
        .app(Locks::for_handlers(3))
        .method("three/a", a_then_write)
        .method("three/table", read_then_permit)
        .method("three/permit", permit_then_a)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let methods = ["three/a", "three/table", "three/permit"];
    let calls = (1..).zip(methods).map(|(id, method)| start(&engine, &session, id, method, json!(null)));
    let mut failed = 0;
    for call in calls.collect::<Vec<_>>() {
        failed += usize::from(within(call).await.unwrap().unwrap().result.is_err());
    }
    assert_eq!(failed, 1);
    assert_eq!(reports.all().iter().map(|report| report.edges.len()).collect::<Vec<_>>(), [3]);
}

/// Nothing that the engine does around a handler keeps its waker: a handler parked in a lock has no foreign clone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_waits_for_a_lock_can_be_woken_by_nothing_else() {
    async fn parks(ctx: &Ctx, (): ()) -> Answer {
        tokio::select! {
            a = ctx.lock(&ctx.app::<Locks>().a) => Ok(json!(*a?)),
            _ = ctx.cancelled() => Ok(json!("cancelled")),
        }
    }
    let locks = Locks::for_handlers(1);
    let engine = Engine::builder(0).app(locks.clone()).method("parks/here", parks).build().unwrap();
    let session = engine.open().unwrap();
    let held = locks.a.lock().await.unwrap();
    let call = start(&engine, &session, 1, "parks/here", json!(null));
    let parked =
        || observe().members.into_iter().find(|m| m.actor.name == "parks/here" && !m.waits.is_empty());
    eventually(|| parked().is_some()).await;
    assert_eq!(parked().unwrap().actor.foreign_wakers, 0);
    drop(held);
    assert_eq!(result(within(call).await.unwrap()), json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_not_had_is_told_while_the_handler_has_time_left() {
    async fn falls_back(ctx: &Ctx, (): ()) -> Answer {
        match ctx.lock(&ctx.app::<Locks>().a).await {
            Ok(_) => Ok(json!("had it")),
            Err(error) => {
                let error = ErrorObject::from(error);
                Ok(json!({ "code": error.code.0, "message": error.message }))
            }
        }
    }
    let locks = Locks::for_handlers(1);
    let options = MethodOptions::new().timeout(Duration::from_millis(600));
    let engine =
        Engine::builder(0).app(locks.clone()).method_with("falls back", options, falls_back).build().unwrap();
    let session = engine.open().unwrap();
    let held = locks.a.lock().await.unwrap();
    let told = result(within(start(&engine, &session, 1, "falls back", json!(null))).await.unwrap());
    assert_eq!(told["code"], LOCK_TIMEOUT, "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(
        !message.contains(".rs:") && !message.contains("0x"),
        "nothing of the server's insides: {message}"
    );
    drop(held);
}

/// A handler that holds what another one waits for, and waits itself for what can never come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_nothing_can_wake_is_ended_if_others_wait_for_it() {
    async fn holds_for_ever(ctx: &Ctx, (): ()) -> Answer {
        let _a = ctx.lock(&ctx.app::<Locks>().a).await?;
        ctx.app::<Probe>().enter();
        std::future::pending().await
    }
    async fn wants_it(ctx: &Ctx, (): ()) -> Answer {
        Ok(json!(*ctx.lock(&ctx.app::<Locks>().a).await?))
    }
    let probe = Arc::new(Probe::default());
    let engine = Engine::builder(0)
        .app(Locks::for_handlers(1))
        .app(probe.clone())
        .method("orphan/holds", holds_for_ever)
        .method("orphan/wants", wants_it)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let begun = Instant::now();
    let holds = start(&engine, &session, 1, "orphan/holds", json!(null));
    probe.entered(1).await;
    let wants = start(&engine, &session, 2, "orphan/wants", json!(null));
    assert_eq!(result(within(wants).await.unwrap()), json!(0));
    assert_eq!(error(within(holds).await.unwrap()).0, DEADLOCK);
    assert!(begun.elapsed() < Duration::from_secs(4), "at a limit: {:?}", begun.elapsed());
    all_gone(&engine).await;
    assert_eq!((engine.counters().deadlocked, engine.counters().answered), (1, 1));
}

/// Locks that the graph does not know: the deadline of the calls drops their futures, and with them what they held. Nobody
/// else does anything: a call that came while they stuck, and has time, gets both locks by that alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_of_tokios_locks_ends_at_the_deadline_and_the_server_goes_on() {
    struct Foreign {
        a: tokio::sync::Mutex<()>,
        b: tokio::sync::Mutex<()>,
        all_hold: Barrier,
    }
    async fn take(ctx: &Ctx, turned: bool) -> Answer {
        let locks = ctx.app::<Foreign>();
        let (first, second) = if turned { (&locks.b, &locks.a) } else { (&locks.a, &locks.b) };
        let _first = first.lock().await;
        locks.all_hold.wait().await;
        ctx.app::<Probe>().enter();
        let _second = second.lock().await;
        Ok(json!("both"))
    }
    async fn alone(ctx: &Ctx, (): ()) -> Answer {
        let locks = ctx.app::<Foreign>();
        ctx.app::<Probe>().enter();
        let (_a, _b) = (locks.a.lock().await, locks.b.lock().await);
        Ok(json!("both"))
    }
    let foreign = Arc::new(Foreign {
        a: tokio::sync::Mutex::new(()),
        b: tokio::sync::Mutex::new(()),
        all_hold: Barrier::new(2),
    });
    let probe = Arc::new(Probe::default());
    let limits = Limits { cancel_grace: Duration::from_millis(50), ..Limits::default() };
    let short = MethodOptions::new().timeout(Duration::from_millis(400));
    let engine = Engine::builder(0)
        .app(foreign.clone())
        .app(probe.clone())
        .limits(limits)
        .method_with("take", short, take)
        .method("alone", alone)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let calls =
        [(1, false), (2, true)].map(|(id, turned)| start(&engine, &session, id, "take", json!(turned)));
    probe.entered(2).await;
    assert!(foreign.a.try_lock().is_err() && foreign.b.try_lock().is_err(), "they hold one each");
    let meanwhile = start(&engine, &session, 3, "alone", json!(null));
    probe.entered(1).await;
    for call in calls {
        assert_eq!(error(within(call).await.unwrap()).0, DEADLINE_EXCEEDED);
    }
    assert_eq!(result(within(meanwhile).await.unwrap()), json!("both"));
    all_gone(&engine).await;
    assert!(foreign.a.try_lock().is_ok() && foreign.b.try_lock().is_ok(), "both are free");
    assert_eq!(engine.counters().deadline_exceeded, 2);
    // The drop of the first may let the second on within its grace.
    assert!((1..=2).contains(&engine.counters().abandoned));
    let later = start(&engine, &session, 4, "alone", json!(null));
    assert_eq!(result(within(later).await.unwrap()), json!("both"));
}

/// The commission's own test: a hundred calls over ten sessions at once, all of which are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_session_access_no_deadlock() {
    async fn process(ctx: &Ctx, amount: u64) -> Answer {
        let locks = ctx.app::<Locks>();
        let mut total = ctx.lock(&locks.a).await?;
        *total += amount as i64;
        tokio::task::yield_now().await;
        let seen = ctx.update(|count| *count += 1).await;
        seen.map_err(ErrorObject::from)?;
        Ok(json!(*total))
    }
    let locks = Locks::for_handlers(1);
    let engine = Engine::builder(0).app(locks.clone()).method("process", process).build().unwrap();
    let sessions: Vec<_> = (0..10).map(|_| engine.open().unwrap()).collect();
    let calls: Vec<_> =
        (0..100).map(|i| start(&engine, &sessions[i as usize % 10], i, "process", json!(1))).collect();
    for call in calls {
        let answer = within(call).await.unwrap().expect("an answer");
        assert!(answer.result.is_ok(), "{:?}", answer.result);
    }
    assert_eq!(*locks.a.lock().await.unwrap(), 100);
    assert!(sessions.iter().all(|session| *session.state() == 10));
}
