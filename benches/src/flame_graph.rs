//! Flame graphs of folded stacks.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use inferno::flamegraph::{self, Options};

/// Writes the folded stacks to `path`, and what they look like beside it, as SVG. `count` is of what the numbers are so many.
///
/// # Errors
///
/// When there are no stacks, or a file cannot be written.
pub fn write(path: &Path, folded: &str, title: &str, count: &str) -> Result<()> {
    ensure!(!folded.is_empty(), "no stacks were seen");
    fs::write(path, folded).with_context(|| format!("cannot write {}", path.display()))?;
    let mut options = Options::default();
    title.clone_into(&mut options.title);
    count.clone_into(&mut options.count_name);
    let svg = path.with_extension("svg");
    let file = File::create(&svg).with_context(|| format!("cannot write {}", svg.display()))?;
    flamegraph::from_lines(&mut options, folded.lines(), BufWriter::new(file))
        .with_context(|| format!("cannot draw {}", svg.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn folded_stacks_are_drawn() {
        let path = std::env::temp_dir().join(format!("freehold-flame-{}.folded", std::process::id()));
        super::write(&path, "transfer;account (lock) 12\necho;index (lock) 3\n", "Waits", "µs").unwrap();
        let svg = fs::read_to_string(path.with_extension("svg")).unwrap();
        for file in [path.clone(), path.with_extension("svg")] {
            fs::remove_file(file).unwrap();
        }
        assert!(svg.contains("account (lock)") && svg.contains("Waits"), "{svg}");
        assert!(super::write(&path, "", "Waits", "µs").is_err());
    }
}
