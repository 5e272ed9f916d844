//! `dx[b, i, :] = Σ_j (dy[b, i, j] + dy[b, j, i]) x[b, j, :]`: the gradient of [`gram`](super::gram()).
//!
//! Shapes: `x, dx (batch, rows, dim)`; `dy (batch, rows, rows)` in f32. Memory written: `dx`.
//!
//! Errors: sizes of zero, 2³¹ elements or more.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_sizes, sizes};
use crate::gpu::Caps;
use crate::kernels::packs::{pack, pack_module};
use crate::kernels::{CASCADE, GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GramBackward {
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

impl fmt::Display for GramBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gram_backward(batch={},rows={},dim={})", self.batch, self.rows, self.dim)
    }
}

impl Kernel for GramBackward {
    const STEM: &'static str = "gram_backward";
    const SHADER: Source = wgsl!("contrast/gram_backward.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, [self.batch, self.rows, self.rows.max(self.dim)])
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { batch, rows, dim } = *self;
        vec![
            Slot::read("x", [batch, rows, dim]),
            Slot::read("dy", [batch, rows, rows]).f32(),
            Slot::write("dx", [batch, rows, dim]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = pack(self.dim);
        let of =
            |elem| Variant::new(elem, lanes(caps)).module(pack_module(pack)).module(GRID).module(CASCADE);
        elems(caps, pack).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.dim / pack(self.dim);
        let params = Params { batch: self.batch as u32, rows: self.rows as u32, packs: packs as u32 };
        let each = variant.number("WG_SIZE").max(1) as usize;
        Launch::new(&params, grid((self.batch * self.rows * packs).div_ceil(each), caps))
    }

    fn work(&self) -> Work {
        let n = (self.batch * self.rows * self.dim) as f64;
        Work {
            flops: 3.0 * n * self.rows as f64,
            bytes: 4.0 * (2.0 * n + (self.batch * self.rows * self.rows) as f64),
        }
    }
}

#[cfg(feature = "verify")]
impl Verified for GramBackward {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "gradient of gram by the vectors";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, dy] = inputs else { return Vec::new() };
        let Self { batch, rows, dim } = *self;
        let dx = |at: usize| {
            let (b, i, c) = (at / (rows * dim), at / dim % rows, at % dim);
            let of = |i: usize, j: usize| dy.data[(b * rows + i) * rows + j];
            (0..rows).map(|j| (of(i, j) + of(j, i)) * x.data[(b * rows + j) * dim + c]).sum()
        };
        vec![Array::from_fn([batch, rows, dim], dx)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let Self { batch, rows, dim } = *self;
        vec![inputs::tame(rng, [batch, rows, dim], 1.0), inputs::tame(rng, [batch, rows, rows], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let scale = (2.0 * self.rows as f64).sqrt() * 4.0;
        vec![Tolerance::for_elem(elem, 2e-6, scale, "f32 sum over the group's vectors")]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let Self { batch, rows, dim } = *self;
        Some(Gradient::of("gram", vec![(0, 0)], move |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            let row = |r: usize| &x.data[r * dim..(r + 1) * dim];
            let term = |at: usize| {
                let b = at / (rows * rows) * rows;
                let pair = row(b + at / rows % rows).iter().zip(row(b + at % rows));
                dy.data[at] * pair.map(|(a, b)| a * b).sum::<f64>()
            };
            (0..batch * rows * rows).map(term).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |batch, rows, dim| Self { batch, rows, dim };
        vec![case(1, 1, 1), case(2, 5, 7), case(3, 28, 128), case(1, 33, 36)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 anchors", Self { batch: 16, rows: 28, dim: 128 })]
    }
}

/// Gradient of [`gram`](super::gram()) by `x (batch, rows, dim)` from the gradient `dy (batch, rows, rows)` f32 by its
/// result.
///
/// # Errors
/// As for [`gram`](super::gram()).
pub fn gram_backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let [batch, rows, dim] = sizes(GramBackward::STEM, x)?;
    let dx = Tensor::empty(x.context(), x.shape().clone(), x.dtype())?;
    run(x.context(), &GramBackward { batch, rows, dim }, &[x, dy, &dx])?;
    Ok(dx)
}
