//! DashFusion's losses: the squared error of the score, and a contrast of each clip with companions of the same and of
//! other labels.
//!
//! A group is one anchor clip and six companions, in this order: two of its label, two of other labels, two of other
//! labels though alike. Each of the seven gives four vectors, text, vision, audio and aligned text, which makes 28 rows:
//! 0–6 text, 7–13 vision, 14–20 audio, 21–27 aligned text, the anchor first in each block.
//!
//! The released code lists 22 pairs, of which 12 have no negatives: they cost nothing and are still counted in the mean.

use super::Represented;
use crate::autograd::{Tape, Var};
use crate::kernels::token::RowMap;
use crate::{Error, HostTensor, Result, Tensor};

/// Clips of a group.
pub const GROUP: usize = 7;
/// Vectors of a group.
pub const ROWS: usize = 4 * GROUP;
/// Released temperature.
pub const TEMPERATURE: f32 = 0.5;
/// Released weight of the contrast beside the squared error.
pub const WEIGHT: f64 = 0.2;

/// The pairs that cost something, anchor and positive: text with vision and audio of the same clip, and in each block
/// the anchor with the two companions of its label.
pub const PAIRS: [(usize, usize); 10] =
    [(0, 7), (0, 14), (0, 1), (0, 2), (7, 8), (7, 9), (14, 15), (14, 16), (21, 22), (21, 23)];
/// Pairs that the released mean counts.
pub const COUNTED: usize = 22;

/// Weights of the positives and multiplicities of the negatives, `(28, 28)` each: an anchor's negatives are the four
/// companions of other labels in its own block.
pub fn tables() -> [HostTensor; 2] {
    let (mut positives, mut negatives) = (HostTensor::zeros([ROWS, ROWS]), HostTensor::zeros([ROWS, ROWS]));
    for (anchor, positive) in PAIRS {
        positives.data_mut()[anchor * ROWS + positive] = 1.0 / COUNTED as f32;
        for other in 3..GROUP {
            negatives.data_mut()[anchor * ROWS + anchor + other] = 1.0;
        }
    }
    [positives, negatives]
}

/// What the contrast of some groups comes to.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// Mean over a group's counted pairs `(groups)`.
    pub groups: Var,
    /// Cosines `(groups, 28, 28)`.
    pub cosine: Var,
    /// Losses of the pairs over their number, where they stand in the cosines `(groups, 28, 28)`.
    pub pairs: Tensor,
}

/// The contrast of embeddings `(groups, 28, d)`.
///
/// # Errors
/// [`Error::Input`] for another number of rows.
pub fn contrast(tape: &mut Tape, embeddings: &Var, temperature: f32) -> Result<Contrast> {
    let &[_, ROWS, d] = embeddings.tensor().dims() else {
        let reason = format!("{} is not (groups, {ROWS}, d)", embeddings.tensor().shape());
        return Err(Error::input("embeddings", reason));
    };
    let context = embeddings.tensor().context();
    // A norm by the mean of squares, times 1/√d, is one by the length. Squares down to 1e-12 of the mean are kept, as
    // torch's normalize does.
    let scale = Tensor::from_f32(context, [d], &vec![(d as f32).sqrt().recip(); d])?;
    let unit = tape.rms_norm(embeddings, &scale, 1e-24 / d as f32, None)?;
    let cosine = tape.gram(&unit)?;
    let [positives, negatives] = tables();
    let (positives, negatives) =
        (Tensor::from_host(context, &positives)?, Tensor::from_host(context, &negatives)?);
    let (groups, pairs) = tape.nt_xent(&cosine, &positives, &negatives, temperature)?;
    Ok(Contrast { groups, cosine, pairs })
}

/// The 28 vectors of each anchor and its six companions, which lie one anchor's after the other's:
/// `(anchors, 28, d_model)`.
///
/// # Errors
/// [`Error::Input`] for another number of companions, or a model without alignment.
pub fn embeddings(tape: &mut Tape, anchors: &Represented, companions: &Represented) -> Result<Var> {
    let [text, audio, vision] = [0, 1, 2].map(|i: usize| &anchors.encoded[i].mean);
    let [text_6, audio_6, vision_6] = [0, 1, 2].map(|i: usize| &companions.encoded[i].mean);
    let (Some(aligned), Some(aligned_6)) = (&anchors.aligned, &companions.aligned) else {
        return Err(Error::input("contrast", "a model without alignment has none"));
    };
    let (&[groups, d], &[others, _]) = (text.tensor().dims(), text_6.tensor().dims()) else {
        return Err(Error::input("contrast", "no mean over the text"));
    };
    const OTHERS: usize = GROUP - 1;
    if others != groups * OTHERS {
        return Err(Error::input(
            "contrast",
            format!("{others} companions of {groups} clips: {OTHERS} each"),
        ));
    }
    let blocks = [
        (text, text_6, [1, 1]),
        (vision, vision_6, [1, 1]),
        (audio, audio_6, [1, 1]),
        (&aligned.x, &aligned_6.x, [aligned.tokens, aligned_6.tokens]),
    ];
    let mut placed: Option<Var> = None;
    for (block, (own, theirs, [step, step_6])) in blocks.into_iter().enumerate() {
        let place = |r: usize| (r % ROWS / GROUP == block).then_some((r / ROWS, r % GROUP));
        let anchor = |r| place(r).filter(|&(_, i)| i == 0).map(|(g, _)| g * step);
        let companion = |r| place(r).filter(|&(_, i)| i > 0).map(|(g, i)| (g * OTHERS + i - 1) * step_6);
        let rows = groups * ROWS;
        let own = tape.sum_rows(own, &RowMap::pick(groups * step, (0..rows).map(anchor))?)?;
        let theirs = tape.sum_rows(theirs, &RowMap::pick(others * step_6, (0..rows).map(companion))?)?;
        placed = Some(match placed {
            Some(before) => tape.sum(&[&before, &own, &theirs])?,
            None => tape.sum(&[&own, &theirs])?,
        });
    }
    placed.ok_or_else(|| Error::input("contrast", "no block"))?.reshape([groups, ROWS, d])
}
