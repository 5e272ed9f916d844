//! `y = residual + x̂ scale + shift` with `x̂ = (x − mean) / sqrt(variance + eps)` over each row: the norm lies on the
//! branch and not on the sum. The gradient by `x` is [`layer_norm_backward`](super::layer_norm_backward())'s, that by
//! `residual` is `dy`.
//!
//! Shapes: `x, residual, y (rows, cols)`; `scale, shift (cols)` in f32. Memory written: `y`.
//!
//! Errors: no columns, 2³² elements or more, `eps` not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{MOMENTS, Operand, by_rows, check_positive, check_size, norm_variants, pack, rows_of, vectors};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, grid};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Sizes and options.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchNorm {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row is normalised.
    pub cols: usize,
    /// Added to the variance.
    pub eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    packs: u32,
    eps: f32,
}

impl fmt::Display for BranchNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, eps } = self;
        write!(f, "branch_norm(rows={rows},cols={cols},eps={eps})")
    }
}

impl Kernel for BranchNorm {
    const STEM: &'static str = "branch_norm";
    const SHADER: Source = wgsl!("rowwise/branch_norm.wgsl");

    fn check(&self) -> Result<()> {
        check_size(Self::STEM, self.rows, self.cols)?;
        check_positive(Self::STEM, "eps", self.eps)
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { rows, cols, .. } = *self;
        vec![
            Slot::read("x", [rows, cols]),
            Slot::read("scale", [1, cols]).f32(),
            Slot::read("shift", [1, cols]).f32(),
            Slot::read("residual", [rows, cols]),
            Slot::write("y", [rows, cols]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        norm_variants(caps, self.cols, pack(self.cols), MOMENTS)
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let packs = (self.cols / pack(self.cols)) as u32;
        Launch::new(&Params { rows: self.rows as u32, packs, eps: self.eps }, grid(self.rows, caps))
    }

    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        Work { flops: 10.0 * n, bytes: 12.0 * n + 8.0 * self.cols as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for BranchNorm {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "residual plus the layer norm of a branch";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { rows, cols, eps } = *self;
        let [x, scale, shift, residual] = inputs else { return Vec::new() };
        let mut y = Array::zeros([rows, cols]);
        for (r, (x, y)) in x.data.chunks_exact(cols).zip(y.data.chunks_exact_mut(cols)).enumerate() {
            let (mean, reciprocal) = moments(x, eps);
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                let branch = (x - mean) * reciprocal * scale.data[i] + shift.data[i];
                *y = residual.data[r * cols + i] + branch;
            }
        }
        vec![y]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { rows, cols, .. } = *self;
        let x = with_offsets(rng, [rows, cols], 0.005, true);
        let vector = |rng: &mut Pcg64| inputs::tame(rng, [1, cols], 1.0);
        vec![x, vector(rng), vector(rng), inputs::normal(rng, [rows, cols], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "sums of cols terms and WGSL's 2.5-ulp quotient and root, in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 1.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols| Self { rows, cols, eps: 1e-5 };
        vec![case(1, 1), case(0, 8), case(6, 33), case(5, 128), case(9, 1100), case(20, 68)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 clips of vision", Self { rows: 16 * 501, cols: 128, eps: 1e-5 })]
    }
}

/// `residual` plus the layer norm of `x (…, cols)` over its last axis with f32 `scale`, `shift` `(cols)`; the norm is
/// right for the rows that [`layer_norm`](super::layer_norm()) is right for.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for no column and an `eps` that is not finite and above zero,
/// [`Error::Input`](crate::Error::Input) for a `residual` of another size; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn branch_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    residual: &Tensor,
    eps: f32,
) -> Result<Tensor> {
    let (_, cols) = rows_of(BranchNorm::STEM, x)?;
    let vector = |name, t: &Tensor| vectors(BranchNorm::STEM, name, t, cols);
    let (scale, shift) = (vector("scale", scale)?, vector("shift", shift)?);
    let operands = [
        Operand::Rows(x),
        Operand::Whole(&scale),
        Operand::Whole(&shift),
        Operand::Rows(residual),
        Operand::Result,
    ];
    by_rows(x, 1, &operands, |piece| BranchNorm { rows: piece.rows, cols, eps })
}
