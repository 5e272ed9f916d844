//! SwiftShader, a second software driver: subgroups of 4, no f16, and reads outside a buffer that clamp instead of
//! giving zero. What only works on Mesa's driver shows on it.
//!
//! It is a library of a few megabytes inside a browser. An installed browser's copy is taken where there is one;
//! else Debian's package `chromium-common` (about 30 MB) is downloaded, and its two files are unpacked beside what cargo
//! builds. Nothing is installed, and root is not needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// Variables by which the Vulkan loader is told of the driver, the newer name first; old loaders know the second alone.
pub(crate) const VARIABLES: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

const MANIFEST: &str = "vk_swiftshader_icd.json";
const LIBRARY: &str = "libvk_swiftshader.so";
const PACKAGE: &str = "chromium-common";

/// Where browsers keep their copy.
const INSTALLED: &[&str] =
    &["/usr/lib/chromium", "/usr/lib64/chromium-browser", "/opt/google/chrome", "/opt/microsoft/msedge"];

/// The driver's manifest: installed, downloaded before, or downloaded now. The error says why there is none.
pub(crate) fn manifest() -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        return Err("SwiftShader is looked for on Linux only".into());
    }
    let own = folder()?;
    let known = INSTALLED.iter().map(Path::new).chain([own.as_path()]);
    if let Some(found) = known.filter_map(complete).next() {
        return Ok(found);
    }
    download(&own)?;
    complete(&own).ok_or_else(|| format!("{PACKAGE} holds no {MANIFEST} with {LIBRARY}"))
}

/// The manifest in a folder that has the library as well.
fn complete(folder: &Path) -> Option<PathBuf> {
    let manifest = folder.join(MANIFEST);
    (manifest.is_file() && folder.join(LIBRARY).is_file()).then_some(manifest)
}

/// A folder beside what cargo builds: this program lies in target/release.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|e| format!("cannot tell where xtask lies: {e}"))?;
    let target = program.ancestors().nth(2).ok_or("xtask does not lie in a target folder")?;
    Ok(target.join("swiftshader"))
}

fn download(folder: &Path) -> Result {
    if super::facts::output("apt-get", &["--version"]).is_none() {
        return Err(format!(
            "SwiftShader is part of Chromium, and there is no apt to download it with; install Chromium, or put {LIBRARY} \
             and {MANIFEST} into {}",
            folder.display()
        ));
    }
    eprintln!("xtask: downloading SwiftShader with `apt-get download {PACKAGE}` into {}", folder.display());
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let fetch = || run(Command::new("apt-get").args(["download", PACKAGE]).current_dir(folder));
    // A fresh container has no package lists, and old lists name a version that the mirror has no more.
    if fetch().is_err() {
        super::apt::update()?;
        fetch().map_err(|e| format!("{e}; Debian has the package {PACKAGE}, Ubuntu does not"))?;
    }
    let packages = archives(folder);
    let [package] = packages.as_slice() else {
        return Err(format!("{} downloads lie in {}; remove them", packages.len(), folder.display()));
    };
    let unpacked = unpack(package, folder);
    // Thirty megabytes of which a sixth is wanted.
    let _ = fs::remove_file(package);
    unpacked
}

fn archives(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect()
}

/// Takes the two files out of a package.
fn unpack(package: &Path, folder: &Path) -> Result {
    let start = |e: std::io::Error| format!("cannot start dpkg-deb: {e}");
    let mut packed = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let Some(stream) = packed.stdout.take() else { return Err("dpkg-deb gives no output".into()) };
    let wanted = [LIBRARY, MANIFEST].map(|name| format!("./usr/lib/chromium/{name}"));
    let taken = run(Command::new("tar")
        .args(["-x", "--strip-components=4"])
        .args(wanted)
        .current_dir(folder)
        .stdin(stream));
    // Its status says nothing more: where tar has found both files, all is well.
    let _ = packed.wait();
    taken
}

fn run(command: &mut Command) -> Result {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` ended with {status}")),
        Err(e) => Err(format!("cannot start `{name}`: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_without_its_library_is_no_driver() {
        let folder = std::env::temp_dir().join(format!("foveal-swiftshader-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::write(folder.join(MANIFEST), "{}").expect("a temporary file");
        assert_eq!(complete(&folder), None);
        fs::write(folder.join(LIBRARY), "").expect("a temporary file");
        assert_eq!(complete(&folder), Some(folder.join(MANIFEST)));
        fs::remove_dir_all(&folder).expect("removes its folder");
    }

    #[test]
    fn only_packages_count_as_downloads() {
        let folder = std::env::temp_dir().join(format!("foveal-archives-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        for name in ["a.deb", "a.deb.part", "b.json"] {
            fs::write(folder.join(name), "").expect("a temporary file");
        }
        assert_eq!(archives(&folder), [folder.join("a.deb")]);
        fs::remove_dir_all(&folder).expect("removes its folder");
    }
}
