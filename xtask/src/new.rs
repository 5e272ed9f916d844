//! `cargo xtask new`: a kernel that is its sibling under another name, complete and running from the first minute, to be
//! changed into what it shall compute.
//!
//! What to write is decided from text alone ([`plan`]); nothing is written where something stands in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::Result;

const REGISTRY: &str = "src/kernels/registry.rs";
/// Names that no function may have in Rust or WGSL.
const KEYWORDS: &str = "abstract as async await become box break case const continue crate default diagnostic discard do dyn else enable \
     enum extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref requires \
     return self static struct super switch trait true try type typeof unsafe unsized use var virtual where while yield";
/// Words that WGSL keeps for itself, and functions that it has: an entry point of that name would hide what modules call.
const OF_WGSL: &str = "NULL Self active alignas alignof asm assert atomic attribute auto bitcast catch class common compile \
     concept constexpr debugger decltype delete demote export extends external fallthrough filter final finally friend from \
     get goto groupshared handle highp implements import inline instanceof interface layout lowp macro mediump meta mutable \
     namespace new nil noinline null nullptr of operator package packoffset pass patch pixelfragment precise precision premerge \
     private protected public readonly ref regardless register require resource set shared sizeof smooth snorm std target \
     template texture this throw typedef typeid typename typeof union unless unorm uniform using varying vertex volatile wgsl \
     workgroup writeonly write abs acos all any array asin atan ceil clamp cos cosh cross degrees determinant distance dot exp \
     exp2 f16 f32 faceforward floor fma fract frexp i32 inverse length log log2 max min mix modf normalize pow radians reflect \
     refract round saturate select sign sin sinh sqrt step tan tanh transpose trunc u32";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New<'a> {
    /// Folder of shader and host file.
    pub(crate) family: &'a str,
    /// The kernel's one name.
    pub(crate) stem: &'a str,
    /// The kernel of the family that is copied.
    pub(crate) like: &'a str,
    /// Also the sibling's backward kernel.
    pub(crate) backward: bool,
}

/// A file as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Path below the root.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// It is not there yet.
    pub(crate) new: bool,
}

/// Writes the files and says what to do with them.
pub(crate) fn run(root: &Path, new: New<'_>) -> Result<ExitCode> {
    let changes = plan(root, new)?;
    write(root, &changes)?;
    // Names of other lengths break lines elsewhere, and lists are kept in order.
    let host = changes.iter().filter(|change| change.path.ends_with(".rs"));
    let formatted = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .args(host.map(|change| root.join(&change.path)))
        .status();
    if !formatted.is_ok_and(|status| status.success()) {
        eprintln!("xtask: rustfmt did not run: `cargo fmt` before you commit");
    }
    print!("{}", report(new, &changes));
    Ok(ExitCode::SUCCESS)
}

fn report(New { family, stem, like, backward }: New<'_>, changes: &[Change]) -> String {
    let mut text = String::new();
    for Change { path, new, .. } in changes {
        text += &format!("{} {path}\n", if *new { "written" } else { "edited " });
    }
    let what = if backward {
        format!("`{stem}` and its gradient compute what `{like}` and its gradient do, and pass their tests")
    } else {
        format!("`{stem}` computes what `{like}` does, and passes its tests")
    };
    text += &format!(
        "\n{what}. Next:\n\
         1. the formula: first comment and body of shaders/{family}/{stem}.wgsl; first comment, SUMMARY, `reference` and\n   \
            `gradient_of` of src/kernels/{family}/{stem}.rs\n\
         2. what can break it: `inputs`, `tolerance` and its reason, `cases`, `bench_cases`, `work`\n\
         3. the wrapper's arguments and documentation; what was copied and is not needed goes out\n\
         4. cargo test --profile checks --workspace --test numerics --test gradients -- {stem}\n\
         5. a defect in kernels-tests/tests/planted/defects.rs, a line in CHANGELOG.md\n\
         6. cargo xtask docs --measure {stem}, then cargo xtask test\n"
    );
    text
}

/// Writes what was planned.
pub(crate) fn write(root: &Path, changes: &[Change]) -> Result {
    for Change { path, text, .. } in changes {
        crate::process::replace(&root.join(path), text)?;
    }
    Ok(())
}

/// What to write, or why it cannot be.
pub(crate) fn plan(root: &Path, new: New<'_>) -> Result<Vec<Change>> {
    let New { family, stem, like, backward } = new;
    let families = families(root);
    if !families.contains(family) {
        return Err(format!("no family `{family}`; there are {}", list(&families)));
    }
    let siblings = kernels(root, family);
    let may_be_copied: BTreeSet<String> = siblings.iter().filter(|s| *s != family).cloned().collect();
    if !may_be_copied.contains(like) {
        let why = if like == family && siblings.contains(like) {
            "is named like its family"
        } else {
            "is not there"
        };
        return Err(format!("`{like}` {why}; {family} has {}", list(&may_be_copied)));
    }
    check_name(stem)?;
    let suffix = |name: &str| format!("{name}_backward");
    let mut pairs = vec![(like.to_owned(), stem.to_owned())];
    if backward {
        let with: BTreeSet<String> =
            may_be_copied.iter().filter(|s| siblings.contains(&suffix(s))).cloned().collect();
        if !with.contains(like) {
            return Err(format!("`{like}` has no `{}`; in {family} have one: {}", suffix(like), list(&with)));
        }
        pairs.push((suffix(like), suffix(stem)));
    }
    for (_, stem) in &pairs {
        for family in &families {
            if kernels(root, family).contains(stem) {
                return Err(format!("`{stem}` is there: shaders/{family}/{stem}.wgsl"));
            }
        }
    }
    let home = format!("src/kernels/{family}/mod.rs");
    let (mut module, mut registry) = (read(root, &home)?, read(root, REGISTRY)?);
    let mut names = BTreeMap::new();
    let mut sources = Vec::new();
    for (like, stem) in &pairs {
        let paths =
            |stem: &str| [format!("shaders/{family}/{stem}.wgsl"), format!("src/kernels/{family}/{stem}.rs")];
        let [shader, host] = paths(like).map(|path| read(root, &path));
        let (shader, host) = (shader?, host?);
        let kernel = registered(&registry, family, like)
            .ok_or_else(|| format!("{REGISTRY} has no line `super::{family}::{}`", camel(like)))?;
        names.insert(like.clone(), stem.clone());
        for name in public_names(&host).into_iter().chain([kernel]) {
            let by = renamed(&name, like, stem);
            names.entry(name).or_insert(by);
        }
        sources.extend(paths(stem).into_iter().zip([shader, host]));
    }
    let declared = code(&module);
    let taken: BTreeSet<&str> = identifiers(&declared).collect();
    if let Some(name) = names.values().find(|name| taken.contains(name.as_str())) {
        return Err(format!("`{name}` has another meaning in {home}"));
    }
    for (like, stem) in &pairs {
        let line = |keyword: &str| format!("{keyword}mod {like};\n");
        let declared = [line("pub "), line("")].into_iter().find(|line| on_a_line(&module, line).is_some());
        let declared = declared.ok_or_else(|| format!("{home} has no line `mod {like};`"))?;
        module = with_copy(&module, &declared, &names, &home)?;
        let start = format!("pub use {like}::");
        let at = on_a_line(&module, &start).ok_or_else(|| format!("{home} has no line `{start}…`"))?;
        let end = module[at..].find(";\n").ok_or_else(|| format!("{home}: `{start}` does not end"))?;
        let exported = module[at..at + end + 2].to_owned();
        module = with_copy(&module, &exported, &names, &home)?;
        let kernel = registered(&registry, family, like).unwrap_or_default();
        // After the kernel that is copied and what was put there before: a gradient follows its forward.
        let before = pairs.iter().take_while(|(_, s)| s != stem).last();
        // As the sibling has it: some kernels are named with what makes a kernel of them.
        let entry = |like: &str, kernel: &str| {
            let of = registered(&registry, family, like)?;
            let line = registry.lines().find(|line| names_kernel(line, family, &of))?;
            Some(format!("{}\n", line.replace(&format!("::{of}"), &format!("::{kernel}"))))
        };
        let own = names.get(&kernel).and_then(|own| entry(like, own)).unwrap_or_default();
        let after = match before {
            None => entry(like, &kernel),
            Some((like, _)) => registered(&registry, family, like)
                .and_then(|kernel| names.get(&kernel).cloned())
                .and_then(|kernel| entry(like, &kernel)),
        };
        let after = after.unwrap_or_default();
        let at = on_a_line(&registry, &after)
            .filter(|_| !after.is_empty())
            .ok_or_else(|| format!("{REGISTRY} has no line of `{like}`"))?;
        registry.insert_str(at + after.len(), &own);
    }
    let new = |(path, text): (String, String)| Change { path, text: with_names(&text, &names), new: true };
    let mut changes: Vec<Change> = sources.into_iter().map(new).collect();
    if let Some(there) = changes.iter().find(|change| root.join(&change.path).exists()) {
        return Err(format!("{} is there", there.path));
    }
    changes.push(Change { path: home, text: module, new: false });
    changes.push(Change { path: REGISTRY.into(), text: registry, new: false });
    Ok(changes)
}

fn check_name(stem: &str) -> Result {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if !stem.starts_with(|c: char| c.is_ascii_lowercase()) || !stem.split('_').all(part) {
        return Err(format!(
            "`{stem}` is no name for a kernel: lower case and digits with single `_` between, log_softmax"
        ));
    }
    if KEYWORDS.split_whitespace().chain(OF_WGSL.split_whitespace()).any(|word| word == stem) {
        return Err(format!("`{stem}` is a word of Rust or WGSL"));
    }
    Ok(())
}

fn read(root: &Path, path: &str) -> Result<String> {
    std::fs::read_to_string(root.join(path)).map_err(|e| format!("{path}: {e}"))
}

/// Names of files and folders in a folder, without endings.
fn stems(folder: &Path, ending: &str) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect()
}

/// Folders that hold shaders as well as host files.
fn families(root: &Path) -> BTreeSet<String> {
    let hosts = root.join("src/kernels");
    let shaders = stems(&root.join("shaders"), "");
    shaders.into_iter().filter(|family| hosts.join(family).join("mod.rs").is_file()).collect()
}

/// Stems of a family: shaders with an entry point beside whose name there is a host file.
fn kernels(root: &Path, family: &str) -> BTreeSet<String> {
    let hosts = stems(&root.join("src/kernels").join(family), ".rs");
    let shaders = root.join("shaders").join(family);
    let is_kernel = |stem: &String| {
        let text = std::fs::read_to_string(shaders.join(format!("{stem}.wgsl")));
        text.is_ok_and(|text| text.lines().any(|line| line.starts_with("@compute")))
    };
    hosts.into_iter().filter(is_kernel).collect()
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "none".into();
    }
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// `log_softmax` in types: `LogSoftmax`.
fn camel(stem: &str) -> String {
    let part = |part: &str| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_uppercase() + rest
    };
    stem.split('_').map(part).collect()
}

/// A name of the sibling's file as the copy's file has it: what has the stem in it gets the new one, anything else the new
/// one before it.
fn renamed(name: &str, like: &str, stem: &str) -> String {
    if name.starts_with(|c: char| c.is_ascii_uppercase()) {
        let old = camel(like).to_lowercase();
        let rest = if name.to_lowercase().starts_with(&old) { &name[old.len()..] } else { name };
        return camel(stem) + rest;
    }
    match name.strip_prefix(like) {
        Some(rest) => format!("{stem}{rest}"),
        None => format!("{stem}_{name}"),
    }
}

/// The type by which the registry knows a kernel.
fn registered(registry: &str, family: &str, stem: &str) -> Option<String> {
    let start = format!("super::{family}::");
    let types = || {
        let lines = registry.lines().filter(|line| line.starts_with("    "));
        lines.filter_map(|line| line.split_once(&start)?.1.split(|c| !is_part(c)).next())
    };
    let name = camel(stem).to_lowercase();
    let same = types().find(|found| found.to_lowercase() == name);
    same.or_else(|| types().find(|found| found.to_lowercase().starts_with(&name))).map(str::to_owned)
}

/// Whether a line of the registry is that of a kernel.
fn names_kernel(line: &str, family: &str, kernel: &str) -> bool {
    let path = format!("super::{family}::{kernel}");
    line.starts_with("    ") && line.split_once(&path).is_some_and(|(_, rest)| !rest.starts_with(is_part))
}

/// What a file declares `pub`, beside methods and fields.
fn public_names(host: &str) -> Vec<String> {
    let name = |line: &str| {
        let words = line.strip_prefix("pub ")?.split_whitespace();
        let mut words = words.skip_while(|word| ["async", "const"].contains(word));
        let kind = words.next()?;
        let name = words.next()?.split(|c: char| !is_part(c)).next()?;
        ["fn", "struct", "enum", "type", "trait", "static"].contains(&kind).then(|| name.to_owned())
    };
    host.lines().filter_map(name).collect()
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A text without its comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty())
}

/// The text with whole names replaced; a folder's name in a path stays.
fn with_names(text: &str, names: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_part) {
        let (before, from) = rest.split_at(at);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        out.push_str(before);
        let by = names.get(word).filter(|_| !after.starts_with('/') || after.starts_with("//"));
        out.push_str(by.map_or(word, String::as_str));
        rest = after;
    }
    out + rest
}

/// Where a part begins a line.
fn on_a_line(text: &str, part: &str) -> Option<usize> {
    text.match_indices(part).map(|(at, _)| at).find(|&at| at == 0 || text[..at].ends_with('\n'))
}

/// The text with a renamed copy of a part of it behind that part.
fn with_copy(text: &str, part: &str, names: &BTreeMap<String, String>, path: &str) -> Result<String> {
    let at = on_a_line(text, part).ok_or_else(|| format!("{path} has no line `{}`", part.trim()))?;
    let mut text = text.to_owned();
    text.insert_str(at + part.len(), &with_names(part, names));
    Ok(text)
}

#[cfg(test)]
mod tests;
