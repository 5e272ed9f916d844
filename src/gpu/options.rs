//! What an app says of the context that it wants.

/// Which adapter to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
///
/// ```
/// use foveal::{AdapterChoice, ContextOptions};
///
/// let options = ContextOptions::default().adapter(AdapterChoice::LowPower).memory_budget(2 << 30);
/// # assert_eq!((options.adapter, options.memory_budget), (AdapterChoice::LowPower, Some(2 << 30)));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ContextOptions {
    /// Which adapter; that of an app's own device is given.
    pub adapter: AdapterChoice,
    /// Compile kernels with bounds checks, loop bounding and division checks. Slower; for hunting a defect.
    pub checked: bool,
    /// Refuse allocations that would bring live memory above this many bytes, and keep no more than that for reuse.
    pub memory_budget: Option<u64>,
    /// What is asked of the driver at the start.
    pub self_test: SelfTest,
    /// Kernels that an earlier run compiled, from [`Context::compiled_kernels`](super::Context::compiled_kernels). Data that were damaged, or that belong to
    /// another device or driver, are left aside.
    pub compiled_kernels: Option<Vec<u8>>,
    /// Floating-point operations and bytes a second by which work is cut into dispatches and submissions, instead of what
    /// the class of the adapter lets expect and finished work has shown. Small numbers cut small work, for tests.
    pub assumed_rates: Option<(f64, f64)>,
}

impl ContextOptions {
    /// With this [`adapter`](Self::adapter).
    pub fn adapter(self, adapter: AdapterChoice) -> Self {
        Self { adapter, ..self }
    }

    /// With or without run-time [checks](Self::checked).
    pub fn checked(self, checked: bool) -> Self {
        Self { checked, ..self }
    }

    /// With this [`memory_budget`](Self::memory_budget) in bytes, or with none.
    pub fn memory_budget(self, bytes: impl Into<Option<u64>>) -> Self {
        Self { memory_budget: bytes.into(), ..self }
    }

    /// With this [`self_test`](Self::self_test).
    pub fn self_test(self, self_test: SelfTest) -> Self {
        Self { self_test, ..self }
    }

    /// With these [`compiled_kernels`](Self::compiled_kernels), or with none.
    pub fn compiled_kernels(self, data: impl Into<Option<Vec<u8>>>) -> Self {
        Self { compiled_kernels: data.into(), ..self }
    }

    /// With these [`assumed_rates`](Self::assumed_rates), floating-point operations and bytes a second, or with none.
    pub fn assumed_rates(self, rates: impl Into<Option<(f64, f64)>>) -> Self {
        Self { assumed_rates: rates.into(), ..self }
    }
}
