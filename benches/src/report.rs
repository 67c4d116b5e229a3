//! Results as JSON files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes the results to a file, if one is asked for.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_json(path: Option<&Path>, results: &impl Serialize) -> Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    let mut text = serde_json::to_string_pretty(results)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
