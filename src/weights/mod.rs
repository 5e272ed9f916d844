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
mod source;
mod store;
#[cfg(test)]
mod tests;

pub use config_file::ConfigFile;
pub(crate) use config_file::without_mark;
pub use element::FileDtype;
pub use store::WeightStore;
