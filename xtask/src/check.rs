//! `cargo xtask test`: every check, in one order, none hidden by an earlier failure.
//!
//! Everything is built in release mode. The CPU references are slow unoptimised, `demo` and `bench` want release
//! anyway, and with one profile each dependency is compiled once for running and once as metadata, which clippy
//! and rustdoc share; build scripts and procedural macros serve all of them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::{Result, cargo, driver, prereq, root};

/// One check: its name in the table and what it does.
struct Step {
    name: &'static str,
    action: Action,
}

/// What a step runs.
enum Action {
    /// A function of this program.
    Call(fn() -> Result),
    /// Cargo with arguments, and the variables set for it.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// A program of the workspace, with arguments.
    Program(&'static str, &'static [&'static str]),
}

const FIRST: &[Step] = &[
    Step { name: "C compiler", action: Action::Call(prereq::check) },
    Step { name: "Vulkan driver", action: Action::Call(driver::ensure) },
    Step { name: "formatting", action: Action::Cargo(&["fmt", "--all", "--check"], &[]) },
    Step {
        name: "lints",
        action: Action::Cargo(
            &["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"],
            &[],
        ),
    },
    Step {
        name: "tests",
        action: Action::Cargo(
            &[
                "test",
                "--workspace",
                "--release",
                "--no-fail-fast",
                "--lib",
                "--bins",
                "--tests",
                "--examples",
            ],
            &[],
        ),
    },
];

const REST: &[Step] = &[
    Step {
        name: "doc tests",
        action: Action::Cargo(&["test", "--workspace", "--release", "--no-fail-fast", "--doc"], &[]),
    },
    Step {
        name: "documentation",
        action: Action::Cargo(
            &["doc", "--workspace", "--no-deps", "--release"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
    },
    Step { name: "golden cases", action: Action::Program("golden", &["kernels-tests/golden"]) },
    Step { name: "generated tables", action: Action::Program("docs", &["--check"]) },
];

/// Runs the steps and prints how each went; fails when one did.
pub(crate) fn run(fast: bool) -> Result<ExitCode> {
    let steps = FIRST.iter().chain(if fast { &[] } else { REST });
    let mut rows = Vec::new();
    for step in steps {
        eprintln!("\n== {}", step.name);
        let start = Instant::now();
        let outcome = perform(&step.action);
        if let Err(message) = &outcome {
            eprintln!("xtask: {}: {message}", step.name);
        }
        rows.push((step.name, outcome.is_ok(), start.elapsed()));
    }
    print!("\n{}", table(&rows));
    Ok(if rows.iter().all(|(_, ok, _)| *ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn perform(action: &Action) -> Result {
    let code = match action {
        Action::Call(function) => return function(),
        Action::Cargo(args, variables) => {
            cargo::run(cargo::command(*args).envs(variables.iter().copied()).current_dir(root()))?
        }
        Action::Program(name, args) => {
            let args: Vec<_> = args.iter().map(Into::into).collect();
            cargo::run_bin(name, &args, Some(&root()))?
        }
    };
    if code == ExitCode::SUCCESS { Ok(()) } else { Err("failed".into()) }
}

fn table(rows: &[(&str, bool, Duration)]) -> String {
    let mut text = format!("{:<18}{:<8}{:>9}\n", "step", "result", "seconds");
    for (name, ok, time) in rows {
        let result = if *ok { "ok" } else { "FAILED" };
        text += &format!("{name:<18}{result:<8}{:>9.1}\n", time.as_secs_f64());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Action, FIRST, REST, table};
    use std::time::Duration;

    #[test]
    fn the_table_names_what_failed() {
        let rows = [("lints", true, Duration::from_millis(1240)), ("tests", false, Duration::from_secs(75))];
        let text = table(&rows);
        assert!(text.contains("lints             ok            1.2\n"), "{text}");
        assert!(text.contains("tests             FAILED       75.0\n"), "{text}");
    }

    #[test]
    fn every_build_shares_one_profile() {
        for step in FIRST.iter().chain(REST) {
            if let Action::Cargo(args, _) = step.action {
                assert!(
                    args[0] == "fmt" || args.contains(&"--release"),
                    "{} builds in another profile",
                    step.name
                );
            }
        }
    }
}
