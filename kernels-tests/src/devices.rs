//! A device for each running test: a software driver compiles a device's kernels on one core, and compiling is what takes
//! the time.

use foveal::{Context, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, Once};

/// Mesa's own switch: its software driver compiles without optimising.
const UNOPTIMISED: (&str, &str) = ("GALLIVM_PERF", "nopt");

/// For suites of many small cases, called before anything else: a third of compiling is LLVM's optimiser on code that runs
/// for a moment. Golden cases and the other suites run what users get.
pub fn compile_unoptimised() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os(UNOPTIMISED.0).is_none() {
            // SAFETY: the driver, which alone reads the environment by itself, is not loaded yet.
            unsafe { std::env::set_var(UNOPTIMISED.0, UNOPTIMISED.1) };
        }
    });
}

/// Devices of one kind, of which each test borrows one.
pub struct Devices(Mutex<Vec<Context>>);

impl Devices {
    /// As many as there are tests at a time.
    pub fn open(count: usize, open: impl Fn() -> Result<Context>) -> Result<Arc<Self>> {
        let all = (0..count).map(|_| open()).collect::<Result<_>>()?;
        Ok(Arc::new(Self(Mutex::new(all))))
    }

    /// Tests at a time where the command line does not say.
    pub fn threads() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from).min(4)
    }

    /// Runs `f` with a device that no other test has.
    pub fn borrow<T>(&self, f: impl FnOnce(&Context) -> T) -> T {
        let context = self.0.lock().unwrap().pop().unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| f(&context)));
        self.0.lock().unwrap().push(context);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
