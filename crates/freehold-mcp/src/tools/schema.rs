//! JSON Schemas of tools: made from types, and read for what the protocol finds in them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// The JSON Schema 2020-12 of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// A schema as tools need it: that of an object. Types without fields (`()`) take none.
pub(super) fn input_schema_of<A: JsonSchema>() -> Value {
    let mut schema = schema_of::<A>();
    if schema.get("type") != Some(&json!("object")) && schema.get("$ref").is_none() {
        schema = json!({ "type": "object", "additionalProperties": false });
    }
    if let Some(root) = schema.as_object_mut() {
        root.entry("type").or_insert_with(|| json!("object"));
    }
    schema
}

/// An argument with `x-mcp-header` in the schema.
pub(crate) struct MirroredArgument {
    pub(crate) header: String,
    pub(crate) path: Vec<String>,
}

/// The arguments that carry `x-mcp-header`: properties of a primitive type, reached through `properties` only.
pub(super) fn mirrored_arguments(schema: &Value) -> Vec<MirroredArgument> {
    let mut found = Vec::new();
    collect_mirrored(schema, &mut Vec::new(), &mut found);
    found
}

/// Schemas nest by hand, not by machine; deeper ones are not looked into.
const DEEPEST_PROPERTY: usize = 32;

fn collect_mirrored(schema: &Value, path: &mut Vec<String>, found: &mut Vec<MirroredArgument>) {
    if path.len() >= DEEPEST_PROPERTY {
        return;
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        path.push(name.clone());
        let primitive = matches!(property["type"].as_str(), Some("string" | "integer" | "boolean"));
        if let Some(header) = property["x-mcp-header"].as_str().filter(|_| primitive) {
            found.push(MirroredArgument { header: header.to_ascii_lowercase(), path: path.clone() });
        }
        collect_mirrored(property, path, found);
        path.pop();
    }
}
