//! Results of the forward, and of merged parts.

use crate::{Result, Tensor};

/// What the forward returns.
#[derive(Debug, Clone)]
pub struct AttentionOutput {
    /// `(batch, seq_q, heads, head_dim)`
    pub o: Tensor,
    /// `(1 or 2, batch, heads, seq_q)` f32: lse, then entropy where asked.
    pub stats: Tensor,
}

impl AttentionOutput {
    /// Log-sum-exp of each row `(batch, heads, seq_q)`, nats.
    pub fn lse(&self) -> Result<Tensor> {
        let dims = self.stats.dims().get(1..).unwrap_or_default().to_vec();
        self.stats.narrow(0, 1)?.reshape(dims)
    }

    /// Entropy of each row `(batch, heads, seq_q)`, nats; an error when it was not asked for.
    pub fn entropy(&self) -> Result<Tensor> {
        let dims = self.stats.dims().get(1..).unwrap_or_default().to_vec();
        self.stats.narrow(1, 1)?.to_owned_copy()?.reshape(dims)
    }
}
