//! What attention says of the tokens before: column mass of some rows, averaged over some blocks.

use super::tokens::VideoTokens;
use crate::kernels::attention::{
    AttentionProblem, AttentionShape, Mask, Mass, Readout, Tables, attention, attention_column_mass,
};
use crate::kernels::elementwise::weighted_sum;
use crate::models::qwen2_5_vl::{QwenVlConfig, Seen};
use crate::{Error, Result, Tensor};
use std::ops::Range;

/// Whose attention scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScoreRows {
    /// The prompt's last token: what the answer begins from.
    Last,
    /// All tokens behind the last video.
    BehindVideo,
    /// These tokens of the prompt, none of them before the last video's end.
    These(Range<usize>),
}

impl ScoreRows {
    /// The rows of a prompt.
    ///
    /// # Errors
    /// [`Error::Input`] for none, for rows past the prompt's end and for some that do not see the whole video.
    pub fn of(&self, tokens: &VideoTokens) -> Result<Range<usize>> {
        let rows = match self {
            Self::Last => tokens.length.saturating_sub(1)..tokens.length,
            Self::BehindVideo => tokens.end()..tokens.length,
            Self::These(rows) => rows.clone(),
        };
        if rows.is_empty() || rows.end > tokens.length || rows.start < tokens.end() {
            let (end, length) = (tokens.end(), tokens.length);
            let reason = format!(
                "rows {rows:?} of a prompt of {length} tokens: some behind its video, which ends at {end}"
            );
            return Err(Error::input("rows that score", reason));
        }
        Ok(rows)
    }
}

/// How tokens are scored: the attention that they get, over all heads of a block or some.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    /// Blocks, whose scores are averaged.
    pub layers: Vec<usize>,
    /// Whose attention.
    pub rows: ScoreRows,
    /// Mean or largest over rows and heads.
    pub reduce: Mass,
    /// Weight of each head: of a mean, weights that sum to 1; of a maximum those of 0 are left out. Empty: all heads alike.
    pub heads: Vec<f32>,
    /// What the first token behind the video pays is taken off. It sees the whole video and nothing of a question behind it: what
    /// gets attention whatever is asked, as attention's sinks do, loses its lead. Scores may be negative then.
    pub contrast: bool,
}

impl Scoring {
    /// The mean over all heads of one block.
    pub fn of_layer(layer: usize, rows: ScoreRows) -> Self {
        Self { layers: vec![layer], rows, reduce: Mass::Mean, heads: Vec::new(), contrast: false }
    }
}

/// Reads scores as blocks are computed: [`see`](Self::see) is what [`QwenText::run`](crate::models::qwen2_5_vl::QwenText::run)
/// shows each block's attention to.
#[derive(Debug)]
pub struct ScoreReader {
    scoring: Scoring,
    /// Behind the last video token.
    end: usize,
    asking: RowMass,
    /// The row whose mass is taken off.
    unknowing: Option<RowMass>,
}

/// Column mass of some rows, block by block.
#[derive(Debug)]
struct RowMass {
    rows: Range<usize>,
    /// Of each block that scores, the queries of its rows so far.
    queries: Vec<Option<Tensor>>,
    found: Vec<Option<Tensor>>,
}

impl ScoreReader {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// [`Error::Input`] for no blocks or some that the model has not, another number of heads than it has, rows as in
    /// [`ScoreRows::of`], and a contrast of a row with itself.
    pub fn new(scoring: &Scoring, tokens: &VideoTokens, config: &QwenVlConfig) -> Result<Self> {
        let Scoring { layers, heads, rows, .. } = scoring;
        if layers.is_empty() || layers.iter().any(|&layer| layer >= config.layers) {
            let reason = format!("blocks {layers:?}: some of {}", config.layers);
            return Err(Error::input("blocks that score", reason));
        }
        if !heads.is_empty() && heads.len() != config.heads {
            let reason = format!("{} weights for {} heads", heads.len(), config.heads);
            return Err(Error::input("heads that score", reason));
        }
        let rows = rows.of(tokens)?;
        let end = tokens.end();
        let first = end..end + 1;
        if scoring.contrast && rows == first {
            return Err(Error::input(
                "rows that score",
                "the first one behind the video alone, taken off itself",
            ));
        }
        let mass =
            |rows| RowMass { rows, queries: vec![None; layers.len()], found: vec![None; layers.len()] };
        Ok(Self {
            scoring: scoring.clone(),
            end,
            asking: mass(rows),
            unknowing: scoring.contrast.then(|| mass(first)),
        })
    }

    /// The last block that scores: those behind it need not run before the scores are there.
    pub fn last_layer(&self) -> usize {
        self.scoring.layers.iter().copied().max().unwrap_or(0)
    }

    /// Takes what it needs of a block's attention. Rows may come in several calls, in their order.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn see(&mut self, seen: &Seen<'_>) -> Result<()> {
        for rows in std::iter::once(&mut self.asking).chain(&mut self.unknowing) {
            rows.see(&self.scoring, seen)?;
        }
        Ok(())
    }

    /// Scores of all tokens up to the last row `(tokens)` f32, averaged over the blocks; of a contrast up to the last video token.
    ///
    /// # Errors
    /// [`Error::Input`] where a block has not shown all of the rows.
    pub fn scores(&self) -> Result<Tensor> {
        let asking = self.asking.mean(&self.scoring.layers)?;
        let Some(unknowing) = &self.unknowing else { return Ok(asking) };
        let video = |t: &Tensor| t.narrow(0, self.end);
        let unknowing = unknowing.mean(&self.scoring.layers)?;
        weighted_sum(&[(&video(&asking)?, 1.0), (&video(&unknowing)?, -1.0)])
    }
}

impl RowMass {
    fn see(&mut self, scoring: &Scoring, seen: &Seen<'_>) -> Result<()> {
        let &[tokens, heads, head_dim] = seen.q.dims() else { return Ok(()) };
        let from = self.rows.start.max(seen.first);
        let to = self.rows.end.min(seen.first + tokens);
        if from >= to {
            return Ok(());
        }
        for (place, layer) in scoring.layers.iter().enumerate() {
            if *layer != seen.layer {
                continue;
            }
            let all = self.rows.len();
            let Some(slot) = self.queries.get_mut(place) else { continue };
            let rows = match slot {
                Some(rows) => rows.clone(),
                None => slot
                    .insert(Tensor::empty(seen.q.context(), [all, heads, head_dim], seen.q.dtype())?)
                    .clone(),
            };
            seen.q
                .narrow(from - seen.first, to - from)?
                .copy_to(&rows.narrow(from - self.rows.start, to - from)?)?;
            if to == self.rows.end {
                *slot = None;
                let mass = mass(scoring, &rows, &seen.k.narrow(0, to)?)?;
                if let Some(found) = self.found.get_mut(place) {
                    *found = Some(mass);
                }
            }
        }
        Ok(())
    }

    /// Over the blocks.
    fn mean(&self, layers: &[usize]) -> Result<Tensor> {
        let share = 1.0 / self.found.len().max(1) as f32;
        let mut sum: Option<Tensor> = None;
        for (found, layer) in self.found.iter().zip(layers) {
            let Some(found) = found else {
                let reason = format!("block {layer} has not shown the rows {:?}", self.rows);
                return Err(Error::input("scores", reason));
            };
            sum = Some(match sum {
                None => weighted_sum(&[(found, share)])?,
                Some(sum) => weighted_sum(&[(&sum, 1.0), (found, share)])?,
            });
        }
        sum.ok_or_else(|| Error::input("scores", "no block scores"))
    }
}

/// Column mass `(keys)` of rows that are the last among the keys.
fn mass(scoring: &Scoring, q: &Tensor, k: &Tensor) -> Result<Tensor> {
    let (&[rows, heads, head_dim], &[keys, kv_heads, _]) = (q.dims(), k.dims()) else {
        return Err(Error::input("rows that score", "queries and keys are (tokens, heads, head_dim)"));
    };
    let shape = AttentionShape { batch: 1, heads, kv_heads, seq_q: rows, seq_kv: keys, head_dim };
    let problem = AttentionProblem {
        mask: Mask::Causal,
        readout: Readout::default().with_mass(scoring.reduce),
        ..AttentionProblem::new(shape)
    };
    let tables = Tables::default().with_heads(scoring.heads.clone()).upload(q.context(), &problem)?;
    let (q, k) = (q.reshape([1, rows, heads, head_dim])?, k.reshape([1, keys, kv_heads, head_dim])?);
    // Of the rows' attention only the statistics are asked for, so the keys may stand for the values.
    let stats = attention(&problem, &q, &k, &k, &tables)?.stats;
    attention_column_mass(&problem, &q, &k, &stats, &tables)?.narrow(0, 1)?.reshape([keys])
}
