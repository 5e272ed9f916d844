//! `y[b, i, j] = x[b, i, :] · x[b, j, :]`: all products of a clip's vectors with each other; cosines, where the vectors
//! have length one.
//!
//! Shapes: `x (batch, rows, dim)`; `y (batch, rows, rows)` in f32. Memory written: `y`.
//!
//! Errors: sizes of zero, 2³¹ elements or more.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_sizes, sizes};
use crate::gpu::Caps;
use crate::kernels::packs::{pack, pack_module};
use crate::kernels::{CASCADE, GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// Sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gram {
    /// Groups of vectors.
    pub batch: usize,
    /// Vectors of a group.
    pub rows: usize,
    /// Their width.
    pub dim: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    rows: u32,
    packs: u32,
}

impl fmt::Display for Gram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gram(batch={},rows={},dim={})", self.batch, self.rows, self.dim)
    }
}

impl Kernel for Gram {
    const STEM: &'static str = "gram";
    const SHADER: Source = wgsl!("contrast/gram.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, [self.batch, self.rows, self.rows.max(self.dim)])
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { batch, rows, dim } = *self;
        vec![Slot::read("x", [batch, rows, dim]), Slot::write("y", [batch, rows, rows]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = pack(self.dim);
        let of =
            |elem| Variant::new(elem, lanes(caps)).module(pack_module(pack)).module(GRID).module(CASCADE);
        elems(caps, pack).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = (self.dim / pack(self.dim)) as u32;
        let params = Params { batch: self.batch as u32, rows: self.rows as u32, packs };
        let products = self.batch * self.rows * self.rows;
        Launch::new(&params, grid(products.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let products = (self.batch * self.rows * self.rows) as f64;
        let read = (self.batch * self.rows * self.dim) as f64;
        Work { flops: 2.0 * products * self.dim as f64, bytes: 4.0 * (products + read) }
    }
}

#[cfg(feature = "verify")]
impl Verified for Gram {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "products of all vectors of a group with each other";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let Self { batch, rows, dim } = *self;
        let row = |r: usize| &x.data[r * dim..(r + 1) * dim];
        let y = |at: usize| {
            let b = at / (rows * rows) * rows;
            row(b + at / rows % rows).iter().zip(row(b + at % rows)).map(|(a, b)| a * b).sum()
        };
        vec![Array::from_fn([batch, rows, rows], y)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::tame(rng, [self.batch, self.rows, self.dim], 1.0 / (self.dim as f64).sqrt())]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        // The result is f32 whatever is read, and what is read is exact.
        vec![Tolerance {
            atol: 3e-6,
            rtol: 3e-6,
            reason: "f32 sum of a vector's terms, of order one together",
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |batch, rows, dim| Self { batch, rows, dim };
        vec![case(1, 1, 1), case(2, 5, 7), case(3, 28, 128), case(1, 33, 36)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 anchors", Self { batch: 16, rows: 28, dim: 128 })]
    }
}

/// Products of all rows of each of `x (batch, rows, dim)` with each other: `(batch, rows, rows)` f32. Sums are taken by
/// blocks, so that errors grow with the logarithm of `dim`.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for what has not three axes and for sizes of zero or 2³¹ elements and more;
/// otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn gram(x: &Tensor) -> Result<Tensor> {
    let [batch, rows, dim] = sizes(Gram::STEM, x)?;
    let y = Tensor::empty(x.context(), [batch, rows, rows], Dtype::F32)?;
    run(x.context(), &Gram { batch, rows, dim }, &[x, &y])?;
    Ok(y)
}
