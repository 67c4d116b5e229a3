//! Options of an attribute: `name = value` or, where that means something, `name` alone.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{
    Error, Expr, Ident, LitBool, LitStr, Result, Token, Visibility,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

/// One option.
pub(crate) struct Given {
    pub(crate) name: Ident,
    pub(crate) value: Option<TokenStream>,
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if !input.peek(Token![=]) {
            return Ok(Self { name, value: None });
        }
        input.parse::<Token![=]>()?;
        let value = if input.peek(Token![pub]) {
            input.parse::<Visibility>()?.into_token_stream()
        } else {
            input.parse::<Expr>()?.into_token_stream()
        };
        Ok(Self { name, value: Some(value) })
    }
}

impl Given {
    /// The value, read as `T`.
    pub(crate) fn value<T: Parse>(&self, example: &str) -> Result<T> {
        let wanted = || Error::new(self.name.span(), format!("write `{} = {example}`", self.name));
        let value = self.value.clone().ok_or_else(wanted)?;
        syn::parse2(value).map_err(|error| {
            let span = error.span();
            Error::new(span, format!("{error}; write `{} = {example}`", self.name))
        })
    }

    /// A text that is not empty.
    pub(crate) fn text(&self) -> Result<LitStr> {
        let text: LitStr = self.value("\"...\"")?;
        if text.value().trim().is_empty() {
            return Err(Error::new(text.span(), format!("`{}` is empty", self.name)));
        }
        Ok(text)
    }

    /// `name` or `name = true` is yes, `name = false` is no.
    pub(crate) fn flag(&self) -> Result<bool> {
        match &self.value {
            None => Ok(true),
            Some(_) => Ok(self.value::<LitBool>("false")?.value),
        }
    }

    /// Any expression.
    pub(crate) fn expression(&self, example: &str) -> Result<Expr> {
        self.value(example)
    }
}

/// The options, each at most once, all of them among `known`.
pub(crate) fn read(tokens: TokenStream, attribute: &str, known: &[&str]) -> Result<Vec<Given>> {
    let given: Vec<Given> =
        Punctuated::<Given, Token![,]>::parse_terminated.parse2(tokens)?.into_iter().collect();
    for (index, option) in given.iter().enumerate() {
        let is_same = |other: &Given| other.name == option.name;
        if given[..index].iter().any(is_same) {
            return Err(Error::new(option.name.span(), format!("`{}` stands twice", option.name)));
        }
        if !known.iter().any(|known| option.name == known) {
            return Err(unknown(&option.name.to_string(), option.name.span(), attribute, known));
        }
    }
    Ok(given)
}

fn unknown(name: &str, span: Span, attribute: &str, known: &[&str]) -> Error {
    let known = known.join("`, `");
    Error::new(span, format!("#[{attribute}] has no option `{name}`; it has `{known}`"))
}
