//! Does this driver compute what it is told? Asked of every device that is opened, and in full on request.
//!
//! Cases of the registry run on the device and are compared with their references in f64: the `probe` family for what
//! all kernels take for granted, and each flagship kernel in every way to share the work that the device would take.
//! Silent wrong numbers are the one fault that nobody notices downstream, and drivers with them exist: see
//! [`super::probe::probe_loops`].

use super::any_kernel::AnyKernel;
use super::trial::trial;
use super::{Variant, probe};
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

/// What a device is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Level(SelfTest),
    /// Whether cooperative matrices are right: the ways to share the work that take them, and of those what only they have.
    Matrices,
}

impl Question {
    fn is_about(self, variant: &Variant) -> bool {
        self != Self::Matrices || variant.matrices
    }

    fn cases(self, caps: &Caps) -> Vec<Box<dyn AnyKernel>> {
        match self {
            Self::Level(SelfTest::Skip) => Vec::new(),
            Self::Level(SelfTest::Driver) => probe::cases(),
            Self::Level(SelfTest::Full) => probe::cases().into_iter().chain(flagships(caps, false)).collect(),
            Self::Matrices => flagships(caps, true),
        }
    }
}

#[cfg(feature = "verify")]
use super::flagships::cases as flagships;

/// An error where the library is built without what results would be compared with.
fn has_references(what: &str, adapter: &str) -> Result<()> {
    if cfg!(feature = "verify") {
        return Ok(());
    }
    let reason = "foveal is built without its references, the feature `verify`".into();
    Err(Error::Unsupported { what: what.into(), adapter: adapter.into(), reason })
}

/// There are no references to compare with.
#[cfg(not(feature = "verify"))]
fn flagships(_caps: &Caps, _matrices_alone: bool) -> Vec<Box<dyn AnyKernel>> {
    Vec::new()
}

impl Context {
    /// Runs the self-test on this device, whatever an earlier one found. An app that handed in its own device calls
    /// this itself.
    ///
    /// # Errors
    /// Those of the device, and [`Error::Unsupported`] for [`SelfTest::Full`] without the feature `verify`; wrong numbers are
    /// in the report.
    pub async fn self_test(&self, level: SelfTest) -> Result<SelfTestReport> {
        self.answer(Question::Level(level)).await
    }

    /// Asks whether cooperative matrices are right on a device whose subgroups have a size that is known only while a
    /// kernel runs, and takes them from then on where they are. [`Context::new`] asks by itself unless the self-test is
    /// skipped; an app that handed in its own device calls this. Where the size is one, there is nothing to ask.
    ///
    /// # Errors
    /// Those of the device, and [`Error::Unsupported`] where there is something to ask and the feature `verify` is off;
    /// matrices with wrong numbers are in the report, and are not taken.
    pub async fn prove_matrices(&self) -> Result<SelfTestReport> {
        if self.sibling_with_matrices().is_some() {
            has_references("a proof of matrices", &self.caps().adapter)?;
        }
        let report = self.answer(Question::Matrices).await?;
        self.take_what_is_right(&report);
        Ok(report)
    }

    fn take_what_is_right(&self, of_matrices: &SelfTestReport) {
        if of_matrices.faults.is_empty() && !of_matrices.passed.is_empty() {
            self.trust_matrices();
        }
    }

    async fn answer(&self, question: Question) -> Result<SelfTestReport> {
        if self.is_plan() {
            let (what, adapter) = ("a self-test".into(), self.caps().adapter.clone());
            return Err(Error::Unsupported { what, adapter, reason: "a dry run computes nothing".into() });
        }
        if question == Question::Level(SelfTest::Full) {
            has_references("a self-test in full", &self.caps().adapter)?;
        }
        // Beside this context, whose budget and accounts are the caller's.
        let context = match question {
            Question::Level(_) => Some(self.sibling()),
            Question::Matrices => self.sibling_with_matrices(),
        };
        let mut report = SelfTestReport::default();
        let Some(context) = context else { return Ok(report) };
        for case in question.cases(context.caps()) {
            let variants = case.variants(context.caps()).into_iter().filter(|v| question.is_about(v));
            for variant in variants {
                let outcome = trial(&context, case.as_ref(), &variant, None).await;
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

    /// What this adapter and driver answered when they were first asked in this process.
    async fn known_answer(&self, question: Question) -> Result<SelfTestReport> {
        type Known = (String, Question, SelfTestReport);
        static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let Caps { adapter, driver, backend, .. } = self.caps();
        let name = format!("{adapter} · {driver} · {backend}");
        let found = known().iter().find(|k| k.0 == name && k.1 == question).map(|k| k.2.clone());
        if let Some(report) = found {
            return Ok(report);
        }
        let report = self.answer(question).await?;
        known().push((name, question, report.clone()));
        Ok(report)
    }

    /// Opens an adapter of this machine and asks its driver for a few results that are known. Where one is wrong, the
    /// adapter is refused with the reason, and for [`crate::AdapterChoice::Best`] and
    /// [`crate::AdapterChoice::LowPower`] the next is taken.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where none fits, with what was found and why each was refused; [`Error::Unsupported`] for
    /// [`SelfTest::Full`] without the feature `verify`.
    pub async fn new(options: ContextOptions) -> Result<Self> {
        if options.self_test == SelfTest::Full {
            // No adapter is to blame.
            has_references("a self-test in full", "any adapter")?;
        }
        let mut refused = Vec::new();
        loop {
            let context = Self::open(&options, &refused).await?;
            if options.self_test == SelfTest::Skip {
                return Ok(context);
            }
            let caps = context.caps().clone();
            let faults = match context.known_answer(Question::Level(options.self_test)).await {
                Ok(report) => report.faults,
                Err(error) => {
                    refused.push((caps, format!("the self-test could not run: {error}")));
                    continue;
                }
            };
            let Some(first) = faults.first() else {
                context.take_what_is_right(&context.known_answer(Question::Matrices).await?);
                return Ok(context);
            };
            let (wrong, more) = (faults.len(), if faults.len() > 1 { ", the first being" } else { ":" });
            refused.push((caps, format!("the driver computes wrongly: {wrong} faults{more} {first}")));
        }
    }
}
