//! DashFusion: text, audio and vision aligned over time and fused through a shrinking set of bottleneck tokens.
//!
//! Text comes from BERT through a projector; audio and vision from features through a projection, a class token,
//! learnt positions and post-norm blocks. The text's tokens look at audio and vision once (alignment). The fusion takes
//! its first tokens as bottleneck: at each level the bottleneck attends to itself, is shortened, gathers from the three
//! streams, and each stream attends to it. The head sees the first rows of the bottleneck and the three streams.
//!
//! Source: arXiv 2512.05515; ultramarineX/DashFusion at 37ba417, whose padding and exchanged names
//! [`Padding::Released`] and [`keys::fusion_slot`] keep.

pub mod config;
pub mod input;
pub mod keys;
pub mod loss;

pub use config::{DashFusionConfig, Fusion};
pub use input::{Frames, Padding};
pub use keys::Modality;

use crate::autograd::{Attend, LinearThen, Tape, Var};
use crate::kernels::attention::{AttentionProblem, AttentionShape, Tables};
use crate::kernels::elementwise::Stream as RandomStream;
use crate::kernels::token::RowMap;
use crate::nn::Weights;
use crate::{Dtype, Error, Result, Tensor};

const EPS: f32 = 1e-5;

/// Tokens of one modality of a batch: `(clips × tokens, d_model)`, the first token of a clip being its class token.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Values.
    pub x: Var,
    /// Tokens of every clip after padding.
    pub tokens: usize,
    /// Tokens that can be seen, by clip; all where there is none. 0 where the modality is missing.
    pub lengths: Option<Vec<u32>>,
}

/// An encoded modality.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Its tokens.
    pub stream: Tokens,
    /// Their mean over what is no padding `(clips, d_model)`; zero where the modality is missing.
    pub mean: Var,
}

/// What one level of the fusion leaves.
#[derive(Debug, Clone)]
pub struct Level {
    /// The bottleneck after its self-attention, before it is shortened.
    pub self_attended: Tokens,
    /// The bottleneck after it has gathered.
    pub bottleneck: Tokens,
    /// Text, audio and vision after they have seen the bottleneck.
    pub streams: [Tokens; 3],
}

/// Clips before the fusion: what the contrast compares.
#[derive(Debug, Clone)]
pub struct Represented {
    /// Text, audio and vision after their encoders.
    pub encoded: [Encoded; 3],
    /// Text after the alignment; none where the head sees no fusion.
    pub aligned: Option<Tokens>,
}

/// A pass's results, from the encoders to the scores.
#[derive(Debug, Clone)]
pub struct Fused {
    /// What was fused.
    pub before: Represented,
    /// Levels of the fusion.
    pub levels: Vec<Level>,
    /// What the head sees `(clips, 4 d_model)`: bottleneck, text, vision, audio. Of late fusion what the heads see.
    pub z: Var,
    /// Scores `(clips)`, in the units of the labels, not clamped.
    pub score: Var,
}

/// The numbers of dropout in one training step.
#[derive(Debug, Clone, Copy)]
pub struct Dropping {
    seed: u32,
    uses: u32,
}

impl Dropping {
    /// Numbers of a step; another seed for another step.
    pub fn new(seed: u32) -> Self {
        Self { seed, uses: 0 }
    }

    fn apply(this: &mut Option<&mut Self>, tape: &mut Tape, x: &Var, p: f32) -> Result<Var> {
        let Some(this) = this else { return Ok(x.clone()) };
        this.uses += 1;
        tape.dropout(x, p, RandomStream { seed: this.seed, use_number: this.uses })
    }
}

/// A batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The text encoder's hidden state `(clips × tokens, text_width)`.
    pub text: Var,
    /// Tokens of each text.
    pub text_lengths: Vec<usize>,
    /// Audio.
    pub audio: Frames,
    /// Vision.
    pub vision: Frames,
    /// Which padding both were made with.
    pub padding: Padding,
}

/// One forward pass. `dropping` is for training.
///
/// # Errors
/// [`Error::Input`] for a configuration that makes no model, and for a batch whose parts do not fit together or it.
pub fn forward(
    tape: &mut Tape,
    w: &Weights,
    config: &DashFusionConfig,
    batch: &Batch,
    dropping: Option<&mut Dropping>,
) -> Result<Fused> {
    config.check()?;
    Pass { tape, w, config, clips: batch.text_lengths.len(), dropping }.fuse(batch)
}

/// The encoders and the alignment alone.
///
/// # Errors
/// As [`forward`].
pub fn represent(
    tape: &mut Tape,
    w: &Weights,
    config: &DashFusionConfig,
    batch: &Batch,
    dropping: Option<&mut Dropping>,
) -> Result<Represented> {
    config.check()?;
    Pass { tape, w, config, clips: batch.text_lengths.len(), dropping }.represent(batch)
}

struct Pass<'a> {
    tape: &'a mut Tape,
    w: &'a Weights,
    config: &'a DashFusionConfig,
    clips: usize,
    dropping: Option<&'a mut Dropping>,
}

impl Pass<'_> {
    fn represent(&mut self, batch: &Batch) -> Result<Represented> {
        let c = self.config;
        for (what, frames, width) in
            [("audio", &batch.audio, c.audio_width), ("vision", &batch.vision, c.vision_width)]
        {
            let (found, expected) = ((frames.visible().len(), frames.width()), (self.clips, width));
            if found != expected {
                let reason = format!("(clips, width) {found:?}; the batch and the model have {expected:?}");
                return Err(Error::input(what, reason));
            }
        }
        // A head that sees one modality leaves the other encoders out.
        let wanted = |encoder: &str| keys::takes_part(encoder, c.fusion);
        let text = if wanted("text_encoder") { self.text(batch)? } else { self.absent()? };
        let audio = if wanted("audio_encoder") {
            self.frames("audio_encoder", &batch.audio, c.audio_layers, batch.padding)?
        } else {
            self.absent()?
        };
        let vision = if wanted("vision_encoder") {
            self.frames("vision_encoder", &batch.vision, c.vision_layers, batch.padding)?
        } else {
            self.absent()?
        };
        let encoded = [text, audio, vision];
        let aligned = match c.fusion {
            Fusion::Hierarchical => Some(self.align(&encoded)?),
            _ => None,
        };
        Ok(Represented { encoded, aligned })
    }

    fn fuse(mut self, batch: &Batch) -> Result<Fused> {
        let before = self.represent(batch)?;
        let mut levels = Vec::new();
        let [text, audio, vision] = &before.encoded;
        // In the head's order: bottleneck, text, vision, audio.
        let parts = match (self.config.fusion, &before.aligned) {
            (Fusion::Hierarchical, Some(aligned)) => {
                let (mut query, mut streams) =
                    (aligned.clone(), [text, audio, vision].map(|e| e.stream.clone()));
                for level in 0..self.config.bottlenecks.len() {
                    let done = self.level(level, &query, &streams)?;
                    (query, streams) = (done.bottleneck.clone(), done.streams.clone());
                    levels.push(done);
                }
                let [text, audio, vision] = &streams;
                let mut first = |x: &Tokens| self.first(x).map(Some);
                [first(&query)?, first(text)?, first(vision)?, first(audio)?]
            }
            (Fusion::Text, _) => [None, Some(text.mean.clone()), None, None],
            (Fusion::Vision, _) => [None, None, Some(vision.mean.clone()), None],
            (Fusion::Audio, _) => [None, None, None, Some(audio.mean.clone())],
            (Fusion::Concatenation | Fusion::Late | Fusion::Hierarchical, _) => {
                let mean = |e: &Encoded| Some(e.mean.clone());
                [None, mean(text), mean(vision), mean(audio)]
            }
        };
        let z = self.side_by_side(&parts)?;
        let score = match self.config.fusion {
            Fusion::Late => self.heads(&before.encoded)?,
            _ => self.head(&z, "classifier")?.reshape([self.clips])?,
        };
        Ok(Fused { before, levels, z, score })
    }

    /// A modality that nobody asked for: one token a clip, which cannot be seen.
    fn absent(&self) -> Result<Encoded> {
        let context = self.w.var("text_encoder.projector.layernorm.weight")?.tensor().context();
        let zero = Var::constant(Tensor::zeros(context, [self.clips, self.config.d_model], Dtype::F32)?);
        let stream = Tokens { x: zero.clone(), tokens: 1, lengths: Some(vec![0; self.clips]) };
        Ok(Encoded { stream, mean: zero })
    }

    /// Text: two linear layers without bias, norm; padding becomes zero.
    fn text(&mut self, batch: &Batch) -> Result<Encoded> {
        let rows = batch.text.tensor().len() / self.config.text_width.max(1);
        let tokens = rows / self.clips.max(1);
        let lengths = &batch.text_lengths;
        if self.clips == 0
            || batch.text.tensor().len() != self.clips * tokens * self.config.text_width
            || lengths.iter().any(|&n| n == 0 || n > tokens)
        {
            let reason =
                format!("hidden state {} for texts of {lengths:?} tokens", batch.text.tensor().shape());
            return Err(Error::input("text", reason));
        }
        let x = batch.text.reshape([rows, self.config.text_width])?;
        let x = self.w.linear_then(self.tape, &x, "text_encoder.projector.proj.0", LinearThen::GeluErf)?;
        let x = self.w.linear_then(self.tape, &x, "text_encoder.projector.proj.2", LinearThen::GeluErf)?;
        let x = self.w.norm(self.tape, &x, "text_encoder.projector.layernorm", EPS)?;
        let kept = (0..rows).map(|r| (r % tokens < lengths[r / tokens]).then_some(r));
        let x = self.tape.sum_rows(&x, &RowMap::pick(rows, kept)?)?;
        let all = lengths.iter().enumerate().map(|(b, &n)| (b * tokens..b * tokens + n).collect());
        let mean = self.tape.sum_rows(&x, &RowMap::mean(rows, all)?)?;
        let lengths = (batch.padding == Padding::Masked).then(|| lengths.iter().map(|&n| n as u32).collect());
        Ok(Encoded { stream: Tokens { x, tokens, lengths }, mean })
    }

    /// Audio or vision. The encoder runs on the visible frames alone, in their order; what the released code hides from
    /// it comes back as zero rows.
    fn frames(&mut self, name: &str, frames: &Frames, layers: usize, padding: Padding) -> Result<Encoded> {
        let (c, d, clips, visible) = (self.config, self.config.d_model, self.clips, frames.visible());
        let context = self.w.var("text_encoder.projector.layernorm.weight")?.tensor().context().clone();
        let rows_in = clips * frames.frames();
        let values = Tensor::from_f32(&context, [rows_in, frames.width()], frames.values())?;
        let at = format!("{name}.encoder.pos_encoder");
        let x = self.w.linear(self.tape, &Var::constant(values), &format!("{at}.proj"))?;

        // A number of rows that is a multiple of four is what the weights' gradients like best.
        let tokens = (1 + visible.iter().map(Vec::len).max().unwrap_or(0)).next_multiple_of(4);
        let rows = clips * tokens;
        let shown = |r: usize| visible[r / tokens].get((r % tokens).checked_sub(1)?).copied();
        let frame = |r: usize| Some(r / tokens * frames.frames() + shown(r)?);
        let class = |r: usize| (r.is_multiple_of(tokens) && !visible[r / tokens].is_empty()).then_some(0);
        let place = |r: usize| class(r).or_else(|| Some(shown(r)? + 1));
        let x = self.tape.sum_rows(&x, &RowMap::pick(rows_in, (0..rows).map(frame))?)?;
        let cls = self.w.var(&format!("{at}.cls_token"))?.reshape([1, d])?;
        let cls = self.tape.sum_rows(&cls, &RowMap::pick(1, (0..rows).map(class))?)?;
        let table = self.w.var(&format!("{at}.position_embeddings"))?;
        let places = table.tensor().len() / d;
        let table = table.reshape([places, d])?;
        let positions = self.tape.sum_rows(&table, &RowMap::pick(places, (0..rows).map(place))?)?;
        let x = self.tape.sum(&[&x, &cls, &positions])?;
        let mut x = Dropping::apply(&mut self.dropping, self.tape, &x, c.position_dropout)?;

        let seen: Vec<u32> =
            visible.iter().map(|v| if v.is_empty() { 0 } else { v.len() as u32 + 1 }).collect();
        for i in 0..layers {
            let at = format!("{name}.encoder.transformer_encoder.layers.{i}");
            let keys = Tokens { x: x.clone(), tokens, lengths: Some(seen.clone()) };
            let [q, k, v] = self.packed_projections(&x, &format!("{at}.self_attn"))?;
            let o = self.attend(&q, &k, &v, &keys, tokens, (d / c.heads) as f64)?;
            let sum = self.added(&o, &x, &format!("{at}.self_attn.out_proj"))?;
            x = self.w.norm(self.tape, &sum, &format!("{at}.norm1"), EPS)?;
            let hidden = self.w.linear_then(self.tape, &x, &format!("{at}.linear1"), LinearThen::GeluErf)?;
            let hidden = Dropping::apply(&mut self.dropping, self.tape, &hidden, c.encoder_dropout)?;
            let sum = self.added(&hidden, &x, &format!("{at}.linear2"))?;
            x = self.w.norm(self.tape, &sum, &format!("{at}.norm2"), EPS)?;
        }
        let x = self.w.norm(self.tape, &x, &format!("{name}.layernorm"), EPS)?;
        let own = |b: usize| (b * tokens..b * tokens + seen[b] as usize).collect();
        let mean = self.tape.sum_rows(&x, &RowMap::mean(rows, (0..clips).map(own))?)?;
        let stream = match padding {
            Padding::Masked => {
                let kept = (0..rows).map(|r| ((r % tokens) < seen[r / tokens] as usize).then_some(r));
                let x = self.tape.sum_rows(&x, &RowMap::pick(rows, kept)?)?;
                Tokens { x, tokens, lengths: Some(seen) }
            }
            Padding::Released => {
                let whole = frames.frames() + 1;
                let mut back = vec![None; clips * whole];
                for (b, shown) in visible.iter().enumerate() {
                    back[b * whole] = Some(b * tokens);
                    for (j, &t) in shown.iter().enumerate() {
                        back[b * whole + t + 1] = Some(b * tokens + j + 1);
                    }
                }
                let x = self.tape.sum_rows(&x, &RowMap::pick(rows, back)?)?;
                Tokens { x, tokens: whole, lengths: None }
            }
        };
        Ok(Encoded { stream, mean })
    }

    /// Queries, keys and values from one packed weight `(3 d, d)`.
    fn packed_projections(&mut self, x: &Var, name: &str) -> Result<[Var; 3]> {
        let d = self.config.d_model;
        let weight = self.w.var(&format!("{name}.in_proj_weight"))?;
        let bias = self.w.var(&format!("{name}.in_proj_bias"))?.reshape([3, d])?;
        let mut part = |i: usize| {
            let rows = RowMap::pick(3 * d, (i * d..(i + 1) * d).map(Some))?;
            let (weight, row) = (self.tape.sum_rows(weight, &rows)?, RowMap::pick(3, [Some(i)])?);
            let bias = self.tape.sum_rows(&bias, &row)?.reshape([d])?;
            self.tape.linear(x, &weight, Some(&bias))
        };
        Ok([part(0)?, part(1)?, part(2)?])
    }

    /// Attention of `seq_q` queries a clip over the keys of `keys`, scaled by `1 / √scale_dim`.
    fn attend(
        &mut self,
        q: &Var,
        k: &Var,
        v: &Var,
        keys: &Tokens,
        seq_q: usize,
        scale_dim: f64,
    ) -> Result<Var> {
        let (batch, heads, seq_kv) = (self.clips, self.config.heads, keys.tokens);
        let inner = q.tensor().len() / (batch * seq_q).max(1);
        let head_dim = inner / heads;
        let shape = AttentionShape { batch, heads, kv_heads: heads, seq_q, seq_kv, head_dim };
        let problem = AttentionProblem {
            scale: scale_dim.sqrt().recip() as f32,
            key_lengths: keys.lengths.is_some(),
            ..AttentionProblem::new(shape)
        };
        let key_lengths = keys.lengths.as_deref().unwrap_or_default();
        let tables =
            Tables::default().with_key_lengths(key_lengths).upload(q.tensor().context(), &problem)?;
        let q = q.reshape([batch, seq_q, heads, head_dim])?;
        let k = k.reshape([batch, seq_kv, heads, head_dim])?;
        let v = v.reshape([batch, seq_kv, heads, head_dim])?;
        let call = Attend::new(&problem, &q, &k, &v).with_tables(&tables);
        self.tape.attend(&call)?.o.reshape([batch * seq_q, inner])
    }

    /// Text looks at audio and at vision, with one query and one output projection for both.
    fn align(&mut self, encoded: &[Encoded; 3]) -> Result<Tokens> {
        let [text, audio, vision] = [0, 1, 2].map(|i: usize| &encoded[i].stream);
        let dim = self.config.alignment_head_dim as f64;
        let q = self.w.linear(self.tape, &text.x, "temporal_alignment.to_q")?;
        let mut looks = Vec::new();
        for (stream, name) in [(audio, "ta"), (vision, "tv")] {
            let k = self.w.linear(self.tape, &stream.x, &format!("temporal_alignment.to_k_{name}"))?;
            let v = self.w.linear(self.tape, &stream.x, &format!("temporal_alignment.to_v_{name}"))?;
            looks.push(self.attend(&q, &k, &v, stream, text.tokens, dim)?);
        }
        let both = self.tape.sum(&looks.iter().collect::<Vec<_>>())?;
        let residual = LinearThen::Residual(&text.x);
        let x = self.w.linear_then(self.tape, &both, "temporal_alignment.to_out.0", residual)?;
        Ok(Tokens { x, ..text.clone() })
    }

    /// One level of the fusion.
    fn level(&mut self, level: usize, query: &Tokens, streams: &[Tokens; 3]) -> Result<Level> {
        let of = |part: &str| format!("HBF.encoder_{part}.{level}");
        let self_attended = self.branches(query, query, &of("q"))?;
        let short = self.shorten(&self_attended, self.config.bottlenecks[level])?;
        let bottleneck = self.gather(&short, streams, &of("q2tav"))?;
        let mut fused = Vec::with_capacity(3);
        for (stream, modality) in streams.iter().zip(keys::MODALITIES) {
            fused.push(self.branches(stream, &bottleneck, &of(keys::fusion_slot(modality)))?);
        }
        let streams = <[Tokens; 3]>::try_from(fused).map_err(|_| Error::input("streams", "not three"))?;
        Ok(Level { self_attended, bottleneck, streams })
    }

    /// `x ← x + LN(attention(x, keys))`, `x ← x + LN(ffn(x))`: the norm lies on the branch.
    fn branches(&mut self, x: &Tokens, keys: &Tokens, name: &str) -> Result<Tokens> {
        let at = format!("{name}.layers.0");
        let q = self.w.linear(self.tape, &x.x, &format!("{at}.0.fn.to_query"))?;
        let k = self.w.linear(self.tape, &keys.x, &format!("{at}.0.fn.to_key"))?;
        let v = self.w.linear(self.tape, &keys.x, &format!("{at}.0.fn.to_value"))?;
        // By the width of all heads, not of one, as the released code has it.
        let o = self.attend(&q, &k, &v, keys, x.tokens, self.config.d_model as f64)?;
        let y = self.w.branch_norm(self.tape, &o, &x.x, &format!("{at}.0.norm"), EPS)?;
        let hidden = self.hidden(&y, &format!("{at}.1.fn"))?;
        let f = self.w.linear(self.tape, &hidden, &format!("{at}.1.fn.net.3"))?;
        Ok(Tokens { x: self.w.branch_norm(self.tape, &f, &y, &format!("{at}.1.norm"), EPS)?, ..x.clone() })
    }

    /// The bottleneck gathers from the three streams: `q ← LN(q + Σ attention(q, stream))`, `q ← LN(q + ffn(q))`.
    fn gather(&mut self, query: &Tokens, streams: &[Tokens; 3], name: &str) -> Result<Tokens> {
        let dim = (self.config.d_model / self.config.heads) as f64;
        let q = self.w.linear(self.tape, &query.x, &format!("{name}.to_q"))?;
        let mut terms = vec![query.x.clone()];
        for (stream, modality) in streams.iter().zip(keys::MODALITIES) {
            let slot = keys::fusion_slot(modality);
            let k = self.w.linear(self.tape, &stream.x, &format!("{name}.to_k_{slot}"))?;
            let v = self.w.linear(self.tape, &stream.x, &format!("{name}.to_v_{slot}"))?;
            terms.push(self.attend(&q, &k, &v, stream, query.tokens, dim)?);
        }
        let sum = self.tape.sum(&terms.iter().collect::<Vec<_>>())?;
        let x = self.w.norm(self.tape, &sum, &format!("{name}.norm1"), EPS)?;
        let hidden = self.hidden(&x, &format!("{name}.ffn"))?;
        let residual = LinearThen::Residual(&x);
        let sum = self.w.linear_then(self.tape, &hidden, &format!("{name}.ffn.net.3"), residual)?;
        let x = self.w.norm(self.tape, &sum, &format!("{name}.norm2"), EPS)?;
        Ok(Tokens { x, ..query.clone() })
    }

    /// The residual plus the dropped-out linear map of `x`, in one kernel where nothing is dropped.
    fn added(&mut self, x: &Var, residual: &Var, name: &str) -> Result<Var> {
        if self.dropping.is_none() {
            return self.w.linear_then(self.tape, x, name, LinearThen::Residual(residual));
        }
        let y = self.w.linear(self.tape, x, name)?;
        let y = Dropping::apply(&mut self.dropping, self.tape, &y, self.config.encoder_dropout)?;
        self.tape.sum(&[residual, &y])
    }

    /// The wide layer of a feed-forward block, after its gelu.
    fn hidden(&mut self, x: &Var, name: &str) -> Result<Var> {
        self.w.linear_then(self.tape, x, &format!("{name}.net.0"), LinearThen::GeluErf)
    }

    /// The first `most` tokens of every clip.
    fn shorten(&mut self, x: &Tokens, most: usize) -> Result<Tokens> {
        let tokens = most.min(x.tokens);
        let rows = (0..self.clips * tokens).map(|r| Some(r / tokens * x.tokens + r % tokens));
        let kept = self.tape.sum_rows(&x.x, &RowMap::pick(self.clips * x.tokens, rows)?)?;
        let lengths = x.lengths.as_ref().map(|all| all.iter().map(|&n| n.min(tokens as u32)).collect());
        Ok(Tokens { x: kept, tokens, lengths })
    }

    /// The first token of every clip; zero where the modality is missing.
    fn first(&mut self, x: &Tokens) -> Result<Var> {
        let there = |b: usize| x.lengths.as_ref().is_none_or(|all| all.get(b).is_some_and(|&n| n > 0));
        let rows = (0..self.clips).map(|b| there(b).then_some(b * x.tokens));
        self.tape.sum_rows(&x.x, &RowMap::pick(self.clips * x.tokens, rows)?)
    }

    /// Parts `(clips, d)` as `(clips, parts × d)`; an absent one is zero.
    fn side_by_side(&mut self, parts: &[Option<Var>; 4]) -> Result<Var> {
        let (clips, n) = (self.clips, parts.len());
        let mut placed = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let Some(part) = part else { continue };
            let rows = (0..clips * n).map(|r| (r % n == i).then_some(r / n));
            placed.push(self.tape.sum_rows(part, &RowMap::pick(clips, rows)?)?);
        }
        let sum = self.tape.sum(&placed.iter().collect::<Vec<_>>())?;
        sum.reshape([clips, n * self.config.d_model])
    }

    /// Three layers over `z`: `(clips, 1)`.
    fn head(&mut self, z: &Var, name: &str) -> Result<Var> {
        let x = self.w.linear_then(self.tape, z, &format!("{name}.MLP.0"), LinearThen::GeluErf)?;
        let x = self.w.linear_then(self.tape, &x, &format!("{name}.MLP.2"), LinearThen::GeluErf)?;
        self.w.linear(self.tape, &x, &format!("{name}.MLP.4"))
    }

    /// The sum of the scores that each modality's own head gives it `(clips)`. Each head's last layer holds its share, so
    /// that there is no weight beside it; a modality that is missing has no say, not that of a mean of zeros.
    fn heads(&mut self, encoded: &[Encoded; 3]) -> Result<Var> {
        let mut scores = Vec::with_capacity(3);
        for (one, modality) in encoded.iter().zip(keys::MODALITIES) {
            let score = self.head(&one.mean, keys::late_head(modality))?;
            let there =
                |b: usize| one.stream.lengths.as_ref().is_none_or(|all| all.get(b).is_some_and(|&n| n > 0));
            let rows = RowMap::pick(self.clips, (0..self.clips).map(|b| there(b).then_some(b)))?;
            scores.push(self.tape.sum_rows(&score, &rows)?);
        }
        self.tape.sum(&scores.iter().collect::<Vec<_>>())?.reshape([self.clips])
    }
}
