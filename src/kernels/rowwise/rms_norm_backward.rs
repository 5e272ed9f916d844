//! `dx = r weight g − x r³ / cols Σ(weight g x)` with `r = 1 / sqrt(mean(x²) + eps)` over each row: the gradient of
//! [`rms_norm`](super::rms_norm()) by `x`, where `g` is `dy` turned back by the token's angle.
//!
//! Shapes: `x, dy, dx (rows, cols)`; `weight (cols)` in f32; `rope_table (positions, head_dim / 2, 2)` in f32. Memory
//! written: `dx`.
//!
//! Errors: those of [`rms_norm`](super::rms_norm()).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{MEAN_SQUARE, Rope, RopeAt, check_positive, check_size, norm_variants, pack, pieces, rows_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, grid, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Sizes and options of an RMS norm's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNormBackward {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row is normalised.
    pub cols: usize,
    /// Added to the mean square.
    pub eps: f32,
    /// Rotary position of the forward.
    pub rope: Option<Rope>,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    packs: u32,
    eps: f32,
    head_pairs: u32,
    frames: u32,
    height: u32,
    width: u32,
    first_token: u32,
}

impl fmt::Display for RmsNormBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, eps, rope } = self;
        write!(f, "rms_norm_backward(rows={rows},cols={cols},eps={eps}")?;
        if let Some(Rope { heads, head_dim, grid: [t, h, w], first_token, positions }) = rope {
            write!(
                f,
                ",heads={heads},head_dim={head_dim},grid={t}x{h}x{w},first={first_token},positions={positions}"
            )?;
        }
        write!(f, ")")
    }
}

impl RmsNormBackward {
    fn pack(&self) -> usize {
        if self.rope.is_some() { 2 } else { pack(self.cols) }
    }
}

impl Kernel for RmsNormBackward {
    const STEM: &'static str = "rms_norm_backward";
    const SHADER: Source = wgsl!("rowwise/rms_norm_backward.wgsl");

    fn check(&self) -> Result<()> {
        check_size(Self::STEM, self.rows, self.cols)?;
        check_positive(Self::STEM, "eps", self.eps)?;
        self.rope.map_or(Ok(()), |rope| rope.check(Self::STEM, self.rows, self.cols))
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { rows, cols, rope, .. } = *self;
        let mut slots = vec![
            Slot::read("x", [rows, cols]),
            Slot::read("weight", [cols]).f32(),
            Slot::read("dy", [rows, cols]),
            Slot::write("dx", [rows, cols]),
        ];
        slots.extend(rope.map(|r| Slot::read("rope_table", r.table_shape()).f32()));
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let rope = |v: Variant| match self.rope {
            None => v.module(wgsl!("rowwise/rope/none.wgsl")),
            Some(_) => v.with("ROPE_BINDING", 4).module(wgsl!("rowwise/rope/three_axes.wgsl")),
        };
        norm_variants(caps, self.cols, self.pack(), MEAN_SQUARE).into_iter().map(rope).collect()
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let [frames, height, width] = self.rope.map_or([1; 3], |r| r.grid.map(|n| n as u32));
        let params = Params {
            rows: self.rows as u32,
            packs: (self.cols / self.pack()) as u32,
            eps: self.eps,
            head_pairs: self.rope.map_or(1, |r| (r.head_dim / 2) as u32),
            frames,
            height,
            width,
            first_token: self.rope.map_or(0, |r| r.first_token as u32),
        };
        Launch::new(&params, grid(self.rows, caps))
    }

    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        let table = self.rope.map_or(0, |r| r.grid.iter().max().copied().unwrap_or(0) * r.head_dim);
        let flops = if self.rope.is_some() { 12.0 } else { 9.0 };
        Work { flops: flops * n, bytes: 12.0 * n + 4.0 * (self.cols + table) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for RmsNormBackward {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "gradient of rms_norm by its input, rotary position included";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { rows, cols, eps, rope } = *self;
        let [x, weight, dy, table @ ..] = inputs else { return Vec::new() };
        let mut dx = Array::zeros([rows, cols]);
        for (r, dx) in dx.data.chunks_exact_mut(cols).enumerate() {
            let x = &x.data[r * cols..(r + 1) * cols];
            let mut g = dy.data[r * cols..(r + 1) * cols].to_vec();
            if let (Some(rope), Some(table)) = (rope, table.first()) {
                rope.turn(table, r, &mut g, -1.0);
            }
            let wg: Vec<f64> = weight.data.iter().zip(&g).map(|(w, g)| w * g).collect();
            let reciprocal = reciprocal_rms(x, eps);
            let along = reciprocal.powi(3) / cols as f64 * dot(&wg, x);
            for (i, dx) in dx.iter_mut().enumerate() {
                *dx = reciprocal * wg[i] - x[i] * along;
            }
        }
        vec![dx]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { rows, cols, rope, .. } = *self;
        let mut x = inputs::normal(rng, [rows, cols], 1.0);
        // A small row, beside which eps counts.
        if let Some(row) = x.data.chunks_exact_mut(cols).nth(3) {
            row.iter_mut().for_each(|v| *v *= 0.02);
        }
        inputs::enlarge(&mut x, cols);
        let mut all = vec![x, inputs::tame(rng, [cols], 1.0), inputs::normal(rng, [rows, cols], 1.0)];
        all.extend(rope.map(|r| r.table()));
        all
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // In short rows the two terms, of size |weight dy| / rms, nearly cancel.
        let reason = "a difference of terms up to 40 at outliers, each a sum in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 4.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let Self { rows, cols, eps, rope } = *self;
        Some(Gradient::of("rms_norm", vec![(0, 0)], move |inputs| {
            let [x, weight, dy, table @ ..] = inputs else { return f64::NAN };
            let of_row = |r: usize| {
                let x = &x.data[r * cols..(r + 1) * cols];
                let reciprocal = reciprocal_rms(x, eps);
                let mut y: Vec<f64> = x.iter().zip(&weight.data).map(|(x, w)| x * reciprocal * w).collect();
                if let (Some(rope), Some(table)) = (rope, table.first()) {
                    rope.turn(table, r, &mut y, 1.0);
                }
                dot(&y, &dy.data[r * cols..(r + 1) * cols])
            };
            (0..rows).map(of_row).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols| Self { rows, cols, eps: 1e-6, rope: None };
        let turned = |rows, heads, head_dim, grid, first_token, positions| {
            let rope = Rope { heads, head_dim, grid, first_token, positions };
            Self { rope: Some(rope), ..case(rows, heads * head_dim) }
        };
        vec![
            case(1, 1),
            case(7, 33),
            case(20, 68),
            // Sums by blocks.
            case(1, 33_004),
            case(5, 64),
            case(3, 1030),
            case(4, 1536),
            turned(1, 1, 2, [1, 1, 1], 0, 1),
            turned(24, 3, 6, [2, 3, 4], 0, 4),
            turned(53, 2, 10, [3, 3, 5], 7, 9),
            turned(30, 12, 128, [5, 2, 3], 0, 1024),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |rows, rope| Self { rows, cols: 1536, eps: 1e-6, rope };
        let rope = |frames| {
            let grid = [frames, 30, 52];
            Some(Rope { heads: 12, head_dim: 128, grid, first_token: 0, positions: 1024 })
        };
        vec![
            ("wan-1.3b frame", case(1560, rope(1))),
            ("wan-1.3b 480p", case(32_760, rope(21))),
            ("wan-1.3b 480p cross", case(32_760, None)),
        ]
    }
}

/// Gradient by `x` of [`rms_norm`](super::rms_norm()) from the gradient `dy` by its result, both `(…, cols)`; right for
/// the same rows.
///
/// # Errors
/// As for [`rms_norm`](super::rms_norm()), and [`Error::Input`](crate::Error::Input) for a `dy` of another size.
pub fn rms_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    eps: f32,
    rope: Option<&RopeAt>,
) -> Result<Tensor> {
    let (rows, cols) = rows_of(RmsNormBackward::STEM, x)?;
    let context = x.context();
    let at = rope.map(|r| r.for_cols(RmsNormBackward::STEM, cols)).transpose()?;
    let dx = Tensor::empty(context, x.shape().clone(), x.dtype())?;
    let flat = |t: &Tensor| t.reshape([rows, cols]);
    let (x_rows, dy_rows, dx_rows) = (flat(x)?, flat(dy)?, flat(&dx)?);
    for piece in pieces(context.caps(), rows, cols * x.dtype().size(), 1) {
        let at = at.map(|r| Rope { first_token: r.first_token.saturating_add(piece.row), ..r });
        let problem = RmsNormBackward { rows: piece.rows, cols, eps, rope: at };
        let cut = |t: &Tensor| t.narrow(piece.row, piece.rows);
        let (x, dy, dx) = (cut(&x_rows)?, cut(&dy_rows)?, cut(&dx_rows)?);
        let mut tensors = vec![&x, weight, &dy, &dx];
        tensors.extend(rope.map(|r| &r.table));
        run(context, &problem, &tensors)?;
    }
    Ok(dx)
}
