//! Finds the weight files of a folder.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// Base names that the common libraries give to a model's weights, preferred in this order.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
const INDEX_SUFFIX: &str = ".safetensors.index.json";
const FILE_SUFFIX: &str = ".safetensors";
/// An index lists one short line a tensor; anything larger is not one.
const MAX_INDEX_BYTES: u64 = 100_000_000;

/// What a path stands for.
#[derive(Debug)]
pub(super) enum Layout {
    /// One file.
    Single(PathBuf),
    /// Several files; which one holds each tensor.
    Sharded {
        /// Folder of the shards.
        folder: PathBuf,
        /// The index file, for messages.
        index: PathBuf,
        /// Tensor name to shard file name.
        weight_map: BTreeMap<String, String>,
    },
}

/// Resolves a file, an index file or a folder.
pub(super) fn resolve(path: &Path) -> Result<Layout> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !meta.is_dir() {
        return if path.to_string_lossy().ends_with(INDEX_SUFFIX) {
            sharded(path)
        } else {
            Ok(Layout::Single(path.to_path_buf()))
        };
    }
    let names = file_names(path)?;
    let ending = |suffix: &str| names.iter().filter(|n| n.ends_with(suffix)).cloned().collect::<Vec<_>>();
    let preferred =
        |suffix: &str| STEMS.iter().map(|stem| format!("{stem}{suffix}")).find(|n| names.contains(n));

    if let Some(index) = preferred(INDEX_SUFFIX) {
        return sharded(&path.join(index));
    }
    if let Some(file) = preferred(FILE_SUFFIX) {
        return Ok(Layout::Single(path.join(file)));
    }
    let (indices, files) = (ending(INDEX_SUFFIX), ending(FILE_SUFFIX));
    match (indices.as_slice(), files.as_slice()) {
        ([index], _) => sharded(&path.join(index)),
        ([], [file]) => Ok(Layout::Single(path.join(file))),
        ([], []) => {
            let pickles = names
                .iter()
                .filter(|n| [".pth", ".pt", ".bin", ".ckpt"].iter().any(|s| n.ends_with(s)))
                .count();
            let hint = if pickles > 0 {
                "; it has PyTorch checkpoints, which must be converted to safetensors first"
            } else {
                ""
            };
            Err(Error::file(path, format!("no .safetensors file in this folder{hint}")))
        }
        ([], many) => Err(Error::file(
            path,
            format!("{} .safetensors files and no index: name the file to open ({})", many.len(), list(many)),
        )),
        (many, _) => Err(Error::file(
            path,
            format!("{} index files: name the one to open ({})", many.len(), list(many)),
        )),
    }
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for item in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let item = item.map_err(|e| Error::io(folder, e))?;
        names.extend(item.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 6 { format!("{shown}, …") } else { shown }
}

fn sharded(index: &Path) -> Result<Layout> {
    let text = super::file::read(index, MAX_INDEX_BYTES, "an index")?;
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let Index { weight_map } =
        serde_json::from_slice(&text).map_err(|e| Error::file(index, format!("bad index: {e}")))?;
    if weight_map.is_empty() {
        return Err(Error::file(index, "the weight_map is empty"));
    }
    for (tensor, shard) in &weight_map {
        if !is_plain_name(shard) {
            return Err(Error::file(
                index,
                format!("tensor `{tensor}`: shard `{shard}` is not a plain file name in this folder"),
            ));
        }
    }
    let folder = index.parent().unwrap_or(Path::new("")).to_path_buf();
    Ok(Layout::Sharded { folder, index: index.to_path_buf(), weight_map })
}

/// True for a file name without any path in it, on every platform: an index must not reach outside its
/// folder, and a downloaded index is not trusted.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\', ':', '\0'])
}
