//! Results as JSON files, each with the command that gave them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What one program measured.
#[derive(Debug, Deserialize, Serialize)]
pub struct Report<T> {
    /// The command line that repeats it.
    pub command: String,
    /// What was measured, all rounds of it.
    pub figures: T,
}

/// Writes the results to a file, if one is asked for.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_json(path: Option<&Path>, figures: &impl Serialize) -> Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    let command = command_of(std::env::args_os());
    let mut text = serde_json::to_string_pretty(&Report { command, figures })?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads what [`write_json`] wrote.
///
/// # Errors
///
/// When there is no such file, or it was written by another version.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Report<T>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is of another version", path.display()))
}

/// The program where a checkout has it, and its arguments without where the results go and where other programs are.
fn command_of(arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let mut command = format!("target/release/{name}");
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy();
        let (option, value) =
            argument.split_once('=').map_or((&*argument, None), |(option, value)| (option, Some(value)));
        if matches!(option, "--json" | "--peers" | "--freehold") {
            if value.is_none() {
                arguments.next();
            }
            continue;
        }
        command.push(' ');
        command.push_str(&argument);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::command_of;

    #[test]
    fn commands_can_be_repeated_in_a_checkout() {
        let rows = [
            ("/a/b/bench-http", "target/release/bench-http"),
            ("bench-http --rounds 5 --json /tmp/x.json", "target/release/bench-http --rounds 5"),
            ("x/bench-sync --json=f --peers d --rows 1,2", "target/release/bench-sync --rows 1,2"),
        ];
        for (line, expected) in rows {
            assert_eq!(command_of(line.split(' ').map(Into::into)), expected, "{line}");
        }
    }
}
