//! JSON Schemas of tools: made from types, and read for what the protocol finds in them.

use http::HeaderName;
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

/// The JSON Schema 2020-12 of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(remove_integer_format));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Removes the `format` that says which integer of Rust's it is: the standard knows none, and clients warn of it.
fn remove_integer_format(schema: &mut Schema) {
    let digits =
        |format: &str| format.trim_start_matches("uint").trim_start_matches("int").parse::<u8>().is_ok();
    let of_rust = |format: &str| matches!(format, "uint" | "int") || digits(format);
    if schema.get("format").and_then(Value::as_str).is_some_and(of_rust) {
        schema.remove("format");
    }
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

/// The end of the header's name, if it may be one.
fn header_of(header: &Value, property: &Value, others: &[MirroredArgument]) -> Option<String> {
    let primitive = matches!(property["type"].as_str(), Some("string" | "integer" | "boolean"));
    let header = header.as_str()?.to_ascii_lowercase();
    let fits = primitive && HeaderName::from_bytes(header.as_bytes()).is_ok();
    (fits && others.iter().all(|other| other.header != header)).then_some(header)
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
        if let Some(header) = property.get("x-mcp-header") {
            match header_of(header, property, found) {
                Some(header) => found.push(MirroredArgument { header, path: path.clone() }),
                None => tracing::warn!(
                    argument = path.join("."),
                    "x-mcp-header ignored: it must be a header's name that stands once, at an argument whose type \
                     is string, integer or boolean; clients leave such a tool out"
                ),
            }
        }
        collect_mirrored(property, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::mirrored_arguments;
    use serde_json::json;

    #[test]
    fn only_arguments_that_fit_a_header_are_mirrored() {
        let schema = json!({
            "properties": {
                "a": { "type": "string", "x-mcp-header": "Region" },
                "b": { "type": "string", "x-mcp-header": "REGION" },
                "c": { "type": "number", "x-mcp-header": "Number" },
                "d": { "type": "string", "x-mcp-header": "two words" },
                "e": { "type": "string", "x-mcp-header": "" },
                "f": { "type": "object", "properties": { "g": { "type": "integer", "x-mcp-header": "Deep" } } },
                "h": { "type": "array", "items": { "type": "string", "x-mcp-header": "Item" } },
            },
        });
        let found: Vec<_> = mirrored_arguments(&schema)
            .into_iter()
            .map(|found| (found.header, found.path.join(".")))
            .collect();
        assert_eq!(found, [("region".to_owned(), "a".to_owned()), ("deep".to_owned(), "f.g".to_owned())]);
    }
}

#[cfg(test)]
mod integer_formats {
    use super::schema_of;

    #[test]
    fn clients_see_no_formats_that_only_rust_knows() {
        let schema = schema_of::<Vec<(u64, i32, usize, String)>>().to_string();
        assert!(!schema.contains("format"), "{schema}");
        let address = schema_of::<std::net::Ipv4Addr>().to_string();
        assert!(address.contains(r#""format":"ipv4""#), "{address}");
    }
}
