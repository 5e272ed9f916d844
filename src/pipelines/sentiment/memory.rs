//! Hidden states of texts, kept on the host so that an encoder that stays as it is reads each text once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hidden states by the token ids of their texts. Clones share what they know, so that several models with the same
/// frozen text encoder can; which encoder that is, is the caller's to look after. A text of `n` tokens takes `4 n × width` bytes.
#[derive(Debug, Clone, Default)]
pub struct TextMemory(Arc<Mutex<HashMap<Vec<u32>, Vec<f32>>>>);

impl TextMemory {
    fn known(&self) -> MutexGuard<'_, HashMap<Vec<u32>, Vec<f32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Texts that are known.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of some texts that are not known, each once.
    pub(super) fn unknown(&self, texts: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let known = self.known();
        let new: BTreeSet<&Vec<u32>> = texts.iter().filter(|ids| !known.contains_key(*ids)).collect();
        new.into_iter().cloned().collect()
    }

    pub(super) fn keep(&self, texts: Vec<Vec<u32>>, hidden: Vec<Vec<f32>>) {
        self.known().extend(texts.into_iter().zip(hidden));
    }

    /// The hidden states of texts in their order; `None` where one is not known.
    pub(super) fn of(&self, texts: &[Vec<u32>]) -> Option<Vec<Vec<f32>>> {
        let known = self.known();
        texts.iter().map(|ids| known.get(ids).cloned()).collect()
    }
}
