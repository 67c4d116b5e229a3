//! S-09: handlers that block the thread. Handlers have two threads of their own; what they do there delays nothing else.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{ErrorCode, Limits, OutcomeKind},
};
use freehold_scenarios::{
    Builder, Client, Ctx, Probe, Seen, TestServer, Transport, checks,
    limits::{patient, prompt},
    over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Barrier, mpsc},
    time::{Duration, Instant},
};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

over_both_transports!(blocking_calls => s09_blocking_calls_http, s09_blocking_calls_stdio);
over_both_transports!(waits_for_a_task => s09_waits_for_a_task_http, s09_waits_for_a_task_stdio);
over_both_transports!(sdk_clients => s09_sdk_clients_http, s09_sdk_clients_stdio);

const THREADS: usize = 2;
const CALLS: usize = 8;
/// The deadline of the calls.
const D: Duration = Duration::from_millis(500);
/// How long a tool blocks: longer than a ping may take.
const BLOCK: Duration = Duration::from_secs(2);
/// A ping must be answered within this time, and is sent so often.
const PING: Duration = Duration::from_secs(1);
const PING_EVERY: Duration = Duration::from_millis(200);
/// A deadline that passes on time does within D and this.
const MARGIN: Duration = Duration::from_millis(500);

/// The threads of the handlers. Its drop waits for none of them.
struct HandlerThreads(Option<Runtime>);

impl HandlerThreads {
    fn new() -> Self {
        let runtime = RuntimeBuilder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("handlers")
            .enable_all()
            .build();
        Self(Some(runtime.expect("threads")))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("there until the drop")
    }

    async fn server(&self) -> TestServer {
        let limits = Limits { deadline: D, ..patient() };
        let handle = self.runtime().handle();
        TestServer::with(limits, |builder| tools(builder).engine(|engine| engine.handlers_on(handle))).await
    }

    /// U3 of these threads.
    async fn at_rest(&self) {
        let metrics = self.runtime().metrics();
        checks::eventually("no task of a handler is left", || metrics.num_alive_tasks() == 0).await;
    }
}

impl Drop for HandlerThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A blocking call inside of async code.
async fn sleeps(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    ctx.app::<Probe>().enter();
    std::thread::sleep(BLOCK);
    Ok("slept")
}

#[derive(Deserialize, JsonSchema)]
struct Waits {
    /// Begin when all threads are here.
    meet: bool,
}

/// Waits for another task through a blocking wait. If all threads do that, the task never runs; this one gives up one day.
async fn waits(ctx: &Ctx, args: Waits) -> Result<&'static str, ToolError> {
    if args.meet {
        ctx.app::<Barrier>().wait();
    }
    let (done, is_done) = mpsc::channel();
    ctx.detach(async move {
        tokio::task::yield_now().await;
        // Whoever waited may have given up.
        let _ = done.send(());
    });
    ctx.app::<Probe>().enter();
    is_done.recv_timeout(BLOCK).map(|()| "the task is done").map_err(|_| ToolError::new("gave up"))
}

fn tools(builder: Builder) -> Builder {
    builder
        .app(Arc::new(Barrier::new(THREADS)))
        .tool(Tool::new("sleeps", "Blocks its thread.", sleeps))
        .tool(Tool::new("waits", "Waits for a task by blocking.", waits))
}

/// Pings until `over`; the longest took so long.
async fn pings(client: &Client, over: impl Fn() -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    while !over() {
        let sent = Instant::now();
        client.ping().await;
        longest = longest.max(sent.elapsed());
        tokio::time::sleep(PING_EVERY).await;
    }
    longest
}

fn blocked(server: &TestServer, tool: &str) -> usize {
    server.record.count(|event| matches!(event, Seen::ThreadBlocked { subject, .. } if subject == tool))
}

/// How long threads were blocked by a tool, once they go on.
fn lasted(server: &TestServer, tool: &str) -> Vec<Duration> {
    let events = server.record.events();
    let lasted = events.iter().filter_map(|event| match event {
        Seen::ThreadUnblocked { subject, lasted, .. } if subject == tool => Some(*lasted),
        _ => None,
    });
    lasted.collect()
}

/// Calls that ended at their deadline did so on time.
fn assert_on_time(server: &TestServer, at_least: usize) {
    let events = server.record.events();
    let took: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Seen::Ended { outcome: OutcomeKind::DeadlineExceeded, took, .. } => Some(*took),
            _ => None,
        })
        .collect();
    assert!(took.len() >= at_least, "{took:?}");
    assert!(took.iter().all(|took| (D..D + MARGIN).contains(took)), "{took:?}");
}

async fn blocking_calls(transport: Transport) {
    let handlers = HandlerThreads::new();
    let server = handlers.server().await;
    let a = Client::connect(&server, transport).await;
    let b = Client::connect(&server, transport).await;
    let c = Client::connect(&server, transport).await;
    let ids = a.calls(CALLS, "sleeps");
    server.probe.entered(THREADS as u32).await;

    // Both sessions ping until the threads are free again.
    let over = || lasted(&server, "sleeps").len() >= THREADS;
    let told = async {
        let named = |event: &Seen| {
            matches!(event, Seen::ThreadBlocked { session, subject, thread }
            if *session == a.session && subject == "sleeps" && thread.contains("handlers"))
        };
        server.record.until("the blocked threads are found and named", THREADS, named).await;
        server.engine().findings()
    };
    let answers = checks::all_failed(&a, &ids, i64::from(ErrorCode::DEADLINE_EXCEEDED.0));
    let (findings, answers, one, other) = tokio::join!(told, answers, pings(&b, over), pings(&c, over));
    assert!(one < PING && other < PING, "pings took {one:?} and {other:?}");
    assert_eq!(answers.len(), CALLS);
    assert_on_time(&server, CALLS);
    let subjects: Vec<_> = findings.iter().map(|finding| finding.subject.as_deref()).collect();
    assert_eq!(subjects, [Some("sleeps"); THREADS], "what stands while they block");
    // To the interval between two looks, and what a busy machine adds.
    let lasted = lasted(&server, "sleeps");
    assert!(lasted.iter().all(|lasted| *lasted > BLOCK / 2), "{lasted:?}");
    assert_eq!(blocked(&server, "sleeps"), THREADS, "a call that ended before it had a thread never began");
    assert!(server.engine().findings().is_empty());

    a.echo("the threads are free").await;
    checks::everything(&server, vec![a, b, c]).await;
    handlers.at_rest().await;
}

async fn waits_for_a_task(transport: Transport) {
    let handlers = HandlerThreads::new();
    let server = handlers.server().await;
    let a = Client::connect(&server, transport).await;
    let b = Client::connect(&server, transport).await;
    // All threads wait for tasks that need one of them.
    let ids: Vec<_> = (0..THREADS).map(|_| a.call("waits", json!({ "meet": true }))).collect();
    server.probe.entered(THREADS as u32).await;
    let ended = || server.engine().call_count() == 0;
    let answers = checks::all_failed(&a, &ids, i64::from(ErrorCode::DEADLINE_EXCEEDED.0));
    let (_, longest) = tokio::join!(answers, pings(&b, ended));
    assert!(longest < PING, "a ping took {longest:?}");
    assert_on_time(&server, THREADS);
    // One alone leaves a thread for its task, and is answered, in time or at its deadline.
    let answer: Value = a.tool("waits", json!({ "meet": false })).await;
    server.probe.entered(1).await;
    assert!(answer["result"].is_object() || answer["error"].is_object(), "{answer}");
    checks::eventually("its thread is free", ended).await;
    checks::everything(&server, vec![a, b]).await;
    handlers.at_rest().await;
}

async fn sdk_clients(transport: Transport) {
    let handlers = HandlerThreads::new();
    let server = handlers.server().await;
    let a = sdk::connect(&server, transport).await;
    let b = sdk::connect(&server, transport).await;
    let mut calls = Vec::new();
    for _ in 0..=THREADS {
        calls.push(sdk::start(&a, "sleeps", json!({}), PeerRequestOptions::no_options()).await);
    }
    server.probe.entered(THREADS as u32).await;
    let mut longest = Duration::ZERO;
    while lasted(&server, "sleeps").len() < THREADS {
        for client in [&a, &b] {
            let sent = Instant::now();
            sdk::ping(client).await;
            longest = longest.max(sent.elapsed());
        }
        tokio::time::sleep(PING_EVERY).await;
    }
    assert!(longest < PING, "a ping took {longest:?}");
    for call in calls {
        let answer = prompt("an answer", call.await_response()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    assert_on_time(&server, THREADS + 1);
    assert_eq!(blocked(&server, "sleeps"), THREADS);
    sdk::leave(a).await;
    sdk::leave(b).await;
    checks::everything(&server, vec![]).await;
    handlers.at_rest().await;
}
