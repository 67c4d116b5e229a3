//! Questions to the client: what a server can ask, how each revision writes it, and how its answer is read.
//!
//! A [`Question`] knows three things: what the client must have declared, its form on the wire, and what a fitting answer
//! is. How it reaches the client is not its business: in a session it is a request of the server's, in a stateless
//! request it becomes a part of an `input_required` result (`crate::mrtr`).

mod asker;
mod capability;
mod elicitation;
mod error;
mod field;
mod form;
mod keyed;
mod raw;
mod roots;
mod sampling;
mod sampling_rules;
mod together;
mod url;

pub(crate) use asker::Asker;
pub use capability::Capability;
pub use elicitation::{Elicited, NotAccepted};
pub use error::AskError;
pub use field::{Choice, Field, TextFormat};
pub use form::{Form, TypedForm, UnfitForm};
pub use keyed::Keyed;
pub use raw::RawQuestion;
pub use roots::{ListRoots, Root};
pub use sampling::{
    CreateMessage, CreateMessageResult, IncludeContext, ModelPreferences, SamplingContent, SamplingMessage,
    SamplingTool, ToolChoice,
};
pub use together::Together;
pub use url::{UrlElicitation, UrlElicitationRequired};

use crate::model::Capabilities;
use serde_json::{Value, value::RawValue};

/// What a question needs to know of who will answer it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Respondent {
    /// Revisions are dates, so that later ones are greater.
    pub(crate) version: &'static str,
    pub(crate) capabilities: Capabilities,
    pub(crate) stateless: bool,
}

impl Respondent {
    pub(crate) fn require(&self, capability: Capability) -> Result<(), AskError> {
        if self.capabilities.have(capability) {
            return Ok(());
        }
        Err(AskError::NotCapable { capability, stateless: self.stateless })
    }

    /// Whether it speaks this revision or a later one.
    pub(crate) fn speaks(&self, version: &str) -> bool {
        self.version >= version
    }
}

/// A question as a revision writes it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Asked {
    pub(crate) method: &'static str,
    /// What its key begins with where it gets one by the order of asking.
    pub(crate) kind: &'static str,
    pub(crate) params: Value,
}

/// Something that a client can be asked with [`RequestContext::ask`](crate::RequestContext::ask):
/// [`CreateMessage`], [`Form`], [`TypedForm`], [`UrlElicitation`], [`ListRoots`], or a [`RawQuestion`].
///
/// Implemented by those and by [`Keyed`] ones; not to be implemented elsewhere.
pub trait Question: Send + Sync + Sized {
    /// What the client answers.
    type Answer: Send;

    /// The question in the form of the client's revision.
    #[doc(hidden)]
    fn asked(&self, respondent: &Respondent) -> Result<Asked, AskError>;

    /// Reads the answer.
    #[doc(hidden)]
    fn read(&self, answer: &RawValue) -> Result<Self::Answer, AskError>;

    #[doc(hidden)]
    fn own_key(&self) -> Option<&str> {
        None
    }

    /// Gives the question a key: the name under which it stands in an `input_required` result, and under which its answer
    /// comes back. Without one it gets its kind and a number, by the order of asking.
    fn keyed(self, key: impl Into<String>) -> Keyed<Self> {
        Keyed::new(self, key.into())
    }
}
