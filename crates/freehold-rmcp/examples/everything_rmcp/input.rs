//! Tools that need input from the client of a stateless request: their result asks for it, and the client calls again.

use crate::{Everything, failed};
use freehold_rmcp::rmcp::{
    ErrorData, RoleServer,
    handler::server::tool::{InputResponses, RequestState},
    model::{
        CallToolResponse, CallToolResult, ContentBlock, InputRequest, InputRequests, InputRequiredResult,
    },
    service::RequestContext,
    tool, tool_router,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Answers = Option<BTreeMap<String, Value>>;

/// What a client carries to its next round.
#[derive(Serialize, Deserialize)]
struct Round {
    done: u32,
    name: Option<String>,
}

/// A form with one field.
pub(crate) fn form(message: &str, field: &str, kind: &str) -> Value {
    let properties = json!({ field: { "type": kind } });
    let schema = json!({ "type": "object", "properties": properties, "required": [field] });
    json!({ "method": "elicitation/create", "params": { "mode": "form", "message": message, "requestedSchema": schema } })
}

fn model(question: &str, tokens: u32) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": question } });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": tokens } })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

pub(crate) fn ask<const N: usize>(
    requests: [(&str, Value); N],
    state: Option<String>,
) -> Result<InputRequiredResult, ErrorData> {
    let mut asked = InputRequests::new();
    for (key, request) in requests {
        asked.insert(key.to_owned(), serde_json::from_value::<InputRequest>(request).map_err(failed)?);
    }
    Ok(InputRequiredResult::new(Some(asked), state))
}

fn text(text: impl Into<String>) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}

/// A field of a form that the person accepted.
pub(crate) fn field<'a>(answers: &'a Answers, key: &str, field: &str) -> Option<&'a Value> {
    let answer = answers.as_ref()?.get(key)?;
    (answer["action"] == "accept").then(|| answer["content"].get(field))?
}

fn sampled<'a>(answers: &'a Answers, key: &str) -> Option<&'a str> {
    answers.as_ref()?.get(key)?["content"]["text"].as_str()
}

fn rooted(answers: &Answers, key: &str) -> Option<String> {
    let roots = answers.as_ref()?.get(key)?["roots"].as_array()?;
    Some(roots.iter().filter_map(|root| root["uri"].as_str()).collect::<Vec<_>>().join(", "))
}

impl Everything {
    fn state(&self, done: u32, name: Option<&str>) -> Result<Option<String>, ErrorData> {
        let round = Round { done, name: name.map(str::to_owned) };
        self.states.seal_json(&round).map(Some).map_err(failed)
    }

    /// What the client carried here, if it is what was given to it.
    fn opened(&self, state: Option<&str>) -> Result<Option<Round>, ErrorData> {
        let open = |state| self.states.open_json(state);
        let refused = |_| ErrorData::invalid_params("requestState is not what this server gave", None);
        state.map(open).transpose().map_err(refused)
    }
}

#[tool_router(router = input_router, vis = "pub(crate)")]
impl Everything {
    #[tool(description = "Asks the person for a name.")]
    async fn test_input_required_result_elicitation(
        &self,
        InputResponses(answers): InputResponses,
    ) -> Result<CallToolResponse, ErrorData> {
        match field(&answers, "user_name", "name").and_then(Value::as_str) {
            Some(name) => Ok(text(format!("Hello, {name}!"))),
            None => Ok(ask([("user_name", form("What is your name?", "name", "string"))], None)?.into()),
        }
    }

    #[tool(description = "Asks the client's model.")]
    async fn test_input_required_result_sampling(
        &self,
        InputResponses(answers): InputResponses,
    ) -> Result<CallToolResponse, ErrorData> {
        match sampled(&answers, "capital_question") {
            Some(answer) => Ok(text(answer)),
            None => {
                Ok(ask([("capital_question", model("What is the capital of France?", 100))], None)?.into())
            }
        }
    }

    #[tool(description = "Asks for the client's roots.")]
    async fn test_input_required_result_list_roots(
        &self,
        InputResponses(answers): InputResponses,
    ) -> Result<CallToolResponse, ErrorData> {
        match rooted(&answers, "client_roots") {
            Some(roots) => Ok(text(format!("The roots are {roots}"))),
            None => Ok(ask([("client_roots", roots())], None)?.into()),
        }
    }

    #[tool(description = "Asks to confirm, and checks that the state came back as it was.")]
    async fn test_input_required_result_request_state(
        &self,
        InputResponses(answers): InputResponses,
        RequestState(state): RequestState,
    ) -> Result<CallToolResponse, ErrorData> {
        let round = self.opened(state.as_deref())?;
        if round.is_some() && field(&answers, "confirm", "ok").is_some() {
            return Ok(text("state-ok"));
        }
        Ok(ask([("confirm", form("Please confirm", "ok", "boolean"))], self.state(1, None)?)?.into())
    }

    #[tool(description = "Asks for three things at once.")]
    async fn test_input_required_result_multiple_inputs(
        &self,
        InputResponses(answers): InputResponses,
        RequestState(state): RequestState,
    ) -> Result<CallToolResponse, ErrorData> {
        let round = self.opened(state.as_deref())?;
        let name = field(&answers, "user_name", "name").and_then(Value::as_str);
        let (greeting, found) = (sampled(&answers, "greeting"), rooted(&answers, "client_roots"));
        if let (Some(_), Some(name), Some(greeting), Some(found)) = (round, name, greeting, found) {
            return Ok(text(format!("{greeting}, {name}! The roots are {found}")));
        }
        let requests = [
            ("user_name", form("What is your name?", "name", "string")),
            ("greeting", model("Generate a greeting", 50)),
            ("client_roots", roots()),
        ];
        Ok(ask(requests, self.state(1, None)?)?.into())
    }

    #[tool(description = "Asks twice.")]
    async fn test_input_required_result_multi_round(
        &self,
        InputResponses(answers): InputResponses,
        RequestState(state): RequestState,
    ) -> Result<CallToolResponse, ErrorData> {
        let first = || ("step1", form("Step 1: What is your name?", "name", "string"));
        let second = || ("step2", form("Step 2: What is your favorite color?", "color", "string"));
        let round = self.opened(state.as_deref())?;
        let name = field(&answers, "step1", "name").and_then(Value::as_str);
        let color = field(&answers, "step2", "color").and_then(Value::as_str);
        match (round, name, color) {
            (Some(Round { done: 2, name: Some(name) }), _, Some(color)) => {
                Ok(text(format!("{name} likes {color}")))
            }
            (Some(Round { done: 2, name }), ..) => {
                Ok(ask([second()], self.state(2, name.as_deref())?)?.into())
            }
            (Some(_), Some(name), _) => Ok(ask([second()], self.state(2, Some(name))?)?.into()),
            _ => Ok(ask([first()], self.state(1, None)?)?.into()),
        }
    }

    #[tool(description = "Refuses a state that it did not give.")]
    async fn test_input_required_result_tampered_state(
        &self,
        InputResponses(answers): InputResponses,
        RequestState(state): RequestState,
    ) -> Result<CallToolResponse, ErrorData> {
        let round = self.opened(state.as_deref())?;
        if round.is_some() && field(&answers, "confirm", "ok").is_some() {
            return Ok(text("The state is as it was given"));
        }
        Ok(ask([("confirm", form("Please confirm", "ok", "boolean"))], self.state(1, None)?)?.into())
    }

    #[tool(description = "Asks for what the client declared that it can do.")]
    async fn test_input_required_result_capabilities(
        &self,
        context: RequestContext<RoleServer>,
        InputResponses(answers): InputResponses,
    ) -> Result<CallToolResponse, ErrorData> {
        if answers.is_some_and(|answers| !answers.is_empty()) {
            return Ok(text("Answered"));
        }
        let declared = context.client_capabilities().unwrap_or_default();
        if declared.sampling.is_some() {
            Ok(ask([("sampled", model("Say something", 10))], None)?.into())
        } else if declared.elicitation.is_some() {
            Ok(ask([("named", form("What is your name?", "name", "string"))], None)?.into())
        } else {
            Ok(text("The client can neither sample nor ask"))
        }
    }
}
