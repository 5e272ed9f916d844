//! Training: epochs of shuffled batches of like length, a look at the validation clips after each, checkpoints from which
//! a run goes on as if it had not stopped.

use super::checkpoint;
use super::data::{Clip, Dataset, bucketed};
use super::metrics::Metrics;
use super::model::{Hidden, Inputs, SentimentModel};
use super::retrieval::Retrieval;
use crate::autograd::{Tape, Var};
use crate::kernels::optim::AdamW;
use crate::models::bert::{self, Texts};
use crate::models::dashfusion::{Dropping, Fused, Fusion, forward, keys, loss, represent};
use crate::nn::{Accumulated, Optimiser, WarmupLinear, Weights};
use crate::weights::WeightStore;
use crate::{Error, Result, Tensor};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// Times that every clip is seen.
    pub epochs: u32,
    /// Clips of an optimiser step.
    pub batch: usize,
    /// Clips of a pass: a batch is taken in parts of at most this many, their gradients summed.
    pub part: usize,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Epochs in which the rate rises.
    pub warmup_epochs: u32,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Weight of the contrast beside the squared error; 0 leaves it and its six companions a clip out.
    pub contrastive_weight: f64,
    /// Largest norm of a step's gradient.
    pub clip_norm: Option<f64>,
    /// Whether the text encoder is trained too.
    pub train_text: bool,
    /// Decides order, companions and dropout.
    pub seed: u64,
}

impl Default for TrainOptions {
    /// The published schedule of MOSI and SIMS, with the text encoder frozen.
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 16,
            part: 16,
            learning_rate: 5e-5,
            warmup_epochs: 10,
            weight_decay: 1e-3,
            contrastive_weight: loss::WEIGHT,
            clip_norm: None,
            train_text: false,
            seed: 12,
        }
    }
}

impl TrainOptions {
    fn check(&self) -> Result<()> {
        // They reach the device as f32.
        let positive = |v: f64| v >= 0.0 && (v as f32).is_finite();
        let sound = self.epochs > 0
            && self.batch > 0
            && self.part > 0
            && [self.learning_rate, self.weight_decay, self.contrastive_weight].into_iter().all(positive)
            && self.clip_norm.is_none_or(|c| c.is_finite() && c > 0.0);
        if sound { Ok(()) } else { Err(Error::input("training options", format!("{self:?}"))) }
    }
}

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Mean squared error over its training clips, as they were seen.
    pub train_mse: f64,
    /// Mean contrast likewise; 0 without one.
    pub train_contrast: f64,
    /// Measures on the validation clips afterwards.
    pub valid: Metrics,
}

/// One optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps taken, this one included.
    pub step: u32,
    /// Steps of the whole run.
    pub of: u32,
    /// Mean squared error.
    pub mse: f64,
    /// Contrast; 0 without one.
    pub contrast: f64,
}

/// What a run says on its way.
#[derive(Debug, Clone)]
pub enum TrainEvent {
    /// A step was taken.
    Step(StepRecord),
    /// An epoch ended; whether its model is the best so far by the validation clips' error.
    Epoch(EpochRecord, bool),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    epoch: u32,
    batches_done: usize,
    sums: [f64; 3],
    best: Option<(u32, f64)>,
    history: Vec<EpochRecord>,
    retrieval: Retrieval,
    steps: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    options: TrainOptions,
    state: State,
}

/// A training run.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// The model as it is now.
    pub model: SentimentModel,
    options: TrainOptions,
    data: &'a Dataset,
    clips: &'a [Clip],
    labels: Vec<f32>,
    tokens: Vec<Vec<u32>>,
    /// Hidden states of the training clips' texts, while the encoder is frozen.
    hidden: Vec<Hidden>,
    optimiser: Optimiser,
    state: State,
}

impl<'a> Trainer<'a> {
    /// A run from the model's present weights on the split `train`.
    ///
    /// # Errors
    /// [`Error::Input`] for options that make no sense or clips that the model does not take, by name; [`Error::File`]
    /// for a clip without a label.
    pub async fn new(model: SentimentModel, data: &'a Dataset, options: TrainOptions) -> Result<Self> {
        options.check()?;
        let clips = data.split("train")?;
        let labels = data.labels(clips)?;
        data.labels(data.split("valid")?)?;
        for clip in clips.iter().chain(data.split("valid")?) {
            model.frames(data, &[clip])?;
        }
        let tokens: Vec<Vec<u32>> = clips.iter().map(|c| model.tokens(&c.text)).collect::<Result<_>>()?;
        let settings =
            AdamW { lr: options.learning_rate, weight_decay: options.weight_decay, ..AdamW::default() };
        let optimiser = Optimiser::new(settings);
        let hidden = if options.train_text { Vec::new() } else { hidden_of(&model, &tokens).await? };
        Ok(Self { model, options, data, clips, labels, tokens, hidden, optimiser, state: State::default() })
    }

    /// Epochs that have ended.
    pub fn history(&self) -> &[EpochRecord] {
        &self.state.history
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.state.steps
    }

    fn steps_per_epoch(&self) -> u32 {
        self.clips.len().div_ceil(self.options.batch) as u32
    }

    /// A stream of its own for each purpose and number.
    fn random(&self, purpose: u64, number: u64) -> Pcg64 {
        Pcg64::seed_from_u64(self.options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (purpose << 56) ^ number)
    }

    /// Batches of an epoch: shuffled, put together by like length within eight batches at a time, shuffled again.
    fn batches(&self, epoch: u32) -> Vec<Vec<usize>> {
        let mut rng = self.random(1, epoch.into());
        let mut order: Vec<usize> = (0..self.clips.len()).collect();
        shuffle(&mut order, &mut rng);
        let size = self.options.batch;
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for pool in order.chunks(size.saturating_mul(8)) {
            let costs: Vec<usize> = pool.iter().map(|&i| self.model.cost(&self.clips[i])).collect();
            let within = bucketed(&costs, size).into_iter();
            batches.extend(within.map(|b| b.into_iter().map(|at| pool[at]).collect()));
        }
        shuffle(&mut batches, &mut rng);
        batches
    }

    /// Goes on by one optimiser step, or looks at the validation clips where an epoch's steps are done; `None` when all
    /// epochs are. Checkpoints are the caller's, after any event.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the step whose loss is no number.
    pub async fn next(&mut self) -> Result<Option<TrainEvent>> {
        if self.state.epoch >= self.options.epochs {
            return Ok(None);
        }
        if self.contrasts() && self.state.batches_done == 0 && self.state.epoch.is_multiple_of(2) {
            self.state.retrieval = self.retrieve().await?;
        }
        if let Some(batch) = self.batches(self.state.epoch).get(self.state.batches_done) {
            let record = self.step(batch).await?;
            let share = batch.len() as f64;
            let [mse, pull, clips] = self.state.sums;
            self.state.sums = [mse + record.mse * share, pull + record.contrast * share, clips + share];
            self.state.batches_done += 1;
            return Ok(Some(TrainEvent::Step(record)));
        }
        let (scores, labels) = evaluate(&self.model, self.data, "valid", self.options.batch).await?;
        let valid = Metrics::of(self.model.description.convention, &scores, &labels)?;
        let [mse, pull, clips] = self.state.sums;
        let epoch = self.state.epoch + 1;
        let record = EpochRecord { epoch, train_mse: mse / clips, train_contrast: pull / clips, valid };
        let mae = record.valid.mae();
        let better = self.state.best.is_none_or(|(_, best)| mae < best);
        if better {
            self.state.best = Some((epoch, mae));
        }
        self.state.history.push(record.clone());
        (self.state.epoch, self.state.batches_done, self.state.sums) = (epoch, 0, [0.0; 3]);
        Ok(Some(TrainEvent::Epoch(record, better)))
    }

    fn contrasts(&self) -> bool {
        self.options.contrastive_weight > 0.0 && self.model.description.model.fusion == Fusion::Hierarchical
    }

    /// One optimiser step on a batch of training clips.
    async fn step(&mut self, batch: &[usize]) -> Result<StepRecord> {
        let number = self.state.steps;
        let mut rng = self.random(2, number.into());
        let (mut gradients, mut mse, mut pull) = (Accumulated::default(), 0.0, 0.0);
        for part in batch.chunks(self.options.part) {
            let seed = rng.random::<u32>();
            let companions =
                if self.contrasts() { self.state.retrieval.draw(part, &mut rng) } else { Vec::new() };
            let [part_mse, part_pull] =
                self.part(part, &companions, batch.len(), seed, &mut gradients).await?;
            mse += part_mse * part.len() as f64 / batch.len() as f64;
            pull += part_pull / batch.len() as f64;
        }
        if !(mse.is_finite() && pull.is_finite()) {
            return Err(Error::NonFinite { what: "training loss".into(), index: number as usize });
        }
        if let Some(limit) = self.options.clip_norm {
            gradients.clip(limit).await?;
        }
        let per_epoch = self.steps_per_epoch();
        let plan = WarmupLinear {
            peak: self.options.learning_rate,
            warmup: self.options.warmup_epochs.saturating_mul(per_epoch),
            total: self.options.epochs.saturating_mul(per_epoch),
        };
        self.optimiser.step(&self.model.parameters, &gradients, plan.rate(number), &keys::decays)?;
        self.state.steps += 1;
        Ok(StepRecord { step: self.state.steps, of: plan.total, mse, contrast: pull })
    }

    /// Gradients of a part of a batch: its squared error's mean, and the sum of its clips' contrasts.
    async fn part(
        &self,
        part: &[usize],
        companions: &[usize],
        whole: usize,
        seed: u32,
        gradients: &mut Accumulated,
    ) -> Result<[f64; 2]> {
        let context = self.model.parameters.context();
        let mut tape = Tape::record();
        let train_text = self.options.train_text;
        let weights = self
            .model
            .parameters
            .on(&mut tape, &|name| train_text || !name.starts_with(keys::TEXT_EXTRACTOR));
        let mut dropping = Dropping::new(seed);
        let pass = self.forward(&mut tape, &weights, part, &mut dropping)?;
        let labels: Vec<f32> = part.iter().map(|&i| self.labels[i]).collect();
        let target = Tensor::from_f32(context, [labels.len()], &labels)?;
        let mse = tape.mean_squared_error(&pass.score, &target)?;
        let seed_mse = Tensor::from_f32(context, [1], &[part.len() as f32 / whole as f32])?;
        let mut seeds = vec![(mse.clone(), seed_mse)];
        let mut pull = None;
        if !companions.is_empty() {
            let inputs = self.inputs(&mut tape, &weights, companions)?;
            let (config, batch) = (&self.model.description.model, inputs.batch());
            let others = represent(&mut tape, &weights, config, &batch, Some(&mut dropping))?;
            let vectors = loss::embeddings(&mut tape, &pass.before, &others)?;
            let contrast = loss::contrast(&mut tape, &vectors, loss::TEMPERATURE)?;
            let share = (self.options.contrastive_weight / whole as f64) as f32;
            seeds.push((
                contrast.groups.clone(),
                Tensor::from_f32(context, [part.len()], &vec![share; part.len()])?,
            ));
            pull = Some(contrast.groups);
        }
        let pairs: Vec<(&Var, Tensor)> = seeds.iter().map(|(v, s)| (v, s.clone())).collect();
        let found = tape.backward(&pairs)?;
        gradients.add(weights.gradients(&found)?)?;
        let mse = mse.tensor().to_vec().await?.first().copied().unwrap_or(f32::NAN);
        let pull = match pull {
            Some(groups) => groups.tensor().to_vec().await?.into_iter().map(f64::from).sum(),
            None => 0.0,
        };
        Ok([mse.into(), pull])
    }

    fn forward(
        &self,
        tape: &mut Tape,
        weights: &Weights,
        clips: &[usize],
        dropping: &mut Dropping,
    ) -> Result<Fused> {
        let inputs = self.inputs(tape, weights, clips)?;
        let config = &self.model.description.model;
        forward(tape, weights, config, &inputs.batch(), Some(dropping))
    }

    /// Some clips' texts, encoded, and frames.
    fn inputs(&self, tape: &mut Tape, weights: &Weights, clips: &[usize]) -> Result<Inputs> {
        let text = self.text(tape, weights, clips)?;
        let clips: Vec<&Clip> = clips.iter().map(|&i| &self.clips[i]).collect();
        self.model.inputs(self.data, &clips, text)
    }

    fn text(&self, tape: &mut Tape, weights: &Weights, clips: &[usize]) -> Result<(Var, Vec<usize>)> {
        if !self.options.train_text {
            let hidden: Vec<&Hidden> = clips.iter().map(|&i| &self.hidden[i]).collect();
            return self.model.text_batch(&hidden);
        }
        let texts: Vec<Vec<u32>> = clips.iter().map(|&i| self.tokens[i].clone()).collect();
        let texts = Texts::new(&texts)?;
        let x = bert::encode(tape, weights, keys::TEXT_EXTRACTOR, &self.model.text_config, &texts)?;
        Ok((x, texts.lengths().to_vec()))
    }

    /// Candidates by the clips' means of text, vision and audio, as the model has them now.
    async fn retrieve(&self) -> Result<Retrieval> {
        let weights = self.model.parameters.constants();
        let costs: Vec<usize> = self.clips.iter().map(|c| self.model.cost(c)).collect();
        let mut vectors = vec![Vec::new(); self.clips.len()];
        for batch in bucketed(&costs, self.options.batch) {
            let mut tape = Tape::forward();
            let inputs = self.inputs(&mut tape, &weights, &batch)?;
            let config = &self.model.description.model;
            let found = represent(&mut tape, &weights, config, &inputs.batch(), None)?;
            for encoded in &found.encoded {
                let means = encoded.mean.tensor().to_vec().await?;
                let width = means.len() / batch.len().max(1);
                for (&clip, mean) in batch.iter().zip(means.chunks(width.max(1))) {
                    vectors[clip].extend_from_slice(mean);
                }
            }
        }
        Ok(Retrieval::of(&vectors, &self.labels, self.model.description.convention))
    }

    /// Writes everything that the rest of the run depends on, in one step.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn checkpoint(&self, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, parameter) in self.model.parameters.iter() {
            if self.options.train_text || !name.starts_with(keys::TEXT_EXTRACTOR) {
                tensors.push((format!("parameter.{name}"), parameter.clone()));
            }
        }
        for (name, [first, second]) in self.optimiser.moments() {
            tensors.push((format!("first_moment.{name}"), first.clone()));
            tensors.push((format!("second_moment.{name}"), second.clone()));
        }
        let saved = Saved { options: self.options.clone(), state: self.state.clone() };
        let state = serde_json::to_string(&saved).map_err(|e| Error::file(path, e.to_string()))?;
        checkpoint::write(path, tensors, Some(state)).await
    }

    /// Whether a state can be one of a run on these clips: every batch of an epoch is a step.
    fn continues(&self, state: &State) -> bool {
        let (per_epoch, batches) = (u64::from(self.steps_per_epoch()), state.batches_done as u64);
        batches <= per_epoch
            && u64::from(state.epoch) * per_epoch + batches == u64::from(state.steps)
            && state.retrieval.fits(self.clips.len())
    }

    /// Goes on from a checkpoint of a run with the same options and clips.
    ///
    /// # Errors
    /// [`Error::File`] for a checkpoint of another run, naming what differs; [`Error::Weight`] for a tensor of another
    /// shape.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let saved: Saved = serde_json::from_str(&checkpoint::state(path)?)
            .map_err(|e| Error::file(path, format!("state: {e}")))?;
        if saved.options != self.options {
            let reason = format!("it is of a run with {:?}, not {:?}", saved.options, self.options);
            return Err(Error::file(path, reason));
        }
        if !self.continues(&saved.state) {
            return Err(Error::file(path, "it is of a run with other clips"));
        }
        let store = WeightStore::open(path)?;
        let names: Vec<(String, Vec<usize>)> =
            self.model.parameters.iter().map(|(n, t)| (n.to_owned(), t.dims().to_vec())).collect();
        let mut moments = Vec::new();
        for (name, shape) in &names {
            if self.options.train_text || !name.starts_with(keys::TEXT_EXTRACTOR) {
                let values = store.load(&format!("parameter.{name}"), shape)?;
                self.model.parameters.insert(name.clone(), &values)?;
            }
            if store.contains(&format!("first_moment.{name}")) {
                let load = |kind: &str| store.load(&format!("{kind}.{name}"), shape);
                moments.push((name.clone(), [load("first_moment")?, load("second_moment")?]));
            }
        }
        self.optimiser.restore(&self.model.parameters, saved.state.steps, moments)?;
        self.state = saved.state;
        Ok(())
    }
}

fn shuffle<T>(all: &mut [T], rng: &mut Pcg64) {
    for i in (1..all.len()).rev() {
        all.swap(i, rng.random_range(0..=i));
    }
}

async fn hidden_of(model: &SentimentModel, tokens: &[Vec<u32>]) -> Result<Vec<Hidden>> {
    let weights = model.parameters.constants();
    let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
    let mut hidden = vec![Hidden::new(); tokens.len()];
    for batch in bucketed(&lengths, 16) {
        let texts: Vec<Vec<u32>> = batch.iter().map(|&i| tokens[i].clone()).collect();
        for (i, h) in batch.into_iter().zip(model.hidden(&weights, &texts).await?) {
            hidden[i] = h;
        }
    }
    Ok(hidden)
}

/// Scores and labels of a split's clips, in its order.
///
/// # Errors
/// [`Error::File`] for a split without clips or a clip without a label; as [`SentimentModel::score`].
pub async fn evaluate(
    model: &SentimentModel,
    data: &Dataset,
    split: &str,
    batch: usize,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let clips = data.split(split)?;
    let labels = data.labels(clips)?;
    let costs: Vec<usize> = clips.iter().map(|c| model.cost(c)).collect();
    let mut scores = vec![f32::NAN; clips.len()];
    for indices in bucketed(&costs, batch) {
        let part: Vec<&Clip> = indices.iter().map(|&i| &clips[i]).collect();
        for (i, found) in indices.iter().zip(model.score(data, &part).await?) {
            scores[*i] = found.score;
        }
    }
    Ok((scores, labels))
}
