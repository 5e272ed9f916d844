//! Running other programs, and saying in words what became of them; replacing files.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// What a command prints, when it ends well.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with this terminal's output for what it prints; it has to end well.
pub(crate) fn run(command: &mut Command) -> Result {
    judge(command, Command::status)
}

/// As [`run`], with nothing but its errors shown: this program's own output may be read by a shell.
pub(crate) fn quietly(command: &mut Command) -> Result {
    judge(command.stdout(Stdio::null()), Command::status)
}

/// As [`quietly`], ended where it takes longer: a program that waits for a network that is not there.
pub(crate) fn within(time: Duration, command: &mut Command) -> Result {
    judge(command.stdout(Stdio::null()), |command| {
        let start = Instant::now();
        let mut child = command.spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > time {
                child.kill()?;
                child.wait()?;
                return Err(std::io::Error::other(format!("not done after {} s", time.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    })
}

/// Replaces a file in one step, so that one that cannot be written stays as it is.
pub(crate) fn replace(path: &Path, text: &str) -> Result {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.partial", std::process::id()));
    let beside = Path::new(&beside);
    std::fs::write(beside, text).and_then(|()| std::fs::rename(beside, path)).map_err(|e| {
        let _ = std::fs::remove_file(beside);
        format!("{}: {e}", path.display())
    })
}

fn judge(command: &mut Command, status: impl Fn(&mut Command) -> std::io::Result<ExitStatus>) -> Result {
    let ended = status(command);
    let name = command.get_program().display();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` ended with {status}")),
        Err(e) => Err(format!("`{name}`: {e}")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        assert_eq!(run(&mut Command::new("true")), Ok(()));
        assert!(run(&mut Command::new("false")).is_err_and(|e| e.contains("`false`")));
        assert!(quietly(&mut Command::new("no-such-program-anywhere")).is_err_and(|e| e.contains("no-such")));
        assert_eq!(output("false", &[]), None);
    }

    #[test]
    fn a_file_is_replaced_or_left() {
        let folder = std::env::temp_dir().join(format!("foveal-xtask-replace-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("taken")).expect("a temporary folder");
        let path = folder.join("file");
        for text in ["old", "new"] {
            assert_eq!(replace(&path, text), Ok(()));
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), text);
        }
        assert!(replace(&folder.join("taken"), "text").is_err_and(|e| e.contains("taken")));
        assert!(replace(&folder.join("none/file"), "text").is_err());
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 2);
        std::fs::remove_dir_all(&folder).expect("a temporary folder");
    }

    #[test]
    fn a_command_that_waits_too_long_is_ended() {
        let quick = Duration::from_millis(100);
        let late = within(quick, Command::new("sleep").arg("60"));
        assert!(late.is_err_and(|e| e.contains("not done")));
        assert_eq!(within(Duration::from_secs(60), &mut Command::new("true")), Ok(()));
    }
}
