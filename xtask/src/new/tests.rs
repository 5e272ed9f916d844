//! On a copy of the tree's kernels.

use super::{Change, New, identifiers, kernels, plan, report, write};
use std::path::{Path, PathBuf};

/// A folder that goes with its value.
struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a file");
        }
    }
}

/// A copy of shaders and host files, by the name of the test.
fn tree(name: &str) -> Tree {
    let root = crate::root();
    let copied = std::env::temp_dir().join(format!("foveal-new-{name}-{}", std::process::id()));
    for folder in ["shaders", "src/kernels"] {
        copy(&root.join(folder), &copied.join(folder));
    }
    Tree(copied)
}

fn new<'a>(family: &'a str, stem: &'a str, like: &'a str) -> New<'a> {
    New { family, stem, like, backward: false }
}

fn text<'a>(changes: &'a [Change], ending: &str) -> &'a str {
    let found = changes.iter().find(|change| change.path.ends_with(ending));
    &found.expect(ending).text
}

fn count(text: &str, name: &str) -> usize {
    identifiers(text).filter(|word| *word == name).count()
}

/// Lines of one text that the other has not, one for one.
fn added(old: &str, new: &str) -> Vec<String> {
    let mut old = old.lines().peekable();
    new.lines().filter(|line| old.next_if_eq(line).is_none()).map(str::to_owned).collect()
}

#[test]
fn every_kernel_can_be_a_sibling() {
    let tree = tree("all");
    let mut tried = 0;
    for family in super::families(&tree.0) {
        for like in kernels(&tree.0, &family).into_iter().filter(|like| *like != family) {
            let changes = plan(&tree.0, new(&family, "brand_new", &like)).expect(&like);
            tried += 1;
            assert_eq!(changes.len(), 4, "{like}");
            let old = |path: String| std::fs::read_to_string(tree.0.join(path)).expect("a file");
            for (ending, name) in [(".wgsl", "brand_new.wgsl"), (".rs", "brand_new.rs")] {
                let folder = if ending == ".rs" { "src/kernels" } else { "shaders" };
                let (old, new) = (old(format!("{folder}/{family}/{like}{ending}")), text(&changes, name));
                assert_eq!(old.lines().count(), new.lines().count(), "{like}{ending}");
                for bracket in ["{", "}", "(", ")"] {
                    assert_eq!(old.matches(bracket).count(), new.matches(bracket).count(), "{like}{ending}");
                }
            }
            assert!(text(&changes, "brand_new.wgsl").contains("\nfn brand_new("), "{like}");
            let host = text(&changes, "brand_new.rs");
            assert!(host.contains("STEM: &'static str = \"brand_new\""), "{like}");
            assert!(host.contains(&format!("wgsl!(\"{family}/brand_new.wgsl\")")), "{like}");
            let home = format!("src/kernels/{family}/mod.rs");
            let lines = added(&old(home.clone()), text(&changes, &home));
            assert!(lines.iter().any(|line| line.ends_with("mod brand_new;")), "{like}: {lines:?}");
            let exported = lines.iter().filter(|line| line.starts_with("pub use brand_new::")).count();
            assert_eq!((exported, lines.len()), (1, 2), "{like}: {lines:?}");
            let lines = added(&old(super::REGISTRY.into()), text(&changes, super::REGISTRY));
            assert_eq!(lines.len(), 1, "{like}: {lines:?}");
            let line = &lines[0];
            assert!(line.contains(&format!("super::{family}::BrandNew")), "{like}: {line}");
            let kernel = line.trim().trim_end_matches([',', '>']).rsplit("::").next().unwrap_or_default();
            assert!(count(host, kernel) > 0 && count(text(&changes, &home), kernel) == 1, "{like}: {kernel}");
        }
    }
    assert!(tried > 30, "{tried} siblings");
}

#[test]
fn a_gradient_comes_along() {
    let tree = tree("backward");
    for (family, like, kernel) in [
        ("rowwise", "softmax", "Softmax"),
        ("elementwise", "gelu_erf", "GeluErf"),
        ("contrast", "nt_xent", "NtXent"),
        ("temporal", "temporal_signal", "TemporalSignal"),
    ] {
        let asked = New { backward: true, ..new(family, "log_thing", like) };
        let changes = plan(&tree.0, asked).expect(like);
        assert_eq!(changes.iter().filter(|change| change.new).count(), 4, "{like}");
        let host = text(&changes, "/log_thing_backward.rs");
        assert_eq!(count(host, &format!("{kernel}Backward")) + count(host, kernel), 0, "{like}");
        assert!(count(host, "LogThingBackward") > 2);
        // What it is the gradient of.
        assert!(host.contains("\"log_thing\""), "{like}");
        for file in ["/log_thing.rs", "/log_thing.wgsl", "/log_thing_backward.rs", "/log_thing_backward.wgsl"]
        {
            let left =
                [like.to_owned(), format!("{like}_backward")].map(|name| count(text(&changes, file), &name));
            assert_eq!(left, [0, 0], "{like}: {file}");
        }
        let registry = text(&changes, super::REGISTRY);
        // A gradient follows its forward, however the family writes them.
        let of = |kernel: &str| registry.lines().position(|line| super::names_kernel(line, family, kernel));
        let places = [kernel, "LogThing", "LogThingBackward"].map(of);
        assert!(
            matches!(places, [Some(a), Some(b), Some(c)] if b == a + 1 && c == b + 1),
            "{like}: {places:?} in {registry}"
        );
        assert_eq!(count(registry, &format!("{kernel}Backward")), 1);
    }
}

#[test]
fn other_names_of_a_file_do_not_meet_the_siblings() {
    let tree = tree("names");
    let changes = plan(&tree.0, new("elementwise", "alpha_dropout", "dropout")).expect("a plan");
    let home = text(&changes, "elementwise/mod.rs");
    assert!(
        home.contains("pub use alpha_dropout::{AlphaDropout, AlphaDropoutStream, alpha_dropout};"),
        "{home}"
    );
    assert_eq!(count(text(&changes, "alpha_dropout.rs"), "Stream"), 0);
    let changes = plan(&tree.0, new("optim", "lion", "adamw")).expect("a plan");
    assert!(text(&changes, "optim/mod.rs").contains("pub use lion::{Lion, LionStep, lion};"));
    assert!(text(&changes, super::REGISTRY).contains("    super::optim::LionStep,\n"));
    // Modules of the sibling's stay where they are.
    let changes = plan(&tree.0, new("elementwise", "quantise", "convert")).expect("a plan");
    assert!(text(&changes, "quantise.rs").contains("\"elementwise/convert/narrow.wgsl\""));
}

#[test]
fn what_is_written_is_there_and_cannot_be_written_again() {
    let tree = tree("written");
    let asked = New { backward: true, ..new("rowwise", "log_softmax", "softmax") };
    let changes = plan(&tree.0, asked).expect("a plan");
    write(&tree.0, &changes).expect("written");
    for change in &changes {
        assert_eq!(std::fs::read_to_string(tree.0.join(&change.path)).expect("a file"), change.text);
        assert!(report(asked, &changes).contains(&change.path));
    }
    let again = |asked| plan(&tree.0, asked).expect_err("there are such files");
    assert!(again(asked).contains("`log_softmax` is there: shaders/rowwise/log_softmax.wgsl"));
    // A stem is one name among all families.
    assert!(again(new("elementwise", "log_softmax", "silu")).contains("`log_softmax` is there"));
    // A copy can be copied.
    assert!(plan(&tree.0, New { backward: true, ..new("rowwise", "log_sum", "log_softmax") }).is_ok());
}

#[test]
fn what_makes_no_kernel_is_refused_with_what_there_is() {
    let tree = tree("refused");
    let refused = |asked| plan(&tree.0, asked).expect_err("no kernel");
    assert!(refused(new("rowise", "a", "softmax")).contains("there are attention, contrast, elementwise"));
    let siblings = refused(new("rowwise", "a", "silu"));
    assert!(
        siblings.contains("`silu` is not there; rowwise has branch_norm")
            && siblings.contains("softmax_backward")
    );
    assert!(refused(new("attention", "a", "attention")).contains("is named like its family"));
    assert!(refused(new("matmul", "a", "matmul")).contains("matmul has matmul_join"));
    std::fs::remove_file(tree.0.join("src/kernels/matmul/matmul_join.rs")).expect("a kernel's file");
    assert!(refused(new("matmul", "a", "matmul")).contains("matmul has none"));
    for name in ["", "LogSoftmax", "log-softmax", "log__softmax", "_log", "log_", "2nd", "../log", "é"] {
        assert!(refused(new("rowwise", name, "softmax")).contains("is no name for a kernel"), "{name}");
    }
    assert!(refused(new("rowwise", "move", "softmax")).contains("word of Rust or WGSL"));
    assert!(refused(new("rowwise", "softmax", "rms_norm")).contains("`softmax` is there"));
    assert!(refused(new("rowwise", "rope", "softmax")).contains("`Rope` has another meaning"));
    let alone = refused(New { backward: true, ..new("rowwise", "a", "column_sum") });
    assert!(
        alone.contains("no `column_sum_backward`; in rowwise have one: layer_norm, rms_norm, softmax"),
        "{alone}"
    );
    let there = refused(New { backward: true, ..new("elementwise", "silu", "gelu") });
    assert!(there.contains("`silu` is there"), "{there}");
}
