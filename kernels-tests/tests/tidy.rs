//! The house rules that a compiler does not check, on the source tree itself.
//!
//! Each rule is a pure function of [`kernels_tests::tree`]; the second half of this file shows that it can fail.

use foveal::kernels::registry::{Entry, REGISTRY};
use kernels_tests::tree::{self, File};
use kernels_tests::{docs, root, synthetic};
use std::collections::{BTreeMap, BTreeSet};

fn rust() -> Vec<File> {
    let files = tree::files(&root(), "src", &[".rs"]);
    assert!(files.len() > 50, "only {} files below src", files.len());
    files
}

fn shaders() -> Vec<File> {
    let files = tree::files(&root(), "shaders", &[".wgsl"]);
    assert!(files.len() > 30, "only {} files below shaders", files.len());
    files
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// `family/stem` of files two folders deep.
fn family_and_stem(files: impl Iterator<Item = File>) -> BTreeSet<String> {
    let name = |file: File| {
        let (path, _) = file.path.rsplit_once('.')?;
        let mut parts = path.rsplit('/');
        let stem = parts.next()?;
        Some(format!("{}/{stem}", parts.next()?))
    };
    files.filter_map(name).collect()
}

#[test]
fn shaders_host_files_and_registry_name_the_same_kernels() {
    let kernels: BTreeSet<String> = REGISTRY.iter().map(|e| format!("{}/{}", e.family, e.stem)).collect();
    assert_eq!(kernels.len(), REGISTRY.len(), "a stem stands twice in the registry");
    let bodies = family_and_stem(shaders().into_iter().filter(|f| !tree::entry_points(f).is_empty()));
    let hosts = family_and_stem(rust().into_iter().filter(tree::is_kernel));
    let only = |what: &str, a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).map(|name| format!("{name}: {what}")).collect()
    };
    none(&only("a shader without a line in the registry", &bodies, &kernels));
    none(&only("in the registry without a shader of that name", &kernels, &bodies));
    none(&only("a host file without a line in the registry", &hosts, &kernels));
    none(&only("in the registry without a host file of that name", &kernels, &hosts));
    for entry in REGISTRY {
        assert_eq!(entry.shader.path, format!("shaders/{}/{}.wgsl", entry.family, entry.stem));
    }
}

#[test]
fn every_kernel_is_tested_and_timed() {
    for entry in REGISTRY {
        let (cases, bench) = ((entry.cases)(), (entry.bench_cases)());
        assert!(!cases.is_empty(), "{} has no test case", entry.stem);
        assert!(!bench.is_empty(), "{} has no bench case", entry.stem);
        for case in cases.iter().chain(bench.iter().map(|(_, case)| case)) {
            assert!(
                case.to_string().starts_with(entry.stem),
                "`{case}` does not name its kernel {}",
                entry.stem
            );
            assert!(case.check().is_ok(), "`{case}` refuses itself");
        }
        for names in [
            cases.iter().map(ToString::to_string).collect::<Vec<_>>(),
            bench.iter().map(|(name, _)| (*name).to_owned()).collect(),
        ] {
            let unique: BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{}: two cases have one name: {names:?}", entry.stem);
        }
        for (name, case) in bench {
            let work = case.work();
            assert!(work.bytes > 0.0, "{} {name} moves no bytes", entry.stem);
        }
    }
}

#[test]
fn every_mask_is_tested_forward_and_backward() {
    let kernels = ["", "_columns", "_column_mass", "_backward_delta", "_backward_dq", "_backward_dkv"];
    let kernels = kernels.map(|name| format!("attention{name}"));
    let file = rust().into_iter().find(|file| file.path == "src/kernels/attention/mask.rs");
    let masks = file.map(|file| tree::variants(&file, "Mask")).unwrap_or_default();
    assert!(masks.len() > 4, "only {masks:?}");
    let entries: Vec<_> = REGISTRY.iter().filter(|entry| kernels.iter().any(|k| k == entry.stem)).collect();
    assert_eq!(entries.len(), kernels.len());
    let without = |entry: &Entry| -> Vec<String> {
        let names: Vec<_> = (entry.cases)().iter().map(|case| case.to_string()).collect();
        tree::masks_without_case(&masks, &names)
            .iter()
            .map(|mask| format!("{}: no case of {mask}", entry.stem))
            .collect()
    };
    none(&entries.into_iter().flat_map(without).collect::<Vec<_>>());
}

#[test]
fn kernels_have_one_entry_point_named_like_their_file_and_modules_none() {
    for file in shaders() {
        let kernel = REGISTRY.iter().find(|entry| entry.shader.path == file.path);
        let expected: Vec<_> = kernel.map(|entry| entry.stem.to_owned()).into_iter().collect();
        assert_eq!(tree::entry_points(&file), expected, "{}", file.path);
    }
}

#[test]
fn every_module_stands_beside_those_who_use_it() {
    let mut uses: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for entry in REGISTRY {
        for caps in synthetic::caps() {
            for case in synthetic::all_cases(entry) {
                let variants = case.variants(&caps);
                // From f32 to f32 nothing is converted, so a size that bf16 cannot hold is left to f16.
                let halves_only = entry.stem == "convert" && !caps.f16;
                assert!(!variants.is_empty() || halves_only, "{case} has no variant on {}", caps.adapter);
                for variant in variants {
                    for (_, path) in case.composed(&caps, &variant).pieces() {
                        uses.entry((*path).to_owned()).or_default().insert(entry.family);
                    }
                }
            }
        }
    }
    none(&tree::homeless_modules(&shaders(), &uses));
}

#[test]
fn shaders_are_plain_wgsl() {
    none(&shaders().iter().flat_map(tree::directives).collect::<Vec<_>>());
}

#[test]
fn shaders_hand_values_on_as_arguments() {
    none(&shaders().iter().flat_map(tree::private_variables).collect::<Vec<_>>());
}

#[test]
fn rust_holds_no_wgsl() {
    let wgsl = ["@compute", "@workgroup_size", "var<storage"];
    none(&rust().iter().flat_map(|f| tree::lines_with(f, &wgsl)).collect::<Vec<_>>());
}

#[test]
fn modules_use_lower_floors_only() {
    none(&rust().iter().flat_map(tree::floor_faults).collect::<Vec<_>>());
}

#[test]
fn links_lead_somewhere_and_readme_to_every_page() {
    let root = root();
    let pages = tree::files(&root, "", &[".md"]);
    none(&pages.iter().flat_map(|page| tree::broken_links(&root, page)).collect::<Vec<_>>());
    let readme = pages.iter().find(|page| page.path == "README.md").map(|page| page.text.as_str());
    let readme = readme.unwrap_or_default();
    let alone = pages.iter().filter(|page| page.path.starts_with("docs/")).map(|page| &page.path);
    none(&alone.filter(|path| !readme.contains(&format!("({path})"))).cloned().collect::<Vec<_>>());
}

#[test]
fn contributors_are_told_what_a_shader_can_call() {
    let pages = tree::files(&root(), "", &["CONTRIBUTING.md"]);
    assert_eq!(pages.len(), 1);
    none(&pages.iter().flat_map(|page| tree::vocabulary_faults(page, &shaders())).collect::<Vec<_>>());
}

#[test]
fn files_import_in_one_direction() {
    none(&tree::import_cycles(&rust()));
}

#[test]
fn families_of_kernels_do_not_use_each_other() {
    none(&tree::family_faults(&rust()));
}

#[test]
fn kernels_do_not_use_each_other() {
    none(&tree::kernel_faults(&rust()));
}

#[test]
fn only_gpu_and_tensor_know_wgpu() {
    let above =
        rust().into_iter().filter(|f| !f.path.starts_with("src/gpu/") && !f.path.starts_with("src/tensor/"));
    none(&above.flat_map(|f| tree::lines_with(&f, &["wgpu::"])).collect::<Vec<_>>());
}

#[test]
fn the_library_reads_no_environment() {
    let reads = ["env::var", "env::args", "option_env!"];
    none(&rust().iter().flat_map(|f| tree::lines_with(f, &reads)).collect::<Vec<_>>());
}

#[test]
fn files_are_short() {
    let files = tree::files(&root(), "", &[".rs", ".wgsl"]);
    for long in tree::longer_than(&files, 400) {
        println!("above 400 lines: {long}");
    }
    none(&tree::longer_than(&files, 600));
}

#[test]
fn the_readme_lists_the_kernels() {
    none(&docs::check(&root()).err().into_iter().collect::<Vec<_>>());
}

/// Each rule above, broken.
mod broken {
    use super::tree::{self, File};
    use std::collections::BTreeMap;

    fn paths(path: &str, text: &str) -> Vec<String> {
        tree::paths(&File::new(path, text)).iter().map(|p| p.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_every_spelling() {
        let text = "use crate::{Dtype, gpu::{Caps as C, Access}, tensor::*};\n// use crate::models::x;\nfn f() -> crate::Result<()> {}\n";
        assert_eq!(paths("src/nn/a.rs", text), ["Dtype", "gpu::Caps", "gpu::Access", "tensor::*", "Result"]);
        assert_eq!(
            paths("src/nn/a.rs", "use super::super::models::wan;\nuse super::b::{c,\n    d};"),
            ["models::wan", "nn::b::c", "nn::b::d"]
        );
        assert_eq!(paths("src/nn/mod.rs", "use super::models;"), ["models"]);
        assert!(paths("src/nn/a.rs", "let x = subcrate::y; // nothing").is_empty());
    }

    #[test]
    fn a_higher_floor_is_refused() {
        let faults = |path: &str, text: &str| tree::floor_faults(&File::new(path, text)).len();
        assert_eq!(faults("src/nn/a.rs", "use crate::autograd::Tape;\nuse crate::{Result, Tensor};"), 0);
        assert_eq!(faults("src/nn/a.rs", "use crate::models::wan;"), 1);
        assert_eq!(faults("src/kernels/a/b.rs", "use crate::{Dtype, autograd::Tape};"), 1);
        assert_eq!(faults("src/gpu/a.rs", "fn f(t: crate::Tensor) {}"), 1);
        assert_eq!(faults("src/gpu/a.rs", "use super::super::tensor::Tensor;"), 1);
        assert_eq!(faults("src/nn/a.rs", "use crate::weights::WeightStore;"), 1);
        assert_eq!(faults("src/models/a.rs", "use crate::weights::WeightStore;"), 0);
        assert_eq!(faults("src/weights/a.rs", "use crate::kernels::run;"), 1);
        assert_eq!(faults("src/helpers/a.rs", ""), 1);
        assert_eq!(faults("src/nn/a.rs", "use crate::helpers::x;"), 1);
    }

    #[test]
    fn links_to_nothing_are_found() {
        let page = File::new(
            "docs/a.md",
            "[x](kernels.md#top), [y](../README.md), [z](https://x.y/z), [here](#a)\n[w](b.md)",
        );
        assert_eq!(tree::broken_links(&super::root(), &page), ["docs/a.md:2: b.md is not there"]);
    }

    #[test]
    fn files_that_import_each_other_are_found() {
        let cycles = |files: &[(&str, &str)]| {
            let files: Vec<_> = files.iter().map(|(path, text)| File::new(path, text)).collect();
            tree::import_cycles(&files)
        };
        let (a, b) = ("src/x/a.rs", "src/x/b.rs");
        assert_eq!(cycles(&[(a, "use super::b::B;\n"), (b, "use crate::x::a::{A, C};\n")]), ["x::a, x::b"]);
        assert!(cycles(&[(a, "use super::b::B;\n"), (b, "struct B;\n")]).is_empty());
        // Through what the folder re-exports, and through a third.
        let root = ("src/x/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::{B, C as D};\n");
        assert_eq!(cycles(&[root, (a, "use super::B;\n"), (b, "use super::A;\n")]), ["x::a, x::b"]);
        assert!(cycles(&[root, (a, "use super::B;\n"), (b, "")]).is_empty());
        let third = ("src/c.rs", "use crate::x::a::A;\n");
        assert_eq!(
            cycles(&[third, (a, "use super::b::B;\n"), (b, "fn f(c: crate::c::C) {}\n")]),
            ["c, x::a, x::b"]
        );
        // Tests may.
        let test = "struct B;\n\n#[cfg(test)]\nmod tests {\n    use crate::x::a::A;\n}\n";
        assert!(cycles(&[(a, "use super::b::B;\n"), (b, test)]).is_empty());
        let child = ("src/x/mod.rs", "mod a;\nuse a::A;\npub struct X;\n");
        assert_eq!(cycles(&[child, (a, "use super::X;\n")]), ["x, x::a"]);
    }

    #[test]
    fn a_family_that_uses_another_is_refused() {
        let files = |text: &str| {
            [
                File::new("src/kernels/a/mod.rs", "pub fn f() {}"),
                File::new("src/kernels/b/helper.rs", text),
                File::new("src/kernels/compound.rs", "use super::a::f;\nuse crate::kernels::b;"),
            ]
        };
        let faults = |text| tree::family_faults(&files(text)).len();
        assert_eq!(faults("use crate::kernels::a::f;"), 1);
        assert_eq!(faults("use super::super::a::f;"), 1);
        assert_eq!(faults("use crate::kernels::compound;\nuse super::other;\nuse crate::a::f;"), 0);
    }

    #[test]
    fn a_kernel_that_uses_another_is_refused() {
        let kernel = |path: &str, text: &str| File::new(path, &format!("{text}\nimpl Kernel for X {{}}\n"));
        let faults = |text: &str| {
            let gelu = kernel("src/kernels/elementwise/gelu.rs", "pub struct Gelu {}\npub fn gelu() {}");
            let helper = File::new("src/kernels/elementwise/helper.rs", "pub fn help() {}");
            tree::kernel_faults(&[gelu, helper, kernel("src/kernels/elementwise/silu.rs", text)]).len()
        };
        assert_eq!(faults("use super::helper::help;\nuse crate::kernels::{Kernel, run};"), 0);
        assert_eq!(faults("use super::gelu::Gelu;"), 1);
        assert_eq!(faults("use super::{Gelu, help};"), 1);
        assert_eq!(faults("use crate::kernels::elementwise::gelu;"), 1);
        assert_eq!(faults("fn f() { crate::kernels::elementwise::gelu(x) }"), 1);
    }

    #[test]
    fn masks_without_a_case_are_found() {
        let text = "/// One.\npub enum Mask {\n    /// All.\n    #[default]\n    None,\n    Window {\n        \
                    /// Keys.\n        left: usize,\n    },\n    Causal,\n}\n\npub enum Other {\n    A,\n}\n";
        let masks = tree::variants(&File::new("a.rs", text), "Mask");
        assert_eq!(masks, ["None", "Window", "Causal"]);
        let cases = ["attention(b=1,mask=None)", "attention(b=1,mask=Window { left: 3 },key_lengths)"];
        assert_eq!(tree::masks_without_case(&masks, &cases.map(str::to_owned)), ["Causal"]);
        let alike =
            ["attention(mask=None)", "attention(mask=CausalToo)", "attention(mask=Window { left: 3 })"];
        assert_eq!(tree::masks_without_case(&masks, &alike.map(str::to_owned)), ["Causal"]);
    }

    #[test]
    fn a_vocabulary_that_is_stale_is_found() {
        let shaders = [
            File::new("shaders/shared/pack.1.wgsl", "alias Pack = f32;\nfn widen(v: Elem) -> Pack {}"),
            File::new("shaders/a/m.wgsl", "// fn gone(\nconst M: u32 = 1u;"),
        ];
        let faults = |rows: &str| {
            let text =
                format!("<!-- vocabulary:begin -->\n| names | modules |\n{rows}\n<!-- vocabulary:end -->");
            tree::vocabulary_faults(&File::new("a.md", &text), &shaders)
        };
        let good = "| `Pack`, `widen` | `shared/pack.1` | x |\n| `M` | `a/m` | `y` |";
        assert_eq!(faults(good), Vec::<String>::new());
        assert_eq!(faults(&good.replace("`M`", "`gone`")), ["a.md: `gone` is in no module of its row"]);
        assert_eq!(faults(&good.replace("a/m", "a/n")).len(), 2);
        assert_eq!(faults("| `M` | `a/m` |"), ["a.md: does not name what shaders/shared/pack.1.wgsl has"]);
    }

    #[test]
    fn forbidden_text_is_found_outside_comments() {
        let file = File::new("src/a.rs", "// wgpu::Device\nlet d: wgpu::Device;\n");
        assert_eq!(tree::lines_with(&file, &["wgpu::"]), ["src/a.rs:2: let d: wgpu::Device;"]);
        let file = File::new("src/a.rs", "const S: &str = \"@compute fn f() {}\";");
        assert_eq!(tree::lines_with(&file, &["@compute"]).len(), 1);
    }

    #[test]
    fn directives_are_found_outside_comments() {
        let count = |text: &str| tree::directives(&File::new("a.wgsl", text)).len();
        assert_eq!(count("// #import x\nfn f() {} // row #1\nlet important = 1;"), 0);
        for line in [
            "#import x",
            "  #if F16",
            "import a::b;",
            "@if(F16) fn f() {}",
            "let x = {{ n }};",
            "#define A 1",
        ] {
            assert_eq!(count(line), 1, "{line}");
        }
    }

    #[test]
    fn variables_of_the_module_are_found_outside_comments() {
        let found = |text: &str| tree::private_variables(&File::new("a.wgsl", text));
        assert_eq!(found("var<private> part: u32;"), ["a.wgsl:1: var<private> part: u32;"]);
        assert_eq!(found("// why\nvar < private > a: array<f32, 4>; // one a row").len(), 1);
        assert!(
            found("// no var<private>\nvar<workgroup> a: u32; // not var<private>\nfn f(part: u32) {}")
                .is_empty()
        );
    }

    #[test]
    fn a_module_away_from_those_who_use_it_is_found() {
        let fault = |path: &str, families: &'static [&'static str]| {
            let uses = BTreeMap::from([(path.to_owned(), families.iter().copied().collect())]);
            tree::homeless_modules(&[File::new(path, "fn f() {}")], &uses).pop().unwrap_or_default()
        };
        assert_eq!(fault("shaders/a/b/m.wgsl", &["a"]), "");
        assert_eq!(fault("shaders/shared/m.wgsl", &["a", "b"]), "");
        assert!(tree::homeless_modules(&[File::new("shaders/a/m.wgsl", "")], &BTreeMap::new()).len() == 1);
        assert!(fault("shaders/shared/m.wgsl", &["a"]).contains("shaders/a/"));
        assert!(fault("shaders/a/m.wgsl", &["a", "b"]).contains("shaders/shared/"));
        assert!(fault("shaders/a/m.wgsl", &["b"]).contains("shaders/b/"));
        let packs = ["shaders/shared/pack.1.wgsl", "shaders/shared/pack.2.wgsl"];
        let uses = BTreeMap::from([(packs[0].into(), ["a", "b"].into()), (packs[1].into(), ["a"].into())]);
        assert!(tree::homeless_modules(&packs.map(|path| File::new(path, "")), &uses).is_empty());
    }

    #[test]
    fn entry_points_are_read_from_the_text() {
        let names = |text: &str| tree::entry_points(&File::new("a.wgsl", text));
        assert_eq!(
            names("// @compute\nfn a() {}\n@compute @workgroup_size(8)\nfn softmax(x: u32) {}"),
            ["softmax"]
        );
        assert_eq!(names("fn a() {}"), Vec::<String>::new());
        assert_eq!(names("@compute @workgroup_size(1) fn a() {}\n@compute fn b() {}"), ["a", "b"]);
    }

    #[test]
    fn long_files_are_found() {
        let file = File::new("a.rs", &"\n".repeat(11));
        assert_eq!(tree::longer_than(std::slice::from_ref(&file), 10), ["a.rs: 11 lines"]);
        assert!(tree::longer_than(&[file], 11).is_empty());
    }

    #[test]
    fn host_files_of_kernels_are_told_from_helpers() {
        let is = |path: &str, text: &str| tree::is_kernel(&File::new(path, text));
        assert!(is("src/kernels/a/b.rs", "impl Kernel for B {"));
        assert!(!is("src/kernels/a/b.rs", "// impl Kernel for B {"));
        assert!(!is("src/kernels/registry.rs", "impl Kernel for B {"));
        assert!(!is("src/kernels/a/mod.rs", "impl Kernel for B {"));
    }
}
