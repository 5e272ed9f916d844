//! `y = rope(x weight / sqrt(mean(x²) + eps))` over each row: RMS norm over all heads of a row together, then, where
//! asked for, the rotary position of [`Rope`] inside each head.
//!
//! Shapes: `x, y (rows, cols)`; `weight (cols)` in f32; `rope_table (positions, head_dim / 2, 2)` in f32: cosine and
//! sine. With a rotary position, row `r` is token `(first_token + r) mod (frames · height · width)`. Memory written:
//! `y`. Source: Wan 2.1's query and key norm.
//!
//! Errors: no columns, 2³² elements or more, `eps` not above zero, heads that do not make the columns, odd
//! `head_dim`, a table too short for the grid.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{MEAN_SQUARE, Rope, RopeAt, check_positive, check_size, norm_variants, pack, pieces, rows_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, grid, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Sizes and options of an RMS norm.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row is normalised.
    pub cols: usize,
    /// Added to the mean square.
    pub eps: f32,
    /// Rotary position.
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

impl fmt::Display for RmsNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, eps, rope } = self;
        write!(f, "rms_norm(rows={rows},cols={cols},eps={eps}")?;
        if let Some(Rope { heads, head_dim, grid: [t, h, w], first_token, positions }) = rope {
            write!(
                f,
                ",heads={heads},head_dim={head_dim},grid={t}x{h}x{w},first={first_token},positions={positions}"
            )?;
        }
        write!(f, ")")
    }
}

impl RmsNorm {
    fn pack(&self) -> usize {
        if self.rope.is_some() { 2 } else { pack(self.cols) }
    }
}

impl Kernel for RmsNorm {
    const STEM: &'static str = "rms_norm";
    const SHADER: Source = wgsl!("rowwise/rms_norm.wgsl");

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
            Slot::write("y", [rows, cols]),
        ];
        slots.extend(rope.map(|r| Slot::read("rope_table", r.table_shape()).f32()));
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let rope = |v: Variant| match self.rope {
            None => v.module(wgsl!("rowwise/rope/none.wgsl")),
            Some(_) => v.with("ROPE_BINDING", 3).module(wgsl!("rowwise/rope/three_axes.wgsl")),
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
        let flops = if self.rope.is_some() { 7.0 } else { 4.0 };
        Work { flops: flops * n, bytes: 8.0 * n + 4.0 * (self.cols + table) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for RmsNorm {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "RMS norm over a whole row, then an optional rotary position per head";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { rows, cols, eps, rope } = *self;
        let [x, weight, table @ ..] = inputs else { return Vec::new() };
        let mut y = Array::zeros([rows, cols]);
        for (r, (x, y)) in x.data.chunks_exact(cols).zip(y.data.chunks_exact_mut(cols)).enumerate() {
            let reciprocal = reciprocal_rms(x, eps);
            for (i, y) in y.iter_mut().enumerate() {
                *y = x[i] * reciprocal * weight.data[i];
            }
            if let (Some(rope), Some(table)) = (rope, table.first()) {
                rope.turn(table, r, y, 1.0);
            }
        }
        vec![y]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { rows, cols, rope, .. } = *self;
        let mut x = inputs::normal(rng, [rows, cols], 1.0);
        // A row of zeros: only eps keeps it finite.
        if let Some(row) = x.data.chunks_exact_mut(cols).nth(2) {
            row.fill(0.0);
        }
        // A small row, beside which eps counts.
        if let Some(row) = x.data.chunks_exact_mut(cols).nth(3) {
            row.iter_mut().for_each(|v| *v *= 1e-3);
        }
        inputs::enlarge(&mut x, cols);
        let mut all = vec![x, inputs::tame(rng, [cols], 1.0)];
        all.extend(rope.map(|r| r.table()));
        all
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // The rotation subtracts products of the size of the pair, hence the absolute part.
        let reason = "a sum of cols squares, WGSL's 2-ulp root, a rotation, in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 2.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols| Self { rows, cols, eps: 1e-6, rope: None };
        let turned = |rows, heads, head_dim, grid, first_token, positions| {
            let rope = Rope { heads, head_dim, grid, first_token, positions };
            Self { rope: Some(rope), ..case(rows, heads * head_dim) }
        };
        vec![
            case(1, 1),
            case(0, 8),
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
        let case = |rows, cols, rope| Self { rows, cols, eps: 1e-6, rope };
        let rope = |frames| {
            let grid = [frames, 30, 52];
            Some(Rope { heads: 12, head_dim: 128, grid, first_token: 0, positions: 1024 })
        };
        vec![
            ("wan-1.3b frame", case(1560, 1536, rope(1))),
            ("wan-1.3b 480p", case(32_760, 1536, rope(21))),
            ("wan-1.3b 480p cross", case(32_760, 1536, None)),
            ("umt5-xxl 512 tokens", case(512, 4096, None)),
        ]
    }
}

/// RMS norm over the last axis of `x (…, cols)` with an f32 `weight (cols)`, then the rotary position, if any. Right
/// for every row of finite f32, however large or small its values; a row that holds a NaN is NaN throughout.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for no column, an `eps` that is not finite and above zero, and a rotary
/// position that does not fit the columns; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32, rope: Option<&RopeAt>) -> Result<Tensor> {
    let (rows, cols) = rows_of(RmsNorm::STEM, x)?;
    let context = x.context();
    let at = rope.map(|r| r.for_cols(RmsNorm::STEM, cols)).transpose()?;
    let y = Tensor::empty(context, x.shape().clone(), x.dtype())?;
    let (x_rows, y_rows) = (x.reshape([rows, cols])?, y.reshape([rows, cols])?);
    for piece in pieces(context.caps(), rows, cols * x.dtype().size(), 1) {
        let at = at.map(|r| Rope { first_token: r.first_token.saturating_add(piece.row), ..r });
        let problem = RmsNorm { rows: piece.rows, cols, eps, rope: at };
        let (x, y) = (x_rows.narrow(piece.row, piece.rows)?, y_rows.narrow(piece.row, piece.rows)?);
        let mut tensors = vec![&x, weight, &y];
        tensors.extend(rope.map(|r| &r.table));
        run(context, &problem, &tensors)?;
    }
    Ok(y)
}
