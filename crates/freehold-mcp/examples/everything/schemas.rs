//! Tools whose schemas are written by hand.

use freehold_mcp::{Tool, ToolContext, ToolError};
use serde_json::{Map, Value, json};

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::with_schema(
            "json_schema_2020_12_tool",
            "Tool with JSON Schema 2020-12 features",
            person(),
            received,
        )
        .read_only(),
        Tool::with_schema(
            "test_x_mcp_header",
            "Takes an argument that stateless requests repeat in a header.",
            mirrored(),
            received,
        )
        .read_only(),
    ]
}

async fn received(_ctx: &ToolContext<()>, arguments: Map<String, Value>) -> Result<String, ToolError> {
    Ok(format!("Received {}", Value::Object(arguments)))
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
