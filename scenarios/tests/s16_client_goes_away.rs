//! S-16: the client goes away in the middle of the work.

mod sdk;

use freehold_mcp::{
    Tool, ToolError,
    freehold::{CloseReason, Limits, OutcomeKind, runtime::pause},
};
use freehold_scenarios::{
    Builder, Client, Ctx, Cut, Outcome, Probe, Seen, TestServer, Transport, checks, limits::patient,
    limits::prompt, over_both_transports,
};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

over_both_transports!(cancel_message => s16_cancel_message_http, s16_cancel_message_stdio);
over_both_transports!(gone_without_a_word => s16_gone_without_a_word_http, s16_gone_without_a_word_stdio);
over_both_transports!(sdk_times_out => s16_sdk_times_out_http, s16_sdk_times_out_stdio);
over_both_transports!(idle_timer => s16_idle_timer_http, s16_idle_timer_stdio);
over_both_transports!(one_of_ten => s16_one_of_ten_http, s16_one_of_ten_stdio);

/// The one permit of the application.
struct Permit(Arc<Semaphore>);

/// Something far away that takes its time.
async fn upstream(probe: &Arc<Probe>) {
    let _dropped = probe.on_drop("upstream cancelled");
    std::future::pending::<()>().await;
}

/// Works step by step with a permit, while an upstream works for it, and has detached a task on purpose.
async fn work(ctx: &Ctx, (): ()) -> Result<String, ToolError> {
    let probe = ctx.app::<Probe>();
    let _permit = ctx.app::<Permit>().0.acquire().await?;
    let background = probe.clone();
    ctx.detach(async move {
        background.released().await;
        background.log("detached work done");
    });
    let runtime = ctx.engine().runtime().clone();
    let steps = async {
        for step in 0..6_000 {
            if ctx.cancel_reason().is_some() {
                probe.log("step after the cancel");
            }
            if step == 3 {
                probe.enter();
            }
            pause(&*runtime, Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        reason = ctx.cancelled() => {
            let note = ctx.cancel_note().unwrap_or_default();
            probe.log(format!("work cancelled: {reason:?} {note}"));
            Err(ToolError::new("cancelled"))
        }
        () = steps => Ok("done".to_owned()),
        () = upstream(probe) => Ok("never".to_owned()),
    }
}

fn with_work(builder: Builder) -> (Builder, Arc<Semaphore>) {
    let permit = Arc::new(Semaphore::new(1));
    let builder = builder.app(Arc::new(Permit(permit.clone()))).tool(Tool::new("work", "Works.", work));
    (builder, permit)
}

async fn worker() -> (TestServer, Arc<Semaphore>) {
    let mut permit = None;
    let server = TestServer::with(patient(), |builder| {
        let (builder, semaphore) = with_work(builder);
        permit = Some(semaphore);
        builder
    })
    .await;
    (server, permit.expect("it was configured"))
}

/// What every kind of going away leads to.
async fn wound_up(server: &TestServer, permit: &Semaphore, reason: &str) {
    server.probe.saw(1, &format!("work cancelled: {reason}")).await;
    server.probe.saw(1, "upstream cancelled").await;
    drop(prompt("the permit is back", permit.acquire()).await.expect("never closed"));
    checks::eventually("no call is left", || server.engine().call_count() == 0).await;
    assert_eq!(server.probe.count("step after the cancel"), 0);
    assert_eq!(server.record.outcomes("tools/call", OutcomeKind::Cancelled), 1);
    // What was detached goes on.
    assert_eq!(server.probe.count("detached work done"), 0);
    server.probe.release(1);
    server.probe.saw(1, "detached work done").await;
}

fn assert_no_answer(client: &Client, id: &Value) {
    let outcomes = client.inbox.outcomes(id);
    assert!(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Answer(_))), "{outcomes:?}");
}

async fn cancel_message(transport: Transport) {
    let (server, permit) = worker().await;
    let client = Client::connect(&server, transport).await;
    let id = client.call("work", json!({}));
    server.probe.entered(1).await;
    client.cancel(&id, "changed my mind").await;
    wound_up(&server, &permit, "Client changed my mind").await;
    // Pings later would come after an answer.
    client.ping().await;
    assert_no_answer(&client, &id);
    // Cancelling what is over does nothing.
    client.cancel(&id, "again").await;
    client.ping().await;
    assert_no_answer(&client, &id);
    checks::everything(&server, vec![client]).await;
}

async fn gone_without_a_word(transport: Transport) {
    for how in [Cut::Close, Cut::Reset] {
        let (server, permit) = worker().await;
        let client = Client::connect(&server, transport).await;
        let id = client.call("work", json!({}));
        server.probe.entered(1).await;
        match transport {
            Transport::Http => {
                client.cut(&id, how);
                wound_up(&server, &permit, "Disconnected").await;
                checks::everything(&server, vec![client]).await;
            }
            Transport::Stdio => {
                client.kill(how).await;
                wound_up(&server, &permit, "Disconnected").await;
                checks::everything(&server, vec![]).await;
            }
        }
    }
}

/// The client itself has had enough.
async fn sdk_times_out(transport: Transport) {
    let (server, permit) = worker().await;
    let client = sdk::connect(&server, transport).await;
    let options = PeerRequestOptions::with_timeout(Duration::from_millis(300));
    let call = sdk::start(&client, "work", json!({}), options).await;
    server.probe.entered(1).await;
    let error = prompt("the SDK's client gives up", call.await_response()).await.expect_err("a timeout");
    assert!(error.to_string().contains("timeout"), "{error}");
    // By its message, or because the SDK gives up the request's connection, whichever comes first.
    wound_up(&server, &permit, "").await;
    sdk::ping(&client).await;
    sdk::leave(client).await;
    checks::everything(&server, vec![]).await;
}

async fn idle_timer(transport: Transport) {
    let ttl = Duration::from_millis(300);
    let limits = Limits { session_ttl: ttl, initialize_window: ttl, ..patient() };
    let server = TestServer::with(limits, |builder| builder).await;
    let client = Client::connect(&server, transport).await;
    let id = client.call("wait", json!({}));
    server.probe.entered(1).await;
    // Two idle sessions one after the other live and expire while the call runs.
    for _ in 0..2 {
        let idle = server.engine().open().expect("a session");
        idle.mark_initialized();
        assert_eq!(server.record.closed(idle.id()).await, CloseReason::Expired);
    }
    assert_eq!(client.inbox.outcomes(&id), [], "the live call was not cancelled");
    assert!(server.session(client.session).closed().is_none());
    server.probe.release(1);
    assert_eq!(client.answer(&id).await["result"]["content"][0]["text"], "released");
    if transport == Transport::Http {
        // Then the session's own time begins to count.
        assert_eq!(server.record.closed(client.session).await, CloseReason::Expired);
    }
    checks::everything(&server, vec![client]).await;
}

async fn one_of_ten(transport: Transport) {
    let server = TestServer::start().await;
    let client = Client::connect(&server, transport).await;
    let ids = client.calls(10, "wait");
    server.probe.entered(10).await;
    client.cancel(&ids[3], "only this one").await;
    server.probe.saw(1, "wait cancelled: Client only this one").await;
    checks::gauges(&server, client.session, 9, 9).await;
    server.probe.release(9);
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| *n != 3) {
        let answer = client.answer(id).await;
        assert_eq!(answer["result"]["content"][0]["text"], "released", "call {n}: {answer}");
    }
    assert_no_answer(&client, &ids[3]);
    assert_eq!(
        server.record.count(|event| matches!(event, Seen::Ended { outcome: OutcomeKind::Cancelled, .. })),
        1
    );
    checks::everything(&server, vec![client]).await;
}
