//! `freehold completions` and `freehold man`: what is generated from the command line's own description.

use crate::{
    cli::{Cli, CompletionsArguments, ManArguments},
    failure::Failure,
};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// There is no such command to have a page.
#[derive(Debug, thiserror::Error)]
#[error("freehold has no command {0:?}; `freehold --help` lists them")]
pub(crate) struct NoSuchCommand(String);

/// Runs `freehold completions`.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "freehold", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Runs `freehold man`.
pub(crate) fn man(arguments: &ManArguments) -> Result<(), Failure> {
    if let Some(dir) = &arguments.dir {
        return write_all(dir).map_err(|reason| Failure::Pages { dir: dir.clone(), reason });
    }
    let built = built();
    let page = match &arguments.command {
        None => page(built),
        Some(name) => {
            let command = built.find_subcommand(name).ok_or_else(|| NoSuchCommand(name.clone()))?;
            page(command.clone())
        }
    }?;
    Ok(io::stdout().write_all(&page)?)
}

fn write_all(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let built = built();
    for command in built.get_subcommands().chain([&built]) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        fs::write(dir.join(format!("{name}.1")), page(command.clone())?)?;
    }
    Ok(())
}

/// The command line with everything that clap derives, such as the full names of the commands.
fn built() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).manual("Freehold").render(&mut page)?;
    Ok(page)
}
