//! JSON Schema word for word, for the keywords that the schemas here have: a second opinion on what fits.

use serde_json::{Map, Value};
use std::cmp::Ordering;

/// The dialect in which `prefixItems` and the keywords after 2019 mean something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Draft7,
    Draft2019,
    Draft2020,
}

/// A schema with all it refers to.
#[derive(Clone, Copy)]
pub(super) struct Naive<'a> {
    root: &'a Value,
    dialect: Dialect,
}

impl<'a> Naive<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let dialect = match root.get("$schema").and_then(Value::as_str) {
            Some(name) if name.contains("draft-07") => Dialect::Draft7,
            Some(name) if name.contains("2019-09") => Dialect::Draft2019,
            _ => Dialect::Draft2020,
        };
        Self { root, dialect }
    }

    /// Whether the value fits the whole schema.
    pub(super) fn fits(self, value: &Value) -> bool {
        self.fits_in(self.root, value)
    }

    /// The schema that a `$ref` leads to.
    pub(super) fn referred(self, reference: &Value) -> &'a Value {
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
        pointer
            .and_then(|pointer| self.root.pointer(pointer))
            .expect("references lead to parts of the schema")
    }

    fn fits_in(self, schema: &Value, value: &Value) -> bool {
        match schema {
            Value::Bool(all) => *all,
            Value::Object(keywords) => {
                keywords.iter().all(|(keyword, what)| self.keyword(keywords, keyword, what, value))
            }
            other => panic!("no schema: {other}"),
        }
    }

    fn keyword(self, of: &Map<String, Value>, keyword: &str, what: &Value, value: &Value) -> bool {
        let fitting = |what: &Value| {
            what.as_array().expect("a list").iter().filter(|schema| self.fits_in(schema, value)).count()
        };
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" | "then" | "else" => true,
            "$ref" => self.fits_in(self.referred(what), value),
            "type" => match what {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => what.as_array().expect("a list").iter().any(|one| same(one, value)),
            "const" => same(what, value),
            "allOf" => fitting(what) == what.as_array().map_or(0, Vec::len),
            "anyOf" => fitting(what) > 0,
            "oneOf" => fitting(what) == 1,
            "not" => !self.fits_in(what, value),
            "if" => {
                let then = if self.fits_in(what, value) { "then" } else { "else" };
                of.get(then).is_none_or(|then| self.fits_in(then, value))
            }
            _ => match value {
                Value::Number(_) => of_number(keyword, what, value),
                Value::String(text) => of_text(keyword, what, text),
                Value::Array(items) => self.of_array(of, keyword, what, items),
                Value::Object(members) => self.of_object(of, keyword, what, members),
                _ => is_for_others(keyword),
            },
        }
    }

    fn of_array(self, of: &Map<String, Value>, keyword: &str, what: &Value, items: &[Value]) -> bool {
        let tuple = self.dialect == Dialect::Draft2020;
        match keyword {
            "minItems" => items.len() >= count(what),
            "maxItems" => items.len() <= count(what),
            "uniqueItems" => {
                let twice = |at: usize| items[..at].iter().any(|other| same(other, &items[at]));
                *what == false || !(0..items.len()).any(twice)
            }
            "contains" => items.iter().any(|item| self.fits_in(what, item)),
            "prefixItems" => {
                let schemas = what.as_array().expect("a list of schemas");
                !tuple || schemas.iter().zip(items).all(|(schema, item)| self.fits_in(schema, item))
            }
            "items" => {
                let first =
                    of.get("prefixItems").and_then(Value::as_array).filter(|_| tuple).map_or(0, Vec::len);
                items.iter().skip(first).all(|item| self.fits_in(what, item))
            }
            _ => is_for_others(keyword),
        }
    }

    fn of_object(
        self,
        of: &Map<String, Value>,
        keyword: &str,
        what: &Value,
        members: &Map<String, Value>,
    ) -> bool {
        let named =
            |name: &String| of.get("properties").is_some_and(|properties| properties.get(name).is_some());
        match keyword {
            "minProperties" => members.len() >= count(what),
            "maxProperties" => members.len() <= count(what),
            "required" => has_all(members, what),
            "properties" => {
                let schemas = what.as_object().expect("schemas by name");
                schemas
                    .iter()
                    .all(|(name, schema)| members.get(name).is_none_or(|value| self.fits_in(schema, value)))
            }
            "additionalProperties" => {
                members.iter().all(|(name, value)| named(name) || self.fits_in(what, value))
            }
            "propertyNames" => members.keys().all(|name| self.fits_in(what, &Value::String(name.clone()))),
            "dependentRequired" => {
                let needs = what.as_object().expect("names by name");
                self.dialect == Dialect::Draft7
                    || needs
                        .iter()
                        .all(|(name, needed)| !members.contains_key(name) || has_all(members, needed))
            }
            _ => is_for_others(keyword),
        }
    }
}

fn has_all(members: &Map<String, Value>, names: &Value) -> bool {
    names.as_array().expect("names").iter().all(|name| members.contains_key(name.as_str().expect("a name")))
}

fn of_number(keyword: &str, what: &Value, value: &Value) -> bool {
    match keyword {
        "minimum" => compare(value, what) != Ordering::Less,
        "maximum" => compare(value, what) != Ordering::Greater,
        "exclusiveMinimum" => compare(value, what) == Ordering::Greater,
        "exclusiveMaximum" => compare(value, what) == Ordering::Less,
        "multipleOf" => {
            whole(value).is_some_and(|whole| whole % i128::from(what.as_i64().expect("whole")) == 0)
        }
        _ => is_for_others(keyword),
    }
}

fn of_text(keyword: &str, what: &Value, text: &str) -> bool {
    match keyword {
        "minLength" => text.chars().count() >= count(what),
        "maxLength" => text.chars().count() <= count(what),
        _ => is_for_others(keyword),
    }
}

/// A keyword that says nothing of this kind of value.
fn is_for_others(keyword: &str) -> bool {
    const KNOWN: [&str; 20] = [
        "additionalProperties",
        "contains",
        "dependentRequired",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "prefixItems",
        "properties",
        "propertyNames",
        "required",
        "uniqueItems",
    ];
    assert!(KNOWN.contains(&keyword), "a keyword without a second opinion: {keyword}");
    true
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("the name of a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => whole(value).is_some(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type: {other}"),
    }
}

fn count(what: &Value) -> usize {
    what.as_u64().expect("a count") as usize
}

/// A number without a fraction; `1.0` is one.
pub(super) fn whole(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    exact.or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128))
}

fn compare(one: &Value, other: &Value) -> Ordering {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().partial_cmp(&other.as_f64()).expect("no number is not a number"),
    }
}

/// Whether both are one JSON value: `1` is `1.0`.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => compare(one, other) == Ordering::Equal,
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let equal =
                |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(equal)
        }
        _ => one == other,
    }
}
