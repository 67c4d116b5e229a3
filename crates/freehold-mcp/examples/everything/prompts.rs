//! Prompts with each kind of content.

use crate::content::PNG;
use freehold_mcp::{
    Completion, CompletionRequest, Content, Field, Form, Prompt, PromptMessage, Question, RequestContext,
    RequestError, prompt,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) fn prompts() -> Vec<Prompt<()>> {
    vec![
        Prompt::new("test_simple_prompt", "A prompt without arguments.", simple),
        with_arguments::prompt(),
        Prompt::new("test_prompt_with_embedded_resource", "A prompt that embeds a resource.", embedded),
        Prompt::new("test_prompt_with_image", "A prompt with a picture.", image),
        Prompt::new("test_input_required_result_prompt", "A prompt that asks first.", asking),
    ]
}

async fn simple(_ctx: &RequestContext<()>, (): ()) -> Result<&'static str, RequestError> {
    Ok("This is a simple prompt for testing.")
}

/// A prompt of two arguments.
#[prompt(name = "test_prompt_with_arguments", title = "Prompt with arguments")]
async fn with_arguments(
    /// First test argument.
    #[complete(word)]
    arg1: String,
    /// Second test argument.
    #[complete(word)]
    arg2: String,
) -> String {
    format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")
}

async fn word(_ctx: &RequestContext<()>, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix(["paris", "park", "party", "test", "testing"], &of.value))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Embedded {
    /// URI of the resource to embed.
    resource_uri: String,
}

async fn embedded(_ctx: &RequestContext<()>, args: Embedded) -> Result<Vec<PromptMessage>, RequestError> {
    let text = "Embedded resource content for testing.";
    Ok(vec![
        PromptMessage::user(Content::resource(args.resource_uri, "text/plain", text)),
        PromptMessage::user("Please process the embedded resource above."),
    ])
}

async fn image(_ctx: &RequestContext<()>, (): ()) -> Result<Vec<PromptMessage>, RequestError> {
    Ok(vec![
        PromptMessage::user(Content::image(PNG, "image/png")),
        PromptMessage::user("Please analyze the image above."),
    ])
}

async fn asking(ctx: &RequestContext<()>, (): ()) -> Result<String, RequestError> {
    let form = Form::new("What context should the prompt use?").field("context", Field::text());
    let answer = ctx.ask(form.keyed("user_context")).await?.into_accepted()?;
    Ok(format!("Context: {}", answer["context"].as_str().unwrap_or_default()))
}
