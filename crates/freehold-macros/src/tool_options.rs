//! The options of `#[tool]`.

use crate::{
    options::{self, Given},
    tool_name,
};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Expr, ExprLit, Lit, LitStr, Path, Result, spanned::Spanned};

const KNOWN: [&str; 15] = [
    "name",
    "title",
    "description",
    "read_only",
    "idempotent",
    "destructive",
    "open_world",
    "timeout",
    "soft_limit",
    "retry",
    "breaker",
    "icons",
    "task_support",
    "task_start",
    "crate",
];

/// What `#[tool(..)]` says.
#[derive(Default)]
pub(crate) struct ToolOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    /// Where `freehold-mcp` is.
    pub(crate) root: Option<Path>,
    /// The calls of the tool's builder.
    calls: Vec<TokenStream>,
}

impl ToolOptions {
    pub(crate) fn read(tokens: TokenStream) -> Result<Self> {
        let mut read = Self::default();
        for given in options::read(tokens, "tool", &KNOWN)? {
            read.take(&given)?;
        }
        Ok(read)
    }

    fn take(&mut self, given: &Given) -> Result<()> {
        let method = &given.name;
        let span = method.span();
        let call = match method.to_string().as_str() {
            "name" => {
                let name: LitStr = given.value("\"...\"")?;
                tool_name::check(&name.value(), name.span())?;
                self.name = Some(name);
                return Ok(());
            }
            "description" => {
                self.description = Some(given.text()?);
                return Ok(());
            }
            "crate" => {
                self.root = Some(given.value("path::to::freehold_mcp")?);
                return Ok(());
            }
            "title" => {
                let title = given.text()?;
                quote_spanned!(span=> .title(#title))
            }
            // Both are hints that one gives or leaves.
            "read_only" | "idempotent" => {
                if !given.flag()? {
                    return Ok(());
                }
                quote_spanned!(span=> .#method())
            }
            "destructive" | "open_world" => {
                let yes = given.flag()?;
                quote_spanned!(span=> .#method(#yes))
            }
            "timeout" | "soft_limit" => {
                let duration = duration(given)?;
                quote_spanned!(span=> .#method(#duration))
            }
            "retry" => call_of(given, "RetryPolicy::new()")?,
            "breaker" => call_of(given, "BreakerOptions::new()")?,
            "icons" => call_of(given, "[Icon::new(\"https://...\")]")?,
            "task_support" => call_of(given, "TaskSupport::Optional")?,
            _ => call_of(given, "TaskStart::AtOnce")?,
        };
        self.calls.push(call);
        Ok(())
    }

    /// The tool of `made`, an expression, with all of these options.
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

fn call_of(given: &Given, example: &str) -> Result<TokenStream> {
    let method = &given.name;
    let value = given.expression(example)?;
    Ok(quote_spanned!(method.span()=> .#method(#value)))
}

/// `"500ms"`, `"30s"`, `"2m"`, or an expression of a `Duration`.
fn duration(given: &Given) -> Result<TokenStream> {
    let value = given.expression("\"30s\"")?;
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &value else {
        return Ok(quote_spanned!(value.span()=> #value));
    };
    let text_value = text.value();
    let digits = text_value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text_value.split_at(digits);
    let millis_each = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis =
        number.parse::<u64>().ok().zip(millis_each).and_then(|(number, each)| number.checked_mul(each));
    match millis {
        Some(millis) if millis > 0 => {
            Ok(quote_spanned!(text.span()=> ::core::time::Duration::from_millis(#millis)))
        }
        _ => Err(Error::new(
            text.span(),
            format!(
                "{text_value:?} is no duration; write a number with `ms`, `s`, `m` or `h`, as in \"30s\""
            ),
        )),
    }
}
