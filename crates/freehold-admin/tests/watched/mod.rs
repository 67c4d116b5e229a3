//! An engine with an admin server, and a plain HTTP client that sees heads. Limits of time mean failure only.

#![allow(dead_code, reason = "each test file uses a part of it")]

use freehold::{
    BreakerOptions, Context, Engine, ErrorCode, ErrorObject, Limits, MethodOptions, Request, Session,
    runtime::{Runtime, TokioRuntime, pause, until},
    sync::{LockClass, Mutex, PermitPool},
};
use freehold_admin::{AdminOptions, AdminServer, HttpUrl, Inspection, RunningAdmin, Telemetry};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};
use tokio::sync::{Barrier, Semaphore};

/// Far above what anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

static ONE: LockClass = LockClass::new("one");
static OTHER: LockClass = LockClass::new("other lock");

/// What handlers and tests share.
pub(crate) struct Shelf {
    one: Mutex<u32>,
    other: Mutex<u32>,
    both: Barrier,
    pub(crate) pool: Arc<PermitPool>,
    /// Lets `wait` and `hold` return.
    pub(crate) go: Semaphore,
}

type Answer = Result<u64, ErrorObject>;

async fn echo(_ctx: &Context<()>, [number]: [u64; 1]) -> Answer {
    Ok(number)
}

async fn wait(ctx: &Context<()>, [number]: [u64; 1]) -> Answer {
    if let Ok(go) = ctx.app::<Shelf>().go.acquire().await {
        go.forget();
    }
    Ok(number)
}

async fn hold(ctx: &Context<()>, [number]: [u64; 1]) -> Answer {
    let _held = ctx.lock(&ctx.app::<Shelf>().one).await?;
    wait(ctx, [number]).await
}

/// Two of these, one in each direction, close a ring.
async fn cross(ctx: &Context<()>, [direction]: [u64; 1]) -> Answer {
    let shelf = ctx.app::<Shelf>();
    let (first, second) =
        if direction == 0 { (&shelf.one, &shelf.other) } else { (&shelf.other, &shelf.one) };
    let _first = ctx.lock(first).await?;
    shelf.both.wait().await;
    let _second = ctx.lock(second).await?;
    Ok(direction)
}

/// Takes one of the permits, and keeps it until it may go.
async fn permit(ctx: &Context<()>, [number]: [u64; 1]) -> Answer {
    let _permit = ctx.permit(&ctx.app::<Shelf>().pool).await?;
    wait(ctx, [number]).await
}

async fn fail(_ctx: &Context<()>, [_]: [u64; 1]) -> Answer {
    Err(ErrorObject::new(ErrorCode(-31_000), "as it was told"))
}

#[expect(clippy::disallowed_methods, reason = "what the watchdog is to find")]
async fn block(_ctx: &Context<()>, [ms]: [u64; 1]) -> Answer {
    std::thread::sleep(Duration::from_millis(ms));
    Ok(ms)
}

/// An engine that is watched.
pub(crate) struct Watched {
    pub(crate) engine: Engine<()>,
    pub(crate) session: Session<()>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) telemetry: Telemetry,
    pub(crate) admin: RunningAdmin,
    next: AtomicI64,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Telemetry::new(), AdminOptions::default(), Limits::default())
    }

    pub(crate) fn with(telemetry: Telemetry, options: AdminOptions, limits: Limits) -> Arc<Self> {
        let shelf = Arc::new(Shelf {
            one: Mutex::with_class(&ONE, 0),
            other: Mutex::with_class(&OTHER, 0),
            both: Barrier::new(2),
            pool: Arc::new(PermitPool::new(4)),
            go: Semaphore::new(0),
        });
        telemetry.watch_pool("four", &shelf.pool).unwrap();
        let breaker = MethodOptions::new().breaker(BreakerOptions::new().handler_errors(true));
        let engine = Engine::builder(())
            .limits(limits)
            .app(shelf.clone())
            .observer(telemetry.clone())
            .method("echo", echo)
            .method("wait", wait)
            .method("hold", hold)
            .method("permit", permit)
            .method("cross", cross)
            .method("block", block)
            .method_with("fail", breaker, fail)
            .build()
            .unwrap();
        let session = engine.open().unwrap();
        session.mark_initialized();
        let admin = AdminServer::bind("127.0.0.1:0", options).unwrap().start(&engine, &telemetry).unwrap();
        Arc::new(Self { engine, session, shelf, telemetry, admin, next: AtomicI64::new(1) })
    }

    /// Whether it was answered with a result.
    pub(crate) async fn call(&self, method: &str, argument: u64) -> bool {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request = Request::new(id, method, &[argument]).unwrap();
        self.engine.process(&self.session, request.into()).await.unwrap().result.is_ok()
    }

    pub(crate) fn start(self: &Arc<Self>, method: &'static str, argument: u64) {
        let watched = self.clone();
        let call = async move {
            watched.call(method, argument).await;
        };
        self.engine.runtime().spawn("call", Box::pin(call));
    }

    /// Two calls that close a ring; whether each was answered with a result.
    pub(crate) async fn deadlock(&self) -> [bool; 2] {
        let (a, b) = tokio::join!(self.call("cross", 0), self.call("cross", 1));
        [a, b]
    }

    pub(crate) fn url(&self, path: &str) -> HttpUrl {
        format!("http://{}{path}", self.admin.address()).parse().unwrap()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let answer = self.url(path).get(None, LIMIT).unwrap();
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {body}");
        body
    }

    pub(crate) fn status(&self, path: &str) -> (u16, String) {
        let answer = self.url(path).get(None, LIMIT).unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    pub(crate) fn inspect(&self, query: &str) -> Inspection {
        serde_json::from_str(&self.text(&format!("/admin/inspect{query}"))).unwrap()
    }

    /// What a scrape says of this sample, written with its labels.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = self.text("/metrics");
        value_of(&text, sample).unwrap_or_else(|| panic!("no {sample} in {text}"))
    }
}

pub(crate) fn value_of(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until `holds`; what it asks for changes with the engine, not with a tick of ours.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            pause(&TokioRuntime, Duration::from_millis(5)).await;
        }
    };
    assert!(until(&TokioRuntime, TokioRuntime.now() + LIMIT, looking).await.is_some(), "waited for {what}");
}

/// Sends a request as it is written and reads the answer to its end: its head, and its body.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> (String, String) {
    let host =
        if headers.to_lowercase().contains("host:") { String::new() } else { format!("Host: {address}\r\n") };
    exchange(address, &format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
}

/// The lines of a page's events, as they come.
pub(crate) fn events(address: SocketAddr, query: &str) -> Receiver<(Instant, String)> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /events{query} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send((TokioRuntime.now(), line)).is_err() {
                return;
            }
        }
    });
    lines
}

/// When a line with all of these came.
pub(crate) fn line_with(lines: &Receiver<(Instant, String)>, parts: &[&str]) -> Instant {
    let end = TokioRuntime.now() + LIMIT;
    loop {
        let left = end.saturating_duration_since(TokioRuntime.now());
        let (at, line) = lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line with {parts:?}"));
        if parts.iter().all(|part| line.contains(part)) {
            return at;
        }
    }
}
