use serde_json::Value;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// How a request ended, as its client saw it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// By an answer.
    Answer(Value),
    /// Its stream or connection ended without one, and how.
    Ended(String),
    /// The client itself cut the request's connection.
    Cut,
}

/// What a client received, from however many streams.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// How often a request with this id was sent.
    sent: HashMap<String, usize>,
    /// These need no outcome: requests that the client cancelled, and streams.
    excused: HashSet<String>,
    /// Of these the head of the response has come.
    open: HashSet<String>,
    outcomes: HashMap<String, Vec<Outcome>>,
    /// Answers without an id.
    unaddressed: Vec<Value>,
    questions: VecDeque<Value>,
    notifications: Vec<Value>,
    /// Every message in the order of its arrival.
    messages: Vec<Value>,
    closed: Option<String>,
}

impl Default for Inbox {
    fn default() -> Self {
        let (changed, _) = watch::channel(());
        Self { state: Mutex::default(), changed }
    }
}

fn key(id: &Value) -> String {
    id.to_string()
}

impl Inbox {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let output = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        output
    }

    fn look<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn wait<R>(&self, look: impl Fn(&mut State) -> Option<R>) -> R {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = self.look(&look) {
                return found;
            }
            let _ = changed.changed().await;
        }
    }

    /// A request is about to be sent.
    pub fn sends(&self, id: &Value) {
        self.with(|state| {
            *state.sent.entry(key(id)).or_default() += 1;
            if let Some(how) = &state.closed {
                state.outcomes.entry(key(id)).or_default().push(Outcome::Ended(how.clone()));
            }
        });
    }

    /// The client says that it no longer wants an answer, or it opens a stream under this id.
    pub fn excuses(&self, id: &Value) {
        self.with(|state| state.excused.insert(key(id)));
    }

    /// A message arrived; whether it is an answer to a request.
    ///
    /// # Panics
    ///
    /// If it is no JSON-RPC message.
    pub fn take(&self, message: Value) -> bool {
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        self.with(|state| {
            state.messages.push(message.clone());
            let id = message.get("id").cloned();
            match (message.get("method").is_some(), id) {
                (true, Some(_)) => state.questions.push_back(message),
                (true, None) => state.notifications.push(message),
                (false, Some(Value::Null) | None) => state.unaddressed.push(message),
                (false, Some(id)) => {
                    state.outcomes.entry(key(&id)).or_default().push(Outcome::Answer(message));
                    return true;
                }
            }
            false
        })
    }

    /// The head of a response came.
    pub(crate) fn opens(&self, id: &Value) {
        self.with(|state| state.open.insert(key(id)));
    }

    /// Waits until the head of a response came.
    pub async fn opened(&self, id: &Value) {
        self.wait(|state| state.open.contains(&key(id)).then_some(())).await;
    }

    /// The stream of one request ended without an answer.
    pub fn ended(&self, id: &Value, outcome: Outcome) {
        self.with(|state| {
            let sent = state.sent.get(&key(id)).copied().unwrap_or_default();
            let outcomes = state.outcomes.entry(key(id)).or_default();
            if outcomes.len() < sent {
                outcomes.push(outcome);
            }
        });
    }

    /// The connection ended: an outcome of all that have none.
    pub fn close(&self, how: &str) {
        self.with(|state| {
            state.closed = Some(how.to_owned());
            for (id, sent) in &state.sent {
                let outcomes = state.outcomes.entry(id.clone()).or_default();
                let missing = sent.saturating_sub(outcomes.len());
                outcomes.extend(std::iter::repeat_n(Outcome::Ended(how.to_owned()), missing));
            }
        });
    }

    /// How the connection ended, if it did.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        self.look(|state| state.closed.clone())
    }

    /// Waits until the connection ended, and says how.
    pub async fn until_closed(&self) -> String {
        self.wait(|state| state.closed.clone()).await
    }

    /// Waits for the outcome of a request.
    pub async fn outcome(&self, id: &Value) -> Outcome {
        self.wait(|state| state.outcomes.get(&key(id)).and_then(|all| all.first().cloned())).await
    }

    /// The outcomes of a request so far.
    #[must_use]
    pub fn outcomes(&self, id: &Value) -> Vec<Outcome> {
        self.look(|state| state.outcomes.get(&key(id)).cloned().unwrap_or_default())
    }

    /// Waits for the next request from the server, and takes it.
    pub async fn question(&self) -> Value {
        self.wait(|state| state.questions.pop_front()).await
    }

    /// Waits until there were `count` answers without an id, and gives the last.
    pub async fn unaddressed(&self, count: usize) -> Value {
        self.wait(|state| (state.unaddressed.len() >= count).then(|| state.unaddressed.last().cloned()))
            .await
            .unwrap_or_default()
    }

    /// How many answers without an id there were.
    #[must_use]
    pub fn unaddressed_count(&self) -> usize {
        self.look(|state| state.unaddressed.len())
    }

    /// Waits for `count` notifications of `method`, and gives the last.
    pub async fn notification(&self, method: &str, count: usize) -> Value {
        self.wait(|state| {
            let mut of_it = state.notifications.iter().filter(|message| message["method"] == method);
            of_it.nth(count - 1).cloned()
        })
        .await
    }

    /// Waits until the latest notification is as wanted.
    pub async fn latest(&self, wanted: impl Fn(&Value) -> bool) {
        self.wait(|state| state.notifications.last().is_some_and(&wanted).then_some(())).await;
    }

    /// The notifications so far.
    #[must_use]
    pub fn notifications(&self) -> Vec<Value> {
        self.look(|state| state.notifications.clone())
    }

    /// Every message so far, in the order of arrival.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        self.look(|state| state.messages.clone())
    }

    /// Checks that every request had exactly one outcome, or none where the client cancelled it, and that nothing was
    /// answered that was not asked.
    ///
    /// # Panics
    ///
    /// If not.
    pub fn assert_one_outcome_each(&self) {
        self.look(|state| {
            for (id, sent) in &state.sent {
                let outcomes = state.outcomes.get(id).map_or(&[][..], Vec::as_slice);
                let enough = outcomes.len() == *sent || (state.excused.contains(id) && outcomes.is_empty());
                assert!(enough, "id {id} was sent {sent} times and had the outcomes {outcomes:?}");
            }
            let strays: Vec<_> = state.outcomes.keys().filter(|id| !state.sent.contains_key(*id)).collect();
            assert!(strays.is_empty(), "answers to what was not asked: {strays:?}");
        });
    }
}
