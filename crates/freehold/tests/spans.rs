//! Each request is one span for `tracing`, which tells its session, method, outcome and waits.

use freehold::{
    Context, Engine, ErrorCode, ErrorObject, Request, Session,
    runtime::{Runtime as _, TokioRuntime, pause, until},
    sync::Mutex,
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
use tokio::sync::Semaphore;
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
        let message = message.0.remove("message").unwrap_or_default();
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

struct Scene {
    engine: Engine<()>,
    session: Session<()>,
    shelf: Arc<Shelf>,
}

impl Scene {
    fn new() -> Self {
        let shelf = Arc::<Shelf>::default();
        let engine = Engine::builder(())
            .app(shelf.clone())
            .method("hold", hold)
            .method("wait", wait)
            .method("give_up", give_up)
            .method("echo", echo)
            .method("fail", fail)
            .method("outer", outer)
            .control("ping", |_, _| Ok(0))
            .build()
            .unwrap();
        let session = engine.open().unwrap();
        Self { engine, session, shelf }
    }

    async fn call(&self, id: i64, method: &str) {
        let request = Request::new(id, method, &()).unwrap();
        self.engine.process(&self.session, request.into()).await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_request_is_a_span_that_tells_its_outcome_and_its_waits() {
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
    // Who answers does not wait for all others to let go of the call.
    let closed = async {
        while captured.closed.lock().unwrap().len() < 9 {
            pause(&TokioRuntime, Duration::from_millis(1)).await;
        }
    };
    let limit = TokioRuntime.now() + Duration::from_secs(30);
    until(&TokioRuntime, limit, closed).await;
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

#[tokio::test(flavor = "current_thread")]
async fn where_nobody_listens_there_is_no_span() {
    let scene = Scene::new();
    scene.call(1, "echo").await;
    assert!(!scene.shelf.listened.load(Ordering::Relaxed));
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(captured).with(LevelFilter::DEBUG);
    let _listening = tracing::subscriber::set_default(subscriber);
    scene.call(2, "echo").await;
    assert!(scene.shelf.listened.load(Ordering::Relaxed), "the same handler, once somebody does");
}
