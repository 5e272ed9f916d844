//! Tensors and the state of a run in one file, that is whole or not there.

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
    let refuse = |e: safetensors::SafeTensorError| Error::file(path, e.to_string());
    let mut views = Vec::with_capacity(parts.len());
    for (name, shape, bytes) in &parts {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        views.push((name.clone(), view.map_err(refuse)?));
    }
    let metadata = state.map(|state| HashMap::from([("state".to_owned(), state)]));
    let bytes = safetensors::tensor::serialize(views, metadata).map_err(refuse)?;
    write_whole(path, &bytes)
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
