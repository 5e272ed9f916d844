//! Both halves of the model.

use super::config::QwenVlConfig;
use super::keys::QwenVlWeights;
use super::text::{Placement, QwenText};
use super::vision::QwenVision;
use crate::gpu::Context;
use crate::nn::Precision;
use crate::{Error, Result, Tensor};

/// Qwen2.5-VL on a device.
#[derive(Debug)]
pub struct QwenVl {
    /// The vision tower.
    pub vision: QwenVision,
    /// The language model.
    pub text: QwenText,
}

impl QwenVl {
    /// Uploads the weights.
    ///
    /// # Errors
    /// Those of [`QwenVision::new`] and [`QwenText::new`].
    pub fn new(
        context: &Context,
        weights: &QwenVlWeights,
        precision: Precision,
        placement: Placement,
    ) -> Result<Self> {
        let vision = QwenVision::new(context, weights, precision)?;
        Ok(Self { vision, text: QwenText::new(context, weights, precision, placement)? })
    }

    /// Sizes.
    pub fn config(&self) -> &QwenVlConfig {
        self.text.config()
    }

    /// The embeddings of a prompt `(ids, hidden)`: rows of the token table, and in place of its image and video tokens those of
    /// `visuals`, each `(tokens, hidden)`, in the order in which they come in the prompt.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of placeholders than visual tokens, and a prompt of no token; [`Error::Weight`] for an
    /// id past the vocabulary.
    pub fn embed(&self, ids: &[u32], visuals: &[&Tensor]) -> Result<Tensor> {
        let tokens = self.config().tokens;
        let is_visual = |id: &u32| *id == tokens.image || *id == tokens.video;
        let rows_of = |t: &Tensor| t.dims().first().copied().unwrap_or(0);
        let given: usize = visuals.iter().map(|t| rows_of(t)).sum();
        let places = ids.iter().filter(|id| is_visual(id)).count();
        if places != given || ids.is_empty() {
            let reason = format!("{given} visual tokens for {places} placeholders among {} ids", ids.len());
            return Err(Error::input("prompt", reason));
        }
        let Some(first) = visuals.first() else { return self.text.embed(ids) };
        let whole = Tensor::empty(first.context(), [ids.len(), self.config().hidden_size], first.dtype())?;
        let mut at = 0;
        // What is left of the visual that comes next.
        let mut left = visuals.iter().map(|t| (*t, 0)).collect::<std::collections::VecDeque<_>>();
        for run in ids.chunk_by(|a, b| is_visual(a) == is_visual(b)) {
            if !run.first().is_some_and(is_visual) {
                self.text.embed(run)?.copy_to(&whole.narrow(at, run.len())?)?;
                at += run.len();
                continue;
            }
            let end = at + run.len();
            while at < end
                && let Some((visual, seen)) = left.front_mut()
            {
                let count = (end - at).min(rows_of(visual) - *seen);
                visual.narrow(*seen, count)?.copy_to(&whole.narrow(at, count)?)?;
                (at, *seen) = (at + count, *seen + count);
                if *seen == rows_of(visual) {
                    left.pop_front();
                }
            }
        }
        Ok(whole)
    }
}
