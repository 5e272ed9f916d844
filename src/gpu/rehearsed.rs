//! What a dry run would have compiled.

use super::caps::Caps;
use super::lock::lock;
use super::pipeline::{PipelineKey, PipelineSource};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// Makes a kernel's source for a device with the capabilities of the dry run.
pub(crate) type Later = Arc<dyn Fn(&Caps) -> PipelineSource + Send + Sync>;

#[derive(Default)]
struct List {
    known: HashSet<PipelineKey>,
    kernels: Vec<(PipelineKey, Later)>,
}

/// The kernels that a dry run would have compiled, in order.
#[derive(Default)]
pub(super) struct Rehearsed(Mutex<List>);

impl std::fmt::Debug for Rehearsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} kernels", lock(&self.0).kernels.len())
    }
}

impl Rehearsed {
    pub(super) fn note(&self, key: PipelineKey, source: impl FnOnce() -> Later) {
        let mut list = lock(&self.0);
        if list.known.insert(key) {
            list.kernels.push((key, source()));
        }
    }

    pub(super) fn kernels(&self) -> Vec<(PipelineKey, Later)> {
        lock(&self.0).kernels.clone()
    }
}
