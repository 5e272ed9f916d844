//! DashFusion: forward passes, losses with their gradients, measures.

use super::super::{Case, Outputs};
use super::host;
use foveal::autograd::{Tape, Var};
use foveal::models::dashfusion::{
    Batch, DashFusionConfig, Frames, Fused, Padding, Tokens, forward, keys, loss,
};
use foveal::nn::{Parameters, Weights};
use foveal::pipelines::sentiment::metrics::{Convention, Metrics};
use foveal::{Context, HostTensor, Result, Tensor};

fn config(case: &Case) -> Result<DashFusionConfig> {
    let mut config = DashFusionConfig::mosi();
    config.text_width = case.usize("text_fea_dim")?;
    config.audio_width = case.usize("audio_fea_dim")?;
    config.vision_width = case.usize("vision_fea_dim")?;
    config.audio_frames = case.usize("audio_seq_len")?;
    config.vision_frames = case.usize("video_seq_len")?;
    config.d_model = case.usize("d_model")?;
    config.heads = case.usize("heads")?;
    config.ffn = case.usize("encoder_ffn")?;
    config.audio_layers = case.usize("audio_layers")?;
    config.vision_layers = case.usize("vision_layers")?;
    config.bottlenecks = case.usizes("bottleneck")?;
    if config.bottlenecks.len() != case.usize("fusion_depth")? {
        return Err(case.malformed("`bottleneck` has not `fusion_depth` levels"));
    }
    let inner = case.weights().shape("temporal_alignment.to_q.weight")?.dims().first().copied();
    config.alignment_head_dim = inner.unwrap_or(0) / config.heads.max(1);
    config.check()?;
    Ok(config)
}

/// A case's model and clips.
struct Setup {
    config: DashFusionConfig,
    weights: Weights,
    text: HostTensor,
    text_lengths: Vec<usize>,
    audio: HostTensor,
    vision: HostTensor,
    label: HostTensor,
}

impl Setup {
    fn new(context: &Context, case: &Case) -> Result<Self> {
        let config = config(case)?;
        let mut parameters = Parameters::new(context);
        keys::load(&mut parameters, &case.weights(), &config)?;
        let text = case.input("text_hidden")?;
        let tokens = text.shape().dims().get(1).copied().unwrap_or(0);
        let mask = case.ints("text_mask")?;
        let lengths = mask.chunks(tokens.max(1)).map(|row| row.iter().take_while(|&&m| m != 0).count());
        Ok(Self {
            text_lengths: lengths.collect(),
            config,
            weights: parameters.constants(),
            text,
            audio: case.input("audio")?,
            vision: case.input("vision")?,
            label: case.input("label")?,
        })
    }

    fn clips(&self) -> usize {
        self.text_lengths.len()
    }

    /// Clips `clips` as a batch of their own, their text cut to the longest among them.
    fn pass(&self, context: &Context, clips: std::ops::Range<usize>) -> Result<(Fused, Frames, Frames)> {
        let lengths = &self.text_lengths[clips.clone()];
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let (c, n) = (&self.config, self.clips());
        let part = |t: &HostTensor| t.data().len() / n;
        let own = part(&self.text);
        let text: Vec<f32> = clips
            .clone()
            .flat_map(|b| self.text.data()[b * own..b * own + longest * c.text_width].to_vec())
            .collect();
        let text = Tensor::from_f32(context, [clips.len() * longest, c.text_width], &text)?;
        let frames = |what: &str, t: &HostTensor, width: usize, table: usize| {
            let each = part(t);
            let all: Vec<&[f32]> = clips.clone().map(|b| &t.data()[b * each..(b + 1) * each]).collect();
            Frames::new(what, &all, width, table, Padding::Released)
        };
        let audio = frames("audio", &self.audio, c.audio_width, c.audio_frames)?;
        let vision = frames("vision", &self.vision, c.vision_width, c.vision_frames)?;
        let batch = Batch {
            text: Var::constant(text),
            text_lengths: lengths.to_vec(),
            audio: audio.clone(),
            vision: vision.clone(),
            padding: Padding::Released,
        };
        let fused = forward(&mut Tape::forward(), &self.weights, c, &batch, None)?;
        Ok((fused, audio, vision))
    }
}

/// Tokens as `(clips, tokens, width)`.
fn tokens(t: &Tokens, clips: usize) -> Result<HostTensor> {
    let width = t.x.tensor().len() / (clips * t.tokens).max(1);
    host(t.x.tensor())?.reshape([clips, t.tokens, width])
}

/// Chosen rows of the middle axis.
fn picked(t: &HostTensor, rows: &[i64]) -> Result<HostTensor> {
    let &[clips, tokens, width] = t.shape().dims() else { return Ok(t.clone()) };
    let row = |b: usize, r: &i64| {
        let at = (b * tokens + *r as usize) * width;
        t.data().get(at..at + width).unwrap_or_default().to_vec()
    };
    let data =
        (0..clips).flat_map(|b| rows.iter().flat_map(move |r| row(b, r)).collect::<Vec<_>>()).collect();
    HostTensor::new([clips, rows.len(), width], data)
}

fn mse(scores: &[f32], labels: &[f32]) -> f64 {
    let squares = scores.iter().zip(labels).map(|(s, l)| (f64::from(*s) - f64::from(*l)).powi(2));
    squares.sum::<f64>() / scores.len() as f64
}

/// The padding mask `(clips, frames + 1)` of the visible frames, against the case's.
fn same_mask(frames: &Frames, expected: &[i64]) -> Result<(), String> {
    let mask = frames.visible().iter().flat_map(|seen| {
        let hidden = (0..frames.frames()).map(|t| i64::from(!seen.contains(&t)));
        [0].into_iter().chain(hidden).collect::<Vec<_>>()
    });
    let wrong = mask.zip(expected).filter(|(a, b)| a != *b).count();
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} of {} differ", expected.len())) }
}

/// `dash.forward`: a batch as shipped, and each clip alone.
pub(super) fn forward_pass(context: &Context, case: &Case) -> Result<Outputs> {
    let setup = Setup::new(context, case)?;
    let clips = setup.clips();
    let mut out = Outputs::new();
    let (all, audio, vision) = setup.pass(context, 0..clips)?;
    out.check("audio_padding_mask", same_mask(&audio, &case.ints("audio_padding_mask")?));
    out.check("vision_padding_mask", same_mask(&vision, &case.ints("vision_padding_mask")?));
    report(&mut out, "", &all, clips)?;
    for (name, encoded) in [("X_a", &all.before.encoded[1]), ("X_v", &all.before.encoded[2])] {
        out.tensor(name, tokens(&encoded.stream, clips)?);
    }
    for (l, level) in all.levels.iter().enumerate() {
        out.tensor(format!("Q_selfatt_l{l}"), tokens(&level.self_attended, clips)?);
        let streams = ["text", "audio", "vision"].into_iter().zip(&level.streams);
        for (name, stream) in streams {
            let rows = format!("stream_rows_{name}");
            let whole = tokens(stream, clips)?;
            let shown = if case.has_input(&rows) { picked(&whole, &case.ints(&rows)?)? } else { whole };
            out.tensor(format!("stream_{name}_l{l}"), shown);
        }
    }
    let scores = host(&all.score.tensor().clone())?;
    out.f64s("mse", [1], vec![mse(scores.data(), setup.label.data())]);
    for b in 0..clips {
        let (one, ..) = setup.pass(context, b..b + 1)?;
        report(&mut out, &format!("b1_{b}/"), &one, 1)?;
        let score = host(one.score.tensor())?;
        out.f64s(format!("b1_{b}/mse"), [1], vec![mse(score.data(), &setup.label.data()[b..b + 1])]);
    }
    Ok(out)
}

fn report(out: &mut Outputs, prefix: &str, pass: &Fused, clips: usize) -> Result<()> {
    let name = |n: &str| format!("{prefix}{n}");
    out.tensor(name("X_t"), tokens(&pass.before.encoded[0].stream, clips)?);
    for (n, encoded) in ["pool_t", "pool_a", "pool_v"].into_iter().zip(&pass.before.encoded) {
        out.tensor(name(n), host(encoded.mean.tensor())?);
    }
    if let Some(aligned) = &pass.before.aligned {
        out.tensor(name("H"), tokens(aligned, clips)?);
    }
    for (l, level) in pass.levels.iter().enumerate() {
        out.tensor(name(&format!("Q_l{l}")), tokens(&level.bottleneck, clips)?);
    }
    out.tensor(name("z"), host(pass.z.tensor())?);
    out.tensor(name("y"), host(pass.score.tensor())?);
    Ok(())
}

/// `dash.loss`: squared error and contrast, and their gradients.
pub(super) fn losses(context: &Context, case: &Case) -> Result<Outputs> {
    let (label, pairs) = (case.input("label")?, case.usize("mean_over_pairs")?);
    if pairs != loss::COUNTED {
        return Err(case.malformed(format!("a mean over {pairs} pairs; {} is what is built", loss::COUNTED)));
    }
    let weight = case.f64("contrastive_weight")?;
    let mut tape = Tape::record();
    let score = tape.leaf(Tensor::from_host(context, &case.input("pred")?)?);
    let embeddings = tape.leaf(Tensor::from_host(context, &case.input("embeddings")?)?);
    let target = Tensor::from_host(context, &label)?;
    let mse = tape.mean_squared_error(&score, &target)?;
    let contrast = loss::contrast(&mut tape, &embeddings, case.f64("temperature")? as f32)?;
    let clips = label.data().len();

    let mut out = Outputs::new();
    let (mse_value, per_clip) = (host(mse.tensor())?, host(contrast.groups.tensor())?);
    let mean = per_clip.data().iter().map(|&v| f64::from(v)).sum::<f64>() / clips as f64;
    out.f64s("contrastive", [1], vec![mean]);
    out.f64s("total", [1], vec![f64::from(mse_value.data()[0]) + weight * mean]);
    out.tensor("mse", mse_value).tensor("contrastive_per_clip", per_clip);
    out.tensor("cosine", host(contrast.cosine.tensor())?);
    let table = host(&contrast.pairs)?;
    let (anchors, positives) = (case.ints("anchor_pos")?, case.ints("pos")?);
    let mut listed = Vec::new();
    for b in 0..clips {
        for (a, p) in anchors.iter().zip(&positives) {
            let at = (b * loss::ROWS + *a as usize) * loss::ROWS + *p as usize;
            listed.push(table.data()[at] as f64 * pairs as f64);
        }
    }
    out.f64s("pair_losses", [clips, anchors.len()], listed);
    let one = Tensor::from_f32(context, [1], &[1.0])?;
    let share = Tensor::from_f32(context, [clips], &vec![(weight / clips as f64) as f32; clips])?;
    let gradients = tape.backward(&[(&mse, one), (&contrast.groups, share)])?;
    for (name, var) in [("grad_pred", &score), ("grad_embeddings", &embeddings)] {
        if let Some(gradient) = gradients.of(var)? {
            out.tensor(name, host(&gradient)?);
        }
    }
    Ok(out)
}

/// `dash.metrics`: the published measures of given scores.
pub(super) fn measures(_context: &Context, case: &Case) -> Result<Outputs> {
    let mut out = Outputs::new();
    for (set, convention) in
        [("mosi", Convention::Mosi), ("mosei", Convention::Mosi), ("sims", Convention::Sims)]
    {
        if !case.has_input(&format!("{set}_label")) {
            continue;
        }
        let (labels, scores) = (case.input(&format!("{set}_label"))?, case.input(&format!("{set}_pred"))?);
        let rows = Metrics::of(convention, scores.data(), labels.data())?.rows();
        out.f64s(set, [rows.len()], rows.into_iter().map(|(_, value)| value).collect());
    }
    Ok(out)
}
