//! Arguments that stateless requests over HTTP repeat in a header: those whose schema has `x-mcp-header`.

use super::validation::SchemaError;
use crate::limits::SCHEMA_DEEPEST;
use http::HeaderName;
use serde_json::{Map, Value};

const KEYWORD: &str = "x-mcp-header";
const PROPERTIES: &str = "properties";
/// Keywords whose members are schemas.
const OF_NAMED: [&str; 5] = [PROPERTIES, "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords that are a schema, or a list of schemas.
const OF_SCHEMAS: [&str; 16] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// An argument with `x-mcp-header` in the schema.
#[derive(Debug, PartialEq)]
pub(crate) struct MirroredArgument {
    /// The end of the header's name, in small letters.
    pub(crate) header: String,
    pub(crate) path: Vec<String>,
}

/// The arguments that carry `x-mcp-header`. One that the protocol does not allow is an error: clients leave such a tool
/// out, and their programmers would never know why.
pub(crate) fn mirrored_arguments(schema: &Value) -> Result<Vec<MirroredArgument>, SchemaError> {
    let mut search = Search { place: Vec::new(), found: Vec::new() };
    search.visit(schema)?;
    Ok(search.found)
}

struct Search {
    /// The keywords and names that lead to where the search is.
    place: Vec<String>,
    found: Vec<MirroredArgument>,
}

impl Search {
    fn visit(&mut self, schema: &Value) -> Result<(), SchemaError> {
        let Value::Object(members) = schema else { return Ok(()) };
        // A keyword and a name each.
        if self.place.len() > 2 * SCHEMA_DEEPEST {
            return Err(SchemaError::TooLarge);
        }
        if let Some(header) = members.get(KEYWORD) {
            let argument = self.argument(header, members).map_err(|reason| {
                SchemaError::MirroredArgument { path: format!("/{}", self.place.join("/")), reason }
            })?;
            self.found.push(argument);
        }
        for (keyword, value) in members {
            match value {
                Value::Object(named) if OF_NAMED.contains(&keyword.as_str()) => {
                    for (name, schema) in named {
                        self.visit_at(&[keyword, name], schema)?;
                    }
                }
                Value::Array(schemas) if OF_SCHEMAS.contains(&keyword.as_str()) => {
                    for (index, schema) in schemas.iter().enumerate() {
                        self.visit_at(&[keyword, &index.to_string()], schema)?;
                    }
                }
                schema if OF_SCHEMAS.contains(&keyword.as_str()) => self.visit_at(&[keyword], schema)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn visit_at(&mut self, steps: &[&str], schema: &Value) -> Result<(), SchemaError> {
        let here = self.place.len();
        self.place.extend(steps.iter().map(|step| (*step).to_owned()));
        let visited = self.visit(schema);
        self.place.truncate(here);
        visited
    }

    /// The argument that the search is at, if the protocol allows it.
    fn argument(
        &self,
        header: &Value,
        schema: &Map<String, Value>,
    ) -> Result<MirroredArgument, &'static str> {
        let reached = self.place.chunks(2).all(|step| step.len() == 2 && step[0] == PROPERTIES);
        if !reached || self.place.is_empty() {
            return Err("it must be at an argument to which `properties` alone lead");
        }
        let header = header.as_str().unwrap_or_default().to_ascii_lowercase();
        if HeaderName::from_bytes(header.as_bytes()).is_err() {
            return Err("it must be text that can end the name of an HTTP header");
        }
        if !matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err("its argument must have the type string, integer or boolean");
        }
        if self.found.iter().any(|other| other.header == header) {
            return Err("another argument has the same, for capitals do not count");
        }
        Ok(MirroredArgument { header, path: self.place.iter().skip(1).step_by(2).cloned().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::{MirroredArgument, mirrored_arguments};
    use crate::tools::SchemaError;
    use serde_json::{Value, json};

    fn of_properties(properties: Value) -> Result<Vec<MirroredArgument>, SchemaError> {
        mirrored_arguments(&json!({ "type": "object", "properties": properties }))
    }

    #[test]
    fn arguments_are_found_through_properties() {
        let found = of_properties(json!({
            "a": { "type": "string", "x-mcp-header": "Region" },
            "b": { "type": "object", "properties": { "c": { "type": "integer", "x-mcp-header": "Deep" } } },
            // Neither is a keyword here.
            "x-mcp-header": { "type": "boolean", "default": { "x-mcp-header": "" } },
        }));
        let argument = |header: &str, path: &[&str]| MirroredArgument {
            header: header.to_owned(),
            path: path.iter().map(|step| (*step).to_owned()).collect(),
        };
        assert_eq!(found, Ok(vec![argument("region", &["a"]), argument("deep", &["b", "c"])]));
    }

    #[test]
    fn what_clients_would_leave_out_is_refused() {
        let text = |header: Value| json!({ "type": "string", "x-mcp-header": header });
        for (properties, place) in [
            (json!({ "a": text(json!("")) }), "/properties/a"),
            (json!({ "a": text(json!("two words")) }), "/properties/a"),
            (json!({ "a": text(json!("a\r\nb")) }), "/properties/a"),
            (json!({ "a": text(json!("ü")) }), "/properties/a"),
            (json!({ "a": text(json!(5)) }), "/properties/a"),
            (json!({ "a": { "type": "number", "x-mcp-header": "A" } }), "/properties/a"),
            (json!({ "a": { "type": ["string", "null"], "x-mcp-header": "A" } }), "/properties/a"),
            (json!({ "a": { "x-mcp-header": "A" } }), "/properties/a"),
            (json!({ "a": text(json!("A")), "b": text(json!("a")) }), "/properties/b"),
            (json!({ "a": { "type": "array", "items": text(json!("A")) } }), "/properties/a/items"),
            (json!({ "a": { "oneOf": [text(json!("A"))] } }), "/properties/a/oneOf/0"),
            (
                json!({ "a": { "not": { "properties": { "b": text(json!("A")) } } } }),
                "/properties/a/not/properties/b",
            ),
        ] {
            match of_properties(properties.clone()) {
                Err(SchemaError::MirroredArgument { path, .. }) => assert_eq!(path, place, "{properties}"),
                other => panic!("{properties}: {other:?}"),
            }
        }
        for schema in [
            json!({ "type": "string", "x-mcp-header": "A" }),
            json!({ "$defs": { "a": text(json!("A")) }, "properties": { "a": { "$ref": "#/$defs/a" } } }),
            json!({ "if": { "properties": { "a": text(json!("A")) } } }),
        ] {
            let refused = mirrored_arguments(&schema);
            assert!(matches!(refused, Err(SchemaError::MirroredArgument { .. })), "{schema}");
        }
    }
}
