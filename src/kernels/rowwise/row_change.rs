//! `change[r] = 1 − cos(x[r], x[r − distance])`: how unlike each row is to the one so many before it.
//!
//! Shapes: `x (rows, cols)`; `change (rows)` f32, 0 to 2. Memory written: `change`. The first `distance` rows, which have none
//! before them, change by 255, and a row of zeros is like nothing: it changes by 1. A NaN or infinity in either of two rows is NaN.
//! Source: the score of Efficient Video Sampling (arXiv 2510.14624) as vLLM has it, of a video's tokens `distance` a temporal step.
//!
//! Errors: no columns, 2³² elements or more, a distance of 0.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{NAN, check_size, pack, row_variants, rows_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, grid, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes, and how far apart the rows are that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChange {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Rows from one to the one that it is compared with.
    pub distance: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    packs: u32,
    distance: u32,
}

impl fmt::Display for RowChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, cols, distance } = self;
        write!(f, "row_change(rows={rows},cols={cols},distance={distance})")
    }
}

impl Kernel for RowChange {
    const STEM: &'static str = "row_change";
    const SHADER: Source = wgsl!("rowwise/row_change.wgsl");

    fn check(&self) -> Result<()> {
        check_size(Self::STEM, self.rows, self.cols)?;
        if self.distance == 0 {
            return Err(Error::problem(Self::STEM, "distance 0: a row is compared with another one"));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.rows, self.cols]), Slot::write("change", [self.rows]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        row_variants(caps, self.cols, pack(self.cols)).into_iter().map(|v| v.module(NAN)).collect()
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        // A distance past the end compares nothing, however far past.
        let distance = self.distance.min(self.rows) as u32;
        let params = Params { rows: self.rows as u32, packs: (self.cols / pack(self.cols)) as u32, distance };
        Launch::new(&params, grid(self.rows, caps))
    }

    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        Work { flops: 6.0 * n, bytes: 8.0 * n + 4.0 * self.rows as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for RowChange {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "how unlike each row is to the one some rows before";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let rows: Vec<&[f64]> = x.data.chunks_exact(self.cols).collect();
        let change = |row: usize| {
            let Some(other) = row.checked_sub(self.distance) else { return 255.0 };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let lengths = dot(rows[row], rows[row]).sqrt() * dot(rows[other], rows[other]).sqrt();
            if lengths == 0.0 { 1.0 } else { 1.0 - dot(rows[row], rows[other]) / lengths }
        };
        vec![Array { shape: [self.rows].into(), data: (0..self.rows).map(change).collect() }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.rows, self.cols], 1.0);
        for row in 0..self.rows {
            let Some(other) = row.checked_sub(self.distance) else { continue };
            let (before, rest) = x.data.split_at_mut(row * self.cols);
            let other = &before[other * self.cols..(other + 1) * self.cols];
            let own = &mut rest[..self.cols];
            match row % 5 {
                // The same, longer; nearly the same; the opposite; nothing.
                0 => own.iter_mut().zip(other).for_each(|(v, o)| *v = 3.0 * o),
                1 => own.iter_mut().zip(other).for_each(|(v, o)| *v = o + 0.01 * *v),
                2 => own.iter_mut().zip(other).for_each(|(v, o)| *v = -o),
                3 if row % 2 == 1 => own.fill(0.0),
                _ => {}
            }
        }
        inputs::enlarge(&mut x, self.cols);
        vec![x]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance {
            atol: 2e-6,
            rtol: 1e-5,
            reason: "sums of cols products in f32, and two 2-ulp roots",
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols, distance| Self { rows, cols, distance };
        vec![
            case(1, 1, 1),
            case(0, 8, 1),
            case(7, 33, 2),
            case(20, 68, 5),
            // Nothing to compare with.
            case(3, 16, 3),
            // Sums by blocks.
            case(4, 33_004, 1),
            case(600, 64, 170),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("qwen2.5-vl 5440 video tokens", Self { rows: 5440, cols: 2048, distance: 170 })]
    }
}

/// How unlike each row of `x (…, cols)` is to the one `distance` rows before: `(rows)` f32, from 0 for rows that point the same way
/// over 1 for a right angle to 2, and 255 for the first `distance` rows. Larger tensors than a binding are taken in pieces,
/// as long as one holds a row and the `distance` before it.
///
/// # Errors
/// [`Error::Problem`] for no column and a distance of 0; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn row_change(x: &Tensor, distance: usize) -> Result<Tensor> {
    let (rows, cols) = rows_of(RowChange::STEM, x)?;
    let x = x.reshape([rows, cols])?;
    let change = Tensor::empty(x.context(), [rows], Dtype::F32)?;
    let binding = usize::try_from(x.context().caps().max_binding).unwrap_or(usize::MAX);
    let most = (binding / (cols * x.dtype().size()).max(1)).max(1);
    let mut start = 0;
    loop {
        // Rows before the piece's own, which they are compared with.
        let before = distance.min(start);
        let count = (rows - start).min(most.saturating_sub(before).max(1));
        let problem = RowChange { rows: before + count, cols, distance };
        let piece = Tensor::empty(x.context(), [before + count], Dtype::F32)?;
        run(x.context(), &problem, &[&x.narrow(start - before, before + count)?, &piece])?;
        piece.narrow(before, count)?.copy_to(&change.narrow(start, count)?)?;
        start += count;
        if start >= rows {
            return Ok(change);
        }
    }
}
