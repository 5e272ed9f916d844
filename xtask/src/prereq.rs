//! Things that cargo does not bring along: C and C++ compilers with headers, for such code in a few dependencies.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Result;

/// Fails with advice when C or C++ code would not compile. Looks on Unix only; elsewhere the toolchain's own
/// installer brings the compiler.
pub(crate) fn check() -> Result {
    if !cfg!(unix) {
        return Ok(());
    }
    for language in [&C, &CPP] {
        let own = std::env::var(language.variable).ok().filter(|c| !c.is_empty());
        let compiler = own.unwrap_or_else(|| language.usual.into());
        if !preprocesses(&compiler, language) {
            return Err(advice(&compiler, language, cfg!(target_os = "macos")));
        }
    }
    Ok(())
}

/// A language whose compiler is looked for.
struct Language {
    name: &'static str,
    /// Where a user names a compiler.
    variable: &'static str,
    usual: &'static str,
    /// What compilers call it.
    option: &'static str,
    header: &'static str,
    debian: &'static str,
    fedora: &'static str,
}

const C: Language = Language {
    name: "C",
    variable: "CC",
    usual: "cc",
    option: "c",
    header: "stdio.h",
    debian: "gcc libc6-dev",
    fedora: "gcc glibc-devel",
};
const CPP: Language = Language {
    name: "C++",
    variable: "CXX",
    usual: "c++",
    option: "c++",
    header: "cstddef",
    debian: "g++",
    fedora: "gcc-c++",
};

/// True when the compiler starts and finds its language's headers.
fn preprocesses(compiler: &str, language: &Language) -> bool {
    // CC may carry a launcher or flags: `ccache gcc`.
    let mut words = compiler.split_whitespace();
    let Some(program) = words.next() else { return false };
    let child = Command::new(program)
        .args(words)
        .args(["-E", "-x", language.option, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // A compiler that dies at once closes the pipe; its exit status tells.
        let _ = writeln!(stdin, "#include <{}>", language.header);
    }
    child.wait().is_ok_and(|status| status.success())
}

fn advice(compiler: &str, language: &Language, mac: bool) -> String {
    let Language { name, variable, header, debian, fedora, .. } = language;
    let install = if mac {
        "run `xcode-select --install`".to_owned()
    } else {
        format!("install one (Debian, Ubuntu: `apt-get install {debian}`; Fedora: `dnf install {fedora}`)")
    };
    format!(
        "the {name} compiler `{compiler}` does not compile a file that includes <{header}>; {install} or set {variable}"
    )
}

#[cfg(test)]
mod tests {
    use super::{C, CPP, advice, preprocesses};

    #[test]
    fn a_compiler_that_is_not_there_is_noticed() {
        assert!(!preprocesses("no-such-compiler-anywhere", &C));
        assert!(!preprocesses("   ", &CPP));
        assert!(advice("cc", &C, false).contains("gcc"));
        assert!(advice("c++", &CPP, false).contains("g++"));
        assert!(advice("cc", &C, true).contains("xcode-select"));
    }
}
