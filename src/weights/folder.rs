//! Finds the weight files of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::foreign::{self, conversion};
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
    /// All tensors of these files.
    Files(Vec<PathBuf>),
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
        return resolve_file(path);
    }
    among(path, &file_names(path)?)
}

/// The one model among these files of a folder: what [`WeightStore::open`](super::WeightStore::open) takes.
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) fn choose(folder: &Path, names: &[String]) -> Result<PathBuf> {
    Ok(match among(folder, names)? {
        // The first shard stands for all.
        Layout::Files(files) => files.into_iter().next().unwrap_or_default(),
        Layout::Sharded { index, .. } => index,
    })
}

/// The one model among sorted names.
fn among(path: &Path, names: &[String]) -> Result<Layout> {
    let has = |name: &String| names.binary_search(name).is_ok();
    let indices: Vec<&String> = names.iter().filter(|n| n.ends_with(INDEX_SUFFIX)).collect();
    let (files, sets) = files_and_sets(names);
    for stem in STEMS {
        let (index, file) = (format!("{stem}{INDEX_SUFFIX}"), format!("{stem}{FILE_SUFFIX}"));
        if has(&index) {
            return sharded(&path.join(index));
        }
        if has(&file) {
            return Ok(Layout::Files(vec![path.join(file)]));
        }
        if let Some(set) = sets.iter().find(|set| set.stem == stem) {
            return set.layout(path);
        }
    }
    match (indices.as_slice(), files.as_slice(), sets.as_slice()) {
        ([index], ..) => sharded(&path.join(index)),
        ([], [file], []) => Ok(Layout::Files(vec![path.join(file)])),
        ([], [], [set]) => set.layout(path),
        ([], [], []) => {
            let pickles: Vec<&String> = names.iter().filter(|n| foreign::is_pickle(n)).collect();
            // Beside a model lie the pickles of its training.
            let pickle = pickles.iter().find(|n| n.contains("model")).or(pickles.first());
            let hint = pickle.map_or_else(String::new, |name| {
                format!(
                    "; `{name}` is a PyTorch checkpoint, which is not read: {}",
                    conversion(Path::new(name))
                )
            });
            Err(Error::file(path, format!("no .safetensors file in this folder{hint}")))
        }
        ([], ..) => {
            let sets = sets.iter().map(|set| set.file(1));
            let all: Vec<String> = files.iter().map(|f| (*f).clone()).chain(sets).collect();
            let reason =
                format!("{} models in .safetensors files: name the one to open ({})", all.len(), list(&all));
            Err(Error::file(path, reason))
        }
        (many, ..) => {
            let all: Vec<String> = many.iter().map(|n| (*n).clone()).collect();
            Err(Error::file(
                path,
                format!("{} index files: name the one to open ({})", all.len(), list(&all)),
            ))
        }
    }
}

/// An index, one shard of several, or a file by itself.
fn resolve_file(path: &Path) -> Result<Layout> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(INDEX_SUFFIX) {
        return sharded(path);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    match Set::of(&name) {
        Some((mut set, _)) if set.of > 1 => {
            // The parent of a bare file name is empty, which is no folder to the system.
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            set.found = file_names(here)?.iter().filter_map(|n| set.number_of(n)).collect();
            set.layout(folder)
        }
        _ => Ok(Layout::Files(vec![path.to_path_buf()])),
    }
}

/// Shards that belong together by their names: `stem-00001-of-00003.safetensors`.
#[derive(Debug)]
struct Set {
    stem: String,
    /// Digits of a number, and how many shards there should be.
    digits: usize,
    of: usize,
    /// Numbers that were found.
    found: BTreeSet<usize>,
}

impl Set {
    /// The set that a file name belongs to, and its number in it.
    fn of(name: &str) -> Option<(Self, usize)> {
        let (rest, of) = name.strip_suffix(FILE_SUFFIX)?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        // As many digits of both as people write; longer ones are names and no numbers.
        let fits =
            |digits: &str| (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !fits(of) || !fits(number) || stem.is_empty() {
            return None;
        }
        let set = Self { stem: stem.into(), digits: of.len(), of: of.parse().ok()?, found: BTreeSet::new() };
        let number = number.parse().ok()?;
        // Others are names like any.
        (set.file(number) == name && (1..=set.of).contains(&number)).then_some((set, number))
    }

    fn number_of(&self, name: &str) -> Option<usize> {
        Self::of(name)
            .filter(|(set, _)| (&set.stem, set.digits, set.of) == (&self.stem, self.digits, self.of))
            .map(|f| f.1)
    }

    fn file(&self, number: usize) -> String {
        let Self { stem, digits, of, .. } = self;
        format!("{stem}-{number:0digits$}-of-{of:0digits$}{FILE_SUFFIX}")
    }

    /// All of its files, where all are there.
    fn layout(&self, folder: &Path) -> Result<Layout> {
        let missing: Vec<usize> =
            (1..=self.of).filter(|number| !self.found.contains(number)).take(7).collect();
        if !missing.is_empty() {
            let missing: Vec<String> = missing.into_iter().map(|number| self.file(number)).collect();
            let (found, of) = (self.found.len(), self.of);
            let reason = format!(
                "{found} of {of} shards are here, the download is incomplete: missing {}",
                list(&missing)
            );
            return Err(Error::file(folder.join(self.file(1)), reason));
        }
        Ok(Layout::Files((1..=self.of).map(|number| folder.join(self.file(number))).collect()))
    }
}

/// The weight files that are a model each, and the sets of shards.
fn files_and_sets(names: &[String]) -> (Vec<&String>, Vec<Set>) {
    let (mut files, mut sets) = (Vec::new(), Vec::<Set>::new());
    for name in names.iter().filter(|n| n.ends_with(FILE_SUFFIX)) {
        match Set::of(name) {
            None => files.push(name),
            Some((mut set, number)) => match sets.iter_mut().find(|set| set.number_of(name).is_some()) {
                Some(known) => drop(known.found.insert(number)),
                None => {
                    set.found.insert(number);
                    sets.push(set);
                }
            },
        }
    }
    (files, sets)
}

/// Names in a folder, sorted, without hidden ones.
pub(crate) fn file_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for item in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let item = item.map_err(|e| Error::io(folder, e))?;
        // Hidden ones are an editor's or a system's, such as the `._` files that macOS leaves beside each.
        names.extend(item.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
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
    let shards: BTreeSet<&String> = weight_map.values().collect();
    let missing: Vec<String> =
        shards.iter().filter(|shard| !folder.join(shard).exists()).map(|s| (*s).clone()).collect();
    if !missing.is_empty() {
        let (count, all) = (missing.len(), shards.len());
        let reason = format!(
            "{count} of its {all} shards are not here, the download is incomplete: {}",
            list(&missing)
        );
        return Err(Error::file(index, reason));
    }
    Ok(Layout::Sharded { folder, index: index.to_path_buf(), weight_map })
}

/// True for a file name without any path in it, on every platform: an index must not reach outside its
/// folder, and a downloaded index is not trusted.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\', ':', '\0'])
}
