//! One prompt and what is generated behind it.

use super::gather::{gather, passes_binding};
use super::scores::ScoreReader;
use super::selection::{Kept, ScoreSource, Selection, When, choose};
use super::tokens::VideoTokens;
use crate::kernels::token::{RotaryPositions, embedding_of, pick_indices};
use crate::models::qwen2_5_vl::{KvCache, MropePositions, QwenText, Seen};
use crate::{Error, Result, Tensor};
use std::ops::Range;

/// A prompt as the language model takes it.
#[derive(Debug, Clone)]
pub struct Prefill<'a> {
    /// Embeddings `(tokens, hidden)`.
    pub embeddings: &'a Tensor,
    /// Positions of all of them.
    pub positions: &'a MropePositions,
    /// Where the videos' tokens stand.
    pub tokens: &'a VideoTokens,
    /// Which of them are kept; all without.
    pub selection: Option<&'a Selection>,
    /// Tokens that are computed at a time: fewer need less memory, more are faster. The result is the same.
    pub chunk: usize,
}

/// What a prefill leaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prefilled {
    /// The kept tokens behind the last block `(tokens, hidden)`.
    pub hidden: Tensor,
    /// Which tokens of the prompt those are; `None` where all are.
    pub kept: Option<Kept>,
    /// Scores of the prompt's tokens `(tokens)`, where there was a selection.
    pub scores: Option<Tensor>,
}

/// Places of kept tokens, ascending.
enum Ids<'a> {
    /// On the device, where they were chosen.
    Device(&'a Tensor),
    /// Here too.
    Host(Vec<u32>),
}

/// A model's memory of one prompt.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m QwenText,
    table: Tensor,
    cache: KvCache,
    next: u32,
}

impl<'m> Session<'m> {
    /// Room for `capacity` tokens, the prompt's and those that are generated, at positions below `positions`.
    ///
    /// # Errors
    /// [`Error::Input`] for none, or more positions than the model was made for; otherwise those of an allocation.
    pub fn new(model: &'m QwenText, capacity: usize, positions: usize) -> Result<Self> {
        let most = model.config().max_positions;
        if capacity == 0 || positions == 0 || positions > most {
            let reason = format!("{capacity} tokens at {positions} positions: some, at up to {most}");
            return Err(Error::input("session", reason));
        }
        let table = model.rotary_table(positions)?;
        Ok(Self { model, table, cache: model.cache(capacity)?, next: 0 })
    }

    /// What the model remembers.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// Position of the next token.
    pub fn next_position(&self) -> u32 {
        self.next
    }

    /// Runs a prompt in an empty session. `watch` is shown every block's attention, in a second pass once more.
    ///
    /// # Errors
    /// [`Error::Input`] for a session that is not empty, a prompt of no token or that does not fit, sizes that differ and a chunk
    /// of none, for a selection as [`ScoreReader::new`] and [`choose`] refuse it and a block behind which it cannot take place;
    /// otherwise those of the kernels and of `watch`. After an error the session is empty.
    pub async fn prefill(
        &mut self,
        prompt: &Prefill<'_>,
        watch: impl FnMut(&Seen<'_>) -> Result<()>,
    ) -> Result<Prefilled> {
        if !self.cache.is_empty() {
            return Err(Error::input("prompt", "the session has one already"));
        }
        let result = self.prefilled(prompt, watch).await;
        match &result {
            Ok(_) => self.next = prompt.positions.next,
            Err(_) => self.cache.truncate(0),
        }
        result
    }

    async fn prefilled(
        &mut self,
        prompt: &Prefill<'_>,
        mut watch: impl FnMut(&Seen<'_>) -> Result<()>,
    ) -> Result<Prefilled> {
        let &Prefill { embeddings, positions, tokens, selection, chunk } = prompt;
        let n = embeddings.dims().first().copied().unwrap_or(0);
        let given =
            [positions.rows[0].len(), positions.rows[1].len(), positions.rows[2].len(), tokens.length];
        if n == 0 || chunk == 0 || given.iter().any(|&length| length != n) {
            let reason = format!("{n} embeddings, positions and tokens {given:?}, {chunk} at a time");
            return Err(Error::input("prompt", reason));
        }
        let layers = self.model.config().layers;
        let [t, h, w] = &positions.rows;
        let at = self.model.positions(&self.table, [t, h, w])?;
        let Some(selection) = selection else {
            let hidden = self.pass(embeddings, &at, None, 0..layers, chunk, &mut watch)?;
            return Ok(Prefilled { hidden, kept: None, scores: None });
        };
        // What cannot be is refused before anything is computed.
        tokens.check()?;
        selection.choice.count(tokens.count())?;
        let mut reader = match &selection.source {
            ScoreSource::Attention(scoring) => Some(ScoreReader::new(scoring, tokens, self.model.config())?),
            _ => None,
        };
        // Blocks that see all tokens before any is left out.
        let needed = reader.as_ref().map_or(0, |reader| reader.last_layer() + 1);
        let whole = match selection.when {
            When::TwoPass => needed,
            When::Behind { layer, .. } if layer + 1 >= needed && layer < layers => layer + 1,
            When::Behind { layer, .. } => {
                let reason = format!(
                    "behind block {layer} of {layers}, where the first {needed} are to see all tokens"
                );
                return Err(Error::input("selection", reason));
            }
        };
        let mut hidden = embeddings.clone();
        if whole > 0 {
            let mut both = |seen: &Seen<'_>| {
                watch(seen)?;
                reader.as_mut().map_or(Ok(()), |reader| reader.see(seen))
            };
            hidden = self.pass(embeddings, &at, None, 0..whole, chunk, &mut both)?;
        }
        let scores = match &reader {
            Some(reader) => reader.scores()?,
            None => selection.source.before(embeddings, tokens, selection.choice)?,
        };
        let kept = choose(&scores, tokens, selection.choice).await?;
        // Of a tensor that is read in pieces the host has to know which piece a row lies in.
        let ids = match passes_binding(&hidden) {
            true => Ids::Host(kept.ids.to_u32().await?),
            false => Ids::Device(&kept.ids),
        };
        let hidden = match selection.when {
            When::TwoPass => {
                self.cache.truncate(0);
                self.pass(embeddings, &at, Some(&ids), 0..layers, chunk, &mut watch)?
            }
            When::Behind { compact, .. } => {
                if compact {
                    self.cache.keep(0..whole, &kept.ids)?;
                }
                self.pass(&hidden, &at, Some(&ids), whole..layers, chunk, &mut watch)?
            }
        };
        Ok(Prefilled { hidden, kept: Some(kept), scores: Some(scores) })
    }

    /// Some blocks of some tokens, `chunk` at a time: all of `x (tokens, hidden)`, or those of `ids`.
    fn pass(
        &mut self,
        x: &Tensor,
        at: &RotaryPositions,
        ids: Option<&Ids<'_>>,
        layers: Range<usize>,
        chunk: usize,
        watch: &mut dyn FnMut(&Seen<'_>) -> Result<()>,
    ) -> Result<Tensor> {
        let (all, width) = (x.dims().first().copied().unwrap_or(0), x.dims().last().copied().unwrap_or(0));
        let count = match ids {
            None => all,
            Some(Ids::Device(ids)) => ids.len(),
            Some(Ids::Host(ids)) => ids.len(),
        };
        let out = Tensor::empty(x.context(), [count, width], x.dtype())?;
        for start in (0..count).step_by(chunk) {
            let rows = chunk.min(count - start);
            // All tokens are bound some at a time, so that a long prompt may be larger than a binding.
            let (x, places) = match ids {
                Some(Ids::Device(ids)) => {
                    let ids = ids.narrow(start, rows)?;
                    (embedding_of(x, &ids)?, ids)
                }
                Some(Ids::Host(ids)) => {
                    let ids = ids.get(start..start + rows).unwrap_or_default();
                    (gather(x, ids)?, Tensor::from_u32(x.context(), [rows], ids)?)
                }
                None => {
                    let own: Vec<u32> = (start as u32..(start + rows) as u32).collect();
                    (x.narrow(start, rows)?, Tensor::from_u32(x.context(), [rows], &own)?)
                }
            };
            let at = RotaryPositions { positions: pick_indices(&at.positions, &places)?, ..at.clone() };
            let y = self.model.run(&x, &at, &mut self.cache, layers.clone(), watch)?;
            y.copy_to(&out.narrow(start, rows)?)?;
        }
        Ok(out)
    }

    /// Logits `(vocab)` f32 behind the last token of a prefill.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn last_logits(&self, prefilled: &Prefilled) -> Result<Tensor> {
        let n = prefilled.hidden.dims().first().copied().unwrap_or(0);
        let logits = self.model.logits(&prefilled.hidden, n.saturating_sub(1)..n)?;
        logits.reshape([logits.len()])
    }

    /// Appends a token and gives the logits `(vocab)` f32 behind it.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no room, and past the last position; [`Error::Weight`] for an id past the vocabulary;
    /// otherwise those of the kernels. After an error the token is not there.
    pub fn step(&mut self, id: u32, watch: &mut dyn FnMut(&Seen<'_>) -> Result<()>) -> Result<Tensor> {
        let layers = self.model.config().layers;
        let before: Vec<usize> = (0..layers).map(|layer| self.cache.len(layer)).collect();
        let result = self.stepped(id, watch);
        match &result {
            Ok(_) => self.next += 1,
            Err(_) => self.cache.restore(&before),
        }
        result
    }

    fn stepped(&mut self, id: u32, watch: &mut dyn FnMut(&Seen<'_>) -> Result<()>) -> Result<Tensor> {
        let layers = self.model.config().layers;
        let next = [self.next];
        let at = self.model.positions(&self.table, [&next; 3])?;
        let mut x = self.model.embed(&[id])?;
        // Blocks before and behind a selection hold different numbers of tokens, so each run is of equals.
        let mut from = 0;
        while from < layers {
            let len = self.cache.len(from);
            let to = (from..layers).find(|&layer| self.cache.len(layer) != len).unwrap_or(layers);
            x = self.model.run(&x, &at, &mut self.cache, from..to, watch)?;
            from = to;
        }
        let logits = self.model.logits(&x, 0..1)?;
        logits.reshape([logits.len()])
    }
}
