//! What a tool can ask of the client of a session.

use crate::{Everything, failed};
use freehold_rmcp::rmcp::{
    ErrorData, RoleServer,
    handler::server::wrapper::Parameters,
    model::{
        ClientCapabilities, CreateMessageRequestParams, ElicitRequestParams, ElicitResult, SamplingMessage,
    },
    service::RequestContext,
    tool, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Sampling {
    /// What the model is asked.
    prompt: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Elicitation {
    /// What the person is asked.
    message: String,
}

async fn elicit(
    context: &RequestContext<RoleServer>,
    message: &str,
    schema: Value,
) -> Result<ElicitResult, ErrorData> {
    let question = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    let question: ElicitRequestParams = serde_json::from_value(question).map_err(failed)?;
    context.peer.create_elicitation(question).await.map_err(failed)
}

async fn completed(context: &RequestContext<RoleServer>, properties: Value) -> Result<String, ErrorData> {
    let schema = json!({ "type": "object", "properties": properties });
    let ElicitResult { action, content, .. } = elicit(context, "Change what is not right.", schema).await?;
    Ok(format!("Elicitation completed: action={}, content={}", json!(action), content.unwrap_or_default()))
}

#[tool_router(router = asking_router, vis = "pub(crate)")]
impl Everything {
    #[tool(description = "Asks the client's model.")]
    async fn test_sampling(
        &self,
        Parameters(Sampling { prompt }): Parameters<Sampling>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let question = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
        let answer = context.peer.create_message(question).await.map_err(failed)?;
        let text = answer.message.content.first().and_then(|content| content.as_text());
        Ok(format!("LLM response: {}", text.map_or("", |text| &text.text)))
    }

    #[tool(description = "Asks the client's person.")]
    async fn test_elicitation(
        &self,
        Parameters(Elicitation { message }): Parameters<Elicitation>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let schema = json!({
            "type": "object",
            "properties": {
                "username": { "type": "string", "description": "User's response" },
                "email": { "type": "string", "description": "User's email address" },
            },
            "required": ["username", "email"],
        });
        let ElicitResult { action, content, .. } = elicit(&context, &message, schema).await?;
        Ok(format!("User response: action={}, content={}", json!(action), content.unwrap_or_default()))
    }

    #[tool(description = "Asks by a form with defaults.")]
    async fn test_elicitation_sep1034_defaults(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let properties = json!({
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
            "verified": { "type": "boolean", "default": true },
        });
        completed(&context, properties).await
    }

    #[tool(description = "Asks by a form with choices.")]
    async fn test_elicitation_sep1330_enums(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let titled = |titles: [&str; 3]| {
            let choice = |(index, title): (usize, &str)| json!({ "const": format!("value{}", index + 1), "title": title });
            titles.into_iter().enumerate().map(choice).collect::<Vec<_>>()
        };
        let options = ["option1", "option2", "option3"];
        let properties = json!({
            "untitledSingle": { "type": "string", "enum": options },
            "titledSingle": { "type": "string", "oneOf": titled(["First Option", "Second Option", "Third Option"]) },
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
        completed(&context, properties).await
    }

    #[tool(description = "Needs a client that can sample.")]
    async fn test_missing_capability(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let declared = context.client_capabilities().is_some_and(|declared| declared.sampling.is_some());
        if !declared {
            let required = ClientCapabilities::builder().enable_sampling().build();
            return Err(ErrorData::missing_required_client_capability(required));
        }
        Ok("The client can sample".to_owned())
    }

    #[tool(description = "Would ask, if a request could be asked back.")]
    async fn test_streaming_elicitation(&self) -> String {
        "A stateless request is not asked back".to_owned()
    }
}
