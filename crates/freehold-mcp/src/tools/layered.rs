use super::tool::{NO_ARGUMENTS, arguments_text};
use crate::protocol::method;
use freehold::{ErrorObject, LayeredCall, State};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use std::borrow::Cow;

/// The call of a tool, as a [`Layer`](freehold::Layer) sees it.
///
/// See [`McpServerBuilder::layer`](crate::McpServerBuilder::layer).
#[derive(Debug, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl<'a> ToolCall<'a> {
    /// The tool that is called; none if the call is of another method, or names no tool, of which the client will be told.
    ///
    /// There need not be such a tool: that is seen behind the layers.
    #[must_use]
    pub fn of<S: State>(call: &'a LayeredCall<S>) -> Option<Self> {
        let params = call.params().filter(|_| call.method() == method::TOOLS_CALL)?;
        serde_json::from_str(params.get()).ok()
    }

    /// The tool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The arguments as the client wrote them; `{}` if it wrote none.
    #[must_use]
    pub fn arguments(&self) -> &str {
        arguments_text(self.arguments)
    }

    /// The arguments as a type.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_PARAMS`](freehold::ErrorCode::INVALID_PARAMS), saying what does not fit.
    pub fn read_arguments<A: DeserializeOwned>(&self) -> Result<A, ErrorObject> {
        serde_json::from_str(self.arguments()).map_err(ErrorObject::invalid_params)
    }

    /// Gives the tool other arguments. What is no call of a tool stays as it is.
    ///
    /// # Errors
    ///
    /// If they have no JSON form, or are no object; nothing changes then.
    pub fn set_arguments<S: State>(
        call: &mut LayeredCall<S>,
        arguments: &impl Serialize,
    ) -> Result<(), ErrorObject> {
        if ToolCall::of(call).is_none() {
            return Ok(());
        }
        let arguments = serde_json::to_value(arguments).map_err(ErrorObject::invalid_params)?;
        if !arguments.is_object() {
            return Err(ErrorObject::invalid_params(format_args!(
                "arguments are an object, such as {NO_ARGUMENTS}"
            )));
        }
        let mut params: Map<String, Value> = call.read_params()?;
        params.insert("arguments".to_owned(), arguments);
        call.set_params(&params).map_err(ErrorObject::invalid_params)
    }
}
