//! `cargo xtask api`: the library's public API as a text in the repository, so that every change of it stands in a diff.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::{Result, cargo, root};

/// The program that is rustdoc, where this one is started in its place.
pub(crate) const AS_RUSTDOC: &str = "FOVEAL_XTASK_AS_RUSTDOC";

/// Every item a line, sorted; blanket, automatic and derived impls left out.
const LISTING: &str = "docs/public-api.txt";

/// Writes the listing.
pub(crate) fn write() -> Result {
    let path = root().join(LISTING);
    crate::process::replace(&path, &listing()?)?;
    println!("{}", path.display());
    Ok(())
}

/// Fails where the listing is not that of this tree, with the difference.
pub(crate) fn check() -> Result {
    let path = root().join(LISTING);
    let committed = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let difference = difference(&committed, &listing()?);
    if difference.is_empty() {
        return Ok(());
    }
    let count = difference.len();
    Err(format!(
        "{LISTING} is stale, `cargo xtask api` writes it; {count} lines differ\n{}",
        difference.join("\n")
    ))
}

/// Stands in for rustdoc: its JSON is unstable, and only rustdoc itself shall be allowed that, since cargo would build every
/// dependency anew where all of them were.
pub(crate) fn rustdoc(program: &OsString) -> Result<ExitCode> {
    let mut rustdoc = Command::new(program);
    rustdoc.args(std::env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").env_remove(AS_RUSTDOC);
    cargo::run(&mut rustdoc)
}

fn listing() -> Result<String> {
    let this = std::env::current_exe().map_err(|e| format!("cannot tell where xtask lies: {e}"))?;
    let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    let mut doc = cargo::command(["doc", "--workspace", "--no-deps", "--lib", cargo::PROFILE]);
    doc.env("RUSTDOC", this)
        .env(AS_RUSTDOC, rustdoc)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json")
        .current_dir(root());
    if cargo::run(&mut doc)? != ExitCode::SUCCESS {
        return Err("rustdoc failed".into());
    }
    let json: PathBuf = [cargo::target()?, "doc".into(), "foveal.json".into()].iter().collect();
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build();
    // The JSON's format changes from one Rust to another, and a reader knows one.
    let api = api.map_err(|e| {
        format!("{}: {e}; the version of `public-api` in xtask reads what Rust 1.95 writes", json.display())
    })?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// Lines that one text has and the other has not, as often as not.
fn difference(old: &str, new: &str) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    old.lines().for_each(|line| *counts.entry(line).or_default() -= 1);
    new.lines().for_each(|line| *counts.entry(line).or_default() += 1);
    let sign = |n: i64| if n < 0 { '-' } else { '+' };
    let lines = counts.into_iter().filter(|(_, n)| *n != 0);
    lines.flat_map(|(line, n)| vec![format!("{} {line}", sign(n)); n.unsigned_abs() as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_names_what_went_and_what_came() {
        assert!(difference("a\nb\n", "b\na\n").is_empty());
        assert_eq!(difference("a\nb\nb\n", "a\nb\nc\n"), ["- b", "+ c"]);
        assert_eq!(difference("pub fn f()\n", "pub fn f(x: u8)\n"), ["- pub fn f()", "+ pub fn f(x: u8)"]);
    }
}
