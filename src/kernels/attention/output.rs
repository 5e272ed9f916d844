//! Results of the forward, and of parts that become one.

use super::tiling::{CUT, SOFTMAX_ROW};
use crate::gpu::Caps;
use crate::kernels::{LOWEST, NAN, Variant, elems, lanes};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// A row's attention over several sets of keys from its attention over each.
const JOIN: Source = wgsl!("attention/join.wgsl");

/// What the forward returns.
#[derive(Debug, Clone)]
pub struct AttentionOutput {
    /// `(batch, seq_q, heads, head_dim)`
    pub o: Tensor,
    /// `(2 or 3, batch, heads, seq_q)` f32: a row's largest score, `ln Σ exp(score − largest)`, then its entropy where asked.
    pub stats: Tensor,
}

impl AttentionOutput {
    /// One of the statistics.
    pub(in crate::kernels) fn plane(&self, n: usize) -> Result<Tensor> {
        let dims = self.stats.dims().get(1..).unwrap_or_default().to_vec();
        self.stats.narrow(n, 1)?.reshape(dims)
    }

    /// Entropy of each row `(batch, heads, seq_q)`, nats; an error when it was not asked for.
    pub fn entropy(&self) -> Result<Tensor> {
        self.plane(2)?.to_owned_copy()
    }
}

/// Of the forward's statistics, what probabilities are computed from.
pub(super) fn softmax_stats(stats: &Tensor) -> Result<Tensor> {
    if stats.dims().first() == Some(&2) { Ok(stats.clone()) } else { stats.narrow(0, 2) }
}

/// Sizes of the forward's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputShape {
    /// Independent sequences.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Queries of a sequence.
    pub seq_q: usize,
    /// Width of a head; a multiple of 4, up to 256.
    pub head_dim: usize,
    /// The statistics hold entropies.
    pub entropy: bool,
}

impl fmt::Display for OutputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, heads, seq_q, head_dim, entropy } = self;
        write!(f, "b={batch},h={heads},q={seq_q},d={head_dim},entropy={entropy}")
    }
}

impl OutputShape {
    /// Shapes of `o` and `stats`.
    pub(super) fn dims(&self) -> [Vec<usize>; 2] {
        let Self { batch, heads, seq_q, head_dim, entropy } = *self;
        [vec![batch, seq_q, heads, head_dim], vec![2 + usize::from(entropy), batch, heads, seq_q]]
    }

    /// Rows of all heads.
    pub(super) fn plane(&self) -> usize {
        self.batch * self.heads * self.seq_q
    }

    pub(super) fn check(&self, kernel: &'static str, parts: usize) -> Result<()> {
        let Self { batch, heads, seq_q, head_dim, .. } = *self;
        let elements = [heads, seq_q, head_dim, parts].iter().try_fold(batch, |n, &d| n.checked_mul(d));
        let sizes_fit = elements.is_some_and(|n| (1..u32::MAX as usize).contains(&n));
        if !sizes_fit {
            return Err(Error::problem(
                kernel,
                format!("{self}, {parts} parts: every size is at least 1, all together below 2^32"),
            ));
        }
        if !head_dim.is_multiple_of(4) || head_dim > 256 {
            return Err(Error::problem(
                kernel,
                format!("head_dim {head_dim}: a multiple of 4 up to 256 is needed"),
            ));
        }
        Ok(())
    }

    pub(super) fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let modules = [CUT, NAN, LOWEST, SOFTMAX_ROW, JOIN];
        let plain = |elem| {
            let variant = Variant::new(elem, lanes(caps)).with("HEAD_DIM", self.head_dim);
            modules.into_iter().fold(variant, Variant::module)
        };
        elems(caps, 4).into_iter().map(|elem| plain(elem).flag("ENTROPY", self.entropy)).collect()
    }

    /// Grid of one invocation for each vector of the results.
    pub(super) fn workgroups(&self, variant: &Variant) -> [u32; 3] {
        let items = (self.seq_q * (self.head_dim / 4)) as u32;
        [items.div_ceil(variant.number("WG_SIZE").max(1)), self.heads as u32, self.batch as u32]
    }
}
