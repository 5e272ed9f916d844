//! SwiftShader, a second software driver: subgroups of 4, no f16, and reads outside a buffer that clamp instead of
//! giving zero. What only works on Mesa's driver shows on it.
//!
//! It is a library of a few megabytes inside a browser. An installed browser's copy is taken where there is one;
//! else Debian's package `chromium-common` (about 30 MB) is downloaded, and its two files are unpacked beside what cargo
//! builds. Nothing is installed, and root is not needed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Result, apt, cargo};

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
    let own = cargo::target()?.join("swiftshader");
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

fn download(folder: &Path) -> Result {
    if !apt::there() {
        return Err(format!(
            "SwiftShader is part of Chromium, and there is no apt to download it with; install Chromium, or put {LIBRARY} \
             and {MANIFEST} into {}",
            folder.display()
        ));
    }
    eprintln!("xtask: downloading SwiftShader with `apt-get download {PACKAGE}` into {}", folder.display());
    let packages = apt::download(&[PACKAGE], folder)
        .map_err(|e| format!("{e}; Debian has the package {PACKAGE}, Ubuntu does not"))?;
    let mut tar = vec!["--strip-components=4".into()];
    tar.extend([LIBRARY, MANIFEST].map(|name| format!("./usr/lib/chromium/{name}")));
    for package in packages {
        let unpacked = apt::unpack(&package, folder, &tar);
        // Thirty megabytes of which a sixth is wanted.
        let _ = fs::remove_file(&package);
        unpacked?;
    }
    Ok(())
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
}
