//! `y = x̂ (scale + unit) + shift` with `x̂ = (x − mean) / sqrt(variance + eps)` over each row; `unit` is 1 when
//! modulated (Wan's adaptive norm) and 0 for an ordinary affine norm.
//!
//! Shapes: `x, y (rows, cols)`; `scale, shift (groups, cols)` in f32; row `r` uses group `r / (rows / groups)`. The
//! variance is the mean of squares (not the unbiased estimate). Memory written: `y`.
//!
//! Errors: no columns, 2³² elements or more, groups that do not divide the rows, `eps` not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{
    MOMENTS, check_groups, check_positive, check_size, norm_variants, pack, pieces, rows_of, vectors,
};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, grid, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes and options of a layer norm.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row is normalised.
    pub cols: usize,
    /// Number of scale and shift vectors, for equal runs of rows.
    pub groups: usize,
    /// Multiply by `1 + scale` rather than `scale`.
    pub modulated: bool,
    /// Added to the variance.
    pub eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    packs: u32,
    rows_per_group: u32,
    eps: f32,
    unit: f32,
}

impl fmt::Display for LayerNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, groups, modulated, eps } = self;
        let kind = if *modulated { "modulated" } else { "affine" };
        write!(f, "layer_norm(rows={rows},cols={cols},{kind},groups={groups},eps={eps})")
    }
}

impl Kernel for LayerNorm {
    const STEM: &'static str = "layer_norm";
    const SHADER: Source = wgsl!("rowwise/layer_norm.wgsl");

    fn check(&self) -> Result<()> {
        check_size(Self::STEM, self.rows, self.cols)?;
        check_groups(Self::STEM, self.rows, self.groups)?;
        check_positive(Self::STEM, "eps", self.eps)
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { rows, cols, groups, .. } = *self;
        vec![
            Slot::read("x", [rows, cols]),
            Slot::read("scale", [groups, cols]).f32(),
            Slot::read("shift", [groups, cols]).f32(),
            Slot::write("y", [rows, cols]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        norm_variants(caps, self.cols, pack(self.cols), MOMENTS)
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let params = Params {
            rows: self.rows as u32,
            packs: (self.cols / pack(self.cols)) as u32,
            rows_per_group: (self.rows / self.groups.max(1)) as u32,
            eps: self.eps,
            unit: f32::from(u8::from(self.modulated)),
        };
        Launch::new(&params, grid(self.rows, caps))
    }

    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        Work { flops: 9.0 * n, bytes: 8.0 * (n + (self.groups * self.cols) as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for LayerNorm {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "layer norm, affine or modulated by scale and shift of a group of rows";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { rows, cols, groups, modulated, eps } = *self;
        let [x, scale, shift] = inputs else { return Vec::new() };
        let unit = f64::from(u8::from(modulated));
        let mut y = Array::zeros([rows, cols]);
        for (r, (x, y)) in x.data.chunks_exact(cols).zip(y.data.chunks_exact_mut(cols)).enumerate() {
            let (mean, reciprocal) = moments(x, eps);
            let at = r / (rows / groups) * cols;
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                *y = (x - mean) * reciprocal * (scale.data[at + i] + unit) + shift.data[at + i];
            }
        }
        vec![y]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { rows, cols, groups, .. } = *self;
        let mut x = inputs::normal(rng, [rows, cols], 1.0);
        add_offsets(&mut x, cols);
        // A row with little spread: next to a variance near one, a wrong eps would not show.
        if let Some(row) = x.data.chunks_exact_mut(cols).nth(3) {
            row.iter_mut().for_each(|v| *v *= 0.002);
        }
        // A constant row has no spread: only eps keeps it finite.
        if let Some(row) = x.data.chunks_exact_mut(cols).nth(2) {
            row.fill(0.7);
        }
        inputs::enlarge(&mut x, cols);
        vec![x, inputs::tame(rng, [groups, cols], 1.0), inputs::tame(rng, [groups, cols], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "sums of cols terms and WGSL's 2.5-ulp quotient and root, in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 1.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols, groups, modulated| Self { rows, cols, groups, modulated, eps: 1e-6 };
        vec![
            case(1, 1, 1, false),
            case(0, 8, 1, false),
            case(5, 64, 1, true),
            case(20, 68, 2, true),
            // Sums by blocks.
            case(1, 33_004, 1, false),
            case(6, 33, 2, true),
            case(3, 131, 1, false),
            case(4, 1536, 2, true),
            case(9, 1100, 3, false),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |rows| Self { rows, cols: 1536, groups: 1, modulated: true, eps: 1e-6 };
        vec![("wan-1.3b frame", case(1560)), ("wan-1.3b 480p", case(32_760))]
    }
}

/// Layer norm over the last axis of `x (…, cols)`; `scale` and `shift` hold one f32 vector a group of rows, `(cols)` or
/// `(groups, cols)`. Right for every row of finite f32, however large or small its values; a row that holds a NaN is NaN
/// throughout.
///
/// # Errors
/// [`Error::Problem`] for no column, an `eps` that is not finite and above zero, and groups that differ or do not
/// divide the rows; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, modulated: bool, eps: f32) -> Result<Tensor> {
    let (rows, cols) = rows_of(LayerNorm::STEM, x)?;
    let (scale, shift) =
        (vectors(LayerNorm::STEM, "scale", scale, cols)?, vectors(LayerNorm::STEM, "shift", shift, cols)?);
    let groups = scale.len() / cols;
    if shift.shape() != scale.shape() {
        let reason = format!("scale {} and shift {} differ in their groups", scale.shape(), shift.shape());
        return Err(Error::problem(LayerNorm::STEM, reason));
    }
    let context = x.context();
    let y = Tensor::empty(context, x.shape().clone(), x.dtype())?;
    let (x_rows, y_rows) = (x.reshape([rows, cols])?, y.reshape([rows, cols])?);
    for piece in pieces(context.caps(), rows, cols * x.dtype().size(), groups) {
        let problem = LayerNorm { rows: piece.rows, cols, groups: piece.groups, modulated, eps };
        let x = x_rows.narrow(piece.row, piece.rows)?;
        let scale = scale.narrow(piece.group, piece.groups)?;
        let shift = shift.narrow(piece.group, piece.groups)?;
        run(context, &problem, &[&x, &scale, &shift, &y_rows.narrow(piece.row, piece.rows)?])?;
    }
    Ok(y)
}
