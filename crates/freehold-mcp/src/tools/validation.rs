//! Values that have to fit a JSON Schema: arguments that no type reads, and structured output that no type wrote.
//!
//! A schema is compiled once, when its tool is made. Nothing is ever fetched: a `$ref` leads to the same schema, or the
//! tool is refused.

use crate::limits::{
    MISFIT_BYTES, MISFITS_TOLD, PATTERN_BACKTRACKS, PATTERN_BYTES, SCHEMA_DEEPEST, SCHEMA_PARTS,
};
use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value;
use std::fmt::{self, Write};

/// The dialects that are understood, without the protocol and the `#` of their names, newest first.
const DIALECTS: [&str; 5] = [
    "json-schema.org/draft/2020-12/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-04/schema",
];

/// A schema of a tool that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// It is neither an object nor `true` or `false`.
    #[error("a JSON Schema is an object")]
    NotAnObject,
    /// The schema of arguments has another type than `object`.
    #[error("arguments are always an object: give the schema the member `\"type\": \"object\"`")]
    NotOfObjects,
    /// Its `$schema` names a dialect that is not understood.
    #[error(
        "the dialect {0:?} is not supported; leave `$schema` out for 2020-12, or name 2020-12, 2019-09, draft-07, -06 or -04"
    )]
    Dialect(String),
    /// It nests too deep, or has too many parts.
    #[error(
        "the schema is too large: more than {SCHEMA_PARTS} parts, or more than {SCHEMA_DEEPEST} levels; make it simpler"
    )]
    TooLarge,
    /// It is not valid in its dialect, or refers to something outside of itself, which is never fetched.
    #[error("the schema is not valid at {path:?}: {reason}")]
    Invalid {
        /// The place in the schema, as a JSON pointer.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// It has `x-mcp-header` where the protocol does not allow it; clients would leave the tool out.
    #[error("`x-mcp-header` cannot be used at {path:?}: {reason}")]
    MirroredArgument {
        /// The place in the schema, as a JSON pointer.
        path: String,
        /// What it must be.
        reason: &'static str,
    },
}

/// A compiled schema.
pub(crate) struct Validator(jsonschema::Validator);

impl Validator {
    pub(crate) fn new(schema: &Value) -> Result<Self, SchemaError> {
        check(schema)?;
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(PATTERN_BACKTRACKS)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let compiled = jsonschema::options().offline().with_pattern_options(patterns).build(schema);
        compiled.map(Self).map_err(|error| {
            let (path, reason) = (short(error.instance_path()), short(error.masked()));
            SchemaError::Invalid { path, reason }
        })
    }

    /// Whether the value fits; if not, where and why.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Misfit> {
        // Nearly always; to look for reasons costs several times as much.
        if self.0.is_valid(value) {
            return Ok(());
        }
        let mut errors = self.0.iter_errors(value);
        let told = errors.by_ref().take(MISFITS_TOLD).map(|error| reason(&error)).collect();
        Err(Misfit { told, more: errors.next().is_some() })
    }
}

/// Where and why a value does not fit its schema.
#[derive(Debug)]
pub(crate) struct Misfit {
    told: Vec<String>,
    more: bool,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        if self.more { f.write_str("; and more") } else { Ok(()) }
    }
}

/// Says where, and what was wanted. Not the value: it may be large, and is nobody's business where it is an output.
fn reason(error: &ValidationError<'_>) -> String {
    let path = short(error.instance_path());
    let place = if path.is_empty() { "at the top".to_owned() } else { format!("at {path}") };
    format!("{place}: {}", short(error.masked_with("it")))
}

/// The text, cut if it is long.
fn short(what: impl fmt::Display) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail; what cannot be displayed is left out.
    let _ = write!(text, "{what}");
    if text.len() > MISFIT_BYTES {
        text.truncate(text.floor_char_boundary(MISFIT_BYTES));
        text.push('…');
    }
    text
}

fn check(schema: &Value) -> Result<(), SchemaError> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(SchemaError::NotAnObject);
    }
    if let Some(dialect) = schema.get("$schema") {
        let named = dialect.as_str().unwrap_or_default();
        let bare = named.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('#');
        if !DIALECTS.contains(&bare) {
            return Err(SchemaError::Dialect(short(dialect.as_str().unwrap_or("(no text)"))));
        }
    }
    let mut parts = 0;
    if is_small(schema, SCHEMA_DEEPEST, &mut parts) { Ok(()) } else { Err(SchemaError::TooLarge) }
}

fn is_small(part: &Value, levels: usize, parts: &mut usize) -> bool {
    let members: Box<dyn Iterator<Item = &Value>> = match part {
        Value::Object(members) => Box::new(members.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => return true,
    };
    *parts += 1;
    if levels == 0 || *parts > SCHEMA_PARTS {
        return false;
    }
    members.into_iter().all(|member| is_small(member, levels - 1, parts))
}

#[cfg(test)]
mod tests {
    use super::{SchemaError, Validator};
    use crate::limits::{MISFIT_BYTES, SCHEMA_DEEPEST, SCHEMA_PARTS};
    use serde_json::{Value, json};

    fn misfit(schema: &Value, value: &Value) -> String {
        let validator = Validator::new(schema).expect("the schema is valid");
        validator.check(value).expect_err("the value does not fit").to_string()
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place_and_without_its_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 2 },
                "tags": { "type": "array", "items": { "enum": ["a", "b"] } },
            },
            "required": ["name"],
            "additionalProperties": false,
        });
        for (value, told) in [
            (json!({ "name": "x" }), "at /name: "),
            (json!({ "name": "xx", "tags": ["a", "c"] }), "at /tags/1: "),
            (json!({}), "at the top: \"name\" is a required property"),
            (json!({ "name": "xx", "nmae": 1 }), "at the top: "),
        ] {
            let misfit = misfit(&schema, &value);
            assert!(misfit.starts_with(told), "{misfit}");
        }
        let secret = misfit(&schema, &json!({ "name": 424_242 }));
        assert!(!secret.contains("424242"), "{secret}");
    }

    #[test]
    fn reasons_are_few_and_short() {
        let schema = json!({ "items": { "type": "string" } });
        let many = misfit(&schema, &json!((0..1_000).collect::<Vec<_>>()));
        assert_eq!(many.matches("at /").count(), 8, "{many}");
        assert!(many.ends_with("; and more"), "{many}");
        let key = "k".repeat(1 << 20);
        let long = misfit(&json!({ "additionalProperties": { "type": "string" } }), &json!({ key: 1 }));
        assert!(long.len() < 3 * MISFIT_BYTES, "{} bytes", long.len());
    }

    #[test]
    fn nothing_is_fetched() {
        for reference in [
            "http://127.0.0.1:9/schema.json",
            "https://example.com/schema.json",
            "file:///etc/hostname",
            "other.json",
        ] {
            let schema = json!({ "type": "object", "properties": { "a": { "$ref": reference } } });
            let refused = Validator::new(&schema).err();
            assert!(matches!(refused, Some(SchemaError::Invalid { .. })), "{reference}: {refused:?}");
        }
        let schema = json!({ "$defs": { "a": { "type": "string" } }, "$ref": "#/$defs/a" });
        assert!(Validator::new(&schema).is_ok(), "its own parts are no strangers");
    }

    #[test]
    fn dialects_are_known_or_refused() {
        for dialect in [
            "https://json-schema.org/draft/2020-12/schema",
            "https://json-schema.org/draft/2019-09/schema",
            "http://json-schema.org/draft-07/schema#",
            "http://json-schema.org/draft-07/schema",
        ] {
            assert!(Validator::new(&json!({ "$schema": dialect })).is_ok(), "{dialect}");
        }
        for dialect in [
            json!("https://example.com/mine"),
            json!("https://json-schema.org/draft/2077-01/schema"),
            json!(5),
        ] {
            let refused = Validator::new(&json!({ "$schema": dialect })).err();
            assert!(matches!(refused, Some(SchemaError::Dialect(_))), "{dialect}: {refused:?}");
        }
    }

    #[test]
    fn a_dialect_is_gone_by() {
        // In draft-07 an array of schemas stands for the first items; in 2020-12 that is an error.
        let tuple = |dialect: &str| json!({ "$schema": dialect, "items": [{ "type": "string" }] });
        let seven = Validator::new(&tuple("http://json-schema.org/draft-07/schema#")).unwrap();
        assert!(seven.check(&json!([1])).is_err());
        let refused = Validator::new(&tuple("https://json-schema.org/draft/2020-12/schema")).err();
        assert!(matches!(refused, Some(SchemaError::Invalid { .. })), "{refused:?}");
    }

    #[test]
    fn schemas_have_bounds() {
        let deep = (0..SCHEMA_DEEPEST).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert_eq!(Validator::new(&deep).err(), Some(SchemaError::TooLarge));
        let wide = json!({ "anyOf": vec![json!({}); SCHEMA_PARTS] });
        assert_eq!(Validator::new(&wide).err(), Some(SchemaError::TooLarge));
        let ruinous = json!({ "pattern": "(?=(a+)+$)b*" });
        let validator = Validator::new(&ruinous).unwrap();
        assert!(validator.check(&json!(format!("{}!", "a".repeat(64)))).is_err(), "given up, not waited for");
    }
}
