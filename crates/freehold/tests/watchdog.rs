//! The watchdog: blocked threads are found and named, slow calls reported, and deadlines kept whatever is blocked.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

mod support;

use freehold::{
    Engine, EngineBuilder, Event, Finding, FindingKind, Limits, MethodOptions, OutcomeKind, Session, Stage,
    runtime::{BoxFuture, Look, NextLook, Rouse, Runtime, Timer, TokioRuntime},
};
use freehold_sync::{LockClass, Mutex, PermitPool};
use serde_json::json;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};
use support::{
    Answer, Ctx, Probe, all_gone, answer_next, call, error, eventually, request, result, start, within,
};

const DEADLINE_EXCEEDED: i32 = -31003;
/// Reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(60);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// ---- what was told -----------------------------------------------------------------------------------------------------

/// An event of the watchdog's, or the end of a call.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Blocked { method: String, subject: Option<String>, thread: String, lasts: Duration, at: Instant },
    Unblocked { method: String, thread: String, lasted: Duration },
    Slow { method: String, text: String },
    Ended { method: String, outcome: OutcomeKind, took: Duration },
}

/// Tells the test of events by a channel of the standard library: no task needs to run for it.
struct Tale(mpsc::Receiver<Told>);

impl Tale {
    fn of(builder: EngineBuilder<u64>) -> (EngineBuilder<u64>, Self) {
        let (sender, told) = mpsc::channel();
        let builder = builder.observer(move |event: &Event<'_>| {
            let told = match event {
                Event::ThreadBlocked { method, subject, thread, lasts, .. } => Told::Blocked {
                    method: (*method).to_owned(),
                    subject: subject.map(str::to_owned),
                    thread: (*thread).to_owned(),
                    lasts: *lasts,
                    at: Instant::now(),
                },
                Event::ThreadUnblocked { method, thread, lasted, .. } => Told::Unblocked {
                    method: (*method).to_owned(),
                    thread: (*thread).to_owned(),
                    lasted: *lasted,
                },
                Event::CallSlow { method, .. } => {
                    Told::Slow { method: (*method).to_owned(), text: format!("{event:?}") }
                }
                Event::CallEnded { method, outcome, took, .. } => {
                    Told::Ended { method: (*method).to_owned(), outcome: *outcome, took: *took }
                }
                _ => return,
            };
            let _ = sender.send(told);
        });
        (builder, Self(told))
    }

    /// The next event that is as wanted. Blocks the test's own thread.
    fn next<R>(&self, wanted: impl Fn(Told) -> Option<R>) -> R {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(found) = wanted(self.0.recv_timeout(left).expect("it is told")) {
                return found;
            }
        }
    }

    fn blocked(&self, by: &str) -> (String, Duration, Instant) {
        self.next(|told| match told {
            Told::Blocked { method, thread, lasts, at, .. } if method == by => Some((thread, lasts, at)),
            _ => None,
        })
    }

    fn unblocked(&self, by: &str) -> (String, Duration) {
        self.next(|told| match told {
            Told::Unblocked { method, thread, lasted } if method == by => Some((thread, lasted)),
            _ => None,
        })
    }

    fn so_far(&self) -> Vec<Told> {
        self.0.try_iter().collect()
    }
}

/// Where handlers block their thread until the test lets them go.
#[derive(Default)]
struct Blocks {
    waiting: StdMutex<Vec<mpsc::Sender<()>>>,
    began: StdMutex<Vec<Instant>>,
}

impl Blocks {
    /// Blocks this thread.
    fn block(&self) {
        let (release, released) = mpsc::channel();
        self.began.lock().unwrap().push(Instant::now());
        self.waiting.lock().unwrap().push(release);
        // The other end is dropped to let it go.
        assert_eq!(released.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    fn blocked(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    fn release(&self) {
        self.waiting.lock().unwrap().clear();
    }

    fn last_began(&self) -> Instant {
        *self.began.lock().unwrap().last().unwrap()
    }
}

/// Blocks in its first poll.
async fn blocks_first(ctx: &Ctx, (): ()) -> Answer {
    ctx.app::<Blocks>().block();
    Ok(json!("released"))
}

/// Blocks in its second poll, which is in a task of its own.
async fn blocks_later(ctx: &Ctx, (): ()) -> Answer {
    tokio::task::yield_now().await;
    ctx.set_subject("the subject".into());
    ctx.app::<Blocks>().block();
    Ok(json!("released"))
}

/// Has the engine process a call in its own poll, then blocks itself.
async fn blocks_nested(ctx: &Ctx, (): ()) -> Answer {
    let inner = ctx.engine().process(ctx.session(), request("inner", "blocks_first", &json!(null))).await;
    assert_eq!(result(inner), json!("released"));
    ctx.app::<Blocks>().block();
    Ok(json!("released"))
}

struct Blocking {
    engine: Engine<u64>,
    session: Session<u64>,
    blocks: Arc<Blocks>,
    tale: Tale,
}

fn blocking_engine(limits: Limits) -> Blocking {
    blocking_engine_with(limits, |builder| builder)
}

fn blocking_engine_with(
    limits: Limits,
    configure: impl FnOnce(EngineBuilder<u64>) -> EngineBuilder<u64>,
) -> Blocking {
    let blocks = Arc::new(Blocks::default());
    let builder = Engine::builder(0)
        .app(blocks.clone())
        .limits(limits)
        .method("blocks_first", blocks_first)
        .method("blocks_later", blocks_later)
        .method("blocks_nested", blocks_nested)
        .method("echo", support::echo)
        .control("ping", |_, _| Ok(json!({})));
    let (builder, tale) = Tale::of(configure(builder));
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    Blocking { engine, session, blocks, tale }
}

fn methods_blocked(findings: &[Finding]) -> Vec<&str> {
    let blocked = findings.iter().filter(|finding| matches!(finding.kind, FindingKind::ThreadBlocked { .. }));
    blocked.map(|finding| &*finding.method).collect()
}

// ---- blocked threads ---------------------------------------------------------------------------------------------------

/// Once of several times is enough: a machine that is busy with other tests looks later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_is_found_within_100_ms_and_named() {
    let Blocking { engine, session, blocks, tale } = blocking_engine(Limits::default());
    let mut soonest = Duration::MAX;
    for (id, method) in [(1, "blocks_first"), (2, "blocks_later"), (3, "blocks_first"), (4, "blocks_later")] {
        let running = start(&engine, &session, id, method, json!(null));
        let (thread, lasts, at) = tokio::task::block_in_place(|| tale.blocked(method));
        soonest = soonest.min(at - blocks.last_began());
        assert!(thread.contains("tokio"), "{thread}");
        assert!(lasts >= engine.limits().blocked_after, "{lasts:?}");
        let findings = engine.findings();
        assert_eq!(methods_blocked(&findings), [method]);
        assert_eq!(findings[0].session, session.id());
        let subject = (method == "blocks_later").then_some("the subject");
        assert_eq!(findings[0].subject.as_deref(), subject);
        let FindingKind::ThreadBlocked { thread: standing, lasts, .. } = &findings[0].kind else {
            panic!("{findings:?}")
        };
        assert_eq!(**standing, *thread);
        assert!(*lasts >= engine.limits().blocked_after);

        blocks.release();
        assert_eq!(result(within(running).await.unwrap()), json!("released"));
        // The answer is there a moment before the poll is over.
        eventually(|| engine.findings().is_empty()).await;
        let (unblocked, lasted) = tokio::task::block_in_place(|| tale.unblocked(method));
        assert_eq!(unblocked, thread);
        assert!(lasted >= engine.limits().blocked_after);
    }
    assert!(soonest < ms(100), "{soonest:?}");
    assert_eq!(engine.counters().threads_blocked, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_once_a_poll_however_long_it_lasts() {
    let Blocking { engine, session, blocks, tale } =
        blocking_engine(Limits { blocked_after: ms(2), ..Limits::default() });
    let running = start(&engine, &session, 1, "blocks_later", json!(null));
    tokio::task::block_in_place(|| tale.blocked("blocks_later"));
    // At least ten looks later, which what stands tells.
    let lasts = || match engine.findings().first().map(|finding| finding.kind.clone()) {
        Some(FindingKind::ThreadBlocked { lasts, .. }) => lasts,
        other => panic!("{other:?}"),
    };
    let first = lasts();
    eventually(|| lasts() > first + ms(50)).await;
    blocks.release();
    within(running).await.unwrap();
    tokio::task::block_in_place(|| tale.unblocked("blocks_later"));
    assert_eq!(engine.counters().threads_blocked, 1);
    assert!(!tale.so_far().iter().any(|told| matches!(told, Told::Blocked { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nested_polls_the_innermost_that_lasts_is_named_then_the_outer_one() {
    let Blocking { engine, session, blocks, tale } = blocking_engine(Limits::default());
    let running = start(&engine, &session, 1, "blocks_nested", json!(null));
    let (inner, ..) = tokio::task::block_in_place(|| tale.blocked("blocks_first"));
    assert_eq!(methods_blocked(&engine.findings()), ["blocks_first"]);
    blocks.release();
    let (outer, lasts, at) = tokio::task::block_in_place(|| tale.blocked("blocks_nested"));
    assert_eq!(inner, outer, "one thread");
    assert!(lasts > at - blocks.last_began(), "its poll began before it blocked itself: {lasts:?}");
    blocks.release();
    assert_eq!(result(within(running).await.unwrap()), json!("released"));
    tokio::task::block_in_place(|| tale.unblocked("blocks_nested"));
    assert!(engine.findings().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_engine_tells_of_its_own_handlers_only() {
    let one = blocking_engine(Limits::default());
    let two = blocking_engine(Limits::default());
    let running = start(&one.engine, &one.session, 1, "blocks_first", json!(null));
    tokio::task::block_in_place(|| one.tale.blocked("blocks_first"));
    // The other one's watchdog is awake, too, and has looked since: its own call's block is found.
    let other = start(&two.engine, &two.session, 1, "blocks_later", json!(null));
    let first = tokio::task::block_in_place(|| two.tale.next(Some));
    assert!(matches!(&first, Told::Blocked { method, .. } if method == "blocks_later"), "{first:?}");
    assert_eq!(methods_blocked(&one.engine.findings()), ["blocks_first"]);
    one.blocks.release();
    two.blocks.release();
    within(running).await.unwrap();
    within(other).await.unwrap();
}

// ---- deadlines ---------------------------------------------------------------------------------------------------------

/// All workers are blocked, so no timer of tokio's fires; the test stands outside of the runtime.
#[test]
fn deadlines_pass_on_time_although_all_workers_are_blocked() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let limits = Limits { deadline: ms(200), ..Limits::default() };
    let (stage, calls) = runtime.block_on(async {
        let stage = blocking_engine(limits);
        let calls: Vec<_> = [(1, "blocks_first"), (2, "blocks_later")]
            .map(|(id, method)| start(&stage.engine, &stage.session, id, method, json!(null)))
            .into();
        (stage, calls)
    });
    let Blocking { engine, blocks, tale, .. } = &stage;
    let until = Instant::now() + LIMIT;
    while blocks.blocked() < 2 {
        assert!(Instant::now() < until, "both block");
        std::thread::yield_now();
    }
    let mut ended = Vec::new();
    while ended.len() < 2 {
        ended.push(tale.next(|told| match told {
            Told::Ended { method, outcome, took } => Some((method, outcome, took)),
            _ => None,
        }));
    }
    assert_eq!(blocks.blocked(), 2, "they block still");
    for (method, outcome, took) in &ended {
        assert_eq!(*outcome, OutcomeKind::DeadlineExceeded, "{method}");
        assert!(*took >= ms(200), "{took:?}");
    }
    let soonest = ended.iter().map(|(_, _, took)| *took).min().unwrap();
    assert!(soonest < ms(200) + ms(300), "on time: {soonest:?}");
    assert_eq!(engine.findings().len(), 2, "what blocks stands on: {:?}", engine.findings());
    blocks.release();
    runtime.block_on(async {
        for call in calls {
            assert_eq!(error(within(call).await.unwrap()).0, DEADLINE_EXCEEDED);
        }
        all_gone(engine).await;
    });
    assert_eq!(engine.counters().deadline_exceeded, 2);
}

/// With threads of their own for handlers, all of which are blocked, everything else goes on: what must be answered is
/// answered, not only decided.
#[tokio::test]
async fn with_threads_of_their_own_blocking_handlers_delay_nobody_else() {
    let handlers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("handlers")
        .enable_all()
        .build()
        .unwrap();
    let limits = Limits { deadline: ms(200), cancel_grace: ms(50), ..Limits::default() };
    let Blocking { engine, session, blocks, tale } =
        blocking_engine_with(limits, |builder| builder.handlers_on(handlers.handle()));
    let calls: Vec<_> = (1..=4).map(|id| start(&engine, &session, id, "blocks_first", json!(null))).collect();
    eventually(|| blocks.blocked() == 2).await;
    // This runtime has one thread, which must never have blocked to come here.
    assert!(call(&engine, &session, 10, "ping", json!(null)).await.unwrap().result.is_ok());
    let mut stages = Vec::new();
    for call in calls {
        let (code, data) = error(within(call).await.unwrap());
        assert_eq!(code, DEADLINE_EXCEEDED);
        stages.push(data["stage"].as_str().unwrap().to_owned());
    }
    stages.sort();
    assert_eq!(stages, ["arrival", "arrival", "handler", "handler"], "two had no thread");
    assert_eq!(blocks.blocked(), 2, "those that block do so still");
    let (thread, ..) = tale.blocked("blocks_first");
    assert!(thread.contains("handlers"), "{thread}");
    blocks.release();
    all_gone(&engine).await;
    assert_eq!(blocks.blocked(), 0, "no cancelled handler has begun");
    assert_eq!(result(call(&engine, &session, 11, "echo", json!(7)).await), json!(7));
    handlers.shutdown_background();
}

// ---- slow calls, on a clock that the test moves --------------------------------------------------------------------------

/// The test's own time and looks. Its timers never fire: what ends at its deadline is ended by the watchdog.
#[derive(Default)]
struct ByHand {
    base: std::sync::OnceLock<Instant>,
    offset: AtomicU64,
    look: StdMutex<Option<Look>>,
    roused: AtomicUsize,
}

struct NoTimer;

impl Future for NoTimer {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Timer for NoTimer {
    fn reset(self: Pin<&mut Self>, _: Instant) {}
}

/// As the engine gets it.
struct Seam(Arc<ByHand>);

impl Runtime for Seam {
    fn now(&self) -> Instant {
        *self.0.base.get_or_init(Instant::now) + ms(self.0.offset.load(Ordering::SeqCst))
    }

    fn timer(&self, _: Instant) -> Pin<Box<dyn Timer>> {
        Box::pin(NoTimer)
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        TokioRuntime.spawn(name, future);
    }

    fn watch(&self, _: &'static str, look: Look) -> Option<Rouse> {
        *self.0.look.lock().unwrap() = Some(look);
        let by_hand = self.0.clone();
        Some(Box::new(move || {
            by_hand.roused.fetch_add(1, Ordering::SeqCst);
        }))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        TokioRuntime.fill_random(bytes);
    }
}

impl ByHand {
    /// Moves the clock, then looks.
    fn after(&self, time: Duration) -> NextLook {
        self.offset.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
        (self.look.lock().unwrap().as_mut().expect("a call has begun"))()
    }
}

struct Slow {
    engine: Engine<u64>,
    session: Session<u64>,
    tale: Tale,
    probe: Arc<Probe>,
    clock: Arc<ByHand>,
}

/// A soft limit of 10 s and a deadline of 30 s, as by default.
fn slow_engine(configure: impl FnOnce(EngineBuilder<u64>) -> EngineBuilder<u64>) -> Slow {
    let clock = Arc::new(ByHand::default());
    let (builder, probe) = support::builder();
    let (builder, tale) = Tale::of(configure(builder).runtime(Arc::new(Seam(clock.clone()))));
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    Slow { engine, session, tale, probe, clock }
}

impl Slow {
    fn slow(&self) -> Vec<(String, String)> {
        let slow = self.tale.so_far().into_iter().filter_map(|told| match told {
            Told::Slow { method, text } => Some((method, text)),
            _ => None,
        });
        slow.collect()
    }

    fn names(&self) -> Vec<String> {
        self.slow().into_iter().map(|(method, _)| method).collect()
    }
}

static HELD: LockClass = LockClass::new("watchdog/held");
static WANTED: LockClass = LockClass::new("watchdog/wanted");

struct Locks {
    held: Mutex<()>,
    wanted: PermitPool,
}

async fn holder(ctx: &Ctx, (): ()) -> Answer {
    let _wanted = ctx.permit(&ctx.app::<Locks>().wanted).await?;
    support::wait(ctx, json!("held")).await
}

async fn holds_and_waits(ctx: &Ctx, (): ()) -> Answer {
    let locks = ctx.app::<Locks>();
    let _held = ctx.lock(&locks.held).await?;
    let _wanted = ctx.permit(&locks.wanted).without_deadline().await?;
    Ok(json!("both"))
}

#[tokio::test]
async fn a_call_past_its_soft_limit_is_told_once_with_what_it_holds_and_waits_for() {
    let locks = Locks { held: Mutex::with_class(&HELD, ()), wanted: PermitPool::with_class(&WANTED, 1) };
    let stage = slow_engine(|builder| {
        let patient = MethodOptions::new().soft_limit(Duration::MAX);
        builder
            .app(Arc::new(locks))
            .method_with("the holder", patient, holder)
            .method("holds_and_waits", holds_and_waits)
    });
    let Slow { engine, session, probe, clock, .. } = &stage;
    let first = start(engine, session, 1, "the holder", json!(null));
    probe.entered(1).await;
    let second = start(engine, session, 2, "holds_and_waits", json!(null));
    let waits =
        |member: &freehold_sync::Observed| member.actor.name == "holds_and_waits" && !member.waits.is_empty();
    eventually(|| freehold_sync::observe().members.iter().any(waits)).await;
    clock.after(ms(9_000));
    assert_eq!((stage.names().len(), engine.findings().len()), (0, 0), "not yet");

    clock.after(ms(1_000));
    let told = stage.slow();
    assert_eq!(told.len(), 1, "{told:?}");
    let (method, text) = &told[0];
    assert_eq!(method, "holds_and_waits");
    for part in ["watchdog/held", "watchdog/wanted", "the holder", "stage: Handler"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(engine.counters().slow, 1);

    clock.after(ms(5_000));
    assert_eq!(stage.names(), [""; 0], "told once");
    let findings = engine.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((&*findings[0].method, findings[0].session), ("holds_and_waits", session.id()));
    let FindingKind::Slow { stage: at, age, limit, last_polled, holds, waits, .. } = &findings[0].kind else {
        panic!("{findings:?}")
    };
    assert_eq!((*at, *age, *limit), (Stage::Handler, ms(15_000), ms(10_000)));
    assert_eq!(*last_polled, Some(ms(15_000)));
    assert_eq!((holds.len(), holds[0].lock.class), (1, "watchdog/held"));
    assert_eq!((waits.len(), waits[0].lock.class), (1, "watchdog/wanted"));
    assert_eq!(waits[0].holder.name, "the holder");

    probe.release(1);
    assert_eq!(result(within(first).await.unwrap()), json!("held"));
    assert_eq!(result(within(second).await.unwrap()), json!("both"));
    assert!(engine.findings().is_empty(), "gone with the outcome, before the next look");
}

#[tokio::test]
async fn a_call_in_the_queue_is_slow_too_and_was_never_polled() {
    let stage = slow_engine(|builder| builder.limits(Limits { running_per_session: 1, ..Limits::default() }));
    let Slow { engine, session, probe, clock, .. } = &stage;
    let calls: Vec<_> = (1..=2).map(|id| start(engine, session, id, "wait", json!(id))).collect();
    probe.entered(1).await;
    eventually(|| engine.calls().len() == 2).await;
    clock.after(ms(10_000));
    assert_eq!(stage.names(), ["wait", "wait"]);
    let never = engine.findings().into_iter().filter(|finding| {
        matches!(finding.kind, FindingKind::Slow { stage: Stage::Queue, last_polled: None, .. })
    });
    assert_eq!(never.count(), 1);
    probe.release(2);
    for call in calls {
        within(call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_tells_progress_is_not_slow_until_it_stops() {
    async fn progresses(ctx: &Ctx, (): ()) -> Answer {
        loop {
            ctx.app::<Probe>().released().await;
            ctx.made_progress();
            ctx.app::<Probe>().enter();
        }
    }
    let stage = slow_engine(|builder| builder.method("progresses", progresses));
    let Slow { engine, session, probe, clock, .. } = &stage;
    let running = start(engine, session, 1, "progresses", json!(null));
    eventually(|| engine.calls().len() == 1).await;
    for _ in 0..10 {
        clock.after(ms(9_000));
        probe.release(1);
        probe.entered(1).await;
    }
    assert_eq!(stage.names(), [""; 0]);
    clock.after(ms(9_000));
    assert_eq!(stage.names(), [""; 0]);
    clock.after(ms(1_000));
    assert_eq!(stage.names(), ["progresses"]);
    running.abort();
}

#[tokio::test]
async fn the_time_in_which_a_person_thinks_does_not_count() {
    let stage = slow_engine(|builder| builder);
    let Slow { engine, session, probe, clock, .. } = &stage;
    let running = start(engine, session, 1, "ask", json!("well?"));
    probe.entered(1).await;
    eventually(|| session.gauges().questions == 1).await;
    for _ in 0..20 {
        clock.after(ms(20_000));
    }
    assert_eq!(stage.names(), [""; 0]);
    let mut listener = session.listen();
    answer_next(engine, &mut listener, &json!("yes")).await;
    assert_eq!(result(within(running).await.unwrap()), json!({ "answer": "yes" }));
}

/// The question's own limit, and the deadline, without a timer: by the looks alone.
#[tokio::test]
async fn looks_alone_end_questions_and_calls() {
    let stage = slow_engine(|builder| builder);
    let Slow { engine, session, probe, clock, .. } = &stage;
    let asks = start(engine, session, 1, "ask", json!("well?"));
    let never = start(engine, session, 2, "obedient", json!(null));
    probe.entered(2).await;
    eventually(|| session.gauges().questions == 1).await;
    clock.after(ms(29_999));
    assert_eq!(session.gauges().in_flight, 2);
    // A little later than its own task would, which is asked first.
    clock.after(ms(1_000));
    clock.after(ms(1_000));
    assert_eq!(error(within(never).await.unwrap()).0, DEADLINE_EXCEEDED);
    probe.saw("cancelled: DeadlineExceeded, None").await;
    assert_eq!(session.gauges().in_flight, 1, "the other one's clock stands");
    clock.after(engine.limits().question_timeout);
    assert!(within(asks).await.unwrap().unwrap().result.is_err());
    assert_eq!(session.gauges().questions, 0);
}

#[tokio::test]
async fn a_call_without_a_deadline_is_never_slow_and_one_can_choose_its_own_limit() {
    async fn streams(ctx: &Ctx, (): ()) -> Answer {
        ctx.remove_deadline();
        support::wait(ctx, json!("streamed")).await
    }
    async fn impatient(ctx: &Ctx, (): ()) -> Answer {
        ctx.set_soft_limit(ms(40));
        support::wait(ctx, json!("waited")).await
    }
    let stage = slow_engine(|builder| builder.method("streams", streams).method("impatient", impatient));
    let Slow { engine, session, probe, clock, .. } = &stage;
    let calls: Vec<_> = [(1, "streams"), (2, "impatient")]
        .map(|(id, method)| start(engine, session, id, method, json!(null)))
        .into();
    probe.entered(2).await;
    clock.after(ms(0));
    clock.after(ms(39));
    assert_eq!(stage.names(), [""; 0]);
    // Looks at calls are an eighth of the shortest limit apart, but not less than those at threads.
    clock.after(ms(25));
    assert_eq!(stage.names(), ["impatient"]);
    clock.after(ms(100_000));
    assert_eq!(stage.names(), [""; 0]);
    probe.release(2);
    drop(calls);
}

#[tokio::test]
async fn a_call_that_was_told_and_changes_its_deadline_is_not_told_again() {
    async fn changes(ctx: &Ctx, (): ()) -> Answer {
        ctx.app::<Probe>().released().await;
        ctx.set_timeout(ms(60_000));
        ctx.app::<Probe>().enter();
        support::wait(ctx, json!("waited")).await
    }
    let stage = slow_engine(|builder| builder.method("changes", changes));
    let Slow { engine, session, probe, clock, .. } = &stage;
    let running = start(engine, session, 1, "changes", json!(null));
    eventually(|| engine.calls().len() == 1).await;
    clock.after(ms(10_000));
    assert_eq!(stage.names(), ["changes"]);
    probe.release(1);
    probe.entered(2).await;
    clock.after(ms(1_000));
    assert_eq!(stage.names(), [""; 0]);
    probe.release(1);
    assert_eq!(result(within(running).await.unwrap()), json!("waited"));
}

#[tokio::test]
async fn it_rests_without_calls_is_roused_by_one_and_ends_with_the_engine() {
    let stage = slow_engine(|builder| builder);
    assert!(stage.clock.look.lock().unwrap().is_none(), "it begins with the first call");
    let echo = async |id| result(call(&stage.engine, &stage.session, id, "echo", json!(id)).await);
    assert_eq!(echo(1).await, json!(1));
    let roused = || stage.clock.roused.load(Ordering::SeqCst);
    assert_eq!(roused(), 1);
    let interval = NextLook::After(stage.engine.limits().blocked_after / 2);
    assert_eq!(stage.clock.after(ms(1)), interval);
    assert_eq!(stage.clock.after(ms(999)), interval);
    assert_eq!(echo(2).await, json!(2));
    assert_eq!(roused(), 1, "it was awake");
    assert_eq!(stage.clock.after(ms(1)), NextLook::WhenRoused);
    assert_eq!(echo(3).await, json!(3));
    assert_eq!(roused(), 2);

    let Slow { engine, session, clock, probe, .. } = stage;
    drop((engine, session));
    assert_eq!(roused_at(&clock), 3, "to see that it is over");
    assert_eq!(clock.after(ms(0)), NextLook::Never);
    // The builder's and ours: the engine is gone, its watchdog kept it not.
    assert_eq!(Arc::strong_count(&probe), 1);
}

fn roused_at(clock: &ByHand) -> usize {
    clock.roused.load(Ordering::SeqCst)
}

/// A real thread, and an engine that is dropped while it is awake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_thread_does_not_keep_the_engine() {
    let (builder, probe) = support::builder();
    let engine = builder.build().unwrap();
    let session = engine.open().unwrap();
    assert_eq!(result(call(&engine, &session, 1, "echo", json!(1)).await), json!(1));
    assert!(session.close(freehold::CloseReason::Server));
    drop((engine, session));
    eventually(|| Arc::strong_count(&probe) == 1).await;
}
