//! `y = x scale`: each column of a row times its group's factor. The gradient of a gated residual
//! `residual + gate ⊙ h` by `h`.
//!
//! Shapes: `x, y (rows, cols)`; `scale (groups, cols)` in f32; row `r` uses group `r / (rows / groups)`. Memory
//! written: `y`.
//!
//! Errors: no columns, more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors), groups that do not
//! divide the rows.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{Operand, by_rows, check_groups, check_len, groups_for, pack, rows_of, variant, vectors};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes of a scaling of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelScale {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Number of scale vectors, for equal runs of rows.
    pub groups: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
    row_packs: u32,
    group_packs: u32,
}

impl fmt::Display for ChannelScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, groups } = self;
        write!(f, "channel_scale(rows={rows},cols={cols},groups={groups})")
    }
}

impl Kernel for ChannelScale {
    const STEM: &'static str = "channel_scale";
    const SHADER: Source = wgsl!("elementwise/channel_scale.wgsl");

    fn check(&self) -> Result<()> {
        let Self { rows, cols, groups } = *self;
        if cols == 0 {
            return Err(Error::problem(Self::STEM, "x has no columns"));
        }
        check_len(Self::STEM, rows.saturating_mul(cols))?;
        check_groups(Self::STEM, rows, groups)
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { rows, cols, groups } = *self;
        vec![
            Slot::read("x", [rows, cols]),
            Slot::read("scale", [groups, cols]).f32(),
            Slot::write("y", [rows, cols]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, pack(self.cols)).into_iter().map(|elem| variant(caps, elem, self.cols)).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let row_packs = self.cols / pack(self.cols);
        let packs = self.rows * row_packs;
        let params = Params {
            packs: packs as u32,
            row_packs: row_packs as u32,
            group_packs: (packs / self.groups.max(1)) as u32,
        };
        Launch::new(&params, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        Work { flops: n, bytes: 8.0 * n + 4.0 * (self.groups * self.cols) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for ChannelScale {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "columns times the scale vector of their group of rows";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { rows, cols, groups } = *self;
        let [x, scale] = inputs else { return Vec::new() };
        let of_group = |i: usize| scale.data[i / cols / (rows / groups) * cols + i % cols];
        vec![Array::from_fn([rows, cols], |i| x.data[i] * of_group(i))]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { rows, cols, groups } = *self;
        vec![inputs::normal(rng, [rows, cols], 1.0), inputs::tame(rng, [groups, cols], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "one product, rounded once";
        vec![Tolerance::for_elem(elem, 2e-7, 1e-3, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols, groups| Self { rows, cols, groups };
        vec![
            case(1, 1, 1),
            case(0, 8, 1),
            case(7, 33, 7),
            case(6, 64, 2),
            case(10, 515, 5),
            case(12, 1536, 3),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |rows| Self { rows, cols: 1536, groups: 1 };
        vec![("wan-1.3b frame", case(1560)), ("wan-1.3b 480p", case(32_760))]
    }
}

/// Columns of `x` (its last axis) times `scale`, one f32 vector a group of rows.
pub fn channel_scale(x: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let (_, cols) = rows_of(ChannelScale::STEM, x)?;
    let scale = vectors(ChannelScale::STEM, "scale", scale, cols)?;
    let operands = [Operand::Rows(x), Operand::Groups(&scale), Operand::Result];
    by_rows(x, scale.len() / cols, &operands, |piece| ChannelScale {
        rows: piece.rows,
        cols,
        groups: piece.groups,
    })
}
