//! Does this driver compute what it is told? Asked of every device that is opened, and in full on request.
//!
//! Cases of the registry run on the device and are compared with their references in f64: the `probe` family for what
//! all kernels take for granted, and each flagship kernel in every way to share the work that the device would take.
//! Silent wrong numbers are the one fault that nobody notices downstream, and drivers with them exist: see
//! [`super::probe::probe_loops`].

use super::Variant;
use super::registry::{AnyKernel, Entry, REGISTRY};
use super::trial::trial;
use crate::gpu::{Caps, Context, ContextOptions, SelfTest};
use crate::{Dtype, Error, Result};
use std::collections::BTreeSet;
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

/// What a variant is made of: each of its modules with the types of its elements and weights.
fn modules(variant: &Variant) -> impl Iterator<Item = Module> + '_ {
    variant.modules.iter().map(|module| (module.path, variant.elem, variant.weight))
}

type Module = (&'static str, Dtype, Dtype);

/// Cases of a flagship in which each module of each way that this device would take has its turn: first the largest below a
/// million operations, which says most for its cost, then those that hold what it lacks.
fn flagship(entry: &Entry, caps: &Caps) -> Vec<Box<dyn AnyKernel>> {
    let mut cases = (entry.cases)();
    let cost = |case: &dyn AnyKernel| {
        let flops = case.work().flops;
        if flops < 1e6 { 1e6 - flops } else { flops }
    };
    cases.sort_by(|a, b| cost(&**a).total_cmp(&cost(&**b)));
    let mut asked = BTreeSet::new();
    cases.retain(|case| {
        let before = asked.len();
        asked.extend(case.variants(caps).iter().flat_map(modules));
        asked.len() > before
    });
    cases
}

fn cases(level: SelfTest, caps: &Caps) -> Vec<Box<dyn AnyKernel>> {
    let probes = REGISTRY.iter().filter(|e| e.family == "probe").flat_map(|e| (e.cases)());
    let flagships =
        REGISTRY.iter().filter(|e| FLAGSHIPS.contains(&e.stem)).flat_map(|entry| flagship(entry, caps));
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
        self.sibling().ask(level, |_| true, &mut report).await?;
        Ok(report)
    }

    /// Runs the variants that are wanted on this context.
    async fn ask(
        &self,
        level: SelfTest,
        wanted: impl Fn(&Variant) -> bool,
        report: &mut SelfTestReport,
    ) -> Result<()> {
        let context = self;
        for case in cases(level, context.caps()) {
            for variant in case.variants(context.caps()).into_iter().filter(&wanted) {
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
        Ok(())
    }

    /// Asks whether cooperative matrices are right on a device whose subgroups have a size that is known only while a
    /// kernel runs, and takes them from then on where they are. [`Context::new`] asks by itself unless the self-test is
    /// skipped; an app that handed in its own device calls this. Where the size is one, there is nothing to ask.
    ///
    /// # Errors
    /// Those of the device; matrices with wrong numbers are in the report, and are not taken.
    pub async fn prove_matrices(&self) -> Result<SelfTestReport> {
        let mut report = SelfTestReport::default();
        if let Some(sibling) = self.sibling_with_matrices() {
            sibling.ask(SelfTest::Full, |variant| variant.matrices, &mut report).await?;
            if report.faults.is_empty() && !report.passed.is_empty() {
                self.trust_matrices();
            }
        }
        Ok(report)
    }

    /// The same, once a process for each adapter and driver.
    async fn take_known_matrices(&self) -> Result<()> {
        static KNOWN: Mutex<Vec<(String, bool)>> = Mutex::new(Vec::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let Caps { adapter, driver, backend, .. } = self.caps();
        let name = format!("{adapter} · {driver} · {backend}");
        let found = known().iter().find(|k| k.0 == name).map(|k| k.1);
        match found {
            Some(true) => self.trust_matrices(),
            Some(false) => {}
            None => {
                let right = self.prove_matrices().await?.faults.is_empty();
                known().push((name, right));
            }
        }
        Ok(())
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
            let Some(first) = faults.first() else {
                context.take_known_matrices().await?;
                return Ok(context);
            };
            let (wrong, more) = (faults.len(), if faults.len() > 1 { ", the first being" } else { ":" });
            refused.push((caps, format!("the driver computes wrongly: {wrong} faults{more} {first}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{AdapterClass, CoopMatrix};

    #[test]
    fn a_full_test_asks_every_way_that_a_device_would_take() {
        let matrix =
            |side| CoopMatrix { m: side, n: side, k: side, input: "f16".into(), accumulator: "f32".into() };
        let gpu = |class, subgroup, coop: &[u32]| Caps {
            class,
            subgroup: Some(subgroup),
            f16: true,
            coop: coop.iter().copied().map(matrix).collect(),
            workgroup_memory: 48 << 10,
            max_invocations: 1024,
            ..Caps::webgpu_default()
        };
        let devices = [
            Caps::webgpu_default(),
            gpu(AdapterClass::Discrete, (32, 32), &[16]),
            gpu(AdapterClass::Discrete, (32, 64), &[16]),
            gpu(AdapterClass::Apple, (4, 64), &[8]),
            gpu(AdapterClass::Integrated, (8, 32), &[]),
            gpu(AdapterClass::Software, (8, 8), &[8]),
            gpu(AdapterClass::Software, (4, 4), &[]),
        ];
        for caps in devices {
            let asked = cases(SelfTest::Full, &caps);
            let held: BTreeSet<Module> = asked
                .iter()
                .flat_map(|c| c.variants(&caps))
                .flat_map(|v| modules(&v).collect::<Vec<_>>())
                .collect();
            for entry in REGISTRY.iter().filter(|e| FLAGSHIPS.contains(&e.stem)) {
                assert!(asked.iter().any(|c| c.stem() == entry.stem), "{} is not asked", entry.stem);
                for variant in (entry.cases)().iter().flat_map(|c| c.variants(&caps)) {
                    for module in modules(&variant) {
                        assert!(held.contains(&module), "{caps}: {} {module:?} is not asked", entry.stem);
                    }
                }
            }
            let all: f64 = asked.iter().map(|c| c.work().flops).sum();
            assert!(all < 2e8, "{caps}: {all:.1e} operations");
            assert!(cases(SelfTest::Driver, &caps).iter().all(|c| c.stem().starts_with("probe_")));
        }
    }
}
