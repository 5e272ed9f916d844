//! Reads the source tree as text: what `tests/tidy.rs` holds it to is decided by the pure functions here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A text file of the repository.
#[derive(Debug, Clone)]
pub struct File {
    /// Path below the root, with `/` on every platform.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl File {
    /// A file that need not exist.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The lines that are not comments as a whole.
    pub fn code(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Path of a Rust module below the crate's root: `src/a/b.rs` and `src/a/b/mod.rs` are `a`, `b`.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|part| *part != "lib").collect()
    }
}

/// Every file with one of these endings below a folder of the root, in order. Hidden folders and `target` are left out.
pub fn files(root: &Path, below: &str, endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let below_root = path.strip_prefix(root).unwrap_or(&path);
                let parts: Vec<_> =
                    below_root.components().map(|c| c.as_os_str().to_string_lossy()).collect();
                found.push(File {
                    path: parts.join("/"),
                    text: std::fs::read_to_string(&path).unwrap_or_default(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every path that a module takes from its crate, from the root: `use crate::a::{b, c::D}` and `super::super::a::b`
/// anywhere in the code.
pub fn paths(file: &File) -> Vec<Vec<String>> {
    let (code, module) = (file.code(), file.module());
    let mut found = Vec::new();
    let whole_word = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    for (at, word) in code.match_indices("crate::").filter(|(at, _)| whole_word(*at)) {
        tree(&mut code[at + word.len()..].chars().peekable(), &[], &mut found);
    }
    for (at, word) in code.match_indices("super::").filter(|(at, _)| whole_word(*at)) {
        let (mut rest, mut up) = (&code[at + word.len()..], 1);
        while let Some(after) = rest.strip_prefix(word) {
            (rest, up) = (after, up + 1);
        }
        // Inside `mod tests { … }` there is one `super` more than the file's own path has.
        let base: Vec<String> = module[..module.len().saturating_sub(up)].iter().map(|&s| s.into()).collect();
        tree(&mut rest.chars().peekable(), &base, &mut found);
    }
    found
}

/// Reads one use tree: `a::b`, `a::{b, c}`, `{a, b::c}`.
fn tree(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, base: &[String], found: &mut Vec<Vec<String>>) {
    let space = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
    };
    let mut path = base.to_vec();
    loop {
        if rest.next_if_eq(&'{').is_some() {
            loop {
                space(rest);
                if rest.peek().is_none_or(|c| *c == '}') {
                    rest.next();
                    return;
                }
                tree(rest, &path, found);
                // An alias, then the comma.
                while rest.next_if(|c| *c != ',' && *c != '}').is_some() {}
                rest.next_if_eq(&',');
            }
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '*') {
            name.push(c);
        }
        path.push(name);
        if rest.next_if_eq(&':').is_none() || rest.next_if_eq(&':').is_none() {
            found.push(path);
            return;
        }
    }
}

/// Height of a module, or of a name that the crate's root re-exports; a module may use what is not above it.
fn floor(name: &str) -> Option<u8> {
    Some(match name {
        "error" | "dtype" | "shape" | "Error" | "Result" | "Dtype" | "Shape" => 0,
        "gpu" | "shader" | "wgsl" | "AdapterChoice" | "Caps" | "Context" | "ContextOptions" | "block_on" => {
            10
        }
        "tensor" | "Tensor" | "HostTensor" => 20,
        "weights" => 25,
        "kernels" => 30,
        "autograd" => 40,
        "nn" => 50,
        "models" => 60,
        "pipelines" => 70,
        _ => return None,
    })
}

/// Uses of a higher floor, and of weights below the models.
pub fn floor_faults(file: &File) -> Vec<String> {
    let module = file.module();
    let Some(own) = module.first().filter(|name| !name.is_empty()) else { return Vec::new() };
    let Some(height) = floor(own) else { return vec![format!("{}: `{own}` stands on no floor", file.path)] };
    let mut faults = Vec::new();
    for path in paths(file) {
        // `use super::*` in a module's own tests.
        let Some(used) = path.first().filter(|name| *name != "*") else { continue };
        let allowed = match floor(used) {
            _ if used == own => true,
            Some(25) => height >= 60,
            Some(other) => other <= height,
            None => {
                faults.push(format!("{}: `crate::{used}` stands on no floor", file.path));
                continue;
            }
        };
        if !allowed {
            faults.push(format!(
                "{}: `{own}` uses `crate::{}`, which it may not",
                file.path,
                path.join("::")
            ));
        }
    }
    faults
}

/// The variants of a public enum, by name.
pub fn variants(file: &File, of: &str) -> Vec<String> {
    let code = file.code();
    let body = code.split_once(&format!("pub enum {of} {{\n")).map(|(_, rest)| rest.split("\n}").next());
    let of_line = |line: &str| {
        let line =
            line.strip_prefix("    ").filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))?;
        line.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned)
    };
    body.flatten().unwrap_or_default().lines().filter_map(of_line).collect()
}

/// The masks that none of these cases has, which name their own: `mask=Window { left: 3 }`.
pub fn masks_without_case(masks: &[String], cases: &[String]) -> Vec<String> {
    let has = |case: &String, mask: &str| {
        case.split_once("mask=").is_some_and(|(_, rest)| {
            rest.strip_prefix(mask).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        })
    };
    masks.iter().filter(|mask| !cases.iter().any(|case| has(case, mask))).cloned().collect()
}

/// Where the table of what a shader can call names what is in none of the modules beside it, or leaves out a shared module.
pub fn vocabulary_faults(page: &File, shaders: &[File]) -> Vec<String> {
    let table = page.text.split_once("<!-- vocabulary:begin -->").map_or("", |(_, rest)| rest);
    let table = table.split("<!-- vocabulary:end -->").next().unwrap_or_default();
    let mut unnamed: BTreeSet<&str> = shaders
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| path.starts_with("shaders/shared/"))
        .collect();
    let mut faults = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut columns = row.split('|').skip(1);
        let mut quoted =
            || columns.next().unwrap_or_default().split('`').skip(1).step_by(2).collect::<Vec<_>>();
        let (names, modules) = (quoted(), quoted());
        let mut texts = Vec::new();
        for module in modules {
            let path = format!("shaders/{module}.wgsl");
            unnamed.remove(path.as_str());
            match shaders.iter().find(|file| file.path == path) {
                Some(file) => texts.push(file.code()),
                None => faults.push(format!("{}: {path} is not there", page.path)),
            }
        }
        for name in names {
            let declares = |text: &String| {
                let forms = [
                    format!("fn {name}("),
                    format!("struct {name} "),
                    format!("alias {name} "),
                    format!("const {name}:"),
                    format!("> {name}:"),
                ];
                forms.iter().any(|form| text.contains(form))
            };
            if !texts.iter().any(declares) {
                faults.push(format!("{}: `{name}` is in no module of its row", page.path));
            }
        }
    }
    faults.extend(unnamed.iter().map(|path| format!("{}: does not name what {path} has", page.path)));
    faults
}

/// True for the host file of a kernel.
pub fn is_kernel(file: &File) -> bool {
    file.path.starts_with("src/kernels/")
        && file.module().len() == 3
        && ["impl Kernel for ", "impl Pointwise for "].iter().any(|kind| file.code().contains(kind))
}

/// Public names of a file with the file's stem.
fn exports(file: &File) -> Vec<String> {
    let code = file.code();
    let declared = code.lines().filter_map(|line| {
        let mut words =
            line.strip_prefix("pub ")?.split_whitespace().skip_while(|w| ["async", "const"].contains(w));
        let kind = words.next()?;
        let name = words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        ["fn", "struct", "enum", "type", "trait", "static"].contains(&kind).then(|| name.to_owned())
    });
    declared.collect()
}

/// Kernels that name another kernel: its module, its problem or its function.
pub fn kernel_faults(files: &[File]) -> Vec<String> {
    let kernels: Vec<&File> = files.iter().filter(|file| is_kernel(file)).collect();
    let stem = |file: &File| file.module().last().copied().unwrap_or_default().to_owned();
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &kernels {
        for name in exports(file).into_iter().chain([stem(file)]) {
            owners.entry(name).or_default().push(stem(file));
        }
    }
    let mut faults = Vec::new();
    for file in &kernels {
        for path in paths(file) {
            let [first, _, names @ ..] = path.as_slice() else { continue };
            let Some(name) = names.first().filter(|_| first == "kernels") else { continue };
            if owners.get(name).is_some_and(|owners| !owners.contains(&stem(file))) {
                faults.push(format!("{}: a kernel uses another, `crate::{}`", file.path, path.join("::")));
            }
        }
    }
    faults
}

/// Files of a family of kernels that use another family.
pub fn family_faults(files: &[File]) -> Vec<String> {
    let family = |file: &File| match file.module().as_slice() {
        ["kernels", family, ..] if file.path.matches('/').count() > 2 => Some((*family).to_owned()),
        _ => None,
    };
    let families: BTreeSet<String> = files.iter().filter_map(family).collect();
    let of = |file: &File| {
        let own = family(file)?;
        let others = paths(file).into_iter().filter(|path| {
            let other = path.get(1).filter(|name| **name != own && families.contains(*name));
            path.first().is_some_and(|first| first == "kernels") && other.is_some()
        });
        Some(
            others
                .map(|path| format!("{}: {own} uses `crate::{}`", file.path, path.join("::")))
                .collect::<Vec<_>>(),
        )
    };
    files.iter().filter_map(of).flatten().collect()
}

/// Lines that hold one of these texts outside comments.
pub fn lines_with(file: &File, texts: &[&str]) -> Vec<String> {
    let lines = (1..).zip(file.text.lines()).filter(|(_, line)| {
        let line = line.trim_start();
        !line.starts_with("//") && texts.iter().any(|text| line.contains(text))
    });
    lines.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())).collect()
}

/// Lines of a shader that WGSL alone does not allow: a preprocessor's or a template's.
pub fn directives(file: &File) -> Vec<String> {
    let lines = (1..).zip(file.text.lines()).filter(|(_, line)| {
        let line = line.split("//").next().unwrap_or_default();
        let first = line.split_whitespace().next().unwrap_or_default();
        line.contains('#')
            || line.contains("{{")
            || ["import", "@if", "@else", "@elif", "@if("].iter().any(|d| first.starts_with(d))
    });
    lines.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())).collect()
}

/// Lines of a shader that declare a variable of the module which each invocation has for itself. A browser takes its value
/// to differ between them whatever was written to it, and refuses a barrier or a subgroup operation that depends on it.
pub fn private_variables(file: &File) -> Vec<String> {
    let lines = (1..).zip(file.text.lines()).filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        code.split_whitespace().collect::<String>().contains("var<private")
    });
    lines.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())).collect()
}

/// Names of a shader's entry points.
pub fn entry_points(file: &File) -> Vec<String> {
    let code = file.code();
    let named = code.split("@compute").skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once("fn ")?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
    });
    named.collect()
}

/// Files with more lines than a limit.
pub fn longer_than(files: &[File], limit: usize) -> Vec<String> {
    let long = files.iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > limit).then(|| format!("{}: {lines} lines", file.path))
    });
    long.collect()
}

/// Shader files that do not stand with the families that use them: one family's in its own folder, in `shared` what
/// several use. Choices of one thing, such as `pack.2` and `pack.4`, stand together. `uses` says which families compose a
/// file.
pub fn homeless_modules(shaders: &[File], uses: &BTreeMap<String, BTreeSet<&str>>) -> Vec<String> {
    let thing = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        (folder.to_owned(), name.split('.').next().unwrap_or_default().to_owned())
    };
    let mut of_thing: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for (path, families) in uses {
        of_thing.entry(thing(path)).or_default().extend(families);
    }
    let fault = |file: &File| {
        if !uses.contains_key(&file.path) {
            return Some(format!("{}: used by nobody", file.path));
        }
        let families: Vec<&str> = of_thing.get(&thing(&file.path)).into_iter().flatten().copied().collect();
        let home = match families[..] {
            [family] => format!("shaders/{family}/"),
            _ => "shaders/shared/".into(),
        };
        let away = !file.path.starts_with(&home);
        away.then(|| format!("{}: used by {} and belongs in {home}", file.path, families.join(", ")))
    };
    shaders.iter().filter_map(fault).collect()
}

/// The file without its tests, which stand last.
fn without_tests(text: &str) -> &str {
    let tests = ["\n#[cfg(test)]\n", "\n#[cfg(all(test"].iter().filter_map(|mark| text.find(mark)).min();
    &text[..tests.unwrap_or(text.len())]
}

/// What the files of a crate import of each other, by module path: `a::b` of `src/a/b.rs`. A name that a `mod.rs` re-exports
/// belongs to the file that has it.
struct Imports {
    files: BTreeMap<String, File>,
    /// Of each module, names it re-exports and the module each belongs to.
    exports: BTreeMap<String, BTreeMap<String, String>>,
}

impl Imports {
    fn of(rust: &[File]) -> Self {
        let code = |f: &File| (f.module().join("::"), File::new(&f.path, without_tests(&f.text)));
        let files: BTreeMap<String, File> =
            rust.iter().filter(|f| !f.path.ends_with("tests.rs")).map(code).collect();
        let mut imports = Self { files, exports: BTreeMap::new() };
        for (module, file) in &imports.files {
            let lines = file.code();
            let exported = lines.split(';').filter_map(|statement| {
                let (before, tree) = statement.split_once("use ")?;
                before.trim_start().lines().last()?.trim().starts_with("pub").then(|| tree.to_owned())
            });
            let own: BTreeMap<String, String> = exported
                .flat_map(|tree| imports.absolute(module, &tree))
                .filter_map(|path| Some((path.last()?.clone(), imports.owner(&path)?.to_owned())))
                .collect();
            imports.exports.insert(module.clone(), own);
        }
        imports
    }

    /// Paths from the crate's root of a use tree that begins with `crate`, `super` or a child of the module.
    fn absolute(&self, module: &str, text: &str) -> Vec<Vec<String>> {
        let first =
            text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let file = &self.files[module];
        if ["crate", "super", "self"].contains(&first) {
            return paths(&File::new(&file.path, text.trim_start().trim_start_matches("self::")));
        }
        let child = if module.is_empty() { first.to_owned() } else { format!("{module}::{first}") };
        if !self.files.contains_key(&child) {
            return Vec::new();
        }
        let base: Vec<String> =
            file.module().iter().filter(|part| !part.is_empty()).map(|&s| s.into()).collect();
        let mut found = Vec::new();
        tree(&mut text.trim_start().chars().peekable(), &base, &mut found);
        found
    }

    /// The longest beginning of a path that is a module.
    fn owner(&self, path: &[String]) -> Option<&str> {
        let known = |n: usize| self.files.get_key_value(&path[..n].join("::")).map(|(name, _)| name.as_str());
        (1..=path.len()).rev().find_map(known)
    }

    /// The module that has what a path names, through re-exports.
    fn source(&self, path: &[String]) -> Option<&str> {
        let mut module = self.owner(path)?;
        let name = path.get(module.split("::").count())?;
        while let Some(next) = self.exports.get(module).and_then(|names| names.get(name)) {
            if next == module {
                break;
            }
            module = next;
        }
        Some(module)
    }

    /// Modules that a module imports from, re-exports aside.
    fn used(&self, module: &str) -> BTreeSet<&str> {
        let file = &self.files[module];
        let code = file.code();
        let mut found = paths(file);
        for statement in code.split(';') {
            if let Some((before, tree)) = statement.split_once("use ")
                && before.trim().lines().last().is_none_or(|line| !line.trim().starts_with("pub"))
            {
                found.extend(self.absolute(module, tree));
            }
        }
        let own = self.exports.get(module);
        let is_export = |path: &Vec<String>| {
            path.last().is_some_and(|name| own.is_some_and(|own| own.contains_key(name)))
        };
        let found = found.iter().filter(|path| !is_export(path));
        found.filter_map(|path| self.source(path)).filter(|used| *used != module).collect()
    }
}

/// Files of a crate that import each other, directly or through others: each group once, in alphabetical order.
pub fn import_cycles(rust: &[File]) -> Vec<String> {
    let imports = Imports::of(rust);
    let edges: BTreeMap<&str, BTreeSet<&str>> =
        imports.files.keys().map(|module| (module.as_str(), imports.used(module))).collect();
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for used in edges.get(module).into_iter().flatten() {
                if seen.insert(*used) {
                    next.push(used);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|module| (*module, reached(module))).collect();
    let mut groups = BTreeSet::new();
    for (module, far) in reach.iter().filter(|(module, far)| far.contains(*module)) {
        let group: BTreeSet<&str> =
            far.iter().filter(|other| reach[*other].contains(module)).copied().collect();
        groups.insert(group.into_iter().collect::<Vec<_>>().join(", "));
    }
    groups.into_iter().collect()
}

/// Links of a Markdown file to files that are not there. What is on the net is not asked.
pub fn broken_links(root: &Path, file: &File) -> Vec<String> {
    let folder = root.join(&file.path).parent().unwrap_or(root).to_path_buf();
    let mut faults = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (_, rest) in line.match_indices("](").map(|(at, mark)| line.split_at(at + mark.len())) {
            let target = rest.split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                faults.push(format!("{}:{}: {target} is not there", file.path, number + 1));
            }
        }
    }
    faults
}
