use super::{
    super::{
        Drive, Fact,
        client::Session,
        facts::{several, span, succeeded},
    },
    Facts,
};
use serde_json::{Value, json};

/// Calls within calls.
const DEEP: u64 = 8;
const AT_ONCE: u64 = 5;

async fn question(drive: &Drive, session: &Session, n: u64) -> Result<Value, String> {
    let question = drive.within(session.question(&format!("question {n}"))).await;
    question.ok_or_else(|| format!("question {n} did not come within {}", span(drive.times.hang)))
}

pub(super) async fn run(drive: &Drive) -> Facts {
    let session = drive.open_listening().await?;
    Ok(vec![
        without_stream(drive).await?,
        asked_back(drive, &session).await?,
        deep(drive, &session).await?,
        at_once(drive, &session).await?,
    ])
}

/// The client has no stream but that of its call.
async fn without_stream(drive: &Drive) -> Result<Fact, String> {
    let session = drive.open().await?;
    let call = session.call("ask", json!({ "n": 300 }));
    let label = "a question to a client that has not opened its session's own stream";
    let asked = match question(drive, &session, 300).await {
        Ok(asked) => asked,
        Err(problem) => return Ok(Fact::new(label, problem, false)),
    };
    session.accept(&asked);
    let end = drive.end(&call).await;
    Ok(Fact::new(
        label,
        format!("comes with its call; {}", drive.ending(end.as_ref())),
        succeeded(end.as_ref()),
    ))
}

async fn asked_back(drive: &Drive, session: &Session) -> Result<Fact, String> {
    let call = session.call("ask", json!({ "n": 100 }));
    let asked = question(drive, session, 100).await?;
    let echo = session.call("echo", json!({ "text": "before the answer" }));
    let echoed = drive.end(&echo).await;
    session.accept(&asked);
    let ends = [echoed, drive.end(&call).await];
    Ok(several("echo before the answer, and the call that asked", &ends, drive.times.hang, succeeded))
}

async fn deep(drive: &Drive, session: &Session) -> Result<Fact, String> {
    let (mut calls, mut questions) = (Vec::new(), Vec::new());
    for n in 0..DEEP {
        calls.push(session.call("ask", json!({ "n": n })));
        questions.push(question(drive, session, n).await?);
    }
    for asked in questions.iter().rev() {
        session.accept(asked);
    }
    Ok(several("eight calls deep", &drive.ends(&calls).await, drive.times.hang, succeeded))
}

async fn at_once(drive: &Drive, session: &Session) -> Result<Fact, String> {
    let numbers = 200..200 + AT_ONCE;
    let calls: Vec<_> = numbers.clone().map(|n| session.call("ask", json!({ "n": n }))).collect();
    let mut questions = Vec::new();
    for n in numbers {
        questions.push(question(drive, session, n).await?);
    }
    for asked in &questions {
        session.accept(asked);
    }
    Ok(several("five at once", &drive.ends(&calls).await, drive.times.hang, succeeded))
}
