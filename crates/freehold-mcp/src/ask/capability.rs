use serde_json::{Value, json};
use std::fmt;

/// Something that a client declares it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Have its model write a message.
    Sampling,
    /// Let the model use tools meanwhile.
    SamplingTools,
    /// Include the context of servers in what the model reads.
    SamplingContext,
    /// Have its person fill in a form.
    ElicitationForm,
    /// Send its person to a URL.
    ElicitationUrl,
    /// Tell its roots.
    Roots,
}

impl Capability {
    /// As the protocol writes it, as a path.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::SamplingTools => "sampling.tools",
            Self::SamplingContext => "sampling.context",
            Self::ElicitationForm => "elicitation.form",
            Self::ElicitationUrl => "elicitation.url",
            Self::Roots => "roots",
        }
    }

    /// As a client declares it.
    pub(crate) fn declaration(self) -> Value {
        let (name, part) = self.as_str().split_once('.').unwrap_or((self.as_str(), ""));
        // An empty declaration means forms, also to clients of before there was anything else.
        match part {
            "" | "form" => json!({ name: {} }),
            part => json!({ name: { part: {} } }),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
