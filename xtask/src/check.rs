//! `cargo xtask test`: every check, in one order, none hidden by an earlier failure.
//!
//! Everything is built in the profile `checks`, between unoptimised, in which the CPU references are slow, and release, which
//! takes nearly twice as long to compile and saves the tests nothing. With one profile each dependency is compiled once for running and once as
//! metadata, which clippy and rustdoc share; build scripts and procedural macros serve all of them.
//!
//! The usual extent is for everyone who changes something: it needs this machine's driver and nothing else. A build server
//! also runs what takes more time and downloads; where it cannot be had, that is a failure there.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::driver::swiftshader;
use crate::{Result, api, bert, cargo, driver, isa, prereq, root, tint, wasm};

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
    /// The named binaries of tests, whole.
    Suites(&'static [&'static str]),
    /// A program of the workspace, with arguments.
    Program(&'static str, &'static [&'static str]),
    /// One of those above, with SwiftShader for its driver.
    OnSwiftShader(&'static Action),
}

/// How much to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// Formatting, lints and tests only.
    Fast,
    /// All that this machine can check by itself.
    Usual,
    /// Also what is downloaded to check with.
    Ci,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Ok,
    Failed,
    /// It belongs to a larger extent.
    NotRun,
}

const FIRST: &[Step] = &[
    Step { name: "compilers", action: Action::Call(prereq::check) },
    Step { name: "Vulkan driver", action: Action::Call(driver::ensure) },
    Step { name: "formatting", action: Action::Cargo(&["fmt", "--all", "--check"], &[]) },
    Step {
        name: "lints",
        action: Action::Cargo(
            &["clippy", "--workspace", "--all-targets", cargo::PROFILE, "--", "-D", "warnings"],
            &[],
        ),
    },
    Step {
        name: "tests",
        action: Action::Cargo(
            &[
                "test",
                "--workspace",
                cargo::PROFILE,
                "--no-fail-fast",
                "--lib",
                "--bins",
                "--tests",
                "--examples",
            ],
            // Of numerics and planted a part, which the rest of a CI run makes whole.
            &[("FOVEAL_SUITE", "part")],
        ),
    },
];

const GOLDEN: Action = Action::Program("golden", &["kernels-tests/golden"]);

const REST: &[Step] = &[
    Step {
        name: "doc tests",
        action: Action::Cargo(&["test", "--workspace", cargo::PROFILE, "--no-fail-fast", "--doc"], &[]),
    },
    Step {
        name: "documentation",
        action: Action::Cargo(
            &["doc", "--workspace", "--no-deps", cargo::PROFILE],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
    },
    Step { name: "golden cases", action: GOLDEN },
    Step { name: "generated tables", action: Action::Program("docs", &["--check"]) },
];

const CI: &[Step] = &[
    Step { name: "whole suite", action: Action::Suites(&["numerics", "planted"]) },
    // Every other step has all features on, of which an app may want none.
    Step {
        name: "bare library",
        action: Action::Cargo(
            &["clippy", cargo::PROFILE, "--lib", "--no-default-features", "--", "-D", "warnings"],
            &[],
        ),
    },
    Step {
        name: "benches run",
        action: Action::Cargo(
            &["bench", "--workspace", cargo::PROFILE, "--bench", "kernels", "--", "--smoke"],
            &[],
        ),
    },
    Step { name: "public API", action: Action::Call(api::check) },
    Step { name: "wasm32", action: Action::Call(wasm::check) },
    Step { name: "Tint", action: Action::Call(tint::check) },
    Step { name: "real BERT", action: Action::Call(bert::check) },
    Step { name: "GPU compiler", action: Action::Call(isa::check) },
    // Other subgroups, no f16, and out-of-bounds reads that clamp: what only works on the first driver fails here.
    Step {
        name: "SwiftShader",
        action: Action::OnSwiftShader(&Action::Suites(&[
            "numerics",
            "numbers",
            "contexts",
            "surface",
            "asking",
            "places",
            "variables",
            "planted",
            "gpu",
            "memory",
            "tape",
            "video_qa",
        ])),
    },
    Step { name: "SwiftShader golden", action: Action::OnSwiftShader(&GOLDEN) },
];

/// The steps, each with the smallest extent that it belongs to.
fn steps() -> impl Iterator<Item = (Extent, &'static Step)> {
    let groups = [(Extent::Fast, FIRST), (Extent::Usual, REST), (Extent::Ci, CI)];
    groups.into_iter().flat_map(|(from, steps)| steps.iter().map(move |step| (from, step)))
}

/// Runs the steps and prints how each went; fails when one did.
pub(crate) fn run(extent: Extent) -> Result<ExitCode> {
    let mut rows = Vec::new();
    let mut failures = String::new();
    for (from, step) in steps() {
        let start = Instant::now();
        let done = if from > extent {
            Done::NotRun
        } else {
            eprintln!("\n== {}", step.name);
            let mut told = Vec::new();
            match perform(&step.action, None, &mut told) {
                Ok(()) => Done::Ok,
                Err(message) => {
                    eprintln!("xtask: {}: {message}", step.name);
                    failures += &format!("\n== {}: {message}\n", step.name);
                    told.iter().for_each(|line| failures += &format!("{line}\n"));
                    Done::Failed
                }
            }
        };
        rows.push((step.name, done, start.elapsed()));
    }
    // What failed stands thousands of lines above; here it is found.
    print!("{failures}\n{}", table(&rows));
    let failed = rows.iter().any(|(_, done, _)| *done == Done::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs a step's action, with a Vulkan driver of its own where `manifest` names one, and adds to `told` what it prints of
/// failures.
fn perform(action: &Action, manifest: Option<&Path>, told: &mut Vec<String>) -> Result {
    let driver = manifest.map(|path| swiftshader::VARIABLES.map(|name| (name, path)));
    let driver = driver.iter().flatten().copied();
    let (code, failures) = match action {
        Action::Call(function) => return function(),
        Action::Cargo(args, variables) => {
            let mut command = cargo::command(*args);
            cargo::run_and_heed(command.envs(variables.iter().copied()).envs(driver).current_dir(root()))?
        }
        Action::Suites(names) => {
            let mut command = cargo::command(["test", "--workspace", cargo::PROFILE, "--no-fail-fast"]);
            names.iter().for_each(|name| {
                command.args(["--test", name]);
            });
            cargo::run_and_heed(command.envs(driver).current_dir(root()))?
        }
        Action::Program(name, args) => {
            let mut command = Command::new(cargo::build(cargo::Kind::Bin, name)?);
            cargo::run_and_heed(command.args(*args).envs(driver).current_dir(root()))?
        }
        Action::OnSwiftShader(action) => return perform(action, Some(&swiftshader::manifest()?), told),
    };
    told.extend(failures);
    if code == ExitCode::SUCCESS { Ok(()) } else { Err("failed".into()) }
}

fn table(rows: &[(&str, Done, Duration)]) -> String {
    let mut text = format!("{:<20}{:<8}{:>9}\n", "step", "result", "seconds");
    for (name, done, time) in rows {
        let result = match done {
            Done::Ok => "ok",
            Done::Failed => "FAILED",
            Done::NotRun => "not run",
        };
        text += &format!("{name:<20}{result:<8}{:>9.1}\n", time.as_secs_f64());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Action, Done, Extent, cargo, steps, table};
    use std::time::Duration;

    #[test]
    fn the_table_names_what_failed() {
        let rows = [
            ("lints", Done::Ok, Duration::from_millis(1240)),
            ("tests", Done::Failed, Duration::from_secs(75)),
            ("SwiftShader", Done::NotRun, Duration::ZERO),
        ];
        let text = table(&rows);
        assert!(text.contains("SwiftShader         not run"), "{text}");
        assert!(text.contains("lints               ok            1.2\n"), "{text}");
        assert!(text.contains("tests               FAILED       75.0\n"), "{text}");
    }

    #[test]
    fn what_is_downloaded_is_left_to_the_build_server() {
        for (extent, step) in steps() {
            let downloads = ["wasm32", "Tint", "real BERT", "GPU compiler"].contains(&step.name)
                || matches!(step.action, Action::OnSwiftShader(_));
            assert!(!downloads || extent == Extent::Ci, "{}", step.name);
        }
    }

    #[test]
    fn every_build_shares_one_profile() {
        for (_, step) in steps() {
            let action = if let Action::OnSwiftShader(inner) = step.action { inner } else { &step.action };
            if let Action::Cargo(args, _) = action {
                assert!(
                    args[0] == "fmt" || args.contains(&cargo::PROFILE),
                    "{} builds in another profile",
                    step.name
                );
            }
        }
    }
}
