//! Where it is shown: redrawn in place on a terminal, line by line elsewhere.

use console::Term;
use std::{io, time::Duration};

/// Elsewhere than on a terminal, how often a line is written.
const LINE_EVERY: Duration = Duration::from_secs(1);

pub(crate) enum Screen {
    /// With so many lines that are redrawn.
    Terminal { term: Term, drawn: usize },
    /// With so many lines written.
    Plain { term: Term, lines: u32 },
}

/// What is seen at one moment.
pub(crate) struct Frame {
    /// For a terminal.
    pub(crate) block: Vec<String>,
    /// The same in one line.
    pub(crate) line: String,
}

impl Screen {
    pub(crate) fn stdout() -> Self {
        // Nothing is hidden and no mode is set, so there is nothing to restore, however it ends.
        let term = Term::buffered_stdout();
        let in_place = term.is_term() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        if in_place { Self::Terminal { term, drawn: 0 } } else { Self::Plain { term, lines: 0 } }
    }

    /// Writes what stays.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        let (Self::Terminal { term, .. } | Self::Plain { term, .. }) = self;
        term.write_line(text)?;
        term.flush()
    }

    /// Shows a moment in the place of the last one.
    pub(crate) fn draw(&mut self, age: Duration, frame: &Frame) -> io::Result<()> {
        match self {
            Self::Terminal { term, drawn } => {
                let width = usize::from(term.size().1).saturating_sub(1);
                term.clear_last_lines(*drawn)?;
                for line in &frame.block {
                    // One that wraps would be two to clear.
                    term.write_line(&line.chars().take(width).collect::<String>())?;
                }
                *drawn = frame.block.len();
                term.flush()
            }
            Self::Plain { term, lines } if age >= LINE_EVERY * (*lines + 1) => {
                *lines = age.as_secs() as u32;
                term.write_line(&frame.line)?;
                term.flush()
            }
            Self::Plain { .. } => Ok(()),
        }
    }

    /// Takes away what would be redrawn.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Terminal { term, drawn } => {
                term.clear_last_lines(std::mem::take(drawn))?;
                term.flush()
            }
            Self::Plain { .. } => Ok(()),
        }
    }
}
