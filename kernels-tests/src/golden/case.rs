//! One golden case on disk: what an operation reads and what it is expected to give.

use std::fs;
use std::path::{Component, Path, PathBuf};

use foveal::weights::{ConfigFile, FileDtype, WeightStore};
use foveal::{Error, HostTensor, Result, Shape};
use serde_json::Value;

/// What stands before the name of a tensor that an operation reads.
const INPUT: &str = "in/";
/// What stands before the name of a tensor that an operation is expected to give.
const OUTPUT: &str = "out/";
/// What stands before the key of a weight.
const WEIGHT: &str = "weight/";

/// A folder with `case.json` and `tensors.safetensors`.
#[derive(Debug)]
pub struct Case {
    /// Name of the case.
    pub name: String,
    /// Operation that it is about.
    pub op: String,
    /// The folder; some cases hold a whole model in it.
    pub dir: PathBuf,
    /// Sizes and options of the operation, as written.
    pub params: Value,
    /// Layouts and conventions, for people.
    pub notes: String,
    tolerance: Value,
    store: WeightStore,
}

/// Expected values of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Sizes.
    pub shape: Shape,
    /// Values, row-major; integers below 2^53 are exact.
    pub data: Vec<f64>,
    /// How near a result has to be.
    pub bound: Bound,
}

/// How near is near enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Every element equal.
    Exact,
    /// Both hold.
    Within {
        /// Bound of ‖result − expected‖ / ‖expected‖; `None` where the expectation is exactly 0.
        rel_l2: Option<f64>,
        /// Bound of the largest |result − expected|.
        max_abs: f64,
    },
}

/// Largest `case.json`; real ones have a few kilobytes.
const MAX_BYTES: u64 = 16 << 20;
/// A `rel_l2` from here on means that the expectation is exactly 0 and that only `max_abs` counts.
const NO_REL_L2: f64 = 1e9;

impl Case {
    /// Reads the case in a folder.
    ///
    /// # Errors
    /// [`Error::Io`] for a missing file; [`Error::File`] for one that is not what it should be.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join("case.json");
        let size = fs::metadata(&path).map_err(|e| Error::io(&path, e))?;
        if !size.is_file() || size.len() > MAX_BYTES {
            return Err(Error::file(&path, format!("not a regular file of at most {MAX_BYTES} bytes")));
        }
        let json = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        Self::from_json(dir, &json, || WeightStore::open(dir.join("tensors.safetensors")))
    }

    /// A case from the text of its `case.json`, and its tensors, which are opened when the text is in order.
    ///
    /// # Errors
    /// [`Error::File`] naming the field that is missing or of another type.
    pub fn from_json(dir: &Path, json: &[u8], tensors: impl FnOnce() -> Result<WeightStore>) -> Result<Self> {
        let path = dir.join("case.json");
        let mut json: Value = serde_json::from_slice(json).map_err(|e| Error::file(&path, e.to_string()))?;
        let text_of = |json: &Value, key: &str| {
            let text = json.get(key).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| Error::file(&path, format!("`{key}` is missing or no text")))
        };
        let (name, op) = (text_of(&json, "name")?, text_of(&json, "op")?);
        if name.is_empty() || op.is_empty() {
            return Err(Error::file(&path, "`name` or `op` is empty"));
        }
        let tolerance = json.get_mut("tolerance").map(Value::take).unwrap_or_default();
        if !tolerance.is_object() {
            return Err(Error::file(&path, "`tolerance` is missing or no object"));
        }
        Ok(Self {
            name,
            op,
            dir: dir.to_path_buf(),
            params: json.get_mut("params").map(Value::take).unwrap_or_default(),
            notes: text_of(&json, "notes").unwrap_or_default(),
            tolerance,
            store: tensors()?,
        })
    }

    /// The name in a folder's `case.json` and its operation, as far as they can be read.
    pub fn label(dir: &Path) -> (String, String) {
        let text = fs::read_to_string(dir.join("case.json")).unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let field =
            |key: &str| json.get(key).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned);
        let folder = || dir.file_name().map_or_else(|| "?".into(), |n| n.to_string_lossy().into_owned());
        (field("name").unwrap_or_else(folder), field("op").unwrap_or_else(|| "?".into()))
    }

    /// The tensor `in/<name>` as f32, whether stored as floats or integers.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing or of a type that is not read.
    pub fn input(&self, name: &str) -> Result<HostTensor> {
        let (shape, data, _) = self.values(&format!("{INPUT}{name}"))?;
        HostTensor::new(shape, data.into_iter().map(|x| x as f32).collect())
    }

    /// The integer tensor `in/<name>`, row-major.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing or holds no integers.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>> {
        let name = format!("{INPUT}{name}");
        match self.values(&name)? {
            (_, data, true) => Ok(data.into_iter().map(|x| x as i64).collect()),
            _ => Err(self.refuse(&name, "expected integers, found floats".into())),
        }
    }

    /// Sizes of the tensor `in/<name>`.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing.
    pub fn input_shape(&self, name: &str) -> Result<Shape> {
        self.store.shape(&format!("{INPUT}{name}"))
    }

    /// True when the case has a tensor `in/<name>`.
    pub fn has_input(&self, name: &str) -> bool {
        self.store.contains(&format!("{INPUT}{name}"))
    }

    /// Weights under their keys in the original checkpoint.
    pub fn weights(&self) -> WeightStore {
        self.store.with_prefix(WEIGHT)
    }

    /// Names of the expected tensors, without `out/`, sorted.
    pub fn expected_names(&self) -> Vec<String> {
        self.store.with_prefix(OUTPUT).names().map(str::to_owned).collect()
    }

    /// True when the case expects a tensor of this name, given without `out/`.
    pub fn expects(&self, name: &str) -> bool {
        self.store.contains(&format!("{OUTPUT}{name}"))
    }

    /// The expected tensor `out/<name>` and its bound.
    ///
    /// Integers have to match, whether the case lists them as exact or not: they are ids, indices and counts.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing or of a type that is not read; [`Error::File`] when the case gives
    /// no tolerance for it.
    pub fn expected(&self, name: &str) -> Result<Expected> {
        let full = format!("{OUTPUT}{name}");
        let (shape, data, integer) = self.values(&full)?;
        let listed = self.tolerance.get("exact").and_then(Value::as_array);
        let exact = integer || listed.is_some_and(|l| l.iter().any(|v| v == full.as_str() || v == name));
        let bound = if exact { Bound::Exact } else { self.bound(&full, name)? };
        Ok(Expected { shape, data, bound })
    }

    fn bound(&self, full: &str, name: &str) -> Result<Bound> {
        let own = self.tolerance.get("per_tensor").and_then(|t| t.get(full).or_else(|| t.get(name)));
        let number = |key: &str| {
            let value =
                own.and_then(|t| t.get(key)).or_else(|| self.tolerance.get(key)).and_then(Value::as_f64);
            let reason = || self.malformed(format!("no tolerance `{key}` for `{full}`"));
            value.filter(|v| *v >= 0.0).ok_or_else(reason)
        };
        let rel_l2 = number("rel_l2")?;
        Ok(Bound::Within { rel_l2: (rel_l2 < NO_REL_L2).then_some(rel_l2), max_abs: number("max_abs")? })
    }

    /// The parameter at a dotted path: `model.num_heads`, `latent_shape.1`. `None` when absent or null.
    pub fn param(&self, path: &str) -> Option<&Value> {
        let mut value = &self.params;
        for key in path.split('.') {
            value = match value {
                Value::Array(list) => list.get(key.parse::<usize>().ok()?)?,
                _ => value.get(key)?,
            };
        }
        (!value.is_null()).then_some(value)
    }

    /// A whole number among the parameters. [`Error::File`] when it is missing or something else.
    pub fn usize(&self, path: &str) -> Result<usize> {
        self.typed(path, "a whole number", |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    /// A number among the parameters. [`Error::File`] when it is missing or something else.
    pub fn f64(&self, path: &str) -> Result<f64> {
        self.typed(path, "a number", Value::as_f64)
    }

    /// True or false among the parameters. [`Error::File`] when it is missing or something else.
    pub fn bool(&self, path: &str) -> Result<bool> {
        self.typed(path, "true or false", Value::as_bool)
    }

    /// A text among the parameters. [`Error::File`] when it is missing or something else.
    pub fn str(&self, path: &str) -> Result<&str> {
        self.typed(path, "a text", Value::as_str)
    }

    /// A list of whole numbers among the parameters. [`Error::File`] when it is missing or something else.
    pub fn usizes(&self, path: &str) -> Result<Vec<usize>> {
        let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        self.typed(path, "a list of whole numbers", |v| v.as_array()?.iter().map(whole).collect())
    }

    /// A list of numbers among the parameters. [`Error::File`] when it is missing or something else.
    pub fn f64s(&self, path: &str) -> Result<Vec<f64>> {
        self.typed(path, "a list of numbers", |v| v.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// Lists of whole numbers among the parameters, such as token groups.
    /// [`Error::File`] when it is missing or something else.
    pub fn usize_lists(&self, path: &str) -> Result<Vec<Vec<usize>>> {
        let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let list = |v: &Value| v.as_array()?.iter().map(whole).collect::<Option<Vec<_>>>();
        self.typed(path, "lists of whole numbers", |v| v.as_array()?.iter().map(list).collect())
    }

    /// A model's configuration among the parameters, as if it stood in a file of its own.
    /// [`Error::File`] when it is missing or no object.
    pub fn config(&self, path: &str) -> Result<ConfigFile> {
        let value = self.typed(path, "an object", |v| v.is_object().then(|| v.clone()))?;
        ConfigFile::from_value(self.dir.join("case.json"), value)
    }

    /// The folder with a model in the library's own format: `params.model_folder`, else `params.model` where it
    /// is a text, else `model`. [`Error::File`] when there is no such folder.
    pub fn model_folder(&self) -> Result<PathBuf> {
        let named = ["model_folder", "model"].into_iter().find_map(|key| self.params.get(key)?.as_str());
        let named = Path::new(named.unwrap_or("model"));
        // A case must not read outside its own folder.
        if !named.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(self.malformed(format!("model folder `{}` is not below the case", named.display())));
        }
        let folder = self.dir.join(named);
        if folder.is_dir() { Ok(folder) } else { Err(Error::file(folder, "no such model folder")) }
    }

    /// An [`Error::File`] about this case.
    pub fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::file(self.dir.join("case.json"), reason)
    }

    fn typed<'a, T>(
        &'a self,
        path: &str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T> {
        let value =
            self.param(path).ok_or_else(|| self.malformed(format!("parameter `{path}` is missing")))?;
        read(value).ok_or_else(|| self.malformed(format!("parameter `{path}` is not {what}")))
    }

    /// Shape, values, and whether they are stored as integers.
    fn values(&self, full: &str) -> Result<(Shape, Vec<f64>, bool)> {
        let shape = self.store.shape(full)?;
        let bytes = self.store.bytes(full)?;
        let (data, integer) = match self.store.dtype(full)? {
            FileDtype::F64 => (read(bytes, f64::from_le_bytes), false),
            FileDtype::I32 => (read(bytes, |b| i32::from_le_bytes(b).into()), true),
            FileDtype::U32 => (read(bytes, |b| u32::from_le_bytes(b).into()), true),
            FileDtype::I64 => (read(bytes, |b| i64::from_le_bytes(b) as f64), true),
            FileDtype::Other("BOOL" | "U8") => (bytes.iter().map(|&b| b.into()).collect(), true),
            _ => (self.store.load_any(full)?.data().iter().map(|&x| x.into()).collect(), false),
        };
        Ok((shape, data, integer))
    }

    fn refuse(&self, tensor: &str, reason: String) -> Error {
        Error::weight(self.store.path(), tensor, reason)
    }
}

fn read<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|b| one(*b)).collect()
}
