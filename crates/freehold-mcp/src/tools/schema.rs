//! JSON Schemas of tools: made from types, and read for what the protocol finds in them.

use super::validation::SchemaError;
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with_transform(RecursiveTransform(remove_integer_format))
}

/// The JSON Schema 2020-12 of what is read as the type.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    settings().into_generator().into_root_schema_for::<T>().to_value()
}

/// That of what the type is written as.
pub(super) fn output_schema_of<T: JsonSchema>() -> Value {
    settings().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
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
pub(crate) fn input_schema_of<A: JsonSchema>() -> Result<Value, SchemaError> {
    let mut schema = schema_of::<A>();
    let root = schema.as_object_mut().ok_or(SchemaError::NotOfObjects)?;
    let object = json!("object");
    match root.get("type") {
        Some(kind) if *kind == object => {}
        Some(Value::Array(kinds)) if kinds.contains(&object) => {
            root.insert("type".to_owned(), object);
        }
        Some(kind) if kind == "null" => {
            return Ok(json!({ "type": "object", "additionalProperties": false }));
        }
        Some(_) => return Err(SchemaError::NotOfObjects),
        // An enum, or what stands elsewhere in the schema.
        None => {
            root.insert("type".to_owned(), object);
        }
    }
    Ok(schema)
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

#[cfg(test)]
mod roots {
    use super::{SchemaError, input_schema_of, output_schema_of};
    use schemars::JsonSchema;
    use serde_json::{Map, Value, json};

    #[derive(JsonSchema)]
    #[serde(tag = "kind")]
    #[expect(dead_code, reason = "only its schema is wanted")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: f64 },
    }

    #[test]
    fn arguments_are_objects_or_refused() {
        assert_eq!(
            input_schema_of::<()>().unwrap(),
            json!({ "type": "object", "additionalProperties": false })
        );
        assert_eq!(input_schema_of::<Map<String, Value>>().unwrap()["type"], "object");
        let shape = input_schema_of::<Shape>().unwrap();
        assert_eq!(shape["type"], "object");
        assert_eq!(shape["oneOf"].as_array().map(Vec::len), Some(2), "{shape}");
        for refused in
            [input_schema_of::<String>(), input_schema_of::<Vec<u8>>(), input_schema_of::<(u8, u8)>()]
        {
            assert_eq!(refused, Err(SchemaError::NotOfObjects));
        }
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Account {
        #[serde(default)]
        owner: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }

    #[test]
    fn an_output_has_the_members_that_are_always_written() {
        let required = |schema: Value| schema["required"].clone();
        assert_eq!(required(output_schema_of::<Account>()), json!(["owner"]));
        assert_eq!(required(input_schema_of::<Account>().unwrap()), Value::Null);
    }
}
