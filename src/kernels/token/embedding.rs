//! `y[i, :] = table[ids[i], :]`
//!
//! Shapes: `table (vocab, dim)`; `ids (tokens)`; `y (tokens, dim)`. Memory written: `y`.
//!
//! Errors: an id that is not below `vocab` (where the host sees the ids; on the device such an id reads the last row),
//! sizes of zero or above 2³².

#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::packs::{pack, pack_module};
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedding {
    /// Rows of the table.
    pub vocab: usize,
    /// Columns of the table.
    pub dim: usize,
    /// Rows taken.
    pub tokens: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vocab: u32,
    row_packs: u32,
    packs: u32,
}

impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vocab, dim, tokens } = self;
        write!(f, "embedding(vocab={vocab},dim={dim},tokens={tokens})")
    }
}

impl Kernel for Embedding {
    const STEM: &'static str = "embedding";
    const SHADER: Source = wgsl!("token/embedding.wgsl");

    fn check(&self) -> Result<()> {
        let fits =
            |rows: usize| rows.checked_mul(self.dim).is_some_and(|n| n > 0 && u32::try_from(n).is_ok());
        if !fits(self.vocab) || !fits(self.tokens) {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: sizes are 1.. with products below 2^32"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot::read("table", [self.vocab, self.dim]),
            Slot::read("ids", [self.tokens]).u32(),
            Slot::write("y", [self.tokens, self.dim]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = pack(self.dim);
        let variant = |elem| Variant::new(elem, lanes(caps)).module(GRID).module(pack_module(pack));
        elems(caps, pack).into_iter().map(variant).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let row_packs = self.dim / pack(self.dim);
        let packs = self.tokens * row_packs;
        let params = Params { vocab: self.vocab as u32, row_packs: row_packs as u32, packs: packs as u32 };
        Launch::new(&params, grid(packs.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let rows = self.tokens as f64;
        Work { flops: 0.0, bytes: 4.0 * rows * (2.0 * self.dim as f64 + 1.0) }
    }
}

#[cfg(feature = "verify")]
impl Verified for Embedding {
    const FAMILY: &'static str = "token";
    const SUMMARY: &'static str = "rows of a table by their ids";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [table, ids] = inputs else { return Vec::new() };
        let row = |i: usize| (ids.data[i] as usize).min(self.vocab - 1);
        let y = |at: usize| table.data[row(at / self.dim) * self.dim + at % self.dim];
        vec![Array::from_fn([self.tokens, self.dim], y)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let table = inputs::normal(rng, [self.vocab, self.dim], 1.0);
        let mut ids = inputs::indices(rng, [self.tokens], self.vocab);
        // The first and the last row, and an id past the table.
        for (id, v) in ids.data.iter_mut().zip([0, self.vocab - 1, self.vocab + 5]) {
            *id = v as f64;
        }
        vec![table, ids]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "a copy of stored values" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |vocab, dim, tokens| Self { vocab, dim, tokens };
        vec![case(1, 1, 1), case(3, 5, 7), case(50, 64, 33), case(17, 129, 4)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        // As many rows of the 256,384 as a binding of 128 MiB holds.
        vec![("umt5-xxl 512 ids", Self { vocab: 8192, dim: 4096, tokens: 512 })]
    }
}

/// Rows of `table (vocab, dim)` by `ids`: `(ids.len(), dim)`.
pub fn embedding(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let vocab = table.dims().first().copied().unwrap_or(0);
    if let Some((place, id)) = ids.iter().enumerate().find(|&(_, &id)| id as usize >= vocab) {
        return Err(Error::problem(
            Embedding::STEM,
            format!("id {id} at place {place}: the table has {vocab} rows"),
        ));
    }
    embedding_of(table, &Tensor::from_u32(table.context(), [ids.len()], ids)?)
}

/// Rows of `table (vocab, dim)` by ids that lie on the device; an id past the table reads its last row.
pub fn embedding_of(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (&[vocab, dim], &[tokens]) = (table.dims(), ids.dims()) else {
        return Err(Error::problem(
            Embedding::STEM,
            format!("table {} is not a matrix or ids {} not a vector", table.shape(), ids.shape()),
        ));
    };
    let y = Tensor::empty(table.context(), [tokens, dim], table.dtype())?;
    run(table.context(), &Embedding { vocab, dim, tokens }, &[table, ids, &y])?;
    Ok(y)
}
