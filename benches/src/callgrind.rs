//! Folded stacks of what callgrind counts, where a profiler that samples may not run.
//!
//! With `--separate-callers=N` callgrind counts for each function with each chain of up to so many callers apart, so its
//! file has whole stacks: `function'caller'its caller`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use anyhow::{Context, Result, ensure};

/// One line a stack: its functions, outermost first, and the instructions in the innermost one itself.
///
/// # Errors
///
/// When this is no file of callgrind's.
pub fn fold(text: &str) -> Result<String> {
    ensure!(text.lines().any(|line| line.starts_with("events: Ir")), "no file of callgrind's that counts Ir");
    let mut file = File::default();
    for line in text.lines() {
        file.take(line).with_context(|| format!("not understood: {line}"))?;
    }
    let mut folded = String::new();
    for (stack, count) in file.stacks {
        writeln!(folded, "{stack} {count}")?;
    }
    Ok(folded)
}

#[derive(Default)]
struct File<'a> {
    /// Functions with their callers, by the number that stands for them after they were named once.
    names: HashMap<&'a str, &'a str>,
    function: Option<&'a str>,
    /// The next line has the cost of a call, which is counted where it was spent, too.
    after_call: bool,
    stacks: BTreeMap<String, u64>,
}

impl<'a> File<'a> {
    fn take(&mut self, line: &'a str) -> Result<()> {
        if let Some(name) = line.strip_prefix("fn=") {
            self.function = Some(self.named(name)?);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.named(name)?;
        } else if line.starts_with("calls=") {
            self.after_call = true;
        } else if is_count(line) && !std::mem::take(&mut self.after_call) {
            self.add(line)?;
        }
        Ok(())
    }

    /// `(12) name` names a number, `(12)` stands for it.
    fn named(&mut self, text: &'a str) -> Result<&'a str> {
        let (number, name) = text.split_once(')').context("a name without a number")?;
        let name = name.trim_start();
        if !name.is_empty() {
            self.names.insert(number, name);
        }
        self.names.get(number).copied().context("a number without a name")
    }

    /// A line of the source, and what was counted there.
    fn add(&mut self, line: &str) -> Result<()> {
        let function = self.function.context("a count outside of functions")?;
        let count: u64 = line.split_ascii_whitespace().nth(1).context("no count")?.parse()?;
        *self.stacks.entry(stack(function)).or_default() += count;
        Ok(())
    }
}

fn is_count(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
}

fn stack(function: &str) -> String {
    // A number says how deep a recursion is.
    let is_name = |part: &&str| part.parse::<u32>().is_err();
    let frames: Vec<_> = function.split('\'').filter(is_name).map(frame).collect();
    frames.into_iter().rev().collect::<Vec<_>>().join(";")
}

fn frame(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol)).replace(';', ",")
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn own_costs_are_folded_by_their_callers() {
        let text = "version: 1\npositions: line\nevents: Ir\n\nfl=(1) a.rs\n\
            fn=(1) inner'outer\n10 5\n+2 7\n\
            fn=(2) outer\n* 1\ncfn=(1)\ncalls=3 10\n4 12\n5 2\n\
            fn=(3) again'2'outer\n1 4\ntotals: 19\n";
        assert_eq!(fold(text).unwrap(), "outer 3\nouter;again 4\nouter;inner 12\n");
    }

    #[test]
    fn other_files_are_told() {
        assert!(fold("# something else\n").is_err());
        assert!(fold("events: Ir\nfn=(1)\n1 2\n").is_err());
    }
}
