//! The evaluation's own parts: its prompts, scores, statistics and records.

pub(crate) mod args;
pub(crate) mod file;
pub(crate) mod overview;
pub(crate) mod pass_through;
pub(crate) mod prompts;
pub(crate) mod record;
pub(crate) mod score;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod tuning;
