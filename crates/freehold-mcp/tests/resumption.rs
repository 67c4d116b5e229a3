//! Streams that a client comes back to after it lost their connection.

mod stage;
#[expect(dead_code, reason = "streams here have ids, and are read by their fields")]
mod wire;

use freehold_mcp::{
    EventLimits, EventStore, EventStoreError, HttpOptions, McpServer, MemoryEventStore, Resumption,
    StoredEvent, StreamKey,
    freehold::{
        Limits,
        runtime::{BoxFuture, TokioRuntime, pause},
    },
};
use serde_json::{Value, json};
use stage::{Audience, server, within};
use std::{
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use wire::{Connection, Fields, Request, Response, open_session_as, serve};

const NEWEST: &str = "2025-11-25";
/// Older ones do not come back by themselves.
const OLDER: [&str; 2] = ["2025-06-18", "2025-03-26"];
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

struct Scene {
    server: McpServer,
    audience: Audience,
    address: SocketAddr,
    session: String,
}

impl Scene {
    async fn new(version: &str) -> Self {
        Self::with(version, Resumption::new(Arc::new(MemoryEventStore::default()))).await
    }

    async fn with(version: &str, resumption: Resumption) -> Self {
        let options = HttpOptions { resumption: Some(resumption), ..HttpOptions::default() };
        let (server, audience) = server(Limits::default());
        let address = serve(&server, options).await;
        let session = open_session_as(address, version).await;
        Self { server, audience, address, session }
    }

    /// Calls a tool that makes a stream, on a connection of its own; its first event if the client may come back by it.
    async fn call(&self, id: u32, tool: &str, arguments: Value) -> Connection {
        let mut call = Request::call(&self.session, id, tool, arguments).send(self.address).await;
        call.begins_events().await;
        call
    }

    fn get(&self, last: Option<&str>) -> Request {
        let get = Request::new("GET", "").in_session(&self.session);
        match last {
            Some(last) => get.with("Last-Event-ID", last),
            None => get,
        }
    }

    /// Opens the session's own stream, or takes one up.
    async fn open(&self, last: Option<&str>) -> Connection {
        let mut stream = self.get(last).send(self.address).await;
        stream.begins_events().await;
        stream
    }

    async fn refused(&self, last: &str) -> Response {
        self.get(Some(last)).exchange(self.address).await
    }
}

fn id(fields: &Fields) -> &str {
    fields.id.as_deref().expect("the event has an id")
}

/// Reads the event that primes the client.
async fn primed(stream: &mut Connection) -> String {
    let priming = stream.fields().await.expect("a priming event");
    assert_eq!((priming.data.as_deref(), priming.retry.as_deref()), (Some(""), Some("1000")));
    id(&priming).to_owned()
}

/// Reads the rest of a stream.
async fn rest(mut stream: Connection) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some(event) = stream.fields().await {
        messages.push(event.message());
    }
    messages
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            pause(&TokioRuntime, Duration::from_millis(2)).await;
        }
    };
    println!("waits until {what}");
    within(wait).await;
}

fn text(answer: &Value) -> &Value {
    &answer["result"]["content"][0]["text"]
}

#[tokio::test]
async fn a_call_goes_on_without_its_client_who_comes_back_for_the_rest() {
    let mut scene = Scene::new(NEWEST).await;
    let mut call = scene.call(1, "step_and_wait", json!({})).await;
    let first = primed(&mut call).await;
    let progress = call.fields().await.unwrap();
    assert_eq!(progress.message()["method"], "notifications/progress");
    assert_eq!(scene.audience.hears().await, "waiting");
    drop(call);
    // While its client is away, others are served, and it is not cancelled: it returns what it does when it is released.
    let echo = Request::call(&scene.session, 2, "echo", json!({ "text": "hi" }));
    assert_eq!(text(&echo.exchange(scene.address).await.json()), "hi");
    scene.audience.release();
    let mut back = scene.open(Some(id(&progress))).await;
    assert_eq!(primed(&mut back).await, id(&progress), "it begins where the client stands");
    let answer = back.fields().await.unwrap();
    assert_eq!((&answer.message()["id"], text(&answer.message())), (&json!(1), &json!("released")));
    assert_eq!(back.fields().await, None);
    // Its answer may have been lost, too: as long as it is kept, the client can come back again, and from where it wants.
    let mut again = scene.open(Some(&first)).await;
    assert_eq!(primed(&mut again).await, first);
    let events = [again.fields().await.unwrap(), again.fields().await.unwrap()];
    assert_eq!(events, [progress, answer.clone()], "the same events with the same ids");
    assert_eq!(again.fields().await, None);
    let mut nothing = scene.open(Some(id(&answer))).await;
    primed(&mut nothing).await;
    assert_eq!(nothing.fields().await, None, "it has everything");
}

#[tokio::test]
async fn clients_of_older_revisions_come_back_too_but_get_no_event_without_data() {
    for version in OLDER {
        let mut scene = Scene::new(version).await;
        // Their connection is kept, although the tool would let it go.
        for tool in ["step_and_wait", "close_and_wait"] {
            let mut call = scene.call(1, tool, json!({})).await;
            let progress = call.fields().await.unwrap();
            assert_eq!(
                (&progress.retry, &progress.message()["method"]),
                (&None, &json!("notifications/progress"))
            );
            assert_eq!(scene.audience.hears().await, "waiting");
            if tool == "step_and_wait" {
                drop(call);
                scene.audience.release();
                let answers = rest(scene.open(Some(id(&progress))).await).await;
                assert_eq!((answers.len(), text(&answers[0])), (1, &json!("released")), "{version}");
            } else {
                scene.audience.release();
                assert_eq!(text(&call.fields().await.unwrap().message()), "released", "{version}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_answered_at_once_stays_json() {
    let scene = Scene::new(NEWEST).await;
    let echo =
        Request::call(&scene.session, 1, "echo", json!({ "text": "hi" })).exchange(scene.address).await;
    assert_eq!(text(&echo.json()), "hi");
}

#[tokio::test]
async fn a_quiet_call_soon_gets_a_stream_to_come_back_to() {
    let store = Arc::new(MemoryEventStore::default());
    let resumption = Resumption { stream_after: Duration::from_millis(5), ..Resumption::new(store) };
    let mut scene = Scene::with(NEWEST, resumption).await;
    let mut call = scene.call(1, "wait", json!({})).await;
    let first = primed(&mut call).await;
    assert_eq!(scene.audience.hears().await, "waiting");
    drop(call);
    scene.audience.release();
    let mut back = scene.open(Some(&first)).await;
    primed(&mut back).await;
    assert_eq!(text(&rest(back).await[0]), "released");
}

#[tokio::test]
async fn a_call_lets_its_connection_go_and_its_client_polls() {
    let mut scene = Scene::new(NEWEST).await;
    let mut call = scene.call(1, "close_and_wait", json!({})).await;
    primed(&mut call).await;
    let progress = call.fields().await.unwrap();
    assert_eq!(progress.message()["method"], "notifications/progress");
    let retry = call.fields().await.unwrap();
    assert_eq!(retry, Fields { retry: Some("1000".to_owned()), ..Fields::default() });
    assert_eq!(call.fields().await, None, "the server lets it go");
    assert_eq!(scene.audience.hears().await, "waiting");
    // It comes back too early, leaves, and comes back.
    for release in [false, true] {
        let mut back = scene.open(Some(id(&progress))).await;
        primed(&mut back).await;
        if release {
            scene.audience.release();
            assert_eq!(text(&rest(back).await[0]), "released");
        }
    }
}

#[tokio::test]
async fn a_stream_has_nothing_of_another_one() {
    let mut scene = Scene::new(NEWEST).await;
    let mut listener = scene.open(None).await;
    let own = primed(&mut listener).await;
    let mut firsts = Vec::new();
    let mut calls = Vec::new();
    for id in 1..=3 {
        let mut call = scene.call(id, "step_and_wait", json!({})).await;
        firsts.push(primed(&mut call).await);
        calls.push(call);
        assert_eq!(scene.audience.hears().await, "waiting");
    }
    scene.server.tools().changed();
    assert_eq!(listener.fields().await.unwrap().message()["method"], TOOLS_CHANGED);
    drop((calls, listener));
    (0..3).for_each(|_| scene.audience.release());
    for (first, id) in firsts.iter().zip(1..) {
        let mut back = scene.open(Some(first)).await;
        primed(&mut back).await;
        let messages = rest(back).await;
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!((&messages[0]["params"]["progressToken"], &messages[1]["id"]), (&json!(id), &json!(id)));
    }
    let mut back = scene.open(Some(&own)).await;
    primed(&mut back).await;
    assert_eq!(back.fields().await.unwrap().message()["method"], TOOLS_CHANGED);
    scene.server.tools().changed();
    assert_eq!(back.fields().await.unwrap().message()["method"], TOOLS_CHANGED, "and nothing of the calls");
}

#[tokio::test]
async fn the_own_stream_of_a_session_loses_nothing_between_two_connections() {
    let scene = Scene::new(NEWEST).await;
    let mut first = scene.open(None).await;
    primed(&mut first).await;
    scene.server.tools().changed();
    let one = first.fields().await.unwrap();
    scene.server.tools().changed();
    let two = first.fields().await.unwrap();
    // It comes back before the server has noticed that it was gone, and has not seen the second one.
    let mut second = scene.open(Some(id(&one))).await;
    assert_eq!(first.fields().await, None, "the newer one takes over");
    assert_eq!(primed(&mut second).await, id(&one));
    assert_eq!(second.fields().await, Some(two.clone()));
    drop((first, second));
    // What comes while nobody listens waits.
    scene.server.tools().changed();
    let mut third = scene.open(Some(id(&two))).await;
    primed(&mut third).await;
    assert_eq!(third.fields().await.unwrap().message()["method"], TOOLS_CHANGED);
    // Who does not say where it stands begins with what is new.
    let mut fourth = scene.open(None).await;
    primed(&mut fourth).await;
    scene.server.tools().changed();
    let ids: Vec<_> = [&one, &two, &fourth.fields().await.unwrap()].map(|event| id(event).to_owned()).into();
    assert!(ids.iter().all(|id| id.split('-').next() == ids[0].split('-').next()), "one stream: {ids:?}");
    assert!(ids[2].ends_with("-4"), "one number an event: {ids:?}");
}

#[tokio::test]
async fn event_ids_of_others_and_what_is_none_are_refused_alike() {
    let mut scene = Scene::new(NEWEST).await;
    let mut call = scene.call(1, "step_and_wait", json!({})).await;
    let first = primed(&mut call).await;
    assert_eq!(scene.audience.hears().await, "waiting");
    let other = open_session_as(scene.address, NEWEST).await;
    let foreign = Request::new("GET", "")
        .in_session(&other)
        .with("Last-Event-ID", first.as_str())
        .exchange(scene.address)
        .await;
    let unknown = scene.refused("0123456789abcdef-0").await;
    assert_eq!((foreign.status, unknown.status), (400, 400));
    assert_eq!(foreign.body, unknown.body, "nobody learns whether it is somebody's");
    let ahead = scene.refused(&first.replace("-0", "-ff")).await;
    assert_eq!((ahead.status, &ahead.body), (400, &unknown.body));
    for nonsense in ["", "0", "-1", "../../etc", "0123456789ABCDEF-0"] {
        assert_eq!(scene.refused(nonsense).await.status, 400, "{nonsense:?}");
    }
    let twice = scene.get(Some(&first)).with("Last-Event-ID", first.as_str()).exchange(scene.address).await;
    assert_eq!(twice.status, 400);
    // None of them took the stream away from its reader.
    scene.audience.release();
    let messages = rest(call).await;
    assert_eq!(text(&messages[1]), "released", "{messages:?}");
}

#[tokio::test]
async fn who_does_not_come_back_gives_its_call_up() {
    let store = Arc::new(MemoryEventStore::default());
    let resumption = Resumption { keep: Duration::from_millis(30), ..Resumption::new(store.clone()) };
    let mut scene = Scene::with(NEWEST, resumption).await;
    let mut call = scene.call(1, "step_and_wait", json!({})).await;
    let first = primed(&mut call).await;
    call.fields().await.unwrap();
    assert_eq!(scene.audience.hears().await, "waiting");
    assert!(store.bytes() > 0);
    drop(call);
    assert_eq!(scene.audience.hears().await, "cancelled: Disconnected");
    assert_eq!(scene.refused(&first).await.status, 400);
    eventually("nothing is kept of it", || store.bytes() == 0).await;
}

#[tokio::test]
async fn the_end_of_a_session_is_the_end_of_its_streams() {
    let store = Arc::new(MemoryEventStore::default());
    let mut scene = Scene::with(NEWEST, Resumption::new(store.clone())).await;
    let mut away = scene.call(1, "step_and_wait", json!({})).await;
    let first = primed(&mut away).await;
    away.fields().await.unwrap();
    let mut here = scene.call(2, "step_and_wait", json!({})).await;
    primed(&mut here).await;
    here.fields().await.unwrap();
    drop(away);
    assert!(store.bytes() > 0);
    let deleted = Request::new("DELETE", "").in_session(&scene.session).exchange(scene.address).await;
    assert_eq!(deleted.status, 204);
    for _ in 0..2 {
        assert_eq!(scene.audience.hears().await, "waiting");
    }
    for _ in 0..2 {
        assert_eq!(scene.audience.hears().await, "cancelled: SessionClosed");
    }
    assert!(here.fields().await.unwrap().message()["error"].is_object(), "its reader is told");
    assert_eq!(here.fields().await, None);
    assert_eq!(scene.refused(&first).await.status, 404);
    eventually("nothing is kept of it", || store.bytes() == 0).await;
}

#[tokio::test]
async fn a_stuck_connection_does_not_keep_its_client_from_coming_back() {
    const SENT: u32 = 4_000;
    let mut scene = Scene::new(NEWEST).await;
    let mut stuck = scene.call(1, "flood", json!({ "n": SENT, "bytes": 8 << 10 })).await;
    let first = primed(&mut stuck).await;
    // More than all buffers on the way hold, so that the connection takes no more.
    assert_eq!(scene.audience.hears().await, "flooded");
    let mut back = scene.open(Some(&first)).await;
    primed(&mut back).await;
    let (mut last, mut number) = (0.0, 0);
    let answer = loop {
        let event = back.fields().await.expect("the answer comes before the end");
        let sequence =
            id(&event).split_once('-').map(|(_, number)| u64::from_str_radix(number, 16)).unwrap().unwrap();
        assert!(sequence > number, "in order");
        number = sequence;
        let Some(progress) = event.message()["params"]["progress"].as_f64() else { break event.message() };
        assert!(progress > last, "in order, none twice");
        last = progress;
    };
    assert_eq!((text(&answer), last), (&json!("done"), f64::from(SENT)));
    assert_eq!(back.fields().await, None);
}

#[tokio::test]
async fn one_stream_too_many_is_an_ordinary_one() {
    const MOST: u32 = 256;
    let mut scene = Scene::new(NEWEST).await;
    let mut calls = Vec::new();
    for id in 1..=MOST {
        let mut call = scene.call(id, "step_and_wait", json!({})).await;
        primed(&mut call).await;
        assert_eq!(scene.audience.hears().await, "waiting");
        calls.push(call);
    }
    let mut call = scene.call(MOST + 1, "step_and_wait", json!({})).await;
    let progress = call.fields().await.unwrap();
    assert_eq!(
        (progress.id.as_ref(), &progress.message()["method"]),
        (None, &json!("notifications/progress"))
    );
    assert_eq!(scene.audience.hears().await, "waiting");
    drop(call);
    assert_eq!(scene.audience.hears().await, "cancelled: Disconnected", "nobody could come back to it");
    // One that is over gives way.
    (0..MOST).for_each(|_| scene.audience.release());
    for call in calls {
        assert_eq!(text(&rest(call).await[1]), "released");
    }
    let mut call = scene.call(MOST + 2, "step_and_wait", json!({})).await;
    primed(&mut call).await;
}

/// A store that does as it is told.
#[derive(Debug, Default)]
struct Moody {
    events: MemoryEventStore,
    mood: AtomicU8,
}

const FAILS: u8 = 1;
const PANICS: u8 = 2;

impl Moody {
    fn check(&self) -> Result<(), EventStoreError> {
        match self.mood.load(Ordering::SeqCst) {
            FAILS => Err(EventStoreError::Unavailable),
            PANICS => panic!("as told"),
            _ => Ok(()),
        }
    }
}

impl EventStore for Moody {
    fn append(
        &self,
        stream: StreamKey,
        event: StoredEvent,
    ) -> BoxFuture<'static, Result<(), EventStoreError>> {
        match self.check() {
            Ok(()) => self.events.append(stream, event),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn replay(
        &self,
        stream: StreamKey,
        after: u64,
    ) -> BoxFuture<'static, Result<Vec<StoredEvent>, EventStoreError>> {
        match self.check() {
            Ok(()) => self.events.replay(stream, after),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn forget(&self, stream: StreamKey) -> BoxFuture<'static, ()> {
        self.events.forget(stream)
    }
}

#[tokio::test]
async fn a_store_that_fails_costs_ids_but_no_messages() {
    for mood in [FAILS, PANICS] {
        let store = Arc::new(Moody::default());
        let mut scene = Scene::with(NEWEST, Resumption::new(store.clone())).await;
        store.mood.store(mood, Ordering::SeqCst);
        let mut call = scene.call(1, "step_and_wait", json!({})).await;
        let first = primed(&mut call).await;
        let progress = call.fields().await.unwrap();
        assert_eq!(
            (progress.id.as_ref(), &progress.message()["method"]),
            (None, &json!("notifications/progress"))
        );
        assert_eq!(scene.audience.hears().await, "waiting");
        // Stored again, what comes next has an id again.
        store.mood.store(0, Ordering::SeqCst);
        scene.audience.release();
        let answer = call.fields().await.unwrap();
        assert!(answer.id.is_some() && answer.id.as_ref() != Some(&first));
        assert_eq!(text(&answer.message()), "released");
        assert_eq!(call.fields().await, None);
    }
}

/// Its client may not have got it, and would not notice: it may have been a question.
#[tokio::test]
async fn a_stream_whose_newest_event_could_not_be_stored_is_refused() {
    for mood in [FAILS, PANICS] {
        let store = Arc::new(Moody::default());
        let mut scene = Scene::with(NEWEST, Resumption::new(store.clone())).await;
        store.mood.store(mood, Ordering::SeqCst);
        let mut call = scene.call(1, "step_and_wait", json!({})).await;
        let first = primed(&mut call).await;
        assert_eq!(call.fields().await.unwrap().id, None);
        assert_eq!(scene.audience.hears().await, "waiting");
        let refused = scene.refused(&first).await;
        assert_eq!((refused.status, &refused.headers["retry-after"]), (503, &"1".parse().unwrap()), "{mood}");
        // The store is well again, but has not got what came meanwhile.
        store.mood.store(0, Ordering::SeqCst);
        assert_eq!(scene.refused(&first).await.status, 400, "{mood}");
        scene.audience.release();
    }
}

/// An end that is not kept cannot be told: better no stream than one without its answer.
#[tokio::test]
async fn a_stream_whose_answer_is_gone_is_refused() {
    let limits = EventLimits { events_per_session: 2, ..EventLimits::default() };
    let store = Arc::new(MemoryEventStore::new(limits));
    let mut scene = Scene::with(NEWEST, Resumption::new(store)).await;
    let mut firsts = Vec::new();
    for id in 1..=2 {
        let mut call = scene.call(id, "step_and_wait", json!({})).await;
        firsts.push(primed(&mut call).await);
        assert_eq!(scene.audience.hears().await, "waiting");
        scene.audience.release();
        assert_eq!(rest(call).await.len(), 2);
    }
    // There was room for one of them.
    assert_eq!(scene.refused(&firsts[0]).await.status, 400);
    let mut kept = scene.open(Some(&firsts[1])).await;
    primed(&mut kept).await;
    assert_eq!(rest(kept).await.len(), 2);
}
