//! What holds after every scenario.
//!
//! U1, each request had one outcome; U2, a ping works on the used sessions and on new ones; U3, all gauges are back to
//! the base line; U4, what was ended by force was told, with its cause, and the counters say the same as the events;
//! U5, nothing spins. (The list of waits, the other half of U4, is looked at by the scenarios that have waits to see:
//! one that is over can no longer be seen.)

use crate::{Client, Outcome, Seen, TestServer, Transport, limits::prompt};
use freehold_mcp::freehold::{CallSnapshot, CloseReason, OutcomeKind, Session, SessionGauges, SessionId};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// How often a gauge is looked at that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(2);
/// A server at rest uses less than this share of one core.
const REST_SHARE: f64 = 0.05;
/// Over which that is measured.
const REST_WINDOW: Duration = Duration::from_millis(250);

/// What there was before the scenario.
#[derive(Clone, Debug)]
pub(crate) struct BaseLine {
    tasks: usize,
    connections: Arc<AtomicUsize>,
}

impl BaseLine {
    pub(crate) fn now(connections: Arc<AtomicUsize>) -> Self {
        Self { tasks: Handle::current().metrics().num_alive_tasks(), connections }
    }
}

/// All of them; the clients leave in between.
///
/// # Panics
///
/// If one does not hold.
pub async fn everything(server: &TestServer, clients: Vec<Client>) {
    canary(server, &clients).await;
    for client in clients {
        // U1 when all is said: a request without its outcome shows up here.
        client.inbox.assert_one_outcome_each();
        if let Ok(session) = server.engine().session(client.session) {
            at_rest(&session).await;
        }
        let inbox = client.inbox.clone();
        client.leave().await;
        inbox.assert_one_outcome_each();
    }
    at_base_line(server).await;
    events_add_up(server);
    quiet().await;
}

/// U2: pings on the used sessions, if they live, and on new ones.
///
/// # Panics
///
/// If one is not answered soon.
pub async fn canary(server: &TestServer, used: &[Client]) {
    for client in used {
        let alive = server.engine().session(client.session).is_ok() && client.inbox.closed().is_none();
        if alive {
            client.ping().await;
        }
    }
    for transport in [Transport::Http, Transport::Stdio] {
        let fresh = Client::connect(server, transport).await;
        fresh.ping().await;
        fresh.echo("canary").await;
        fresh.leave().await;
    }
}

/// Waits until what nobody announces has come to pass.
///
/// # Panics
///
/// If it does not soon.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    prompt(what, async {
        while !condition() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}

/// Waits until the gauges of a session are as given.
///
/// # Panics
///
/// If they are not soon; it then says what they are.
pub async fn gauges(server: &TestServer, session: SessionId, running: usize, in_flight: usize) {
    let session = server.session(session);
    let are = || {
        let SessionGauges { running, in_flight, .. } = session.gauges();
        (running, in_flight)
    };
    eventually(&format!("{running} running and {in_flight} in flight"), || are() == (running, in_flight))
        .await;
}

/// U3 of one session: nothing of it runs, waits or is open.
async fn at_rest(session: &Session<u64>) {
    let rest = || {
        let SessionGauges { running, in_flight, questions, .. } = session.gauges();
        (running, in_flight, questions) == (0, 0, 0)
    };
    eventually("the session is at rest", rest).await;
    let of_it = |call: &CallSnapshot| call.session == session.id();
    eventually("no call of it has a task", || !session.engine().calls().iter().any(of_it)).await;
}

/// U3: sessions, calls, questions, streams, connections and tasks are what they were before.
///
/// # Panics
///
/// If they are not soon.
pub async fn at_base_line(server: &TestServer) {
    let (engine, base) = (server.engine(), &server.base_line);
    eventually("no call is left", || engine.call_count() == 0 && engine.calls().is_empty()).await;
    eventually("no connection is left", || base.connections.load(Ordering::Acquire) == 0).await;
    eventually("no session is left", || engine.session_count() == 0).await;
    eventually("no task is left", || Handle::current().metrics().num_alive_tasks() <= base.tasks).await;
}

/// U4, and the server's side of U1: every session was opened and closed once, no request ended twice, and the counters
/// say what the events say.
///
/// # Panics
///
/// If not.
pub fn events_add_up(server: &TestServer) {
    let events = server.record.events();
    let mut sessions: HashMap<SessionId, (usize, usize)> = HashMap::new();
    let mut ended: HashMap<OutcomeKind, u64> = HashMap::new();
    let mut over = HashSet::new();
    for event in &events {
        match event {
            Seen::Opened(session) => sessions.entry(*session).or_default().0 += 1,
            Seen::Closed(session, _) => sessions.entry(*session).or_default().1 += 1,
            Seen::Ended { session, id, outcome, .. } => {
                *ended.entry(*outcome).or_default() += 1;
                // No client here uses an id twice, but to be refused.
                let counts = id.is_some() && *outcome != OutcomeKind::DuplicateId;
                assert!(!counts || over.insert((*session, id.clone())), "request {id:?} ended twice");
            }
            _ => {}
        }
    }
    for (session, times) in &sessions {
        assert_eq!(*times, (1, 1), "session {session}: opened and closed so often");
    }
    let counters = server.engine().counters();
    let of = |outcome| ended.get(&outcome).copied().unwrap_or_default();
    let count = |wanted: fn(&Seen) -> bool| events.iter().filter(|event| wanted(event)).count() as u64;
    let pairs = [
        ("opened", counters.sessions_opened, sessions.len() as u64),
        ("closed", counters.sessions_closed, sessions.len() as u64),
        ("answered", counters.answered, of(OutcomeKind::Answered)),
        ("failed", counters.failed, of(OutcomeKind::Failed)),
        ("panicked", counters.panicked, of(OutcomeKind::Panicked)),
        ("deadlocked", counters.deadlocked, of(OutcomeKind::Deadlocked)),
        ("deadline exceeded", counters.deadline_exceeded, of(OutcomeKind::DeadlineExceeded)),
        ("cancelled", counters.cancelled, of(OutcomeKind::Cancelled)),
        ("overloaded", counters.overloaded, of(OutcomeKind::Overloaded)),
        ("stopping", counters.stopping, of(OutcomeKind::Stopping)),
        ("duplicate id", counters.duplicate_id, of(OutcomeKind::DuplicateId)),
        ("abandoned", counters.abandoned, count(|event| matches!(event, Seen::Abandoned { .. }))),
        ("malformed", counters.malformed, count(|event| matches!(event, Seen::Malformed(_)))),
        ("unknown answers", counters.unknown_answers, count(|event| matches!(event, Seen::UnknownAnswer(_)))),
        (
            "unknown notifications",
            counters.unknown_notifications,
            count(|event| matches!(event, Seen::UnknownNotification(_))),
        ),
        ("slow", counters.slow, count(|event| matches!(event, Seen::Slow { .. }))),
        (
            "threads blocked",
            counters.threads_blocked,
            count(|event| matches!(event, Seen::ThreadBlocked { .. })),
        ),
        ("hook panics", counters.hook_panics, count(|event| matches!(event, Seen::HookPanicked(_)))),
        (
            "expired",
            counters.sessions_expired,
            count(|event| matches!(event, Seen::Closed(_, reason) if reason_is_time(*reason))),
        ),
        ("dropped notifications", counters.notifications_dropped, dropped(&events)),
        ("overflowed", counters.streams_overflowed, count(|event| *event == Seen::Overflowed)),
    ];
    for (name, counter, events) in pairs {
        assert_eq!(counter, events, "{name}: the counter and the events");
    }
    assert_eq!(
        counters.calls_ended(),
        ended.values().sum::<u64>(),
        "a call ended as none of the known kinds"
    );
    assert_eq!(counters.observer_panics, 0);
}

fn reason_is_time(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Expired | CloseReason::NeverInitialized)
}

fn dropped(events: &[Seen]) -> u64 {
    let each = events.iter().map(|event| if let Seen::Dropped(count) = event { *count } else { 0 });
    each.sum()
}

/// U5: waits for a window of time in which the server hardly did a thing.
///
/// # Panics
///
/// If there is none soon: something spins.
pub async fn quiet() {
    let metrics = Handle::current().metrics();
    let busy = || -> Duration {
        (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
    };
    prompt("the server comes to rest", async {
        loop {
            let before = busy();
            tokio::time::sleep(REST_WINDOW).await;
            if (busy() - before).as_secs_f64() < REST_WINDOW.as_secs_f64() * REST_SHARE {
                return;
            }
        }
    })
    .await;
}

/// Checks that each of these requests ended in an error with this code, and gives the errors.
///
/// # Panics
///
/// If not.
pub async fn all_failed(client: &Client, ids: &[serde_json::Value], code: i64) -> Vec<serde_json::Value> {
    let mut errors = Vec::new();
    for id in ids {
        match client.outcome(id).await {
            Outcome::Answer(answer) if answer["error"]["code"] == code => {
                errors.push(answer["error"].clone());
            }
            other => panic!("request {id} should have failed with {code}: {other:?}"),
        }
    }
    errors
}
