use super::context::ToolContext;
use crate::{
    ask::AskError,
    model::{CallToolResult, Content},
};
use freehold::{CallError, ErrorCode, ErrorObject, State};
use freehold_sync::LockError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// Why a tool has no answer.
///
/// Every error type converts into it and becomes a result marked as an error, with the error's text for the model to
/// read. That of a lock of `freehold-sync` tells who was in the way, by their tools. An error of the protocol itself is
/// made with [`ToolError::protocol`].
#[derive(Debug)]
pub struct ToolError(pub(crate) Failure);

#[derive(Debug)]
pub(crate) enum Failure {
    /// The model should read its message.
    Tool(ErrorObject),
    /// The client's program should.
    Protocol(ErrorObject),
}

impl Failure {
    /// With the sessions and ages of those who were in the way, if that was it.
    pub(crate) fn explained<S: State>(self, context: &ToolContext<S>) -> Self {
        match self {
            Self::Tool(error) => Self::Tool(context.explain(error)),
            protocol => protocol,
        }
    }
}

impl ToolError {
    /// A failure that the model should read.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(Failure::Tool(ErrorObject::new(ErrorCode::INTERNAL_ERROR, message.to_string())))
    }

    /// A JSON-RPC error instead of a result.
    #[must_use]
    pub fn protocol(error: ErrorObject) -> Self {
        Self(Failure::Protocol(error))
    }
}

impl<E: std::error::Error + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        let any = &error as &dyn std::error::Error;
        // What a lock's own text names (its place in the source, its address) is for the server's log.
        if let Some(lock) = any.downcast_ref::<LockError>() {
            return Self(Failure::Tool(lock.clone().into()));
        }
        if let Some(call) = any.downcast_ref::<CallError>() {
            return Self(Failure::Tool(call.clone().into()));
        }
        if let Some(error) = any.downcast_ref::<AskError>().and_then(AskError::protocol) {
            return Self::protocol(error);
        }
        match any.downcast_ref::<ErrorObject>() {
            Some(of_lock) if of_lock.lock_error().is_some() => Self(Failure::Tool(of_lock.clone())),
            _ => Self::new(error),
        }
    }
}

/// What a tool may return: text, numbers, [`Content`], [`Json`], a [`CallToolResult`], nothing, or a `Result` of any of these.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "no output of a tool",
    note = "return text, a number, `Content`, `Json<T>` of a type that is `Serialize` and `JsonSchema`, `CallToolResult`, or a \
            `Result` of one of these with an error that becomes a `ToolError`"
)]
pub trait ToolOutput {
    /// The answer.
    ///
    /// # Errors
    ///
    /// That of the tool; or the output has no JSON form.
    fn into_result(self) -> Result<CallToolResult, ToolError>;

    /// The schema of its structured part, if it always has one.
    fn output_schema() -> Option<Value> {
        None
    }

    /// Whether its structured part fits [`output_schema`](Self::output_schema) whatever its value is. If not, each one is
    /// held against it.
    fn fits_by_construction() -> bool {
        false
    }
}

impl<R: ToolOutput, E: Into<ToolError>> ToolOutput for Result<R, E> {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        self.map_err(Into::into).and_then(R::into_result)
    }

    fn output_schema() -> Option<Value> {
        R::output_schema()
    }

    fn fits_by_construction() -> bool {
        R::fits_by_construction()
    }
}

/// No content.
impl ToolOutput for () {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        Ok(CallToolResult::default())
    }
}

macro_rules! text_of {
    ($($output:ty),*) => {$(
        impl ToolOutput for $output {
            fn into_result(self) -> Result<CallToolResult, ToolError> {
                Ok(CallToolResult::text(self.to_string()))
            }
        }
    )*};
}

text_of!(bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

impl ToolOutput for CallToolResult {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        Ok(self)
    }
}

impl ToolOutput for String {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        Ok(CallToolResult::text(self))
    }
}

impl ToolOutput for &'static str {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        Ok(CallToolResult::text(self))
    }
}

impl ToolOutput for Content {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        Ok(CallToolResult::new(vec![self]))
    }
}

impl ToolOutput for Vec<Content> {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        Ok(CallToolResult::new(self))
    }
}

/// Structured output: goes to programs as JSON that fits the tool's output schema, and to models as its text.
///
/// Value and schema come from one type, so an optimized build takes it that they fit. A debug build, and so a test, holds
/// each output against the schema: attributes that tell `serde` one thing and `schemars` another are found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema> ToolOutput for Json<T> {
    fn into_result(self) -> Result<CallToolResult, ToolError> {
        let value = serde_json::to_value(&self.0)?;
        Ok(CallToolResult { structured: Some(value.clone()), ..CallToolResult::text(value.to_string()) })
    }

    fn output_schema() -> Option<Value> {
        Some(super::schema::output_schema_of::<T>())
    }

    fn fits_by_construction() -> bool {
        true
    }
}
