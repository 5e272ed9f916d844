//! Does this driver compute what it is told? Asked of every device that is opened, and in full on request.
//!
//! Cases of the registry run on the device and are compared with their references in f64: the `probe` family for what
//! all kernels take for granted, and each flagship kernel in every way to share the work that the device would take.
//! Silent wrong numbers are the one fault that nobody notices downstream, and drivers with them exist: see
//! [`super::probe::probe_loops`].

use super::any_kernel::AnyKernel;
use super::trial::trial;
use super::{Variant, probe};
use crate::gpu::{AppDevice, AppQueue, Caps, Context, ContextOptions, SelfTest, refused_device};
use crate::{Error, Result};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A case that came out wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
    Err(Error::unsupported(what, adapter, "foveal is built without its references, the feature `verify`"))
}

/// There are no references to compare with.
#[cfg(not(feature = "verify"))]
fn flagships(_caps: &Caps, _matrices_alone: bool) -> Vec<Box<dyn AnyKernel>> {
    Vec::new()
}

impl Context {
    /// Runs the self-test on this device once more, whatever an earlier one found.
    ///
    /// # Errors
    /// Those of the device, and [`Error::Unsupported`] for [`SelfTest::Full`] without the feature `verify`; wrong numbers are
    /// in the report.
    pub async fn self_test(&self, level: SelfTest) -> Result<SelfTestReport> {
        self.answer(Question::Level(level)).await
    }

    /// Asks whether cooperative matrices are right on a device whose subgroups have a size that is known only while a
    /// kernel runs, and takes them from then on where they are. [`Context::new`] and [`Context::from_device`] ask by
    /// themselves unless the self-test is skipped. Where the size is one, there is nothing to ask.
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
            let adapter = &self.caps().adapter;
            return Err(Error::unsupported("a self-test", adapter, "a dry run computes nothing"));
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
                    // What such a device cannot be asked, no kernel runs on it either.
                    Err(Error::Unsupported { .. }) => {}
                    Err(error) => report.faults.push(fault(error.to_string())),
                }
            }
        }
        Ok(report)
    }

    /// What the driver of a device with these capabilities answered when it was first asked in this process.
    async fn known_answer(&self, question: Question) -> Result<SelfTestReport> {
        type Asked = (Caps, bool, Question);
        static KNOWN: Mutex<Vec<(Asked, SelfTestReport)>> = Mutex::new(Vec::new());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = (self.caps().clone(), self.is_checked(), question);
        let found = known().iter().find(|(other, _)| *other == asked).map(|(_, report)| report.clone());
        if let Some(report) = found {
            return Ok(report);
        }
        let report = self.answer(question).await?;
        known().push((asked, report.clone()));
        Ok(report)
    }

    /// Asks what the options say of a device that is new, and takes its matrices where they are right; or why the device is
    /// refused. An error says that it could not be asked.
    async fn examine(&self, level: SelfTest) -> Result<std::result::Result<(), String>> {
        if level == SelfTest::Skip {
            return Ok(Ok(()));
        }
        let faults = self.known_answer(Question::Level(level)).await?.faults;
        if let Some(first) = faults.first() {
            let (wrong, more) = (faults.len(), if faults.len() > 1 { ", the first being" } else { ":" });
            return Ok(Err(format!("the driver computes wrongly: {wrong} faults{more} {first}")));
        }
        let of_matrices = self.known_answer(Question::Matrices).await?;
        self.take_what_is_right(&of_matrices);
        Ok(Ok(()))
    }

    /// Opens an adapter of this machine: a device of foveal's own, with every feature and the limits that it can use. On an
    /// app's device, [`Context::from_device`].
    ///
    /// As [`ContextOptions::self_test`] says, the driver is asked for a few results that are known. Where one is wrong, the
    /// adapter is refused with the reason, and for [`crate::AdapterChoice::Best`] and [`crate::AdapterChoice::LowPower`]
    /// the next is taken. What a driver has answered holds for the process.
    ///
    /// Errors of the device that no call asked for, and its loss, are caught and come with the next call.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where none fits, with what was found and why each was refused; [`Error::Unsupported`] for
    /// [`SelfTest::Full`] without the feature `verify`.
    pub async fn new(options: ContextOptions) -> Result<Self> {
        has_what_it_takes(options.self_test)?;
        let mut refused = Vec::new();
        loop {
            let context = Self::open(&options, &refused).await?;
            let failed = |error: Error| Err(format!("the self-test could not run: {error}"));
            match context.examine(options.self_test).await.unwrap_or_else(failed) {
                Ok(()) => return Ok(context),
                Err(reason) => refused.push((context.caps().clone(), reason)),
            }
        }
    }

    /// Works on an app's own device and queue, with the features and limits that the app asked for. On a device of foveal's
    /// own, [`Context::new`]; the options mean the same there, but for [`ContextOptions::adapter`], which is given here.
    ///
    /// The driver is asked as it is by [`Context::new`], on work and memory beside the app's.
    ///
    /// Several contexts may work on one device. Each has its own pool, kernels and recorder, so that their tensors stay
    /// apart ([`Tensor::to_context`](crate::Tensor::to_context) copies between them); an app's buffer may be adopted by all
    /// of them, and work on it happens in the order in which it was recorded.
    ///
    /// The app keeps its handlers: that of errors which no call asked for, and the device-lost callback, which is the app's to
    /// set; it tells foveal by [`Context::mark_lost`].
    ///
    /// # Errors
    /// As for [`Context::new`]: [`Error::NoAdapter`] where the device does not fit (limits below WebGPU's defaults, a driver
    /// that computes wrongly), with what it is and why it is refused; [`Error::DeviceLost`], [`Error::OutOfMemory`] and others
    /// where it could not be asked; [`Error::Unsupported`] for [`SelfTest::Full`] without the feature `verify`.
    pub async fn from_device(device: AppDevice, queue: AppQueue, options: ContextOptions) -> Result<Self> {
        has_what_it_takes(options.self_test)?;
        let context = Self::adopt_device(device, queue, &options)?;
        match context.examine(options.self_test).await? {
            Ok(()) => Ok(context),
            Err(reason) => Err(refused_device(context.caps(), &reason)),
        }
    }
}

/// An error, before any device is asked, where a test is wanted that cannot be had.
fn has_what_it_takes(level: SelfTest) -> Result<()> {
    match level {
        SelfTest::Full => has_references("a self-test in full", "any adapter"),
        _ => Ok(()),
    }
}
