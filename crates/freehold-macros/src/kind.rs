//! What a function becomes.

use proc_macro2::{Ident, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tool,
    Prompt,
    Resource,
}

impl Kind {
    /// Also the name of its attribute.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }

    /// The type of its context.
    pub(crate) fn context(self) -> Ident {
        let name = match self {
            Self::Tool => "ToolContext",
            Self::Prompt | Self::Resource => "RequestContext",
        };
        Ident::new(name, Span::call_site())
    }

    /// The trait that knows the state of such a context.
    pub(crate) fn context_trait(self) -> Ident {
        let name = match self {
            Self::Tool => "ContextOfTool",
            Self::Prompt | Self::Resource => "ContextOfRequest",
        };
        Ident::new(name, Span::call_site())
    }

    /// What to do about a missing description, and why.
    pub(crate) fn undescribed(self) -> String {
        let why = match self {
            Self::Tool => "models read what a tool does",
            Self::Prompt => "people choose a prompt by what it does",
            Self::Resource => "people and models choose a resource by what it is",
        };
        format!("{why}; write a doc comment (`/// ...`) above it, or `description = \"...\"`")
    }
}
