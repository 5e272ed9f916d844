//! The one list of kernels. A line here gives a kernel its tests, gradient check, benches and documentation row.

use super::contract::{Gradient, Kernel, Launch, Slot, Tolerance, Variant, Work};
use super::run;
use crate::gpu::{Caps, Context};
use crate::shader::{Composed, Source};
use crate::tensor::Array;
use crate::{Dtype, Result, Tensor};
use rand_pcg::Pcg64;

macro_rules! registry {
    ($($kernel:path),* $(,)?) => {
        /// Every kernel.
        pub static REGISTRY: &[Entry] = &[$(Entry::of::<$kernel>()),*];
    };
}

registry![
    super::attention::Attention,
    super::attention::AttentionJoin,
    super::attention::AttentionMerge,
    super::attention::AttentionColumns,
    super::attention::AttentionColumnMass,
    super::attention::AttentionBackwardDelta,
    super::attention::AttentionBackwardDq,
    super::attention::AttentionBackwardDkv,
    super::contrast::Gram,
    super::contrast::GramBackward,
    super::contrast::NtXent,
    super::contrast::NtXentBackward,
    super::elementwise::ChannelScale,
    super::elementwise::Convert,
    super::elementwise::Dropout,
    super::elementwise::Geglu,
    super::elementwise::Gelu,
    super::elementwise::GeluBackward,
    super::elementwise::GeluErf,
    super::elementwise::GeluErfBackward,
    super::elementwise::Product,
    super::elementwise::Silu,
    super::elementwise::SiluBackward,
    super::elementwise::Transposed,
    super::elementwise::WeightedSum,
    super::matmul::Matmul,
    super::optim::AdamWStep,
    super::optim::SumOfSquares,
    super::probe::ProbeBarriers,
    super::probe::ProbeBounds,
    super::probe::ProbeLanes,
    super::probe::ProbeLoops,
    super::probe::ProbeStorage,
    super::rowwise::BranchNorm,
    super::rowwise::ColumnSum,
    super::rowwise::LayerNorm,
    super::rowwise::LayerNormBackward,
    super::rowwise::RmsNorm,
    super::rowwise::RmsNormBackward,
    super::rowwise::Softmax,
    super::rowwise::SoftmaxBackward,
    super::temporal::TemporalLoss,
    super::temporal::TemporalSignal,
    super::temporal::TemporalSignalBackward,
    super::token::Embedding,
    super::token::Patchify,
    super::token::SumRows,
    super::token::Unpatchify,
];

/// A bench case: the model's name and the kernel's problem.
pub type BenchCase = (&'static str, Box<dyn AnyKernel>);

/// A kernel without its type.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its one name.
    pub stem: &'static str,
    /// Folder of shader and host file.
    pub family: &'static str,
    /// One line on what it computes.
    pub summary: &'static str,
    /// The body.
    pub shader: Source,
    /// Test cases.
    pub cases: fn() -> Vec<Box<dyn AnyKernel>>,
    /// Bench cases with the model's name.
    pub bench_cases: fn() -> Vec<BenchCase>,
}

impl Entry {
    const fn of<K: Kernel>() -> Self {
        Self {
            stem: K::STEM,
            family: K::FAMILY,
            summary: K::SUMMARY,
            shader: K::SHADER,
            cases: || K::cases().into_iter().map(|k| Box::new(k) as Box<dyn AnyKernel>).collect(),
            bench_cases: || {
                K::bench_cases().into_iter().map(|(n, k)| (n, Box::new(k) as Box<dyn AnyKernel>)).collect()
            },
        }
    }
}

/// A [`Kernel`] behind a pointer, for programs that walk the registry.
#[expect(missing_docs, reason = "each method is documented on Kernel")]
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

impl<K: Kernel> AnyKernel for K {
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
        Kernel::reference(self, inputs)
    }
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        Kernel::inputs(self, rng)
    }
    fn follow(&self, inputs: &mut [Array]) {
        Kernel::follow(self, inputs);
    }
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        Kernel::tolerance(self, elem)
    }
    fn gradient_of(&self) -> Option<Gradient> {
        Kernel::gradient_of(self)
    }
    fn work(&self) -> Work {
        Kernel::work(self)
    }
    fn run(&self, context: &Context, variant: &Variant, tensors: &[&Tensor]) -> Result<()> {
        run::run_variant(context, self, variant, tensors)
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
