//! Sending a person to a URL, for what must not pass through the client.

use super::{AskError, Asked, Capability, Elicited, Question, Respondent, elicitation};
use crate::{
    peer::Peer,
    protocol::{URL_ELICITATION_REQUIRED, method},
    server::McpServer,
};
use freehold::{ErrorObject, Session, State};
use http::Uri;
use serde_json::{Value, json, value::RawValue};

/// The first revision that knows it.
const SINCE: &str = "2025-11-25";
/// The only revision in which it has an id.
const WITH_ID: &str = "2025-11-25";

/// `elicitation/create` in URL mode: the client shows a URL to its person and, if they agree, opens it.
///
/// The answer says that they agreed, not that they did there what they should. Never put into the URL what identifies or
/// authorizes the person; the page behind it has to find out who they are.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{Elicited, ToolContext, ToolError, UrlElicitation};
///
/// async fn connect(ctx: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
///     let url = UrlElicitation::new("https://example.com/connect", "Connect your account.", "connect-1");
///     match ctx.ask(url).await? {
///         Elicited::Accept(()) => Ok("Go on there."),
///         _ => Ok("Nothing was connected."),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct UrlElicitation {
    url: String,
    message: String,
    id: String,
}

impl UrlElicitation {
    /// A URL, why the person should go there, and an id for
    /// [`elicitation_complete`](McpServer::elicitation_complete) that this server uses for nothing else.
    pub fn new(url: impl Into<String>, message: impl Into<String>, id: impl Into<String>) -> Self {
        Self { url: url.into(), message: message.into(), id: id.into() }
    }

    fn check(&self) -> Result<(), AskError> {
        let whole = self.url.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.authority().is_some_and(|authority| !authority.host().is_empty())
        });
        if whole { Ok(()) } else { Err(AskError::Invalid(format!("{:?} is no whole URL", self.url))) }
    }

    fn params(&self, with_id: bool) -> Value {
        let mut params = json!({ "mode": "url", "message": self.message, "url": self.url });
        if with_id {
            params["elicitationId"] = json!(self.id);
        }
        params
    }
}

impl Question for UrlElicitation {
    type Answer = Elicited<()>;

    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError> {
        if !respondent.speaks(SINCE) {
            return Err(AskError::NotInRevision("to open a URL"));
        }
        respondent.require(Capability::ElicitationUrl)?;
        self.check()?;
        let params = self.params(respondent.version == WITH_ID);
        Ok(Asked { method: method::ELICIT, kind: "url", params })
    }

    fn read(&self, answer: &RawValue) -> Result<Elicited<()>, AskError> {
        elicitation::read(answer)?.try_map(|_content| Ok(()))
    }
}

/// What [`RequestContext::require_url`](crate::RequestContext::require_url) gives: the error to return because something has to be done at a
/// URL first.
#[derive(Debug, thiserror::Error)]
#[error("something has to be done at a URL first: {message} {url}")]
pub struct UrlElicitationRequired {
    message: String,
    url: String,
    /// With the protocol's own code, where the client knows it.
    told: Option<ErrorObject>,
}

impl UrlElicitationRequired {
    pub(crate) fn new(elicitation: &UrlElicitation, respondent: &Respondent) -> Self {
        let knows = respondent.version == WITH_ID && respondent.require(Capability::ElicitationUrl).is_ok();
        let told = knows.then(|| {
            let data = json!({ "elicitations": [elicitation.params(true)] });
            ErrorObject::new(URL_ELICITATION_REQUIRED, elicitation.message.clone()).with_data(&data)
        });
        Self { message: elicitation.message.clone(), url: elicitation.url.clone(), told }
    }

    pub(crate) fn protocol(&self) -> Option<ErrorObject> {
        self.told.clone()
    }
}

impl<S: State> McpServer<S> {
    /// Tells the client of a session that what it was sent to a URL for is done (`notifications/elicitation/complete`);
    /// whether its revision knows such a message. `session` must be the one in which the [`UrlElicitation`] of this id was
    /// asked. Never waits.
    pub fn elicitation_complete(&self, session: &Session<S>, id: &str) -> bool {
        let knows = Peer::of(session).is_some_and(|peer| {
            peer.version == WITH_ID && peer.capabilities.have(Capability::ElicitationUrl)
        });
        knows && session.notify(method::ELICITATION_COMPLETE, &json!({ "elicitationId": id })).is_ok()
    }
}
