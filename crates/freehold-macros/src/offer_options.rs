//! The options of `#[prompt]` and `#[resource]`.

use crate::{
    kind::Kind,
    options::{self, Given},
};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{LitStr, Path, Result};

const OF_PROMPT: [&str; 6] = ["name", "title", "description", "icon", "options", "crate"];
const OF_RESOURCE: [&str; 10] =
    ["name", "title", "description", "mime_type", "size", "annotations", "cache", "icon", "options", "crate"];

/// What the attribute says, besides a URI.
#[derive(Default)]
pub(crate) struct OfferOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    root: Option<Path>,
    /// The calls of the builder.
    calls: Vec<TokenStream>,
}

impl OfferOptions {
    pub(crate) fn read(tokens: TokenStream, kind: Kind) -> Result<Self> {
        let known: &[&str] = if kind == Kind::Prompt { &OF_PROMPT } else { &OF_RESOURCE };
        let mut read = Self::default();
        for given in options::read(tokens, kind.noun(), known)? {
            read.take(&given)?;
        }
        Ok(read)
    }

    fn take(&mut self, given: &Given) -> Result<()> {
        let method = &given.name;
        match method.to_string().as_str() {
            "name" => self.name = Some(given.text()?),
            "description" => self.description = Some(given.text()?),
            "crate" => self.root = Some(given.value("path::to::freehold_mcp")?),
            "title" | "mime_type" => {
                let text = given.text()?;
                self.calls.push(quote_spanned!(method.span()=> .#method(#text)));
            }
            "size" => self.call_of(given, "1_024")?,
            "annotations" => self.call_of(given, "Annotations::new()")?,
            "cache" => self.call_of(given, "CacheHint::public(Duration::from_secs(60))")?,
            "icon" => self.call_of(given, "Icon::new(\"https://...\")")?,
            _ => self.call_of(given, "MethodOptions::new()")?,
        }
        Ok(())
    }

    fn call_of(&mut self, given: &Given, example: &str) -> Result<()> {
        let method = &given.name;
        let value = given.expression(example)?;
        self.calls.push(quote_spanned!(method.span()=> .#method(#value)));
        Ok(())
    }

    /// What `made`, an expression, is with all of these options.
    pub(crate) fn apply(&self, made: TokenStream) -> TokenStream {
        let calls = &self.calls;
        quote!(#made #(#calls)*)
    }

    pub(crate) fn root(&self) -> TokenStream {
        match &self.root {
            Some(path) => quote!(#path),
            None => quote!(::freehold_mcp),
        }
    }
}
