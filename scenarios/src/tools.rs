//! The tools that several scenarios call.

use crate::{Ctx, Probe};
use freehold_mcp::{RawQuestion, Tool, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// What `echo` takes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Echo {
    text: String,
}

/// Returns its text.
///
/// # Errors
///
/// Never.
pub async fn echo(_ctx: &Ctx, args: Echo) -> Result<String, ToolError> {
    Ok(args.text)
}

#[derive(Deserialize, JsonSchema)]
struct Ask {
    n: u64,
}

/// `echo`; `wait`, until the probe releases it; `never`, which returns only when it is cancelled; `stubborn`, which does
/// not even then; `ask`, which asks the client's person.
#[must_use]
pub fn standard_tools() -> Vec<Tool<u64>> {
    vec![
        Tool::new("echo", "Returns its text.", echo),
        Tool::new("wait", "Waits to be released.", wait),
        Tool::new("never", "Returns when it is cancelled.", never),
        Tool::new("stubborn", "Never returns.", stubborn),
        Tool::new("ask", "Asks the person.", ask),
    ]
}

async fn cancelled(ctx: &Ctx) -> Result<&'static str, ToolError> {
    let reason = ctx.cancelled().await;
    let note = ctx.cancel_note().unwrap_or_default();
    ctx.app::<Probe>().log(format!("{} cancelled: {reason:?} {note}", ctx.tool()));
    Err(ToolError::new("too late to be told"))
}

async fn wait(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let probe = ctx.app::<Probe>();
    probe.enter();
    tokio::select! {
        () = probe.released() => Ok("released"),
        over = cancelled(ctx) => over,
    }
}

async fn never(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    ctx.app::<Probe>().enter();
    cancelled(ctx).await
}

async fn stubborn(ctx: &Ctx, (): ()) -> Result<&'static str, ToolError> {
    let probe = ctx.app::<Probe>();
    let _dropped = probe.on_drop("stubborn dropped");
    probe.enter();
    std::future::pending().await
}

async fn ask(ctx: &Ctx, args: Ask) -> Result<String, ToolError> {
    let probe = ctx.app::<Probe>();
    probe.enter();
    let question = json!({
        "message": format!("question {}", args.n),
        "requestedSchema": { "type": "object", "properties": {} },
    });
    match ctx.ask(RawQuestion::<Value>::elicitation(question)).await {
        Ok(answer) => Ok(answer.to_string()),
        Err(error) => {
            probe.log(format!("ask failed: {error:?}"));
            Err(error.into())
        }
    }
}
