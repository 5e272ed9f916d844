//! Keys and values of the tokens so far, a pair of tensors a block.

use super::config::QwenVlConfig;
use crate::gpu::Context;
use crate::kernels::token::embedding_of;
use crate::{Dtype, Error, Result, Tensor};
use std::ops::Range;

#[derive(Debug)]
struct Layer {
    /// `(capacity, kv_heads, head_dim)`
    k: Tensor,
    v: Tensor,
    len: usize,
}

/// Keys and values of every block. Blocks may hold different numbers of tokens, where some were left out from a block on.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    capacity: usize,
}

impl KvCache {
    pub(super) fn new(context: &Context, c: &QwenVlConfig, capacity: usize, dtype: Dtype) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::input("cache", "a capacity of no token"));
        }
        let plane = || Tensor::empty(context, [capacity, c.kv_heads, c.head_dim()], dtype);
        let layer = |_| Ok(Layer { k: plane()?, v: plane()?, len: 0 });
        Ok(Self { layers: (0..c.layers).map(layer).collect::<Result<_>>()?, capacity })
    }

    /// Tokens that it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens of a block.
    pub fn len(&self, layer: usize) -> usize {
        self.layers.get(layer).map_or(0, |layer| layer.len)
    }

    /// True where no block holds a token.
    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|layer| layer.len == 0)
    }

    /// Bytes of keys and values that are in use: those of tokens that were left out are not.
    pub fn bytes_in_use(&self) -> u64 {
        let used = |layer: &Layer| {
            let token: usize = layer.k.dims().iter().skip(1).product();
            2 * (layer.len * token * layer.k.dtype().size()) as u64
        };
        self.layers.iter().map(used).sum()
    }

    /// Forgets all but the first `len` tokens of every block.
    pub fn truncate(&mut self, len: usize) {
        self.layers.iter_mut().for_each(|layer| layer.len = layer.len.min(len));
    }

    /// Forgets what came behind each block's first `lens`.
    pub(crate) fn restore(&mut self, lens: &[usize]) {
        self.layers.iter_mut().zip(lens).for_each(|(layer, &len)| layer.len = layer.len.min(len));
    }

    /// Refuses blocks that hold different numbers of tokens and more tokens than there is room for.
    pub(super) fn require(&self, layers: Range<usize>, tokens: usize) -> Result<()> {
        let lens: Vec<usize> = layers.clone().map(|layer| self.len(layer)).collect();
        let len = lens.first().copied().unwrap_or(0);
        if lens.iter().any(|n| *n != len) {
            return Err(Error::input(
                "cache",
                format!("blocks {layers:?} hold {lens:?} tokens, not as many each"),
            ));
        }
        if len.checked_add(tokens).is_none_or(|n| n > self.capacity) {
            let reason = format!("{tokens} tokens behind {len} do not fit its {}", self.capacity);
            return Err(Error::input("cache", reason));
        }
        Ok(())
    }

    /// Puts tokens behind the block's last; all its keys and values.
    pub(super) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let capacity = self.capacity;
        let refuse = |reason: String| Err(Error::input("cache", reason));
        let Some(layer) = self.layers.get_mut(layer) else { return refuse(format!("no block {layer}")) };
        let count = k.dims().first().copied().unwrap_or(0);
        let end = layer.len + count;
        if end > capacity {
            return refuse(format!("{count} tokens behind {} do not fit its {capacity}", layer.len));
        }
        k.copy_to(&layer.k.narrow(layer.len, count)?)?;
        v.copy_to(&layer.v.narrow(layer.len, count)?)?;
        layer.len = end;
        Ok((layer.k.narrow(0, end)?, layer.v.narrow(0, end)?))
    }

    /// Keeps of the blocks `layers` the tokens `ids (count)`, u32 on the device and ascending, and forgets the others.
    ///
    /// # Errors
    /// [`Error::Input`] for more ids than a block has tokens; otherwise those of the kernels.
    pub fn keep(&mut self, layers: Range<usize>, ids: &Tensor) -> Result<()> {
        let count = ids.len();
        let of = self.layers.len();
        let Some(layers) = self.layers.get_mut(layers.clone()) else {
            return Err(Error::input("cache", format!("blocks {layers:?} of {of}")));
        };
        if let Some(layer) = layers.iter().find(|layer| layer.len < count) {
            return Err(Error::input("cache", format!("{count} tokens of {} cannot be kept", layer.len)));
        }
        for layer in layers {
            for plane in [&layer.k, &layer.v] {
                let width: usize = plane.dims().iter().skip(1).product();
                let rows = plane.narrow(0, layer.len)?.reshape([layer.len, width])?;
                let kept = embedding_of(&rows, ids)?;
                kept.copy_to(&plane.narrow(0, count)?.reshape([count, width])?)?;
            }
            layer.len = count;
        }
        Ok(())
    }
}
