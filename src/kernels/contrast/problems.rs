//! What a kernel and its gradient are both told.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{PAIRS, check_sizes, check_temperature};
use crate::gpu::Caps;
use crate::kernels::packs::{pack, pack_module};
use crate::kernels::{CASCADE, GRID, Launch, NAN, Slot, Variant, elems, grid, lanes};
use crate::{Dtype, Result};
use std::fmt;

/// Sizes of groups of vectors that are multiplied with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GramProblem {
    /// Groups of vectors.
    pub batch: usize,
    /// Vectors of a group.
    pub rows: usize,
    /// Their width.
    pub dim: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct GramParams {
    batch: u32,
    rows: u32,
    packs: u32,
}

impl fmt::Display for GramProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch={},rows={},dim={}", self.batch, self.rows, self.dim)
    }
}

impl GramProblem {
    pub(super) fn check(&self, stem: &'static str) -> Result<()> {
        check_sizes(stem, [self.batch, self.rows, self.rows.max(self.dim)])
    }

    /// Products of pairs.
    pub(super) fn products(&self) -> usize {
        self.batch * self.rows * self.rows
    }

    /// Packs of all vectors.
    pub(super) fn packs(&self) -> usize {
        self.batch * self.rows * (self.dim / pack(self.dim))
    }

    pub(super) fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = pack(self.dim);
        let of =
            |elem| Variant::new(elem, lanes(caps)).module(pack_module(pack)).module(GRID).module(CASCADE);
        elems(caps, pack).into_iter().map(of).collect()
    }

    /// One invocation for each of `results`.
    pub(super) fn launch(&self, caps: &Caps, variant: &Variant, results: usize) -> Launch {
        let packs = (self.dim / pack(self.dim)) as u32;
        let params = GramParams { batch: self.batch as u32, rows: self.rows as u32, packs };
        Launch::new(&params, grid(results.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }
}

#[cfg(feature = "verify")]
impl GramProblem {
    /// Products of all vectors of each group.
    pub(super) fn products_of(&self, x: &Array) -> Vec<f64> {
        let Self { rows, dim, .. } = *self;
        let row = |r: usize| &x.data[r * dim..(r + 1) * dim];
        let product = |at: usize| {
            let b = at / (rows * rows) * rows;
            dot(row(b + at / rows % rows), row(b + at % rows))
        };
        (0..self.products()).map(product).collect()
    }

    pub(super) fn cases() -> Vec<Self> {
        let case = |batch, rows, dim| Self { batch, rows, dim };
        vec![case(1, 1, 1), case(2, 5, 7), case(3, 28, 128), case(1, 33, 36)]
    }

    pub(super) fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 anchors", Self { batch: 16, rows: 28, dim: 128 })]
    }
}

/// Sizes and temperature of NT-Xent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NtXentProblem {
    /// Groups of vectors.
    pub batch: usize,
    /// Vectors of a group.
    pub rows: usize,
    /// τ.
    pub temperature: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct NtXentParams {
    batch: u32,
    rows: u32,
    sharpness: f32,
}

impl fmt::Display for NtXentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch={},rows={},temperature={}", self.batch, self.rows, self.temperature)
    }
}

impl NtXentProblem {
    pub(super) fn check(&self, stem: &'static str) -> Result<()> {
        check_sizes(stem, [self.batch, self.rows, self.rows])?;
        check_temperature(stem, self.temperature)
    }

    /// Of similarities and their like.
    pub(super) fn pairs_shape(&self) -> [usize; 3] {
        [self.batch, self.rows, self.rows]
    }

    pub(super) fn pairs(&self) -> usize {
        self.batch * self.rows * self.rows
    }

    /// Similarities and tables, bound first.
    pub(super) fn inputs(&self) -> Vec<Slot> {
        let table = [self.rows, self.rows];
        vec![
            Slot::read("similarity", self.pairs_shape()).f32(),
            Slot::read("positives", table).f32(),
            Slot::read("negatives", table).f32(),
        ]
    }

    pub(super) fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, lanes(caps)).module(GRID).module(PAIRS).module(NAN).module(CASCADE)]
    }

    /// One invocation for each of `results`.
    pub(super) fn launch(&self, caps: &Caps, variant: &Variant, results: usize) -> Launch {
        let sharpness = self.temperature.recip();
        let params = NtXentParams { batch: self.batch as u32, rows: self.rows as u32, sharpness };
        Launch::new(&params, grid(results.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }
}

#[cfg(feature = "verify")]
impl NtXentProblem {
    /// How much larger than one exp's arguments may be.
    pub(super) fn spread(&self) -> f64 {
        f64::from(self.temperature.recip()).max(1.0)
    }

    pub(super) fn cases() -> Vec<Self> {
        let case = |batch, rows, temperature| Self { batch, rows, temperature };
        vec![case(1, 1, 0.5), case(2, 5, 1.0), case(3, 28, 0.5), case(1, 33, 0.07)]
    }

    pub(super) fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 anchors", Self { batch: 16, rows: 28, temperature: 0.5 })]
    }
}
