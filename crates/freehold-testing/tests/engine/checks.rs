//! Runs a program, and holds what came of it against what must hold whatever happens.

use crate::{
    program::{Fate, Plan, Reader, Sent},
    record::Record,
    slow_store::SlowStore,
    world::{PERMITS, World, obeys, pair, wander},
};
use freehold::{
    CloseReason, Dispatched, Engine, ErrorCode, Frame, Limits, Listener, MemoryStore, Message, MethodOptions,
    OutcomeKind, Request, RequestId, Response, Route, Session, SessionId, Stage, Step,
    cluster::{FaultyStore, Injections},
    runtime::{Runtime, until},
    sync::{Action, Deadlock},
};
use freehold_testing::{Finding, Simulation};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

/// Far from what a calm program takes, and so short that the others come to it.
const DEADLINE: Duration = Duration::from_secs(20);
/// Beyond which no progress carries a call.
const CAP: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_millis(200);
const QUESTIONS: Duration = Duration::from_secs(3);
const DRAIN: Duration = Duration::from_millis(50);
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
/// Time goes in milliseconds.
const MARGIN: Duration = Duration::from_millis(20);
/// Steps of tasks in five seconds in which nobody does anything: sweeps of sessions.
const IDLE_STEPS: u64 = 30;

fn limits() -> Limits {
    Limits {
        running_per_session: 4,
        queued_per_session: 6,
        nesting: 4,
        deadline: DEADLINE,
        deadline_cap: CAP,
        cancel_grace: GRACE,
        stream_messages: 8,
        questions_per_session: 3,
        question_timeout: Duration::from_secs(2),
        question_total: QUESTIONS,
        session_ttl: TIME_TO_LIVE,
        ..Limits::default()
    }
}

/// One run under way.
#[derive(Clone)]
struct Run {
    sim: Simulation,
    engine: Engine<u64>,
    world: Arc<World>,
    record: Record,
    sessions: Arc<[Session<u64>]>,
}

/// What a client of a request saw.
enum Saw {
    Answer(Response<'static>),
    /// It was cancelled by its client, who gets no answer, or its client went away.
    Nothing,
}

fn start(sim: &Simulation, plan: &Plan) -> Run {
    let (world, record) = (World::new(plan.calm), Record::default());
    let failures = Injections::default();
    failures.add(plan.store.iter().copied());
    let builder = Engine::builder(0_u64)
        .app(world.clone())
        .limits(limits())
        .observer(record.clone())
        .store(Arc::new(SlowStore::new(sim, plan, FaultyStore::new(MemoryStore::default(), &failures))))
        .method("wander", wander)
        .method_with("pair", MethodOptions::new().idempotent(true), pair)
        .method("obeys", obeys)
        .control("ping", |_, _| Ok(json!({})));
    let engine = sim.engine(builder);
    let open = |serial: bool| {
        let prepare = |session: &Session<u64>| {
            session.mark_initialized();
            if serial {
                session.make_serial();
            }
        };
        engine.open_with(prepare).expect("there is room")
    };
    let sessions: Arc<[_]> = plan.sessions.iter().map(|(serial, _)| open(*serial)).collect();
    world.sessions.set(sessions.iter().map(Session::id).collect()).expect("set once");
    Run { sim: sim.clone(), engine, world, record, sessions }
}

pub(crate) async fn run(sim: &Simulation, plan: &Plan) {
    let run = start(sim, plan);
    for (session, (_, reader)) in run.sessions.iter().zip(&plan.sessions) {
        if *reader != Reader::Absent {
            sim.spawn("reader", read(run.clone(), session.listen(), *reader));
        }
    }
    for (index, at) in plan.closes.clone() {
        let run = run.clone();
        sim.spawn("closer", async move { run.close(index, at).await });
    }
    let drain = plan.drains.map(|at| {
        let run = run.clone();
        sim.spawn("drainer", async move {
            run.sim.pause(at).await;
            let begun = run.sim.elapsed();
            let report = run.engine.drain(DRAIN).await;
            let took = run.sim.elapsed() - begun;
            assert!(took <= DRAIN + 2 * GRACE + MARGIN, "a drain has an end: {took:?}, {report:?}");
            report
        })
    });
    let clients = plan.requests.iter().cloned().map(|sent| {
        let (run, reader) = (run.clone(), plan.sessions[sent.session].1);
        let client = sim.spawn("client", client(run, sent.clone(), reader));
        (sent, client)
    });
    let clients: Vec<_> = clients.collect();
    let mut seen = Vec::new();
    for (sent, client) in clients {
        let saw = client.await.unwrap_or_else(|| panic!("the client of {sent:?} panicked"));
        seen.push((sent, saw));
    }
    if let Some(drain) = drain {
        let report = drain.await.expect("a drain ends");
        assert!(run.engine.is_draining() && report.cancelled <= report.running, "{report:?}");
    }
    run.nothing_is_left().await;
    run.each_has_one_outcome(&seen);
    run.nothing_takes_longer_than_it_may(plan);
    run.who_is_told_of_a_deadlock_was_in_one(&seen);
    run.states_are_what_was_said();
    run.it_goes_on().await;
    run.nothing_spins().await;
    run.all_close(plan).await;
}

impl Run {
    fn runtime(&self) -> &dyn Runtime {
        &**self.engine.runtime()
    }

    /// A session is closed; what runs in it is told, and gone after its grace.
    async fn close(&self, index: usize, at: Duration) {
        self.sim.pause(at).await;
        let session = &self.sessions[index];
        session.close(CloseReason::Server);
        self.sim.pause(GRACE + MARGIN).await;
        let gauges = session.gauges();
        assert_eq!((gauges.running, gauges.in_flight, gauges.questions), (0, 0, 0), "of a closed session");
    }

    /// Handlers that were cancelled have their grace; then no call, slot, permit, question or lock is left (of the locks the
    /// kit sees to it).
    async fn nothing_is_left(&self) {
        self.sim.pause(GRACE + MARGIN).await;
        assert_eq!(
            (self.engine.call_count(), self.engine.calls().len()),
            (0, 0),
            "{:?}",
            self.engine.calls()
        );
        for session in &*self.sessions {
            let gauges = session.gauges();
            assert_eq!((gauges.running, gauges.in_flight, gauges.questions), (0, 0, 0));
        }
        assert_eq!(self.world.permits.available(), PERMITS);
        assert!(self.world.mutexes.iter().all(|mutex| mutex.try_lock().is_some()), "nothing stays locked");
    }

    /// One end for each request, and the answer is that of the request.
    fn each_has_one_outcome(&self, seen: &[(Sent, Saw)]) {
        let mut sent: BTreeMap<(SessionId, String), usize> = BTreeMap::new();
        for (request, saw) in seen {
            let id = RequestId::from(request.id);
            *sent.entry((self.sessions[request.session].id(), id.to_string())).or_default() += 1;
            match saw {
                Saw::Answer(answer) => assert_eq!(answer.id, Some(id), "an answer to another request"),
                Saw::Nothing => assert_ne!(request.fate, Fate::Waits, "no answer to {request:?}"),
            }
        }
        assert_eq!(self.record.ends(), sent, "the ends of requests, and what was sent");
    }

    /// What is calm ends for its own reasons; everything else within the cap and the time of its questions.
    fn nothing_takes_longer_than_it_may(&self, plan: &Plan) {
        for ended in self.record.all() {
            assert!(ended.took <= CAP + QUESTIONS + MARGIN, "{ended:?}");
            if ended.method == "ping" {
                assert!(
                    ended.took <= MARGIN && ended.stage == Stage::Arrival,
                    "a ping waits for nobody: {ended:?}"
                );
            }
            if plan.calm {
                assert_ne!(ended.outcome, OutcomeKind::DeadlineExceeded, "{ended:?}, at {:?}", ended.stage);
                assert!(
                    ended.took < DEADLINE / 10,
                    "{} waited for nobody knows what: {ended:?}",
                    ended.method
                );
            }
        }
    }

    /// Each deadlock has a culprit with a name. Who is told of one was in one, or called who was.
    fn who_is_told_of_a_deadlock_was_in_one(&self, seen: &[(Sent, Saw)]) {
        let mut proven = 0;
        for finding in self.sim.findings() {
            if let Finding::Deadlock(report) = finding {
                has_a_culprit(&report);
                proven += 1;
            }
        }
        let told = |(_, saw): &&(Sent, Saw)| match saw {
            Saw::Answer(Response { result: Err(error), .. }) => error.code == ErrorCode::DEADLOCK,
            _ => false,
        };
        let told = seen.iter().filter(told).count();
        assert!(told <= proven, "{told} were told of a deadlock, and there were {proven}");
    }

    /// Each change that was said to be made was made once; none was made that was said to have failed.
    fn states_are_what_was_said(&self) {
        for session in self.sessions.iter().filter(|session| session.closed().is_none()) {
            let (changes, state) = (self.world.changes_of(session.id()), *session.state());
            assert!(state >= changes.done && state <= changes.possible, "{state} of {changes:?}");
        }
    }

    /// Those sessions that live answer, and so does a new one.
    async fn it_goes_on(&self) {
        let canary = Sent {
            at: Duration::ZERO,
            session: 0,
            id: 1_000,
            method: "pair",
            params: json!([0, 1]),
            fate: Fate::Waits,
        };
        let new = self.engine.open();
        assert_eq!(new.is_ok(), !self.engine.is_draining());
        let living = self.sessions.iter().filter(|session| session.closed().is_none());
        for session in living.cloned().chain(new) {
            for method in ["ping", "pair"] {
                let sent = Sent { method, ..canary.clone() };
                match ask(self.clone(), session.clone(), sent, Reader::Absent).await {
                    Saw::Answer(Response { result: Ok(_), .. }) => {}
                    Saw::Answer(answer) => panic!("the canary: {answer:?}"),
                    Saw::Nothing => panic!("the canary has no answer"),
                }
            }
        }
    }

    /// While nobody wants anything, nobody works.
    async fn nothing_spins(&self) {
        let before = self.sim.steps();
        self.sim.pause(Duration::from_secs(5)).await;
        let steps = self.sim.steps() - before;
        assert!(steps < IDLE_STEPS, "{steps} steps in five idle seconds");
    }

    /// Sessions that nobody uses end by themselves, the others when they are closed.
    async fn all_close(&self, plan: &Plan) {
        self.sim.pause(2 * TIME_TO_LIVE).await;
        let is_read = |(session, (_, reader)): &(&Session<u64>, &(bool, Reader))| {
            *reader != Reader::Absent && session.closed().is_none()
        };
        let read = self.sessions.iter().zip(&plan.sessions).filter(is_read).count();
        assert_eq!(self.engine.session_count(), read, "only sessions that are read live on");
        for session in self.engine.sessions() {
            session.close(CloseReason::Server);
        }
        self.sim.pause(MARGIN).await;
        assert_eq!(self.engine.session_count(), 0);
        let counters = self.engine.counters();
        assert_eq!(counters.sessions_opened, counters.sessions_closed);
    }
}

/// What it shows is a ring, or who waits for one, and one of its members was ended for it.
fn has_a_culprit(report: &Deadlock) {
    assert!(!report.edges.is_empty(), "{report}");
    for edge in &report.edges {
        assert!(!edge.waiter.name.is_empty() && !edge.lock.class.is_empty(), "{report}");
    }
    match report.action {
        Action::Victim(edge) | Action::Reordered(edge) => assert!(edge < report.edges.len(), "{report}"),
        Action::EndedHolder => {}
        _ => panic!("nothing was done about it: {report}"),
    }
}

/// Reads a session's stream, and answers what it is asked.
async fn read(run: Run, mut listener: Listener<u64>, reader: Reader) {
    while let Some(frame) = listener.next().await {
        if let Reader::Slow(after) = reader {
            run.sim.pause(after).await;
        }
        answer(&run, listener.session(), &frame, reader).await;
    }
}

async fn answer(run: &Run, session: &Session<u64>, frame: &Frame, reader: Reader) {
    if let (Frame::Question(_), Reader::Answers(after)) = (frame, reader) {
        run.sim.pause(after).await;
        let question: Value = serde_json::from_slice(frame.bytes()).expect("a question is JSON");
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": 1 }).to_string();
        assert_eq!(run.engine.process_bytes(session, answer.as_bytes()).await, None);
    }
}

async fn client(run: Run, sent: Sent, reader: Reader) -> Saw {
    run.sim.pause(sent.at).await;
    let session = run.sessions[sent.session].clone();
    ask(run, session, sent, reader).await
}

/// Sends a request, and does what its fate is.
async fn ask(run: Run, session: Session<u64>, sent: Sent, reader: Reader) -> Saw {
    let request = Request::new(sent.id, sent.method, &sent.params).expect("parameters are JSON");
    let mut handle = match run.engine.dispatch(&session, Message::from(request), Route::Call) {
        Dispatched::Running(handle) => handle,
        Dispatched::Answer(answer) => return Saw::Answer(answer),
        Dispatched::Nothing => return Saw::Nothing,
    };
    let mut reading = pin!(async {
        loop {
            match handle.next().await {
                Step::Frame(frame) => answer(&run, &session, &frame, reader).await,
                Step::End(Some(answer)) => return Saw::Answer(answer),
                Step::End(None) => return Saw::Nothing,
                _ => {}
            }
        }
    });
    match sent.fate {
        Fate::Waits => reading.await,
        Fate::Cancels(after) => {
            if let Some(saw) = before(&run, after, reading.as_mut()).await {
                return saw;
            }
            session.cancel(&sent.id.into(), Some("on purpose"));
            reading.await
        }
        Fate::Leaves(after) => before(&run, after, reading).await.unwrap_or(Saw::Nothing),
    }
}

/// What `reading` comes to within that time.
async fn before<T>(run: &Run, time: Duration, reading: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    until(run.runtime(), run.runtime().now() + time, reading).await
}
