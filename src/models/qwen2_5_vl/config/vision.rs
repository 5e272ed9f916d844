//! Sizes of the vision tower.

use std::ops::RangeInclusive;

use super::super::{Grid, units};
use super::MAX_WIDTH;
use crate::Result;
use crate::weights::ConfigFile;

/// Epsilon of the vision tower's RMS norms, which no file states.
pub const VISION_EPS: f32 = 1e-6;

/// Sizes of the vision tower and of the merger behind it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QwenVisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of a patch's stream.
    pub hidden_size: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Width of what the merger hands to the language model; its `hidden_size`.
    pub out_hidden_size: usize,
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// Frames of a patch.
    pub temporal_patch_size: usize,
    /// Patches along a side of the square that becomes one token.
    pub merge_size: usize,
    /// Pixels along a side of an attention window; a multiple of `patch_size * merge_size`.
    pub window_size: usize,
    /// Blocks that attend over a whole temporal slice instead of a window; ascending.
    pub full_attention: Vec<usize>,
    /// Temporal positions a second. The published 3B and 7B files say 2. Where a file does not say, this
    /// is 4, the default of transformers' class: such a file's times are then spread twice as wide as the
    /// published models', so a checkpoint that was tuned from one and lost the key wants it put back.
    pub tokens_per_second: usize,
}

impl QwenVisionConfig {
    /// The tower of every published size; the merger's output is what differs.
    pub(super) fn published(out_hidden_size: usize) -> Self {
        Self {
            depth: 32,
            hidden_size: 1280,
            heads: 16,
            intermediate_size: 3420,
            out_hidden_size,
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            window_size: 112,
            full_attention: vec![7, 15, 23, 31],
            tokens_per_second: 2,
        }
    }

    pub(super) fn from_config(file: &ConfigFile) -> Result<Self> {
        file.require_one_of("model_type", &["qwen2_5_vl", "qwen2_5_vl_vision"])?;
        file.require_one_of("hidden_act", &["silu"])?;
        let heads = file.usize("num_heads", 1..=4096)?;
        let hidden_size = file.usize("hidden_size", 1..=MAX_WIDTH)?;
        super::head_of(file, "num_heads", heads, hidden_size)?;
        // Two names for one size: the published file's and the class's.
        either(file, "in_chans", "in_channels", 3, 3..=3)?;
        let patch_size = either(file, "patch_size", "spatial_patch_size", 14, 1..=256)?;
        let merge_size = file.usize_or("spatial_merge_size", 2, 1..=16)?;
        let window_size = file.usize_or("window_size", 112, 1..=1 << 16)?;
        if !window_size.is_multiple_of(patch_size * merge_size) {
            return Err(file.refuse(format!(
                "`window_size`: expected a multiple of {}, a token's side in pixels, found {window_size}",
                patch_size * merge_size
            )));
        }
        let depth = file.usize("depth", 1..=1024)?;
        Ok(Self {
            depth,
            hidden_size,
            heads,
            intermediate_size: file.usize("intermediate_size", 1..=MAX_WIDTH)?,
            out_hidden_size: file.usize("out_hidden_size", 1..=MAX_WIDTH)?,
            patch_size,
            temporal_patch_size: file.usize_or("temporal_patch_size", 2, 1..=16)?,
            merge_size,
            window_size,
            full_attention: full_attention(file, depth)?,
            tokens_per_second: file.usize_or("tokens_per_second", 4, 1..=1 << 16)?,
        })
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.heads.max(1)
    }

    /// Values of one patch row: three channels of `temporal_patch_size` frames of a square of pixels.
    pub fn patch_values(&self) -> usize {
        3 * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Tokens that a grid of patches becomes.
    ///
    /// # Errors
    /// [`crate::Error::Input`] where a size is zero, not a multiple of `merge_size`, or too large.
    pub fn tokens(&self, grid: Grid) -> Result<usize> {
        Ok(units("grid", grid, self.merge_size)?.iter().product())
    }
}

/// One size under two names, which must not disagree.
fn either(
    file: &ConfigFile,
    key: &str,
    other: &str,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize> {
    let value = file.usize_or(other, default, range.clone())?;
    if !file.has(key) {
        return Ok(value);
    }
    let first = file.usize(key, range)?;
    if file.has(other) && first != value {
        return Err(file.refuse(format!("`{other}`: expected {first}, as `{key}` says, found {value}")));
    }
    Ok(first)
}

/// The blocks with full attention: published ones where the file does not say.
fn full_attention(file: &ConfigFile, depth: usize) -> Result<Vec<usize>> {
    const KEY: &str = "fullatt_block_indexes";
    let blocks: Option<Vec<u64>> = match file.get(KEY) {
        None => Some(vec![7, 15, 23, 31]),
        Some(value) => value.as_array().and_then(|all| all.iter().map(serde_json::Value::as_u64).collect()),
    };
    let Some(mut blocks) = blocks else {
        return Err(file.refuse(format!("`{KEY}`: expected a list of blocks, found something else")));
    };
    blocks.sort_unstable();
    blocks.dedup();
    if let Some(block) = blocks.iter().find(|b| **b >= depth as u64) {
        return Err(file.refuse(format!("`{KEY}`: expected blocks below `depth` {depth}, found {block}")));
    }
    Ok(blocks.into_iter().map(|b| b as usize).collect())
}
