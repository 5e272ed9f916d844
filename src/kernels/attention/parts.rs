//! Attention whose keys are cut into parts where one pass over all of them would leave most of a GPU idle.

use super::attention::Attention;
use super::attention_join::attention_join;
use super::output::AttentionOutput;
use super::problem::AttentionProblem;
use crate::gpu::{AdapterClass, Caps};
use crate::kernels::{Choices, Kernel, run};
use crate::{Dtype, Result, Tensor};

impl Attention {
    /// As many parts as give a GPU some workgroups for each of its cores; one where there are enough without, or where
    /// parts would be so short that joining them costs what they save. Of very many keys several on every device, since sums
    /// of fewer lose less.
    ///
    /// # Errors
    /// [`Error::Problem`](crate::Error::Problem) for a problem that attention does not accept.
    pub fn for_device(problem: &AttentionProblem, caps: &Caps) -> Result<Self> {
        problem.check(Self::STEM)?;
        const KEYS: usize = 256;
        const MOST_KEYS: usize = 1 << 17;
        let whole = Self::from(problem.clone());
        let seq_kv = problem.shape.seq_kv;
        let long = seq_kv.div_ceil(MOST_KEYS);
        if caps.class == AdapterClass::Software {
            return Ok(Self { parts: long, ..whole });
        }
        let workgroups = whole.variants(caps).first().map_or(1, |variant| {
            let [x, y, z] = whole.launch(caps, variant).workgroups.map(|n| n as usize);
            (x * y * z).max(1)
        });
        let parts = Choices::of(caps).workgroups.div_ceil(workgroups).min(seq_kv / KEYS);
        Ok(Self { parts: parts.max(long).max(1), ..whole })
    }

    /// Runs the kernel and joins what it gives of parts; tensors and errors as for [`attention`].
    pub fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, tables: &Tensor) -> Result<AttentionOutput> {
        self.check()?;
        let context = q.context();
        let [o, stats] = self.outputs();
        let o = Tensor::empty(context, o, q.dtype())?;
        let stats = Tensor::empty(context, stats, Dtype::F32)?;
        run(context, self, &[q, k, v, tables, &o, &stats])?;
        match self.parts {
            1 => Ok(AttentionOutput { o, stats }),
            _ => attention_join(&o, &stats),
        }
    }
}

/// Runs the forward: `q (batch, seq_q, heads, head_dim)`, `k`, `v` `(batch, seq_kv, kv_heads, head_dim)`, and `tables`
/// from [`super::Tables::upload`] for the same problem.
///
/// Scores may be any finite numbers. Only a mask hides a key; what is hidden does not matter, whatever it holds, and a
/// NaN that a row sees makes its result NaN. A row that sees nothing gives 0, as does one whose scores are all −∞.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for sizes and options that attention does not accept; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn attention(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    tables: &Tensor,
) -> Result<AttentionOutput> {
    Attention::for_device(problem, q.context().caps())?.attend(q, k, v, tables)
}
