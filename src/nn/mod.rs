//! Layers: weights on the device and calls on the tape.

mod optimiser;
mod parameters;

pub use optimiser::{Accumulated, Optimiser, WarmupLinear};
pub use parameters::{Parameters, Weights};

use crate::autograd::{LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::kernels::rowwise::RopeAt;
use crate::{Dtype, Error, HostTensor, Result, Tensor};

/// How a model's numbers lie in device memory. Arithmetic is f32 whatever they are; statistics, biases, scales and
/// everything of one value a row stay f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Precision {
    /// Weights of linear layers.
    pub weights: Dtype,
    /// What flows between layers, and its gradients.
    pub activations: Dtype,
}

impl Default for Precision {
    fn default() -> Self {
        Self::F32
    }
}

impl Precision {
    /// Everything in f32.
    pub const F32: Self = Self { weights: Dtype::F32, activations: Dtype::F32 };
    /// Everything in bf16, f32's range in half the memory; works on every adapter.
    pub const BF16: Self = Self { weights: Dtype::Bf16, activations: Dtype::Bf16 };
    /// Weights in bf16, as most are published; results differ from f32's by the rounding of the weights alone.
    pub const BF16_WEIGHTS: Self = Self { weights: Dtype::Bf16, activations: Dtype::F32 };
    /// Everything in f16. Gradients into an attention map are of the size 10⁻⁶ and smaller, where f16 has few digits
    /// left: for passes without gradients.
    pub const F16: Self = Self { weights: Dtype::F16, activations: Dtype::F16 };

    /// Refuses pairs that no kernel stores.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for f16 on a device without it; [`Error::Input`] for narrower activations than weights
    /// or for indices.
    pub fn check(self, context: &Context) -> Result<()> {
        let Self { weights, activations } = self;
        let caps = context.caps();
        if [weights, activations].contains(&Dtype::F16) && !caps.f16 {
            return Err(Error::Unsupported {
                what: format!("precision {self}"),
                adapter: caps.adapter.clone(),
                reason: "the device has no f16; bf16 works everywhere".into(),
            });
        }
        let stored = [Dtype::F32, Dtype::F16, Dtype::Bf16].contains(&weights)
            && (activations == Dtype::F32 || activations == weights);
        if stored {
            Ok(())
        } else {
            Err(Error::input("precision", format!("{self} is not one of {PRECISIONS}")))
        }
    }
}

const PRECISIONS: &str = "f32, bf16, f16, bf16-weights, f16-weights";

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { weights, activations } if weights == activations => write!(f, "{weights}"),
            Self { weights, activations: Dtype::F32 } => write!(f, "{weights}-weights"),
            Self { weights, activations } => write!(f, "{weights} weights, {activations} activations"),
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = Error;

    /// `f32`, `bf16`, `f16`, `bf16-weights` or `f16-weights`.
    fn from_str(s: &str) -> Result<Self> {
        Ok(match s {
            "f32" => Self::F32,
            "bf16" => Self::BF16,
            "f16" => Self::F16,
            "bf16-weights" => Self::BF16_WEIGHTS,
            "f16-weights" => Self { weights: Dtype::F16, activations: Dtype::F32 },
            _ => return Err(Error::input("precision", format!("`{s}` is not one of {PRECISIONS}"))),
        })
    }
}

/// `y = x wᵀ + b`; `w (out, in)`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Both constants.
    weight: Var,
    bias: Var,
}

impl Linear {
    /// Uploads weight `(out, …)`, its further axes flattened and stored as `storage`, and bias `(out)` in f32; without
    /// a bias it is zero.
    ///
    /// # Errors
    /// [`Error::Input`] for a finite weight that `storage` does not hold, for sizes of bf16 that are no multiples of
    /// four, and for a bias of another size; otherwise those of an upload.
    pub fn new(
        context: &Context,
        weight: &HostTensor,
        bias: Option<&HostTensor>,
        storage: Dtype,
    ) -> Result<Self> {
        let out = weight.shape().dims().first().copied().unwrap_or(0);
        let inner = weight.data().len() / out.max(1);
        if storage == Dtype::Bf16 && !(out.is_multiple_of(4) && inner.is_multiple_of(4)) {
            let reason =
                format!("{out} × {inner}: bf16 lies two in a word, so both sizes are multiples of four");
            return Err(Error::input("linear weight", reason));
        }
        // A plan's weights are zeros, and gigabytes of them.
        if storage != Dtype::F32 && !context.is_plan() {
            let lost = |v: f32| v.is_finite() && !storage.round(v.into()).is_finite();
            if let Some((i, v)) = weight.data().iter().enumerate().find(|(_, v)| lost(**v)) {
                let reason = format!("element {i} is {v}, which {storage} does not hold");
                return Err(Error::input("linear weight", reason));
            }
        }
        let weight = Tensor::from_f32_as(context, [out, inner], weight.data(), storage)?;
        let bias = match bias {
            Some(bias) => Tensor::from_f32(context, [out], bias.data())?,
            None => Tensor::zeros(context, [out], Dtype::F32)?,
        };
        Ok(Self { weight: Var::constant(weight), bias: Var::constant(bias) })
    }

    /// Applies the layer with what follows it.
    pub fn then(&self, tape: &mut Tape, x: &Var, then: LinearThen<'_>) -> Result<Var> {
        tape.linear_then(x, &self.weight, Some(&self.bias), then)
    }

    /// Applies the layer.
    pub fn apply(&self, tape: &mut Tape, x: &Var) -> Result<Var> {
        self.then(tape, x, LinearThen::Nothing)
    }

    /// Number of outputs.
    pub fn out(&self) -> usize {
        self.bias.tensor().len()
    }
}

/// Layer norm with a learnt scale and shift.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// Both constants.
    scale: Var,
    shift: Var,
    eps: f32,
}

impl LayerNorm {
    /// Uploads scale and shift `(cols)`.
    pub fn new(context: &Context, scale: &HostTensor, shift: &HostTensor, eps: f64) -> Result<Self> {
        let row =
            |t: &HostTensor| Tensor::from_f32(context, [1, t.data().len()], t.data()).map(Var::constant);
        Ok(Self { scale: row(scale)?, shift: row(shift)?, eps: eps as f32 })
    }

    /// Applies the norm over the last axis.
    pub fn apply(&self, tape: &mut Tape, x: &Var) -> Result<Var> {
        tape.layer_norm(x, &self.scale, &self.shift, self.eps)
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

    /// Applies the norm over the last axis, then the rotation of `rope` where given.
    pub fn apply(&self, tape: &mut Tape, x: &Var, rope: Option<&RopeAt>) -> Result<Var> {
        tape.rms_norm(x, &self.weight, self.eps, rope)
    }
}
