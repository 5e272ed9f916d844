//! Makes sure that Vulkan has a driver whose numbers can be trusted, before anything is built for it.
//!
//! Looks at what the Vulkan loader would look at, without linking it: driver manifests, device nodes and
//! the package version of the software driver. Mesa's software driver below version 25 is refused: 22.3.6,
//! which Debian 12 ships, leaves every shader loop after 65,535 iterations without an error, so that a test
//! on it proves nothing. On Debian and Ubuntu a missing driver is installed with apt from the mirror that the
//! machine already uses; elsewhere a message says what to install.

mod decide;
mod facts;
mod install;
mod plan;
mod sources;
pub(crate) mod swiftshader;

use crate::Result;
use decide::Verdict;
pub(crate) use decide::major;

/// Returns when a sound driver is there, installing one where that is possible.
pub(crate) fn ensure() -> Result {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let (reasons, loader_only) = match decide::decide(&facts::gather()) {
        Verdict::Sound(driver) => {
            eprintln!("xtask: Vulkan driver: {driver}");
            return Ok(());
        }
        Verdict::ChosenUnsound(message) => return Err(message),
        Verdict::Unsound { reasons, loader_only } => (reasons, loader_only),
    };
    eprintln!("xtask: no sound Vulkan driver:\n{}", bullets(&reasons));
    install::install(loader_only)?;
    match decide::decide(&facts::gather()) {
        Verdict::Sound(driver) => {
            eprintln!("xtask: Vulkan driver: {driver}");
            Ok(())
        }
        Verdict::ChosenUnsound(message) => Err(message),
        Verdict::Unsound { reasons, .. } => {
            Err(format!("the packages are installed, yet no driver is sound:\n{}", bullets(&reasons)))
        }
    }
}

/// A sources file for another suite of Debian, from the mirror that the machine already uses.
pub(crate) fn suite(name: &str) -> Result<String> {
    install::suite(name)
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}
