//! Each request is one span for `tracing`, which tells its session, method, outcome and waits.

use freehold::{
    CallHandle, CancelReason, Context, Dispatched, Engine, ErrorCode, ErrorObject, Limits, Request, Response,
    Route, Session, Step,
    runtime::{Runtime as _, TokioRuntime, until},
    sync::{LockError, Mutex},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex as TokioMutex, Semaphore},
    task::yield_now,
};
use tracing::{
    Event, Id, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context as LayerContext, SubscriberExt as _},
    registry::LookupSpan,
};

type Fields = BTreeMap<String, String>;

/// One test after the other: `tracing` remembers for the whole process what is listened to, and while only one thread has a
/// subscriber, it takes the word of the thread that comes first.
static ALONE: TokioMutex<()> = TokioMutex::const_new(());

/// Keeps the fields of spans that were closed, and with each event the method of the span it is in.
#[derive(Clone, Default)]
struct Captured {
    closed: Arc<StdMutex<Vec<Fields>>>,
    events: Arc<StdMutex<Vec<(String, String)>>>,
}

#[derive(Default)]
struct Written(Fields);

impl Visit for Written {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Captured {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let mut written = Written::default();
        attributes.record(&mut written);
        context.span(id).unwrap().extensions_mut().insert(written);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Written>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        let mut message = Written::default();
        event.record(&mut message);
        let Some(span) = context.event_span(event) else { return };
        let method = span.extensions().get::<Written>().unwrap().0["method"].clone();
        let (text, error) = (message.0.remove("message"), message.0.remove("error"));
        let message = text.into_iter().chain(error).collect::<Vec<_>>().join(": ");
        self.events.lock().unwrap().push((method, message));
    }

    fn on_close(&self, id: Id, context: LayerContext<'_, S>) {
        let fields = context.span(&id).unwrap().extensions_mut().remove::<Written>().unwrap().0;
        self.closed.lock().unwrap().push(fields);
    }
}

impl Captured {
    fn of(&self, method: &str) -> Fields {
        let mut closed = self.closed.lock().unwrap();
        let at = closed.iter().position(|fields| fields["method"] == method);
        let Some(at) = at else { panic!("no closed span of {method}: {closed:?}") };
        closed.remove(at)
    }
}

#[derive(Default)]
struct Shelf {
    mutex: Mutex<u32>,
    go: Go,
    listened: AtomicBool,
}

/// Lets `hold` return.
struct Go(Semaphore);

impl Default for Go {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

type Answer = Result<u32, ErrorObject>;

async fn hold(ctx: &Context<()>, (): ()) -> Answer {
    let shelf = ctx.app::<Shelf>();
    let held = ctx.lock(&shelf.mutex).await?;
    shelf.go.0.acquire().await.map_err(ErrorObject::invalid_params)?.forget();
    Ok(*held)
}

async fn wait(ctx: &Context<()>, (): ()) -> Answer {
    let shelf = ctx.app::<Shelf>();
    for _ in 0..2 {
        *ctx.lock(&shelf.mutex).await? += 1;
    }
    Ok(2)
}

async fn give_up(ctx: &Context<()>, (): ()) -> Answer {
    Ok(*ctx.lock(&ctx.app::<Shelf>().mutex).within(Duration::from_millis(1)).await?)
}

async fn take_twice(ctx: &Context<()>, (): ()) -> Answer {
    let mutex = &ctx.app::<Shelf>().mutex;
    let error = ctx.locks().lock_all([mutex, mutex]).await.expect_err("it is one lock");
    let error = ErrorObject::from(error);
    let Some(LockError::Twice(lock)) = error.lock_error() else { panic!("{error:?}") };
    assert_eq!(lock.class, mutex.class().name());
    Err(error)
}

async fn echo(ctx: &Context<()>, (): ()) -> Answer {
    ctx.app::<Shelf>().listened.store(!tracing::Span::current().is_none(), Ordering::Relaxed);
    tracing::info!("in the handler");
    Ok(0)
}

async fn fail(_: &Context<()>, (): ()) -> Answer {
    Err(ErrorObject::new(ErrorCode(-31_000), "as it was told"))
}

async fn outer(ctx: &Context<()>, (): ()) -> Answer {
    ctx.call(ctx.session(), "echo", &()).await.map_err(Into::into)
}

/// Two calls at once, where one is allowed; then what is no call.
async fn crowd(ctx: &Context<()>, (): ()) -> Answer {
    let mut first = std::pin::pin!(ctx.call::<u32>(ctx.session(), "hold", &()));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
    for method in ["wait", "ping", "not there"] {
        let _ = ctx.call::<u32>(ctx.session(), method, &()).await;
    }
    ctx.app::<Shelf>().go.0.add_permits(1);
    first.await.map_err(Into::into)
}

struct Scene {
    engine: Engine<()>,
    session: Session<()>,
    shelf: Arc<Shelf>,
}

impl Scene {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let shelf = Arc::<Shelf>::default();
        let engine = Engine::builder(())
            .limits(limits)
            .app(shelf.clone())
            .method("hold", hold)
            .method("wait", wait)
            .method("give_up", give_up)
            .method("take_twice", take_twice)
            .method("echo", echo)
            .method("fail", fail)
            .method("outer", outer)
            .method("crowd", crowd)
            .control("ping", |_, _| Ok(0))
            .build()
            .unwrap();
        let session = engine.open().unwrap();
        Self { engine, session, shelf }
    }

    fn begin(&self, id: i64, method: &str) -> CallHandle<()> {
        let request = Request::new(id, method, &()).unwrap();
        let Dispatched::Running(handle) = self.engine.dispatch(&self.session, request.into(), Route::Call)
        else {
            panic!("{method} is a call");
        };
        handle
    }

    async fn call(&self, id: i64, method: &str) -> Response<'static> {
        let request = Request::new(id, method, &()).unwrap();
        self.engine.process(&self.session, request.into()).await.unwrap()
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_request_is_a_span_that_tells_its_outcome_and_its_waits() {
    let _alone = ALONE.lock().await;
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured.clone()).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    let scene = Scene::new();
    let session = scene.session.id().abbreviated();
    let holding = scene.call(1, "hold");
    let waiting = async {
        let wait = scene.call(2, "wait");
        let release = async {
            // Both are polled once by then: the one holds, the other one waits.
            scene.call(3, "give_up").await;
            scene.shelf.go.0.add_permits(1);
        };
        tokio::join!(wait, release)
    };
    tokio::join!(holding, waiting);
    for (id, method) in ["echo", "fail", "ping", "made up by a client", "outer"].into_iter().enumerate() {
        scene.call(id as i64 + 4, method).await;
    }
    for (method, outcome, waits) in [
        ("hold", "answered", Some("0")),
        ("wait", "answered", Some("1")),
        ("give_up", "failed", Some("1")),
        ("echo", "answered", Some("0")),
        ("fail", "failed", Some("0")),
        ("ping", "answered", None),
        ("(unknown)", "failed", None),
        // That which `outer` made, and its wait for it.
        ("echo", "answered", Some("0")),
        ("outer", "answered", Some("1")),
    ] {
        let fields = captured.of(method);
        assert_eq!(fields["session"], session, "{method}: {fields:?}");
        assert_eq!(fields["outcome"], outcome, "{method}: {fields:?}");
        assert_eq!(fields.get("waits").map(String::as_str), waits, "{method}: {fields:?}");
        let waited: u64 = fields.get("waited_us").map_or(0, |waited| waited.parse().unwrap());
        assert!(method != "give_up" || waited >= 1_000, "{fields:?}");
        assert!(waits != Some("0") || waited == 0, "{fields:?}");
    }
    assert!(captured.closed.lock().unwrap().is_empty(), "one for each request: {:?}", captured.closed);
    let events = captured.events.lock().unwrap();
    assert!(events.contains(&("echo".to_owned(), "in the handler".to_owned())), "{events:?}");
}

/// What is a defect of the server is for its log: there the lock has its name, and the span that of the method.
#[tokio::test(flavor = "current_thread")]
async fn a_lock_that_stands_twice_in_a_set_is_named_in_the_log_and_not_to_the_client() {
    let _alone = ALONE.lock().await;
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured.clone()).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    let scene = Scene::new();
    let error = scene.call(1, "take_twice").await.result.expect_err("a lock was wanted twice");
    assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
    assert_eq!(error.message, "internal error; the server's log has the details");
    let class = scene.shelf.mutex.class().name();
    let events = captured.events.lock().unwrap();
    let logged = events.iter().find(|(method, _)| method == "take_twice").map(|(_, text)| text.as_str());
    let logged = logged.unwrap_or_else(|| panic!("{events:?}"));
    assert!(logged.starts_with("a handler could not get a lock: "), "{logged}");
    assert!(logged.contains(class) && logged.ends_with(" is in one set twice; name it once"), "{logged}");
}

/// Until its answer.
async fn answered(handle: &mut CallHandle<()>) {
    while !matches!(handle.next().await, Step::End(_)) {}
}

#[tokio::test(flavor = "current_thread")]
async fn a_span_is_over_with_its_call_whoever_still_has_that() {
    let _alone = ALONE.lock().await;
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured.clone()).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    let scene = Scene::with(Limits { cancel_grace: Duration::from_secs(60), ..Limits::default() });
    for method in ["echo", "outer", "fail"] {
        let mut handle = scene.begin(1, method);
        answered(&mut handle).await;
        assert_eq!(captured.of(method)["outcome"], if method == "fail" { "failed" } else { "answered" });
        drop(handle);
    }
    // That which `outer` made.
    captured.of("echo");

    // One that was cancelled works on in its span until its handler is gone.
    let mut handle = scene.begin(1, "hold");
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(handle.poll_next(cx).is_pending())).await);
    assert!(handle.cancel(CancelReason::Client));
    answered(&mut handle).await;
    yield_now().await;
    assert!(captured.closed.lock().unwrap().is_empty(), "its handler has its grace");
    scene.shelf.go.0.add_permits(1);
    let closed = async {
        while captured.closed.lock().unwrap().is_empty() {
            yield_now().await;
        }
    };
    let limit = TokioRuntime.now() + Duration::from_secs(30);
    until(&TokioRuntime, limit, closed).await;
    assert_eq!(captured.of("hold")["outcome"], "cancelled");
    drop(handle);
    assert!(captured.closed.lock().unwrap().is_empty(), "{:?}", captured.closed);
}

#[tokio::test(flavor = "current_thread")]
async fn a_request_that_is_refused_is_one_span() {
    let _alone = ALONE.lock().await;
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured.clone()).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    let scene = Scene::with(Limits { running_per_session: 1, queued_per_session: 1, ..Limits::default() });
    let _running = scene.begin(1, "hold");
    // An id that is in use; a place that is not there.
    scene.call(1, "echo").await;
    let _queued = scene.begin(2, "hold");
    scene.call(3, "wait").await;
    assert_eq!(captured.of("echo")["outcome"], "duplicate_id");
    assert_eq!(captured.of("wait")["outcome"], "overloaded");
    assert!(captured.closed.lock().unwrap().is_empty(), "{:?}", captured.closed);
}

#[tokio::test(flavor = "current_thread")]
async fn a_handlers_call_that_is_refused_or_answered_at_once_is_one_span() {
    let _alone = ALONE.lock().await;
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured.clone()).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    let scene = Scene::with(Limits { calls_per_call: 1, ..Limits::default() });
    scene.call(1, "crowd").await;
    for (method, outcome) in [
        ("wait", "overloaded"),
        ("ping", "answered"),
        ("(unknown)", "failed"),
        ("hold", "answered"),
        ("crowd", "answered"),
    ] {
        assert_eq!(captured.of(method)["outcome"], outcome, "{method}");
    }
    assert!(captured.closed.lock().unwrap().is_empty(), "{:?}", captured.closed);
}

#[tokio::test(flavor = "current_thread")]
async fn where_nobody_listens_there_is_no_span() {
    let _alone = ALONE.lock().await;
    let scene = Scene::new();
    scene.call(1, "echo").await;
    assert!(!scene.shelf.listened.load(Ordering::Relaxed));
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    scene.call(2, "echo").await;
    assert!(scene.shelf.listened.load(Ordering::Relaxed), "the same handler, once somebody does");
}

const CALLBACKS: [&str; 5] = ["new", "record", "enter", "exit", "close"];

/// Panics in one of its callbacks.
struct Breaks(&'static str);

impl Breaks {
    fn at(&self, callback: &str) {
        assert_ne!(self.0, callback, "on purpose");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Breaks {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: LayerContext<'_, S>) {
        self.at("new");
    }

    fn on_record(&self, _: &Id, _: &Record<'_>, _: LayerContext<'_, S>) {
        self.at("record");
    }

    fn on_enter(&self, _: &Id, _: LayerContext<'_, S>) {
        self.at("enter");
    }

    fn on_exit(&self, _: &Id, _: LayerContext<'_, S>) {
        self.at("exit");
    }

    fn on_close(&self, _: Id, _: LayerContext<'_, S>) {
        self.at("close");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_listener_that_panics_costs_no_answer_and_no_slot() {
    let _alone = ALONE.lock().await;
    for callback in CALLBACKS {
        let subscriber = tracing_subscriber::registry().with(Breaks(callback)).with(LevelFilter::DEBUG);
        let _listening = tracing::subscriber::set_default(subscriber);
        let scene =
            Scene::with(Limits { running_per_session: 2, queued_per_session: 0, ..Limits::default() });
        for (id, method) in ["echo", "fail", "ping", "outer", "echo", "outer"].into_iter().enumerate() {
            let request = Request::new(id as i64, method, &()).unwrap();
            let answering = scene.engine.process(&scene.session, request.into());
            let limit = TokioRuntime.now() + Duration::from_secs(30);
            let answer = until(&TokioRuntime, limit, answering).await.expect(callback).unwrap();
            assert_eq!(answer.result.is_err(), method == "fail", "{callback}, {method}: {:?}", answer.result);
        }
        let limit = TokioRuntime.now() + Duration::from_secs(30);
        until(&TokioRuntime, limit, scene.engine.drain(Duration::from_secs(60))).await.expect(callback);
    }
}
