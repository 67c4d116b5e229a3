//! Prompts.

use crate::{
    Everything,
    content::PNG,
    input::{ask, field, form},
};
use freehold_rmcp::rmcp::{
    ErrorData, RoleServer,
    handler::server::{prompt::PromptContext, wrapper::Parameters},
    model::{
        ContentBlock, GetPromptRequestParams, GetPromptResponse, GetPromptResult, ListPromptsResult, Prompt,
        PromptMessage, Role,
    },
    prompt, prompt_router,
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The prompt that needs input; rmcp's macro for prompts knows of none.
const WITH_INPUT: &str = "test_input_required_result_prompt";

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Two {
    /// First test argument.
    arg1: String,
    /// Second test argument.
    arg2: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Embedded {
    /// URI of the resource to embed.
    #[serde(rename = "resourceUri")]
    resource_uri: String,
}

fn user(text: impl Into<String>) -> PromptMessage {
    PromptMessage::new_text(Role::User, text)
}

#[prompt_router(vis = "pub(crate)")]
impl Everything {
    #[prompt(description = "Says something simple.")]
    async fn test_simple_prompt(&self) -> Vec<PromptMessage> {
        vec![user("This is a simple prompt for testing.")]
    }

    #[prompt(description = "Repeats its arguments.")]
    async fn test_prompt_with_arguments(
        &self,
        Parameters(Two { arg1, arg2 }): Parameters<Two>,
    ) -> Vec<PromptMessage> {
        vec![user(format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]
    }

    #[prompt(description = "Embeds a resource.")]
    async fn test_prompt_with_embedded_resource(
        &self,
        Parameters(Embedded { resource_uri }): Parameters<Embedded>,
    ) -> Vec<PromptMessage> {
        let resource = ContentBlock::embedded_text(resource_uri, "Embedded resource content for testing.");
        vec![PromptMessage::new(Role::User, resource), user("Please process the embedded resource above.")]
    }

    #[prompt(description = "Shows a picture.")]
    async fn test_prompt_with_image(&self) -> Vec<PromptMessage> {
        let image = ContentBlock::image(PNG, "image/png");
        vec![PromptMessage::new(Role::User, image), user("Please analyze the image above.")]
    }
}

impl Everything {
    pub(crate) fn prompts(&self) -> ListPromptsResult {
        let mut prompts = self.prompt_router.list_all();
        prompts.push(Prompt::new(WITH_INPUT, Some("Asks for its context."), None));
        prompts.sort_by(|one, other| one.name.cmp(&other.name));
        ListPromptsResult::with_all_items(prompts)
    }

    pub(crate) async fn prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name != WITH_INPUT {
            let context = PromptContext::new(self, request.name, request.arguments, context);
            return self.prompt_router.get_prompt(context).await;
        }
        match field(&request.input_responses, "user_context", "context").and_then(Value::as_str) {
            Some(context) => Ok(GetPromptResult::new(vec![user(format!("The context is {context}"))]).into()),
            None => {
                let question = form("What context should the prompt use?", "context", "string");
                Ok(ask([("user_context", question)], None)?.into())
            }
        }
    }
}
