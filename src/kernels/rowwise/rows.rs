//! What a kernel and its gradient are both told: sizes and options of norms and softmax.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{MEAN_SQUARE, MOMENTS, Rope, check_groups, check_positive, check_size, norm_variants, pack};
use crate::gpu::Caps;
use crate::kernels::{Launch, Slot, Variant, grid};
use crate::{Result, wgsl};
use std::fmt;

/// Sizes and options of an RMS norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsNormProblem {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row is normalised.
    pub cols: usize,
    /// Added to the mean square.
    pub eps: f32,
    /// Rotary position of the result.
    pub rope: Option<Rope>,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct RmsNormParams {
    rows: u32,
    packs: u32,
    eps: f32,
    head_pairs: u32,
    frames: u32,
    height: u32,
    width: u32,
    first_token: u32,
}

impl fmt::Display for RmsNormProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, eps, rope } = self;
        write!(f, "rows={rows},cols={cols},eps={eps}")?;
        rope.map_or(Ok(()), |rope| write!(f, ",{rope}"))
    }
}

impl RmsNormProblem {
    fn pack(&self) -> usize {
        if self.rope.is_some() { 2 } else { pack(self.cols) }
    }

    pub(super) fn check(&self, stem: &'static str) -> Result<()> {
        check_size(stem, self.rows, self.cols)?;
        check_positive(stem, "eps", self.eps)?;
        self.rope.map_or(Ok(()), |rope| rope.check(stem, self.rows, self.cols))
    }

    /// The table of angles, bound last.
    pub(super) fn table(&self) -> Option<Slot> {
        self.rope.map(|r| Slot::read("rope_table", r.table_shape()).f32())
    }

    /// `bindings` come before the table of angles.
    pub(super) fn variants(&self, caps: &Caps, bindings: usize) -> Vec<Variant> {
        let rope = |v: Variant| match self.rope {
            None => v.module(wgsl!("rowwise/rope/none.wgsl")),
            Some(_) => v.with("ROPE_BINDING", bindings).module(wgsl!("rowwise/rope/three_axes.wgsl")),
        };
        norm_variants(caps, self.cols, self.pack(), MEAN_SQUARE).into_iter().map(rope).collect()
    }

    pub(super) fn launch(&self, caps: &Caps) -> Launch {
        let [frames, height, width] = self.rope.map_or([1; 3], |r| r.grid.map(|n| n as u32));
        let params = RmsNormParams {
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

    /// Bytes of weight and table.
    pub(super) fn shared_bytes(&self) -> f64 {
        let table = self.rope.map_or(0, |r| r.grid.iter().max().copied().unwrap_or(0) * r.head_dim);
        4.0 * (self.cols + table) as f64
    }
}

#[cfg(feature = "verify")]
impl RmsNormProblem {
    /// `f(row, row of x, angles)` of every row.
    pub(super) fn by_rows(&self, x: &Array, mut f: impl FnMut(usize, &[f64]) -> Vec<f64>) -> Array {
        let rows = x.data.chunks_exact(self.cols).enumerate();
        Array { shape: [self.rows, self.cols].into(), data: rows.flat_map(|(r, x)| f(r, x)).collect() }
    }

    /// The norm of a row, turned by its token's angle.
    pub(super) fn normed(&self, r: usize, x: &[f64], weight: &Array, table: &[Array]) -> Vec<f64> {
        let reciprocal = reciprocal_rms(x, self.eps);
        let mut y: Vec<f64> = x.iter().zip(&weight.data).map(|(x, w)| x * reciprocal * w).collect();
        self.turn(table, r, &mut y, 1.0);
        y
    }

    /// Turns a row by its token's angle, where there is a rotary position.
    pub(super) fn turn(&self, table: &[Array], r: usize, values: &mut [f64], sign: f64) {
        if let (Some(rope), Some(table)) = (self.rope, table.first()) {
            rope.turn(table, r, values, sign);
        }
    }

    /// Values of which row 3 is as small as `small`, so that eps counts beside it.
    pub(super) fn x(&self, rng: &mut Pcg64, small: f64) -> Array {
        let mut x = inputs::normal(rng, [self.rows, self.cols], 1.0);
        if let Some(row) = x.data.chunks_exact_mut(self.cols).nth(3) {
            row.iter_mut().for_each(|v| *v *= small);
        }
        x
    }

    pub(super) fn cases() -> Vec<Self> {
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

    pub(super) fn bench_cases() -> Vec<(&'static str, Self)> {
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

/// Sizes and options of a layer norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormProblem {
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
struct LayerNormParams {
    rows: u32,
    packs: u32,
    rows_per_group: u32,
    eps: f32,
    unit: f32,
}

impl fmt::Display for LayerNormProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, groups, modulated, eps } = self;
        let kind = if *modulated { "modulated" } else { "affine" };
        write!(f, "rows={rows},cols={cols},{kind},groups={groups},eps={eps}")
    }
}

impl LayerNormProblem {
    pub(super) fn check(&self, stem: &'static str) -> Result<()> {
        check_size(stem, self.rows, self.cols)?;
        check_groups(stem, self.rows, self.groups)?;
        check_positive(stem, "eps", self.eps)
    }

    pub(super) fn variants(&self, caps: &Caps) -> Vec<Variant> {
        norm_variants(caps, self.cols, pack(self.cols), MOMENTS)
    }

    pub(super) fn launch(&self, caps: &Caps) -> Launch {
        let params = LayerNormParams {
            rows: self.rows as u32,
            packs: (self.cols / pack(self.cols)) as u32,
            rows_per_group: (self.rows / self.groups.max(1)) as u32,
            eps: self.eps,
            unit: f32::from(u8::from(self.modulated)),
        };
        Launch::new(&params, grid(self.rows, caps))
    }
}

#[cfg(feature = "verify")]
impl LayerNormProblem {
    /// What a row is multiplied with.
    pub(super) fn factors<'a>(&self, r: usize, scale: &'a Array) -> impl Iterator<Item = f64> + 'a {
        let unit = f64::from(u8::from(self.modulated));
        scale.data[self.group(r)].iter().map(move |s| s + unit)
    }

    /// Where the vectors of a row's group lie.
    pub(super) fn group(&self, r: usize) -> std::ops::Range<usize> {
        let at = r / (self.rows / self.groups) * self.cols;
        at..at + self.cols
    }

    pub(super) fn cases() -> Vec<Self> {
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

    pub(super) fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |rows| Self { rows, cols: 1536, groups: 1, modulated: true, eps: 1e-6 };
        vec![("wan-1.3b frame", case(1560)), ("wan-1.3b 480p", case(32_760))]
    }
}

/// Sizes and options of a softmax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftmaxProblem {
    /// Rows.
    pub rows: usize,
    /// Columns, over which each row sums to one.
    pub cols: usize,
    /// Factor on `x`.
    pub scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct SoftmaxParams {
    rows: u32,
    packs: u32,
    scale: f32,
}

impl fmt::Display for SoftmaxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, scale } = self;
        write!(f, "rows={rows},cols={cols},scale={scale}")
    }
}

impl SoftmaxProblem {
    pub(super) fn check(&self, stem: &'static str) -> Result<()> {
        check_size(stem, self.rows, self.cols)?;
        check_positive(stem, "scale", self.scale)
    }

    pub(super) fn launch(&self, caps: &Caps) -> Launch {
        let packs = (self.cols / pack(self.cols)) as u32;
        let params = SoftmaxParams { rows: self.rows as u32, packs, scale: self.scale };
        Launch::new(&params, grid(self.rows, caps))
    }

    #[cfg(feature = "verify")]
    pub(super) fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |rows, cols| Self { rows, cols, scale: 1.0 };
        vec![("wan-1.3b frame to text", case(1560, 512)), ("wan-1.3b 480p to text", case(32_760, 512))]
    }
}
