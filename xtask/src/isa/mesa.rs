//! Where a compiler comes from: this system's own Mesa, or one unpacked beside what cargo builds.
//!
//! Debian's package mesa-drm-shim has libraries that answer in a kernel driver's place, so that Mesa's real back ends
//! compile for a card that is not there. Loaded ahead of a program, they have to be of the same Mesa as its drivers.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cards::{Card, Driver, Source};
use super::tree;
use crate::process::output;
use crate::{Result, apt, cargo, driver};

const SHIM: &str = "mesa-drm-shim";
const DRIVERS: &str = "mesa-vulkan-drivers";
const BACKPORTS: &str = "bookworm-backports";
const SID: &str = "sid";

/// The first Mesa with shims that the drivers work with.
const OLDEST: u32 = 25;

/// A Mesa that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mesa {
    /// The system's; the shims lie in a folder.
    Host { shims: PathBuf },
    /// One with all the libraries that it needs, its C library among them.
    Tree { root: PathBuf },
}

/// The Mesa for a card; where it is a stable one, that of the card's record (`wanted`) as far as it can be had.
pub(super) fn find(card: &Card, wanted: Option<&str>) -> Result<Mesa> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("Mesa's compilers for other cards are started on Linux on x86-64 only".into());
    }
    match card.source {
        Source::Sid => tree(SID),
        Source::Backports => backports(wanted),
    }
}

/// This system's Mesa where it is the one that is wanted, else Debian 12's, else this system's after all.
fn backports(wanted: Option<&str>) -> Result<Mesa> {
    let version = output("dpkg-query", &["-W", "-f=${Version}", DRIVERS]).unwrap_or_default();
    let version = version.trim();
    let usable = driver::major(version).is_some_and(|major| major >= OLDEST);
    if usable && wanted.is_none_or(|wanted| is_of(wanted, version)) {
        return host(version);
    }
    let own = if version.is_empty() { "not Debian's".into() } else { format!("{version} of {DRIVERS}") };
    let record =
        wanted.map_or_else(|| format!("{OLDEST} or newer"), |wanted| format!("the record's ({wanted})"));
    eprintln!("xtask: this system's Mesa is {own}, not {record}: taking {BACKPORTS}'s");
    tree(BACKPORTS).or_else(|why| {
        if !usable {
            return Err(why);
        }
        eprintln!(
            "xtask: {why}\nxtask: comparing with this system's Mesa {version}: what differs may be its doing"
        );
        host(version)
    })
}

/// Whether a record's driver is of a package's version.
fn is_of(driver: &str, version: &str) -> bool {
    driver.split_whitespace().last() == Some(version)
}

fn host(version: &str) -> Result<Mesa> {
    driver::ensure()?;
    // A version may hold what a path may not.
    let folder: String = version
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".~+-".contains(c) { c } else { '_' })
        .collect();
    let folder = cargo::target()?.join(format!("{SHIM}-{folder}"));
    if !folder.join(Driver::Radv.shim()).is_file() {
        shims(version, &folder)?;
    }
    Ok(Mesa::Host { shims: folder })
}

fn shims(version: &str, folder: &Path) -> Result {
    let package = format!("{SHIM}={version}");
    if !apt::there() {
        return Err(format!("there is no apt to download {package} with"));
    }
    eprintln!("xtask: downloading {SHIM} with `apt-get download {package}` into {}", folder.display());
    let packages = apt::download(&[&package], folder).map_err(|e| {
        format!("{e}; it has to be of the same version as {DRIVERS}: `apt-cache policy {SHIM}`")
    })?;
    let tar = ["--strip-components=4", "--wildcards", "./usr/lib/*_drm_shim.so"].map(Into::into);
    for package in packages {
        let unpacked = apt::unpack(&package, folder, &tar);
        let _ = fs::remove_file(&package);
        unpacked?;
    }
    Ok(())
}

/// A suite's Mesa: unpacked before, or now.
fn tree(suite: &str) -> Result<Mesa> {
    let folder = cargo::target()?.join(format!("mesa-{suite}"));
    if !folder.is_dir() {
        tree::make(suite, &[DRIVERS, SHIM], &folder)?;
    }
    Ok(Mesa::Tree { root: folder })
}

impl Mesa {
    /// A program on this Mesa, for a card; what it prints of texts goes to standard error.
    pub(super) fn command(&self, program: &Path, card: &Card) -> Result<Command> {
        let (mut command, manifest) = match self {
            Self::Host { shims } => {
                let mut command = Command::new(program);
                command.env("LD_PRELOAD", shims.join(card.driver.shim()));
                (command, manifest(Path::new("/usr/share/vulkan/icd.d"), card.driver)?)
            }
            Self::Tree { root } => {
                let libraries = tree::libraries(root);
                let find = |name: &str| {
                    let mut found = libraries.iter().map(|folder| folder.join(name));
                    found.find(|path| path.is_file()).ok_or_else(|| {
                        format!("{} has no {name}; remove it to have it made anew", root.display())
                    })
                };
                let mut path = OsString::new();
                for folder in &libraries {
                    path.push(if path.is_empty() { "" } else { ":" });
                    path.push(folder);
                }
                // The program with this Mesa's C library, which may be newer than the system's.
                let mut command = Command::new(find("ld-linux-x86-64.so.2")?);
                command.arg("--library-path").arg(path).arg("--preload").arg(find(card.driver.shim())?);
                command.arg(program).env_remove("LD_PRELOAD");
                (command, manifest(&root.join("usr/share/vulkan/icd.d"), card.driver)?)
            }
        };
        command
            .env_remove("LD_LIBRARY_PATH")
            .envs(driver::swiftshader::VARIABLES.map(|name| (name, &manifest)))
            .env("WGPU_BACKEND", "vulkan")
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .envs(card.driver.variables().iter().copied())
            .envs(card.chosen);
        Ok(command)
    }
}

/// A driver's manifest: `radeon_icd.json`, or `radeon_icd.x86_64.json`.
fn manifest(folder: &Path, driver: Driver) -> Result<PathBuf> {
    let begin = format!("{}_icd.", driver.stem());
    let names = ["json", "x86_64.json"].map(|end| folder.join(format!("{begin}{end}")));
    let missing = || format!("{} has no {begin}json: the package {DRIVERS} brings it", folder.display());
    names.into_iter().find(|path| path.is_file()).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::cards::CARDS;

    #[test]
    fn a_record_names_the_version_of_its_driver() {
        assert!(is_of("radv Mesa 25.0.7-2~bpo12+1", "25.0.7-2~bpo12+1"));
        assert!(!is_of("radv Mesa 25.0.7-2~bpo12+1", "25.0.7-2"));
        assert!(!is_of("", "25.0.7-2"));
    }

    #[test]
    fn a_tree_is_started_by_its_own_linker() {
        let root = std::env::temp_dir().join(format!("foveal-isa-mesa-{}", std::process::id()));
        let (libraries, icd) = (root.join("usr/lib/x86_64-linux-gnu"), root.join("usr/share/vulkan/icd.d"));
        for folder in [&libraries, &icd] {
            fs::create_dir_all(folder).expect("a temporary folder");
        }
        let mesa = Mesa::Tree { root: root.clone() };
        let card = CARDS.iter().find(|card| card.name == "ga102").expect("a card");
        assert!(mesa.command(Path::new("isa"), card).is_err_and(|e| e.contains("ld-linux")));
        for name in ["ld-linux-x86-64.so.2", "libnouveau_noop_drm_shim.so"] {
            fs::write(libraries.join(name), "").expect("a temporary file");
        }
        assert!(mesa.command(Path::new("isa"), card).is_err_and(|e| e.contains("nouveau_icd")));
        fs::write(icd.join("nouveau_icd.json"), "{}").expect("a temporary file");
        let command = mesa.command(Path::new("isa"), card).expect("a command");
        assert_eq!(command.get_program(), libraries.join("ld-linux-x86-64.so.2"));
        let set =
            |name: &str, value: &str| command.get_envs().any(|(n, v)| n == name && v == Some(value.as_ref()));
        assert!(set("NOUVEAU_CHIPSET", "172") && set("NAK_DEBUG", "print"));
        fs::remove_dir_all(&root).expect("removes its folder");
    }
}
