//! Building and running the workspace's own programs.
//!
//! Programs are built with `--workspace`, then started directly. `cargo run -p` would unite the features of
//! one package's dependencies only, and so compile wgpu a second time beside the copy that the tests use.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

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

/// The folder that cargo builds into: this program lies in the folder of its profile there. What the checks
/// download is kept beside that.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|e| format!("cannot tell where xtask lies: {e}"))?;
    let target = program.ancestors().nth(2).ok_or("xtask does not lie in a target folder")?;
    Ok(target.to_path_buf())
}

/// Runs a command with this terminal and hands on its exit code.
pub(crate) fn run(command: &mut Command) -> Result<ExitCode> {
    let status =
        command.status().map_err(|e| format!("cannot start {}: {e}", command.get_program().display()))?;
    Ok(code(status))
}

fn code(status: ExitStatus) -> ExitCode {
    // A process ended by a signal has no code.
    let code = status.code().and_then(|c| u8::try_from(c & 0xff).ok()).unwrap_or(1);
    if status.success() { ExitCode::SUCCESS } else { ExitCode::from(code.max(1)) }
}

/// Runs a command as [`run`] does and also returns what it printed of failures.
pub(crate) fn run_and_heed(command: &mut Command) -> Result<(ExitCode, Vec<String>)> {
    let program = command.get_program().display().to_string();
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|e| format!("cannot start {program}: {e}"))?;
    let mut failures = Failures::default();
    if let Some(stdout) = child.stdout.take() {
        // A test may print anything, text or not.
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|e| format!("cannot read what {program} prints: {e}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            failures.heed(&line);
        }
    }
    let status = child.wait().map_err(|e| format!("cannot wait for {program}: {e}"))?;
    Ok((code(status), failures.told))
}

/// What tests and golden cases print of their failures, picked out of all that they print.
#[derive(Default)]
struct Failures {
    told: Vec<String>,
    /// How many more lines of one test's output are kept.
    left: usize,
}

impl Failures {
    /// The lines kept of what one test printed: its panic and a few of what it compared.
    const LINES: usize = 12;

    fn heed(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.left = Self::LINES;
        } else if line == "failures:" || line.starts_with("test result:") {
            self.left = 0;
        }
        let failed = line.starts_with("FAIL ") || (line.starts_with("test ") && line.ends_with("FAILED"));
        if failed || (self.left > 0 && !line.is_empty()) {
            self.told.push(line.to_owned());
            self.left = self.left.saturating_sub(1);
        }
    }
}

/// The profile of tests and of the programs that only they run.
pub(crate) const PROFILE: &str = "--profile=checks";

/// Builds a program and returns its path: an example in release mode, as it is meant to run.
pub(crate) fn build(kind: Kind, name: &str) -> Result<PathBuf> {
    let (flag, profile) = match kind {
        Kind::Bin => ("--bin", PROFILE),
        Kind::Example => ("--example", "--release"),
    };
    let mut cargo = command(["build", profile, "--workspace", flag, name]);
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
    use super::{Failures, command, executable};
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
    fn failures_are_picked_out_of_what_tests_print() {
        let printed = "running 3 tests\ntest a ... ok\ntest b ... FAILED\ntest c   ... FAILED\n\nfailures:\n\n\
            ---- b stdout ----\nthread 'b' panicked at b.rs:1:1:\nleft: 1\n\nfailures:\n    b\n\n\
            test result: FAILED. 1 passed; 2 failed\nFAIL wan.dit small 1 2\nPASS wan.dit large 0 0\n";
        let mut failures = Failures::default();
        printed.lines().for_each(|line| failures.heed(line));
        let expected = [
            "test b ... FAILED",
            "test c   ... FAILED",
            "---- b stdout ----",
            "thread 'b' panicked at b.rs:1:1:",
            "left: 1",
            "FAIL wan.dit small 1 2",
        ];
        assert_eq!(failures.told, expected);
        // Of a long output the beginning.
        failures.heed("---- d stdout ----");
        (0..100).for_each(|i| failures.heed(&i.to_string()));
        assert_eq!(failures.told.len(), expected.len() + Failures::LINES);
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
