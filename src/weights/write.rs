//! Safetensors, written.

use crate::{Error, Result};
use safetensors::SafeTensorError;
use safetensors::tensor::{TensorView, serialize};
use std::collections::HashMap;
use std::path::Path;

/// A name, a shape and the bytes of f32 values.
pub(crate) type Part = (String, Vec<usize>, Vec<u8>);

/// Bytes of a file of f32 tensors; `path` stands in errors.
///
/// # Errors
/// [`Error::File`] for parts whose bytes are not those of their shape.
pub(crate) fn serialized(
    path: &Path,
    parts: &[Part],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    let refuse = |e: SafeTensorError| Error::file(path, e.to_string());
    let mut views = Vec::with_capacity(parts.len());
    for (name, shape, bytes) in parts {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).map_err(refuse)?;
        views.push((name, view));
    }
    serialize(views, metadata).map_err(refuse)
}
