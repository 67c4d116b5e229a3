//! Resident memory of a process.

use std::fs;

use anyhow::{Context, Result};

/// Resident bytes, from `smaps_rollup`: exact, where `status` may lag behind by some pages per core.
///
/// # Errors
///
/// When the process has ended or the kernel does not tell.
pub fn resident_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    rss_line(&text).with_context(|| format!("{path} has no Rss line"))
}

fn rss_line(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::rss_line;

    #[test]
    fn rss_lines() {
        let rows = [
            ("x\nRss:                 120 kB\nPss: 7 kB\n", Some(122_880)),
            ("Pss: 7 kB\n", None),
            ("Rss: many kB\n", None),
        ];
        for (text, expected) in rows {
            assert_eq!(rss_line(text), expected, "{text:?}");
        }
    }
}
