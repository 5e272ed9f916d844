//! foveal: the library of this repository, through its public API.

use crate::library::{Call, Library, Result, Results};
use crate::rows::{FRAMES, Inputs, Op};
use foveal::autograd::{Attend, Tape};
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Tables, attention};
use foveal::kernels::matmul::Layout;
use foveal::kernels::{Then, matmul};
use foveal::kernels::rowwise::{layer_norm, softmax};
use foveal::{AdapterChoice, Context, ContextOptions, Tensor};
use foveal::block_on;

pub struct Foveal {
    pub context: Context,
}

impl Foveal {
    pub fn new(adapter: &AdapterChoice) -> Result<Self> {
        let options = ContextOptions::default().adapter(adapter.clone());
        Ok(Self { context: block_on(Context::new(options))? })
    }

    /// A call of a function that returns its tensors.
    fn call(&self, run: impl Fn() -> foveal::Result<Vec<Tensor>> + 'static) -> Call {
        let context = self.context.clone();
        Box::new(move || {
            let tensors = run()?;
            block_on(context.finish())?;
            let read = move || tensors.iter().map(|t| Ok(block_on(t.to_vec())?)).collect();
            Ok(Box::new(read) as Results)
        })
    }
}

impl Library for Foveal {
    fn name(&self) -> String {
        format!("foveal {}", crate::library::version("foveal"))
    }

    fn function(&self, op: &Op) -> &'static str {
        match op {
            Op::Matmul { linear: true, .. } => "kernels::matmul, w (n, k)",
            Op::Matmul { .. } => "kernels::matmul, w (k, n)",
            Op::Attention { backward: false, masked: false, .. } => "kernels::attention",
            Op::Attention { backward: false, .. } => "kernels::attention, Mask::Temporal",
            Op::Attention { masked: false, .. } => "Tape::attend",
            Op::Attention { .. } => "Tape::attend, Mask::Temporal",
            Op::LayerNorm { .. } => "kernels::layer_norm",
            Op::Softmax { .. } => "kernels::softmax",
        }
    }

    fn prepare(&self, op: &Op, inputs: &Inputs) -> Result<Call> {
        let upload =
            |at: usize, dims: &[usize]| Tensor::from_f32(&self.context, dims.to_vec(), &inputs.tensors[at]);
        match *op {
            Op::Matmul { m, n, k, linear } => {
                let x = upload(0, &[m, k])?;
                let (w, layout) = if linear {
                    let w = crate::rows::transposed(&inputs.tensors[1], k, n);
                    (Tensor::from_f32(&self.context, [n, k], &w)?, Layout::Rows)
                } else {
                    (upload(1, &[k, n])?, Layout::Columns)
                };
                Ok(self.call(move || Ok(vec![matmul(&x, &w, layout, Then::Nothing)?])))
            }
            Op::Attention { batch, heads, seq_q, seq_kv, dim, masked, backward } => {
                let shape = AttentionShape { batch, heads, kv_heads: heads, seq_q, seq_kv, head_dim: dim };
                let tokens_per_frame = seq_q.div_ceil(FRAMES);
                let mask = if masked { Mask::Temporal { tokens_per_frame } } else { Mask::None };
                let problem = AttentionProblem { mask, ..AttentionProblem::new(shape) };
                let biases: Vec<f32> =
                    inputs.hidden.iter().map(|&hidden| if hidden { f32::MIN } else { 0.0 }).collect();
                let tables = Tables::default().with_mask(biases).upload(&self.context, &problem)?;
                let (q_dims, kv_dims) = ([batch, seq_q, heads, dim], [batch, seq_kv, heads, dim]);
                let (q, k, v) = (upload(0, &q_dims)?, upload(1, &kv_dims)?, upload(2, &kv_dims)?);
                let d_o = upload(3, &q_dims)?;
                Ok(self.call(move || {
                    if !backward {
                        return Ok(vec![attention(&problem, &q, &k, &v, &tables)?.o]);
                    }
                    let mut tape = Tape::record();
                    let [q, k, v] = [&q, &k, &v].map(|x| tape.leaf(x.clone()));
                    let call =
                        Attend::new(&problem, &q, &k, &v).with_tables(&tables);
                    let o = tape.attend(&call)?.o;
                    let gradients = tape.backward(&[(&o, d_o.clone())])?;
                    let mut results = vec![o.tensor().clone()];
                    for x in [&q, &k, &v] {
                        results.extend(gradients.of(x)?);
                    }
                    Ok(results)
                }))
            }
            Op::LayerNorm { rows, cols } => {
                let (x, scale, shift) = (upload(0, &[rows, cols])?, upload(1, &[cols])?, upload(2, &[cols])?);
                Ok(self.call(move || Ok(vec![layer_norm(&x, &scale, &shift, false, crate::EPS)?])))
            }
            Op::Softmax { rows, cols } => {
                let x = upload(0, &[rows, cols])?;
                Ok(self.call(move || Ok(vec![softmax(&x, 1.0)?])))
            }
        }
    }
}
