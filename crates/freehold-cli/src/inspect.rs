//! `freehold inspect`: what a running server does, in a terminal.

mod show;

use crate::{
    cli::InspectArguments,
    demo::screen::{Frame, Screen},
    failure::Failure,
};
use freehold::runtime::{Runtime, TokioRuntime, pause};
use freehold_admin::{HttpUrl, Inspection};
use std::{
    io::{self, Write},
    time::Duration,
};

/// How long a server that is well takes at the most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is shown.
const EVERY: Duration = Duration::from_secs(1);
/// Calls and locks that are shown, of each.
const ROWS: usize = 12;

/// Runs the command to its end.
pub(crate) fn command(arguments: &InspectArguments) -> Result<(), Failure> {
    if arguments.watch {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(watch(arguments));
    }
    let answer = ask(arguments, if arguments.json { "" } else { "&limit=100" })?;
    let mut text = match (arguments.json, read(&arguments.url, &answer)?) {
        (true, _) => answer,
        (false, inspection) => show::lines(&inspection, usize::MAX).join("\n").into_bytes(),
    };
    text.push(b'\n');
    Ok(io::stdout().write_all(&text)?)
}

/// Until Ctrl-C, which ends the process.
async fn watch(arguments: &InspectArguments) -> Result<(), Failure> {
    let mut screen = Screen::stdout();
    let begun = TokioRuntime.now();
    loop {
        let answer = ask(arguments, "&limit=100")?;
        let inspection = read(&arguments.url, &answer)?;
        let frame = Frame { block: show::lines(&inspection, ROWS), line: show::line(&inspection) };
        screen.draw(TokioRuntime.now().saturating_duration_since(begun), &frame)?;
        pause(&TokioRuntime, EVERY).await;
    }
}

fn ask(arguments: &InspectArguments, more: &str) -> Result<Vec<u8>, Failure> {
    let url = arguments.url.with_path(&format!("/admin/inspect?q={}{more}", encoded(&arguments.search)));
    let answer = url
        .get(arguments.token.as_deref(), PATIENCE)
        .map_err(|error| Failure::Unreachable { url: arguments.url.clone(), reason: error.to_string() })?;
    match answer.status {
        200 => Ok(answer.body),
        401 => Err(Failure::WrongToken { url: arguments.url.clone() }),
        status => {
            let said = String::from_utf8_lossy(&answer.body).trim().to_owned();
            Err(Failure::NoInspection {
                url: arguments.url.clone(),
                reason: format!("it answered with status {status}: {said}"),
            })
        }
    }
}

fn read(url: &HttpUrl, answer: &[u8]) -> Result<Inspection, Failure> {
    serde_json::from_slice(answer)
        .map_err(|error| Failure::NoInspection { url: url.clone(), reason: error.to_string() })
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
