//! Tensors and the state of a run in one file, that is whole or not there.

use crate::weights::write::serialized;
use crate::weights::write_whole;
use crate::{Error, Result, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// Writes f32 tensors by name as safetensors, with a text under `state` among the metadata.
pub(super) async fn write(path: &Path, tensors: Vec<(String, Tensor)>, state: Option<String>) -> Result<()> {
    let mut parts = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let bytes: Vec<u8> = tensor.to_vec().await?.iter().flat_map(|v| v.to_le_bytes()).collect();
        parts.push((name, tensor.dims().to_vec(), bytes));
    }
    let metadata = state.map(|state| HashMap::from([("state".to_owned(), state)]));
    write_whole(path, &serialized(path, &parts, metadata)?)
}

/// The text under `state` of a file that [`write`] made.
pub(super) fn state(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let (_, header) =
        safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| Error::file(path, e.to_string()))?;
    let found = header.metadata().as_ref().and_then(|m| m.get("state").cloned());
    found
        .ok_or_else(|| Error::file(path, "no `state` among its metadata: not a checkpoint of a training run"))
}
