//! What this machine says about its Vulkan drivers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::output;

/// All that the decision rests on.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The Vulkan loader is installed.
    pub(super) loader: bool,
    /// Drivers with a readable manifest.
    pub(super) drivers: Vec<Driver>,
    /// Kernel drivers behind the GPU device nodes that this user may open.
    pub(super) kernel: BTreeSet<String>,
    /// Device nodes that exist but that this user may not open.
    pub(super) locked: Vec<PathBuf>,
    /// Version of the package that holds Mesa's drivers, where dpkg knows it.
    pub(super) mesa_package: Option<String>,
    /// The variable by which the user chose the drivers, and its value.
    pub(super) chosen: Option<(&'static str, String)>,
}

/// One driver manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Driver {
    /// `lvp`, `intel`, `nvidia` …: the file name up to `_icd`.
    pub(super) stem: String,
    /// Vulkan version it claims.
    pub(super) api: (u32, u32),
    /// The shared library it names can be found.
    pub(super) library_found: bool,
    /// The manifest lies where distribution packages put it.
    pub(super) packaged: bool,
}

const PACKAGED: &str = "/usr/share/vulkan/icd.d";

/// Reads the machine.
pub(super) fn gather() -> Facts {
    let cache = output("ldconfig", &["-p"]).or_else(|| output("/sbin/ldconfig", &["-p"]));
    let chosen = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (name, v)));
    let manifests = match &chosen {
        Some((_, list)) => listed(list),
        None => folders().iter().flat_map(|folder| listed(&folder.to_string_lossy())).collect(),
    };
    let drivers = manifests.iter().filter_map(|path| read_driver(path, cache.as_deref())).collect();
    let mut facts = Facts {
        loader: loader(cache.as_deref()),
        drivers,
        mesa_package: output("dpkg-query", &["-W", "-f=${Version}", "mesa-vulkan-drivers"])
            .filter(|version| !version.trim().is_empty()),
        chosen,
        ..Facts::default()
    };
    device_nodes(&mut facts);
    facts
}

/// Folders in which the loader looks for manifests.
fn folders() -> Vec<PathBuf> {
    let variable = |name: &str, otherwise: &str| {
        std::env::var(name).ok().filter(|v| !v.is_empty()).unwrap_or_else(|| otherwise.into())
    };
    let home = variable("HOME", "/");
    let roots = [
        variable("XDG_CONFIG_HOME", &format!("{home}/.config")),
        variable("XDG_CONFIG_DIRS", "/etc/xdg"),
        "/etc".into(),
        variable("XDG_DATA_HOME", &format!("{home}/.local/share")),
        variable("XDG_DATA_DIRS", "/usr/local/share:/usr/share"),
        "/usr/share".into(),
    ];
    let mut folders: Vec<PathBuf> = Vec::new();
    for root in roots.iter().flat_map(|list| list.split(':')).filter(|root| !root.is_empty()) {
        let folder = Path::new(root).join("vulkan/icd.d");
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Manifests of a colon-separated list of files and folders, in a stable order.
fn listed(list: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in std::env::split_paths(list) {
        let Ok(entries) = fs::read_dir(&path) else {
            files.push(path);
            continue;
        };
        let mut found: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        found.retain(|p| p.extension().is_some_and(|e| e == "json"));
        found.sort();
        files.extend(found);
    }
    files
}

fn read_driver(path: &Path, cache: Option<&str>) -> Option<Driver> {
    let (driver, library) = parse_manifest(path, &fs::read_to_string(path).ok()?)?;
    Some(Driver { library_found: library_found(&library, path, cache), ..driver })
}

/// Stem, version and library of a manifest; `None` for one of another architecture or without a library.
fn parse_manifest(path: &Path, text: &str) -> Option<(Driver, String)> {
    let name = path.file_name()?.to_str()?;
    let json: Value = serde_json::from_str(text).ok()?;
    let icd = json.get("ICD")?;
    let foreign = icd.get("library_arch").is_some_and(|bits| bits != "64")
        || name.contains(".i686.")
        || (name.contains(".x86_64.") && !cfg!(target_arch = "x86_64"));
    if foreign && cfg!(target_pointer_width = "64") {
        return None;
    }
    let stem = name.split_once("_icd").map_or_else(|| name.trim_end_matches(".json"), |(stem, _)| stem);
    let mut numbers = icd.get("api_version")?.as_str()?.split('.').map(|n| n.parse().unwrap_or(0));
    let driver = Driver {
        stem: stem.into(),
        api: (numbers.next()?, numbers.next().unwrap_or(0)),
        library_found: false,
        packaged: path.parent() == Some(Path::new(PACKAGED)),
    };
    Some((driver, icd.get("library_path")?.as_str()?.into()))
}

/// Whether the library of a manifest is there, by the loader's rule: absolute, beside the manifest, or by name.
fn library_found(library: &str, manifest: &Path, cache: Option<&str>) -> bool {
    if library.contains('/') {
        return manifest.parent().is_some_and(|folder| folder.join(library).exists());
    }
    cached(library, cache).unwrap_or(true)
}

/// Whether the dynamic linker's cache holds a library; `None` when the cache cannot be read.
fn cached(library: &str, cache: Option<&str>) -> Option<bool> {
    let names = |line: &str| line.split_whitespace().next() == Some(library);
    cache.map(|text| text.lines().any(names))
}

fn loader(cache: Option<&str>) -> bool {
    cached("libvulkan.so.1", cache).unwrap_or_else(|| {
        ["/usr/lib", "/usr/lib64", "/lib"].iter().any(|dir| Path::new(dir).join("libvulkan.so.1").exists())
    })
}

fn device_nodes(facts: &mut Facts) {
    let nodes = |folder: &str, prefix: &'static str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(move |e| Some((e.file_name().to_str()?.strip_prefix(prefix)?.to_owned(), e.path())))
    };
    for (number, path) in nodes("/dev/dri", "renderD") {
        let link = format!("/sys/class/drm/renderD{number}/device/driver");
        let Some(driver) = fs::read_link(link).ok().and_then(|l| Some(l.file_name()?.to_str()?.to_owned()))
        else {
            continue;
        };
        note(facts, path, driver);
    }
    for (number, path) in nodes("/dev", "nvidia") {
        if number.parse::<u32>().is_ok() {
            note(facts, path, "nvidia".into());
        }
    }
}

fn note(facts: &mut Facts, node: PathBuf, driver: String) {
    if fs::OpenOptions::new().read(true).write(true).open(&node).is_ok() {
        facts.kernel.insert(driver);
    } else {
        facts.locked.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAVAPIPE: &str = r#"{"ICD": {"api_version": "1.4.305", "library_path": "libvulkan_lvp.so"}}"#;
    const CACHE: &str = "12 libs found in cache `/etc/ld.so.cache'\n\
        \tlibvulkan_lvp.so (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libvulkan_lvp.so\n\
        \tlibvulkan.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libvulkan.so.1\n";

    #[test]
    fn a_manifest_gives_stem_version_and_library() {
        let (driver, library) =
            parse_manifest(Path::new("/usr/share/vulkan/icd.d/lvp_icd.json"), LAVAPIPE).expect("parses");
        let expected = Driver { stem: "lvp".into(), api: (1, 4), library_found: false, packaged: true };
        assert_eq!((driver, library.as_str()), (expected, "libvulkan_lvp.so"));
        let (driver, _) =
            parse_manifest(Path::new("/opt/x/vk_swiftshader_icd.json"), LAVAPIPE).expect("parses");
        assert_eq!((driver.stem.as_str(), driver.packaged), ("vk_swiftshader", false));
    }

    #[test]
    fn manifests_that_say_nothing_are_passed_over() {
        let path = Path::new("/etc/vulkan/icd.d/a_icd.json");
        for text in ["", "[]", "{}", r#"{"ICD": {}}"#, r#"{"ICD": {"api_version": "1.3.0"}}"#] {
            assert_eq!(parse_manifest(path, text), None, "{text}");
        }
        let small = r#"{"ICD": {"api_version": "1.4.0", "library_arch": "32", "library_path": "a.so"}}"#;
        assert_eq!(parse_manifest(path, small).is_none(), cfg!(target_pointer_width = "64"));
    }

    #[test]
    fn libraries_are_looked_up_as_the_loader_does() {
        let manifest = Path::new("/nowhere/a_icd.json");
        assert!(library_found("libvulkan_lvp.so", manifest, Some(CACHE)));
        assert!(!library_found("libvulkan_lvp", manifest, Some(CACHE)));
        assert!(!library_found("./liba.so", manifest, Some(CACHE)));
        assert!(!library_found("/nowhere/liba.so", manifest, Some(CACHE)));
        assert!(loader(Some(CACHE)));
        assert!(!loader(Some("")));
    }
}
