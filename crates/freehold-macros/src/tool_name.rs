//! The rule for names of tools; `freehold-mcp` has it, too, for those that are made without the attribute.

use proc_macro2::Span;
use syn::{Error, Result};

/// Characters of the name of a tool, at most.
const LONGEST: usize = 128;

/// Checks a name of a tool that stands at `span`.
pub(crate) fn check(name: &str, span: Span) -> Result<()> {
    let bad = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
    let reason = match bad {
        Some(bad) => format!("has {bad:?} in it"),
        None if name.is_empty() => "is empty".to_owned(),
        None if name.len() > LONGEST => format!("has {} characters", name.len()),
        None => return Ok(()),
    };
    let rule = format!("1 to {LONGEST} characters of A-Z, a-z, 0-9, `_`, `-` and `.`");
    Err(Error::new(span, format!("the name of a tool has {rule}; {name:?} {reason}")))
}
