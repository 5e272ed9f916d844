//! Functions of single elements: everything that kernels of one shape throughout have in common.
//!
//! Shapes: inputs and the result of any one shape and storage type. Memory written: the result.
//!
//! Errors: more than 2³¹ elements in one dispatch ([`each`] cuts larger tensors).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_len, groups_for, pack, pieces, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor};
use std::fmt::{self, Debug};
use std::marker::PhantomData;

/// A function of one element of each input. Its body takes `params.packs` packs, [`Each`] is its kernel.
pub trait Pointwise: Clone + Debug + Send + Sync + 'static {
    /// The one name: shader file, host file, entry point, registry line.
    const STEM: &'static str;
    /// The body.
    const SHADER: Source;
    /// Modules that complete it, beside the packs.
    const MODULES: &'static [Source];
    /// Names of the inputs, in binding order.
    const INPUTS: &'static [&'static str];
    /// Name of the result, bound behind them.
    const RESULT: &'static str;
    /// Floating-point operations an element.
    const FLOPS: f64;
}

/// What proves a function of single elements right.
#[cfg(feature = "verify")]
pub trait Formula: Pointwise {
    /// One line for the table of kernels.
    const SUMMARY: &'static str;
    /// Arguments of [`Tolerance::for_elem`]: relative part in f32, scale of the absolute part, reason.
    const TOLERANCE: (f64, f64, &'static str);

    /// The function of an element of each input, in f64.
    fn value(x: &[f64]) -> f64;
    /// Adversarial inputs of `n` elements each.
    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array>;
    /// For the gradient of another function, what it is the gradient of.
    fn gradient_of() -> Option<Gradient>;
    /// Elements in real models.
    fn bench_cases() -> Vec<(&'static str, usize)>;
}

/// The kernel of a [`Pointwise`] function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Each<F> {
    /// Elements.
    pub n: usize,
    function: PhantomData<F>,
}

impl<F: Pointwise> Each<F> {
    /// Over `n` elements.
    pub fn new(n: usize) -> Self {
        Self { n, function: PhantomData }
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl<F: Pointwise> fmt::Display for Each<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(n={})", F::STEM, self.n)
    }
}

impl<F: Pointwise> Kernel for Each<F> {
    const STEM: &'static str = F::STEM;
    const SHADER: Source = F::SHADER;

    fn check(&self) -> Result<()> {
        check_len(F::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        let inputs = F::INPUTS.iter().map(|&name| Slot::read(name, [self.n]));
        inputs.chain([Slot::write(F::RESULT, [self.n])]).collect()
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let of = |elem| F::MODULES.iter().fold(variant(caps, elem, self.n), |v, &m| v.module(m));
        elems(caps, pack(self.n)).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        Launch::new(&Params { packs: packs as u32 }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let n = self.n as f64;
        Work { flops: F::FLOPS * n, bytes: 4.0 * (F::INPUTS.len() + 1) as f64 * n }
    }
}

#[cfg(feature = "verify")]
impl<F: Formula> Verified for Each<F> {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = F::SUMMARY;

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let mut at = vec![0.0; inputs.len()];
        let value = |i: usize| {
            at.iter_mut().zip(inputs).for_each(|(at, x)| *at = x.data[i]);
            F::value(&at)
        };
        vec![Array::from_fn([self.n], value)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        F::inputs(rng, self.n)
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let (rtol, scale, reason) = F::TOLERANCE;
        vec![Tolerance::for_elem(elem, rtol, scale, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        F::gradient_of()
    }

    fn cases() -> Vec<Self> {
        [1, 0, 37, 64, 1001, 5000].map(Self::new).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        F::bench_cases().into_iter().map(|(model, n)| (model, Self::new(n))).collect()
    }
}

/// Runs a function of single elements, in pieces where the device's bindings ask for it.
///
/// # Errors
/// [`Error::Problem`] for no input or shapes that differ; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn each<F: Pointwise>(inputs: &[&Tensor]) -> Result<Tensor> {
    each_as(inputs, Each::<F>::new)
}

/// [`each`] of a kernel that has more to say than its size.
pub(super) fn each_as<K: Kernel>(inputs: &[&Tensor], kernel: impl Fn(usize) -> K) -> Result<Tensor> {
    let Some((first, rest)) = inputs.split_first() else {
        return Err(Error::problem(K::STEM, "no input"));
    };
    if let Some(other) = rest.iter().find(|t| t.shape() != first.shape()) {
        return Err(Error::problem(
            K::STEM,
            format!("shapes {} and {} differ", first.shape(), other.shape()),
        ));
    }
    let (context, n) = (first.context(), first.len());
    let result = Tensor::empty(context, first.shape().clone(), first.dtype())?;
    let flat: Vec<Tensor> =
        inputs.iter().copied().chain([&result]).map(|t| t.reshape([n])).collect::<Result<_>>()?;
    for piece in pieces(context.caps(), n, first.dtype().size(), 1) {
        let cut: Vec<Tensor> = flat.iter().map(|t| t.narrow(piece.row, piece.rows)).collect::<Result<_>>()?;
        run(context, &kernel(piece.rows), &cut.iter().collect::<Vec<_>>())?;
    }
    Ok(result)
}
