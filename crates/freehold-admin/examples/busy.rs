//! A server with something to see: quick and slow calls, contention, a circuit breaker, and deadlocks that are broken.
//!
//! `cargo run -p freehold-admin --example busy -- [ADDRESS]` prints the address of its page. It serves nobody else; its
//! calls are made here. A line on standard input makes something happen: `deadlock`, `waiters 200`, `block 500`, `break`,
//! `crowd 10000`. At the end of the input it ends.

use freehold::{
    BreakerOptions, Context, Engine, ErrorCode, ErrorObject, MethodOptions, Request, Session,
    runtime::{TokioRuntime, pause},
    sync::{LockClass, Mutex, RwLock},
};
use freehold_admin::{AdminOptions, AdminServer, Telemetry};
use std::{
    error::Error,
    io::BufRead,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Barrier, mpsc};

static LEFT: LockClass = LockClass::new("account left");
static RIGHT: LockClass = LockClass::new("account right");
static INDEX: LockClass = LockClass::new("index");
static LEDGER: LockClass = LockClass::new("ledger");

struct Shelf {
    left: Mutex<u64>,
    right: Mutex<u64>,
    index: Mutex<u64>,
    ledger: RwLock<u64>,
    both: Barrier,
}

type Answer = Result<u64, ErrorObject>;

async fn echo(_ctx: &Context<()>, [number]: [u64; 1]) -> Answer {
    Ok(number)
}

async fn look_up(ctx: &Context<()>, [ms]: [u64; 1]) -> Answer {
    let mut index = ctx.lock(&ctx.app::<Shelf>().index).await?;
    *index += 1;
    let seen = *index;
    pause(&TokioRuntime, Duration::from_millis(ms)).await;
    Ok(seen)
}

async fn report(ctx: &Context<()>, [ms]: [u64; 1]) -> Answer {
    let ledger = ctx.read(&ctx.app::<Shelf>().ledger).await?;
    pause(&TokioRuntime, Duration::from_millis(ms)).await;
    Ok(*ledger)
}

async fn sleep(_ctx: &Context<()>, [ms]: [u64; 1]) -> Answer {
    pause(&TokioRuntime, Duration::from_millis(ms)).await;
    Ok(ms)
}

/// Two of these, one in each direction, lock two accounts each and meet in between.
async fn transfer(ctx: &Context<()>, [direction]: [u64; 1]) -> Answer {
    let shelf = ctx.app::<Shelf>();
    let (first, second) =
        if direction == 0 { (&shelf.left, &shelf.right) } else { (&shelf.right, &shelf.left) };
    let mut from = ctx.lock(first).await?;
    shelf.both.wait().await;
    let mut to = ctx.lock(second).await?;
    (*from, *to) = (from.wrapping_sub(1), to.wrapping_add(1));
    Ok(*from)
}

async fn upstream(_ctx: &Context<()>, [fails]: [u64; 1]) -> Answer {
    if fails == 0 { Ok(1) } else { Err(ErrorObject::new(ErrorCode(-31_000), "the upstream server is away")) }
}

#[expect(clippy::disallowed_methods, reason = "to show what the watchdog finds")]
async fn block(_ctx: &Context<()>, [ms]: [u64; 1]) -> Answer {
    std::thread::sleep(Duration::from_millis(ms));
    Ok(ms)
}

struct Callers {
    engine: Engine<()>,
    sessions: Vec<Session<()>>,
    next: AtomicU64,
}

impl Callers {
    async fn call(&self, method: &str, argument: u64) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let session = &self.sessions[number as usize % self.sessions.len()];
        let Ok(request) = Request::new(number as i64, method, &[argument]) else { return false };
        self.engine.process(session, request.into()).await.is_some_and(|answer| answer.result.is_ok())
    }

    #[expect(clippy::disallowed_methods, reason = "a program beside the engine")]
    fn start(self: &Arc<Self>, method: &'static str, argument: u64) {
        let callers = self.clone();
        tokio::spawn(async move { callers.call(method, argument).await });
    }

    async fn again_and_again(self: Arc<Self>, method: &'static str, argument: u64, every: Duration) {
        loop {
            self.call(method, argument).await;
            pause(&TokioRuntime, every).await;
        }
    }

    async fn obey(self: &Arc<Self>, line: &str) {
        let mut words = line.split_whitespace();
        let (command, number) = (words.next(), words.next().and_then(|word| word.parse().ok()).unwrap_or(1));
        match command {
            Some("deadlock") => (0..2).for_each(|direction| self.start("transfer", direction)),
            Some("waiters") => (0..number).for_each(|_| self.start("look_up", 400)),
            Some("block") => self.start("block", number),
            Some("crowd") => (0..number).for_each(|_| self.start("sleep", 60_000)),
            Some("break") => {
                for _ in 0..500 {
                    self.call("upstream", 1).await;
                }
            }
            _ => eprintln!("deadlock, waiters N, block MS, break or crowd N"),
        }
    }
}

fn engine(telemetry: &Telemetry) -> Result<Engine<()>, Box<dyn Error>> {
    let shelf = Shelf {
        left: Mutex::with_class(&LEFT, 1_000),
        right: Mutex::with_class(&RIGHT, 1_000),
        index: Mutex::with_class(&INDEX, 0),
        ledger: RwLock::with_class(&LEDGER, 0),
        both: Barrier::new(2),
    };
    Ok(Engine::builder(())
        .app(Arc::new(shelf))
        .observer(telemetry.clone())
        .method("echo", echo)
        .method("look_up", look_up)
        .method("report", report)
        .method("sleep", sleep)
        .method("transfer", transfer)
        .method("block", block)
        .method_with(
            "upstream",
            MethodOptions::new().breaker(BreakerOptions::new().handler_errors(true)),
            upstream,
        )
        .build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::new();
    let engine = engine(&telemetry)?;
    let sessions: Vec<_> = (0..16).map(|_| engine.open()).collect::<Result<_, _>>()?;
    for session in &sessions[1..] {
        session.mark_initialized();
    }
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8809".to_owned());
    let admin = AdminServer::bind(&*address, AdminOptions::default())?.start(&engine, &telemetry)?;
    println!("{}", admin.url());
    let callers = Arc::new(Callers { engine: engine.clone(), sessions, next: AtomicU64::new(1) });
    for (method, argument, every) in [
        ("echo", 1, 2),
        ("echo", 2, 3),
        ("look_up", 8, 5),
        ("look_up", 3, 9),
        ("report", 700, 100),
        ("upstream", 0, 50),
    ] {
        let calls = callers.clone().again_and_again(method, argument, Duration::from_millis(every));
        engine.runtime().spawn("calls", Box::pin(calls));
    }
    let (say, mut said) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if say.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = said.recv().await {
        callers.obey(&line).await;
    }
    Ok(())
}
