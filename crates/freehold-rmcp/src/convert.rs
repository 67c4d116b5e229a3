//! Ids and errors, from one crate's types to the other's.

use freehold_mcp::freehold::{ErrorCode, ErrorObject, RequestId};
use rmcp::model::{ErrorCode as RmcpCode, ErrorData, NumberOrString};
use serde_json::Value;

/// An id as rmcp has it.
pub(crate) fn id_of(id: &RequestId) -> NumberOrString {
    match id {
        RequestId::Number(number) => NumberOrString::Number(*number),
        RequestId::String(string) => NumberOrString::String(string.clone()),
    }
}

/// An error of an rmcp handler, as the engine answers it.
pub(crate) fn error_object(error: ErrorData) -> ErrorObject {
    let object = ErrorObject::new(ErrorCode(error.code.0), error.message);
    match error.data {
        Some(data) => object.with_data(&data),
        None => object,
    }
}

/// An error of the engine, as rmcp has it.
pub(crate) fn error_data(error: &ErrorObject) -> ErrorData {
    let data = error.data.as_ref().and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
    ErrorData::new(RmcpCode(error.code.0), error.message.clone(), data)
}
