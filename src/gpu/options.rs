//! What an app says of the context that it wants.

/// Which adapter to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// Discrete before integrated before software; the first sound one.
    #[default]
    Best,
    /// The least power: integrated before discrete before software.
    LowPower,
    /// A software adapter only (deterministic tests).
    Software,
    /// Number in [`list_adapters`](super::list_adapters).
    Index(usize),
    /// Case-insensitive part of the name.
    Name(String),
}

/// How much is asked of a driver before its numbers are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SelfTest {
    /// Nothing, and drivers known to compute wrongly are taken too: numbers may be silently wrong. For one that fails
    /// where it does not matter.
    Skip,
    /// What every kernel takes for granted: long loops, barriers, lanes, storage types, bounds. Once a
    /// process and driver.
    #[default]
    Driver,
    /// Also each flagship kernel, on small instances in which every way to share the work that the device would take has
    /// its turn. Needs the feature `verify`.
    Full,
}

/// How to make a context.
#[derive(Debug, Clone, Default)]
pub struct ContextOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// Compile kernels with bounds checks, loop bounding and division checks. Slower; for hunting a defect.
    pub checked: bool,
    /// Refuse allocations that would bring live memory above this many bytes, and keep no more than that for reuse.
    pub memory_budget: Option<u64>,
    /// What is asked of the driver when the context opens its device itself.
    pub self_test: SelfTest,
    /// Kernels that an earlier run compiled, from [`Context::compiled_kernels`](super::Context::compiled_kernels). Data that were damaged, or that belong to
    /// another device or driver, are left aside.
    pub compiled_kernels: Option<Vec<u8>>,
    /// Floating-point operations and bytes a second by which work is cut into dispatches and submissions, instead of what
    /// the class of the adapter lets expect and finished work has shown. Small numbers cut small work, for tests.
    pub assumed_rates: Option<(f64, f64)>,
}
