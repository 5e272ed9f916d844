//! candle on the CPU.

use crate::library::{Call, Library, Result, Results};
use crate::rows::{Inputs, Op, swapped, transposed};
use candle_core::{D, Device, Tensor, Var};
use candle_nn::ops;

pub struct Candle;

fn upload<S: Into<candle_core::Shape>>(values: &[f32], shape: S) -> candle_core::Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)
}

/// A call of a function that returns its tensors. Attention's four axes come with the heads first.
fn call(run: impl Fn() -> candle_core::Result<Vec<Tensor>> + 'static) -> Result<Call> {
    Ok(Box::new(move || {
        let tensors = run()?;
        let read = move || tensors.iter().map(values).collect();
        Ok(Box::new(read) as Results)
    }))
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(match *tensor.dims() {
        [batch, heads, seq, dim] => swapped(&values, [batch, heads, seq, dim]),
        _ => values,
    })
}

/// Attention composed of candle's own operations; the fused softmax has no gradient.
fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    gradient: bool,
) -> candle_core::Result<Tensor> {
    let scale = 1.0 / (q.dim(D::Minus1)? as f64).sqrt();
    let mut scores = (q.matmul(&k.t()?)? * scale)?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(bias)?;
    }
    let map = if gradient { ops::softmax(&scores, D::Minus1)? } else { ops::softmax_last_dim(&scores)? };
    map.matmul(v)
}

impl Library for Candle {
    fn name(&self) -> String {
        format!("candle {} CPU", crate::library::version("candle-core"))
    }

    fn function(&self, op: &Op) -> &'static str {
        match op {
            Op::Matmul { linear: true, .. } => "Tensor::matmul, w.t() of (n, k)",
            Op::Matmul { .. } => "Tensor::matmul, w (k, n)",
            Op::Attention { backward: false, masked: false, .. } => "composed, softmax_last_dim",
            Op::Attention { backward: false, .. } => "composed, additive mask, softmax_last_dim",
            Op::Attention { masked: false, .. } => "composed, softmax",
            Op::Attention { .. } => "composed, additive mask, softmax",
            Op::LayerNorm { .. } => "ops::layer_norm",
            Op::Softmax { .. } => "ops::softmax_last_dim",
        }
    }

    fn prepare(&self, op: &Op, inputs: &Inputs) -> Result<Call> {
        let input = |at: usize| &inputs.tensors[at][..];
        match *op {
            Op::Matmul { m, n, k, linear } => {
                let x = upload(input(0), (m, k))?;
                let w = if linear {
                    upload(&transposed(input(1), k, n), (n, k))?.t()?
                } else {
                    upload(input(1), (k, n))?
                };
                call(move || Ok(vec![x.matmul(&w)?]))
            }
            Op::Attention { batch, heads, seq_q, seq_kv, dim, masked, backward } => {
                let heads_first = |at: usize, seq: usize| {
                    upload(&swapped(input(at), [batch, seq, heads, dim]), (batch, heads, seq, dim))
                };
                let (q, k, v) = (heads_first(0, seq_q)?, heads_first(1, seq_kv)?, heads_first(2, seq_kv)?);
                let d_o = heads_first(3, seq_q)?;
                let bias = if masked {
                    let bias =
                        |q, key| if inputs.hides(q, key, seq_q, seq_kv) { f32::NEG_INFINITY } else { 0.0 };
                    let values: Vec<f32> =
                        (0..seq_q).flat_map(|q| (0..seq_kv).map(move |key| bias(q, key))).collect();
                    Some(upload(&values, (seq_q, seq_kv))?)
                } else {
                    None
                };
                if !backward {
                    return call(move || Ok(vec![attend(&q, &k, &v, bias.as_ref(), false)?]));
                }
                let (q, k, v) = (Var::from_tensor(&q)?, Var::from_tensor(&k)?, Var::from_tensor(&v)?);
                call(move || {
                    let o = attend(&q, &k, &v, bias.as_ref(), true)?;
                    // The gradient of this sum by o is d_o.
                    let gradients = (&o * &d_o)?.sum_all()?.backward()?;
                    let of_inputs = [&q, &k, &v].into_iter().filter_map(|x| gradients.get(x).cloned());
                    Ok([o.detach()].into_iter().chain(of_inputs).collect())
                })
            }
            Op::LayerNorm { rows, cols } => {
                let (x, scale) = (upload(input(0), (rows, cols))?, upload(input(1), cols)?);
                let shift = upload(input(2), cols)?;
                call(move || Ok(vec![ops::layer_norm(&x, &scale, &shift, crate::EPS)?]))
            }
            Op::Softmax { rows, cols } => {
                let x = upload(input(0), (rows, cols))?;
                call(move || Ok(vec![ops::softmax_last_dim(&x)?]))
            }
        }
    }
}
