//! `dx = (g − mean(g) − x̂ mean(g x̂)) / sqrt(variance + eps)` with `g = dy (scale + unit)` over each row: the gradient
//! of [`layer_norm`](super::layer_norm()) by `x`. Mean, variance and `x̂` are computed again from `x`.
//!
//! Shapes: `x, dy, dx (rows, cols)`; `scale (groups, cols)` in f32; row `r` uses group `r / (rows / groups)`. Memory
//! written: `dx`.
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
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Sizes and options of a layer norm's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormBackward {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row is normalised.
    pub cols: usize,
    /// Number of scale vectors, for equal runs of rows.
    pub groups: usize,
    /// The forward multiplied by `1 + scale` rather than `scale`.
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

impl fmt::Display for LayerNormBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, groups, modulated, eps } = self;
        let kind = if *modulated { "modulated" } else { "affine" };
        write!(f, "layer_norm_backward(rows={rows},cols={cols},{kind},groups={groups},eps={eps})")
    }
}

impl Kernel for LayerNormBackward {
    const STEM: &'static str = "layer_norm_backward";
    const SHADER: Source = wgsl!("rowwise/layer_norm_backward.wgsl");

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
            Slot::read("dy", [rows, cols]),
            Slot::write("dx", [rows, cols]),
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
        Work { flops: 16.0 * n, bytes: 12.0 * n + 4.0 * (self.groups * self.cols) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for LayerNormBackward {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "gradient of layer_norm by its input";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { rows, cols, groups, modulated, eps } = *self;
        let [x, scale, dy] = inputs else { return Vec::new() };
        let unit = f64::from(u8::from(modulated));
        let mut dx = Array::zeros([rows, cols]);
        for (r, dx) in dx.data.chunks_exact_mut(cols).enumerate() {
            let row = r * cols..(r + 1) * cols;
            let (x, dy) = (&x.data[row.clone()], &dy.data[row]);
            let (mean, reciprocal) = moments(x, eps);
            let at = r / (rows / groups) * cols;
            let g: Vec<f64> = dy.iter().enumerate().map(|(i, dy)| dy * (scale.data[at + i] + unit)).collect();
            let xhat: Vec<f64> = x.iter().map(|x| (x - mean) * reciprocal).collect();
            let g_mean = g.iter().sum::<f64>() / cols as f64;
            let gx_mean = dot(&g, &xhat) / cols as f64;
            for (i, dx) in dx.iter_mut().enumerate() {
                *dx = (g[i] - g_mean - xhat[i] * gx_mean) * reciprocal;
            }
        }
        vec![dx]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { rows, cols, groups, .. } = *self;
        let mut x = inputs::normal(rng, [rows, cols], 1.0);
        add_offsets(&mut x, cols);
        // A row with little spread: next to a variance near one, a wrong eps would not show.
        if let Some(row) = x.data.chunks_exact_mut(cols).nth(3) {
            row.iter_mut().for_each(|v| *v *= 0.05);
        }
        inputs::enlarge(&mut x, cols);
        vec![x, inputs::tame(rng, [groups, cols], 1.0), inputs::normal(rng, [rows, cols], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // A row of one column has no spread: its terms cancel exactly but for their rounding, times 1 / sqrt(eps).
        let reason = "differences of terms up to 4 at outliers, each a sum in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 4.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let Self { rows, cols, groups, modulated, eps } = *self;
        let unit = f64::from(u8::from(modulated));
        Some(Gradient::of("layer_norm", vec![(0, 0)], move |inputs| {
            let [x, scale, dy] = inputs else { return f64::NAN };
            let of_row = |r: usize| {
                let (mean, reciprocal) = moments(&x.data[r * cols..(r + 1) * cols], eps);
                let at = r / (rows / groups) * cols;
                let term = |i: usize| {
                    let y = (x.data[r * cols + i] - mean) * reciprocal * (scale.data[at + i] + unit);
                    y * dy.data[r * cols + i]
                };
                (0..cols).map(term).sum::<f64>()
            };
            (0..rows).map(of_row).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols, groups, modulated| Self { rows, cols, groups, modulated, eps: 1e-6 };
        vec![
            case(1, 1, 1, false),
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

/// Gradient by `x` of [`layer_norm`](super::layer_norm()) from the gradient `dy` by its result, both `(…, cols)`; right
/// for the same rows.
///
/// # Errors
/// As for [`layer_norm`](super::layer_norm()), and [`Error::Input`](crate::Error::Input) for a `dy` of another size.
pub fn layer_norm_backward(
    x: &Tensor,
    scale: &Tensor,
    dy: &Tensor,
    modulated: bool,
    eps: f32,
) -> Result<Tensor> {
    let (rows, cols) = rows_of(LayerNormBackward::STEM, x)?;
    let scale = vectors(LayerNormBackward::STEM, "scale", scale, cols)?;
    let groups = scale.len() / cols;
    let context = x.context();
    let dx = Tensor::empty(context, x.shape().clone(), x.dtype())?;
    let flat = |t: &Tensor| t.reshape([rows, cols]);
    let (x_rows, dy_rows, dx_rows) = (flat(x)?, flat(dy)?, flat(&dx)?);
    for piece in pieces(context.caps(), rows, cols * x.dtype().size(), groups) {
        let problem = LayerNormBackward { rows: piece.rows, cols, groups: piece.groups, modulated, eps };
        let cut = |t: &Tensor| t.narrow(piece.row, piece.rows);
        let scale = scale.narrow(piece.group, piece.groups)?;
        run(context, &problem, &[&cut(&x_rows)?, &scale, &cut(&dy_rows)?, &cut(&dx_rows)?])?;
    }
    Ok(dx)
}
