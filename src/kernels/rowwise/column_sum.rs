//! `y[b, c] = Σ x[r, c]` over blocks of 64 rows: gradients of biases, scales and shifts. The wrapper repeats it until
//! one row is left, so that the order of additions is the same on every run.
//!
//! Shapes: `x (rows, cols)`; `y (⌈rows / 64⌉, cols)` in f32. Memory written: `y`.
//!
//! Errors: no row or column, 2³² elements or more.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_size, pack, pack_module, rows_of};
use crate::gpu::Caps;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Rows of one partial sum.
const BLOCK: usize = 64;

/// Sizes of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSum {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    packs: u32,
    blocks: u32,
}

impl fmt::Display for ColumnSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column_sum(rows={},cols={})", self.rows, self.cols)
    }
}

impl ColumnSum {
    fn blocks(&self) -> usize {
        self.rows.div_ceil(BLOCK)
    }
}

impl Kernel for ColumnSum {
    const STEM: &'static str = "column_sum";
    const SHADER: Source = wgsl!("rowwise/column_sum.wgsl");

    fn check(&self) -> Result<()> {
        if self.rows == 0 {
            return Err(Error::problem(Self::STEM, "no row"));
        }
        check_size(Self::STEM, self.rows, self.cols)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.rows, self.cols]), Slot::write("y", [self.blocks(), self.cols]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = pack(self.cols);
        let of = |elem| {
            Variant::new(elem, lanes(caps)).with("BLOCK", BLOCK).module(GRID).module(pack_module(pack))
        };
        elems(caps, pack).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.cols / pack(self.cols);
        let params = Params { rows: self.rows as u32, packs: packs as u32, blocks: self.blocks() as u32 };
        let wg = variant.number("WG_SIZE").max(1) as usize;
        Launch::new(&params, grid((self.blocks() * packs).div_ceil(wg), caps))
    }

    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        Work { flops: n, bytes: 4.0 * (n + (self.blocks() * self.cols) as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for ColumnSum {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "sums of columns over blocks of rows";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let mut y = Array::zeros([self.blocks(), self.cols]);
        for (i, x) in x.data.iter().enumerate() {
            y.data[i / self.cols / BLOCK * self.cols + i % self.cols] += x;
        }
        vec![y]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.rows, self.cols], 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        // The result is f32 whatever is read, and what is read is exact.
        vec![Tolerance { atol: 2e-5, rtol: 2e-6, reason: "f32 sum of 64 terms that may cancel, at outliers" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let sizes = [(1, 1), (1, 12), (37, 5), (64, 128), (65, 33), (300, 36)];
        sizes.map(|(rows, cols)| Self { rows, cols }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 clips of vision", Self { rows: 16 * 501, cols: 128 })]
    }
}

/// Sum of the rows of `x (…, cols)` as `(cols)`, in f32, by blocks: its error grows with the logarithm of the number of
/// rows.
///
/// # Errors
/// [`Error::Problem`] for no row or column; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn column_sum(x: &Tensor) -> Result<Tensor> {
    let (mut rows, cols) = rows_of(ColumnSum::STEM, x)?;
    let mut sums = x.reshape([rows, cols])?;
    // At least once, so that a single row is not handed back as the input's own memory.
    loop {
        let problem = ColumnSum { rows, cols };
        problem.check()?;
        let next = Tensor::empty(x.context(), [problem.blocks(), cols], Dtype::F32)?;
        run(x.context(), &problem, &[&sums, &next])?;
        (rows, sums) = (problem.blocks(), next);
        if rows == 1 {
            return sums.reshape([cols]);
        }
    }
}
