//! What of a kernel is run: the suite's own cases and variants, with texts, launches and expected values at hand.

use crate::numerics::{self, Selected};
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::kernels::trial::{Problem, in_few_workgroups};
use foveal::kernels::{Cut, Launch, Variant};
use foveal::shader::Composed;
use foveal::{Caps, Dtype};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

/// One variant on one case.
#[derive(Debug, Clone)]
pub struct Run {
    /// Number of the case.
    pub case: usize,
    /// How it is compiled.
    pub variant: Variant,
    /// Its text.
    pub composed: Composed,
    /// Its starts: its own, and, where it can be, one in few workgroups at a time.
    pub launches: Vec<Launch>,
    /// How the work is shared out, [`Variant::way`]; empty where the kernel has one way only.
    pub way: String,
    /// The same for runs of the same text.
    pub text: u64,
}

/// A kernel with everything that is run of it.
pub struct Plan {
    /// Its line of the registry.
    pub entry: &'static Entry,
    /// Its cases.
    pub cases: Vec<Box<dyn AnyKernel>>,
    /// Every run, in the suite's order.
    pub runs: Vec<Run>,
    problems: Mutex<HashMap<(usize, Dtype, Dtype), Arc<Problem>>>,
}

/// A hash that is the same in every process.
pub fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Plan {
    /// The runs of a kernel on a device of these capabilities; of one way to share the work only, where one is named, or
    /// that have a module of this name: `tiles`, or `reduce.workgroup`.
    ///
    /// # Errors
    /// An unknown kernel, or a way that it does not have.
    pub fn new(stem: &str, caps: &Caps, way: Option<&str>) -> Result<Self, String> {
        let entry = REGISTRY.iter().find(|entry| entry.stem == stem);
        let entry = entry.ok_or_else(|| format!("no kernel is named `{stem}`"))?;
        let cases = (entry.cases)();
        let mut runs = Vec::new();
        for Selected { case, variant, .. } in numerics::selected(&cases, caps) {
            let has = |way: &str| way == variant.way || variant.modules.iter().any(|m| m.name() == way);
            if way.is_some_and(|way| !has(way)) {
                continue;
            }
            let composed = cases[case].composed(caps, &variant);
            let few = in_few_workgroups(&*cases[case], caps, &variant);
            let launches = std::iter::once(cases[case].launch(caps, &variant)).chain(few).collect();
            let (way, text) = (variant.way.to_owned(), hash(composed.text()));
            runs.push(Run { case, variant, composed, launches, way, text });
        }
        if runs.is_empty() {
            return Err(format!("`{stem}` has no variant by `{}` here", way.unwrap_or_default()));
        }
        Ok(Self { entry, cases, runs, problems: Mutex::default() })
    }

    /// Of some runs those that are worth it: in f32 where there are such, else with f32 beside narrower weights, else all.
    pub fn plainest(&self, runs: Vec<usize>) -> Vec<usize> {
        let stored = |run: &usize| self.runs.get(*run).map(|r| (r.variant.elem, r.variant.weight));
        let all_f32: Vec<usize> =
            runs.iter().copied().filter(|run| stored(run) == Some((Dtype::F32, Dtype::F32))).collect();
        let f32: Vec<usize> = runs
            .iter()
            .copied()
            .filter(|run| stored(run).is_some_and(|(elem, _)| elem == Dtype::F32))
            .collect();
        [all_f32, f32].into_iter().find(|some| !some.is_empty()).unwrap_or(runs)
    }

    /// Inputs and expected values of a run, computed once for all runs that share them.
    pub fn problem(&self, run: &Run) -> Arc<Problem> {
        let key = (run.case, run.variant.elem, run.variant.weight);
        let mut problems = self.problems.lock().unwrap();
        let make = || Arc::new(Problem::of(&*self.cases[run.case], &run.variant));
        problems.entry(key).or_insert_with(make).clone()
    }

    /// A number for everything that decides how a run ends.
    pub fn key(&self, run: &Run) -> u64 {
        let case = &self.cases[run.case];
        let Problem { inputs, expected } = &*self.problem(run);
        let inputs: Vec<u32> = inputs.iter().flatten().map(|v| v.to_bits()).collect();
        let expected: Vec<u64> = expected.iter().flat_map(|array| &array.data).map(|v| v.to_bits()).collect();
        let bounds: Vec<_> =
            case.tolerance(run.variant.elem).iter().map(|t| (t.atol.to_bits(), t.rtol.to_bits())).collect();
        let launches = run.launches.iter().map(|Launch { params, workgroups, cut }| {
            (params, workgroups, cut.map(|Cut { axis, first_at, most }| (axis, first_at, most)))
        });
        let launches: Vec<_> = launches.collect();
        let name = (case.to_string(), run.variant.name(), run.variant.checked);
        hash((name, run.composed.text(), launches, inputs, expected, bounds))
    }

    /// A run's name: case and variant.
    pub fn name(&self, run: usize) -> (String, String) {
        self.runs
            .get(run)
            .map_or_else(Default::default, |r| (self.cases[r.case].to_string(), r.variant.name()))
    }
}
