//! The command line `NAME PORT [--workers N]`, the same for every peer.

use std::str::FromStr;

/// What a peer is told on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments {
    pub port: u16,
    pub workers: usize,
}

impl Arguments {
    /// Reads the process's own arguments, or prints the usage and exits with status 2.
    pub fn from_command_line() -> Self {
        let mut words = std::env::args();
        let program = words.next().unwrap_or_default();
        Self::parse(words).unwrap_or_else(|problem| {
            eprintln!("{problem}\nusage: {program} PORT [--workers N]");
            std::process::exit(2)
        })
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let port = number("PORT", words.next())?;
        let workers = match words.next().as_deref() {
            None => 1,
            Some("--workers") => number("--workers", words.next())?,
            Some(other) => return Err(format!("unknown argument {other}")),
        };
        if workers == 0 {
            return Err("--workers needs at least 1".to_owned());
        }
        Ok(Self { port, workers })
    }
}

fn number<T: FromStr>(name: &str, word: Option<String>) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("{name} is missing"))?;
    word.parse().map_err(|_| format!("{name} is not a number in range: {word}"))
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn command_lines() {
        let rows = [
            ("8000", Some((8000, 1))),
            ("8000 --workers 3", Some((8000, 3))),
            ("", None),
            ("x", None),
            ("8000 --workers", None),
            ("8000 --workers 0", None),
            ("8000 --threads 1", None),
        ];
        for (line, expected) in rows {
            let parsed = parse(line).ok().map(|a| (a.port, a.workers));
            assert_eq!(parsed, expected, "{line:?}");
        }
    }
}
