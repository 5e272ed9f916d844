//! Files of one JSON object a line.

use foveal::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// The objects of a file with their lines; blank lines are left out.
pub(crate) fn read(path: &Path) -> Result<Vec<(usize, Value)>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        let value = serde_json::from_str(line)
            .map_err(|e| Error::file(path, format!("line {number}: no JSON: {e}")))?;
        all.push((number, value));
    }
    Ok(all)
}
