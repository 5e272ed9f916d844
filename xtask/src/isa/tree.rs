//! Packages of another suite of Debian with all that they depend on, unpacked into a folder. Apt runs with a configuration of
//! its own (sources, lists, archives, an empty list of what is installed), so that the system's stays as it is; the mirror
//! and its keys are those that the system's own sources have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::quietly;
use crate::{Result, apt, driver};

/// Makes the folder; one that is not finished has another name.
pub(super) fn make(suite: &str, packages: &[&str], folder: &Path) -> Result {
    if !apt::there() {
        return Err(format!(
            "there is no apt to download {} of Debian's {suite} with: this works on Debian",
            packages.join(" and ")
        ));
    }
    let sources = driver::suite(suite)?;
    let unfinished = folder.with_file_name(format!("{}.unfinished", name(folder)));
    let failed = |e: std::io::Error| format!("{}: {e}", unfinished.display());
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(failed)?;
    }
    let own = unfinished.join("apt");
    for part in ["sources", "lists/partial", "archives/partial", "log"] {
        fs::create_dir_all(own.join(part)).map_err(failed)?;
    }
    let settings = own.join("apt.conf");
    for (path, text) in [
        (own.join("sources/debian.sources"), sources),
        (own.join("status"), String::new()),
        (settings.clone(), configuration(&own)),
    ] {
        fs::write(path, text).map_err(failed)?;
    }
    let names = packages.join(" ");
    eprintln!(
        "xtask: downloading {names} of {suite} with all that they need (80 MB) into {}",
        folder.display()
    );
    let apt_get = |args: &[&str]| {
        quietly(Command::new("apt-get").arg("-q").arg("-c").arg(&settings).args(args)).map_err(|e| {
            format!(
                "{e}: `apt-get -c {} {}`, see above; keys that are missing are in Debian's newest \
                 debian-archive-keyring",
                settings.display(),
                args.join(" ")
            )
        })
    };
    apt_get(&["update"])?;
    let mut install = vec!["install", "-y", "--download-only", "-t", suite];
    install.extend(packages);
    apt_get(&install)?;
    let root = unfinished.join("root");
    fs::create_dir_all(&root).map_err(failed)?;
    let archives = fs::read_dir(own.join("archives")).map_err(failed)?.flatten().map(|entry| entry.path());
    for package in archives.filter(|path| path.extension().is_some_and(|e| e == "deb")) {
        apt::unpack(&package, &root, &[])?;
    }
    if libraries(&root).is_empty() {
        return Err(format!("apt downloaded no libraries for {names}"));
    }
    fs::rename(&root, folder).map_err(failed)?;
    fs::remove_dir_all(&unfinished).map_err(failed)
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Folders of a tree with shared libraries; older Debians have some in `/lib`.
pub(super) fn libraries(root: &Path) -> Vec<PathBuf> {
    let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
    folders.map(|folder| root.join(folder)).into_iter().filter(|path| path.is_dir()).collect()
}

/// Read after the system's configuration, whose proxy holds and whose hooks must not run.
fn configuration(own: &Path) -> String {
    let at = |part: &str| own.join(part).display().to_string();
    let mut text = String::new();
    for hook in
        ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "DPkg"]
    {
        text += &format!("#clear {hook};\n");
    }
    let settings = [
        ("Dir::Etc::SourceList", "/dev/null".into()),
        ("Dir::Etc::SourceParts", at("sources")),
        ("Dir::Etc::Preferences", "/dev/null".into()),
        ("Dir::Etc::PreferencesParts", "/dev/null".into()),
        ("Dir::State::Lists", at("lists")),
        ("Dir::State::Extended_States", at("extended_states")),
        ("Dir::State::Status", at("status")),
        ("Dir::Cache::Archives", at("archives")),
        ("Dir::Cache::PkgCache", String::new()),
        ("Dir::Cache::SrcPkgCache", String::new()),
        ("Dir::Log", at("log")),
        ("Debug::NoLocking", "true".into()),
        // Who runs this writes here; apt's own user may not be able to.
        ("APT::Sandbox::User", "root".into()),
        ("APT::Install-Recommends", "false".into()),
        ("APT::Keep-Downloaded-Packages", "true".into()),
        // A list that cannot be had is an error and not a warning.
        ("APT::Update::Error-Mode", "any".into()),
        ("Acquire::Languages", "none".into()),
    ];
    for (name, value) in settings {
        text += &format!("{name} \"{value}\";\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_given_places_of_its_own() {
        let text = configuration(Path::new("/some/where"));
        for setting in
            ["Dir::State::Status", "Dir::State::Lists", "Dir::Cache::Archives", "Dir::Etc::SourceParts"]
        {
            assert!(text.contains(&format!("{setting} \"/some/where/")), "{setting}: {text}");
        }
    }
}
