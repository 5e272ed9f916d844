//! Sizes of attention.

/// Sizes. `q` and `o` are `(batch, seq_q, heads, head_dim)`, `k` and `v` `(batch, seq_kv, kv_heads, head_dim)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// Independent sequences.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Queries of a sequence.
    pub seq_q: usize,
    /// Keys of a sequence.
    pub seq_kv: usize,
    /// Width of a head; a multiple of 4, up to 256.
    pub head_dim: usize,
}
