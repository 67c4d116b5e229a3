//! Calls that fail are run again where that is safe, refused where it is hopeless, and answered with less where the
//! application says with what.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    BreakerOptions, BreakerState, DegradeReason, Engine, EngineBuilder, ErrorCode, ErrorObject, Event,
    Limits, MethodOptions, Request, RetryPolicy, Session, Stage,
    runtime::{BoxFuture, Runtime, Timer, TokioRuntime},
};
use freehold_sync::{Mutex, observe};
use serde_json::{Value, json, value::RawValue};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Answer, Ctx, Probe, all_gone, call, error, eventually, request, result, start, within};

const DEADLOCK: i32 = ErrorCode::DEADLOCK.0;
const LOCK_TIMEOUT: i32 = ErrorCode::LOCK_TIMEOUT.0;
const CIRCUIT_OPEN: i32 = ErrorCode::CIRCUIT_OPEN.0;
const CONFLICT: i32 = ErrorCode::CONFLICT.0;

/// What the handlers of a test work on.
#[derive(Default)]
struct World {
    a: Mutex<u32>,
    b: Mutex<u32>,
    attempts: AtomicU32,
}

impl World {
    /// The number of the attempt that begins.
    fn attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::SeqCst)
    }
}

type Told = Arc<StdMutex<Vec<String>>>;

/// An engine under construction, with what its handlers work on and what its observer was told about recovery.
fn builder() -> (EngineBuilder<u64>, Arc<World>, Arc<Probe>, Told) {
    let (world, probe, told) = (Arc::new(World::default()), Arc::new(Probe::default()), Told::default());
    let into = told.clone();
    let observer = move |event: &Event<'_>| {
        let line = match event {
            Event::CallRetried { method, attempt, reason, .. } => {
                format!("{method} retried {attempt}: {reason}")
            }
            Event::RetryRefused { method, reason, .. } => format!("{method} not retried: {reason}"),
            Event::BreakerChanged { method, from, to, .. } => format!("{method} from {from} to {to}"),
            Event::CallEnded { method, outcome, .. } => format!("{method} ended: {outcome:?}"),
            _ => return,
        };
        into.lock().unwrap().push(line);
    };
    let builder = Engine::builder(0).app(world.clone()).app(probe.clone()).observer(observer);
    (builder, world, probe, told)
}

fn lines(told: &Told) -> Vec<String> {
    told.lock().unwrap().clone()
}

fn idempotent() -> MethodOptions {
    MethodOptions::new().idempotent(true)
}

/// The first attempt waits for a lock that the test has, and does not get it in time.
async fn fails_once(ctx: &Ctx) -> Answer {
    let world = ctx.app::<World>();
    if world.attempts() == 1 {
        let _a = ctx.lock(&world.a).within(Duration::from_millis(1)).await?;
    }
    Ok(json!(world.attempts()))
}

async fn without_effect(ctx: &Ctx, (): ()) -> Answer {
    ctx.app::<World>().attempt();
    let _ = ctx.state();
    fails_once(ctx).await
}

async fn older(ctx: &Ctx, (): ()) -> Answer {
    let (world, probe) = (ctx.app::<World>(), ctx.app::<Probe>());
    let _a = ctx.lock(&world.a).await?;
    probe.enter();
    probe.released().await;
    let _b = ctx.lock(&world.b).await?;
    Ok(json!("both"))
}

/// Meets `older` the other way round, at its first attempt.
async fn younger(ctx: &Ctx, text: String) -> Answer {
    let (world, probe) = (ctx.app::<World>(), ctx.app::<Probe>());
    let first = world.attempt() == 1;
    let _b = ctx.lock(&world.b).await?;
    let this = observe().members.into_iter().find(|member| member.actor.name == "younger");
    probe.log(format!("born {}", this.expect("it holds a lock").actor.number));
    if first {
        probe.enter();
        probe.released().await;
    }
    let _a = ctx.lock(&world.a).await?;
    Ok(json!(text))
}

/// Lets `older` and `younger` close a ring; their answers.
async fn ring(engine: &Engine<u64>, probe: &Probe) -> [Option<freehold::Response<'static>>; 2] {
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let older = start(engine, &one, 1, "older", json!(null));
    probe.entered(1).await;
    let younger = start(engine, &two, 2, "younger", json!("done"));
    probe.entered(1).await;
    probe.release(2);
    [within(older).await.unwrap(), within(younger).await.unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retried_and_successful() {
    let (builder, world, probe, told) = builder();
    let engine =
        builder.method("older", older).method_with("younger", idempotent(), younger).build().unwrap();
    let [of_older, of_younger] = ring(&engine, &probe).await;
    assert_eq!((result(of_older), result(of_younger)), (json!("both"), json!("done")));
    let born = probe.logged();
    assert!(born.len() == 2 && born[0] == born[1], "the second attempt is as old as the first: {born:?}");
    assert_eq!((world.attempts(), engine.counters().retries, engine.counters().answered), (2, 1, 2));
    assert_eq!(lines(&told)[0], "younger retried 2: deadlock");
    all_gone(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_retried_when_not_idempotent_and_the_error_names_the_ring() {
    let (builder, world, probe, _) = builder();
    let engine = builder.method("older", older).method("younger", younger).build().unwrap();
    let [of_older, of_younger] = ring(&engine, &probe).await;
    assert_eq!(result(of_older), json!("both"));
    let told = of_younger.unwrap().result.unwrap_err();
    assert_eq!((told.code.0, world.attempts(), engine.counters().retries), (DEADLOCK, 1, 0));
    let message = &told.message;
    assert!(
        message.contains(r#""younger" (in session "#) && message.contains(r#"waited for "older""#),
        "{message}"
    );
    assert!(
        !message.contains(".rs:") && !message.contains("0x"),
        "nothing of the server's insides: {message}"
    );
}

/// What an attempt does before its lock is not had; each of them once.
async fn with_effect(ctx: &Ctx, effect: String) -> Answer {
    if ctx.app::<World>().attempt() > 1 {
        return fails_once(ctx).await;
    }
    let engine = ctx.engine();
    match &*effect {
        "update" => ctx.update(|count| *count += 1).await?,
        "update of the session" => ctx.session().update(|count| *count += 1).await?,
        "update of a clone" => ctx.session().clone().update(|count| *count += 1).await?,
        "update of another session" => another_session(ctx).update(|count| *count += 1).await?,
        "transaction" => ctx.transact(async |count| Ok::<_, ErrorObject>((count + 1, ()))).await?,
        "transaction of the session" => {
            ctx.session().transact(async |count| Ok::<_, ErrorObject>((count + 1, ()))).await?;
        }
        "failed transaction" => {
            let failed = ctx.transact(async |_| Err::<(u64, ()), _>(ErrorObject::internal())).await;
            assert!(failed.is_err());
        }
        "notification" => ctx.notify("told", &()).map_err(|_| ErrorObject::internal())?,
        "notification of the session" => {
            ctx.session().notify("told", &()).map_err(|_| ErrorObject::internal())?;
        }
        "broadcast" => {
            engine.broadcast("told", &(), |_| true).map_err(|_| ErrorObject::internal())?;
        }
        "question" => {
            let _: Result<Value, _> = ctx.ask("question", &()).await;
        }
        "call" => {
            let request = Request::new(7, "echo", &[1]).map_err(|_| ErrorObject::internal())?;
            engine.process(ctx.session(), request.into()).await;
        }
        "detached work" => ctx.detach(async {}),
        "close of another session" => {
            another_session(ctx).close(freehold::CloseReason::Server);
        }
        "nothing" => {}
        other => panic!("no effect is called {other}"),
    }
    fails_once(ctx).await
}

/// Some session that is not the context's.
fn another_session(ctx: &Ctx) -> Session<u64> {
    let other = ctx.engine().sessions().into_iter().find(|session| session.id() != ctx.session().id());
    other.expect("the test opened two")
}

/// The answer of one call of `with_effect`, and how many attempts there were.
async fn after_effect(effect: &str) -> (Result<Value, i32>, u32) {
    let (builder, world, _, _) = builder();
    // A question that the client cannot be asked fails at once.
    let limits = Limits { questions_per_session: 0, ..Limits::default() };
    let engine = builder
        .limits(limits)
        .method("echo", support::echo)
        .method_with("with_effect", idempotent(), with_effect)
        .build()
        .unwrap();
    let (session, _other) = (engine.open().unwrap(), engine.open().unwrap());
    let held = world.a.lock().await.unwrap();
    let answer = call(&engine, &session, 1, "with_effect", json!(effect)).await.unwrap();
    drop(held);
    let answer =
        answer.result.map(|raw| serde_json::from_str(raw.get()).unwrap()).map_err(|error| error.code.0);
    (answer, world.attempts())
}

#[tokio::test]
async fn retried_when_the_attempt_had_no_effect() {
    for harmless in ["nothing", "failed transaction"] {
        assert_eq!(after_effect(harmless).await, (Ok(json!(2)), 2), "{harmless}");
    }
}

#[tokio::test]
async fn not_retried_after_a_commit() {
    for effect in [
        "update",
        "update of the session",
        "update of a clone",
        "update of another session",
        "transaction",
        "transaction of the session",
        "close of another session",
    ] {
        assert_eq!(after_effect(effect).await, (Err(LOCK_TIMEOUT), 1), "{effect}");
    }
}

#[tokio::test]
async fn not_retried_when_it_sent_or_asked_or_called_or_detached() {
    for effect in
        ["notification", "notification of the session", "broadcast", "question", "call", "detached work"]
    {
        assert_eq!(after_effect(effect).await, (Err(LOCK_TIMEOUT), 1), "{effect}");
    }
}

/// Effects count for one attempt: the second one's commit does not make the first one's.
#[tokio::test]
async fn what_an_attempt_did_is_asked_of_that_attempt_alone() {
    async fn commits_in_the_second(ctx: &Ctx, (): ()) -> Answer {
        let world = ctx.app::<World>();
        let attempt = world.attempt();
        if attempt == 2 {
            ctx.update(|count| *count += 1).await?;
        }
        let _a = ctx.lock(&world.a).within(Duration::from_millis(1)).await?;
        Ok(json!(attempt))
    }
    let (builder, world, _, told) = builder();
    let engine = builder.method_with("commits", idempotent(), commits_in_the_second).build().unwrap();
    let session = engine.open().unwrap();
    let held = world.a.lock().await.unwrap();
    assert_eq!(error(call(&engine, &session, 1, "commits", json!(null)).await).0, LOCK_TIMEOUT);
    assert_eq!((world.attempts(), *session.state()), (2, 1));
    assert_eq!(lines(&told), ["commits retried 2: lock timeout", "commits ended: Failed"]);
    drop(held);
}

#[tokio::test]
async fn retried_as_often_as_the_policy_says() {
    async fn never_has_it(ctx: &Ctx, (): ()) -> Answer {
        let world = ctx.app::<World>();
        world.attempt();
        let _a = ctx.lock(&world.a).within(Duration::from_millis(1)).await?;
        Ok(json!(null))
    }
    let once = RetryPolicy::never();
    for (options, default, attempts) in [
        (MethodOptions::new().read_only(true), RetryPolicy::new(), Limits::RETRY_ATTEMPTS),
        (MethodOptions::new().read_only(true), once, 1),
        (idempotent().retry(RetryPolicy::new().attempts(2)), once, 2),
    ] {
        let (builder, world, _, _) = builder();
        let engine = builder.retry(default).method_with("never", options, never_has_it).build().unwrap();
        let session = engine.open().unwrap();
        let held = world.a.lock().await.unwrap();
        assert_eq!(error(call(&engine, &session, 1, "never", json!(null)).await).0, LOCK_TIMEOUT);
        assert_eq!((world.attempts(), engine.counters().retries), (attempts, u64::from(attempts) - 1));
        all_gone(&engine).await;
        drop(held);
    }
}

/// A call that fails once, with a fresh count of attempts.
async fn one_that_fails_once(
    engine: &Engine<u64>,
    world: &World,
    session: &Session<u64>,
) -> Result<Value, i32> {
    world.attempts.store(0, Ordering::SeqCst);
    let held = world.a.lock().await.unwrap();
    let answer = call(engine, session, 1, "without_effect", json!(null)).await.unwrap().result;
    drop(held);
    answer.map(|raw| serde_json::from_str(raw.get()).unwrap()).map_err(|error| error.code.0)
}

#[tokio::test]
async fn retry_budget_spent() {
    let (builder, world, _, told) = builder();
    let limits = Limits { retry_percent: 50, retries_per_second: 0, retry_burst: 1, ..Limits::default() };
    let engine =
        builder.limits(limits).method_with("without_effect", idempotent(), without_effect).build().unwrap();
    let session = engine.open().unwrap();
    // One is there at first, and half a one comes with each call that ends.
    for (answer, left) in
        [(Ok(json!(2)), 0), (Err(LOCK_TIMEOUT), 1), (Ok(json!(2)), 0), (Err(LOCK_TIMEOUT), 1)]
    {
        assert_eq!(one_that_fails_once(&engine, &world, &session).await, answer);
        assert_eq!(engine.retries_left(), left);
    }
    assert_eq!((engine.counters().retries, engine.counters().retries_refused), (2, 2));
    assert_eq!(lines(&told)[2], "without_effect not retried: lock timeout");
}

/// Tokio's, with the longest pauses that a policy allows.
struct Longest;

impl Runtime for Longest {
    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        TokioRuntime.timer(at)
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        TokioRuntime.spawn(name, future);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }
}

#[tokio::test]
async fn not_retried_beyond_the_deadline() {
    let (builder, world, _, _) = builder();
    let pauses = RetryPolicy::new().pauses(Duration::from_secs(31), Duration::from_secs(31));
    let options = idempotent().retry(pauses).timeout(Duration::from_secs(30));
    let engine = builder
        .runtime(Arc::new(Longest))
        .method_with("without_effect", options, without_effect)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    assert_eq!(one_that_fails_once(&engine, &world, &session).await, Err(LOCK_TIMEOUT));
    assert_eq!(engine.counters().retries, 0);
}

#[tokio::test]
async fn a_call_that_is_cancelled_in_its_pause_is_gone_at_once() {
    let (builder, world, _, _) = builder();
    let pauses = RetryPolicy::new().pauses(Duration::from_secs(31), Duration::from_secs(31));
    let engine = builder
        .runtime(Arc::new(Longest))
        .limits(Limits { deadline: Duration::from_secs(300), ..Limits::default() })
        .method_with("without_effect", idempotent().retry(pauses), without_effect)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let held = world.a.lock().await.unwrap();
    let paused = start(&engine, &session, 1, "without_effect", json!(null));
    eventually(|| engine.calls().iter().any(|call| call.stage == Stage::Pause)).await;
    assert!(session.cancel(&1.into(), None));
    assert_eq!(error(within(paused).await.unwrap()).0, ErrorCode::CANCELLED.0);
    all_gone(&engine).await;
    assert_eq!(world.attempts(), 1);
    drop(held);
}

/// Who has the lock is named by its method, its session and its age.
#[tokio::test]
async fn a_lock_that_is_not_had_names_its_holder() {
    let (builder, world, probe, _) = builder();
    let engine = builder.method("older", older).method("without_effect", without_effect).build().unwrap();
    let (one, two) = (engine.open().unwrap(), engine.open().unwrap());
    let holder = start(&engine, &one, 1, "older", json!(null));
    probe.entered(1).await;
    let told = call(&engine, &two, 2, "without_effect", json!(null)).await.unwrap().result.unwrap_err();
    assert_eq!((told.code.0, world.attempts()), (LOCK_TIMEOUT, 1));
    let id = one.id().to_string();
    let message = &told.message;
    assert!(message.contains(&format!(r#""older" (in session {}..., for "#, &id[..8])), "{message}");
    assert!(!message.contains(&id), "an id as a whole opens the session: {message}");
    let data: Value = serde_json::from_str(told.data.unwrap().get()).unwrap();
    assert_eq!(data["holder"]["call"], "older");
    probe.release(1);
    assert_eq!(result(within(holder).await.unwrap()), json!("both"));
}

async fn fragile(ctx: &Ctx, mode: String) -> Answer {
    let (world, probe) = (ctx.app::<World>(), ctx.app::<Probe>());
    world.attempt();
    match &*mode {
        "works" => Ok(json!(null)),
        "waits" => {
            probe.enter();
            probe.released().await;
            Ok(json!(null))
        }
        "fails" => Err(ErrorObject::new(ErrorCode::CONFLICT, "as it may")),
        "hangs" => std::future::pending().await,
        "waits for a lock" => {
            let _a = ctx.lock(&world.a).within(Duration::from_millis(1)).await?;
            Ok(json!(null))
        }
        _ => panic!("as it must not"),
    }
}

fn breaker() -> BreakerOptions {
    BreakerOptions::new().minimum_calls(4).probes(2).open_for(Duration::from_secs(5))
}

async fn code(engine: &Engine<u64>, session: &Session<u64>, mode: &str) -> i32 {
    error(call(engine, session, 1, "fragile", json!(mode)).await).0
}

fn state(engine: &Engine<u64>) -> BreakerState {
    engine.breakers()[0].state
}

const INTERNAL: i32 = ErrorCode::INTERNAL_ERROR.0;

#[tokio::test(start_paused = true)]
async fn breaker_opens_probes_closes() {
    let (builder, world, probe, told) = builder();
    let engine =
        builder.method_with("fragile", MethodOptions::new().breaker(breaker()), fragile).build().unwrap();
    let session = engine.open().unwrap();
    for _ in 0..4 {
        assert_eq!(state(&engine), BreakerState::Closed);
        assert_eq!(code(&engine, &session, "panics").await, INTERNAL);
    }
    assert_eq!((engine.breakers()[0].calls, engine.breakers()[0].failures), (4, 4));
    // Open: refused at once, and no handler runs.
    let (refused, data) = error(call(&engine, &session, 1, "fragile", json!("works")).await);
    assert_eq!((refused, data, world.attempts()), (CIRCUIT_OPEN, json!({ "retryAfterMs": 5_000 }), 4));
    assert_eq!((state(&engine), engine.counters().circuit_open), (BreakerState::Open, 1));

    // Half-open: one probe fails, and it is open again.
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(code(&engine, &session, "panics").await, INTERNAL);
    assert_eq!((state(&engine), engine.counters().breakers_opened), (BreakerState::Open, 2));

    // Half-open: as many probes as it may, one of them cancelled, and no call more.
    tokio::time::advance(Duration::from_secs(5)).await;
    let probes = [10, 11].map(|id| start(&engine, &session, id, "fragile", json!("waits")));
    probe.entered(2).await;
    assert_eq!(
        (state(&engine), code(&engine, &session, "works").await),
        (BreakerState::HalfOpen, CIRCUIT_OPEN)
    );
    assert!(session.cancel(&11.into(), None));
    let third = start(&engine, &session, 12, "fragile", json!("waits"));
    probe.entered(1).await;
    // The cancelled one takes one of them while it has its grace.
    probe.release(3);
    for probe in probes.into_iter().chain([third]) {
        within(probe).await.unwrap().expect("an answer");
    }
    assert_eq!(state(&engine), BreakerState::Closed);
    assert_eq!(result(call(&engine, &session, 1, "fragile", json!("works")).await), json!(null));
    all_gone(&engine).await;
    let changes = [
        "closed to open",
        "open to half-open",
        "half-open to open",
        "open to half-open",
        "half-open to closed",
    ];
    let changes = changes.map(|change| format!("fragile from {change}"));
    assert_eq!(lines(&told).into_iter().filter(|line| line.contains("from")).collect::<Vec<_>>(), changes);
}

/// A call that passes the breaker and is refused for another reason was no probe.
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_refused_gives_its_permit_back() {
    let (builder, _, probe, _) = builder();
    let one_probe = MethodOptions::new().breaker(breaker().probes(1));
    let engine = builder.method_with("fragile", one_probe, fragile).method("other", fragile).build().unwrap();
    let session = engine.open().unwrap();
    for _ in 0..4 {
        assert_eq!(code(&engine, &session, "panics").await, INTERNAL);
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    let has_the_id = start(&engine, &session, 10, "other", json!("waits"));
    probe.entered(1).await;
    let (refused, _) = error(call(&engine, &session, 10, "fragile", json!("works")).await);
    assert_eq!((refused, state(&engine)), (ErrorCode::INVALID_REQUEST.0, BreakerState::HalfOpen));
    assert_eq!(result(call(&engine, &session, 11, "fragile", json!("works")).await), json!(null));
    assert_eq!(state(&engine), BreakerState::Closed);
    probe.release(1);
    within(has_the_id).await.unwrap().expect("an answer");
}

#[tokio::test]
async fn what_opens_a_breaker_and_what_does_not() {
    let strict = || breaker().handler_errors(true);
    for (options, mode, told, opens) in [
        (breaker(), json!("panics"), INTERNAL, true),
        (breaker(), json!("hangs"), ErrorCode::DEADLINE_EXCEEDED.0, true),
        (breaker(), json!("waits for a lock"), LOCK_TIMEOUT, true),
        (breaker(), json!("fails"), CONFLICT, false),
        (strict(), json!("fails"), CONFLICT, true),
        (breaker(), json!({ "no": "mode" }), ErrorCode::INVALID_PARAMS.0, false),
        (strict(), json!({ "no": "mode" }), ErrorCode::INVALID_PARAMS.0, false),
    ] {
        let (builder, world, _, _) = builder();
        // As the engine's default.
        let short = if mode == "hangs" { Duration::from_millis(5) } else { Duration::from_secs(30) };
        let timeout = MethodOptions::new().timeout(short);
        let engine = builder.breaker(options).method_with("fragile", timeout, fragile).build().unwrap();
        let session = engine.open().unwrap();
        let held = world.a.lock().await.unwrap();
        for id in 0..4 {
            assert_eq!(error(call(&engine, &session, id, "fragile", mode.clone()).await).0, told);
        }
        let opened = state(&engine) == BreakerState::Open;
        assert_eq!(opened, opens, "{mode}");
        drop(held);
    }
    let (builder, ..) = builder();
    let without = MethodOptions::new().without_breaker();
    let engine = builder.breaker(breaker()).method_with("fragile", without, fragile).build().unwrap();
    assert!(engine.breakers().is_empty());
}

/// A call that waits for a slot says nothing about the method it waits to run.
#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_queue_opens_no_breaker() {
    let (builder, _, probe, _) = builder();
    let limits = Limits { running_per_session: 1, deadline: Duration::from_secs(1), ..Limits::default() };
    let options = MethodOptions::new().timeout(Duration::from_secs(100));
    let engine = builder
        .limits(limits)
        .method_with("wait", options, support::wait)
        .method_with("fragile", MethodOptions::new().breaker(breaker()), fragile)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let holder = start(&engine, &session, 100, "wait", json!([1]));
    probe.entered(1).await;
    for _ in 0..8 {
        assert_eq!(code(&engine, &session, "works").await, ErrorCode::DEADLINE_EXCEEDED.0);
    }
    assert_eq!((state(&engine), engine.breakers()[0].calls), (BreakerState::Closed, 0));
    probe.release(1);
    within(holder).await.unwrap();
}

/// What the session saw last, with what it was asked for.
async fn stale(session: Session<u64>, params: Option<Box<RawValue>>, _: DegradeReason) -> Answer {
    let asked: Value = params.map_or(Value::Null, |params| serde_json::from_str(params.get()).unwrap());
    Ok(json!({ "price": *session.state(), "asked": asked }))
}

#[tokio::test]
async fn degraded_answer_marked() {
    let (builder, world, _, told) = builder();
    let engine = builder
        .method_with("fragile", idempotent().breaker(breaker().minimum_calls(1)), fragile)
        .fallback("fragile", stale)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    session.update(|price| *price = 5).await.unwrap();
    let held = world.a.lock().await.unwrap();
    let degraded = result(call(&engine, &session, 1, "fragile", json!("waits for a lock")).await);
    let expected =
        |reason| json!({ "price": 5, "asked": "waits for a lock", "degraded": { "reason": reason } });
    assert_eq!(degraded, expected("lockTimeout"));
    assert_eq!(world.attempts(), Limits::RETRY_ATTEMPTS, "only after its re-runs are spent");
    assert_eq!(lines(&told).last().unwrap(), "fragile ended: Degraded");
    // That opened the breaker: no handler runs, the fallback answers all the same.
    let degraded = result(call(&engine, &session, 1, "fragile", json!("waits for a lock")).await);
    assert_eq!((degraded, world.attempts()), (expected("circuitOpen"), Limits::RETRY_ATTEMPTS));
    assert_eq!((engine.counters().degraded, engine.counters().answered), (2, 0));
    all_gone(&engine).await;
    drop(held);
}

#[tokio::test]
async fn a_fallback_that_fails_or_that_a_commit_forbids_leaves_the_error() {
    async fn commits_first(ctx: &Ctx, mode: String) -> Answer {
        ctx.update(|price| *price = 1).await?;
        fragile(ctx, mode).await
    }
    async fn fails(_: Session<u64>, _: Option<Box<RawValue>>, _: DegradeReason) -> Answer {
        Err(ErrorObject::internal())
    }
    async fn panics(_: Session<u64>, _: Option<Box<RawValue>>, _: DegradeReason) -> Answer {
        tokio::task::yield_now().await;
        panic!("in the fallback")
    }
    let panics_at_once = |_, _, _| -> std::future::Ready<Answer> { panic!("in the fallback") };
    let (builder, world, _, _) = builder();
    let engine = builder
        .method("commits first", commits_first)
        .fallback("commits first", stale)
        .method("fails", fragile)
        .fallback("fails", fails)
        .method("panics", fragile)
        .fallback("panics", panics)
        .method("panics at once", fragile)
        .fallback("panics at once", panics_at_once)
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let held = world.a.lock().await.unwrap();
    for method in ["commits first", "fails", "panics", "panics at once"] {
        let told = error(call(&engine, &session, 1, method, json!("waits for a lock")).await);
        assert_eq!(told.0, LOCK_TIMEOUT, "{method}");
    }
    assert_eq!((engine.counters().degraded, engine.counters().failed), (0, 4));
    all_gone(&engine).await;
    drop(held);
}

#[tokio::test]
async fn a_fallback_has_the_deadline_of_its_call() {
    let (builder, world, probe, _) = builder();
    let told = probe.clone();
    let hangs = move |_, _, _| {
        told.log("in the fallback");
        std::future::pending::<Answer>()
    };
    let timeout = MethodOptions::new().timeout(Duration::from_millis(300));
    let engine = builder.method_with("fragile", timeout, fragile).fallback("fragile", hangs).build().unwrap();
    let session = engine.open().unwrap();
    let held = world.a.lock().await.unwrap();
    assert_eq!(code(&engine, &session, "waits for a lock").await, ErrorCode::DEADLINE_EXCEEDED.0);
    assert_eq!(probe.logged(), ["in the fallback"]);
    all_gone(&engine).await;
    drop(held);
}

#[tokio::test]
async fn a_protocol_marks_degraded_answers_its_own_way_and_a_fallback_needs_a_method() {
    let (builder, world, _, _) = builder();
    let engine = builder
        .method("fragile", fragile)
        .fallback("fragile", stale)
        .mark_degraded(|_, reason| freehold::write_result(&format!("stale: {reason}")).unwrap())
        .build()
        .unwrap();
    let session = engine.open().unwrap();
    let held = world.a.lock().await.unwrap();
    let marked = result(call(&engine, &session, 1, "fragile", json!("waits for a lock")).await);
    assert_eq!(marked, json!("stale: lock timeout"));
    drop(held);
    let refused = Engine::builder(0_u64).fallback("nobody", stale).build().map(|_| ());
    assert_eq!(refused, Err(freehold::BuildError::FallbackWithoutMethod("nobody".into())));
}

/// Without a handle: `process` in the task of its caller, so that the pause begins inside of the first poll.
#[tokio::test]
async fn a_call_whose_first_poll_ends_in_a_pause_goes_on_by_itself() {
    async fn fails_at_once(ctx: &Ctx, (): ()) -> Answer {
        let world = ctx.app::<World>();
        if world.attempt() == 1 {
            let none = ctx.lock(&world.a).within(Duration::ZERO);
            let _a = none.await?;
        }
        Ok(json!(world.attempts()))
    }
    let (builder, world, _, _) = builder();
    let engine = builder.method_with("fails_at_once", idempotent(), fails_at_once).build().unwrap();
    let session = engine.open().unwrap();
    let held = world.a.lock().await.unwrap();
    let answer: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(engine.process(&session, request(1, "fails_at_once", &json!(null))));
    assert_eq!(result(within(answer).await), json!(2));
    drop(held);
    all_gone(&engine).await;
}
