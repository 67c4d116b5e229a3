//! Resources of each kind: text, bytes, one that changes, and a template.

use crate::content::PNG;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use freehold_mcp::{
    CacheHint, Completion, CompletionRequest, RequestContext, RequestError, Resource, ResourceTemplate,
};
use serde::Deserialize;
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
        Resource::new("test://static-binary", "static-binary", "A picture of one red pixel.", picture)
            .mime_type("image/png"),
        Resource::text(WATCHED, "watched-resource", "Changes are told to who subscribes.", "It changes."),
    ]
}

async fn picture(_ctx: &RequestContext<()>, (): ()) -> Result<Vec<u8>, RequestError> {
    Ok(BASE64_STANDARD.decode(PNG)?)
}

#[derive(Deserialize)]
struct Numbered {
    id: String,
}

pub(crate) fn template() -> ResourceTemplate<()> {
    ResourceTemplate::new("test://template/{id}/data", "template", "Data by id.", data)
        .mime_type("application/json")
        .complete("id", id)
}

async fn data(_ctx: &RequestContext<()>, Numbered { id }: Numbered) -> Result<String, RequestError> {
    let data = format!("Data for ID: {id}");
    Ok(json!({ "id": id, "templateTest": true, "data": data }).to_string())
}

async fn id(_ctx: &RequestContext<()>, of: CompletionRequest) -> Result<Completion, RequestError> {
    Ok(Completion::of_prefix((1..=1_000).map(|id| id.to_string()), &of.value))
}
