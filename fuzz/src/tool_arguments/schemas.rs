//! A small family of schemas, each made by choices.

use crate::choices::Choices;
use serde_json::{Map, Value, json};

pub(super) const NAMES: [&str; 4] = ["a", "b", "longer", "é"];
const DIALECTS: [Option<&str>; 4] = [
    None,
    Some("https://json-schema.org/draft/2020-12/schema"),
    Some("https://json-schema.org/draft/2019-09/schema"),
    Some("http://json-schema.org/draft-07/schema#"),
];
/// Schemas that others refer to.
const DEFINITIONS: usize = 2;
const DEPTH: usize = 3;

/// The schema of a tool's arguments.
pub(super) fn schema(choices: &mut Choices<'_>) -> Value {
    let dialect = DIALECTS[choices.front(DIALECTS.len())];
    let mut maker = Maker { choices, inside: true };
    let mut root = maker.object(DEPTH);
    let definitions: Map<_, _> = (0..DEFINITIONS)
        .map(|number| {
            maker.inside = false;
            (number.to_string(), maker.any(DEPTH - 1))
        })
        .collect();
    root.insert("$defs".to_owned(), definitions.into());
    if let Some(dialect) = dialect {
        root.insert("$schema".to_owned(), dialect.into());
    }
    root.into()
}

struct Maker<'a, 'b> {
    choices: &'a mut Choices<'b>,
    /// Whether what is made is of a part of the value: only there may a reference stand, lest a schema refers to itself for
    /// one and the same value.
    inside: bool,
}

impl Maker<'_, '_> {
    fn below(&mut self, n: usize) -> usize {
        self.choices.front(n)
    }

    fn any(&mut self, depth: usize) -> Value {
        match self.below(10) {
            5 | 6 if depth > 0 => self.object(depth).into(),
            7 if depth > 0 => self.array(depth),
            8 if depth > 0 => self.combined(depth - 1),
            9 if self.inside => {
                json!({ "$ref": format!("#/$defs/{}", self.below(DEFINITIONS)) })
            }
            _ => self.leaf(),
        }
    }

    /// What is made of a part of the value.
    fn part(&mut self, depth: usize) -> Value {
        let before = std::mem::replace(&mut self.inside, true);
        let part = self.any(depth - 1);
        self.inside = before;
        part
    }

    fn leaf(&mut self) -> Value {
        match self.below(10) {
            0 | 1 => {
                let mut schema = json!({ "type": "integer" });
                self.bounds(&mut schema, ["minimum", "maximum", "exclusiveMinimum", "multipleOf"], 1);
                schema
            }
            2 => {
                let mut schema = json!({ "type": "number" });
                self.bounds(&mut schema, ["exclusiveMaximum", "minimum", "maximum", "multipleOf"], 1);
                schema
            }
            3 | 4 => {
                let mut schema = json!({ "type": "string" });
                self.bounds(&mut schema, ["minLength", "maxLength"], 0);
                schema
            }
            5 => json!({ "type": "boolean" }),
            6 => json!({ "type": ["null", (["string", "integer", "array"][self.below(3)])] }),
            7 => {
                let all = [json!(1), json!("a"), json!(null), json!(2.5), json!(["a"]), json!({ "a": 1 })];
                json!({ "enum": all[..=self.below(6)].to_vec() })
            }
            8 => {
                let all = [json!(0), json!("é"), json!([1, 1.0]), json!(false)];
                json!({ "const": all[self.below(4)].clone() })
            }
            _ => {
                let all = [json!(true), json!({}), json!(false), json!({ "minimum": 2, "maxLength": 2 })];
                all[self.below(4)].clone()
            }
        }
    }

    /// Some of these keywords, with small numbers from `least` on.
    fn bounds<const N: usize>(&mut self, schema: &mut Value, keywords: [&str; N], least: usize) {
        for keyword in keywords {
            if self.below(3) == 1 {
                schema[keyword] = (least + self.below(4)).into();
            }
        }
    }

    fn object(&mut self, depth: usize) -> Map<String, Value> {
        let mut schema = json!({ "type": "object" });
        let count = self.below(NAMES.len());
        let properties: Map<_, _> =
            NAMES[..=count].iter().map(|name| ((*name).to_owned(), self.part(depth))).collect();
        let required: Vec<_> = NAMES[..=count].iter().filter(|_| self.below(2) == 0).collect();
        schema["required"] = json!(required);
        schema["properties"] = properties.into();
        match self.below(6) {
            1 => schema["additionalProperties"] = false.into(),
            2 => schema["additionalProperties"] = self.part(depth),
            3 => schema["propertyNames"] = json!({ "maxLength": 1 + self.below(3) }),
            4 => schema["dependentRequired"] = json!({ (NAMES[self.below(2)]): [NAMES[3]] }),
            5 => self.bounds(&mut schema, ["minProperties", "maxProperties"], 0),
            _ => {}
        }
        let Value::Object(schema) = schema else { unreachable!("it was made as an object") };
        schema
    }

    fn array(&mut self, depth: usize) -> Value {
        let mut schema = json!({ "type": "array" });
        self.bounds(&mut schema, ["minItems", "maxItems"], 0);
        for keyword in ["items", "contains"] {
            if self.below(2) == 0 {
                schema[keyword] = self.part(depth);
            }
        }
        if self.below(3) == 1 {
            schema["prefixItems"] = json!([self.part(depth), self.part(depth)]);
        }
        if self.below(3) == 1 {
            schema["uniqueItems"] = true.into();
        }
        schema
    }

    fn combined(&mut self, depth: usize) -> Value {
        let keyword = ["anyOf", "oneOf", "allOf", "not", "if"][self.below(5)];
        match keyword {
            "not" => json!({ "not": self.any(depth) }),
            "if" => json!({ "if": self.any(depth), "then": self.any(depth), "else": self.any(depth) }),
            several => json!({ several: [self.any(depth), self.any(depth)] }),
        }
    }
}
