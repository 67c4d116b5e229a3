//! What a tool can ask of its client.

use freehold_mcp::{Tool, ToolContext, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::new("test_sampling", "Asks the client's model.", sampling),
        Tool::new("test_elicitation", "Asks the client's person.", elicitation),
        Tool::new("test_elicitation_sep1034_defaults", "Asks by a form with defaults.", defaults),
        Tool::new("test_elicitation_sep1330_enums", "Asks by a form with choices.", enums),
        Tool::new("test_missing_capability", "Needs a client that can sample.", needs_sampling),
        Tool::new("test_streaming_elicitation", "Would ask, if a request could be asked back.", would_ask),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Sampling {
    /// What the model is asked.
    prompt: String,
}

#[derive(Deserialize)]
struct Sampled {
    content: Value,
}

async fn sampling(ctx: &ToolContext<()>, args: Sampling) -> Result<String, ToolError> {
    let question = json!({
        "messages": [{ "role": "user", "content": { "type": "text", "text": args.prompt } }],
        "maxTokens": 100,
    });
    let Sampled { content } = ctx.sample(&question).await?;
    Ok(format!("LLM response: {}", content["text"].as_str().unwrap_or_default()))
}

#[derive(Deserialize, JsonSchema)]
struct Elicitation {
    /// What the person is asked.
    message: String,
}

#[derive(Deserialize)]
struct Elicited {
    action: String,
    #[serde(default)]
    content: Value,
}

async fn elicit(ctx: &ToolContext<()>, message: &str, properties: Value) -> Result<Elicited, ToolError> {
    let schema = json!({ "type": "object", "properties": properties });
    Ok(ctx.elicit(&json!({ "message": message, "requestedSchema": schema })).await?)
}

fn completed(Elicited { action, content }: Elicited) -> String {
    format!("Elicitation completed: action={action}, content={content}")
}

async fn elicitation(ctx: &ToolContext<()>, args: Elicitation) -> Result<String, ToolError> {
    let schema = json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    });
    let question = json!({ "message": args.message, "requestedSchema": schema });
    let Elicited { action, content } = ctx.elicit(&question).await?;
    Ok(format!("User response: action={action}, content={content}"))
}

async fn defaults(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let properties = json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    });
    elicit(ctx, "Change what is not right.", properties).await.map(completed)
}

async fn enums(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let titled = |titles: [&str; 3]| {
        let choice =
            |(index, title): (usize, &str)| json!({ "const": format!("value{}", index + 1), "title": title });
        titles.into_iter().enumerate().map(choice).collect::<Vec<_>>()
    };
    let options = ["option1", "option2", "option3"];
    let properties = json!({
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": {
            "type": "string",
            "oneOf": titled(["First Option", "Second Option", "Third Option"]),
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
        "titledMulti": {
            "type": "array",
            "items": { "anyOf": titled(["First Choice", "Second Choice", "Third Choice"]) },
        },
    });
    elicit(ctx, "Choose.", properties).await.map(completed)
}

async fn needs_sampling(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.require_sampling()?;
    Ok("The client can sample")
}

async fn would_ask(_ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    Ok("A stateless request is not asked back")
}
