//! Installs the driver with apt, saying first what will be done.

use std::fs;
use std::path::Path;

use super::plan::{self, Plan};
use super::sources::{Source, beside, parse};
use crate::Result;
use crate::apt::{apt_get, as_root, root_prefix, there};
use crate::process::output;

/// Installs a sound driver, or only the loader.
pub(super) fn install(loader_only: bool) -> Result {
    if !there() {
        return Err("this system has no apt; install the Vulkan loader and Mesa 25 or newer with its package manager \
                    (Fedora: vulkan-loader mesa-vulkan-drivers; Arch: vulkan-icd-loader vulkan-swrast)"
            .into());
    }
    let release = plan::release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let plan = plan::plan(&release, &sources(Path::new("/etc/apt")), loader_only)?;
    let Some(root) = root_prefix() else {
        return Err(format!(
            "installing needs root, and there is no sudo; run as root:\n\n{}\n",
            plan.script()
        ));
    };
    eprintln!("xtask: installing a Vulkan driver. As root, this runs:\n\n{}\n", plan.script());
    if let Some((path, text)) = &plan.file {
        as_root(root, &["tee", path], Some(text))?;
    }
    // A third source that cannot be reached makes this fail although ours is up to date; the candidate decides.
    let updated = apt_get(root, &["update".into()]);
    if !loader_only {
        let policy: Vec<String> = plan.policy();
        let policy: Vec<&str> = policy.iter().map(String::as_str).collect();
        match plan::candidate(&output("apt-cache", &policy).unwrap_or_default()) {
            Ok(version) => eprintln!("xtask: Mesa {version} will be installed"),
            Err(reason) => {
                undo(root, &plan);
                return Err(updated
                    .err()
                    .map_or_else(|| reason.clone(), |update| format!("{update}; {reason}")));
            }
        }
    }
    apt_get(root, &plan.install())
}

/// A sources file for another suite of Debian, with the suites that it builds on: from the mirror, and with the keys, of the
/// running release.
pub(super) fn suite(suite: &str) -> Result<String> {
    let release = plan::release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    if release.id != "debian" {
        return Err(format!(
            "packages of Debian's {suite} are taken from Debian's mirror, and this is not Debian"
        ));
    }
    let mut sources = sources(Path::new("/etc/apt"));
    // What is trusted here without a signature is not for that trusted of another suite.
    sources.iter_mut().for_each(Source::distrust);
    let base = suite.strip_suffix("-backports");
    let stanzas: Option<Vec<String>> =
        base.into_iter().chain([suite]).map(|suite| beside(&sources, &release.codename, suite)).collect();
    let missing = || {
        format!(
            "no apt source has the suite {}, so there is no mirror to take {suite} from",
            release.codename
        )
    };
    stanzas.map(|stanzas| stanzas.join("\n")).ok_or_else(missing)
}

/// Every package source that apt has been told of.
fn sources(etc: &Path) -> Vec<Source> {
    let mut files = vec![etc.join("sources.list")];
    let entries = fs::read_dir(etc.join("sources.list.d")).into_iter().flatten().flatten();
    files.extend(entries.map(|entry| entry.path()));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let deb822 = match path.extension()?.to_str()? {
            "list" => false,
            "sources" => true,
            _ => return None,
        };
        Some(parse(&fs::read_to_string(path).ok()?, deb822))
    };
    files.iter().filter_map(read).flatten().collect()
}

/// Takes back the sources file of a plan that led nowhere.
fn undo(root: &[&str], plan: &Plan) {
    if let Some((path, _)) = &plan.file
        && let Err(message) = as_root(root, &["rm", "-f", path], None)
    {
        eprintln!("xtask: {path} was left behind: {message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_apt_reads_are_read() {
        let etc = std::env::temp_dir().join(format!("foveal-xtask-{}", std::process::id()));
        let folder = etc.join("sources.list.d");
        fs::create_dir_all(&folder).expect("a temporary folder");
        let one = "deb http://mirror.example/debian bookworm main\n";
        for name in ["a.list", "b.list.disabled", "c.sources"] {
            fs::write(folder.join(name), one).expect("a temporary file");
        }
        // The third is in the wrong notation for its name and gives nothing.
        assert_eq!(sources(&etc).len(), 1);
        fs::remove_dir_all(&etc).expect("removes its folder");
    }
}
