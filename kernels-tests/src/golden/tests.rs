use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("foveal-golden-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// Writes a case with `in/x` = 1 2 3 and what else `tensors` holds: name, type, bytes.
    fn case(
        &self,
        place: &str,
        op: &str,
        tolerance: serde_json::Value,
        tensors: &[(&str, &str, Vec<u8>)],
    ) -> PathBuf {
        let dir = self.0.join(place);
        fs::create_dir_all(&dir).expect("a case folder");
        let name = place.rsplit('/').next().unwrap_or(place);
        let params = json!({"sizes": {"heads": 4}, "shape": [2, 3], "groups": [[1], [2, 3]], "none": null});
        let case = json!({"name": name, "op": op, "params": params, "tolerance": tolerance, "notes": "n"});
        fs::write(dir.join("case.json"), case.to_string()).expect("a case file");
        let mut all = vec![("in/x", "F32", floats(&[1.0, 2.0, 3.0]))];
        all.extend_from_slice(tensors);
        fs::write(dir.join("tensors.safetensors"), safetensors(&all)).expect("a tensor file");
        dir
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind at worst, in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn longs(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn safetensors(tensors: &[(&str, &str, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, bytes) in tensors {
        let size = match *dtype {
            "F64" | "I64" => 8,
            "F32" | "I32" => 4,
            _ => 2,
        };
        let range = [data.len(), data.len() + bytes.len()];
        header.insert(
            (*name).into(),
            json!({"dtype": dtype, "shape": [bytes.len() / size], "data_offsets": range}),
        );
        data.extend_from_slice(bytes);
    }
    let text = serde_json::Value::Object(header).to_string();
    [(text.len() as u64).to_le_bytes().to_vec(), text.into_bytes(), data].concat()
}

fn tight() -> serde_json::Value {
    json!({"rel_l2": 1e-5, "max_abs": 1e-4, "per_tensor": {}, "exact": []})
}

fn double(_: &Context, case: &Case) -> Result<Outputs> {
    let mut x = case.input("x")?;
    x.data_mut().iter_mut().for_each(|v| *v *= 2.0);
    let mut outputs = Outputs::new();
    outputs.tensor("y", x).ints("out/n", [1], &[3]);
    Ok(outputs)
}

fn broken(_: &Context, case: &Case) -> Result<Outputs> {
    Err(case.malformed("broken on purpose"))
}

fn panicking(_: &Context, case: &Case) -> Result<Outputs> {
    let none: Vec<f32> = Vec::new();
    Outputs::new().f64s("y", [1], vec![f64::from(none[case.name.len()])]);
    Ok(Outputs::new())
}

const OPS: &[Op] = &[
    Op { name: "test.double", optional: &["*_other"], run: double },
    Op { name: "test.broken", optional: &[], run: broken },
    Op { name: "test.panic", optional: &[], run: panicking },
];

const LIBRARY: Library = Library { ops: OPS, not_built: &["later."] };

fn run(dir: &Path) -> Report {
    run_case(LIBRARY, dir, &mut None)
}

#[test]
fn a_right_result_passes() {
    let folder = Folder::new();
    let tensors = [
        ("out/y", "F32", floats(&[2.0, 4.0, 6.0])),
        ("out/n", "I64", longs(&[3])),
        ("out/y_other", "F32", floats(&[9.0])),
    ];
    let report = run(&folder.case("a", "test.double", tight(), &tensors));
    assert_eq!(report.to_string(), "PASS test.double a 0.000e0 0.000e0");
}

#[test]
fn wrong_values_and_missing_tensors_fail_by_name() {
    let folder = Folder::new();
    let tensors = [
        ("out/y", "F32", floats(&[2.0, 4.0, 6.1])),
        ("out/n", "I64", longs(&[4])),
        ("out/z", "F32", floats(&[0.0])),
    ];
    let report = run(&folder.case("a", "test.double", tight(), &tensors)).to_string();
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[0].starts_with("FAIL test.double a 2.500e-1 1.000e0"), "{report}");
    assert!(lines[1].starts_with("    n: 1 of 1 elements differ"), "{report}");
    assert!(lines[2].contains("y: rel_l2") && lines[2].contains("worst [2]: 6 instead of 6.09"), "{report}");
    assert_eq!(lines[3], "    z: expected, but the operation did not give it");
}

#[test]
fn a_tensor_may_have_bounds_of_its_own() {
    let folder = Folder::new();
    let tensors = [("out/y", "F32", floats(&[2.0, 4.0, 6.1])), ("out/n", "F32", floats(&[0.0]))];
    let loose = json!({"rel_l2": 1e-5, "max_abs": 1e-4, "per_tensor":
        {"out/y": {"rel_l2": 0.1, "max_abs": 0.2}, "out/n": {"rel_l2": 1e9, "max_abs": 3.0}}});
    assert_eq!(run(&folder.case("a", "test.double", loose, &tensors)).verdict, Verdict::Pass);
    let exact = json!({"rel_l2": 1.0, "max_abs": 9.0, "exact": ["out/y"]});
    assert_eq!(run(&folder.case("b", "test.double", exact, &tensors)).verdict, Verdict::Fail);
    let report = run(&folder.case("c", "test.double", json!({"rel_l2": 1.0}), &tensors)).to_string();
    assert!(report.contains("no tolerance `max_abs`"), "{report}");
}

#[test]
fn a_broken_case_or_operation_fails_with_its_reason() {
    let folder = Folder::new();
    let contains = |report: Report, part: &str| {
        let text = report.to_string();
        assert!(report.verdict == Verdict::Fail && text.contains(part), "{text}");
    };
    contains(run(&folder.case("a", "test.broken", tight(), &[])), "broken on purpose");
    contains(run(&folder.case("b", "test.panic", tight(), &[])), "panic");
    let dir = folder.case("c", "test.double", tight(), &[]);
    contains(run(&dir), "nothing was compared");
    fs::write(dir.join("tensors.safetensors"), "short").expect("a tensor file");
    contains(run(&dir), "tensors.safetensors");
    fs::remove_file(dir.join("tensors.safetensors")).expect("removes a file");
    contains(run(&dir), "tensors.safetensors");
    fs::write(dir.join("case.json"), "{\"name\": \"c\", \"op\"").expect("a case file");
    contains(run(&dir), "case.json");
    contains(run(&folder.case("d", "test.double", json!(null), &[])), "tolerance");
    let infinite = [("out/y", "F32", floats(&[2.0, f32::NAN, 6.0]))];
    contains(run(&folder.case("e", "test.double", tight(), &infinite)), "NaN");
}

#[test]
fn cases_are_found_at_any_depth_and_sorted_by_name() {
    let folder = Folder::new();
    for place in ["m/z/b", "a/c", "d", "d/inner/a"] {
        folder.case(place, "later.test", tight(), &[]);
    }
    folder.case("e", "later.other", tight(), &[]);
    let names = |filter: &str| {
        let mut names = Vec::new();
        let result = run_all(LIBRARY, &folder.0, filter, 2, |r| {
            assert_eq!(r.verdict, Verdict::Skip);
            names.push(r.name.clone());
        });
        result.map(|()| names.concat()).map_err(|e| e.to_string())
    };
    assert_eq!(names("").as_deref(), Ok("abcde"));
    assert_eq!(names("later.other").as_deref(), Ok("e"));
    assert!(names("nothing").is_err());
    let empty = Folder::new();
    assert!(run_all(LIBRARY, &empty.0, "", 2, |_| ()).is_err());
    assert!(run_all(LIBRARY, &empty.0.join("absent"), "", 2, |_| ()).is_err());
}

/// Every case of a folder with its verdict and what is wrong with it.
fn reports(folder: &Folder, filter: &str) -> Vec<String> {
    let mut lines = Vec::new();
    run_all(LIBRARY, &folder.0, filter, 2, |r| lines.push(r.to_string())).expect("a folder of cases");
    lines
}

#[test]
fn an_operation_that_nobody_knows_fails_and_one_that_is_not_built_is_skipped() {
    let folder = Folder::new();
    folder.case("a", "later.anything", tight(), &[]);
    folder.case("b", "test.duoble", tight(), &[]);
    folder.case("c", "test.double", tight(), &[("out/y", "F32", floats(&[2.0, 4.0, 6.0]))]);
    let lines = reports(&folder, "");
    assert!(lines[0].starts_with("SKIP later.anything a"), "{lines:?}");
    assert!(
        lines[1].starts_with("FAIL test.duoble b") && lines[1].contains("there are test.double, "),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("PASS test.double c"), "{lines:?}");
}

#[test]
fn a_folder_may_say_what_becomes_of_its_cases() {
    let folder = Folder::new();
    let good = [("out/y", "F32", floats(&[2.0, 4.0, 6.0]))];
    for (place, op) in [("a", "test.double"), ("b", "test.double"), ("c", "later.x"), ("d", "later.y")] {
        folder.case(place, op, tight(), &good);
    }
    let list = |text: &str| fs::write(folder.0.join(expected::FILE), text).expect("a list");
    let wrong = || -> Vec<String> {
        reports(&folder, "").into_iter().filter(|line| line.starts_with("FAIL")).collect()
    };
    list("# all of them\nrun a\nrun b\n\nskip c\nskip d\n");
    assert_eq!(wrong(), [""; 0]);
    // A case that the list does not know is one more.
    list("run a\nskip d\n");
    assert_eq!(wrong(), [""; 0]);
    list("skip a\nrun b\nrun c\nskip d\nskip gone\n");
    let found = wrong();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains(" a ") && found[0].contains("yet its operation is there"), "{found:?}");
    assert!(found[1].contains(" c ") && found[1].contains("yet it is skipped"), "{found:?}");
    assert!(found[2].contains(" gone ") && found[2].contains("no such case"), "{found:?}");
    assert!(reports(&folder, "later.").iter().all(|line| !line.contains("gone")));
    for bad in ["runs a", "a", "run a\nskip a"] {
        list(bad);
        let error = run_all(LIBRARY, &folder.0, "", 2, |_| ()).expect_err("a bad list");
        assert!(error.to_string().contains(expected::FILE), "{error}");
    }
}

#[test]
fn the_committed_list_names_every_committed_case_and_nothing_else() {
    let root = crate::root().join("kernels-tests/golden");
    let list = expected::read(&root).expect("a list");
    let mut cases: Vec<(String, String)> =
        find(&root).expect("a folder").iter().map(|dir| Case::label(dir)).collect();
    cases.sort();
    assert!(list.keys().eq(cases.iter().map(|(name, _)| name)), "{:?}", list.keys());
    for (name, op) in cases {
        let built = ops::OPS.iter().any(|known| known.name == op);
        assert_eq!(
            list.get(&name),
            Some(&if built { expected::Fate::Run } else { expected::Fate::Skip }),
            "{name}"
        );
    }
}

#[test]
fn parameters_are_reached_by_path() {
    let folder = Folder::new();
    let case =
        Case::open(folder.case("a", "x", tight(), &[("in/i", "I64", longs(&[-1, 7]))])).expect("opens");
    assert_eq!(case.usize("sizes.heads").ok(), Some(4));
    assert_eq!(case.usize("shape.1").ok(), Some(3));
    assert_eq!(case.usizes("shape").ok(), Some(vec![2, 3]));
    assert_eq!(case.usize_lists("groups").ok(), Some(vec![vec![1], vec![2, 3]]));
    assert!(case.param("none").is_none() && case.param("shape.9").is_none());
    assert!(case.bool("shape").is_err_and(|e| e.to_string().contains("`shape` is not true or false")));
    assert_eq!(case.ints("i").ok(), Some(vec![-1, 7]));
    assert!(case.ints("x").is_err() && case.input("absent").is_err() && case.model_folder().is_err());
}

#[test]
fn patterns() {
    for (pattern, name, fits) in [
        ("*_other", "y_other", true),
        ("*_other", "y_others", false),
        ("b1_*/y", "b1_0/y", true),
        ("y", "yy", false),
        ("*", "", true),
        ("a*b*c", "aXbYbc", true),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
}
