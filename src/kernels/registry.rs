//! The one list of kernels. A line here gives a kernel its tests, gradient check, benches and documentation row.

use super::elementwise::Each;
use super::verified::Verified;
use crate::shader::Source;

pub use super::any_kernel::AnyKernel;

macro_rules! registry {
    ($($kernel:ty),* $(,)?) => {
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
    Each<super::elementwise::Geglu>,
    Each<super::elementwise::Gelu>,
    Each<super::elementwise::GeluBackward>,
    Each<super::elementwise::GeluErf>,
    Each<super::elementwise::GeluErfBackward>,
    Each<super::elementwise::Product>,
    Each<super::elementwise::Silu>,
    Each<super::elementwise::SiluBackward>,
    super::elementwise::Slice,
    Each<super::elementwise::Swiglu>,
    super::elementwise::Transposed,
    super::elementwise::WeightedSum,
    super::matmul::Matmul,
    super::matmul::MatmulJoin,
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
    super::rowwise::RowChange,
    super::rowwise::Softmax,
    super::rowwise::SoftmaxBackward,
    super::selection::MassCount,
    super::selection::TopK,
    super::temporal::TemporalLoss,
    super::temporal::TemporalSignal,
    super::temporal::TemporalSignalBackward,
    super::token::Embedding,
    super::token::Patchify,
    super::token::PickIndices,
    super::token::Rotary,
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
    const fn of<K: Verified>() -> Self {
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
