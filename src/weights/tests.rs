#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod layouts;
mod scaled;

use super::{ConfigFile, FileDtype, WeightStore};
use crate::{Error, HostTensor, Result};

/// A safetensors file with this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// One f32 tensor of shape `[2]`.
fn one(name: &str, values: [f32; 2]) -> Vec<u8> {
    file(&format!(r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#), &f32s(&values))
}

fn reason(result: Result<WeightStore>) -> String {
    result.err().map(|e| e.to_string()).unwrap_or_else(|| "opened".into())
}

/// A folder under the target directory's temporary space, removed when dropped.
#[cfg(not(target_arch = "wasm32"))]
struct Folder(std::path::PathBuf);

#[cfg(not(target_arch = "wasm32"))]
impl Folder {
    fn new(tag: &str) -> Self {
        let path = std::env::temp_dir().join(format!("foveal-weights-{tag}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> &Self {
        std::fs::write(self.0.join(name), bytes).unwrap();
        self
    }

    fn open(&self) -> Result<WeightStore> {
        WeightStore::open(&self.0)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn converts_every_float_type() {
    let mut data = Vec::new();
    data.extend(half::f16::from_f32(1.5).to_le_bytes());
    data.extend(half::bf16::from_f32(-2.0).to_le_bytes());
    data.extend(0.25f64.to_le_bytes());
    data.extend(7.0f32.to_le_bytes());
    let header = r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},
        "d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]},"f":{"dtype":"F32","shape":[1,1],"data_offsets":[12,16]}}"#;
    let store = WeightStore::from_bytes("mem", file(header, &data)).unwrap();
    assert_eq!(store.names().collect::<Vec<_>>(), ["b", "d", "f", "h"]);
    for (name, value) in [("h", 1.5), ("b", -2.0), ("d", 0.25)] {
        assert_eq!(store.load(name, &[1]).unwrap().data(), [value], "{name}");
    }
    assert_eq!(store.load_any("f").unwrap().shape().dims(), [1, 1]);
    assert_eq!(store.dtype("b").unwrap(), FileDtype::Bf16);
    assert_eq!(store.dtype("b").unwrap().storage(), Some(crate::Dtype::Bf16));
    assert_eq!(store.bytes("f").unwrap(), 7.0f32.to_le_bytes());

    let big = file(r#"{"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#, &1e300f64.to_le_bytes());
    let text = WeightStore::from_bytes("mem", big).unwrap().load_any("d").unwrap_err().to_string();
    assert!(text.contains("does not fit f32"), "{text}");
}

#[test]
fn names_what_disagrees() {
    let store = WeightStore::from_bytes("m.safetensors", one("w", [1.0, 2.0])).unwrap();
    let text = store.load("w", &[2, 3]).unwrap_err().to_string();
    assert_eq!(text, "m.safetensors: tensor `w`: expected shape [2, 3], found [2]");
    let text = store.load("x", &[2]).unwrap_err().to_string();
    assert!(text.contains("`x`: missing") && text.contains("`w`"), "{text}");
    let text = store.load_u32("w").unwrap_err().to_string();
    assert!(text.contains("expected I32, I64 or U32, found F32"), "{text}");
}

#[test]
fn loads_integers_in_range_only() {
    let mut data: Vec<u8> = [3i64, 1 << 31].iter().flat_map(|v| v.to_le_bytes()).collect();
    data.extend((-1i32).to_le_bytes());
    let header = r#"{"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"n":{"dtype":"I32","shape":[],"data_offsets":[16,20]}}"#;
    let store = WeightStore::from_bytes("m", file(header, &data)).unwrap();
    assert_eq!(store.load_u32("a").unwrap(), [3, 1 << 31]);
    let text = store.load_u32("n").unwrap_err().to_string();
    assert!(text.contains("element 0 is -1"), "{text}");
    assert!(matches!(store.load_any("a"), Err(Error::Weight { .. })));
}

#[test]
fn loads_single_rows() {
    let header = r#"{"e":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}}"#;
    let store = WeightStore::from_bytes("m", file(header, &f32s(&[0., 1., 2., 3., 4., 5.]))).unwrap();
    let rows = store.load_rows("e", &[3, 2], &[2, 0, 2]).unwrap();
    assert_eq!((rows.shape().dims(), rows.data()), (&[3, 2][..], &[4., 5., 0., 1., 4., 5.][..]));
    assert!(store.load_rows("e", &[3, 2], &[3]).unwrap_err().to_string().contains("row 3"));
    assert!(store.load_rows("e", &[3, 3], &[0]).is_err());
}

#[test]
fn views_strip_a_prefix() {
    let header = r#"{"in/x":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"weight/a.b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},
        "weightless":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}"#;
    let store = WeightStore::from_bytes("m", file(header, &f32s(&[1., 2., 3.]))).unwrap();
    let view = store.with_prefix("weight/");
    assert_eq!(view.names().collect::<Vec<_>>(), ["a.b"]);
    assert!(view.contains("a.b") && !view.contains("in/x"));
    assert_eq!(view.with_prefix("a.").load("b", &[]).unwrap().data(), [2.0]);
    assert_eq!(store.with_prefix("nothing").names().count(), 0);
    assert!(view.load("q", &[]).unwrap_err().to_string().contains("`weight/q`"));
}

#[test]
fn refuses_damaged_files() {
    let open = |bytes: Vec<u8>| reason(WeightStore::from_bytes("m", bytes));
    let good = one("w", [1.0, 2.0]);
    for cut in 0..good.len() {
        assert_ne!(open(good[..cut].to_vec()), "opened", "cut at {cut}");
    }
    let mut long = good.clone();
    long.push(0);
    assert!(open(long).contains("damaged"));
    assert!(open(Vec::new()).contains("empty"));
    assert!(open(u64::MAX.to_le_bytes().to_vec()).contains("not a safetensors file"));
    assert!(open([50u64.to_le_bytes().to_vec(), b"{}".to_vec()].concat()).contains("truncated"));
    assert!(open(b"PK\x03\x04........".to_vec()).contains("PyTorch"));
    assert!(open(b"version https://git-lfs".to_vec()).contains("git-lfs"));

    let hostile = [
        // Sizes whose product overflows, or is far past the file.
        r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#,
        // Offsets that disagree with the shape, run backwards, overlap or leave a gap.
        r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
        r#"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        r#"{"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        r#"{"w":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
        r#"[1]"#,
    ];
    for header in hostile {
        assert_ne!(open(file(header, &[0; 8])), "opened", "{header}");
    }
    // Eight tensors whose lengths add up to 2^64 - 8: the sum with the header must not wrap round.
    let step = 1u64 << 61;
    let tensor = |i: u64, end: u64| {
        format!(r#""t{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{end}]}}"#, end - i * step, i * step)
    };
    let all: Vec<String> =
        (0..8).map(|i| tensor(i, if i == 7 { u64::MAX - 7 } else { (i + 1) * step })).collect();
    assert_ne!(open(file(&format!("{{{}}}", all.join(",")), &[])), "opened");
    // Nesting deeper than a header ever is.
    assert_ne!(open(file(&"[".repeat(100_000), &[])), "opened");
}

#[test]
fn a_tensor_without_elements_is_one() {
    let header = r#"{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "c":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[8,8]}}"#;
    let store = WeightStore::from_bytes("m", file(header, &f32s(&[1., 2.]))).unwrap();
    assert_eq!(store.load("a", &[0, 3]).unwrap().data(), [0.0; 0]);
    assert_eq!(store.load("b", &[2]).unwrap().data(), [1., 2.]);
    assert!(store.load_rows("a", &[0, 3], &[0]).unwrap_err().to_string().contains("no row 0"));
    // Sizes whose product overflows beside a 0: nothing or an error, and no wrapped product.
    assert!(store.load_any("c").map_or_else(|e| !e.to_string().is_empty(), |t| t.data().is_empty()));
}

#[test]
fn joins_byte_shards_and_refuses_duplicates() {
    let shards =
        |second: &str| vec![("1".to_owned(), one("a", [1., 2.])), ("2".to_owned(), one(second, [3., 4.]))];
    let store = WeightStore::from_byte_shards("m", shards("b")).unwrap();
    assert_eq!(store.load("b", &[2]).unwrap().data(), [3., 4.]);
    assert!(reason(WeightStore::from_byte_shards("m", shards("a"))).contains("another shard"));
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn opens_folders() {
    let folder = Folder::new("single");
    assert!(reason(folder.open()).contains("no .safetensors"));
    folder.put("model.pth", b"x");
    assert!(reason(folder.open()).contains("convert it once"));
    folder.put("odd.safetensors", &one("a", [1., 2.]));
    assert_eq!(folder.open().unwrap().load("a", &[2]).unwrap().data(), [1., 2.]);
    folder.put("other.safetensors", &one("b", [1., 2.]));
    assert!(reason(folder.open()).contains("odd.safetensors, other.safetensors"));
    folder.put("model.safetensors", &one("c", [1., 2.]));
    assert!(folder.open().unwrap().contains("c"));
    assert!(WeightStore::open(folder.0.join("odd.safetensors")).unwrap().contains("a"));
    assert!(matches!(WeightStore::open(folder.0.join("absent.safetensors")), Err(Error::Io { .. })));
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn opens_shards_by_their_index() {
    let folder = Folder::new("sharded");
    let index =
        |map: &str| format!(r#"{{"metadata":{{"total_size":16}},"weight_map":{{{map}}}}}"#).into_bytes();
    folder.put("m-1.safetensors", &one("a", [1., 2.])).put("m-2.safetensors", &one("b", [3., 4.]));
    folder.put("model.safetensors.index.json", &index(r#""a":"m-1.safetensors","b":"m-2.safetensors""#));
    let store = folder.open().unwrap();
    assert_eq!(store.load("a", &[2]).unwrap().data(), [1., 2.]);
    assert_eq!(store.load("b", &[2]).unwrap().data(), [3., 4.]);
    let text = store.load("b", &[3]).unwrap_err().to_string();
    assert!(text.contains("m-2.safetensors"), "{text}");

    let with = |map: &str| reason(folder.put("model.safetensors.index.json", &index(map)).open());
    assert!(with(r#""a":"m-2.safetensors""#).contains("does not hold it"));
    assert!(with(r#""a":"m-9.safetensors""#).contains("m-9.safetensors"));
    for outside in ["../m-1.safetensors", "/etc/passwd", "..", ".", "", "sub/m.safetensors", r"..\\m", "C:m"]
    {
        let text = with(&format!(r#""a":"{outside}""#));
        assert!(text.contains("not a plain file name"), "{outside}: {text}");
    }
    assert!(with("").contains("empty"));
    folder.put("model.safetensors.index.json", b"{");
    assert!(reason(folder.open()).contains("bad index"));
    // A tensor that the index does not list is not part of the model.
    folder.put("model.safetensors.index.json", &index(r#""a":"m-1.safetensors""#));
    assert!(!folder.open().unwrap().contains("b"));
}

#[test]
fn configuration_errors_name_the_key() {
    let config = ConfigFile::from_bytes(
        "c.json",
        br#"{"n": 3, "f": 0.5, "s": "x", "z": null, "p": [1, 2, 2], "neg": -1}"#,
    )
    .unwrap();
    assert_eq!(config.usize("n", 1..=4).unwrap(), 3);
    assert_eq!(config.usize_or("absent", 9, 1..=4).unwrap(), 9);
    assert_eq!(config.usize_array_or("p", [0; 3], 1..=4).unwrap(), [1, 2, 2]);
    assert_eq!(config.positive_or("f", 1.0, 1.0).unwrap(), 0.5);
    assert!(!config.has("z"));
    for text in [
        config.usize("n", 5..=6).unwrap_err().to_string(),
        config.usize("neg", 0..=6).unwrap_err().to_string(),
        config.usize("absent", 0..=6).unwrap_err().to_string(),
        config.usize_array_or("p", [0; 2], 1..=4).unwrap_err().to_string(),
        config.bool_or("s", true).unwrap_err().to_string(),
        config.require_absent("s", "such a thing").unwrap_err().to_string(),
        config.require_one_of("s", &["y"]).unwrap_err().to_string(),
    ] {
        assert!(text.starts_with("c.json: `"), "{text}");
    }
    assert!(ConfigFile::from_bytes("c.json", b"[]").is_err());
}

#[test]
fn a_planned_store_reads_as_zeros_and_has_no_bytes() {
    let store = WeightStore::zeros("a plan", [("t".to_owned(), vec![3, 2]), ("v".to_owned(), vec![4])]);
    assert_eq!(store.load("t", &[3, 2]).unwrap(), HostTensor::zeros([3, 2]));
    assert_eq!(store.load_rows("t", &[3, 2], &[2, 0, 2]).unwrap(), HostTensor::zeros([3, 2]));
    let text = |outcome: Result<()>| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Weight { .. }), "{error:?}");
        error.to_string()
    };
    assert!(text(store.load_rows("t", &[3, 2], &[3]).map(drop)).contains("no row 3: it has 3"));
    assert!(text(store.load("t", &[2, 3]).map(drop)).contains("a plan: tensor `t`: expected shape"));
    for outcome in [store.bytes("v").map(drop), store.load_u32("v").map(drop)] {
        assert!(text(outcome).contains("a plan: tensor `v`: it is planned"));
    }
    assert!(text(store.bytes("w").map(drop)).contains("missing"));
}
