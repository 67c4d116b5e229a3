use freehold_mcp::{Tool, ToolContext, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What comes back.
    text: String,
}

async fn echo(_ctx: &ToolContext<()>, args: Echo) -> Result<String, ToolError> {
    Ok(args.text)
}

pub(super) fn tool() -> Tool<()> {
    Tool::new("echo", "Returns its text.", echo).read_only()
}
