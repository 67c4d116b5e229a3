//! The kinds of content that an answer can have.

use freehold_mcp::{Content, Tool, ToolContext, ToolError};
use serde_json::json;

/// One red pixel.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// No sample of silence.
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA==";

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::new("test_simple_text", "Answers with a text.", text).read_only(),
        Tool::new("test_image_content", "Answers with a picture.", image).read_only(),
        Tool::new("test_audio_content", "Answers with a sound.", audio).read_only(),
        Tool::new("test_embedded_resource", "Answers with the contents of a resource.", resource).read_only(),
        Tool::new("test_multiple_content_types", "Answers with a text, a picture and a resource.", mixed)
            .read_only(),
        Tool::new("test_error_handling", "Always fails.", failure).read_only(),
    ]
}

async fn text(_ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    Ok("This is a simple text response for testing.")
}

fn red_pixel() -> Content {
    Content::image(PNG, "image/png")
}

async fn image(_ctx: &ToolContext<()>, (): ()) -> Result<Content, ToolError> {
    Ok(red_pixel())
}

async fn audio(_ctx: &ToolContext<()>, (): ()) -> Result<Content, ToolError> {
    Ok(Content::audio(WAV, "audio/wav"))
}

async fn resource(_ctx: &ToolContext<()>, (): ()) -> Result<Content, ToolError> {
    let text = "This is an embedded resource content.";
    Ok(Content::resource("test://embedded-resource", "text/plain", text))
}

async fn mixed(_ctx: &ToolContext<()>, (): ()) -> Result<Vec<Content>, ToolError> {
    let data = json!({ "test": "data", "value": 123 }).to_string();
    Ok(vec![
        Content::text("Multiple content types test:"),
        red_pixel(),
        Content::resource("test://mixed-content-resource", "application/json", data),
    ])
}

async fn failure(_ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    Err(ToolError::new("This tool intentionally returns an error for testing"))
}
