//! Weight files and the `config.json` beside them.
//!
//! [`WeightStore`] reads the safetensors format from one file, a sharded folder or memory;
//! [`ConfigFile`] reads the JSON next to it with errors that name the file and the key.

mod config_file;
mod element;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod file;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
pub(crate) mod foreign;
mod names;
mod scale;
mod source;
mod store;
#[cfg(test)]
mod tests;

pub use config_file::ConfigFile;
pub use element::FileDtype;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) use folder::file_names as visible_files;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub(crate) use names::warning;
pub use store::WeightStore;
