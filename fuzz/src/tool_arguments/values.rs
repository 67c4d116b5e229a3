//! Values for a schema, most of which fit it, by choices.

use super::{
    naive::{Naive, whole},
    schemas::NAMES,
};
use crate::choices::Choices;
use serde_json::{Map, Value, json};

const DEPTH: usize = 5;

/// An object that may fit the schema.
pub(super) fn arguments(schema: &Value, choices: &mut Choices<'_>) -> Map<String, Value> {
    let mut maker = Maker { naive: Naive::new(schema), choices };
    maker.object(schema, DEPTH)
}

struct Maker<'a, 'b, 'c> {
    naive: Naive<'a>,
    choices: &'b mut Choices<'c>,
}

impl Maker<'_, '_, '_> {
    fn below(&mut self, n: usize) -> usize {
        self.choices.back(n)
    }

    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if depth == 0 || self.below(10) == 9 {
            return self.odd(depth);
        }
        if let Some(reference) = schema.get("$ref") {
            let referred = self.naive.referred(reference);
            return self.value(referred, depth - 1);
        }
        for keyword in ["anyOf", "oneOf", "allOf", "enum"] {
            if let Some(several) = schema.get(keyword).and_then(Value::as_array) {
                let one = &several[self.below(several.len())];
                return if keyword == "enum" { one.clone() } else { self.value(one, depth - 1) };
            }
        }
        if let Some(only) = schema.get("const") {
            return only.clone();
        }
        if schema.get("if").is_some() {
            let branch = ["then", "else", "if"][self.below(3)];
            return self.value(&schema[branch], depth - 1);
        }
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds[self.below(kinds.len())].as_str(),
            kind => kind.and_then(Value::as_str),
        };
        match kind {
            Some("integer") => self.number(schema).into(),
            Some("number") if self.below(2) == 0 => (self.number(schema) as f64 + 0.5).into(),
            Some("number") => self.number(schema).into(),
            Some("string") => self.text(schema).into(),
            Some("boolean") => (self.below(2) == 0).into(),
            Some("null") => Value::Null,
            Some("array") => self.array(schema, depth).into(),
            Some("object") => self.object(schema, depth).into(),
            _ => self.odd(depth),
        }
    }

    /// Near a bound, if there is one.
    fn number(&mut self, schema: &Value) -> i64 {
        const BOUNDS: [&str; 5] =
            ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
        let bounds: Vec<_> = BOUNDS
            .iter()
            .filter_map(|bound| schema.get(bound).and_then(whole))
            .map(|bound| bound as i64)
            .collect();
        let near = if bounds.is_empty() { 0 } else { bounds[self.below(bounds.len())] };
        near + [0, 1, -1, 2][self.below(4)]
    }

    fn text(&mut self, schema: &Value) -> String {
        let length = ["minLength", "maxLength"][self.below(2)];
        let length = schema.get(length).and_then(Value::as_u64).map_or(1, |length| length as usize);
        let characters = ["a", "é", "😀", "\u{0}"][self.below(4)];
        // Sometimes one too many.
        characters.repeat(length.min(8) + usize::from(self.below(6) == 5))
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Vec<Value> {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
        let all = Value::Bool(true);
        (0..least.min(8) + self.below(3))
            .map(|at| {
                let first = schema.get("prefixItems").and_then(|first| first.get(at));
                let item = first.or_else(|| schema.get("items")).or_else(|| schema.get("contains"));
                self.value(item.unwrap_or(&all), depth - 1)
            })
            .collect()
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Map<String, Value> {
        let mut members = Map::new();
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if self.below(5) < 4 {
                members.insert(name.clone(), self.value(schema, depth.saturating_sub(1)));
            }
        }
        if self.below(4) == 3 {
            let name = [NAMES[0], NAMES[2], NAMES[3], "", "else"][self.below(5)];
            let value = self.odd(depth.min(2));
            members.insert(name.to_owned(), value);
        }
        members
    }

    /// Without regard to any schema.
    fn odd(&mut self, depth: usize) -> Value {
        match self.below(14) {
            0 => Value::Null,
            1 => json!(0),
            2 => json!(1.0),
            3 => json!(2.5),
            4 => json!(-0.0),
            5 => json!(u64::MAX),
            6 => json!(i64::MIN),
            7 => json!(""),
            8 => json!("a"),
            9 => json!(true),
            10 => json!([]),
            11 => json!({}),
            12 if depth > 0 => json!([self.odd(depth - 1), self.odd(depth - 1)]),
            13 if depth > 0 => json!({ "a": (self.odd(depth - 1)), "else": (self.odd(depth - 1)) }),
            _ => json!(3),
        }
    }
}
