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
    /// `visual (tokens, hidden)`, in the order in which they come in the prompt.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of placeholders than visual tokens, and a prompt of no token; [`Error::Weight`] for an
    /// id past the vocabulary.
    pub fn embed(&self, ids: &[u32], visual: Option<&Tensor>) -> Result<Tensor> {
        let tokens = self.config().tokens;
        let is_visual = |id: &u32| *id == tokens.image || *id == tokens.video;
        let given = visual.map_or(0, |t| t.dims().first().copied().unwrap_or(0));
        let places = ids.iter().filter(|id| is_visual(id)).count();
        if places != given || ids.is_empty() {
            let reason = format!("{given} visual tokens for {places} placeholders among {} ids", ids.len());
            return Err(Error::input("prompt", reason));
        }
        let Some(visual) = visual else { return self.text.embed(ids) };
        let whole = Tensor::empty(visual.context(), [ids.len(), self.config().hidden_size], visual.dtype())?;
        let (mut at, mut seen) = (0, 0);
        for run in ids.chunk_by(|a, b| is_visual(a) == is_visual(b)) {
            let rows = whole.narrow(at, run.len())?;
            if run.first().is_some_and(is_visual) {
                visual.narrow(seen, run.len())?.copy_to(&rows)?;
                seen += run.len();
            } else {
                self.text.embed(run)?.copy_to(&rows)?;
            }
            at += run.len();
        }
        Ok(whole)
    }
}
