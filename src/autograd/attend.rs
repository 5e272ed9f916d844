//! Attention on the tape, with its reductions as further outputs.

use super::{Gradients, KeptAttention, Mode, Tape, Var};
use crate::kernels::attention::{
    AttentionOutput, AttentionProblem, AttentionShape, Mass, Tables, attention, attention_backward_delta,
    attention_backward_dkv, attention_backward_dq, attention_column_mass, attention_columns,
};
use crate::{Dtype, Result, Tensor};

/// One attention call: problem and tensors, which may be kept and sent to another thread.
#[derive(Debug, Clone)]
pub struct Attend {
    /// Sizes, mask, reductions.
    pub problem: AttentionProblem,
    /// `(batch, seq_q, heads, head_dim)`
    pub q: Var,
    /// `(batch, seq_kv, kv_heads, head_dim)`
    pub k: Var,
    /// `(batch, seq_kv, kv_heads, head_dim)`
    pub v: Var,
    /// From [`Tables::upload`]. Where absent, those of [`Tables::default`] are uploaded with every call: for a problem that reads
    /// none, or none but natural ones.
    pub tables: Option<Tensor>,
    /// Map of token columns `(batch, groups, seq_q)` so far, where the problem asks for columns; it is added to in
    /// place, and the returned variable stands for the sum. Where absent, the sum begins with this call.
    pub columns: Option<Var>,
}

impl Attend {
    /// Attention of `q` to `k` and `v` with natural tables.
    pub fn new(problem: &AttentionProblem, q: &Var, k: &Var, v: &Var) -> Self {
        let [q, k, v] = [q, k, v].map(Var::clone);
        Self { problem: problem.clone(), q, k, v, tables: None, columns: None }
    }

    /// Sets [`Self::tables`].
    pub fn with_tables(self, tables: &Tensor) -> Self {
        Self { tables: Some(tables.clone()), ..self }
    }

    /// Sets [`Self::columns`].
    pub fn with_columns(self, columns: &Var) -> Self {
        Self { columns: Some(columns.clone()), ..self }
    }
}

/// What an attention call leaves on the tape.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attended {
    /// `(batch, seq_q, heads, head_dim)`
    pub o: Var,
    /// Columns with those of this call added `(batch, groups, seq_q)`, where asked.
    pub columns: Option<Var>,
    /// Row entropy `(batch, heads, seq_q)`, where asked.
    pub entropy: Option<Var>,
    /// Column mass `(planes, batch, seq_kv)`, where asked; a gradient reaches its first plane.
    pub mass: Option<Var>,
}

impl Tape {
    /// Attention with the reductions that the problem asks for.
    ///
    /// # Errors
    /// Those of the kernels; [`Error::Tape`](crate::Error::Tape) for variables of another tape, and for a map that another call
    /// has added to since: the variable that it returned stands for the sum.
    pub fn attend(&mut self, call: &Attend) -> Result<Attended> {
        let Attend { problem, q, k, v, tables, columns } = call;
        self.admit("attend", &[q, k, v])?;
        let asked = problem.readout;
        let given = columns.as_ref().filter(|_| asked.groups > 0);
        if let Some(map) = given {
            self.admit("attend", &[map])?;
            // Added to in place, so that also without a gradient a sum that went on elsewhere is an error.
            map.unchanged("attend")?;
        }
        let context = q.tensor().context();
        let tables = match tables {
            Some(tables) => tables.clone(),
            None => Tables::default().upload(context, problem)?,
        };
        let (fresh, replayed) = match &mut self.mode {
            Mode::Replay(kept) => (false, kept.pop_front()),
            _ => (true, None),
        };
        let out = match replayed {
            Some(KeptAttention { o, stats }) => AttentionOutput { o, stats },
            None => attention(problem, q.tensor(), k.tensor(), v.tensor(), &tables)?,
        };
        let map = match given {
            Some(map) => Some(map.tensor().clone()),
            None if asked.groups > 0 => {
                let AttentionShape { batch, seq_q, .. } = problem.shape;
                Some(Tensor::zeros(context, [batch, asked.groups, seq_q], Dtype::F32)?)
            }
            None => None,
        };
        // A replay finds the map of a caller as the first run left it; one that begins here begins again.
        if let Some(map) = map.as_ref().filter(|_| fresh || given.is_none()) {
            attention_columns(problem, q.tensor(), k.tensor(), &out.stats, &tables, map)?;
        }
        if let Mode::Keep(kept) = &mut self.mode {
            kept.push_back(KeptAttention { o: out.o.clone(), stats: out.stats.clone() });
        }
        let saved = [q.tensor(), k.tensor(), v.tensor(), &tables, &out.o, &out.stats].map(Tensor::clone);
        self.note(&saved.each_ref());
        let wants = self.recording() && [q, k, v].iter().any(|x| x.requires_grad());
        let o = self.var(out.o.clone(), wants);
        let summed = self.recording() && given.is_some_and(Var::requires_grad);
        let columns = map.map(|map| self.var(map, wants || summed));
        let entropy = if asked.entropy { Some(self.var(out.entropy()?, wants)) } else { None };
        let mass = match asked.mass {
            Some(_) => Some(attention_column_mass(problem, q.tensor(), k.tensor(), &out.stats, &tables)?),
            None => None,
        };
        let mass = mass.map(|m| self.var(m, wants));
        let attended = Attended { o, columns, entropy, mass };
        if wants || summed {
            let call = Attend { tables: None, columns: given.cloned(), ..call.clone() };
            let node = Node { call, tables, out, attended: attended.clone() };
            self.node("attend", &saved.each_ref(), move |gradients| node.backward(gradients));
        }
        Ok(attended)
    }
}

struct Node {
    call: Attend,
    tables: Tensor,
    out: AttentionOutput,
    attended: Attended,
}

impl Node {
    fn backward(self, gradients: &mut Gradients) -> Result<()> {
        let d_o = gradients.take(&self.attended.o)?;
        let mut reduction = |var: &Option<Var>| match var {
            Some(var) => gradients.take(var),
            None => Ok(None),
        };
        let d_columns = reduction(&self.attended.columns)?;
        let d_entropy = reduction(&self.attended.entropy)?;
        let d_mass = reduction(&self.attended.mass)?;
        // Columns accumulate over calls, so their gradient reaches every call alike.
        if let (Some(before), Some(d)) = (&self.call.columns, &d_columns) {
            gradients.add(before, d.clone())?;
        }
        let nothing = d_o.is_none() && d_columns.is_none() && d_entropy.is_none() && d_mass.is_none();
        if nothing || ![&self.call.q, &self.call.k, &self.call.v].iter().any(|x| x.requires_grad()) {
            return Ok(());
        }
        let problem = AttentionProblem { output_gradient: d_o.is_some(), ..self.call.problem.clone() };
        let map_grads = self.map_grads(&problem, d_columns, d_entropy, d_mass)?;
        let (q, k, v) = (self.call.q.tensor(), self.call.k.tensor(), self.call.v.tensor());
        // Where no gradient of the output flows in, any tensor of its shape may stand in its slot unread.
        let d_o = d_o.unwrap_or_else(|| q.clone());
        let (o, stats) = (&self.out.o, &self.out.stats);
        let stats = attention_backward_delta(&problem, q, k, o, &d_o, stats, &self.tables, &map_grads)?;
        if self.call.q.requires_grad() {
            gradients.add(
                &self.call.q,
                attention_backward_dq(&problem, q, k, v, &d_o, &stats, &self.tables, &map_grads)?,
            )?;
        }
        if self.call.k.requires_grad() || self.call.v.requires_grad() {
            let (dk, dv) = attention_backward_dkv(&problem, q, k, v, &d_o, &stats, &self.tables, &map_grads)?;
            gradients.add(&self.call.k, dk)?;
            gradients.add(&self.call.v, dv)?;
        }
        Ok(())
    }

    /// Packs the gradients of the reductions as the kernels read them; absent ones are zero.
    fn map_grads(
        &self,
        problem: &AttentionProblem,
        columns: Option<Tensor>,
        entropy: Option<Tensor>,
        mass: Option<Tensor>,
    ) -> Result<Tensor> {
        let context = self.call.q.tensor().context();
        let len = problem.map_grads_len();
        let all_given = (problem.readout.groups == 0 || columns.is_some())
            && (!problem.readout.entropy || entropy.is_some())
            && (problem.readout.mass.is_none() || mass.is_some());
        let packed = if all_given && len > 1 {
            Tensor::empty(context, [len], Dtype::F32)?
        } else {
            Tensor::zeros(context, [len], Dtype::F32)?
        };
        let [entropy_at, mass_at, _] = problem.map_grads_offsets();
        let put = |part: Option<Tensor>, at: usize, count: usize| match part {
            Some(part) => part.reshape([part.len()])?.narrow(0, count)?.copy_to(&packed.narrow(at, count)?),
            None => Ok(()),
        };
        put(columns, 0, entropy_at)?;
        put(entropy, entropy_at, mass_at - entropy_at)?;
        let keys = problem.shape.batch * problem.shape.seq_kv;
        put(mass, mass_at, keys)?;
        if let (Some(Mass::Max), Some(forward)) = (problem.readout.mass, &self.attended.mass) {
            let forward = forward.tensor();
            let largest = forward.reshape([forward.len()])?.narrow(keys, keys)?;
            largest.copy_to(&packed.narrow(mass_at + keys, keys)?)?;
        }
        Ok(packed)
    }
}
