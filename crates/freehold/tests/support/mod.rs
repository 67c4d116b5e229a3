//! The server that the integration tests drive, and how they wait for it: for events, never for time to pass.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside of the seam and drive tokio itself")]

use freehold::{
    CancelReason, Context, Engine, EngineBuilder, ErrorObject, Frame, Listener, Message, Request, RequestId,
    Response, Session, SessionId,
};
use freehold_sync::{Deadlock, Event, Grade, Subscription, subscribe};
use serde_json::{Value, json};
use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Real time that only a failure reaches, in seconds: a whole test file takes about a second.
fn limit() -> Duration {
    let seconds = std::env::var("FREEHOLD_TEST_LIMIT").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(120))
}

/// Ends the process if its tests hang; the clock of many of them is paused, so no timer of theirs would.
fn watch() {
    static WATCH: std::sync::Once = std::sync::Once::new();
    WATCH.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(limit());
            eprintln!("a test hangs: see which one has no verdict");
            std::process::exit(101);
        });
    });
}

/// What the handlers and the tests tell each other.
pub(crate) struct Probe {
    entered: Semaphore,
    release: Semaphore,
    log: Mutex<Vec<String>>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { entered: Semaphore::new(0), release: Semaphore::new(0), log: Mutex::default() }
    }
}

impl Probe {
    /// Called by handlers: one more is inside.
    pub(crate) fn enter(&self) {
        self.entered.add_permits(1);
    }

    /// Waits until `count` more handlers are inside.
    pub(crate) async fn entered(&self, count: u32) {
        within(self.entered.acquire_many(count)).await.expect("never closed").forget();
    }

    /// Whether `count` more handlers are inside; if so they are counted no more.
    pub(crate) fn has_entered(&self, count: u32) -> bool {
        self.entered.try_acquire_many(count).map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    /// Lets `count` handlers of `wait` go.
    pub(crate) fn release(&self, count: usize) {
        self.release.add_permits(count);
    }

    pub(crate) async fn released(&self) {
        self.release.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn log(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
    }

    pub(crate) fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until `line` was logged.
    pub(crate) async fn saw(&self, line: &str) {
        eventually(|| self.logged().iter().any(|logged| logged == line)).await;
    }
}

/// Logs its drop.
pub(crate) struct Dropped(pub(crate) Arc<Probe>, pub(crate) &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.log(self.1);
    }
}

/// Panics in its drop.
pub(crate) struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        // A second panic during an unwinding would end the process, whatever the engine does.
        if !std::thread::panicking() {
            panic!("in the drop of a captured value");
        }
    }
}

pub(crate) type Ctx = Context<u64>;
pub(crate) type Answer = Result<Value, ErrorObject>;

/// Calls `method` with `params` in the session `to`, and answers what that answered; see [`relayed`].
pub(crate) async fn relay(ctx: &Ctx, params: Value) -> Answer {
    let to: SessionId = params["to"].as_str().unwrap().parse().unwrap();
    Ok(ctx.call(to, params["method"].as_str().unwrap(), &params["params"]).await?)
}

/// What [`relay`] takes.
pub(crate) fn relayed(to: &Session<u64>, method: &str, params: &Value) -> Value {
    json!({ "to": to.id().to_string(), "method": method, "params": params })
}

/// The rings that were proven among handlers of one test, whose methods begin with a prefix.
pub(crate) struct Proven {
    told: Arc<Mutex<Vec<Arc<Deadlock>>>>,
    _subscription: Subscription,
}

impl Proven {
    pub(crate) fn among(prefix: &'static str) -> Self {
        let told: Arc<Mutex<Vec<Arc<Deadlock>>>> = Arc::default();
        let into = told.clone();
        let subscription = subscribe(move |event| {
            if let Event::Deadlock(report) = event
                && report.grade == Grade::Proven
                && report.edges.iter().any(|edge| edge.waiter.name.starts_with(prefix))
            {
                into.lock().unwrap().push(report.clone());
            }
        });
        Self { told, _subscription: subscription }
    }

    /// Those that were told of until now.
    pub(crate) fn all(&self) -> Vec<Arc<Deadlock>> {
        self.told.lock().unwrap().clone()
    }

    /// The same once there are `count`: a report is told after its victim was woken.
    pub(crate) async fn told(&self, count: usize) -> Vec<Arc<Deadlock>> {
        eventually(|| self.all().len() >= count).await;
        self.all()
    }
}

/// Answers its parameters.
pub(crate) async fn echo(_: &Ctx, params: Value) -> Answer {
    Ok(params)
}

/// Answers once it is released.
pub(crate) async fn wait(ctx: &Ctx, params: Value) -> Answer {
    let probe = ctx.app::<Probe>();
    let _dropped = Dropped(probe.clone(), "wait dropped");
    probe.enter();
    probe.released().await;
    Ok(params)
}

/// Never answers and ignores its cancel.
pub(crate) async fn never(ctx: &Ctx, (): ()) -> Answer {
    let probe = ctx.app::<Probe>();
    let _dropped = Dropped(probe.clone(), "never dropped");
    probe.enter();
    std::future::pending().await
}

/// Runs until it is cancelled, logs why, cleans up and returns.
pub(crate) async fn obedient(ctx: &Ctx, (): ()) -> Answer {
    let probe = ctx.app::<Probe>();
    probe.enter();
    let reason: CancelReason = ctx.cancelled().await;
    probe.log(format!("cancelled: {reason:?}, {:?}", ctx.cancel_note()));
    Ok(json!("too late"))
}

pub(crate) async fn panics_at_once(_: &Ctx, (): ()) -> Answer {
    panic!("a secret detail")
}

pub(crate) async fn panics_later(_: &Ctx, (): ()) -> Answer {
    tokio::task::yield_now().await;
    panic!("a secret detail")
}

pub(crate) async fn panics_in_drop(_: &Ctx, (): ()) -> Answer {
    let _bomb = PanicsInDrop;
    tokio::task::yield_now().await;
    Ok(json!("the drop of a local panics"))
}

/// Holds a bomb until it is dropped.
pub(crate) async fn bomb(ctx: &Ctx, (): ()) -> Answer {
    let _bomb = PanicsInDrop;
    ctx.app::<Probe>().enter();
    std::future::pending().await
}

/// Asks the client, and answers what it answered.
pub(crate) async fn ask(ctx: &Ctx, params: Value) -> Answer {
    ctx.app::<Probe>().enter();
    match ctx.ask::<Value>("question", &params).await {
        Ok(answer) => Ok(json!({ "answer": answer })),
        Err(error) => {
            ctx.app::<Probe>().log(format!("ask: {error}"));
            Err(error.into())
        }
    }
}

/// An engine with all of the above, and its probe.
pub(crate) fn builder() -> (EngineBuilder<u64>, Arc<Probe>) {
    let probe = Arc::new(Probe::default());
    let builder = Engine::builder(0)
        .app(probe.clone())
        .method("echo", echo)
        .method("wait", wait)
        .method("never", never)
        .method("obedient", obedient)
        .method("panics_at_once", panics_at_once)
        .method("panics_later", panics_later)
        .method("panics_in_drop", panics_in_drop)
        .method("bomb", bomb)
        .method("ask", ask)
        .control("ping", |_, _| Ok(json!({})));
    (builder, probe)
}

pub(crate) fn request(id: impl Into<RequestId>, method: &str, params: &Value) -> Message<'static> {
    Request::new(id, method, params).expect("a value is JSON").into()
}

/// A call to its end.
pub(crate) async fn call(
    engine: &Engine<u64>,
    session: &Session<u64>,
    id: i64,
    method: &str,
    params: Value,
) -> Option<Response<'static>> {
    within(engine.process(session, request(id, method, &params))).await
}

/// A call in a task of its own.
pub(crate) fn start(
    engine: &Engine<u64>,
    session: &Session<u64>,
    id: i64,
    method: &'static str,
    params: Value,
) -> tokio::task::JoinHandle<Option<Response<'static>>> {
    let (engine, session) = (engine.clone(), session.clone());
    tokio::spawn(async move { engine.process(&session, request(id, method, &params)).await })
}

/// The result of an answer.
pub(crate) fn result(answer: Option<Response<'static>>) -> Value {
    let raw = answer.expect("an answer").result.expect("a result");
    serde_json::from_str(raw.get()).unwrap()
}

/// The code and the data of an error answer.
pub(crate) fn error(answer: Option<Response<'static>>) -> (i32, Value) {
    let error = answer.expect("an answer").result.expect_err("an error");
    let data = error.data.map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
    (error.code.0, data)
}

/// Waits for what must not hang: with a limit of real time, and on a paused clock of an hour.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    watch();
    tokio::time::timeout(Duration::from_secs(3_600), future).await.expect("it must not hang")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    watch();
    while !condition() {
        // On a paused clock this is what lets it go on.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until no call is left, and checks that nothing of any is.
pub(crate) async fn all_gone(engine: &Engine<u64>) {
    eventually(|| engine.call_count() == 0).await;
    assert!(engine.calls().is_empty());
    for session in engine.sessions() {
        let gauges = session.gauges();
        assert_eq!((gauges.running, gauges.in_flight, gauges.questions), (0, 0, 0));
    }
}

/// The JSON of a frame.
pub(crate) fn json_of(frame: &Frame) -> Value {
    serde_json::from_slice(frame.bytes()).expect("frames are JSON")
}

/// Reads the next question and answers it.
pub(crate) async fn answer_next(engine: &Engine<u64>, listener: &mut Listener<u64>, answer: &Value) {
    loop {
        let frame = within(listener.next()).await.expect("a question");
        if matches!(frame, Frame::Question(_)) {
            return reply(engine, listener.session(), &json_of(&frame)["id"], answer).await;
        }
    }
}

/// Answers the question with this id.
pub(crate) async fn reply(engine: &Engine<u64>, session: &Session<u64>, id: &Value, answer: &Value) {
    let text = json!({ "jsonrpc": "2.0", "id": id, "result": answer }).to_string();
    assert_eq!(engine.process_bytes(session, text.as_bytes()).await, None);
}
