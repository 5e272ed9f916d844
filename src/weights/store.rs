//! The tensors of one model, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileDtype;
use super::element::{to_f32, to_u32};
use super::scale::Scale;
use super::source::{Entry, Place, Shard};
use crate::{Error, HostTensor, Result, Shape};

/// The tensors of a safetensors file, a sharded folder or bytes in memory, by name.
///
/// Files are mapped, not read: opening costs the header, and [`load`](Self::load) touches only the
/// pages of its tensor. A clone or a [`with_prefix`](Self::with_prefix) view shares the files.
#[derive(Debug, Clone)]
pub struct WeightStore {
    inner: Arc<Inner>,
    prefix: String,
}

#[derive(Debug)]
struct Inner {
    /// The file or folder as the caller named it.
    path: PathBuf,
    shards: Vec<Shard>,
    entries: BTreeMap<String, Entry>,
}

impl WeightStore {
    /// Opens a `.safetensors` file, a `*.safetensors.index.json`, or a folder.
    ///
    /// In a folder the first of these is taken: the index, the file, the shards of `diffusion_pytorch_model`, those of
    /// `model`; the only index; the only file or set of shards. An index decides which tensors exist; without one the
    /// shards are those whose names end in `-00001-of-00003.safetensors` and so on, and a path to one of them stands for
    /// all. Hidden files, such as the `._` ones of macOS, are not there.
    ///
    /// # Errors
    /// [`Error::Io`] from the system; [`Error::File`] for a folder without a clear choice, a damaged, truncated or
    /// unfetched file, a shard that is not there, or an index that names a path outside its folder; [`Error::Weight`]
    /// when a shard lacks a tensor that the index places in it, and when two shards without an index hold the same.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        use super::folder::{Layout, resolve};
        let path = path.as_ref();
        match resolve(path)? {
            Layout::Files(files) => {
                let shards = files.iter().map(|file| Shard::map(file)).collect::<Result<_>>()?;
                Self::from_shards(path.to_path_buf(), shards)
            }
            Layout::Sharded { folder, index, weight_map } => {
                let mut found = BTreeMap::new();
                let mut shards = Vec::new();
                let files: std::collections::BTreeSet<&String> = weight_map.values().collect();
                for (number, name) in files.into_iter().enumerate() {
                    let shard = Shard::map(&folder.join(name))?;
                    let of_this_file = |(tensor, _): &(String, Entry)| weight_map.get(tensor) == Some(name);
                    found.extend(shard.entries(number)?.into_iter().filter(of_this_file));
                    shards.push(shard);
                }
                if let Some((tensor, shard)) =
                    weight_map.iter().find(|(tensor, _)| !found.contains_key(*tensor))
                {
                    let reason = format!("the index places it in `{shard}`, which does not hold it");
                    return Err(Error::weight(index, tensor, reason));
                }
                Ok(Self::from_inner(Inner { path: path.to_path_buf(), shards, entries: found }))
            }
        }
    }

    /// The files that hold its tensors, or the names that were given with their bytes.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.inner.shards.iter().map(|shard| shard.path.as_path())
    }

    /// Takes a safetensors file in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// [`Error::File`] for a damaged or truncated file.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self> {
        let name = name.into();
        Self::from_shards(name.clone(), vec![Shard::owned(name, bytes)])
    }

    /// Takes the shards of a model in memory, each with its file name.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes); [`Error::Weight`] when two shards hold the same tensor.
    pub fn from_byte_shards(name: impl Into<PathBuf>, shards: Vec<(String, Vec<u8>)>) -> Result<Self> {
        Self::from_shards(
            name.into(),
            shards.into_iter().map(|(name, bytes)| Shard::owned(name, bytes)).collect(),
        )
    }

    fn from_shards(path: PathBuf, shards: Vec<Shard>) -> Result<Self> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for (name, entry) in shard.entries(number)? {
                if let Some(Entry { place: Place::File(other, _), .. }) = entries.get(&name) {
                    let other = shards.get(*other).map(|s| s.path.display().to_string()).unwrap_or_default();
                    return Err(Error::weight(
                        &shard.path,
                        name,
                        format!("another shard holds it too: {other}"),
                    ));
                }
                entries.insert(name, entry);
            }
        }
        Ok(Self::from_inner(Inner { path, shards, entries }))
    }

    /// A store of f32 tensors that have shapes and read as zeros, for planning what a model needs without its files.
    /// They have no [`bytes`](Self::bytes).
    pub fn zeros(name: impl Into<PathBuf>, shapes: impl IntoIterator<Item = (String, Vec<usize>)>) -> Self {
        let entry = |shape| Entry { dtype: FileDtype::F32, shape, place: Place::Planned, stored: None };
        let entries = shapes.into_iter().map(|(key, shape)| (key, entry(shape))).collect();
        Self::from_inner(Inner { path: name.into(), shards: Vec::new(), entries })
    }

    fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), prefix: String::new() }
    }

    /// The tensors of this view under other names.
    ///
    /// # Errors
    /// [`Error::Weight`] when two of them get the same.
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> String) -> Result<Self> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for old in self.names() {
            let (new, mut entry) = (rename(old), self.entry(old)?.clone());
            entry.stored = Some(self.stored(old, &entry));
            if let Some(other) = entries.get(&new) {
                let other = other.stored.as_deref().unwrap_or_default();
                return Err(
                    self.refusal(old, format!("`{other}` is here too, and both are `{new}`: keep one"))
                );
            }
            entries.insert(new, entry);
        }
        let (path, shards) = (self.inner.path.clone(), self.inner.shards.clone());
        Ok(Self::from_inner(Inner { path, shards, entries }))
    }

    /// A view of the tensors whose names start with `prefix`, named without it.
    ///
    /// Prefixes add up; a prefix that fits nothing gives an empty view.
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), prefix: format!("{}{prefix}", self.prefix) }
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Names in this view, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let from = self
            .inner
            .entries
            .range::<str, _>((std::ops::Bound::Included(self.prefix.as_str()), std::ops::Bound::Unbounded));
        from.map_while(|(name, _)| name.strip_prefix(self.prefix.as_str()))
    }

    /// True when the view has this tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.inner.entries.contains_key(&self.full(name))
    }

    /// Sizes of a tensor. Fails with [`Error::Weight`] when it is missing.
    pub fn shape(&self, name: &str) -> Result<Shape> {
        Ok(Shape::from(self.entry(name)?.shape.as_slice()))
    }

    /// Element type of a tensor in the file. Fails with [`Error::Weight`] when it is missing.
    pub fn dtype(&self, name: &str) -> Result<FileDtype> {
        Ok(self.entry(name)?.dtype)
    }

    /// Elements as they lie in the file: little endian, row-major, at any alignment.
    ///
    /// For uploads that keep the stored type. Fails with [`Error::Weight`] when the tensor is missing, only planned, or
    /// stored with a scale, which its bytes lack.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        let entry = self.entry(name)?;
        match self.scale(name, entry)? {
            Scale::None => self.raw(name, entry),
            _ => Err(self.refusal(name, "it is stored with a scale: its bytes alone are not its values")),
        }
    }

    pub(super) fn raw(&self, name: &str, entry: &Entry) -> Result<&[u8]> {
        match &entry.place {
            Place::File(_, range) => self.slice(name, entry, 0..range.len()),
            Place::Planned => {
                Err(self.refuse(name, entry, "it is planned: it has a shape and reads as zeros".into()))
            }
        }
    }

    /// Loads a float tensor as f32 and checks its shape. A scale beside it (`scale_weight` or `weight_scale`, one number or
    /// one a row, as files of 8-bit floats have them) is multiplied in.
    ///
    /// # Errors
    /// [`Error::Weight`] when the tensor is missing, has another shape, or is not F32, F16, BF16, F64, F8_E4M3 or F8_E5M2;
    /// when its scale makes no sense, or is missing in a file that is marked as scaled.
    pub fn load(&self, name: &str, expected_shape: &[usize]) -> Result<HostTensor> {
        self.require_shape(name, expected_shape)?;
        self.load_any(name)
    }

    /// Loads a float tensor as f32, whatever its shape. Errors as [`load`](Self::load).
    pub fn load_any(&self, name: &str) -> Result<HostTensor> {
        let entry = self.entry(name)?;
        if entry.place == Place::Planned {
            return Ok(HostTensor::zeros(entry.shape.clone()));
        }
        let scale = self.scale(name, entry)?;
        let mut data =
            to_f32(entry.dtype, self.raw(name, entry)?).map_err(|reason| self.refuse(name, entry, reason))?;
        scale.apply(&mut data, 0, entry.shape.iter().skip(1).fold(1, |n, &d| n.saturating_mul(d)));
        HostTensor::new(entry.shape.clone(), data)
    }

    /// Loads chosen rows (first axis) of a float matrix of `expected_shape` as f32, `[rows, columns]`.
    ///
    /// For embedding tables that are gigabytes large while a prompt needs a few rows.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when a row is past the end or the shape is not of two axes.
    pub fn load_rows(&self, name: &str, expected_shape: &[usize], rows: &[u32]) -> Result<HostTensor> {
        self.require_shape(name, expected_shape)?;
        let entry = self.entry(name)?;
        let refuse = |reason: String| self.refuse(name, entry, reason);
        let [count, columns] = *expected_shape else {
            return Err(refuse(format!(
                "no rows: they are of tensors with two axes, and its shape is {}",
                Shape::from(expected_shape)
            )));
        };
        let scale = self.scale(name, entry)?;
        let mut data = Vec::new();
        for &row in rows {
            let row = row as usize;
            if row >= count {
                return Err(refuse(format!("no row {row}: it has {count}")));
            }
            if entry.place == Place::Planned {
                continue;
            }
            // There is such a row, so its bytes lie in the file and the product fits.
            let row_bytes = columns * entry.dtype.size().unwrap_or(0);
            let bytes = self.slice(name, entry, row * row_bytes..(row + 1) * row_bytes)?;
            let mut values = to_f32(entry.dtype, bytes).map_err(refuse)?;
            scale.apply(&mut values, row, columns);
            data.extend(values);
        }
        match entry.place {
            Place::Planned => Ok(HostTensor::zeros([rows.len(), columns])),
            Place::File(..) => HostTensor::new([rows.len(), columns], data),
        }
    }

    /// Loads an I32, I64 or U32 tensor, row-major.
    ///
    /// # Errors
    /// [`Error::Weight`] when the tensor is missing, only planned, of another type, or holds a value outside u32.
    pub fn load_u32(&self, name: &str) -> Result<Vec<u32>> {
        let entry = self.entry(name)?;
        to_u32(entry.dtype, self.raw(name, entry)?).map_err(|reason| self.refuse(name, entry, reason))
    }

    /// Fails with [`Error::Weight`] unless the tensor exists with this shape; reads no elements.
    pub fn require_shape(&self, name: &str, expected: &[usize]) -> Result<()> {
        let entry = self.entry(name)?;
        if entry.shape == expected {
            return Ok(());
        }
        let (expected, found) = (Shape::from(expected), Shape::from(entry.shape.as_slice()));
        Err(self.refuse(name, entry, format!("expected shape {expected}, found {found}")))
    }

    /// [`require_shape`](Self::require_shape), and that [`load`](Self::load) will take its type and its scale; reads a scale
    /// at most.
    pub(crate) fn require_float(&self, name: &str, expected: &[usize]) -> Result<()> {
        self.require_shape(name, expected)?;
        let entry = self.entry(name)?;
        to_f32(entry.dtype, &[]).map_err(|reason| self.refuse(name, entry, reason))?;
        self.scale(name, entry).map(drop)
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn entry(&self, name: &str) -> Result<&Entry> {
        let full = self.full(name);
        self.inner.entries.get(&full).ok_or_else(|| {
            let count = self.names().count();
            let example = self.names().next().map(|n| format!(", such as `{n}`")).unwrap_or_default();
            let reason = format!("missing; {count} tensors are here{example}");
            Error::weight(&self.inner.path, &full, reason)
        })
    }

    /// Bytes of a tensor, `within` counted from its first.
    fn slice(&self, name: &str, entry: &Entry, within: std::ops::Range<usize>) -> Result<&[u8]> {
        // The header was checked when the file was opened, so this fails only if the crate is wrong.
        let whole = match &entry.place {
            Place::File(shard, range) => {
                self.inner.shards.get(*shard).and_then(|s| s.bytes.as_slice().get(range.clone()))
            }
            Place::Planned => None,
        };
        whole
            .and_then(|b| b.get(within))
            .ok_or_else(|| self.refuse(name, entry, "its bytes are outside the file".into()))
    }

    fn refuse(&self, name: &str, entry: &Entry, reason: String) -> Error {
        let shard = match entry.place {
            Place::File(shard, _) => self.inner.shards.get(shard),
            Place::Planned => None,
        };
        Error::weight(shard.map_or(&self.inner.path, |s| &s.path), self.stored(name, entry), reason)
    }

    /// An [`Error::Weight`] about a tensor of this view, by its name in the file.
    pub(crate) fn refusal(&self, name: &str, reason: impl Into<String>) -> Error {
        match self.inner.entries.get(&self.full(name)) {
            Some(entry) => self.refuse(name, entry, reason.into()),
            None => Error::weight(&self.inner.path, self.full(name), reason),
        }
    }

    fn stored(&self, name: &str, entry: &Entry) -> String {
        entry.stored.clone().unwrap_or_else(|| self.full(name))
    }
}
