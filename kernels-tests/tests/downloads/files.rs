//! Weight files made in a test, and folders to put them into.

use kernels_tests::root;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A tensor as it lies in a file.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Tensors = BTreeMap<String, Stored>;

impl Stored {
    pub(crate) fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Its values, of an f32 or f16 file.
    pub(crate) fn values(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::F16 => self
                .bytes
                .chunks(2)
                .map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).to_f32())
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let stored = |view: TensorView<'_>| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    file.tensors().into_iter().map(|(name, view)| (name, stored(view))).collect()
}

pub(crate) fn write(path: &Path, tensors: &Tensors) {
    fn view(stored: &Stored) -> TensorView<'_> {
        TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes).unwrap()
    }
    let views = tensors.iter().map(|(name, stored)| (name.as_str(), view(stored)));
    serialize_to_file(views, None, path).unwrap();
}

/// The same under other names.
pub(crate) fn renamed(tensors: &Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors.iter().map(|(name, stored)| (rename(name), stored.clone())).collect()
}

/// A folder that goes away with its last use.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(tag: &str) -> Self {
        let path = std::env::temp_dir().join(format!("foveal-downloads-{tag}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A copy of a folder of the repository.
    pub(crate) fn copy_of(tag: &str, folder: &str) -> Self {
        let scratch = Self::new(tag);
        copy(&root().join(folder), &scratch.0);
        scratch
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    /// Replaces text in one of its files.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) -> &Self {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap();
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{name} has no {from}");
        self.put(name, changed)
    }

    pub(crate) fn remove(&self, name: &str) -> &Self {
        let path = self.0.join(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Numbers of `float8_e4m3fn` in their order, from 0 up; the index is what is stored.
fn e4m3() -> Vec<f32> {
    let value = |bits: u32| {
        let (exponent, fraction) = (bits >> 3, (bits & 7) as f32 / 8.0);
        if exponent == 0 {
            fraction * 2f32.powi(-6)
        } else {
            (1.0 + fraction) * 2f32.powi(exponent as i32 - 7)
        }
    };
    (0..127).map(value).collect()
}

/// A tensor in 8-bit floats under a scale that its largest value reaches, that scale, and the numbers that they stand for.
pub(crate) fn in_8_bits(stored: &Stored) -> (Stored, f32, Stored) {
    let (table, values) = (e4m3(), stored.values());
    let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scale = if largest > 0.0 { largest / 448.0 } else { 1.0 };
    let nearest = |v: f32| {
        let v = (v / scale).abs();
        let above = table.partition_point(|t| *t < v).clamp(1, 126);
        if v - table[above - 1] < table[above] - v { above - 1 } else { above }
    };
    let bits: Vec<u8> = values.iter().map(|v| nearest(*v) as u8 | if *v < 0.0 { 0x80 } else { 0 }).collect();
    let meant: Vec<f32> = decoded(&bits).into_iter().map(|v| v * scale).collect();
    let eight = Stored { dtype: Dtype::F8_E4M3, shape: stored.shape.clone(), bytes: bits };
    (eight, scale, Stored::f32(&stored.shape, &meant))
}

/// What bytes of `float8_e4m3fn` stand for.
pub(crate) fn decoded(bits: &[u8]) -> Vec<f32> {
    let table = e4m3();
    let value = |b: &u8| if *b >= 128 { -table[usize::from(b & 127)] } else { table[usize::from(*b)] };
    bits.iter().map(value).collect()
}
