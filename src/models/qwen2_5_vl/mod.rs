//! Qwen2.5-VL: questions about images and videos, answered in text.
//!
//! [`QwenVlConfig`] reads `config.json` and [`QwenVlWeights`] the checkpoint, both of either generation. [`processor`] turns
//! frames into patch rows, [`windows`] says in which order the vision tower reads them and who attends to whom, and
//! [`positions`] gives every token its three rotary positions. [`QwenVision`] and [`QwenText`] are the two halves of the model,
//! [`KvCache`] is what the latter remembers, and [`QwenVl`] holds both.
//!
//! Source: Bai et al. 2025, arXiv 2502.13923; transformers 4.49.0.

pub mod cache;
pub mod config;
pub mod keys;
mod model;
pub mod positions;
pub mod processor;
pub mod text;
pub mod vision;
pub mod windows;

pub use cache::KvCache;
pub use config::{QwenVisionConfig, QwenVlConfig, VisualTokens};
pub use keys::{QwenVlFormat, QwenVlParam, QwenVlWeights};
pub use model::QwenVl;
pub use positions::{MropePositions, MropeRule, VideoGrid, mrope_positions};
pub use text::{Placement, QwenText, Seen, Watch};
pub use vision::{QwenVision, SlicePlan};
pub use windows::WindowOrder;

use crate::{Error, Result};

/// Patches of one image or video along time, height and width, before 2 × 2 of them are merged into a token.
pub type Grid = [usize; 3];

/// Bound on the patch rows of one image or video: far above what a context of tokens holds, far below what overflows.
pub(crate) const MAX_ROWS: usize = 1 << 24;

/// Units of `merge` × `merge` patches along time, height and width: what becomes one token each.
///
/// # Errors
/// [`Error::Input`] naming `what` where a size is zero, `merge` does not divide it, or all are too many.
pub(crate) fn units(what: &str, grid: Grid, merge: usize) -> Result<Grid> {
    let [t, h, w] = grid;
    let rows = grid.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
    if !rows.is_some_and(|n| (1..=MAX_ROWS).contains(&n)) {
        let reason = format!("expected a grid of 1 ..= {MAX_ROWS} patches, found {t} × {h} × {w}");
        return Err(Error::input(what, reason));
    }
    if merge == 0 || h % merge != 0 || w % merge != 0 {
        let reason = format!("expected height and width in multiples of {merge} patches, found {h} × {w}");
        return Err(Error::input(what, reason));
    }
    Ok([t, h / merge, w / merge])
}
