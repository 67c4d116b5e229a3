//! URI templates (RFC 6570): what a template's variables are in a URI that somebody made of it.
//!
//! Levels 1 to 3 of the standard. It says how to make URIs of a template, not how to read them, where much is ambiguous;
//! so this says how they are read here. A template becomes a regular expression of a kind that is matched in a time
//! proportional to the URI's length, whatever the URI is.

use crate::{
    limits::{TEMPLATE_VARIABLES, URI_BYTES},
    text_arguments::TextArguments,
};
use percent_encoding::percent_decode_str;
use regex_lite::Regex;
use std::fmt::Write;

/// Why a text is no URI template that can be matched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUriTemplate {
    /// It does not begin with a scheme, such as `file:`, or has characters that no URI has.
    #[error(
        "{0:?} is no URI: begin with a scheme, such as `notes://`, and encode what RFC 3986 has no place for"
    )]
    NoUri(String),
    /// A brace without its partner, or one inside of another.
    #[error("a brace in {0:?} has no partner")]
    Brace(String),
    /// An expression without a variable, or a variable whose name is not of letters, digits and underscores.
    #[error("{0:?} names no variable: use letters, digits and underscores")]
    Name(String),
    /// A variable stands twice.
    #[error("the variable {0:?} stands twice")]
    Twice(String),
    /// A modifier of level 4 (`{var:3}`, `{var*}`), or an operator that the standard keeps for later.
    #[error("{0:?} is beyond level 3 of RFC 6570, which is what can be matched")]
    Level(String),
    /// It is too long, or has too many variables.
    #[error("the template is longer than {URI_BYTES} bytes, or has more than {TEMPLATE_VARIABLES} variables")]
    TooLarge,
}

/// What one group of the expression holds.
#[derive(Debug)]
enum Captured {
    Variable(String),
    /// A query, or the rest of one, in which these may stand in any order.
    Query(Vec<String>),
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct UriTemplate {
    expression: Regex,
    captured: Vec<Captured>,
    /// Bytes outside of expressions: of two templates that fit, the one with more says more.
    literal: usize,
}

/// Whether it can be the URI of a resource: it begins with a scheme, and has nothing that RFC 3986 has no place for.
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let first = scheme.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
    let scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    first && scheme && !rest.is_empty() && text.len() <= URI_BYTES && has_uri_characters(rest)
}

fn has_uri_characters(text: &str) -> bool {
    let hex = |byte: &u8| byte.is_ascii_hexdigit();
    text.bytes().enumerate().all(|(at, byte)| match byte {
        b'%' => text.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(hex)),
        _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
    })
}

impl UriTemplate {
    pub(crate) fn parse(template: &str) -> Result<Self, InvalidUriTemplate> {
        if template.len() > URI_BYTES {
            return Err(InvalidUriTemplate::TooLarge);
        }
        let mut builder = Builder::default();
        let mut rest = template;
        while let Some(open) = rest.find(['{', '}']) {
            let brace = || InvalidUriTemplate::Brace(template.to_owned());
            builder.add_literal(&rest[..open]);
            let inner = rest[open..].strip_prefix('{').ok_or_else(brace)?;
            let (expression, after) = inner.split_once('}').ok_or_else(brace)?;
            builder.add_expression(expression)?;
            rest = after;
        }
        builder.add_literal(rest);
        builder.finish(template)
    }

    /// The variables in `uri`, decoded, if it can be of this template.
    ///
    /// `{a}` takes one or more characters other than `/`, `?` and `#`; `{+a}` any; `{#a}` the fragment; `{.a}` and `{/a}`
    /// up to the next dot or slash; `{?a}` and `{&a}` what the query has of that name, wherever it stands there; `{;a}` the
    /// like of a path. Those of queries, parameters and fragments may be absent.
    pub(crate) fn read(&self, uri: &str) -> Option<TextArguments> {
        if uri.len() > URI_BYTES {
            return None;
        }
        let groups = self.expression.captures(uri)?;
        let mut variables = TextArguments::new();
        for (captured, group) in self.captured.iter().zip(groups.iter().skip(1)) {
            let Some(group) = group else { continue };
            match captured {
                Captured::Variable(name) => {
                    variables.insert(name.clone(), decoded(group.as_str())?);
                }
                Captured::Query(names) => read_query(group.as_str(), names, &mut variables)?,
            }
        }
        Some(variables)
    }

    /// The names of the variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.captured
            .iter()
            .flat_map(|captured| match captured {
                Captured::Variable(name) => std::slice::from_ref(name),
                Captured::Query(names) => names,
            })
            .map(String::as_str)
    }

    pub(crate) fn literal(&self) -> usize {
        self.literal
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

/// What the query has of these names; of one that stands twice, the first.
fn read_query(query: &str, names: &[String], variables: &mut TextArguments) -> Option<()> {
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if names.iter().any(|known| known == name) && !variables.contains_key(name) {
            variables.insert(name.to_owned(), decoded(value)?);
        }
    }
    Some(())
}

/// The expression, as far as the template was read.
#[derive(Default)]
struct Builder {
    pattern: String,
    /// The template, with an x for each expression.
    example: String,
    captured: Vec<Captured>,
    names: Vec<String>,
    literal: usize,
}

impl Builder {
    fn add_literal(&mut self, literal: &str) {
        self.literal += literal.len();
        self.example.push_str(literal);
        self.pattern.push_str(&regex_lite::escape(literal));
    }

    fn add_expression(&mut self, expression: &str) -> Result<(), InvalidUriTemplate> {
        self.example.push('x');
        let operator = expression.chars().next().filter(|first| !first.is_alphanumeric() && *first != '_');
        let names = self.names_of(&expression[operator.map_or(0, char::len_utf8)..])?;
        match operator {
            None => self.add_values("", ",", if names.len() > 1 { "[^/?#,]+" } else { "[^/?#]+" }, names),
            Some('+') => self.add_values("", ",", if names.len() > 1 { "[^,]+" } else { ".+" }, names),
            Some('/') => self.add_values("/", "/", "[^/?#]+", names),
            Some('.') => self.add_values(r"\.", r"\.", "[^/?#.]+", names),
            Some('#') => {
                self.pattern.push_str("(?:");
                self.add_values("#", ",", if names.len() > 1 { "[^,]*" } else { ".*" }, names);
                self.pattern.push_str(")?");
            }
            Some(';') => {
                for name in names {
                    // Writing to a string cannot fail.
                    let _ = write!(self.pattern, "(?:;{name}(?:=([^/?#;]*))?)?");
                    self.captured.push(Captured::Variable(name));
                }
            }
            Some('?') => {
                self.pattern.push_str(r"(?:\?([^#]*))?");
                self.captured.push(Captured::Query(names));
            }
            Some('&') => {
                self.pattern.push_str("(?:&([^#]*))?");
                self.captured.push(Captured::Query(names));
            }
            Some(_) => return Err(InvalidUriTemplate::Level(format!("{{{expression}}}"))),
        }
        Ok(())
    }

    fn add_values(&mut self, before: &str, between: &str, class: &str, names: Vec<String>) {
        for (index, name) in names.into_iter().enumerate() {
            let _ = write!(self.pattern, "{}({class})", if index == 0 { before } else { between });
            self.captured.push(Captured::Variable(name));
        }
    }

    fn names_of(&mut self, list: &str) -> Result<Vec<String>, InvalidUriTemplate> {
        let mut names = Vec::new();
        for name in list.split(',') {
            if name.contains([':', '*']) {
                return Err(InvalidUriTemplate::Level(name.to_owned()));
            }
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(InvalidUriTemplate::Name(list.to_owned()));
            }
            if self.names.iter().any(|known| known == name) {
                return Err(InvalidUriTemplate::Twice(name.to_owned()));
            }
            self.names.push(name.to_owned());
            names.push(name.to_owned());
        }
        if self.names.len() > TEMPLATE_VARIABLES {
            return Err(InvalidUriTemplate::TooLarge);
        }
        Ok(names)
    }

    fn finish(self, template: &str) -> Result<UriTemplate, InvalidUriTemplate> {
        // The scheme cannot be a variable: what begins with one fits everything.
        let scheme = template.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('{'));
        if !scheme || !is_uri(&self.example) {
            return Err(InvalidUriTemplate::NoUri(template.to_owned()));
        }
        // Its parts are ours or escaped; what is left is its size.
        let expression =
            Regex::new(&format!("^{}$", self.pattern)).map_err(|_| InvalidUriTemplate::TooLarge)?;
        Ok(UriTemplate { expression, captured: self.captured, literal: self.literal })
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidUriTemplate, UriTemplate, is_uri};

    /// `a=1,b=2`, or `no` if the URI is not of the template.
    fn read(template: &str, uri: &str) -> String {
        let template = UriTemplate::parse(template).expect("the template is one");
        template.read(uri).map_or_else(
            || "no".to_owned(),
            |variables| {
                let pairs: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
                pairs.join(",")
            },
        )
    }

    #[test]
    fn variables_are_found_and_decoded() {
        for (template, uri, variables) in [
            ("test://template/{id}/data", "test://template/123/data", "id=123"),
            ("test://template/{id}/data", "test://template/a%2Fb%20c/data", "id=a/b c"),
            ("test://template/{id}/data", "test://template/1/2/data", "no"),
            ("test://template/{id}/data", "test://template//data", "no"),
            ("test://template/{id}/data", "xtest://template/1/data", "no"),
            ("test://template/{id}/data", "test://template/1/data/", "no"),
            ("test://{a}.{b}", "test://x.y", "a=x,b=y"),
            ("test://{a,b}", "test://x,y", "a=x,b=y"),
            ("test://{who}", "test://a@b:c", "who=a@b:c"),
            ("test://(x)+/{a}", "test://(x)+/1", "a=1"),
            ("file:///{+path}", "file:///a/b%20c?d", "path=a/b c?d"),
            ("test://x{/a,b}", "test://x/1/2", "a=1,b=2"),
            ("test://x{.a}", "test://x.txt", "a=txt"),
            ("test://x{#a}", "test://x#1/2", "a=1/2"),
            ("test://x{#a}", "test://x", ""),
            ("test://x{?a,b}", "test://x?b=2&c=3&a=1", "a=1,b=2"),
            ("test://x{?a,b}", "test://x", ""),
            ("test://x{?a}", "test://x?a=1&a=2", "a=1"),
            ("test://x?k=v{&a}", "test://x?k=v&a=%C3%BC", "a=ü"),
            ("test://x{;a,b}", "test://x;b=2", "b=2"),
            ("test://{id}", "test://%FF", "no"),
        ] {
            assert_eq!(read(template, uri), variables, "{template} {uri}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        use InvalidUriTemplate::{Brace, Level, Name, NoUri, TooLarge, Twice};
        let many = (0..40).map(|n| format!("{{v{n}}}/")).collect::<String>();
        let rows = [
            ("a", NoUri("a".to_owned())),
            ("{a}://b", NoUri("{a}://b".to_owned())),
            ("a:b c{d}", NoUri("a:b c{d}".to_owned())),
            ("a:ü{d}", NoUri("a:ü{d}".to_owned())),
            ("a:{b", Brace("a:{b".to_owned())),
            ("a:b}", Brace("a:b}".to_owned())),
            ("a:{b{c}}", Name("b{c".to_owned())),
            ("a:{}", Name(String::new())),
            ("a:{b-c}", Name("b-c".to_owned())),
            ("a:{b}{?b}", Twice("b".to_owned())),
            ("a:{b:3}", Level("b:3".to_owned())),
            ("a:{/b*}", Level("b*".to_owned())),
            ("a:{|b}", Level("{|b}".to_owned())),
            (&format!("a:{many}"), TooLarge),
            (&format!("a:{}", "b".repeat(9_000)), TooLarge),
        ];
        for (template, error) in rows {
            assert_eq!(UriTemplate::parse(template).unwrap_err(), error, "{template}");
        }
    }

    #[test]
    fn uris_have_a_scheme_and_no_blanks() {
        for (text, fits) in [
            ("file:///a", true),
            ("test://static-text", true),
            ("urn:isbn:1", true),
            ("notes://%C3%BC?a[]=~", true),
            ("notes://ü", false),
            ("a:%C", false),
            ("a:%GG", false),
            ("a:{b}", false),
            ("a", false),
            (":a", false),
            ("1a:b", false),
            ("a:", false),
            ("a:b c", false),
            ("a:b\n", false),
        ] {
            assert_eq!(is_uri(text), fits, "{text}");
        }
    }
}
