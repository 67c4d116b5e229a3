//! Resources.

use crate::content::PNG;
use freehold_rmcp::rmcp::{
    ErrorData,
    model::{
        ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource, ResourceContents,
        ResourceTemplate,
    },
};
use serde_json::json;

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";
const TEMPLATE: (&str, &str) = ("test://template/", "/data");

pub(crate) fn list() -> ListResourcesResult {
    let resource = |uri, name, description, mime_type| {
        Resource::new(uri, name).with_description(description).with_mime_type(mime_type)
    };
    ListResourcesResult::with_all_items(vec![
        resource(BINARY, "static-binary", "A picture.", "image/png"),
        resource(TEXT, "static-text", "A text.", "text/plain"),
        resource(WATCHED, "watched-resource", "A text that may be watched.", "text/plain"),
    ])
}

pub(crate) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(format!("{}{{id}}{}", TEMPLATE.0, TEMPLATE.1), "template");
    let template = template.with_description("The data of an id.").with_mime_type("application/json");
    ListResourceTemplatesResult::with_all_items(vec![template])
}

pub(crate) fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let contents = match uri {
        TEXT => ResourceContents::text("This is the content of the static text resource.", uri),
        WATCHED => ResourceContents::text("This resource may be watched.", uri),
        BINARY => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
        _ => {
            let id = uri.strip_prefix(TEMPLATE.0).and_then(|rest| rest.strip_suffix(TEMPLATE.1));
            let not_found =
                || ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri })));
            let id = id.filter(|id| !id.is_empty() && !id.contains('/')).ok_or_else(not_found)?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}
