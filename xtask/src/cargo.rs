//! Building and running the workspace's own programs.
//!
//! Programs are built with `--workspace`, then started directly. `cargo run -p` would unite the features of
//! one package's dependencies only, and so compile wgpu a second time beside the copy that the tests use.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;

use crate::Result;

/// What kind of target a program is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A binary of a package.
    Bin,
    /// An example.
    Example,
}

/// The cargo that started xtask, with arguments.
pub(crate) fn command<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// The folder that cargo builds into: this program lies in its `release`. What the checks download is kept beside that.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|e| format!("cannot tell where xtask lies: {e}"))?;
    let target = program.ancestors().nth(2).ok_or("xtask does not lie in a target folder")?;
    Ok(target.to_path_buf())
}

/// Runs a command with this terminal and hands on its exit code.
pub(crate) fn run(command: &mut Command) -> Result<ExitCode> {
    let status =
        command.status().map_err(|e| format!("cannot start {}: {e}", command.get_program().display()))?;
    // A process ended by a signal has no code.
    let code = status.code().and_then(|c| u8::try_from(c & 0xff).ok()).unwrap_or(1);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(code.max(1)) })
}

/// Builds a program in release mode and returns its path.
pub(crate) fn build(kind: Kind, name: &str) -> Result<PathBuf> {
    let flag = match kind {
        Kind::Bin => "--bin",
        Kind::Example => "--example",
    };
    let mut cargo = command(["build", "--release", "--workspace", flag, name]);
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit()).current_dir(crate::root());
    let output = cargo.output().map_err(|e| format!("cannot start cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("`{name}` did not build"));
    }
    executable(&String::from_utf8_lossy(&output.stdout), name)
        .ok_or_else(|| format!("cargo built no program named `{name}`"))
}

/// Builds a binary and runs it, in `folder` or where the user stands.
pub(crate) fn run_bin(name: &str, args: &[OsString], folder: Option<&Path>) -> Result<ExitCode> {
    let mut program = Command::new(build(Kind::Bin, name)?);
    program.args(args);
    if let Some(folder) = folder {
        program.current_dir(folder);
    }
    run(&mut program)
}

/// The path of a program among cargo's build messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|m| m["reason"] == "compiler-artifact" && m["target"]["name"] == name)
        .find_map(|m| m["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::{command, executable};
    use std::collections::BTreeSet;

    /// The crates of the workspace with their features, over some kinds of dependencies.
    fn crates(kinds: &str) -> BTreeSet<String> {
        let tree = [
            "tree",
            "--offline",
            "--workspace",
            "--no-dedupe",
            "--prefix=none",
            "--format={p} [{f}]",
            "-e",
            kinds,
        ];
        let output = command(tree).current_dir(crate::root()).output().expect("cargo tree runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.replace(" (*)", "")).collect()
    }

    #[test]
    fn programs_share_the_build_of_the_tests() {
        let (programs, tests) = (crates("normal,build"), crates("normal,build,dev"));
        assert!(programs.len() > 50, "{programs:?}");
        // Tests of the crate itself are given its features beside those that others ask for.
        let differ: Vec<_> = programs.difference(&tests).collect();
        assert!(differ.is_empty(), "compiled twice, once for programs and once for tests: {differ:?}");
    }

    #[test]
    fn finds_the_program_among_build_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"golden\"},\"executable\":null}\n",
            "not json\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"docs\"},\"executable\":\"a/docs\"}\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"golden\"},\"executable\":\"a/golden\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages, "golden").as_deref(), Some("a/golden".as_ref()));
        assert_eq!(executable(messages, "expand"), None);
    }
}
