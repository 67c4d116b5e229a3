//! Each metric moves by as much as what it counts, while other calls go on. One test: what locks do is counted for the whole
//! process.

mod watched;

use freehold::{
    BreakerOptions, Context, DegradeReason, Engine, ErrorCode, ErrorObject, Limits, MethodOptions, Request,
    Response, RetryPolicy, Session,
    runtime::{TokioRuntime, pause},
    sync::{LockClass, LockLevel, Mutex, PermitPool, set_order_learning, set_suspect_after},
};
use freehold_admin::{AdminOptions, AdminServer, HttpUrl, RunningAdmin, Telemetry};
use serde_json::value::RawValue;
use std::{
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::sync::{Barrier, Semaphore};
use watched::{LIMIT, eventually, value_of};

/// Sessions with calls one after the other, beside all that is looked at.
const LOADERS: usize = 6;
/// Of a session; of the pool too.
const SLOTS: usize = 4;
const REFUSED_BELOW: Duration = Duration::from_millis(1);

/// The locks of the scenes, each with a class of its own.
struct Locks {
    hot: Mutex<u32>,
    late: Mutex<u32>,
    left: Mutex<u32>,
    right: Mutex<u32>,
    lost: Mutex<u32>,
    doubt: Mutex<u32>,
    first: Mutex<u32>,
    second: Mutex<u32>,
    upper: Mutex<u32>,
    lower: Mutex<u32>,
}

impl Locks {
    fn new() -> Self {
        static CLASSES: [LockClass; 8] = [
            LockClass::new("hot"),
            LockClass::new("late"),
            LockClass::new("left"),
            LockClass::new("right"),
            LockClass::new("lost"),
            LockClass::new("doubt"),
            LockClass::new("first"),
            LockClass::new("second"),
        ];
        static UPPER: LockClass = LockClass::new("upper").at(LockLevel::SESSION);
        static LOWER: LockClass = LockClass::new("lower").at(LockLevel::HANDLER);
        let [hot, late, left, right, lost, doubt, first, second] =
            CLASSES.each_ref().map(|class| Mutex::with_class(class, 0));
        let (upper, lower) = (Mutex::with_class(&UPPER, 0), Mutex::with_class(&LOWER, 0));
        Self { hot, late, left, right, lost, doubt, first, second, upper, lower }
    }

    fn named(&self, name: &str) -> &Mutex<u32> {
        match name {
            "hot" => &self.hot,
            "late" => &self.late,
            "left" => &self.left,
            "right" => &self.right,
            "lost" => &self.lost,
            "doubt" => &self.doubt,
            "first" => &self.first,
            "second" => &self.second,
            "upper" => &self.upper,
            _ => &self.lower,
        }
    }
}

struct Shelf {
    locks: Locks,
    pool: Arc<PermitPool>,
    both: Barrier,
    /// Lets one that waits return.
    go: Semaphore,
    /// Lets those that are there for the load return.
    parked: Semaphore,
    /// Lets the one that blocks its thread go on.
    unblock: StdMutex<mpsc::Receiver<()>>,
    /// Whether the attempt that begins finds the lock that it cannot have.
    fails: AtomicBool,
}

type Ctx = Context<()>;
type Answer = Result<u64, ErrorObject>;

async fn pass(semaphore: &Semaphore) {
    if let Ok(permit) = semaphore.acquire().await {
        permit.forget();
    }
}

async fn echo(_: &Ctx, [_]: [String; 1]) -> Answer {
    Ok(1)
}

async fn sometimes(_: &Ctx, [how]: [String; 1]) -> Answer {
    match &*how {
        "well" => Ok(1),
        _ => Err(ErrorObject::new(ErrorCode(-31_000), "as it was told")),
    }
}

async fn wait(ctx: &Ctx, [_]: [String; 1]) -> Answer {
    pass(&ctx.app::<Shelf>().go).await;
    Ok(1)
}

async fn park(ctx: &Ctx, [_]: [String; 1]) -> Answer {
    pass(&ctx.app::<Shelf>().parked).await;
    Ok(1)
}

async fn hang(_: &Ctx, [_]: [String; 1]) -> Answer {
    std::future::pending().await
}

/// Has a lock until it may go.
async fn keep(ctx: &Ctx, [lock]: [String; 1]) -> Answer {
    let shelf = ctx.app::<Shelf>();
    let _held = ctx.lock(shelf.locks.named(&lock)).await?;
    pass(&shelf.go).await;
    Ok(1)
}

async fn take(ctx: &Ctx, [lock]: [String; 1]) -> Answer {
    let mut held = ctx.lock(ctx.app::<Shelf>().locks.named(&lock)).await?;
    *held += 1;
    Ok(1)
}

/// Takes a lock while it holds another one.
async fn nest(ctx: &Ctx, [outer, inner]: [String; 2]) -> Answer {
    let locks = &ctx.app::<Shelf>().locks;
    let _outer = ctx.lock(locks.named(&outer)).await?;
    let _inner = ctx.lock(locks.named(&inner)).await?;
    Ok(1)
}

/// Two of these, one in each direction, close a ring.
async fn cross(ctx: &Ctx, [first, second]: [String; 2]) -> Answer {
    let shelf = ctx.app::<Shelf>();
    let _first = ctx.lock(shelf.locks.named(&first)).await?;
    shelf.both.wait().await;
    let _second = ctx.lock(shelf.locks.named(&second)).await?;
    Ok(1)
}

/// Holds what others want, and nobody can wake it.
async fn lose(ctx: &Ctx, [lock]: [String; 1]) -> Answer {
    let _held = ctx.lock(ctx.app::<Shelf>().locks.named(&lock)).await?;
    std::future::pending().await
}

async fn give_up(ctx: &Ctx, [lock]: [String; 1]) -> Answer {
    let _held = ctx.lock(ctx.app::<Shelf>().locks.named(&lock)).within(REFUSED_BELOW).await?;
    Ok(1)
}

/// Gives up at its first attempt.
async fn give_up_once(ctx: &Ctx, lock: [String; 1]) -> Answer {
    if ctx.app::<Shelf>().fails.swap(false, Ordering::SeqCst) { give_up(ctx, lock).await } else { Ok(1) }
}

async fn permit(ctx: &Ctx, [_]: [String; 1]) -> Answer {
    let shelf = ctx.app::<Shelf>();
    let _permit = ctx.permit(&shelf.pool).await?;
    pass(&shelf.go).await;
    Ok(1)
}

async fn block(ctx: &Ctx, [_]: [String; 1]) -> Answer {
    let _ = ctx.app::<Shelf>().unblock.lock().unwrap().recv_timeout(LIMIT);
    Ok(1)
}

async fn fragile(ctx: &Ctx, [how]: [String; 1]) -> Answer {
    match &*how {
        "waits" => wait(ctx, [how]).await,
        _ => sometimes(ctx, [how]).await,
    }
}

async fn less(_: Session<()>, _: Option<Box<RawValue>>, _: DegradeReason) -> Answer {
    Ok(0)
}

/// An engine under load, and what a scrape of it says.
struct Scene {
    engine: Engine<()>,
    session: Session<()>,
    shelf: Arc<Shelf>,
    unblock: mpsc::Sender<()>,
    telemetry: Telemetry,
    admin: RunningAdmin,
    made: AtomicU64,
    loaded: AtomicBool,
    /// Those who make the load, until they have ended.
    loaders: AtomicUsize,
}

fn engine(shelf: &Arc<Shelf>, telemetry: &Telemetry) -> Engine<()> {
    let limits = Limits {
        running_per_session: SLOTS,
        queued_per_session: SLOTS,
        // Two re-runs, and no more to come.
        retry_percent: 0,
        retries_per_second: 0,
        retry_burst: 2,
        // Far above what a busy machine makes a thread wait.
        blocked_after: Duration::from_secs(1),
        ..Limits::default()
    };
    let breaker = BreakerOptions::new().minimum_calls(4).probes(1).handler_errors(true);
    let breaker = |open_for| MethodOptions::new().breaker(breaker.clone().open_for(open_for));
    let idempotent = MethodOptions::new().idempotent(true);
    Engine::builder(())
        .limits(limits)
        .app(shelf.clone())
        .observer(telemetry.clone())
        .method("echo", echo)
        .method("sometimes", sometimes)
        .method("wait", wait)
        .method("park", park)
        .method("keep", keep)
        .method("take", take)
        .method("nest", nest)
        .method("cross", cross)
        .method("lose", lose)
        .method("give_up", give_up)
        .method_with("give_up_once", idempotent.clone(), give_up_once)
        .method_with("lesser", idempotent.retry(RetryPolicy::never()), give_up)
        .fallback("lesser", less)
        .method("permit", permit)
        .method("block", block)
        .method_with("hang", MethodOptions::new().timeout(Duration::from_millis(20)), hang)
        .method_with("slow", MethodOptions::new().soft_limit(Duration::from_millis(20)), wait)
        .method_with("fragile", breaker(Duration::from_millis(20)), fragile)
        .method_with("shut", breaker(LIMIT), sometimes)
        .build()
        .unwrap()
}

impl Scene {
    fn new() -> Arc<Self> {
        let (unblock, unblocked) = mpsc::channel();
        let shelf = Arc::new(Shelf {
            locks: Locks::new(),
            pool: Arc::new(PermitPool::new(SLOTS as u32)),
            both: Barrier::new(2),
            go: Semaphore::new(0),
            parked: Semaphore::new(0),
            unblock: StdMutex::new(unblocked),
            fails: AtomicBool::new(false),
        });
        let telemetry = Telemetry::new();
        telemetry.watch_pool("four", &shelf.pool).unwrap();
        let engine = engine(&shelf, &telemetry);
        let admin = AdminServer::bind("127.0.0.1:0", AdminOptions::default()).unwrap();
        let admin = admin.start(&engine, &telemetry).unwrap();
        let session = engine.open().unwrap();
        session.mark_initialized();
        let (made, loaded) = (AtomicU64::new(0), AtomicBool::new(true));
        let loaders = AtomicUsize::new(0);
        Arc::new(Self { engine, session, shelf, unblock, telemetry, admin, made, loaded, loaders })
    }

    async fn call_in(&self, session: &Session<()>, method: &str, params: &[&str]) -> Response<'static> {
        let id = self.made.fetch_add(1, Ordering::SeqCst) as i64;
        let request = Request::new(id, method, &params).unwrap();
        self.engine.process(session, request.into()).await.unwrap()
    }

    /// Whether it was answered with a result.
    async fn call(&self, method: &str, params: &[&str]) -> bool {
        self.call_in(&self.session, method, params).await.result.is_ok()
    }

    fn start_in(
        self: &Arc<Self>,
        session: &Session<()>,
        method: &'static str,
        params: &'static [&'static str],
    ) {
        let (scene, session) = (self.clone(), session.clone());
        let call = async move {
            scene.call_in(&session, method, params).await;
        };
        self.engine.runtime().spawn("call", Box::pin(call));
    }

    fn start(self: &Arc<Self>, method: &'static str, params: &'static [&'static str]) {
        self.start_in(&self.session, method, params);
    }

    /// Calls that go on until the end, in sessions that are active all the while.
    async fn load(self: &Arc<Self>) {
        for _ in 0..LOADERS {
            let session = self.engine.open().unwrap();
            session.mark_initialized();
            self.start_in(&session, "park", &["for the load"]);
            let scene = self.clone();
            scene.loaders.fetch_add(1, Ordering::SeqCst);
            let calls = async move {
                while scene.loaded.load(Ordering::Relaxed) {
                    scene.call_in(&session, "echo", &["load"]).await;
                    pause(&TokioRuntime, Duration::from_micros(500)).await;
                }
                scene.loaders.fetch_sub(1, Ordering::SeqCst);
            };
            self.engine.runtime().spawn("load", Box::pin(calls));
        }
        eventually("the load", || {
            let now = self.scrape();
            now.of("freehold_calls{stage=\"handler\"}") >= LOADERS as f64
                && now.of(&ended("echo", "answered")) > 100.0
        })
        .await;
    }

    /// As of now: those over HTTP share a look for a tenth of a second.
    fn scrape(&self) -> Scrape {
        Scrape(self.telemetry.metrics(&self.engine))
    }

    /// Waits until a scrape says so; that one.
    async fn until(&self, sample: &str, value: f64) -> Scrape {
        let mut last = None;
        eventually(&format!("{sample} to be {value}"), || {
            let now = self.scrape();
            let holds = now.of(sample) == value;
            last = Some(now);
            holds
        })
        .await;
        last.unwrap()
    }

    /// Lets `count` go that wait, and waits until none is left but the load.
    async fn let_go(&self, count: usize) {
        self.shelf.go.add_permits(count);
        let left =
            || self.engine.calls().iter().filter(|call| !["park", "echo"].contains(&&*call.method)).count();
        eventually("their end", || left() == 0).await;
    }
}

/// The samples of a scrape; what is not there yet is zero.
struct Scrape(String);

impl Scrape {
    fn of(&self, sample: &str) -> f64 {
        value_of(&self.0, sample).unwrap_or(0.0)
    }

    /// By how much these grew from `before` on.
    #[track_caller]
    fn grew(&self, before: &Self, expected: &[(&str, f64)]) {
        for (sample, by) in expected {
            let (from, to) = (before.of(sample), self.of(sample));
            assert!(value_of(&self.0, sample).is_some(), "there is no {sample}");
            assert!(((to - from) - by).abs() < 1e-9, "{sample} went from {from} to {to}, not by {by}");
        }
    }

    #[track_caller]
    fn shows(&self, expected: &[(&str, f64)]) {
        for (sample, value) in expected {
            let is = value_of(&self.0, sample).unwrap_or_else(|| panic!("there is no {sample}"));
            assert!((is - value).abs() < 1e-9, "{sample} is {is}, not {value}");
        }
    }
}

fn ended(method: &str, outcome: &str) -> String {
    format!("freehold_call_duration_seconds_count{{method=\"{method}\",subject=\"\",outcome=\"{outcome}\"}}")
}

/// Waits and holds by class, and the share of those that waited.
async fn contention(scene: &Arc<Scene>) {
    const WAITS: f64 = 8.0;
    const FREE: f64 = 640.0;
    let before = scene.scrape();
    for _ in 0..FREE as u32 {
        assert!(scene.call("take", &["hot"]).await);
    }
    for _ in 0..WAITS as u32 {
        scene.start("keep", &["hot"]);
        scene.until("freehold_lock_holders{class=\"hot\"}", 1.0).await;
        scene.start("take", &["hot"]);
        scene.until("freehold_lock_waiters{class=\"hot\"}", 1.0).await;
        scene.let_go(1).await;
    }
    let after = scene.scrape();
    after.grew(
        &before,
        &[
            ("freehold_lock_contended_total{class=\"hot\"}", WAITS),
            ("freehold_lock_wait_seconds_count{class=\"hot\"}", WAITS),
            ("freehold_lock_wait_seconds_bucket{class=\"hot\",le=\"+Inf\"}", WAITS),
            ("freehold_lock_hold_seconds_count{class=\"hot\",contended=\"true\"}", WAITS),
            ("freehold_lock_holders{class=\"hot\"}", 0.0),
            ("freehold_lock_waiters{class=\"hot\"}", 0.0),
        ],
    );
    // These lag behind by less than 64.
    let (taken, all) = (after.of("freehold_lock_acquisitions_total{class=\"hot\"}"), FREE + 2.0 * WAITS);
    assert!(taken > all - 64.0 && taken <= all, "{taken} of {all}");
    let sampled = after.of("freehold_lock_hold_seconds_count{class=\"hot\",contended=\"false\"}");
    assert!((all / 64.0 - sampled).abs() <= 2.0, "{sampled} of {all} holds");
    assert!(after.of("freehold_lock_wait_seconds_sum{class=\"hot\"}") > 0.0);
    assert!(after.of("freehold_lock_hold_seconds_sum{class=\"hot\",contended=\"true\"}") > 0.0);
    after.shows(&[("freehold_lock_contention_ratio{class=\"hot\"}", WAITS / taken)]);
}

/// How calls end, and how long they took, by method and outcome.
async fn success_and_latency(scene: &Arc<Scene>) {
    let before = scene.scrape();
    for number in 0..40 {
        assert_eq!(
            scene.call("sometimes", &[if number % 4 == 0 { "badly" } else { "well" }]).await,
            number % 4 != 0
        );
    }
    for _ in 0..2 {
        assert!(!scene.call("hang", &[""]).await);
    }
    let after = scene.scrape();
    let (well, badly) = (ended("sometimes", "answered"), ended("sometimes", "failed"));
    let late = ended("hang", "deadline_exceeded");
    after.grew(
        &before,
        &[
            (&well, 30.0),
            (&badly, 10.0),
            (&late, 2.0),
            ("freehold_calls_total{outcome=\"failed\"}", 10.0),
            ("freehold_calls_total{outcome=\"deadline_exceeded\"}", 2.0),
        ],
    );
    let rate = after.of(&well) / (after.of(&well) + after.of(&badly));
    assert!((rate - 0.75).abs() < 1e-9, "{rate}");
    assert!(
        after.of("freehold_calls_total{outcome=\"answered\"}") >= after.of(&well) + 100.0,
        "the load goes on"
    );
    let of_late = "method=\"hang\",subject=\"\",outcome=\"deadline_exceeded\"";
    after.shows(&[
        (&format!("freehold_call_duration_seconds_bucket{{{of_late},le=\"0.01\"}}"), 0.0),
        (&format!("freehold_call_duration_seconds_bucket{{{of_late},le=\"+Inf\"}}"), 2.0),
    ]);
    let took = after.of(&format!("freehold_call_duration_seconds_sum{{{of_late}}}"));
    assert!((0.04..LIMIT.as_secs_f64()).contains(&took), "{took} s");
}

/// Rings by grade and pair of classes, orphans, and what it costs to find them.
async fn deadlocks(scene: &Arc<Scene>) {
    let before = scene.scrape();
    for _ in 0..3 {
        let (one, other) =
            tokio::join!(scene.call("cross", &["left", "right"]), scene.call("cross", &["right", "left"]));
        assert!(one != other, "one victim");
    }
    let after = scene.scrape();
    after.grew(
        &before,
        &[
            ("freehold_deadlocks_total{grade=\"proven\"}", 3.0),
            ("freehold_deadlock_rings_total{grade=\"proven\",classes=\"left, right\"}", 3.0),
            (&ended("cross", "answered"), 3.0),
            (&ended("cross", "failed"), 3.0),
        ],
    );
    let victims = |scrape: &Scrape| {
        ["left", "right"]
            .map(|class| scrape.of(&format!("freehold_lock_deadlocks_total{{class=\"{class}\"}}")))
    };
    assert_eq!(victims(&after).iter().sum::<f64>() - victims(&before).iter().sum::<f64>(), 3.0);
    assert!(after.of("freehold_deadlock_last_number{grade=\"proven\"}") >= 3.0);
    for cost in ["freehold_detector_seconds_total", "freehold_detector_walks_total"] {
        assert!(after.of(cost) > before.of(cost), "{cost}");
    }

    let before = after;
    scene.start("lose", &["lost"]);
    scene.until("freehold_lock_holders{class=\"lost\"}", 1.0).await;
    assert!(scene.call("take", &["lost"]).await);
    let after = scene.until("freehold_calls_total{outcome=\"deadlocked\"}", 1.0).await;
    after.grew(
        &before,
        &[("freehold_recoveries_total{outcome=\"ended\"}", 1.0), ("freehold_orphans_ended_total", 1.0)],
    );
}

/// Locks that cannot be had in time, and what is done for the calls that wanted them.
async fn timeouts_and_recovery(scene: &Arc<Scene>) {
    let before = scene.scrape();
    scene.start("keep", &["late"]);
    scene.until("freehold_lock_holders{class=\"late\"}", 1.0).await;
    for _ in 0..3 {
        assert!(!scene.call("give_up", &["late"]).await);
    }
    before.shows(&[("freehold_retry_budget", 2.0)]);
    for budget in [true, true, false] {
        scene.shelf.fails.store(true, Ordering::SeqCst);
        assert_eq!(scene.call("give_up_once", &["late"]).await, budget);
    }
    assert!(scene.call("lesser", &["late"]).await);
    let after = scene.scrape();
    after.grew(
        &before,
        &[
            ("freehold_lock_timeouts_total{class=\"late\"}", 7.0),
            ("freehold_recoveries_total{outcome=\"retried\"}", 2.0),
            ("freehold_recoveries_total{outcome=\"retry_refused\"}", 1.0),
            ("freehold_recoveries_total{outcome=\"degraded\"}", 1.0),
            ("freehold_retry_budget", -2.0),
            ("freehold_calls_total{outcome=\"degraded\"}", 1.0),
            (&ended("give_up_once", "answered"), 2.0),
            (&ended("give_up_once", "failed"), 1.0),
        ],
    );
    scene.let_go(1).await;
}

/// How full slots, queues and pools are, and what is refused when they are.
async fn saturation_and_shedding(scene: &Arc<Scene>) {
    let before = scene.scrape();
    before.shows(&[
        ("freehold_queue_saturation_ratio", 0.0),
        ("freehold_permits{pool=\"four\"}", SLOTS as f64),
    ]);
    for _ in 0..3 {
        scene.start("permit", &["one"]);
    }
    let three = scene.until("freehold_permits_in_use{pool=\"four\"}", 3.0).await;
    three.shows(&[("freehold_permit_saturation_ratio{pool=\"four\"}", 0.75)]);
    for _ in 0..SLOTS + 1 {
        scene.start("permit", &["one"]);
    }
    let full = scene.until("freehold_calls{stage=\"queue\"}", SLOTS as f64).await;
    full.shows(&[
        ("freehold_permit_saturation_ratio{pool=\"four\"}", 1.0),
        ("freehold_session_slot_saturation_ratio", 1.0),
        ("freehold_queue_saturation_ratio", 1.0),
    ]);
    let places = full.of("freehold_call_saturation_ratio") * full.of("freehold_calls_limit");
    for in_flight in [full.of("freehold_calls_in_flight"), places.round()] {
        assert!(in_flight >= (2 * SLOTS + LOADERS) as f64, "{in_flight}");
    }
    for _ in 0..5 {
        assert!(!scene.call("echo", &["one more"]).await);
    }
    scene.let_go(2 * SLOTS).await;
    scene.start("wait", &["with the id that comes next"]);
    scene.until("freehold_calls{stage=\"handler\"}", (LOADERS + 1) as f64).await;
    let taken = scene.engine.calls().into_iter().find(|call| &*call.method == "wait").unwrap();
    let twice = Request::new(taken.id.unwrap(), "echo", &["twice"]).unwrap();
    scene.made.fetch_add(1, Ordering::SeqCst);
    assert!(scene.engine.process(&scene.session, twice.into()).await.unwrap().result.is_err());
    scene.let_go(1).await;
    scene.scrape().grew(
        &before,
        &[
            ("freehold_calls_shed_total{reason=\"overloaded\"}", 5.0),
            ("freehold_calls_shed_total{reason=\"duplicate_id\"}", 1.0),
            ("freehold_permits_in_use{pool=\"four\"}", 0.0),
            ("freehold_queue_saturation_ratio", 0.0),
        ],
    );
}

/// Calls until the breaker of the method opens.
async fn open_breaker(scene: &Arc<Scene>, method: &str) -> Scrape {
    let open = breaker_state(method, "open");
    assert!(scene.call(method, &["well"]).await);
    scene.scrape().shows(&[(&breaker_state(method, "closed"), 1.0), (&open, 0.0)]);
    loop {
        assert!(!scene.call(method, &["badly"]).await);
        let now = scene.scrape();
        if now.of(&open) == 1.0 {
            break now;
        }
    }
}

fn breaker_state(method: &str, state: &str) -> String {
    format!("freehold_breaker_state{{name=\"{method}\",of=\"method\",state=\"{state}\"}}")
}

/// Breakers go from closed to open to half-open to closed, and refuse while they are open.
async fn breakers(scene: &Arc<Scene>) {
    let before = scene.scrape();
    let open = open_breaker(scene, "shut").await;
    for _ in 0..3 {
        assert!(!scene.call("shut", &["well"]).await);
    }
    scene.scrape().grew(
        &open,
        &[
            ("freehold_calls_shed_total{reason=\"circuit_open\"}", 3.0),
            ("freehold_calls_total{outcome=\"circuit_open\"}", 3.0),
        ],
    );
    let [closed, open, half_open] =
        ["closed", "open", "half_open"].map(|state| breaker_state("fragile", state));
    open_breaker(scene, "fragile").await.shows(&[(&closed, 0.0), (&half_open, 0.0)]);
    let probe = async {
        while !scene.call("fragile", &["waits"]).await {
            pause(&TokioRuntime, Duration::from_millis(1)).await;
        }
    };
    let look = async {
        scene.until(&half_open, 1.0).await.shows(&[(&closed, 0.0), (&open, 0.0)]);
        scene.let_go(1).await;
    };
    tokio::join!(probe, look);
    let after = scene.scrape();
    after.shows(&[(&closed, 1.0), (&open, 0.0), (&half_open, 0.0)]);
    after.grew(&before, &[("freehold_breakers_opened_total", 2.0)]);
}

/// A session from its beginning to its end.
async fn sessions(scene: &Arc<Scene>) {
    let state = |state: &str| format!("freehold_sessions{{state=\"{state}\"}}");
    let (initializing, active, idle) = (state("initializing"), state("active"), state("idle"));
    // Those of the load, each with one call that stays.
    let before = scene.until(&active, LOADERS as f64).await;
    before.shows(&[
        (&initializing, 0.0),
        (&idle, 1.0),
        ("freehold_sessions_opened_total", (LOADERS + 1) as f64),
    ]);
    let session = scene.engine.open().unwrap();
    scene.until(&initializing, 1.0).await.grew(&before, &[(&idle, 0.0), (&active, 0.0)]);
    session.mark_initialized();
    scene.until(&idle, 2.0).await.grew(&before, &[(&initializing, 0.0), (&active, 0.0)]);
    scene.start_in(&session, "wait", &["once"]);
    scene.until(&active, (LOADERS + 1) as f64).await.grew(&before, &[(&idle, 0.0), (&initializing, 0.0)]);
    scene.let_go(1).await;
    session.close(freehold::CloseReason::Server);
    scene.until(&active, LOADERS as f64).await.grew(
        &before,
        &[(&idle, 0.0), ("freehold_sessions_opened_total", 1.0), ("freehold_sessions_closed_total", 1.0)],
    );
}

/// Locks against the order that was declared, and against the one that was learned.
async fn order(scene: &Arc<Scene>) {
    set_order_learning(true);
    let before = scene.scrape();
    for _ in 0..2 {
        assert!(scene.call("nest", &["upper", "lower"]).await);
        assert!(scene.call("nest", &["first", "second"]).await);
    }
    scene.scrape().grew(&before, &[("freehold_order_violations_total{rule=\"learned\"}", 0.0)]);
    for _ in 0..2 {
        assert!(scene.call("nest", &["lower", "upper"]).await);
        // Told once.
        assert!(scene.call("nest", &["second", "first"]).await);
    }
    scene.scrape().grew(
        &before,
        &[
            ("freehold_order_violations_total{rule=\"levels\"}", 2.0),
            ("freehold_lock_order_violations_total{class=\"upper\"}", 2.0),
            ("freehold_deadlock_rings_total{grade=\"potential\",classes=\"first, second\"}", 1.0),
            ("freehold_deadlock_rings_total{grade=\"potential\",classes=\"lower, upper\"}", 1.0),
            ("freehold_order_violations_total{rule=\"learned\"}", 2.0),
            ("freehold_deadlocks_total{grade=\"potential\"}", 2.0),
        ],
    );
}

/// A wait that lasts, behind somebody who may still go on.
async fn suspicion(scene: &Arc<Scene>) {
    let before = scene.scrape();
    set_suspect_after(Duration::from_millis(50));
    scene.start("keep", &["doubt"]);
    scene.until("freehold_lock_holders{class=\"doubt\"}", 1.0).await;
    scene.start("take", &["doubt"]);
    let suspected = "freehold_deadlock_rings_total{grade=\"suspected\",classes=\"doubt\"}";
    let after = scene.until(suspected, 1.0).await;
    scene.let_go(1).await;
    set_suspect_after(Duration::from_secs(60));
    after.grew(&before, &[("freehold_deadlocks_total{grade=\"suspected\"}", 1.0)]);
    let last = after.of("freehold_deadlock_last_number{grade=\"suspected\"}");
    let report: HttpUrl =
        format!("http://{}/admin/reports/FH-{last}", scene.admin.address()).parse().unwrap();
    assert_eq!(report.get(None, LIMIT).unwrap().status, 200, "FH-{last}");
    assert!(after.of("freehold_detector_sweeps_total") > before.of("freehold_detector_sweeps_total"));
}

/// What the watchdog finds, while it stands and afterwards.
async fn watchdog(scene: &Arc<Scene>) {
    let before = scene.scrape();
    scene.start("slow", &["one"]);
    let slow = scene.until("freehold_watchdog_findings{kind=\"slow\"}", 1.0).await;
    slow.grew(&before, &[("freehold_slow_calls_total", 1.0)]);
    slow.shows(&[("freehold_ready", 0.0)]);
    scene.let_go(1).await;
    scene.until("freehold_watchdog_findings{kind=\"slow\"}", 0.0).await;
    scene.start("block", &["one"]);
    let blocked = scene.until("freehold_watchdog_findings{kind=\"thread_blocked\"}", 1.0).await;
    scene.unblock.send(()).unwrap();
    blocked.grew(&before, &[("freehold_threads_blocked_total", 1.0)]);
    let over = scene.until("freehold_watchdog_findings{kind=\"thread_blocked\"}", 0.0).await;
    over.grew(&before, &[("freehold_slow_calls_total", 1.0), ("freehold_threads_blocked_total", 1.0)]);
    scene.until("freehold_ready", 1.0).await;
}

/// What comes while the server stops is refused; in the end each call has been counted once.
async fn the_end(scene: &Arc<Scene>) {
    scene.loaded.store(false, Ordering::Relaxed);
    let only_parked = || scene.loaders.load(Ordering::SeqCst) == 0 && scene.engine.calls().len() == LOADERS;
    eventually("the end of the load", only_parked).await;
    let before = scene.scrape();
    let draining = scene.engine.clone();
    let drained = async move {
        draining.drain(LIMIT).await;
    };
    scene.engine.runtime().spawn("drain", Box::pin(drained));
    scene.until("freehold_draining", 1.0).await.shows(&[("freehold_ready", 0.0)]);
    for _ in 0..4 {
        assert!(!scene.call("echo", &["too late"]).await);
    }
    scene.scrape().grew(&before, &[("freehold_calls_shed_total{reason=\"stopping\"}", 4.0)]);
    scene.shelf.parked.add_permits(LOADERS);
    let last = scene.until("freehold_calls_in_flight", 0.0).await;
    let counts = last.0.lines().filter(|line| line.starts_with("freehold_calls_total{"));
    let all: f64 = counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum();
    assert_eq!(all, scene.made.load(Ordering::SeqCst) as f64, "{}", last.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn each_metric_moves_by_what_it_counts_under_load() {
    // Where a wait is to be suspected, it says so.
    set_suspect_after(Duration::from_secs(60));
    let scene = Scene::new();
    scene.load().await;
    contention(&scene).await;
    success_and_latency(&scene).await;
    deadlocks(&scene).await;
    timeouts_and_recovery(&scene).await;
    saturation_and_shedding(&scene).await;
    breakers(&scene).await;
    sessions(&scene).await;
    order(&scene).await;
    suspicion(&scene).await;
    watchdog(&scene).await;
    the_end(&scene).await;
}
