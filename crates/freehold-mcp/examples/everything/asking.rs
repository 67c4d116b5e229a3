//! What a tool can ask of its client.

use freehold_mcp::{
    Capability, CreateMessage, Elicited, Field, Form, RawQuestion, Tool, ToolContext, ToolError,
    UrlElicitation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::new("test_sampling", "Asks the client's model.", sampling),
        Tool::new("test_elicitation", "Asks the client's person.", elicitation),
        Tool::new("test_elicitation_sep1034_defaults", "Asks by a form with defaults.", defaults),
        Tool::new("test_elicitation_sep1330_enums", "Asks by a form with choices.", enums),
        Tool::new("test_elicitation_url", "Sends the client's person to a URL.", url),
        Tool::new("test_missing_capability", "Needs a client that can sample.", needs_sampling),
        Tool::new("test_streaming_elicitation", "Asks in whichever way the request allows.", streaming),
        Tool::new("test_list_roots", "Asks for the client's roots.", roots),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Sampling {
    /// What the model is asked.
    prompt: String,
}

async fn sampling(ctx: &ToolContext<()>, args: Sampling) -> Result<String, ToolError> {
    let answer = ctx.sample(CreateMessage::new(100).user(args.prompt)).await?;
    Ok(format!("LLM response: {}", answer.text()))
}

#[derive(Deserialize, JsonSchema)]
struct Elicitation {
    /// What the person is asked.
    message: String,
}

fn told(answer: Elicited<impl Serialize>) -> String {
    let action = answer.action();
    let content = answer.accepted().map_or(Value::Null, |content| json!(content));
    format!("action={action}, content={content}")
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Person {
    /// User's response
    username: String,
    /// User's email address
    email: String,
}

async fn elicitation(ctx: &ToolContext<()>, args: Elicitation) -> Result<String, ToolError> {
    Ok(format!("User response: {}", told(ctx.elicit::<Person>(&args.message).await?)))
}

async fn defaults(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let form = Form::new("Change what is not right.")
        .optional("name", Field::text().default("John Doe"))
        .optional("age", Field::integer().default(30))
        .optional("score", Field::number().default(95.5))
        .optional("status", Field::one_of(["active", "inactive", "pending"]).default("active"))
        .optional("verified", Field::boolean().default(true));
    Ok(format!("Elicitation completed: {}", told(ctx.ask(form).await?)))
}

/// All kinds of choices, also the one that newer revisions only keep for older clients; hence by hand.
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
    let schema = json!({ "type": "object", "properties": properties });
    let question = json!({ "message": "Choose.", "requestedSchema": schema });

    #[derive(Deserialize)]
    struct Answer {
        action: String,
        #[serde(default)]
        content: Map<String, Value>,
    }
    let Answer { action, content } = ctx.ask(RawQuestion::elicitation(question)).await?;
    Ok(format!("Elicitation completed: action={action}, content={}", Value::Object(content)))
}

async fn url(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let url = UrlElicitation::new("https://example.com/connect", "Connect your account.", "connect");
    Ok(format!("Elicitation completed: action={}", ctx.ask(url).await?.action()))
}

async fn needs_sampling(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.require(Capability::Sampling)?;
    Ok("The client can sample")
}

async fn streaming(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let form = Form::new("Go on?").field("yes", Field::boolean());
    Ok(format!("Elicitation completed: {}", told(ctx.ask(form).await?)))
}

async fn roots(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let roots = ctx.list_roots().await?;
    Ok(roots.into_iter().map(|root| root.uri).collect::<Vec<_>>().join("\n"))
}
