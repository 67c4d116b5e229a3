//! Tools whose schemas are written by hand.

use crate::Everything;
use freehold_rmcp::rmcp::{
    model::{JsonObject, object},
    tool, tool_router,
};
use serde_json::{Value, json};
use std::sync::Arc;

fn schema(value: Value) -> Arc<JsonObject> {
    Arc::new(object(value))
}

fn person() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

fn mirrored() -> Value {
    json!({
        "type": "object",
        "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "query": { "type": "string" },
        },
    })
}

#[tool_router(router = schemas_router, vis = "pub(crate)")]
impl Everything {
    #[tool(description = "Tool with JSON Schema 2020-12 features", input_schema = schema(person()))]
    async fn json_schema_2020_12_tool(&self, arguments: JsonObject) -> String {
        format!("Received {}", Value::Object(arguments))
    }

    #[tool(description = "Takes an argument that stateless requests repeat in a header.", input_schema = schema(mirrored()))]
    async fn test_x_mcp_header(&self, arguments: JsonObject) -> String {
        format!("Received {}", Value::Object(arguments))
    }
}
