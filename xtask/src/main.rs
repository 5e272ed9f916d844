//! `cargo xtask`: everything a person or a build server does with this workspace, as one command each.
//!
//! Commands that touch a GPU first make sure that a Vulkan driver is there whose results can be trusted
//! (see [`driver`]); on a Debian or Ubuntu machine without one they install a software driver.

mod api;
mod apt;
mod bert;
mod cargo;
mod check;
mod driver;
mod isa;
mod new;
mod prereq;
mod process;
mod tint;
mod wasm;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// What failed, in words for the person at the terminal.
type Result<T = (), E = String> = std::result::Result<T, E>;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The chores of the foveal workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the temporal control demonstration; its report lands in out/demo
    Demo {
        /// Arguments for the example
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run every check: formatting, lints, tests, documentation, golden cases
    Test {
        /// Formatting, lints and tests only
        #[arg(long)]
        fast: bool,
        /// More, for which more is downloaded: a second driver, wasm32, a browser's shader compiler
        #[arg(long, conflicts_with = "fast")]
        ci: bool,
    },
    /// Start a kernel as a copy of another: shader, host file, and the lines that name them
    New {
        /// Folder of shader and host file, such as rowwise
        family: String,
        /// Its name, such as log_softmax
        stem: String,
        /// The kernel of the family to copy
        #[arg(long, value_name = "SIBLING")]
        like: String,
        /// Also copy SIBLING_backward
        #[arg(long)]
        backward: bool,
    },
    /// Compile the library for wasm32
    Wasm,
    /// Have the shader compiler of Chromium judge every WGSL text that a browser could be given
    Tint,
    /// Run golden cases: every folder below DIR with a case.json
    Golden {
        /// Folder to search
        dir: PathBuf,
        /// Run only the operations whose name begins like this
        #[arg(long, value_name = "OP_PREFIX")]
        filter: Option<String>,
    },
    /// Print the WGSL of a kernel as the GPU gets it
    Expand {
        /// Name of the kernel
        stem: String,
        /// One variant only
        variant: Option<String>,
    },
    /// Print which way and variant each kernel takes on devices of given capabilities, and why
    Ways {
        /// Name of the kernel; without it all
        kernel: Option<String>,
        /// Part of the name of some capabilities, or `this` for this machine's adapter
        #[arg(long)]
        caps: Option<String>,
        /// Also the variants that could run and do not
        #[arg(long)]
        all: bool,
    },
    /// Write the generated tables of the documentation
    Docs {
        /// Change nothing; fail when a table is stale
        #[arg(long)]
        check: bool,
        /// First measure the errors of these kernels, or of all, on this machine's adapter and on SwiftShader
        #[arg(long, value_name = "STEM", num_args = 0.., conflicts_with = "check")]
        measure: Option<Vec<String>>,
    },
    /// Write the listing of the public API, docs/public-api.txt
    Api {
        /// Change nothing; fail where the listing is stale, with the difference
        #[arg(long)]
        check: bool,
    },
    /// Make small edits of kernels, one at a time, and list those that no numerical test notices
    Mutate {
        /// Run them on SwiftShader, which compiles several times as fast as Mesa's driver
        #[arg(long)]
        swiftshader: bool,
        /// Names of kernels, and arguments for the program: `-- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Compile every kernel for cards that are not there, by Mesa's compilers, and keep or compare what they made of it
    Isa(isa::Isa),
    /// Run the kernel benchmarks
    Bench {
        /// Keep the results with those of earlier runs on this adapter
        #[arg(long)]
        record: bool,
        /// More arguments for the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Only make sure that there is a sound Vulkan driver
    Driver {
        /// Print the lines that make a shell's programs run on SwiftShader, for `eval`
        #[arg(long)]
        swiftshader: bool,
    },
}

fn main() -> ExitCode {
    let done = match std::env::var_os(api::AS_RUSTDOC) {
        Some(program) => api::rustdoc(&program),
        None => run(Cli::parse().task),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Demo { args } => demo(&args),
        Task::Test { fast: true, .. } => check::run(check::Extent::Fast),
        Task::Test { ci: true, .. } => check::run(check::Extent::Ci),
        Task::Test { .. } => check::run(check::Extent::Usual),
        Task::New { family, stem, like, backward } => {
            new::run(&root(), new::New { family: &family, stem: &stem, like: &like, backward })
        }
        Task::Wasm => wasm::check().map(|()| ExitCode::SUCCESS),
        Task::Tint => tint::check().map(|()| ExitCode::SUCCESS),
        Task::Golden { dir, filter } => {
            ready()?;
            let mut args = vec![dir.into_os_string()];
            if let Some(prefix) = filter {
                args.extend(["--filter".into(), prefix.into()]);
            }
            cargo::run_bin("golden", &args, None)
        }
        Task::Expand { stem, variant } => {
            prereq::check()?;
            let args: Vec<OsString> = std::iter::once(stem).chain(variant).map(Into::into).collect();
            cargo::run_bin("expand", &args, None)
        }
        Task::Ways { kernel, caps, all } => {
            prereq::check()?;
            let caps = caps.map(|caps| ["--caps".into(), caps]).into_iter().flatten();
            let all = all.then(|| "--all".into());
            let args: Vec<OsString> = kernel.into_iter().chain(caps).chain(all).map(Into::into).collect();
            cargo::run_bin("ways", &args, None)
        }
        Task::Docs { measure: Some(stems), .. } => measure(&stems),
        Task::Docs { check, .. } => {
            prereq::check()?;
            let args: &[OsString] = if check { &["--check".into()] } else { &[] };
            cargo::run_bin("docs", args, Some(&root()))
        }
        Task::Api { check } => {
            prereq::check()?;
            let done = if check { api::check() } else { api::write() };
            done.map(|()| ExitCode::SUCCESS)
        }
        Task::Mutate { swiftshader, args } => {
            ready()?;
            let mut program = Command::new(cargo::build(cargo::Kind::Bin, "mutate")?);
            if swiftshader {
                let manifest = driver::swiftshader::manifest()?;
                program.envs(driver::swiftshader::VARIABLES.map(|name| (name, &manifest)));
            }
            cargo::run(program.args(args))
        }
        Task::Isa(asked) => isa::run(&asked),
        Task::Bench { record, args } => {
            ready()?;
            let mut bench = cargo::command(BENCH);
            if record {
                bench.arg("--record");
            }
            cargo::run(bench.args(args).current_dir(root()))
        }
        Task::Driver { swiftshader: false } => driver::ensure().map(|()| ExitCode::SUCCESS),
        Task::Driver { swiftshader: true } => {
            let manifest = driver::swiftshader::manifest()?;
            for name in driver::swiftshader::VARIABLES {
                println!("export {name}='{}'", manifest.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Cargo's arguments for the kernel benchmarks; the benchmark's own follow.
const BENCH: [&str; 5] = ["bench", "--workspace", "--bench", "kernels", "--"];

/// What every command needs that builds the library and runs it on an adapter.
fn ready() -> Result {
    prereq::check()?;
    driver::ensure()
}

/// Errors of these kernels, or of all, on every driver to be had.
fn measure(stems: &[String]) -> Result<ExitCode> {
    ready()?;
    let program = cargo::build(cargo::Kind::Bin, "docs")?;
    let mut docs = Command::new(program);
    let code = cargo::run(docs.arg("--measure").args(stems).current_dir(root()))?;
    match driver::swiftshader::manifest() {
        Ok(manifest) if code == ExitCode::SUCCESS => {
            cargo::run(docs.envs(driver::swiftshader::VARIABLES.map(|name| (name, &manifest))))
        }
        Ok(_) => Ok(code),
        Err(reason) => {
            eprintln!("xtask: not measured on SwiftShader: {reason}");
            Ok(code)
        }
    }
}

fn demo(args: &[OsString]) -> Result<ExitCode> {
    ready()?;
    let program = cargo::build(cargo::Kind::Example, "temporal_control")?;
    // It says itself where its reports are.
    cargo::run(Command::new(program).args(args).current_dir(root()))
}

/// Root of the workspace, where cargo was told to find this package.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
