//! Layers: weights on the device and calls on the tape.

use crate::autograd::{LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::{HostTensor, Result, Tensor};

/// `y = x wᵀ + b`; `w (out, in)`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Uploads weight `(out, …)`, its further axes flattened, and bias `(out)`; without a bias it is zero.
    pub fn new(context: &Context, weight: &HostTensor, bias: Option<&HostTensor>) -> Result<Self> {
        let out = weight.shape().dims().first().copied().unwrap_or(0);
        let inner = weight.data().len() / out.max(1);
        let weight = Tensor::from_f32(context, [out, inner], weight.data())?;
        let bias = match bias {
            Some(bias) => Tensor::from_f32(context, [out], bias.data())?,
            None => Tensor::zeros(context, [out])?,
        };
        Ok(Self { weight, bias })
    }

    /// Applies the layer with what follows it.
    pub fn then(&self, tape: &mut Tape, x: &Var, then: LinearThen<'_>) -> Result<Var> {
        tape.linear(x, &self.weight, &self.bias, then)
    }

    /// Applies the layer.
    pub fn apply(&self, tape: &mut Tape, x: &Var) -> Result<Var> {
        self.then(tape, x, LinearThen::Nothing)
    }

    /// Number of outputs.
    pub fn out(&self) -> usize {
        self.bias.len()
    }
}

/// Layer norm with a learnt scale and shift.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    scale: Tensor,
    shift: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Uploads scale and shift `(cols)`.
    pub fn new(context: &Context, scale: &HostTensor, shift: &HostTensor, eps: f64) -> Result<Self> {
        let row = |t: &HostTensor| Tensor::from_f32(context, [1, t.data().len()], t.data());
        Ok(Self { scale: row(scale)?, shift: row(shift)?, eps: eps as f32 })
    }

    /// Applies the norm over the last axis.
    pub fn apply(&self, tape: &mut Tape, x: &Var) -> Result<Var> {
        tape.layer_norm(x, &self.scale, &self.shift, false, self.eps)
    }
}

/// RMS norm with a learnt scale, over the whole last axis.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// Uploads the scale `(cols)`.
    pub fn new(context: &Context, weight: &HostTensor, eps: f64) -> Result<Self> {
        Ok(Self { weight: Tensor::from_f32(context, [weight.data().len()], weight.data())?, eps: eps as f32 })
    }

    /// Applies the norm over the last axis, then a rotation of `rope` = (table, grid) where given.
    pub fn apply(&self, tape: &mut Tape, x: &Var, rope: Option<(&Tensor, [usize; 3])>) -> Result<Var> {
        tape.rms_norm(x, &self.weight, self.eps, rope)
    }
}
