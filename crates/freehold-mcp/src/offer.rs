//! What a server offers: what it says of itself is true from its build on.

use crate::{catalog::NoPlace, resources::InvalidUriTemplate};
use serde_json::{Value, json};
use std::sync::Arc;

/// A prompt, a resource or a template could not be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// There is one already.
    #[error("there is a {kind} {name:?} already; remove it first")]
    Duplicate {
        /// What it is.
        kind: &'static str,
        /// Its name, URI or template.
        name: String,
    },
    /// There are as many as may be.
    #[error("there are as many {kind}s as a server may have; remove one before you add {name:?}")]
    Full {
        /// What it is.
        kind: &'static str,
        /// Its name, URI or template.
        name: String,
    },
    /// The server told its clients that it has none of this kind, since none was registered before it was built.
    #[error(
        "the server does not offer {kind}: register one before it is built, or call McpServerBuilder::{builder}"
    )]
    NotOffered {
        /// What it is.
        kind: &'static str,
        /// How to say that there will be some.
        builder: &'static str,
    },
    /// What should be completed is no argument or variable.
    #[error("{of:?} has no argument {argument:?} that could be completed")]
    NothingToComplete {
        /// The argument or variable.
        argument: String,
        /// The prompt's name, or the template.
        of: String,
    },
    /// A resource's URI is none.
    #[error(
        "{0:?} is no URI: begin with a scheme, such as `notes://`, and encode what RFC 3986 has no place for"
    )]
    InvalidUri(String),
    /// A template is none that can be matched.
    #[error(transparent)]
    InvalidTemplate(#[from] InvalidUriTemplate),
}

/// Why a catalog refused an entry of a kind.
pub(crate) fn refused(kind: &'static str) -> impl Fn((NoPlace, Arc<str>)) -> RegisterError {
    move |(why, name)| {
        let name = name.to_string();
        match why {
            NoPlace::Taken => RegisterError::Duplicate { kind, name },
            NoPlace::Full => RegisterError::Full { kind, name },
        }
    }
}

/// What of its kinds a server offers. Tools it always does: they can come at any time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offers {
    pub(crate) resources: bool,
    pub(crate) prompts: bool,
    pub(crate) completions: bool,
    pub(crate) tasks: bool,
}

impl Offers {
    /// As `initialize` and `server/discover` say it, but for tasks, which each says in its own way.
    pub(crate) fn capabilities(self) -> Value {
        let mut capabilities = json!({ "logging": {}, "tools": { "listChanged": true } });
        if self.resources {
            capabilities["resources"] = json!({ "listChanged": true, "subscribe": true });
        }
        if self.prompts {
            capabilities["prompts"] = json!({ "listChanged": true });
        }
        if self.completions {
            capabilities["completions"] = json!({});
        }
        capabilities
    }
}

/// What a table may take, since the server offers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) kind: &'static str,
    pub(crate) builder: &'static str,
    pub(crate) offered: bool,
    pub(crate) completions: bool,
}

impl Offer {
    pub(crate) fn check(&self) -> Result<(), RegisterError> {
        let Self { kind, builder, offered, .. } = *self;
        if offered { Ok(()) } else { Err(RegisterError::NotOffered { kind, builder }) }
    }

    /// Something with completions may come only if the server offers these.
    pub(crate) fn check_completers(&self, any: bool) -> Result<(), RegisterError> {
        if any && !self.completions {
            return Err(RegisterError::NotOffered { kind: "completions", builder: self.builder });
        }
        Ok(())
    }
}
