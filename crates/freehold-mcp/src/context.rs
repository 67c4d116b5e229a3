//! What the handler of a request gets: the engine's context, and what the protocol adds for every kind of request.

use crate::{
    ask::{
        AskError, Asked, Asker, Capability, CreateMessage, CreateMessageResult, Elicited, Form, ListRoots,
        Question, Respondent, Root, Together, UrlElicitation, UrlElicitationRequired,
    },
    lock_order,
    model::{LogLevel, RequestMeta, TraceContext},
    mrtr::Round,
    peer::Peer,
    protocol::{SESSION_VERSIONS, STATELESS_VERSIONS, method},
    tasks::Task,
    tools::ToolError,
};
use freehold::{Context, State};
use freehold_sync::ScopedMutex;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use std::{fmt, future::Future, ops::Deref, sync::Arc};
use tracing::Span;

/// The context of one request: everything of the engine's [`Context`], and what the protocol adds.
pub struct RequestContext<S: State = ()> {
    call: Context<S>,
    subject: Arc<str>,
    progress: Option<Progress>,
    /// What a stateless request says of its client; in a session, the session knows.
    stateless: Option<RequestMeta>,
    trace: Option<Box<TraceContext>>,
    /// A handler of a stateless request made this call, or one that made it.
    of_stateless: bool,
    /// By which way its questions go where they are no requests of the server's own.
    asker: Option<Arc<dyn Asker>>,
    /// Of a stateless request that may be sent again.
    round: Option<Arc<Round>>,
}

struct Progress {
    token: Box<RawValue>,
    /// The protocol wants each figure to be larger than the one before.
    last: ScopedMutex<f64, lock_order::LastProgress>,
}

impl<S: State> RequestContext<S> {
    pub(crate) fn new(
        call: Context<S>,
        subject: Arc<str>,
        token: Option<&RawValue>,
        stateless: Option<RequestMeta>,
    ) -> Self {
        let progress = token
            .filter(|token| is_token(token))
            .map(|token| Progress { token: token.to_owned(), last: ScopedMutex::of(f64::NEG_INFINITY) });
        Self {
            call,
            subject,
            progress,
            stateless,
            trace: None,
            of_stateless: false,
            asker: None,
            round: None,
        }
    }

    pub(crate) fn of_trace(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace.map(Box::new);
        self
    }

    pub(crate) fn of_stateless(mut self, of_stateless: bool) -> Self {
        self.of_stateless = of_stateless;
        self
    }

    /// Whether nobody can be asked by a call that is made here in the same session.
    pub(crate) fn is_of_stateless(&self) -> bool {
        self.is_stateless() || self.of_stateless
    }

    /// Questions end the round.
    pub(crate) fn in_round(mut self, round: Option<Arc<Round>>) -> Self {
        self.asker = round.clone().map(|round| round as Arc<dyn Asker>);
        self.round = round;
        self
    }

    /// The span that its handler runs in; none unless the request belongs to a trace.
    pub(crate) fn span(&self) -> Span {
        let Some(trace) = &self.trace else { return Span::none() };
        tracing::info_span!(
            "mcp.request",
            mcp.method.name = self.method(),
            subject = self.subject(),
            trace_id = trace.trace_id(),
            parent_span_id = trace.parent_id(),
            sampled = trace.is_sampled(),
        )
    }

    /// The trace that the request belongs to, if its `_meta` says so. It is in the request's tracing span, and calls of other
    /// tools get it, too; into requests to other servers it has to be put by hand.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// What the request is about: the name of its tool or prompt, the URI of its resource.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether the request is of a stateless revision.
    #[must_use]
    pub fn is_stateless(&self) -> bool {
        self.stateless.is_some()
    }

    fn respondent(&self) -> Respondent {
        match &self.stateless {
            Some(meta) => Respondent {
                version: STATELESS_VERSIONS[0],
                capabilities: meta.capabilities,
                stateless: true,
            },
            None => match Peer::of(self.session()) {
                Some(peer) => {
                    Respondent { version: peer.version, capabilities: peer.capabilities, stateless: false }
                }
                None => Respondent {
                    version: SESSION_VERSIONS[0],
                    capabilities: Default::default(),
                    stateless: false,
                },
            },
        }
    }

    /// Whether the client declared that it can do this.
    #[must_use]
    pub fn client_can(&self, capability: Capability) -> bool {
        self.respondent().capabilities.have(capability)
    }

    /// Reports progress: tells the client, if it asked to be told, and begins the call's timeout anew (up to the cap).
    /// Figures that do not grow are not told. Never waits.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        self.made_progress();
        if let (Some(message), Some(task)) = (message, self.attachment::<Task<S>>()) {
            task.says(message);
        }
        let Some(Progress { token, last }) = &self.progress else { return };
        let grows = last.with(|last| {
            let grows = progress > *last;
            *last = last.max(progress);
            grows
        });
        if !grows {
            return;
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            progress_token: &'a RawValue,
            progress: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let params = Params { progress_token: token, progress, total, message };
        if let Err(error) = self.notify(method::PROGRESS, &params) {
            tracing::warn!(%error, subject = self.subject(), "progress has no JSON form");
        }
    }

    /// Sends a log message to the client, if it wants messages of this level. Never waits.
    pub fn log(&self, level: LogLevel, data: &impl Serialize) {
        let wanted = match &self.stateless {
            Some(meta) => meta.log_level,
            None => Peer::of(self.session()).map(Peer::log_level),
        };
        if wanted.is_none_or(|wanted| level < wanted) {
            return;
        }
        #[derive(Serialize)]
        struct Params<'a, D> {
            level: LogLevel,
            logger: &'a str,
            data: &'a D,
        }
        let params = Params { level, logger: self.subject(), data };
        if let Err(error) = self.notify(method::LOG_MESSAGE, &params) {
            tracing::warn!(%error, subject = self.subject(), "a log message has no JSON form");
        }
    }

    /// Asks the client. What there is to ask: [`CreateMessage`], [`Form`], [`UrlElicitation`], [`ListRoots`], and
    /// [`RawQuestion`](crate::RawQuestion).
    ///
    /// In a session, this sends the question and waits for the answer; see [`Context::ask`] for how long.
    ///
    /// In a stateless request, which cannot be asked back, the answer is there at once if the client has sent it along. If
    /// not, the request ends with a result of type `input_required`, and **the handler is dropped where it waits**, as
    /// soon as all of it waits, with whatever it holds. The client gathers the answers and sends the request again; the
    /// handler runs again from its start, and gets them here. So:
    ///
    /// * What a handler does before a question happens once in each round. Ask first, and act afterwards; what is dear to
    ///   compute again can be [kept](Self::keep).
    /// * Questions are told apart by the order in which they are asked, or by [their key](Question::keyed). One that is not
    ///   the same as in the round before (but for a URL) is asked again.
    /// * Several that are asked [at once](Self::ask_all), also by `join!`, are one round.
    /// * A tool that it calls in its own session cannot ask: ask first, and pass the answer on as an argument.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its answer, the question is forgotten.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{Field, Form, ToolContext, ToolError};
    ///
    /// async fn delete(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    ///     let form = Form::new("Delete everything?").field("sure", Field::boolean().default(false));
    ///     let answer = ctx.ask(form).await?.into_accepted()?;
    ///     Ok(if answer["sure"] == true { "Gone." } else { "Kept." })
    /// }
    /// ```
    pub fn ask<'a, Q: Question + 'a>(
        &'a self,
        question: Q,
    ) -> impl Future<Output = Result<Q::Answer, AskError>> + Send + 'a {
        // Here, so that keys do not depend on who is polled first.
        let prepared = self.prepare(&question);
        async move {
            let answer = match prepared? {
                (asked, Some((asker, key))) => asker.answer(key, asked).await?,
                (asked, None) => self.call.ask::<Box<RawValue>>(asked.method, &asked.params).await?,
            };
            question.read(&answer)
        }
    }

    /// Asks several questions at once: a tuple of up to four, or a `Vec` of one kind. The client is asked all of them
    /// before any is answered, and in a stateless request they are one round.
    ///
    /// # Errors
    ///
    /// [`AskError`] of the first one that fails; the answers to the others are lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{CreateMessage, ListRoots, Question, ToolContext, ToolError};
    ///
    /// async fn look(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    ///     let title = CreateMessage::new(10).user("A title, please.").keyed("title");
    ///     let (title, roots) = ctx.ask_all((title, ListRoots)).await?;
    ///     Ok(format!("{}: {} roots", title.text(), roots.len()))
    /// }
    /// ```
    pub async fn ask_all<T: Together>(&self, questions: T) -> Result<T::Answers, AskError> {
        questions.ask(self).await
    }

    #[expect(clippy::type_complexity, reason = "read in one place, right above")]
    fn prepare<Q: Question>(
        &self,
        question: &Q,
    ) -> Result<(Asked, Option<(Arc<dyn Asker>, String)>), AskError> {
        if self.of_stateless {
            return Err(AskError::InNestedCall);
        }
        let asked = question.asked(&self.respondent())?;
        // Its client polls for questions.
        if self.is_task() {
            return Ok((asked, None));
        }
        let Some(asker) = &self.asker else {
            return if self.is_stateless() { Err(AskError::NotHere) } else { Ok((asked, None)) };
        };
        let key = asker.next_key(question.own_key(), asked.kind)?;
        Ok((asked, Some((asker.clone(), key))))
    }

    /// Asks the client's model for a message (`sampling/createMessage`). As [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn sample(&self, question: CreateMessage) -> Result<CreateMessageResult, AskError> {
        self.ask(question).await
    }

    /// Asks the client's person to fill in the [form of a type](Form::of) (`elicitation/create`). As [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// [`AskError`]; [`AskError::Invalid`] if the type is none that a form can ask for.
    pub async fn elicit<T: DeserializeOwned + JsonSchema + Send>(
        &self,
        message: &str,
    ) -> Result<Elicited<T>, AskError> {
        let form = Form::of(message).map_err(|unfit| AskError::Invalid(unfit.to_string()))?;
        self.ask(form).await
    }

    /// Asks the client for its roots (`roots/list`). As [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn list_roots(&self) -> Result<Vec<Root>, AskError> {
        self.ask(ListRoots).await
    }

    /// Nothing can be done until the client's person has done something at a URL, and the handler has looked and they have
    /// not. Gives the error to return.
    ///
    /// Where the protocol has an error for it (2025-11-25), it gives that at once: the client goes there and sends its
    /// request again. In a stateless request it asks as often as it is run, and so gives an error only if the person
    /// does not want to. Elsewhere the error names the URL for the model to read.
    ///
    /// # Cancel safety
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{ToolContext, ToolError, UrlElicitation};
    ///
    /// # fn is_connected() -> bool { true }
    /// async fn files(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
    ///     if !is_connected() {
    ///         let connect = UrlElicitation::new("https://example.com/connect", "Connect first.", "connect-1");
    ///         return Err(ctx.require_url(connect).await.into());
    ///     }
    ///     Ok("a.txt")
    /// }
    /// ```
    pub async fn require_url(&self, elicitation: UrlElicitation) -> AskError {
        let respondent = self.respondent();
        if !respondent.stateless {
            return AskError::UrlRequired(UrlElicitationRequired::new(&elicitation, &respondent));
        }
        // They agreed in an earlier round, and yet it is not done: they are asked again, under the next key, until this
        // round has a question of its own.
        loop {
            match self.ask(elicitation.clone()).await {
                Ok(answer) => {
                    if let Err(refused) = answer.into_accepted() {
                        return AskError::NotAccepted(refused);
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Asks the client of a session whether it is there.
    ///
    /// # Errors
    ///
    /// [`AskError`]; [`AskError::NotInRevision`] in a stateless request.
    pub async fn ping(&self) -> Result<(), AskError> {
        if self.is_stateless() {
            return Err(AskError::NotInRevision("whether it is there"));
        }
        self.call.ask::<serde::de::IgnoredAny>(method::PING, &json!({})).await?;
        Ok(())
    }

    /// Keeps a value for the rounds to come of a stateless request that asks its client, in place of the one before. It
    /// travels in the request's `requestState`: the client cannot change it, but it can read it. In a session, where a
    /// handler runs once, nothing is kept.
    ///
    /// # Errors
    ///
    /// [`AskError::Invalid`] if the value has no JSON form, or more than 64 KiB of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use freehold_mcp::{Field, Form, ToolContext, ToolError};
    ///
    /// # async fn dear_to_compute() -> u64 { 7 }
    /// async fn order(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    ///     let offer: u64 = match ctx.kept()? {
    ///         Some(offer) => offer,
    ///         None => {
    ///             let offer = dear_to_compute().await;
    ///             ctx.keep(&offer)?;
    ///             offer
    ///         }
    ///     };
    ///     let form = Form::new(format!("Buy for {offer}?")).field("buy", Field::boolean());
    ///     ctx.ask(form).await?.into_accepted()?;
    ///     Ok(format!("bought for {offer}"))
    /// }
    /// ```
    pub fn keep(&self, value: &impl Serialize) -> Result<(), AskError> {
        let Some(round) = &self.round else { return Ok(()) };
        round.keep(to_raw_value(value).map_err(|error| AskError::Invalid(error.to_string()))?)
    }

    /// What was [kept](Self::keep), in this round or the one before.
    ///
    /// # Errors
    ///
    /// [`AskError::Invalid`] if it is of another type, as after a new version of the server came in between.
    pub fn kept<T: DeserializeOwned>(&self) -> Result<Option<T>, AskError> {
        let kept = self.round.as_ref().and_then(|round| round.kept());
        let read = kept.map(|kept| serde_json::from_str(kept.get()));
        read.transpose()
            .map_err(|error| AskError::Invalid(format!("what was kept is of another type: {error}")))
    }

    /// Fails as the protocol wants unless the client declared that it can do this.
    ///
    /// # Errors
    ///
    /// The error to return.
    pub fn require(&self, capability: Capability) -> Result<(), AskError> {
        self.respondent().require(capability)
    }

    /// [`require`](Self::require) of `sampling`.
    ///
    /// # Errors
    ///
    /// The error to return.
    pub fn require_sampling(&self) -> Result<(), ToolError> {
        Ok(self.require(Capability::Sampling)?)
    }

    /// [`require`](Self::require) of `elicitation` by forms.
    ///
    /// # Errors
    ///
    /// The error to return.
    pub fn require_elicitation(&self) -> Result<(), ToolError> {
        Ok(self.require(Capability::ElicitationForm)?)
    }
}

/// Whether it can be given back to the client: a number, or a string that is text. JSON's grammar also lets half of a
/// surrogate pair pass, which strict readers refuse, and with it the whole message.
fn is_token(raw: &RawValue) -> bool {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get()).is_ok(),
        first => matches!(first, Some(b'-' | b'0'..=b'9')),
    }
}

impl<S: State> Deref for RequestContext<S> {
    type Target = Context<S>;

    fn deref(&self) -> &Context<S> {
        &self.call
    }
}

impl<S: State> fmt::Debug for RequestContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext").field("subject", &self.subject()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::is_token;
    use serde_json::value::RawValue;

    #[test]
    fn tokens_are_numbers_and_text() {
        for (json, fits) in [
            ("1", true),
            ("-1.5", true),
            (r#""a""#, true),
            (r#""\ud83d\ude00""#, true),
            (r#""\ude00""#, false),
            ("null", false),
            ("{}", false),
            ("true", false),
        ] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            assert_eq!(is_token(&raw), fits, "{json}");
        }
    }
}
