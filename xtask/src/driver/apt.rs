//! Installs the driver with apt, saying first what will be done.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::facts::output;
use super::plan::{self, Plan};
use super::sources::{Source, parse};
use crate::Result;

/// Installs a sound driver, or only the loader.
pub(super) fn install(loader_only: bool) -> Result {
    if output("apt-get", &["--version"]).is_none() {
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
        run(root, &["tee", path], Some(text))?;
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

/// Brings the lists of packages up to date.
pub(super) fn update() -> Result {
    let root = root_prefix().ok_or("bringing apt's lists up to date needs root, and there is no sudo")?;
    apt_get(root, &["update".into()])
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

/// Words to put before a command so that it runs as root; `None` when there is no way.
fn root_prefix() -> Option<&'static [&'static str]> {
    if output("id", &["-u"])?.trim() == "0" {
        Some(&[])
    } else {
        output("sudo", &["--version"]).map(|_| &["sudo"][..])
    }
}

fn apt_get(root: &[&str], args: &[String]) -> Result {
    let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    words.extend(args.iter().map(String::as_str));
    run(root, &words, None)
}

/// Takes back the sources file of a plan that led nowhere.
fn undo(root: &[&str], plan: &Plan) {
    if let Some((path, _)) = &plan.file
        && let Err(message) = run(root, &["rm", "-f", path], None)
    {
        eprintln!("xtask: {path} was left behind: {message}");
    }
}

/// Runs a command as root with this terminal, handing it `input`.
fn run(root: &[&str], words: &[&str], input: Option<&str>) -> Result {
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
        assert_eq!(run(&[], &["true"], None), Ok(()));
        assert!(run(&[], &["false"], None).is_err_and(|e| e.contains("`false`")));
        assert!(run(&["env"], &["no-such-program-anywhere"], None).is_err());
        assert_eq!(run(&["env"], &["cat"], Some("text")), Ok(()));
    }

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
