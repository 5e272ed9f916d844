//! Does this driver compute what it is told? Asked of every device that is opened, and in full on request.
//!
//! Cases of the registry run on the device and are compared with their references in f64: the `probe` family for what all
//! kernels take for granted, and one small instance of each flagship kernel. Silent wrong numbers are the one fault that
//! nobody notices downstream, and drivers with them exist: see [`super::probe::probe_loops`].

use super::registry::{AnyKernel, Entry, REGISTRY};
use super::trial::trial;
use crate::gpu::{Caps, Context, ContextOptions, SelfTest};
use crate::{Error, Result};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A case that came out wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Kernel and sizes.
    pub case: String,
    /// Variant that ran.
    pub variant: String,
    /// What was wrong with its numbers.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]: {}", self.case, self.variant, self.problem)
    }
}

/// What a self-test found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SelfTestReport {
    /// Cases × variants that ran, with the largest error as a share of what is allowed.
    pub passed: Vec<(String, f64)>,
    /// Those that came out wrong.
    pub faults: Vec<Fault>,
}

/// Kernels that the programs of this crate live by.
const FLAGSHIPS: [&str; 11] = [
    "attention",
    "attention_columns",
    "attention_column_mass",
    "attention_backward_delta",
    "attention_backward_dq",
    "attention_backward_dkv",
    "matmul",
    "layer_norm",
    "rms_norm",
    "softmax",
    "temporal_loss",
];

/// The case of a flagship that says most for its cost: the largest below a million operations.
fn flagship(entry: &Entry) -> Option<Box<dyn AnyKernel>> {
    let small = (entry.cases)().into_iter().filter(|case| case.work().flops < 1e6);
    small.max_by(|a, b| a.work().flops.total_cmp(&b.work().flops))
}

fn cases(level: SelfTest) -> Vec<Box<dyn AnyKernel>> {
    let probes = REGISTRY.iter().filter(|e| e.family == "probe").flat_map(|e| (e.cases)());
    let flagships = REGISTRY.iter().filter(|e| FLAGSHIPS.contains(&e.stem)).filter_map(flagship);
    match level {
        SelfTest::Skip => Vec::new(),
        SelfTest::Driver => probes.collect(),
        SelfTest::Full => probes.chain(flagships).collect(),
    }
}

impl Context {
    /// Runs the self-test on this device, whatever an earlier one found. An app that handed in its own device calls
    /// this itself.
    ///
    /// # Errors
    /// Those of the device; wrong numbers are in the report.
    pub async fn self_test(&self, level: SelfTest) -> Result<SelfTestReport> {
        let mut report = SelfTestReport::default();
        if self.is_plan() {
            let (what, adapter) = ("a self-test".into(), self.caps().adapter.clone());
            return Err(Error::Unsupported { what, adapter, reason: "a dry run computes nothing".into() });
        }
        // Beside this context, whose budget and accounts are the caller's.
        let context = &self.sibling();
        for case in cases(level) {
            for variant in case.variants(context.caps()) {
                let outcome = trial(context, case.as_ref(), &variant, None).await;
                let (case, variant) = (case.to_string(), variant.name());
                let fault = |problem| Fault { case: case.clone(), variant: variant.clone(), problem };
                match outcome {
                    Ok(outcome) if outcome.faults.is_empty() => {
                        report.passed.push((format!("{case} [{variant}]"), outcome.worst));
                    }
                    Ok(outcome) => report.faults.extend(outcome.faults.into_iter().map(fault)),
                    // What passes, or says nothing about the numbers.
                    Err(error @ (Error::DeviceLost(_) | Error::OutOfMemory { .. })) => return Err(error),
                    Err(error) => report.faults.push(fault(error.to_string())),
                }
            }
        }
        Ok(report)
    }

    /// The faults of this adapter and driver, from the first self-test of the process.
    async fn known_faults(&self, level: SelfTest) -> Result<Vec<Fault>> {
        type Known = (String, SelfTest, Vec<Fault>);
        static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let Caps { adapter, driver, backend, .. } = self.caps();
        let name = format!("{adapter} · {driver} · {backend}");
        let found = known().iter().find(|k| k.0 == name && k.1 == level).map(|k| k.2.clone());
        if let Some(faults) = found {
            return Ok(faults);
        }
        let faults = self.self_test(level).await?.faults;
        known().push((name, level, faults.clone()));
        Ok(faults)
    }

    /// Opens an adapter of this machine and asks its driver for a few results that are known. Where one is wrong, the
    /// adapter is refused with the reason, and for [`crate::AdapterChoice::Best`] and
    /// [`crate::AdapterChoice::LowPower`] the next is taken.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where none fits, with what was found and why each was refused.
    pub async fn new(options: ContextOptions) -> Result<Self> {
        let mut refused = Vec::new();
        loop {
            let context = Self::open(&options, &refused).await?;
            if options.self_test == SelfTest::Skip {
                return Ok(context);
            }
            let caps = context.caps().clone();
            let faults = match context.known_faults(options.self_test).await {
                Ok(faults) => faults,
                Err(error) => {
                    refused.push((caps, format!("the self-test could not run: {error}")));
                    continue;
                }
            };
            let Some(first) = faults.first() else { return Ok(context) };
            let (wrong, more) = (faults.len(), if faults.len() > 1 { ", the first being" } else { ":" });
            refused.push((caps, format!("the driver computes wrongly: {wrong} faults{more} {first}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_test_asks_every_flagship() {
        let stems: Vec<&str> = cases(SelfTest::Full).iter().map(|c| c.stem()).collect();
        for stem in FLAGSHIPS {
            assert!(stems.contains(&stem), "{stem} is not among {stems:?}");
        }
        assert!(cases(SelfTest::Driver).iter().all(|c| c.stem().starts_with("probe_")));
    }
}
