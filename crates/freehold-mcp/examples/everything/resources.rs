//! Resources of each kind: text, bytes, one that changes, and a template.

use crate::content::PNG;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use freehold_mcp::{
    CacheHint, Completion, CompletionRequest, RequestContext, RequestError, Resource, resource,
};
use serde_json::json;
use std::time::Duration;

/// The one that `test_trigger_resource_update` says has changed.
pub(crate) const WATCHED: &str = "test://watched-resource";

pub(crate) fn resources() -> Vec<Resource<()>> {
    let text = "This is the content of the static text resource.";
    vec![
        Resource::text("test://static-text", "static-text", "A text that never changes.", text)
            .title("Static text")
            .cache(CacheHint::public(Duration::from_secs(3_600))),
        picture::resource(),
        Resource::text(WATCHED, "watched-resource", "Changes are told to who subscribes.", "It changes."),
    ]
}

/// A picture of one red pixel.
#[resource("test://static-binary", name = "static-binary", mime_type = "image/png")]
async fn picture() -> Result<Vec<u8>, RequestError> {
    Ok(BASE64_STANDARD.decode(PNG)?)
}

/// Data by id.
#[resource("test://template/{id}/data", name = "template", mime_type = "application/json")]
pub(crate) async fn data(#[complete(ids)] id: String) -> String {
    let data = format!("Data for ID: {id}");
    json!({ "id": id, "templateTest": true, "data": data }).to_string()
}

async fn ids(_ctx: &RequestContext<()>, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix((1..=1_000).map(|id| id.to_string()), &of.value))
}
