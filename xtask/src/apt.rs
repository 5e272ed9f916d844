//! Debian packages: installed as root, or only unpacked beside what cargo builds, for which nobody needs to be root.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::process::{output, quietly};

/// Whether this system has apt.
pub(crate) fn there() -> bool {
    output("apt-get", &["--version"]).is_some()
}

/// Brings the lists of packages up to date.
pub(crate) fn update() -> Result {
    let root = root_prefix().ok_or("bringing apt's lists up to date needs root, and there is no sudo")?;
    apt_get(root, &["update".into()])
}

/// `apt-get …`: the installation of packages; `preference` stands before their names.
pub(crate) fn installation(preference: &[String], packages: &[&str]) -> Vec<String> {
    let mut args: Vec<String> =
        ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"].map(Into::into).into();
    args.extend_from_slice(preference);
    args.extend(packages.iter().map(|&p| p.into()));
    args
}

/// Installs packages from the sources that the machine has, saying so first.
pub(crate) fn install(packages: &[&str]) -> Result {
    let names = packages.join(" ");
    if !there() {
        return Err(format!("this system has no apt to install {names} with; use its own package manager"));
    }
    let args = installation(&[], packages);
    let script = format!("apt-get update\napt-get {}", args.join(" "));
    let Some(root) = root_prefix() else {
        return Err(format!(
            "installing {names} needs root, and there is no sudo; run as root:\n\n{script}\n"
        ));
    };
    eprintln!("xtask: installing {names}. As root, this runs:\n\n{script}\n");
    // A source of no concern that cannot be reached makes this fail; whether the packages can be had decides.
    let updated = apt_get(root, &["update".into()]);
    apt_get(root, &args)
        .map_err(|e| updated.err().map_or_else(|| e.clone(), |update| format!("{update}; {e}")))
}

/// Downloads packages into a folder, which is made, and returns their files.
pub(crate) fn download(packages: &[&str], folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let fetch = || {
        // Where an earlier attempt was cut short, or another version was the newest.
        for old in archives(folder) {
            fs::remove_file(&old).map_err(|e| failed(&old, e))?;
        }
        quietly(Command::new("apt-get").arg("download").args(packages).current_dir(folder))
    };
    // A fresh container has no package lists, and old lists name a version that the mirror has no more.
    fetch().or_else(|_| update().and_then(|()| fetch()))?;
    let files = archives(folder);
    if files.len() == packages.len() {
        Ok(files)
    } else {
        Err(format!("apt-get downloaded {} packages of {}", files.len(), packages.join(" ")))
    }
}

fn archives(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect()
}

/// Takes a package's files into a folder as `tar` says; its arguments name what is wanted.
pub(crate) fn unpack(package: &Path, folder: &Path, tar: &[String]) -> Result {
    let start = |e: std::io::Error| format!("cannot start dpkg-deb: {e}");
    let mut packed = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let Some(stream) = packed.stdout.take() else { return Err("dpkg-deb gives no output".into()) };
    let taken = quietly(Command::new("tar").arg("-x").args(tar).current_dir(folder).stdin(stream));
    // Its status says nothing more: where tar has found what was wanted, all is well.
    let _ = packed.wait();
    taken
}

/// A package and what it depends on, as far as that is not installed.
pub(crate) fn missing(package: &str) -> Result<Vec<String>> {
    let kinds = ["suggests", "recommends", "conflicts", "breaks", "replaces", "enhances"];
    let without: Vec<String> = kinds.iter().map(|kind| format!("--no-{kind}")).collect();
    let mut args = vec!["depends", "--recurse"];
    args.extend(without.iter().map(String::as_str));
    args.push(package);
    let ask = || output("apt-cache", &args).filter(|text| !text.trim().is_empty());
    // A fresh container has no package lists.
    let depends = match ask() {
        Some(known) => known,
        None => update().and_then(|()| ask().ok_or_else(|| format!("apt knows no package {package}")))?,
    };
    let installed = output("dpkg-query", &["-W", "-f=${db:Status-Status} ${Package}\n"]);
    Ok(not_installed(&depends, &installed.unwrap_or_default()))
}

/// The packages that `apt-cache depends --recurse` lists and `dpkg-query` does not: a name at the start of a line is a
/// package, one in angle brackets has no package of its own.
fn not_installed(depends: &str, installed: &str) -> Vec<String> {
    let installed: BTreeSet<&str> =
        installed.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::trim).collect();
    let named = depends.lines().filter(|line| !line.starts_with([' ', '|', '<']) && !line.trim().is_empty());
    named.filter(|name| !installed.contains(name)).map(Into::into).collect()
}

/// Words to put before a command so that it runs as root; `None` when there is no way.
pub(crate) fn root_prefix() -> Option<&'static [&'static str]> {
    if output("id", &["-u"])?.trim() == "0" {
        Some(&[])
    } else {
        output("sudo", &["--version"]).map(|_| &["sudo"][..])
    }
}

/// Runs apt-get as root.
pub(crate) fn apt_get(root: &[&str], args: &[String]) -> Result {
    let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    words.extend(args.iter().map(String::as_str));
    as_root(root, &words, None)
}

/// Runs a command as root with this terminal, handing it `input`.
pub(crate) fn as_root(root: &[&str], words: &[&str], input: Option<&str>) -> Result {
    let all: Vec<&str> = root.iter().chain(words).copied().collect();
    let failed = |why: String| format!("`{}`: {why}", all.join(" "));
    let mut command = Command::new(all[0]);
    command.args(&all[1..]);
    if input.is_some() {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
    } else {
        // This program's own output may be read by a shell.
        command.stdout(std::io::stderr());
    }
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        pipe.write_all(text.as_bytes()).map_err(|e| failed(e.to_string()))?;
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(e) => Err(failed(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        assert_eq!(as_root(&[], &["true"], None), Ok(()));
        assert!(as_root(&[], &["false"], None).is_err_and(|e| e.contains("`false`")));
        assert!(as_root(&["env"], &["no-such-program-anywhere"], None).is_err());
        assert_eq!(as_root(&["env"], &["cat"], Some("text")), Ok(()));
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

    #[test]
    fn what_is_installed_is_not_downloaded() {
        let depends = "\
libstd-rust-web-dev
  Depends: libstd-rust-web-1.96
libstd-rust-web-1.96
  Depends: libc6
 |Depends: libllvm22
    a-provider
libc6
<awk>
libllvm22
";
        let installed = "installed libc6\nconfig-files libllvm22\n";
        assert_eq!(
            not_installed(depends, installed),
            ["libstd-rust-web-dev", "libstd-rust-web-1.96", "libllvm22"]
        );
    }
}
