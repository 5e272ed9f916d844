//! Between ids or pixels and rows of tokens.

pub mod embedding;
pub mod patchify;
pub mod pick_indices;
pub mod rotary;
mod row_map;
pub mod sum_rows;
pub mod unpatchify;
#[cfg(feature = "verify")]
mod verified;

pub use embedding::{Embedding, embedding, embedding_of};
pub use patchify::{Patchify, patchify};
pub use pick_indices::{PickIndices, pick_indices};
pub use rotary::{Pairs, Rotary, RotaryPositions, rotary, rotary_backward, rotary_table};
pub use row_map::RowMap;
pub use sum_rows::{SumRows, sum_rows};
pub use unpatchify::{Unpatchify, unpatchify};

use crate::gpu::Caps;
use crate::kernels::{GRID, Launch, Variant, elems, grid, lanes};
use crate::shader::Source;
use crate::{Error, Result, wgsl};
use std::fmt;

/// What a video is cut into.
const PATCHES: Source = wgsl!("token/patches.wgsl");

/// Order of the features inside a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatchOrder {
    /// `(channel, frame, row, column)`: what a convolution over patches reads.
    ChannelFirst,
    /// `(frame, row, column, channel)`: what Wan's head writes.
    ChannelLast,
}

/// A video `(channels, frames, height, width)` cut into patches. Tokens are row-major over the patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Patches {
    /// Channels.
    pub channels: usize,
    /// Frames.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Size of a patch along frames, rows and columns.
    pub patch: [usize; 3],
    /// Order of the features.
    pub order: PatchOrder,
}

impl fmt::Display for Patches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, frames, height, width, patch: [pt, ph, pw], order } = self;
        write!(f, "c={channels},f={frames},h={height},w={width},patch={pt}x{ph}x{pw},order={order:?}")
    }
}

impl Patches {
    /// Sizes of the video.
    pub fn video_dims(&self) -> [usize; 4] {
        [self.channels, self.frames, self.height, self.width]
    }

    /// Number of tokens and of features of a token. Sizes that the kernels refuse saturate.
    pub fn token_dims(&self) -> [usize; 2] {
        let features = self.patch.into_iter().fold(self.channels, usize::saturating_mul);
        let video = self.video_dims().into_iter().fold(1, usize::saturating_mul);
        [video / features.max(1), features]
    }

    fn check(&self, stem: &'static str) -> Result<()> {
        let [pt, ph, pw] = self.patch;
        let len = self.video_dims().iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if self.patch.contains(&0) || !len.is_some_and(|n| n > 0 && u32::try_from(n).is_ok()) {
            return Err(Error::problem(stem, format!("{self}: sizes are 1.. with a product below 2^32")));
        }
        for (axis, size, patch) in
            [("frames", self.frames, pt), ("height", self.height, ph), ("width", self.width, pw)]
        {
            if !size.is_multiple_of(patch) {
                return Err(Error::problem(
                    stem,
                    format!("{axis} {size} does not split into patches of {patch}"),
                ));
            }
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.video_dims().iter().product()
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let channel_first = self.order == PatchOrder::ChannelFirst;
        let variant = |elem| {
            Variant::new(elem, lanes(caps)).module(GRID).module(PATCHES).flag("CHANNEL_FIRST", channel_first)
        };
        elems(caps, 1).into_iter().map(variant).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let workgroups = self.elements().div_ceil(variant.number("WG_SIZE").max(1) as usize);
        Launch::new(&PatchParams::of(self), grid(workgroups, caps))
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct PatchParams {
    channels: u32,
    frames: u32,
    height: u32,
    width: u32,
    patch: [u32; 3],
}

impl PatchParams {
    fn of(patches: &Patches) -> Self {
        let [channels, frames, height, width] = patches.video_dims().map(|d| d as u32);
        Self { channels, frames, height, width, patch: patches.patch.map(|d| d as u32) }
    }
}
