//! One round of a request: what was answered before, and what is asked now.

use super::{
    digest::{self, Digest, NoValue},
    end::End,
    fields::Fields,
    limits,
    options::{RequestStateKey, RequestStateOptions},
    seal::{self, Binding, NotOpened},
    state::{Answered, QuestionDigest, StateOfRequest},
    unanswered::Unanswered,
};
use crate::{
    ask::{AskError, Asked, Asker},
    context::RequestContext,
    http::Principal,
    lock_order,
    model::{Meta, RequestMeta, ServerMeta},
    tasks::Task,
};
use freehold::{
    Context, Engine, ErrorCode, ErrorObject, QuestionError, State,
    runtime::{BoxFuture, Runtime},
};
use freehold_sync::ScopedMutex;
use serde_json::{Value, value::RawValue};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

/// How a server carries requests on that ask. One a server.
pub(crate) struct Rounds {
    options: RequestStateOptions,
    /// Drawn when it is first needed, if none was given.
    own: OnceLock<[RequestStateKey; 1]>,
    pub(super) server_meta: Arc<ServerMeta>,
}

/// A request of a method that may ask.
pub(crate) struct Request<'a> {
    /// What it is about: the name of its tool or prompt, the URI of its resource.
    pub(crate) subject: Arc<str>,
    pub(crate) params: Option<&'a RawValue>,
    pub(crate) meta: &'a Meta<'a>,
    /// What it says of its client, if it is stateless.
    pub(crate) stateless: Option<RequestMeta>,
}

impl Rounds {
    pub(crate) fn new(options: RequestStateOptions, server_meta: Arc<ServerMeta>) -> Self {
        Self { options, own: OnceLock::new(), server_meta }
    }

    /// Makes the context of a request of `tools/call`, `prompts/get` or `resources/read`, and what its handler's future must
    /// be driven with. In a session that is nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_PARAMS`] for a `requestState` that is not to be trusted.
    pub(crate) fn begin<S: State>(
        self: &Arc<Self>,
        context: Context<S>,
        request: Request<'_>,
    ) -> Result<(RequestContext<S>, End), ErrorObject> {
        let Request { subject, params, meta, stateless } = request;
        let round = match &stateless {
            Some(client) => self.open(&context, params, client)?,
            None => None,
        };
        let of_round =
            round.as_ref().map(|round| (round.clone(), self.clone(), context.engine().runtime().clone()));
        let context = RequestContext::new(context, subject, meta.progress_token, stateless)
            .of_trace(meta.trace())
            .of_stateless(meta.is_of_stateless())
            .in_round(round);
        let task = of_round.is_some().then(|| context.attachment::<Task<S>>()).flatten();
        let may_ask = task.map(|task| Box::new(move || task.ends_in_a_round()) as Box<_>);
        let end = End::new(context.span(), of_round, may_ask);
        Ok((context, end))
    }

    fn open<S: State>(
        &self,
        context: &Context<S>,
        params: Option<&RawValue>,
        client: &RequestMeta,
    ) -> Result<Option<Arc<Round>>, ErrorObject> {
        let fields = Fields::of(params)?;
        // A client that can be asked nothing needs no round; but what it sends must not pass unverified.
        let (Some(params), true) = (params, client.capabilities.any() || fields.request_state.is_some())
        else {
            return Ok(None);
        };
        let method = Arc::<str>::from(context.method());
        let mut round = Round::new(method, params.to_owned(), principal_of(context));
        let state = match &fields.request_state {
            Some(sealed) => Some(self.unseal(&round, &context.engine(), sealed)?),
            None => None,
        };
        round.receive(state, fields.input_responses.unwrap_or_default());
        Ok(Some(Arc::new(round)))
    }

    fn keys(&self, runtime: &dyn Runtime) -> &[RequestStateKey] {
        if !self.options.keys.is_empty() {
            return &self.options.keys;
        }
        let draw = || {
            let mut secret = vec![0; limits::STATE_KEY_BYTES];
            runtime.fill_random(&mut secret);
            [RequestStateKey::new(secret).unwrap_or_else(|_| unreachable!())]
        };
        self.own.get_or_init(draw)
    }

    fn unseal<S: State>(
        &self,
        round: &Round,
        engine: &Engine<S>,
        sealed: &str,
    ) -> Result<StateOfRequest, ErrorObject> {
        let refused = |why: &'static str| ErrorObject::new(ErrorCode::INVALID_PARAMS, why);
        let runtime = &**engine.runtime();
        let binding = round.binding()?;
        let opened = if sealed.len() > self.options.most_bytes {
            Err(NotOpened::Foreign)
        } else {
            seal::open(self.keys(runtime), runtime.unix_time(), &binding, sealed)
        };
        let content = opened.map_err(|why| match why {
            NotOpened::Foreign => refused(
                "this requestState was not given for this request, or was changed; send the request without it",
            ),
            NotOpened::Expired => {
                refused("the time to answer has passed; send the request without requestState")
            }
        })?;
        serde_json::from_slice(&content).map_err(|error| {
            tracing::error!(%error, "a requestState of this server's own key cannot be read");
            refused("this requestState cannot be read here; send the request without it")
        })
    }

    /// The state of a request that is to be sent again, sealed.
    pub(super) fn seal(
        &self,
        runtime: &dyn Runtime,
        round: &Round,
        open: &OpenQuestions,
    ) -> Result<String, ErrorObject> {
        let binding = round.binding()?;
        let content = serde_json::to_vec(&round.state(open)).map_err(|error| {
            tracing::error!(%error, "the state of a request has no JSON form");
            ErrorObject::internal()
        })?;
        if seal::sealed_length(content.len()) > self.options.most_bytes {
            let most = self.options.most_bytes;
            let reason = format!(
                "the answers so far, and what is kept beside them, need more than the {most} bytes of a requestState"
            );
            return Err(ErrorObject::new(ErrorCode::QUESTION_FAILED, reason));
        }
        let expiry = runtime.unix_time().saturating_add(self.options.ttl);
        let Some(key) = self.keys(runtime).first() else { return Err(ErrorObject::internal()) };
        Ok(seal::seal(key, expiry, &binding, &content))
    }
}

/// Who asks, as far as the transport knows.
fn principal_of<S: State>(context: &Context<S>) -> Box<[u8]> {
    context.extension::<Principal>().map(Principal::identity).unwrap_or_default()
}

/// One round of one request.
pub(crate) struct Round {
    method: Arc<str>,
    params: Box<RawValue>,
    params_digest: OnceLock<Result<Digest, NoValue>>,
    principal: Box<[u8]>,
    /// Before this one.
    rounds: u32,
    answers: BTreeMap<String, Answer>,
    now: ScopedMutex<Now, lock_order::Round>,
}

/// An answer, and the question it was given to, if a state says so: a client may also answer what it has not been asked in
/// so many words.
struct Answer {
    to: Option<QuestionDigest>,
    answer: Box<RawValue>,
}

/// The questions that end a round.
pub(super) type OpenQuestions = Vec<(String, OpenQuestion)>;

#[derive(Clone)]
pub(super) struct OpenQuestion {
    digest: QuestionDigest,
    pub(super) method: &'static str,
    pub(super) params: Arc<Value>,
}

#[derive(Default)]
struct Now {
    /// The keys of this round, and the last number that each key or kind got.
    keys: HashSet<String>,
    numbers: HashMap<String, u32>,
    open: OpenQuestions,
    /// To which questions answers without a state were given.
    used: Vec<(String, QuestionDigest)>,
    kept: Option<Arc<RawValue>>,
}

impl Round {
    fn new(method: Arc<str>, params: Box<RawValue>, principal: Box<[u8]>) -> Self {
        Self {
            method,
            params,
            params_digest: OnceLock::new(),
            principal,
            rounds: 0,
            answers: BTreeMap::new(),
            now: ScopedMutex::of(Now::default()),
        }
    }

    /// Takes over what earlier rounds left, and the answers to the last one. Those that nobody asked for are left out.
    fn receive(&mut self, state: Option<StateOfRequest>, responses: BTreeMap<Cow<'_, str>, &RawValue>) {
        let Some(StateOfRequest { rounds, answers, open, kept }) = state else {
            let given =
                responses.into_iter().map(|(key, answer)| (key.into_owned(), Answer::unasked(answer)));
            self.answers = given.collect();
            return;
        };
        self.rounds = rounds;
        self.now = ScopedMutex::of(Now { kept: kept.map(Arc::from), ..Now::default() });
        self.answers = answers
            .into_iter()
            .map(|(key, Answered(to, answer))| (key, Answer { to: Some(to), answer }))
            .collect();
        for (key, answer) in responses {
            if let Some(to) = open.get(&*key) {
                let answer = Answer { to: Some(*to), answer: answer.to_owned() };
                self.answers.insert(key.into_owned(), answer);
            }
        }
    }

    /// # Errors
    ///
    /// [`ErrorCode::INVALID_PARAMS`] if the params cannot be told from others.
    fn binding(&self) -> Result<Binding<'_>, ErrorObject> {
        let params = *self.params_digest.get_or_init(|| digest::of_params(&self.params));
        let params = params.map_err(ErrorObject::invalid_params)?;
        Ok(Binding { method: &self.method, params, principal: &self.principal })
    }

    /// What the next round must know.
    fn state(&self, open: &OpenQuestions) -> StateOfRequest {
        let (used, kept) = self.now.with(|now| (std::mem::take(&mut now.used), now.kept.clone()));
        let used: HashMap<String, QuestionDigest> = used.into_iter().collect();
        let carried = self.answers.iter().filter_map(|(key, answer)| {
            let to = answer.to.or_else(|| used.get(key).copied())?;
            Some((key.clone(), Answered(to, answer.answer.clone())))
        });
        StateOfRequest {
            rounds: self.rounds + 1,
            answers: carried.collect(),
            open: open.iter().map(|(key, question)| (key.clone(), question.digest)).collect(),
            kept: kept.map(|kept| (*kept).to_owned()),
        }
    }

    /// The answer to a question, if there is one; else waits for ever, and the call ends with the question.
    async fn answer(self: Arc<Self>, key: String, asked: Asked) -> Result<Box<RawValue>, AskError> {
        let digest = QuestionDigest::from(digest::of_question(asked.method, &asked.params));
        if let Some(answer) = self.answers.get(&key)
            && answer.to.is_none_or(|to| to == digest)
        {
            if answer.to.is_none() {
                let used = (key, digest);
                self.now.with(|now| now.used.push(used));
            }
            return Ok(answer.answer.clone());
        }
        if self.rounds >= limits::ROUNDS {
            return Err(AskError::TooManyRounds { rounds: self.rounds });
        }
        let question = OpenQuestion { digest, method: asked.method, params: Arc::new(asked.params) };
        let entry = (key.clone(), question);
        let refused = self.now.with(|now| {
            if now.open.len() >= limits::OPEN_QUESTIONS {
                return Some(entry);
            }
            now.open.push(entry);
            None
        });
        if refused.is_some() {
            return Err(AskError::Question(QuestionError::NoRoom));
        }
        match Unanswered::new(self, key).await {}
    }

    /// Nobody wants the answer any more.
    pub(super) fn withdraw(&self, key: &str) {
        let withdrawn = self.now.with(|now| {
            let at = now.open.iter().position(|(open, _)| open == key)?;
            Some(now.open.remove(at))
        });
        drop(withdrawn);
    }

    /// The questions that the handler waits for.
    pub(super) fn open(&self) -> OpenQuestions {
        self.now.with(|now| now.open.clone())
    }

    pub(super) fn waits(&self) -> bool {
        self.now.with(|now| !now.open.is_empty())
    }

    /// Keeps a value for the rounds to come.
    pub(crate) fn keep(&self, value: Box<RawValue>) -> Result<(), AskError> {
        if value.get().len() > limits::KEPT_BYTES {
            let most = limits::KEPT_BYTES;
            return Err(AskError::Invalid(format!("more than {most} bytes are to be kept")));
        }
        let value = Arc::<RawValue>::from(value);
        let before = self.now.with(|now| now.kept.replace(value));
        drop(before);
        Ok(())
    }

    pub(crate) fn kept(&self) -> Option<Arc<RawValue>> {
        self.now.with(|now| now.kept.clone())
    }
}

impl Asker for Round {
    /// The handler's own, or one of its kind; with a number where that is needed to tell it from the others.
    fn next_key(&self, own: Option<&str>, kind: &'static str) -> Result<String, AskError> {
        if own.is_some_and(|own| own.len() > limits::KEY_BYTES || own.is_empty()) {
            let most = limits::KEY_BYTES;
            return Err(AskError::Invalid(format!("a key has 1 to {most} bytes")));
        }
        let base = own.unwrap_or(kind);
        Ok(self.now.with(|now| {
            let mut number = now.numbers.get(base).copied().unwrap_or(0);
            let key = loop {
                number += 1;
                let key =
                    if own.is_some() && number == 1 { base.to_owned() } else { format!("{base}-{number}") };
                if now.keys.insert(key.clone()) {
                    break key;
                }
            };
            now.numbers.insert(base.to_owned(), number);
            key
        }))
    }

    fn answer(
        self: Arc<Self>,
        key: String,
        asked: Asked,
    ) -> BoxFuture<'static, Result<Box<RawValue>, AskError>> {
        Box::pin(Self::answer(self, key, asked))
    }
}

impl Answer {
    fn unasked(answer: &RawValue) -> Self {
        Self { to: None, answer: answer.to_owned() }
    }
}
