//! Weight files and the `config.json` beside them.
//!
//! [`WeightStore`] reads the safetensors format from one file, a sharded folder or memory;
//! [`ConfigFile`] reads the JSON next to it with errors that name the file and the key. What a run writes is written whole by
//! `write_whole`, in a folder that `FolderLock` keeps to one run at a time; answers that come one by one are lines of a `LineLog`.

mod config_file;
mod element;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod file;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
pub(crate) mod foreign;
#[cfg(not(target_arch = "wasm32"))]
mod line_log;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod lock;
mod names;
mod scale;
mod source;
mod store;
#[cfg(test)]
mod tests;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod write;

pub use config_file::ConfigFile;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) use config_file::without_mark;
pub use element::FileDtype;
#[cfg(not(target_arch = "wasm32"))]
pub use file::{require_writable, write_whole};
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) use folder::{choose, file_names as visible_files};
#[cfg(not(target_arch = "wasm32"))]
pub use line_log::LineLog;
#[cfg(not(target_arch = "wasm32"))]
pub use lock::FolderLock;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) use names::warning;
pub use store::WeightStore;
