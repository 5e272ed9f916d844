//! `p ← p·(1 − lr·decay)`, `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`,
//! `p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)`: AdamW with decoupled weight decay, as torch does it.
//!
//! Shapes: `parameter`, `gradient`, `first_moment`, `second_moment (n)`, all f32 in separate buffers. Memory written:
//! parameter and both moments, in place. A new run starts from zero moments at step 1.
//!
//! Errors: no element or more than 2³¹, a step of zero, betas outside 0..1, an eps that is not above zero, a rate or a
//! decay that f32 does not hold.

use crate::gpu::Caps;
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Settings of AdamW; the defaults are torch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of the squared gradient's mean.
    pub beta2: f64,
    /// Added to the root of the squared gradient's mean.
    pub eps: f64,
    /// Share of the parameter that a step at learning rate 1 takes away.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// One step on `count` elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Elements.
    pub count: usize,
    /// Settings.
    pub settings: AdamW,
    /// Number of this step, from 1.
    pub step: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    keep: f32,
    beta1: f32,
    fresh1: f32,
    beta2: f32,
    fresh2: f32,
    step_size: f32,
    root_scale: f32,
    eps: f32,
}

impl fmt::Display for AdamWStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, step, settings: AdamW { lr, weight_decay, .. } } = self;
        write!(f, "adamw(n={count},step={step},lr={lr},decay={weight_decay})")
    }
}

impl AdamWStep {
    /// `1 − βᵗ` for both moments.
    fn corrections(&self) -> [f64; 2] {
        let t = f64::from(self.step);
        [1.0 - self.settings.beta1.powf(t), 1.0 - self.settings.beta2.powf(t)]
    }

    /// The settings, for who has to mend them.
    fn shown(&self) -> String {
        let AdamW { lr, beta1, beta2, eps, weight_decay } = self.settings;
        format!("a rate of {lr:e}, betas {beta1} and {beta2}, eps {eps:e}, a decay of {weight_decay:e}")
    }
}

impl Kernel for AdamWStep {
    const STEM: &'static str = "adamw";
    const SHADER: Source = wgsl!("optim/adamw.wgsl");

    fn check(&self) -> Result<()> {
        let AdamW { lr, beta1, beta2, eps, weight_decay } = self.settings;
        let beta = |b: f64| (0.0..1.0).contains(&b);
        let positive = |v: f64| v.is_finite() && v >= 0.0;
        // Half of u32, so that the last workgroup's surplus invocations do not wrap around.
        if self.count == 0 || self.count > 1 << 31 {
            return Err(Error::problem(Self::STEM, format!("{} elements: 1 ..= 2^31", self.count)));
        }
        if self.step == 0 {
            return Err(Error::problem(Self::STEM, "steps are counted from 1"));
        }
        // The shader adds eps in f32, so it has to be a positive number there.
        if !beta(beta1)
            || !beta(beta2)
            || !positive(lr)
            || !positive(weight_decay)
            || !(eps as f32).is_normal()
            || eps < 0.0
        {
            let reason = format!("{}: betas are in 0..1, eps above 0, the others 0 or more", self.shown());
            return Err(Error::problem(Self::STEM, reason));
        }
        let [first, _] = self.corrections();
        if [lr / first, 1.0 - lr * weight_decay].into_iter().any(|v| !(v as f32).is_finite()) {
            let reason = format!("{}: step {} is beyond f32", self.shown(), self.step);
            return Err(Error::problem(Self::STEM, reason));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let n = [self.count];
        vec![
            Slot::update("parameter", n).f32(),
            Slot::read("gradient", n).f32(),
            Slot::update("first_moment", n).f32(),
            Slot::update("second_moment", n).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, lanes(caps)).module(GRID)]
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let AdamW { lr, beta1, beta2, eps, weight_decay } = self.settings;
        let [first, second] = self.corrections();
        let params = Params {
            count: self.count as u32,
            keep: (1.0 - lr * weight_decay) as f32,
            beta1: beta1 as f32,
            fresh1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            fresh2: (1.0 - beta2) as f32,
            step_size: (lr / first) as f32,
            root_scale: (1.0 / second.sqrt()) as f32,
            eps: eps as f32,
        };
        Launch::new(&params, grid(self.count.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let n = self.count as f64;
        Work { flops: 15.0 * n, bytes: 28.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for AdamWStep {
    const FAMILY: &'static str = "optim";
    const SUMMARY: &'static str = "one AdamW step in place";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [p, g, m, v] = inputs else { return Vec::new() };
        let AdamW { lr, beta1, beta2, eps, weight_decay } = self.settings;
        let [first, second] = self.corrections();
        let m = Array::from_fn([self.count], |i| beta1 * m.data[i] + (1.0 - beta1) * g.data[i]);
        let v = Array::from_fn([self.count], |i| beta2 * v.data[i] + (1.0 - beta2) * g.data[i] * g.data[i]);
        let p = Array::from_fn([self.count], |i| {
            p.data[i] * (1.0 - lr * weight_decay)
                - lr * (m.data[i] / first) / ((v.data[i] / second).sqrt() + eps)
        });
        vec![p, m, v]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let n = [self.count];
        let p = inputs::normal(rng, n, 1.0);
        let mut g = inputs::normal(rng, n, 1e-2);
        // Moments of a run: the second is at least the square of the first. Elements 1, 4, 7 … start from zero, and
        // every fifth gradient is zero, so that 0 / (0 + eps) occurs.
        let mut m = inputs::tame(rng, n, 1e-2);
        let spread = inputs::uniform(rng, n, 1.0, 4.0);
        for i in 0..self.count {
            m.data[i] = if i % 3 == 1 { 0.0 } else { m.data[i] };
            g.data[i] = if i % 5 == 4 { 0.0 } else { g.data[i] };
        }
        let v = Array::from_fn(n, |i| spread.data[i] * m.data[i] * m.data[i]);
        vec![p, g, m, v]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        let lr = self.settings.lr;
        vec![
            Tolerance {
                atol: 1e-5 * lr,
                rtol: 3e-7,
                reason: "f32 rounding of the parameter and of an update of order lr",
            },
            Tolerance { atol: 1e-8, rtol: 1e-6, reason: "two f32 products of order 1e-2 that may cancel" },
            Tolerance { atol: 1e-10, rtol: 1e-6, reason: "two f32 products of one sign" },
        ]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |count, step, lr, weight_decay| Self {
            count,
            settings: AdamW { lr, weight_decay, ..AdamW::default() },
            step,
        };
        vec![
            case(1, 1, 1e-3, 0.01),
            case(37, 2, 5e-4, 0.01),
            case(1000, 1, 1e-3, 0.0),
            case(257, 10_000, 0.1, 0.1),
            case(64, 3, 0.0, 0.01),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![(
            "wan-1.3b 480p latent",
            Self { count: 16 * 21 * 60 * 104, settings: AdamW::default(), step: 1 },
        )]
    }
}

/// One step, number `step` from 1: changes `parameter` and both moments in place. The four tensors have as many
/// elements each, in any shape.
pub fn adamw(
    parameter: &Tensor,
    gradient: &Tensor,
    first_moment: &Tensor,
    second_moment: &Tensor,
    settings: &AdamW,
    step: u32,
) -> Result<()> {
    let count = parameter.len();
    let flat = |name: &'static str, tensor: &Tensor| {
        tensor.reshape([count]).map_err(|_| Error::Shape {
            kernel: AdamWStep::STEM,
            tensor: name.into(),
            axis: "number of elements".into(),
            expected: count,
            found: tensor.len(),
        })
    };
    run(
        parameter.context(),
        &AdamWStep { count, settings: *settings, step },
        &[
            &flat("parameter", parameter)?,
            &flat("gradient", gradient)?,
            &flat("first_moment", first_moment)?,
            &flat("second_moment", second_moment)?,
        ],
    )
}
