//! The URI of `#[resource]`, and its variables; `freehold-mcp` has these rules, too, for templates made without the attribute.

use crate::arguments::Argument;
use syn::{Error, LitStr, Result};

/// The variables of the template that stands in `uri`; none if it is the URI of one resource.
pub(crate) fn variables(uri: &LitStr) -> Result<Vec<String>> {
    let text = uri.value();
    let refused = |reason: String| Error::new(uri.span(), reason);
    if !has_scheme(&text) {
        return Err(refused(format!("{text:?} is no URI; begin with a scheme, such as \"notes://\"")));
    }
    let mut variables = Vec::new();
    let mut rest = &*text;
    while let Some(brace) = rest.find(['{', '}']) {
        let expression = rest[brace..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((expression, after)) = expression else {
            return Err(refused(format!("a brace in {text:?} has no partner; write `{{name}}`")));
        };
        let names = expression.strip_prefix(['+', '#', '.', '/', ';', '?', '&']).unwrap_or(expression);
        for name in names.split(',') {
            check_name(name).map_err(refused)?;
            if variables.iter().any(|known| known == name) {
                return Err(refused(format!(
                    "the variable `{name}` stands twice; a URI has one value of it"
                )));
            }
            variables.push(name.to_owned());
        }
        rest = after;
    }
    Ok(variables)
}

fn has_scheme(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_letter = |first: char| first.is_ascii_alphabetic();
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(is_letter) && scheme.chars().all(of_scheme) && !rest.is_empty()
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    if name.ends_with('*') || name.contains(':') {
        return Err(format!("`{name}` is beyond level 3 of RFC 6570; write the name alone"));
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{name}` names no variable; use letters, digits and underscores"));
    }
    Ok(())
}

/// Each variable is a parameter, and each parameter a variable.
pub(crate) fn check(uri: &LitStr, variables: &[String], arguments: &[Argument]) -> Result<()> {
    if arguments.iter().any(|argument| argument.is_whole || argument.is_flattened()) {
        return Ok(());
    }
    let names: Vec<String> = arguments.iter().map(Argument::wire_name).collect();
    for (name, argument) in names.iter().zip(arguments) {
        if !variables.contains(name) {
            let reason = format!(
                "the URI has no variable `{name}`; write `{{{name}}}` in it, or leave the parameter out"
            );
            return Err(Error::new(argument.name.span(), reason));
        }
    }
    match variables.iter().find(|variable| !names.contains(variable)) {
        Some(variable) => Err(Error::new(
            uri.span(),
            format!("the function has no parameter for the variable `{variable}`; add `{variable}: String`"),
        )),
        None => Ok(()),
    }
}
