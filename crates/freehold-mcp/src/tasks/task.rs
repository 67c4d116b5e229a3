use super::{
    id::TaskId,
    limits::MESSAGE_CHARACTERS,
    messages::{Question, failure_in, read_question, related_message, related_result},
    waiting::Waiting,
    wire,
};
use crate::{lock_order, owner::Owner, protocol::method};
use freehold::{
    ErrorCode, ErrorObject, Frame, HandlerResult, Message, Response, Route, Session, State, runtime::Runtime,
};
use freehold_sync::{ScopedMutex, Signal};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::VecDeque,
    num::NonZeroU8,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::watch;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskStatus {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl TaskStatus {
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// One task. Handlers find that of their call as what is attached to it.
pub(crate) struct Task<S: State> {
    pub(super) id: TaskId,
    pub(super) serial: u64,
    pub(super) owner: Owner,
    /// Whose tasks it is one more of.
    pub(super) counts_as: Owner,
    pub(super) created: SystemTime,
    pub(super) started: Instant,
    pub(super) ttl: Duration,
    pub(super) poll_interval: Duration,
    pub(super) runtime: Arc<dyn Runtime>,
    state: ScopedMutex<TaskState<S>, lock_order::TaskState>,
    /// The client cancelled it.
    pub(super) cancelled: Signal,
    /// It is out of the table.
    pub(super) gone: Signal,
    changes: watch::Sender<()>,
}

struct TaskState<S: State> {
    /// Whether its client knows of it, or is about to.
    told: bool,
    /// Its call ends with questions that its client answers by another request.
    asks_in_a_round: bool,
    /// Never [`TaskStatus::InputRequired`], which is working with a question open.
    status: TaskStatus,
    message: Option<Arc<str>>,
    updated: SystemTime,
    outcome: Option<Arc<HandlerResult>>,
    /// Bytes that its result, and what it said before, take of those that all may take.
    kept: usize,
    /// That of its call, until it is terminal.
    session: Option<Session<S>>,
    /// Questions that were asked, some of which may be answered by now.
    inputs: Vec<Arc<Input>>,
    /// Messages for who reads next.
    waiting: Waiting,
    /// How many read them.
    readers: usize,
}

/// A question for the client.
pub(super) struct Input {
    question: Question,
    /// Never used twice in a task.
    pub(super) key: String,
}

impl Input {
    /// Its method and parameters.
    pub(super) fn request(&self) -> &RawValue {
        &self.question.request
    }
}

/// A task as it is at one moment.
pub(super) struct View {
    pub(super) status: TaskStatus,
    pub(super) message: Option<Arc<str>>,
    pub(super) updated: SystemTime,
    pub(super) inputs: Vec<Arc<Input>>,
    pub(super) outcome: Option<Arc<HandlerResult>>,
}

impl<S: State> Task<S> {
    /// A task that works, of a call in `session`.
    pub(super) fn new(
        session: &Session<S>,
        stateless: bool,
        serial: u64,
        ttl: Duration,
        poll_interval: Duration,
        told: bool,
    ) -> Self {
        let runtime = session.engine().runtime().clone();
        let created = now(&*runtime);
        let state = TaskState {
            told,
            asks_in_a_round: false,
            status: TaskStatus::Working,
            message: None,
            updated: created,
            outcome: None,
            kept: 0,
            session: Some(session.clone()),
            inputs: Vec::new(),
            waiting: Waiting::default(),
            readers: 0,
        };
        Self {
            id: TaskId::random(&*runtime),
            serial,
            owner: Owner::of(session, stateless),
            counts_as: Owner::counted(session, stateless),
            created,
            started: runtime.now(),
            ttl,
            poll_interval,
            state: ScopedMutex::of(state),
            cancelled: Signal::new(),
            gone: Signal::new(),
            changes: watch::Sender::new(()),
            runtime,
        }
    }

    /// Sees every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Changes it unless it is terminal; whether it did.
    fn change<R>(&self, change: impl FnOnce(&mut TaskState<S>) -> R) -> Option<R> {
        let now = now(&*self.runtime);
        // Outside of the section, so that what it brings is not dropped in there.
        let mut change = Some(change);
        let changed = self.state.with(|state| {
            if state.status.is_terminal() {
                return None;
            }
            state.updated = now.max(state.updated);
            change.take().map(|change| change(state))
        });
        if changed.is_some() {
            self.changes.send_replace(());
        }
        changed
    }

    pub(super) fn view(&self) -> View {
        self.forget_answered();
        self.state.with(|state| View {
            status: match state.status {
                TaskStatus::Working if !state.inputs.is_empty() => TaskStatus::InputRequired,
                status => status,
            },
            message: state.message.clone(),
            updated: state.updated,
            inputs: state.inputs.clone(),
            outcome: state.outcome.clone(),
        })
    }

    /// The outcome, once it is terminal.
    pub(super) fn outcome(&self) -> Option<Arc<HandlerResult>> {
        self.state.with(|state| state.outcome.clone())
    }

    /// Takes the questions out that are no longer open.
    fn forget_answered(&self) {
        let asked =
            self.state.with(|state| state.session.clone().map(|session| (session, state.inputs.clone())));
        let Some((session, inputs)) = asked else { return };
        let closed: Vec<_> = inputs.iter().filter(|input| !session.asks(&input.question.id)).collect();
        if !closed.is_empty() {
            let answered = |input: &Arc<Input>| closed.iter().any(|closed| Arc::ptr_eq(closed, input));
            self.change(|state| state.inputs.retain(|input| !answered(input)));
        }
    }

    /// Tells the client of it, which from now on has the task instead of an answer; unless that is a question.
    pub(super) fn tell(&self) {
        self.change(|state| state.told |= !state.asks_in_a_round);
    }

    /// Its request is about to be answered with questions, if its client does not have a task instead: whether that is so,
    /// from now on.
    pub(crate) fn ends_in_a_round(&self) -> bool {
        self.state.with(|state| {
            state.asks_in_a_round = !state.told;
            state.asks_in_a_round
        })
    }

    pub(super) fn is_told(&self) -> bool {
        self.state.with(|state| state.told)
    }

    /// What it is doing, for people.
    pub(crate) fn says(&self, message: &str) {
        let message = shortened(message);
        let before = self.change(|state| state.message.replace(message));
        drop(before);
    }

    /// Takes a message of its call.
    pub(super) fn receives(&self, frame: Frame) {
        if self.owner.is_stateless() && self.is_told() {
            // Its notifications are not part of the protocol; its questions are polled.
            if let Frame::Question(bytes) = &frame {
                self.is_asked(bytes);
            }
            return;
        }
        if !self.owner.is_stateless() {
            let asks = if let Frame::Question(bytes) = &frame { self.is_asked(bytes) } else { false };
            self.delivers(self.related(frame));
            if asks {
                self.tells_status();
            }
            return;
        }
        self.delivers(frame);
    }

    fn is_asked(&self, bytes: &[u8]) -> bool {
        let Some(question) = read_question(bytes) else { return false };
        let key = format!("input-{}", question.id);
        let input = Arc::new(Input { question, key });
        self.change(|state| state.inputs.push(input)).is_some()
    }

    fn related(&self, frame: Frame) -> Frame {
        match frame {
            Frame::Question(bytes) => Frame::Question(related_message(&bytes, self.id)),
            Frame::Notification(bytes) => Frame::Notification(related_message(&bytes, self.id)),
            answer => answer,
        }
    }

    /// Gives a message to who waits for the result, else to who reads the session's stream, else to who waits next; to nobody
    /// once it has ended.
    fn delivers(&self, frame: Frame) {
        let mut evicted = Vec::new();
        let elsewhere = self.state.with(|state| {
            if state.status.is_terminal() {
                evicted.push(frame);
                return None;
            }
            let session = state.session.as_ref().filter(|session| state.told && session.is_listened_to());
            if state.readers == 0
                && let Some(session) = session
            {
                return Some((session.clone(), frame));
            }
            evicted = state.waiting.push(frame);
            None
        });
        drop(evicted);
        match elsewhere {
            Some((session, frame)) => {
                session.forward(frame);
            }
            None => {
                self.changes.send_replace(());
            }
        }
    }

    /// Somebody reads its messages as long as what is returned lives.
    pub(super) fn read(self: &Arc<Self>) -> Reader<S> {
        self.state.with(|state| state.readers += 1);
        Reader(self.clone())
    }

    /// Notifies the client of its status, if it belongs to a session whose stream is read.
    fn tells_status(&self) {
        let session = self.state.with(|state| state.session.clone());
        if let Some(session) = session {
            self.tells_status_in(&session);
        }
    }

    fn tells_status_in(&self, session: &Session<S>) {
        if self.owner.is_stateless() || !session.is_listened_to() {
            return;
        }
        let view = self.view();
        if let Err(error) = session.notify(method::TASK_STATUS, &wire::fields(self, &view, None)) {
            tracing::warn!(%error, task = %self.id, "the status of a task has no JSON form");
        }
    }

    /// Takes an answer to one of its questions; whether that was open.
    pub(super) fn is_answered(&self, key: &str, answer: Box<RawValue>) -> bool {
        let found = self.state.with(|state| {
            let input = state.inputs.iter().find(|input| input.key == key)?;
            Some((state.session.clone()?, input.clone()))
        });
        let Some((session, input)) = found.filter(|(session, input)| session.asks(&input.question.id)) else {
            return false;
        };
        let response = Response { id: Some(input.question.id.clone()), result: Ok(Cow::Owned(answer)) };
        drop(session.engine().dispatch(&session, Message::Response(response), Route::Session));
        self.forget_answered();
        true
    }

    /// Its outcome, once decided, in the form of its era.
    pub(super) fn outcome_of(&self, response: Option<Response<'static>>) -> (TaskStatus, HandlerResult) {
        let Some(response) = response else { return cancelled("the task was cancelled") };
        match response.result.map(Cow::into_owned) {
            Ok(result) if self.owner.is_stateless() => (TaskStatus::Completed, Ok(result)),
            Ok(result) => {
                let failed = failure_in(&result).is_some();
                let status = if failed { TaskStatus::Failed } else { TaskStatus::Completed };
                (status, Ok(related_result(result, self.id)))
            }
            Err(error) if error.code == ErrorCode::CANCELLED => (TaskStatus::Cancelled, Err(error)),
            Err(error) => (TaskStatus::Failed, Err(error)),
        }
    }

    /// Bytes of what it has said and nobody has read. Its questions go: it is about to end.
    pub(super) fn last_words(&self) -> usize {
        let (moot, bytes) = self.state.with(|state| (state.waiting.take_questions(), state.waiting.bytes()));
        drop(moot);
        bytes
    }

    /// Decides its outcome, unless it is decided; whether this did.
    pub(super) fn settle(&self, (status, outcome): (TaskStatus, HandlerResult), kept: Reserved) -> bool {
        let message = match &outcome {
            Ok(result) => failure_in(result).map(|failure| shortened(&failure)),
            Err(error) => Some(shortened(&error.message)),
        };
        let settled = self.change(|state| {
            state.status = status;
            let before =
                if message.is_some() { std::mem::replace(&mut state.message, message) } else { None };
            state.outcome = Some(Arc::new(outcome));
            state.kept = kept.result + kept.messages;
            // Somebody who reads takes them at once.
            let dropped = state.readers == 0 && state.waiting.bytes() > kept.messages;
            let dropped = dropped.then(|| state.waiting.take());
            (before, dropped, std::mem::take(&mut state.inputs), state.session.take())
        });
        let Some((_, _, _, session)) = settled else { return false };
        if let Some(session) = session {
            self.tells_status_in(&session);
        }
        true
    }

    /// The client cancels it: the status it had, if that was terminal.
    pub(super) fn cancel(&self) -> Result<(), TaskStatus> {
        if !self.settle(cancelled("the task was cancelled by its client"), Reserved::NOTHING) {
            return Err(self.state.with(|state| state.status));
        }
        self.cancelled.set(NonZeroU8::MIN);
        Ok(())
    }

    /// It is out of the table: it ends if it has not, and its result is forgotten. How much that took.
    pub(super) fn leave(&self) -> usize {
        let over = cancelled("the task is over: its time to live, or its session, has ended");
        self.settle(over, Reserved::NOTHING);
        let kept = self.state.with(|state| std::mem::take(&mut state.kept));
        self.gone.set(NonZeroU8::MIN);
        kept
    }
}

/// What is reserved for an ended task, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Reserved {
    pub(super) result: usize,
    /// What it said; if that is more, it is dropped.
    pub(super) messages: usize,
}

impl Reserved {
    pub(super) const NOTHING: Self = Self { result: 0, messages: 0 };
}

/// The time of day.
fn now(runtime: &dyn Runtime) -> SystemTime {
    SystemTime::UNIX_EPOCH + runtime.unix_time()
}

fn cancelled(why: &'static str) -> (TaskStatus, HandlerResult) {
    (TaskStatus::Cancelled, Err(ErrorObject::new(ErrorCode::CANCELLED, why)))
}

fn shortened(message: &str) -> Arc<str> {
    match message.char_indices().nth(MESSAGE_CHARACTERS) {
        Some((end, _)) => format!("{}...", &message[..end]).into(),
        None => message.into(),
    }
}

/// Somebody who reads the messages of a task.
pub(super) struct Reader<S: State>(Arc<Task<S>>);

impl<S: State> Reader<S> {
    /// The messages of this moment.
    pub(super) fn take(&self) -> VecDeque<Frame> {
        self.0.state.with(|state| state.waiting.take())
    }
}

impl<S: State> Drop for Reader<S> {
    fn drop(&mut self) {
        let left = self.0.state.with(|state| {
            state.readers -= 1;
            if state.status.is_terminal() && state.readers == 0 {
                // For the one that has just left, and perhaps not counted.
                return Some((None, state.waiting.take()));
            }
            let session = state.session.as_ref().filter(|session| state.told && session.is_listened_to());
            let session = session.filter(|_| state.readers == 0)?.clone();
            Some((Some(session), state.waiting.take()))
        });
        if let Some((Some(session), frames)) = left {
            for frame in frames {
                session.forward(frame);
            }
        }
    }
}
