//! S-14: a handler that panics while it holds everything; hooks and drops that panic.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{CloseReason, ErrorCode, OutcomeKind},
};
use freehold_scenarios::{
    Bomb, Builder, Client, Ctx, Cut, Probe, SEEDED_PANIC, Seen, TestServer, Transport, checks,
    hide_seeded_panics, limits::patient, limits::prompt, over_both_transports,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

over_both_transports!(thousand_panics => s14_thousand_panics_http, s14_thousand_panics_stdio);
over_both_transports!(hooks => s14_hooks_http, s14_hooks_stdio);
over_both_transports!(during_close => s14_during_close_http, s14_during_close_stdio);
over_both_transports!(during_shutdown => s14_during_shutdown_http, s14_during_shutdown_stdio);
over_both_transports!(sdk_client => s14_sdk_client_http, s14_sdk_client_stdio);

const CALLS: usize = 1_000;
/// Sent at a time.
const BURST: usize = 100;

/// What the application shares: permits that every call needs.
struct Permits(Semaphore);

fn panic_on_purpose() -> ! {
    panic!("{SEEDED_PANIC}")
}

async fn at_once(_ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    panic_on_purpose()
}

/// Holds a permit, has changed the state and has said something; then panics.
async fn holding_everything(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let _permit = ctx.app::<Permits>().0.acquire().await?;
    ctx.progress(1.0, None, Some("about to panic"));
    tokio::task::yield_now().await;
    panic_on_purpose()
}

async fn in_an_update(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    ctx.update(|state| {
        *state += 1_000_000;
        panic_on_purpose()
    })
    .await?;
    Ok("never".to_owned())
}

async fn in_a_transaction(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let body = async |state: u64| {
        tokio::task::yield_now().await;
        if state < u64::MAX { panic_on_purpose() } else { Ok::<_, ToolError>((state, ())) }
    };
    ctx.transact(|state| Box::pin(body(state))).await?;
    Ok("never".to_owned())
}

async fn in_a_drop(_ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let _bomb = Bomb;
    tokio::task::yield_now().await;
    Ok("its local panics".to_owned())
}

/// A good one: takes a permit, too, and counts.
async fn count(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let _permit = ctx.app::<Permits>().0.acquire().await?;
    Ok(ctx
        .update(|state| {
            *state += 1;
            *state
        })
        .await?
        .to_string())
}

async fn on_cancel(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    ctx.app::<Probe>().enter();
    ctx.cancelled().await;
    panic_on_purpose()
}

/// Ignores its cancel; the drop of what it holds panics.
async fn bomb(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let _bomb = Bomb;
    ctx.app::<Probe>().enter();
    std::future::pending().await
}

const PANICS: [&str; 5] = ["at_once", "holding_everything", "in_an_update", "in_a_transaction", "in_a_drop"];

fn tools(builder: Builder) -> Builder {
    hide_seeded_panics();
    builder
        .app(Arc::new(Permits(Semaphore::new(2))))
        .tool(Tool::new("at_once", "Panics.", at_once))
        .tool(Tool::new("holding_everything", "Panics.", holding_everything))
        .tool(Tool::new("in_an_update", "Panics.", in_an_update))
        .tool(Tool::new("in_a_transaction", "Panics.", in_a_transaction))
        .tool(Tool::new("in_a_drop", "Panics.", in_a_drop))
        .tool(Tool::new("count", "Counts.", count))
        .tool(Tool::new("on_cancel", "Panics when it is cancelled.", on_cancel))
        .tool(Tool::new("bomb", "Holds a bomb.", bomb))
}

fn assert_internal(answer: &Value) {
    assert_eq!(answer["error"]["code"], ErrorCode::INTERNAL_ERROR.0, "{answer}");
    assert!(!answer.to_string().contains("secret"), "{answer}");
}

async fn thousand_panics(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let a = Client::connect(&server, transport).await;
    let b = Client::connect(&server, transport).await;
    let mut counted = 0;
    for start in (0..CALLS).step_by(BURST) {
        let mut bad = Vec::new();
        let mut good = Vec::new();
        for n in start..start + BURST {
            let client = if n % 2 == 0 { &a } else { &b };
            bad.push((client, client.call(PANICS[n % PANICS.len()], json!({}))));
            if n % 5 == 0 {
                good.push((client, client.call("count", json!({}))));
            }
        }
        for (client, id) in &bad {
            assert_internal(&client.answer(id).await);
        }
        for (client, id) in &good {
            let answer = client.answer(id).await;
            assert!(answer["result"]["content"][0]["text"].is_string(), "{answer}");
        }
        counted += good.len() as u64;
    }
    // Nothing that a panicking call had begun is in the state; what the good ones did is.
    let state = |client: &Client| *server.session(client.session).state();
    assert_eq!(state(&a) + state(&b), counted);
    let of = |outcome| server.record.outcomes("tools/call", outcome);
    assert_eq!((of(OutcomeKind::Panicked), of(OutcomeKind::Answered)), (CALLS, counted as usize));
    checks::everything(&server, vec![a, b]).await;
}

async fn hooks(transport: Transport) {
    let armed = Arc::new(AtomicBool::new(false));
    let server = TestServer::with(patient(), |builder| {
        let fuse = |armed: &Arc<AtomicBool>| {
            let armed = armed.clone();
            move || {
                if armed.load(Ordering::SeqCst) {
                    panic_on_purpose();
                }
            }
        };
        let [opened, initialized, called, closed, dropped] = std::array::from_fn(|_| fuse(&armed));
        tools(builder).engine(|engine| {
            engine
                .on_opened(move |_| opened())
                .on_initialized(move |_| initialized())
                .on_called(move |_, _| called())
                .on_closed(move |_, _| closed())
                .on_subscriber_dropped(move |_| dropped())
        })
    })
    .await;
    armed.store(true, Ordering::SeqCst);
    let client = Client::connect(&server, transport).await;
    client.listen("the stream").await;
    client.echo("all the same").await;
    assert_internal(&client.tool("at_once", json!({})).await);
    client.leave().await;
    for hook in ["opened", "initialized", "called", "closed", "subscriber dropped"] {
        let panicked = |event: &Seen| *event == Seen::HookPanicked(hook);
        server.record.until(&format!("the hook {hook:?} panicked"), 1, panicked).await;
    }
    armed.store(false, Ordering::SeqCst);
    checks::everything(&server, vec![]).await;
}

/// Handlers that answer their cancel with a panic, and such that must be dropped with a bomb in them.
async fn during_close(transport: Transport) {
    let server = TestServer::with(patient(), |builder| {
        tools(builder).engine(|engine| engine.on_closed(|_, _| panic_on_purpose()))
    })
    .await;
    let client = Client::connect(&server, transport).await;
    let mut ids: Vec<_> = (0..5).map(|_| client.call("on_cancel", json!({}))).collect();
    ids.extend((0..5).map(|_| client.call("bomb", json!({}))));
    server.probe.entered(10).await;
    assert!(server.session(client.session).close(CloseReason::Server));
    // Their outcome is that they were cancelled; what they do then changes nothing.
    checks::all_failed(&client, &ids, ErrorCode::CANCELLED.0.into()).await;
    let abandoned = |event: &Seen| matches!(event, Seen::Abandoned { .. });
    server.record.until("the bombs are dropped", 5, abandoned).await;
    checks::eventually("no call is left", || server.engine().call_count() == 0).await;
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Cancelled), 10);
    checks::everything(&server, vec![client]).await;
}

async fn during_shutdown(transport: Transport) {
    let mut server = TestServer::with(patient(), |builder| {
        tools(builder).engine(|engine| {
            engine.on_shutdown_begun(|| panic_on_purpose()).on_closed(|_, _| panic_on_purpose())
        })
    })
    .await;
    let client = Client::connect(&server, transport).await;
    let ids = [client.call("on_cancel", json!({})), client.call("bomb", json!({}))];
    server.probe.entered(2).await;
    let report = prompt("the drain ends", server.engine().drain(Duration::from_millis(100))).await;
    assert_eq!((report.running, report.cancelled), (2, 2), "{report:?}");
    assert_eq!(report.abandoned, ["tools/call bomb"]);
    checks::all_failed(&client, &ids, ErrorCode::CANCELLED.0.into()).await;
    client.inbox.assert_one_outcome_each();
    client.kill(Cut::Close).await;
    server.stopped().await;
    assert_eq!(server.record.count(|event| *event == Seen::HookPanicked("shutdown begun")), 1);
    checks::at_base_line(&server).await;
    checks::events_add_up(&server);
    checks::quiet().await;
}

async fn sdk_client(transport: Transport) {
    let server = TestServer::with(patient(), tools).await;
    let client = sdk::connect(&server, transport).await;
    for tool in PANICS {
        let error = sdk::call(&client, tool, json!({})).await.expect_err("it panics").to_string();
        assert!(!error.contains("secret"), "{error}");
        sdk::echo(&client, "all the same").await;
    }
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}
