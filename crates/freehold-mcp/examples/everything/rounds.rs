//! Tools that ask in the way of stateless requests: each answer comes with the request sent again. In a session the same
//! functions ask as any other.

use freehold_mcp::{
    Capability, CreateMessage, Field, Form, ListRoots, Question, Tool, ToolContext, ToolError,
};

pub(crate) fn tools() -> Vec<Tool<()>> {
    vec![
        Tool::new("test_input_required_result_elicitation", "Asks for a name.", name),
        Tool::new("test_input_required_result_sampling", "Asks the client's model.", capital),
        Tool::new("test_input_required_result_list_roots", "Asks for the client's roots.", roots),
        Tool::new("test_input_required_result_request_state", "Keeps something meanwhile.", kept),
        Tool::new("test_input_required_result_multiple_inputs", "Asks three things at once.", at_once),
        Tool::new("test_input_required_result_multi_round", "Asks one thing after the other.", in_turn),
        Tool::new("test_input_required_result_tampered_state", "Asks for a confirmation.", confirmed),
        Tool::new("test_input_required_result_capabilities", "Asks what can be asked.", whatever),
    ]
}

fn one_text(message: &str, field: &str) -> Form {
    Form::new(message).field(field, Field::text())
}

async fn name(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let answer = ctx.ask(one_text("What is your name?", "name").keyed("user_name")).await?.into_accepted()?;
    Ok(format!("Hello, {}!", answer["name"].as_str().unwrap_or_default()))
}

async fn capital(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let question = CreateMessage::new(100).user("What is the capital of France?").keyed("capital_question");
    Ok(ctx.ask(question).await?.text())
}

async fn roots(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let roots = ctx.ask(ListRoots.keyed("client_roots")).await?;
    Ok(roots.into_iter().map(|root| root.uri).collect::<Vec<_>>().join("\n"))
}

fn confirmation() -> impl Question<Answer = freehold_mcp::Elicited<serde_json::Map<String, serde_json::Value>>>
{
    Form::new("Please confirm").field("ok", Field::boolean()).keyed("confirm")
}

async fn kept(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    const KEPT: &str = "kept";
    let from_before = ctx.kept::<String>()?;
    ctx.keep(&KEPT)?;
    ctx.ask(confirmation()).await?.into_accepted()?;
    match from_before {
        Some(kept) if kept == KEPT => Ok("state-ok"),
        _ => Ok("confirmed in one round"),
    }
}

async fn at_once(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let questions = (
        one_text("What is your name?", "name").keyed("user_name"),
        CreateMessage::new(50).user("Generate a greeting").keyed("greeting"),
        ListRoots.keyed("client_roots"),
    );
    let (name, greeting, roots) = ctx.ask_all(questions).await?;
    let name = name.into_accepted()?;
    Ok(format!("{} {} ({} roots)", greeting.text(), name["name"], roots.len()))
}

async fn in_turn(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let first = one_text("Step 1: What is your name?", "name").keyed("step1");
    let first = ctx.ask(first).await?.into_accepted()?;
    let second = one_text("Step 2: What is your favorite color?", "color").keyed("step2");
    let second = ctx.ask(second).await?.into_accepted()?;
    Ok(format!("{} likes {}", first["name"], second["color"]))
}

async fn confirmed(ctx: &ToolContext<()>, (): ()) -> Result<&'static str, ToolError> {
    ctx.ask(confirmation()).await?.into_accepted()?;
    Ok("confirmed")
}

/// Asks only what the client can answer.
async fn whatever(ctx: &ToolContext<()>, (): ()) -> Result<String, ToolError> {
    let mut answers = Vec::new();
    if ctx.client_can(Capability::ElicitationForm) {
        let answer = ctx.ask(one_text("What is your name?", "name").keyed("user_name")).await?;
        answers.push(answer.action().to_owned());
    }
    if ctx.client_can(Capability::Sampling) {
        answers.push(
            ctx.ask(CreateMessage::new(50).user("Generate a greeting").keyed("greeting")).await?.text(),
        );
    }
    if ctx.client_can(Capability::Roots) {
        answers.push(ctx.ask(ListRoots.keyed("client_roots")).await?.len().to_string());
    }
    Ok(answers.join(", "))
}
