//! `y[i, :] = Σ weight[e] · x[row[e], :]` over `e` in `start[i] .. start[i + 1]`: rows picked, dropped, put elsewhere or
//! averaged. A masked mean over tokens, the first token of every clip, a table looked up by ids and the gradients of all
//! of these are such sums: the gradient by `x` is the same kernel with the transposed [`RowMap`], without atomics.
//!
//! Shapes: `x (rows_in, cols)`; `start (rows_out + 1)`, `row (terms)` u32 and `weight (terms)` f32 (a compressed sparse
//! matrix `(rows_out, rows_in)`); `y (rows_out, cols)`. Memory written: `y`; a row without terms is 0.
//!
//! Errors: sizes of zero or above 2³², a row that `x` does not have.

use super::RowMap;
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::packs::{pack, pack_module};
use crate::kernels::{CASCADE, GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
#[cfg(feature = "verify")]
use rand::RngExt;
use std::fmt;

/// Sizes of a sum of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumRows {
    /// Rows of `x`.
    pub rows_in: usize,
    /// Rows of `y`.
    pub rows_out: usize,
    /// Columns of both.
    pub cols: usize,
    /// Terms of all sums.
    pub terms: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows_in: u32,
    rows_out: u32,
    packs: u32,
    terms: u32,
}

impl fmt::Display for SumRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows_in, rows_out, cols, terms } = self;
        write!(f, "sum_rows(rows_in={rows_in},rows_out={rows_out},cols={cols},terms={terms})")
    }
}

impl Kernel for SumRows {
    const STEM: &'static str = "sum_rows";
    const SHADER: Source = wgsl!("token/sum_rows.wgsl");

    fn check(&self) -> Result<()> {
        let fits = |rows: usize| rows.checked_mul(self.cols).is_some_and(|n| n > 0 && n < u32::MAX as usize);
        if !fits(self.rows_in) || !fits(self.rows_out) || self.terms >= u32::MAX as usize {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: sizes are 1.. with products below 2^32"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        // A binding cannot be empty: where there is no term, one stands unread.
        let terms = self.terms.max(1);
        vec![
            Slot::read("x", [self.rows_in, self.cols]),
            Slot::read("start", [self.rows_out + 1]).u32(),
            Slot::read("row", [terms]).u32(),
            Slot::read("weight", [terms]).f32(),
            Slot::write("y", [self.rows_out, self.cols]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = pack(self.cols);
        let of =
            |elem| Variant::new(elem, lanes(caps)).module(pack_module(pack)).module(GRID).module(CASCADE);
        elems(caps, pack).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.cols / pack(self.cols);
        let params = Params {
            rows_in: self.rows_in as u32,
            rows_out: self.rows_out as u32,
            packs: packs as u32,
            terms: self.terms as u32,
        };
        let wg = variant.number("WG_SIZE").max(1) as usize;
        Launch::new(&params, grid((self.rows_out * packs).div_ceil(wg), caps))
    }

    fn work(&self) -> Work {
        let terms = (self.terms * self.cols) as f64;
        Work { flops: 2.0 * terms, bytes: 4.0 * (terms + (self.rows_out * self.cols) as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for SumRows {
    const FAMILY: &'static str = "token";
    const SUMMARY: &'static str = "weighted sums of chosen rows: masked means, picked and placed tokens";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, start, row, weight] = inputs else { return Vec::new() };
        let cols = self.cols;
        let y = |at: usize| {
            let (first, last) = (start.data[at / cols] as usize, start.data[at / cols + 1] as usize);
            let term = |e: usize| {
                weight.data[e] * x.data[(row.data[e] as usize).min(self.rows_in - 1) * cols + at % cols]
            };
            (first..last.min(self.terms)).map(term).sum()
        };
        vec![Array::from_fn([self.rows_out, cols], y)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let x = inputs::normal(rng, [self.rows_in, self.cols], 1.0);
        // Cuts of the terms at random places: sums of no term, of one and of many.
        let mut cuts: Vec<f64> =
            (1..self.rows_out).map(|_| rng.random_range(0..=self.terms) as f64).collect();
        cuts.sort_by(f64::total_cmp);
        let start: Vec<f64> = [0.0].into_iter().chain(cuts).chain([self.terms as f64]).collect();
        let start = Array { shape: [self.rows_out + 1].into(), data: start };
        let terms = self.terms.max(1);
        let row = inputs::indices(rng, [terms], self.rows_in);
        vec![x, start, row, inputs::tame(rng, [terms], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let scale = (self.terms as f64 / self.rows_out as f64).sqrt().max(1.0) * 20.0;
        vec![Tolerance::for_elem(elem, 1e-6, scale, "f32 sum of a row's terms that may cancel, at outliers")]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        // Read as a gradient, x is dy and the map is the transposed one of the forward: what entry (i, j) of it takes
        // from row j of dy, the forward put there from row i.
        let Self { rows_in, rows_out, cols, .. } = *self;
        Some(Gradient::linear(Self::STEM, move |inputs, x| {
            let [dy, start, row, weight] = inputs else { return f64::NAN };
            let mut forward = vec![0.0; rows_in * cols];
            for i in 0..rows_out {
                for e in start.data[i] as usize..start.data[i + 1] as usize {
                    for c in 0..cols {
                        forward[row.data[e] as usize * cols + c] += weight.data[e] * x.data[i * cols + c];
                    }
                }
            }
            forward.iter().zip(&dy.data).map(|(y, dy)| y * dy).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |rows_in, rows_out, cols, terms| Self { rows_in, rows_out, cols, terms };
        vec![
            case(1, 1, 1, 1),
            case(7, 5, 3, 0),
            case(20, 9, 12, 31),
            case(33, 70, 33, 64),
            case(300, 3, 128, 290),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let (clips, frames) = (16, 501);
        let case = |rows_out, terms| Self { rows_in: clips * frames, rows_out, cols: 128, terms };
        vec![
            ("dashfusion 16 clips, mean over vision", case(clips, clips * frames)),
            ("dashfusion 16 clips, vision masked", case(clips * frames, clips * frames)),
        ]
    }
}

/// `x (…, cols)` with its rows summed as `map` says: `(map.rows_out(), cols)`. Sums are taken by blocks, so that errors
/// grow with the logarithm of the number of terms.
///
/// # Errors
/// [`Error::Shape`] for another number of rows than the map's, [`Error::Problem`] for sizes of zero or 2³² and more;
/// otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn sum_rows(x: &Tensor, map: &RowMap) -> Result<Tensor> {
    let cols = x.dims().last().copied().unwrap_or(0);
    if Some(x.len()) != map.rows_in().checked_mul(cols) {
        return Err(Error::Shape {
            kernel: SumRows::STEM,
            tensor: "x".into(),
            axis: "of rows".into(),
            expected: map.rows_in(),
            found: x.len() / cols.max(1),
        });
    }
    let context = x.context();
    let problem = SumRows { rows_in: map.rows_in(), rows_out: map.rows_out(), cols, terms: map.terms() };
    problem.check()?;
    let (start, row, weight) = map.arrays();
    let start = Tensor::from_u32(context, [start.len()], start)?;
    let padded = |n: usize| [n.max(1)];
    let row = Tensor::from_u32(context, padded(row.len()), if row.is_empty() { &[0] } else { row })?;
    let weight =
        Tensor::from_f32(context, padded(weight.len()), if weight.is_empty() { &[0.0] } else { weight })?;
    let y = Tensor::empty(context, [map.rows_out(), cols], x.dtype())?;
    run(context, &problem, &[&x.reshape([map.rows_in(), cols])?, &start, &row, &weight, &y])?;
    Ok(y)
}
