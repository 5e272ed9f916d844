//! Things that cargo does not bring along: a C compiler with headers, for the C code in a few dependencies.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Result;

/// Fails with advice when C code would not compile. Looks on Unix only; elsewhere the toolchain's own
/// installer brings the compiler.
pub(crate) fn check() -> Result {
    if !cfg!(unix) {
        return Ok(());
    }
    let compiler = std::env::var("CC").ok().filter(|c| !c.is_empty()).unwrap_or_else(|| "cc".into());
    if preprocesses(&compiler) { Ok(()) } else { Err(advice(&compiler, cfg!(target_os = "macos"))) }
}

/// True when the compiler starts and finds the C library's headers.
fn preprocesses(compiler: &str) -> bool {
    // CC may carry a launcher or flags: `ccache gcc`.
    let mut words = compiler.split_whitespace();
    let Some(program) = words.next() else { return false };
    let child = Command::new(program)
        .args(words)
        .args(["-E", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // A compiler that dies at once closes the pipe; its exit status tells.
        let _ = stdin.write_all(b"#include <stdio.h>\n");
    }
    child.wait().is_ok_and(|status| status.success())
}

fn advice(compiler: &str, mac: bool) -> String {
    let install = if mac {
        "run `xcode-select --install`"
    } else {
        "install one (Debian, Ubuntu: `apt-get install gcc libc6-dev`; Fedora: `dnf install gcc glibc-devel`)"
    };
    format!(
        "the C compiler `{compiler}` does not compile a file that includes <stdio.h>; {install} or set CC"
    )
}

#[cfg(test)]
mod tests {
    use super::{advice, preprocesses};

    #[test]
    fn a_compiler_that_is_not_there_is_noticed() {
        assert!(!preprocesses("no-such-compiler-anywhere"));
        assert!(!preprocesses("   "));
        assert!(advice("cc", false).contains("gcc"));
        assert!(advice("cc", true).contains("xcode-select"));
    }
}
