//! Attention whose keys are cut into parts where one pass over all of them would leave most of a GPU idle.

use super::attention::Attention;
use super::attention_join::attention_join;
use super::output::AttentionOutput;
use super::problem::AttentionProblem;
use crate::gpu::{AdapterClass, Caps};
use crate::kernels::{Kernel, run};
use crate::{Dtype, Result, Tensor};

impl Attention {
    /// As many parts as give a GPU some workgroups for each of its cores; one where there are enough without, or where
    /// parts would be so short that joining them costs what they save. Of very many keys several on every device, since sums
    /// of fewer lose less.
    pub fn for_device(problem: &AttentionProblem, caps: &Caps) -> Result<Self> {
        problem.check(Self::STEM)?;
        const WORKGROUPS: usize = 256;
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
        let parts = WORKGROUPS.div_ceil(workgroups).min(seq_kv / KEYS);
        Ok(Self { parts: parts.max(long).max(1), ..whole })
    }

    /// Runs the kernel and joins what it gives of parts.
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

/// Runs the forward. `tables` comes from [`super::Tables::upload`] for the same problem.
pub fn attention(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    tables: &Tensor,
) -> Result<AttentionOutput> {
    Attention::for_device(problem, q.context().caps())?.attend(q, k, v, tables)
}
