//! S-02: engine calls made from inside every hook.

mod sdk;

use freehold_mcp::{
    McpServer, Tool,
    freehold::{CloseReason, ErrorCode, Session, SessionId},
};
use freehold_scenarios::{
    ALL_CAPABILITIES, Client, Cut, Pace, Seen, TestServer, Transport, checks, echo, limits::limited,
    limits::patient, limits::prompt, over_both_transports,
};
use serde_json::json;
use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Barrier,
};

over_both_transports!(a_hook_closes_its_own_session => s02_a_hook_closes_its_own_session_http, s02_a_hook_closes_its_own_session_stdio);
over_both_transports!(sdk_clients => s02_sdk_clients_http, s02_sdk_clients_stdio);

const SESSIONS: usize = 25;

/// Which hook ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Hook {
    Opened,
    Initialized,
    Called,
    Closed,
    SubscriberDropped,
}

/// What the hooks do and what they saw.
#[derive(Debug, Default)]
struct Hooks {
    server: OnceLock<McpServer<u64>>,
    runs: Mutex<HashMap<(SessionId, Hook), usize>>,
    shutdowns: AtomicUsize,
    /// Hooks that are at it just now.
    inside: AtomicUsize,
    /// Hooks that ran inside of another one.
    nested: AtomicUsize,
    tools_made: AtomicUsize,
    /// Sessions that hooks opened: they close nobody, or it would never end.
    own: Mutex<HashSet<SessionId>>,
    /// The hook that closes its own session, if any does.
    suicidal: Mutex<Option<Hook>>,
    /// Whether a closed session takes the next one with it.
    cascade: Mutex<bool>,
}

fn with<T, R>(mutex: &Mutex<T>, change: impl FnOnce(&mut T) -> R) -> R {
    change(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Hooks {
    /// Runs `hook` unless it runs far more often than there are events.
    fn enter(&self, body: impl FnOnce()) {
        if INSIDE.replace(true) {
            self.nested.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.inside.fetch_add(1, Ordering::SeqCst);
        body();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        INSIDE.set(false);
    }

    fn run(&self, hook: Hook, session: &Session<u64>) {
        self.enter(|| {
            let runs = with(&self.runs, |runs| {
                let runs = runs.entry((session.id(), hook)).or_default();
                *runs += 1;
                *runs
            });
            // More is an error that the scenario reports; what the hook does would cause it for ever.
            if runs <= 2 {
                self.call_back(hook, session);
            }
        });
    }

    fn call_back(&self, hook: Hook, session: &Session<u64>) {
        self.use_engine();
        session.subscribe("topic");
        session
            .notify("notifications/message", &json!({ "level": "info", "data": "from a hook" }))
            .expect("JSON");
        assert!(!session.cancel(&987_654.into(), None));
        let mine = with(&self.own, |own| own.contains(&session.id()));
        if hook == Hook::Closed {
            assert!(session.closed().is_some());
            assert!(!session.close(CloseReason::Server), "it was closed before");
        }
        if !mine {
            self.open_and_close_another(session);
        }
        if !mine && hook == Hook::Closed && with(&self.cascade, |cascade| *cascade) {
            // Those of the hooks are closed by the hook that opened them, which counts on it.
            let theirs = |other: &Session<u64>| !with(&self.own, |own| own.contains(&other.id()));
            session.engine().sessions().iter().any(|other| theirs(other) && other.close(CloseReason::Server));
        }
        if with(&self.suicidal, |suicidal| *suicidal == Some(hook)) && !mine {
            assert!(session.close(CloseReason::Server));
        }
    }

    /// Lists, adds and removes a tool, tells everybody.
    fn use_engine(&self) {
        let server = self.server.get().expect("it was built");
        let engine = server.engine();
        let _ = (engine.sessions().len(), engine.calls().len(), engine.session_count(), engine.counters());
        let name = format!("hook-{}", self.tools_made.fetch_add(1, Ordering::Relaxed));
        server.tools().add(Tool::new(&name, "Came from a hook.", echo)).expect("a new name");
        assert!(server.tools().remove(&name));
        let data = json!({ "level": "info", "data": "to all" });
        engine.broadcast("notifications/message", &data, Session::is_initialized).expect("JSON");
        engine.publish("topic", "notifications/message", &data).expect("JSON");
    }

    fn open_and_close_another(&self, session: &Session<u64>) {
        let note = |other: &Session<u64>| {
            with(&self.own, |own| own.insert(other.id()));
        };
        if let Ok(other) = session.engine().open_with(note) {
            drop(other.listen());
            assert!(other.mark_initialized());
            assert!(other.close(CloseReason::Server));
            assert!(!other.close(CloseReason::Client), "the second time nothing happens");
            assert_eq!(other.closed(), Some(CloseReason::Server));
        }
    }

    fn runs(&self, session: SessionId, hook: Hook) -> usize {
        with(&self.runs, |runs| runs.get(&(session, hook)).copied().unwrap_or_default())
    }

    /// Waits until these hooks ran for the session, and sees that they ran so often and no other did.
    ///
    /// Whoever opens a pipe next takes the next session for its own: no hook may be left that opens one, too.
    async fn ran(&self, session: SessionId, expected: &[(Hook, usize)]) {
        for (hook, times) in expected {
            let what = format!("{hook:?} of {session} {times} times");
            checks::eventually(&what, || self.runs(session, *hook) >= *times).await;
        }
        checks::eventually("every hook is done", || self.inside.load(Ordering::SeqCst) == 0).await;
        let mut runs: Vec<_> = with(&self.runs, |runs| {
            let of_it = runs.iter().filter(|((of, _), _)| *of == session);
            of_it.map(|((_, hook), times)| (*hook, *times)).collect()
        });
        runs.sort_unstable();
        assert_eq!(runs, expected, "hooks of {session}");
    }

    /// Every hook ran once for its event, none inside of another one, and none failed.
    fn all_once(&self, server: &TestServer) {
        let events = server.record.events();
        with(&self.runs, |runs| {
            for event in &events {
                let (session, hook) = match event {
                    Seen::Opened(session) => (*session, Hook::Opened),
                    Seen::Closed(session, _) => (*session, Hook::Closed),
                    _ => continue,
                };
                // The first session was there before the hooks had their server.
                assert_eq!(runs.get(&(session, hook)), Some(&1), "{hook:?} of {session}");
            }
            let twice = runs.iter().find(|((_, hook), times)| **times > 1 && *hook != Hook::Called);
            assert_eq!(twice, None);
        });
        assert_eq!(self.nested.load(Ordering::Relaxed), 0, "hooks inside of hooks");
        assert_eq!(server.engine().counters().hook_panics, 0);
    }
}

async fn hooked() -> (TestServer, Arc<Hooks>) {
    let hooks = Arc::new(Hooks::default());
    let of = |hook: Hook| {
        let hooks = hooks.clone();
        // Without its server it is the session that a test server opens to start its sweep.
        move |session: &Session<u64>| match hooks.server.get() {
            Some(_) => hooks.run(hook, session),
            None => with(&hooks.runs, |runs| *runs.entry((session.id(), hook)).or_default() += 1),
        }
    };
    let (called, closed, shutdown) = (of(Hook::Called), of(Hook::Closed), hooks.clone());
    let configure = |builder: freehold_scenarios::Builder| {
        builder.engine(|engine| {
            engine
                .on_opened(of(Hook::Opened))
                .on_initialized(of(Hook::Initialized))
                .on_called(move |session, _| called(session))
                .on_closed(move |session, _| closed(session))
                .on_subscriber_dropped(of(Hook::SubscriberDropped))
                .on_shutdown_begun(move || {
                    shutdown.shutdowns.fetch_add(1, Ordering::Relaxed);
                    shutdown.enter(|| {
                        shutdown.use_engine();
                        let engine = shutdown.server.get().expect("it was built").engine();
                        assert!(engine.is_draining() && engine.open().is_err());
                        engine.sessions().iter().any(|session| session.close(CloseReason::Server));
                    });
                })
        })
    };
    let server = TestServer::with(patient(), configure).await;
    hooks.server.set(server.server.clone()).expect("set once");
    (server, hooks)
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The client closes its end.
    ClientCloses,
    Delete,
    ServerCloses,
}

impl Way {
    const ALL: [Self; 3] = [Self::ClientCloses, Self::Delete, Self::ServerCloses];

    fn transport(self, number: usize) -> Transport {
        match self {
            Self::ClientCloses => Transport::Stdio,
            Self::Delete => Transport::Http,
            Self::ServerCloses => [Transport::Http, Transport::Stdio][number / 3 % 2],
        }
    }

    fn reason(self) -> CloseReason {
        match self {
            Self::ClientCloses => CloseReason::Disconnected,
            Self::Delete => CloseReason::Client,
            Self::ServerCloses => CloseReason::Server,
        }
    }

    async fn end(self, client: &mut Client, session: &Session<u64>) {
        match self {
            Self::ClientCloses => client.end_input(),
            Self::Delete => assert!([204, 404].contains(&client.delete().await.status)),
            Self::ServerCloses => {
                session.close(CloseReason::Server);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_all_hooks_and_25_ends_at_the_same_moment() {
    Box::pin(limited(async {
        let (server, hooks) = hooked().await;
        let mut all = Vec::new();
        for cascade in [false, true] {
            let mut clients = Vec::new();
            for number in 0..SESSIONS {
                let way = Way::ALL[number % 3];
                let client = Client::connect(&server, way.transport(number)).await;
                client.listen("its stream").await;
                client.echo("hooked").await;
                clients.push((way, client));
            }
            with(&hooks.cascade, |on| *on = cascade);
            let ended = all_at_once(&server, clients).await;
            for (way, client) in &ended {
                let reason = server.record.closed(client.session).await;
                let by_another = cascade && reason == CloseReason::Server;
                assert!(reason == way.reason() || by_another, "{way:?}: {reason:?}");
                let once =
                    [Hook::Opened, Hook::Initialized, Hook::Called, Hook::Closed, Hook::SubscriberDropped];
                hooks.ran(client.session, &once.map(|hook| (hook, 1))).await;
            }
            all.extend(ended.into_iter().map(|(_, client)| client));
            with(&hooks.cascade, |on| *on = false);
            let fresh = Client::connect(&server, Transport::Http).await;
            fresh.echo("at once").await;
            all.push(fresh);
        }
        Box::pin(checks::everything(&server, all)).await;
        hooks.all_once(&server);
        stop_twice(&server, &hooks).await;
    }))
    .await;
}

async fn all_at_once(server: &TestServer, clients: Vec<(Way, Client)>) -> Vec<(Way, Client)> {
    let barrier = Arc::new(Barrier::new(clients.len()));
    let ending: Vec<_> = clients
        .into_iter()
        .map(|(way, mut client)| {
            let (barrier, session) = (barrier.clone(), server.session(client.session));
            tokio::spawn(async move {
                barrier.wait().await;
                way.end(&mut client, &session).await;
                (way, client)
            })
        })
        .collect();
    let mut ended = Vec::new();
    for end in ending {
        ended.push(prompt("a session ends", end).await.expect("it does not panic"));
    }
    ended
}

/// The last hook, and what it does to the sessions that are left.
async fn stop_twice(server: &TestServer, hooks: &Hooks) {
    let http = Client::connect(server, Transport::Http).await;
    let stdio = Client::connect(server, Transport::Stdio).await;
    let engine = server.engine();
    let both = async { tokio::join!(engine.drain(Duration::ZERO), engine.drain(Duration::ZERO)) };
    let (one, other) = prompt("the drain ends", both).await;
    assert_eq!(one, other);
    assert_eq!(prompt("a third one", engine.drain(Duration::ZERO)).await, one);
    assert_eq!(hooks.shutdowns.load(Ordering::Relaxed), 1);
    let mut reasons = [server.record.closed(http.session).await, server.record.closed(stdio.session).await];
    reasons.sort_unstable_by_key(|reason| *reason == CloseReason::Shutdown);
    assert_eq!(reasons, [CloseReason::Server, CloseReason::Shutdown], "the hook closed one of them");
    prompt("the pipe ends", stdio.inbox.until_closed()).await;
    http.kill(Cut::Close).await;
    stdio.kill(Cut::Close).await;
    checks::at_base_line(server).await;
    checks::events_add_up(server);
    hooks.all_once(server);
}

/// Each hook in turn closes the session that it is about.
async fn a_hook_closes_its_own_session(transport: Transport) {
    let (server, hooks) = hooked().await;
    let suicidal = |hook| with(&hooks.suicidal, |suicidal| *suicidal = hook);

    suicidal(Some(Hook::Opened));
    let session = stillborn(&server, transport).await;
    assert_eq!(server.record.closed(session).await, CloseReason::Server);
    hooks.ran(session, &dropped_too(transport, &[Hook::Opened, Hook::Closed])).await;

    suicidal(Some(Hook::Initialized));
    let client = Client::greet(&server, transport, ALL_CAPABILITIES, Pace::Whole).await;
    client.notify("notifications/initialized", json!({})).await;
    assert_eq!(server.record.closed(client.session).await, CloseReason::Server);
    hooks
        .ran(client.session, &dropped_too(transport, &[Hook::Opened, Hook::Initialized, Hook::Closed]))
        .await;
    let mut clients = vec![client];

    suicidal(Some(Hook::Called));
    let client = Client::connect(&server, transport).await;
    let answer = client.tool("echo", json!({ "text": "never" })).await;
    assert_eq!(answer["error"]["code"], ErrorCode::CANCELLED.0, "{answer}");
    assert_eq!(answer["error"]["data"]["reason"], "sessionClosed", "{answer}");
    let ran = [Hook::Opened, Hook::Initialized, Hook::Called, Hook::Closed];
    hooks.ran(client.session, &dropped_too(transport, &ran)).await;
    clients.push(client);

    if transport == Transport::Http {
        suicidal(Some(Hook::SubscriberDropped));
        let client = Client::connect(&server, transport).await;
        client.listen("its stream").await;
        client.cut(&json!("its stream"), Cut::Close);
        assert_eq!(server.record.closed(client.session).await, CloseReason::Server);
        let ran = [Hook::Opened, Hook::Initialized, Hook::Closed, Hook::SubscriberDropped];
        hooks.ran(client.session, &ran.map(|hook| (hook, 1))).await;
        clients.push(client);
    }
    suicidal(None);
    Box::pin(checks::everything(&server, clients)).await;
    hooks.all_once(&server);
}

/// A pipe has a reader of its session from the beginning.
fn dropped_too(transport: Transport, hooks: &[Hook]) -> Vec<(Hook, usize)> {
    let dropped = (transport == Transport::Stdio).then_some(Hook::SubscriberDropped);
    hooks.iter().copied().chain(dropped).map(|hook| (hook, 1)).collect()
}

/// A session that its `opened` hook closes.
async fn stillborn(server: &TestServer, transport: Transport) -> SessionId {
    let opened = |event: &Seen| matches!(event, Seen::Opened(_));
    let before = server.record.count(opened);
    match transport {
        Transport::Http => {
            let client = Client::greet(server, transport, ALL_CAPABILITIES, Pace::Whole).await;
            let late = client.request("ping", json!({})).await;
            assert_eq!(late["error"]["code"], ErrorCode::SESSION_NOT_FOUND.0, "{late}");
            client.kill(Cut::Close).await;
        }
        Transport::Stdio => {
            let (mut output, mut input) = server.pipes();
            // It may be closed before it is written to.
            let _ = input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await;
            let mut rest = Vec::new();
            prompt("the output ends", output.read_to_end(&mut rest)).await.expect("an end");
        }
    }
    let events = server.record.events();
    let Some(Seen::Opened(session)) = events.iter().filter(|event| opened(event)).nth(before) else {
        panic!("no session was opened")
    };
    *session
}

async fn sdk_clients(transport: Transport) {
    let (server, hooks) = hooked().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let client = sdk::connect(&server, transport).await;
        assert!(prompt("tools/list", client.list_all_tools()).await.expect("tools").len() >= 5);
        sdk::echo(&client, "hooked").await;
        clients.push(client);
    }
    let theirs: Vec<_> = with(&hooks.runs, |runs| {
        let called = runs.keys().filter(|(_, hook)| *hook == Hook::Called);
        called.map(|(session, _)| *session).collect()
    });
    assert_eq!(theirs.len(), 5);
    // Two by the server, three by themselves, all at once.
    let closing = async {
        for session in &theirs[..2] {
            server.session(*session).close(CloseReason::Server);
        }
    };
    let leaving = futures_join(clients.into_iter().map(sdk::leave));
    tokio::join!(closing, leaving);
    for session in &theirs {
        server.record.closed(*session).await;
        let once = [Hook::Opened, Hook::Initialized, Hook::Called, Hook::Closed, Hook::SubscriberDropped];
        hooks.ran(*session, &once.map(|hook| (hook, 1))).await;
    }
    checks::everything(&server, vec![]).await;
    hooks.all_once(&server);
}

async fn futures_join(futures: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    for task in tasks {
        task.await.expect("it does not panic");
    }
}
