//! `cargo xtask wasm`: the library compiles for wasm32, where browsers run it.
//!
//! Nothing but the target's standard library is missing on most machines. rustup installs it where it can. Where that
//! fails, a compiler that Debian keeps recent for its browsers (`rustc-web`) and the standard library's sources
//! (`rust-web-src`), about 140 MB, are downloaded and unpacked beside what cargo builds: cargo then builds the standard
//! library as well. Those two are not installed, and root is not needed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{output, run, within};
use crate::{Result, apt, cargo, prereq, root};

const TARGET: &str = "wasm32-unknown-unknown";

/// With which features the library is compiled: an app may want none, and what compiles with all may not with some.
const FEATURES: [(&str, &[&str]); 3] = [
    ("without features", &["--no-default-features"]),
    ("with the default features", &[]),
    ("with all features", &["--all-features"]),
];

/// Longest that rustup may take: where its server cannot be reached it tries for minutes.
const PATIENCE: Duration = Duration::from_secs(120);

const COMPILER: &str = "rustc-web";
const SOURCES: &str = "rust-web-src";

/// What compiles for the target.
#[derive(Debug, PartialEq, Eq)]
enum Compiler {
    /// The toolchain that cargo uses anyway has the target's standard library.
    Own,
    /// One unpacked into this folder, which has the standard library's sources.
    Unpacked(PathBuf),
}

/// Compiles the library without writing machine code; the error says what is wrong or missing.
pub(crate) fn check() -> Result {
    prereq::check()?;
    let compiler = compiler()?;
    let folder = cargo::target()?.join("wasm32");
    for (with, features) in FEATURES {
        // Build scripts and procedural macros are compiled for this machine, and there without optimisation.
        let mut cargo =
            cargo::command(["check", cargo::PROFILE, "--package", "foveal", "--lib", "--target", TARGET]);
        cargo.args(features).arg("--target-dir").arg(&folder).current_dir(root());
        // Code that other targets use and this one does not is as wrong as an error; dependencies are spared.
        cargo.env("RUSTFLAGS", "-D warnings");
        if let Compiler::Unpacked(system) = &compiler {
            // The compiler is a stable one, to which building the standard library is a feature of another channel.
            cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
            cargo.env("RUSTC", rustc(system)).env("LD_LIBRARY_PATH", libraries(system)?);
        }
        eprintln!("xtask: the library for {TARGET}, {with}");
        run(&mut cargo).map_err(|e| format!("it does not compile {with}: {e}"))?;
    }
    Ok(())
}

/// The toolchain's own compiler if it can have the target, else one to be unpacked.
fn compiler() -> Result<Compiler> {
    if own_has_target() {
        return Ok(Compiler::Own);
    }
    let with_rustup = add_target();
    if with_rustup.is_ok() && own_has_target() {
        return Ok(Compiler::Own);
    }
    let reason =
        with_rustup.err().unwrap_or_else(|| "rustup says that it is installed, and it is not".into());
    eprintln!("xtask: rustup does not help: {reason}");
    unpacked().map(Compiler::Unpacked).map_err(|e| {
        format!(
            "no standard library for {TARGET}: {reason}; {e}. Install it with `rustup target add {TARGET}`"
        )
    })
}

/// Whether the compiler that cargo uses has the target's standard library.
fn own_has_target() -> bool {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let folder = output(&rustc, &["--print", "target-libdir", "--target", TARGET]);
    folder.is_some_and(|path| holds_std(Path::new(path.trim())))
}

fn holds_std(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).any(|name| name.starts_with("libstd-"))
}

fn add_target() -> Result {
    if output("rustup", &["--version"]).is_none() {
        return Err("there is no rustup".into());
    }
    eprintln!("xtask: installing a standard library with `rustup target add {TARGET}`");
    within(PATIENCE, Command::new("rustup").args(["target", "add", TARGET]))
}

/// The folder with Debian's compiler: unpacked before, or now.
fn unpacked() -> Result<PathBuf> {
    let target = cargo::target()?;
    let folder = target.join(COMPILER);
    if recent_enough(&folder) {
        return Ok(folder);
    }
    if !apt::there() {
        return Err("there is no apt to download another compiler with".into());
    }
    // A folder that was not finished never gets the name that is looked for.
    let unfinished = target.join(format!("{COMPILER}.unfinished"));
    for old in [&folder, &unfinished] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(|e| format!("{}: {e}", old.display()))?;
        }
    }
    // The compiler needs a standard library of its own for build scripts, and that needs LLVM.
    let depends = apt::missing("libstd-rust-web-dev")?;
    let names: Vec<&str> =
        [COMPILER, SOURCES].into_iter().chain(depends.iter().map(String::as_str)).collect();
    eprintln!(
        "xtask: downloading a compiler with `apt-get download {}` into {}",
        names.join(" "),
        folder.display()
    );
    let packages = apt::download(&names, &unfinished)
        .map_err(|e| format!("{e}; Debian has the package {COMPILER}, Ubuntu does not"))?;
    for package in &packages {
        let name = package.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        apt::unpack(package, &unfinished, &wanted(&name))?;
        // Half a gigabyte would be kept twice.
        let _ = fs::remove_file(package);
    }
    if !recent_enough(&unfinished) {
        return Err(format!(
            "the compiler of {COMPILER} does not run or is older than {}",
            env!("CARGO_PKG_RUST_VERSION")
        ));
    }
    fs::rename(&unfinished, &folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// What is unpacked of a package, as arguments of tar: of the sources the standard library alone, a sixth.
fn wanted(package: &str) -> Vec<String> {
    if package.starts_with(SOURCES) {
        ["--wildcards", "./usr/lib/rustlib/src*", "./usr/src/*/library/*"].map(Into::into).into()
    } else {
        Vec::new()
    }
}

fn rustc(system: &Path) -> PathBuf {
    system.join("usr/bin/rustc")
}

/// The folders of an unpacked system's shared libraries, as the loader wants to be told of them.
fn libraries(system: &Path) -> Result<OsString> {
    let below =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = ["usr/lib", "lib"].into_iter().flat_map(|part| below(system.join(part)));
    let own = own.filter(|path| path.to_string_lossy().contains("-linux-gnu"));
    let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // An empty name would be the working folder.
    let others = std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
    std::env::join_paths(own.chain(others)).map_err(|e| format!("{}: {e}", system.display()))
}

/// Whether a folder has a compiler that runs and that the workspace's code is written for.
fn recent_enough(system: &Path) -> bool {
    let Ok(libraries) = libraries(system) else { return false };
    let asked = Command::new(rustc(system)).arg("--version").env("LD_LIBRARY_PATH", libraries).output();
    let says = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    version(says.split_whitespace().nth(1).unwrap_or_default()) >= version(env!("CARGO_PKG_RUST_VERSION"))
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("1.96.0"), Some((1, 96)));
        assert!(version("1.100.0-nightly") > version("1.90"));
        assert!(version("") < version("1.90"), "a compiler that does not run counts as recent");
    }

    #[test]
    fn an_empty_folder_has_no_compiler_and_no_target() {
        let folder = std::env::temp_dir().join(format!("foveal-wasm-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        assert!(!recent_enough(&folder) && !holds_std(&folder));
        fs::write(folder.join("libstd-0123.rlib"), "").expect("a temporary file");
        assert!(holds_std(&folder));
        fs::remove_dir_all(&folder).expect("removes its folder");
    }

    #[test]
    fn of_the_sources_the_standard_library_is_wanted() {
        assert!(wanted("rust-web-src_1.96.0_all.deb").iter().any(|path| path.contains("library")));
        assert!(wanted("rustc-web_1.96.0_amd64.deb").is_empty());
    }
}
