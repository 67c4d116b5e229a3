//! Runs a program: clients, readers of streams and those who do something to sessions, each on a thread of their own.

use super::{
    World,
    books::{Books, Teller},
    plan::{Deed, Family, Fate, Plan, Sent},
    steps::{self, Params, give_way},
};
use crate::{
    AtCap, CloseReason, Dispatched, Engine, ErrorCode, Frame, Limits, Listener, Message, OutcomeKind,
    Request, RequestId, Response, Route, Session, SessionId, Step, models::runtime::ModelRuntime,
    session::sweep,
};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

/// Between the rests of handlers.
const DEADLINE: Duration = Duration::from_millis(2_000);
const GRACE: Duration = Duration::from_millis(1_000);

#[derive(Clone)]
struct Run {
    world: Arc<World>,
    books: Arc<Books>,
    engine: Engine<u64>,
    sessions: Arc<Mutex<Vec<Session<u64>>>>,
    family: Family,
    hurried: bool,
}

fn limits(plan: &Plan) -> Limits {
    Limits {
        running_per_session: plan.running,
        queued_per_session: plan.queued,
        nesting: 4,
        calls_per_call: 4,
        deadline: DEADLINE,
        cancel_grace: GRACE,
        questions_per_session: 2,
        question_timeout: Duration::from_millis(900),
        sessions: plan.cap,
        // Its looks are most of what happens while a program waits.
        session_ttl: Duration::from_secs(1_800),
        initialize_window: Duration::from_secs(1_800),
        ..Limits::default()
    }
}

/// Runs it, holds what came of it against what must hold, and returns the outcomes.
pub(super) fn run(plan: Plan) -> Vec<OutcomeKind> {
    let world = World::new();
    let outcomes = world.run(program(world.clone(), plan));
    drop(world);
    assert_eq!(freehold_sync::model::slots_in_use(), 0, "every activity has ended");
    outcomes
}

async fn program(world: Arc<World>, plan: Plan) -> Vec<OutcomeKind> {
    let books = Books::new(plan.scripts.clone());
    let run = start(world, &books, &plan);
    for requests in plan.clients {
        let client = run.clone();
        run.world.spawn("client", async move {
            for sent in requests {
                client.client(sent).await;
            }
        });
    }
    for deeds in plan.doers {
        let doer = run.clone();
        run.world.spawn("doer", async move {
            for deed in deeds {
                doer.does(deed).await;
            }
        });
    }
    run.ends().await;
    books.outcomes()
}

fn start(world: Arc<World>, books: &Arc<Books>, plan: &Plan) -> Run {
    let at_cap = if plan.evicts { AtCap::EvictIdlest } else { AtCap::Refuse };
    let engine = Engine::builder(0_u64)
        .runtime(Arc::new(ModelRuntime(world.clone())))
        .limits(limits(plan))
        .at_cap(at_cap)
        .app(books.clone())
        .observer(Teller(books.clone()))
        .method("run", steps::run)
        .build()
        .expect("it is complete");
    let run = Run {
        world,
        books: books.clone(),
        engine,
        sessions: Arc::default(),
        family: plan.family,
        hurried: plan.hurried,
    };
    for serial in &plan.sessions {
        run.open(*serial).expect("there is room");
    }
    run
}

impl Run {
    fn open(&self, serial: bool) -> Option<Session<u64>> {
        let session = self.engine.open_with(|session| {
            session.mark_initialized();
            if serial {
                session.make_serial();
                self.books.is_serial(session.id());
            }
        });
        let session = session.ok()?;
        let id = session.id();
        self.books.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session.clone());
        let (run, listener) = (self.clone(), session.listen());
        self.world.spawn("reader", async move { run.reads(listener).await });
        Some(session)
    }

    fn session(&self, index: usize) -> Session<u64> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)[index].clone()
    }

    fn all_sessions(&self) -> Vec<Session<u64>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads a session's stream until its end, and answers what it is asked.
    async fn reads(&self, mut listener: Listener<u64>) {
        while let Some(frame) = listener.next().await {
            self.read(listener.session(), &frame);
        }
    }

    /// Answers a question, twice if its number says so: both answers race.
    fn read(&self, session: &Session<u64>, frame: &Frame) {
        let Frame::Question(question) = frame else { return };
        let question: Value = serde_json::from_slice(question).expect("a question is JSON");
        let id = question["id"].as_i64().expect("its id is a number");
        if id % 3 == 1 {
            let (run, session) = (self.clone(), session.clone());
            self.world.spawn("second answer", async move { run.answers(&session, id) });
        }
        // Of some nobody takes notice.
        if id % 4 != 3 {
            self.answers(session, id);
        }
    }

    fn answers(&self, session: &Session<u64>, id: i64) {
        self.books.answers();
        let answer = serde_json::value::to_raw_value(&json!(1)).expect("a number is JSON");
        let response = Response { id: Some(id.into()), result: Ok(Cow::Owned(answer)) };
        let answered = self.engine.dispatch(session, Message::from(response), Route::Session);
        assert!(matches!(answered, Dispatched::Nothing), "nobody answers an answer");
    }

    async fn client(&self, sent: Sent) {
        give_way(sent.after).await;
        let session = self.session(sent.session);
        let id = RequestId::from(sent.id);
        let draining = self.engine.is_draining();
        let number = self.books.sends(session.id(), &id);
        let params: Params = (sent.script, Some(number), Vec::new());
        let request = Request::new(sent.id, "run", &params).expect("parameters are JSON");
        let route = if sent.to_session { Route::Session } else { Route::Call };
        let dispatched = self.engine.dispatch(&session, Message::from(request), route);
        self.books.dispatched(number);
        match (dispatched, sent.fate) {
            (Dispatched::Answer(answer), _) => self.refused(&answer, &id, draining),
            (Dispatched::Nothing, Fate::Cancels(after)) => {
                give_way(after).await;
                session.cancel(&id, None);
            }
            (Dispatched::Nothing, _) => {}
            (Dispatched::Running(handle), fate) => {
                if draining {
                    self.books.wrong(format!("{sent:?} was admitted after the drain began"));
                }
                self.awaits(session, handle, &id, fate).await;
            }
        }
    }

    fn refused(&self, answer: &Response<'_>, id: &RequestId, draining: bool) {
        let Err(error) = &answer.result else { panic!("no handler is run in the reader") };
        assert_eq!(answer.id.as_ref(), Some(id), "an answer to another request");
        let stopping = [ErrorCode::STOPPING, ErrorCode::SESSION_NOT_FOUND].contains(&error.code);
        let known = stopping || [ErrorCode::OVERLOADED, ErrorCode::INVALID_REQUEST].contains(&error.code);
        assert!(if draining { stopping } else { known }, "{error:?}");
    }

    /// Reads the call's own stream as its fate says.
    async fn awaits(
        &self,
        session: Session<u64>,
        mut handle: crate::CallHandle<u64>,
        id: &RequestId,
        fate: Fate,
    ) {
        if let Fate::Cancels(after) = fate {
            let (session, id) = (session.clone(), id.clone());
            self.world.spawn("cancel", async move {
                give_way(after).await;
                session.cancel(&id, Some("on purpose"));
            });
        }
        let mut patience = pin!(give_way(match fate {
            Fate::Leaves(after) => after,
            _ => 0,
        }));
        loop {
            let next = poll_fn(|cx| {
                if let Poll::Ready(step) = handle.poll_next(cx) {
                    return Poll::Ready(Some(step));
                }
                match fate {
                    Fate::Leaves(_) => patience.as_mut().poll(cx).map(|()| None),
                    _ => Poll::Pending,
                }
            });
            match next.await {
                Some(Step::Frame(frame)) => self.read(&session, &frame),
                Some(Step::End(Some(answer))) => {
                    assert_eq!(answer.id.as_ref(), Some(id), "an answer to another request");
                    return;
                }
                // Somebody cancelled a request with this id, or the client left.
                Some(Step::End(None)) | None => return,
                Some(Step::CloseStream) => panic!("no handler asks for it"),
            }
        }
    }

    async fn does(&self, deed: Deed) {
        match deed {
            Deed::Close(session) => {
                self.session(session).close(CloseReason::Server);
            }
            Deed::Open => {
                let draining = self.engine.is_draining();
                let opened = self.open(false);
                if draining && opened.is_some() {
                    self.books.wrong("a session was opened after the drain began".to_owned());
                }
            }
            Deed::LookUp(session) => {
                let id = self.session(session).id();
                let closed = self.books.is_closed(id);
                self.found(id, closed, self.engine.session(id).is_ok());
            }
            Deed::Resume(session) => {
                let id = self.session(session).id();
                let closed = self.books.is_closed(id);
                let resumed = self.engine.resume(id).await;
                self.found(id, closed, resumed.is_ok());
            }
            Deed::Update(session) => {
                let session = self.session(session);
                self.books.changes(session.id());
                let done = session.update(|state| *state += 1).await;
                self.books.changed(session.id(), done.is_ok());
            }
            Deed::Broadcast => {
                self.engine.broadcast("note", &0, |_| true).expect("a number is JSON");
            }
            Deed::Sweep => {
                sweep::evict_one(&self.engine.inner);
            }
            Deed::CallsEnded(session) => self.session(session).calls_ended().await,
            Deed::Drain(grace) => {
                let report = self.engine.drain(grace).await;
                assert!(report.cancelled <= report.running, "{report:?}");
                // Who asks second waits no longer than they said themselves.
                let ended = self.engine.drain_ended().now_or_never().is_some();
                let left = self.books.running_beside_drains();
                // Where time passes while there is work, a drain's time may be over before.
                if ended && !self.hurried && !left.is_empty() {
                    self.books.wrong(format!("after the drain there are {left:?}"));
                }
            }
            Deed::Hurry => self.world.hurry(),
            Deed::GiveWay => give_way(1).await,
        }
    }

    fn found(&self, id: SessionId, closed: bool, found: bool) {
        if closed && found {
            self.books.wrong(format!("{id} was found after its end"));
        }
    }

    /// Waits until all that is left is the engine's own, and checks everything.
    async fn ends(self) {
        self.world.quiet().await;
        let engine = &self.engine;
        assert_eq!((engine.call_count(), engine.calls().len()), (0, 0), "{:?}", engine.calls());
        let mut lives = Vec::new();
        for session in self.all_sessions() {
            let inner = &session.inner;
            assert_eq!(inner.slots.counts(), (0, 0), "slots, and places in the queue");
            assert_eq!((inner.calls.all().len(), inner.questions.len()), (0, 0), "calls and questions");
            session.calls_ended().await;
            assert!(inner.turns().is_none_or(|turns| turns.is_free()), "the gate is free");
            if session.closed().is_none() {
                lives.push((session.id(), *session.state()));
            }
        }
        assert!(engine.inner.drain.nobody_asks(), "nobody waits for a drain");
        self.books.check(&lives);
        if self.family == Family::Drains {
            assert_eq!(engine.session_count(), 0, "sessions after a drain");
        }
        for session in engine.sessions() {
            session.close(CloseReason::Server);
        }
        assert_eq!(engine.session_count(), 0, "sessions after all were closed");
        let (opened, closed) = self.books.sessions_told();
        assert_eq!(opened, closed, "sessions that were opened, and that were closed");
        let weak = Arc::downgrade(&engine.inner);
        let world = self.world.clone();
        drop(self);
        world.alone().await;
        assert_eq!(weak.strong_count(), 0, "nothing keeps the engine");
    }
}
