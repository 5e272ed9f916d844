//! Kernels without their types, for programs that walk many.

use super::contract::{Kernel, Launch, Slot, Variant, Work};
use super::run;
use super::verified::{Array, Gradient, Pcg64, Tolerance, Verified};
use crate::gpu::{Caps, Context};
use crate::shader::Composed;
use crate::{Dtype, Result, Tensor};

/// A [`Verified`] kernel behind a pointer, for programs that walk the registry.
#[expect(missing_docs, reason = "each method is documented on Kernel or Verified")]
pub trait AnyKernel: std::fmt::Display + Send + Sync {
    fn stem(&self) -> &'static str;
    fn check(&self) -> Result<()>;
    fn slots(&self) -> Vec<Slot>;
    fn variants(&self, caps: &Caps) -> Vec<Variant>;
    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch;
    fn composed(&self, caps: &Caps, variant: &Variant) -> Composed;
    fn reference(&self, inputs: &[Array]) -> Vec<Array>;
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array>;
    fn follow(&self, inputs: &mut [Array]);
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance>;
    fn gradient_of(&self) -> Option<Gradient>;
    fn work(&self) -> Work;
    fn run(&self, context: &Context, variant: &Variant, tensors: &[&Tensor]) -> Result<()>;
    /// See [`super::compile`].
    fn compile(&self, context: &Context, variant: &Variant) -> Result<()>;
    /// See [`super::run_composed`].
    fn run_composed(
        &self,
        context: &Context,
        variant: &Variant,
        text: &Composed,
        tensors: &[&Tensor],
    ) -> Result<()>;
    /// Runs a variant with a launch of the caller's in place of its own, and with `text` where one is given: to plant a
    /// defect on the host's side that a test has to find. `params` keeps its length.
    fn run_launched(
        &self,
        context: &Context,
        variant: &Variant,
        text: Option<&Composed>,
        launch: &Launch,
        tensors: &[&Tensor],
    ) -> Result<()>;
}

impl<K: Verified> AnyKernel for K {
    fn stem(&self) -> &'static str {
        K::STEM
    }
    fn check(&self) -> Result<()> {
        Kernel::check(self)
    }
    fn slots(&self) -> Vec<Slot> {
        Kernel::slots(self)
    }
    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        Kernel::variants(self, caps)
    }
    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        Kernel::launch(self, caps, variant)
    }
    fn composed(&self, caps: &Caps, variant: &Variant) -> Composed {
        run::composed::<K>(caps, variant, Kernel::launch(self, caps, variant).params.len())
    }
    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        Verified::reference(self, inputs)
    }
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        Verified::inputs(self, rng)
    }
    fn follow(&self, inputs: &mut [Array]) {
        Verified::follow(self, inputs);
    }
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        Verified::tolerance(self, elem)
    }
    fn gradient_of(&self) -> Option<Gradient> {
        Verified::gradient_of(self)
    }
    fn work(&self) -> Work {
        Kernel::work(self)
    }
    fn run(&self, context: &Context, variant: &Variant, tensors: &[&Tensor]) -> Result<()> {
        run::run_variant(context, self, variant, tensors)
    }
    fn compile(&self, context: &Context, variant: &Variant) -> Result<()> {
        run::compile(context, self, variant)
    }
    fn run_composed(
        &self,
        context: &Context,
        variant: &Variant,
        text: &Composed,
        tensors: &[&Tensor],
    ) -> Result<()> {
        run::run_composed(context, self, variant, text, tensors)
    }
    fn run_launched(
        &self,
        context: &Context,
        variant: &Variant,
        text: Option<&Composed>,
        launch: &Launch,
        tensors: &[&Tensor],
    ) -> Result<()> {
        run::run_launched(context, self, variant, text, launch, tensors)
    }
}
