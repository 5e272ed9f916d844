//! `cargo xtask test`: every check, in one order, none hidden by an earlier failure.
//!
//! Everything is built in release mode. The CPU references are slow unoptimised, `demo` and `bench` want release
//! anyway, and with one profile each dependency is compiled once for running and once as metadata, which clippy
//! and rustdoc share; build scripts and procedural macros serve all of them.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::driver::swiftshader;
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
    /// One of the two above, with SwiftShader for its driver.
    OnSwiftShader(&'static Action),
}

/// What to check, and how strictly.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Formatting, lints and tests only.
    pub(crate) fast: bool,
    /// What this machine lacks is a failure.
    pub(crate) ci: bool,
}

/// How a step ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Ok,
    Skipped,
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
    // Every other step has all features on, of which an app may want none.
    Step {
        name: "bare library",
        action: Action::Cargo(
            &["clippy", "--release", "--lib", "--no-default-features", "--", "-D", "warnings"],
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

const GOLDEN: Action = Action::Program("golden", &["kernels-tests/golden"]);

const REST: &[Step] = &[
    // Other subgroups, no f16, and out-of-bounds reads that clamp: what only works on the first driver fails here.
    Step {
        name: "SwiftShader",
        action: Action::OnSwiftShader(&Action::Cargo(
            &[
                "test",
                "--workspace",
                "--release",
                "--no-fail-fast",
                "--test",
                "numerics",
                "--test",
                "planted",
                "--test",
                "gpu",
                "--test",
                "memory",
                "--test",
                "tape",
            ],
            &[],
        )),
    },
    Step { name: "SwiftShader golden", action: Action::OnSwiftShader(&GOLDEN) },
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
    Step {
        name: "benches run",
        action: Action::Cargo(&["bench", "--workspace", "--bench", "kernels", "--", "--smoke"], &[]),
    },
    Step { name: "golden cases", action: GOLDEN },
    Step { name: "generated tables", action: Action::Program("docs", &["--check"]) },
];

/// Runs the steps and prints how each went; fails when one did.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    let steps = FIRST.iter().chain(if options.fast { &[] } else { REST });
    let mut rows = Vec::new();
    for step in steps {
        eprintln!("\n== {}", step.name);
        let start = Instant::now();
        let outcome = perform(&step.action, options, None);
        if let Err(message) = &outcome {
            eprintln!("xtask: {}: {message}", step.name);
        }
        rows.push((step.name, outcome.ok(), start.elapsed()));
    }
    print!("\n{}", table(&rows));
    Ok(if rows.iter().all(|(_, done, _)| done.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a step's action, with a Vulkan driver of its own where `manifest` names one.
fn perform(action: &Action, options: Options, manifest: Option<&Path>) -> Result<Done> {
    let driver = manifest.map(|path| swiftshader::VARIABLES.map(|name| (name, path)));
    let driver = driver.iter().flatten().copied();
    let code = match action {
        Action::Call(function) => return function().map(|()| Done::Ok),
        Action::Cargo(args, variables) => {
            let mut command = cargo::command(*args);
            cargo::run(command.envs(variables.iter().copied()).envs(driver).current_dir(root()))?
        }
        Action::Program(name, args) => {
            let mut command = Command::new(cargo::build(cargo::Kind::Bin, name)?);
            cargo::run(command.args(*args).envs(driver).current_dir(root()))?
        }
        Action::OnSwiftShader(action) => match swiftshader::manifest() {
            Ok(manifest) => return perform(action, options, Some(&manifest)),
            Err(reason) if options.ci => return Err(reason),
            Err(reason) => {
                eprintln!("xtask: skipped, no second driver: {reason}");
                return Ok(Done::Skipped);
            }
        },
    };
    if code == ExitCode::SUCCESS { Ok(Done::Ok) } else { Err("failed".into()) }
}

fn table(rows: &[(&str, Option<Done>, Duration)]) -> String {
    let mut text = format!("{:<20}{:<8}{:>9}\n", "step", "result", "seconds");
    for (name, done, time) in rows {
        let result = match done {
            Some(Done::Ok) => "ok",
            Some(Done::Skipped) => "skipped",
            None => "FAILED",
        };
        text += &format!("{name:<20}{result:<8}{:>9.1}\n", time.as_secs_f64());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Action, Done, FIRST, REST, table};
    use std::time::Duration;

    #[test]
    fn the_table_names_what_failed() {
        let rows = [
            ("lints", Some(Done::Ok), Duration::from_millis(1240)),
            ("tests", None, Duration::from_secs(75)),
            ("SwiftShader", Some(Done::Skipped), Duration::ZERO),
        ];
        let text = table(&rows);
        assert!(text.contains("SwiftShader         skipped"), "{text}");
        assert!(text.contains("lints               ok            1.2\n"), "{text}");
        assert!(text.contains("tests               FAILED       75.0\n"), "{text}");
    }

    #[test]
    fn every_build_shares_one_profile() {
        for step in FIRST.iter().chain(REST) {
            let action = if let Action::OnSwiftShader(inner) = step.action { inner } else { &step.action };
            if let Action::Cargo(args, _) = action {
                assert!(
                    // `bench` has a profile of its own, with the settings of release.
                    ["fmt", "bench"].contains(&args[0]) || args.contains(&"--release"),
                    "{} builds in another profile",
                    step.name
                );
            }
        }
    }
}
