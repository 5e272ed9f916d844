//! What the columns of features are.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Columns of features, by which those of a clip are known to be those of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSet {
    /// What the set is called.
    pub name: String,
    /// Its version: the same name and version are the same numbers.
    pub version: u32,
    /// Names of the columns, in their order.
    pub columns: Vec<String>,
}

impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names out of a file may be of any length.
        let name: String = self.name.chars().take(60).collect();
        write!(f, "`{name}` version {} ({} columns)", self.version, self.columns.len())
    }
}

impl FeatureSet {
    /// What is wrong with it, for rows of a width.
    pub(super) fn check(&self, width: usize) -> Result<(), String> {
        let count = self.columns.len();
        if count != width {
            return Err(format!("{count} names for {width} columns"));
        }
        let mut names: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(twice) => Err(format!("the column `{}` comes twice", twice[0])),
            None if self.name.trim().is_empty() => Err("the set has no name".into()),
            None => Ok(()),
        }
    }
}
