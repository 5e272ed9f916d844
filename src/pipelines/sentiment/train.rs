//! Training: epochs of shuffled batches of like length, a look at the validation clips after each, checkpoints from which
//! a run goes on as if it had not stopped.

use super::data::{Clip, Dataset, bucketed};
use super::model::{Hidden, SentimentModel, Unscored};
use super::origin::{Origin, TRAIN, VALID};
use super::progress::{EpochRecord, StepRecord, TrainEvent};
use super::request::{Saving, ScoreRequest, TrainOptions};
use super::result::TrainResult;
use super::retrieval::Retrieval;
use crate::autograd::{Tape, Var};
use crate::kernels::optim::AdamW;
use crate::models::bert::{self, Texts};
use crate::models::dashfusion::{Batch, Dropping, Fused, Fusion, forward, keys, loss, represent};
use crate::nn::{Accumulated, Optimiser, WarmupLinear, Weights};
use crate::pipelines::go_on;
use crate::{Error, Result, Tensor};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) epoch: u32,
    pub(super) batches_done: usize,
    sums: [f64; 3],
    pub(super) best: Option<(u32, f64)>,
    history: Vec<EpochRecord>,
    pub(super) retrieval: Retrieval,
    pub(super) steps: u32,
}

/// A training run.
#[derive(Debug)]
pub struct Trainer {
    /// The model as it is now.
    pub model: SentimentModel,
    pub(super) options: TrainOptions,
    pub(super) saving: Saving,
    /// Whether what `saving` names is this run's since [`Trainer::run`] looked at it.
    pub(super) own: bool,
    /// The checkpoint that the run went on from.
    pub(super) resumed: Option<PathBuf>,
    data: Arc<Dataset>,
    /// What the run depends on beside its options.
    pub(super) origin: Origin,
    labels: Vec<f32>,
    tokens: Vec<Vec<u32>>,
    /// Hidden states of the training clips' texts, while the encoder is frozen.
    hidden: Vec<Hidden>,
    pub(super) optimiser: Optimiser,
    pub(super) state: State,
}

impl Trainer {
    /// A run from the model's present weights on the split `train`.
    ///
    /// # Errors
    /// [`Error::Input`] for options that make no sense or clips that the model does not take, by name; [`Error::File`]
    /// for a clip without a label.
    pub async fn new(
        mut model: SentimentModel,
        data: impl Into<Arc<Dataset>>,
        options: TrainOptions,
    ) -> Result<Self> {
        let data = data.into();
        options.check()?;
        if options.train_text {
            model.forget_texts();
        }
        let clips = data.split(TRAIN)?;
        let labels = data.labels(clips)?;
        data.labels(data.split(VALID)?)?;
        for clip in clips.iter().chain(data.split(VALID)?) {
            if let Some(Unscored { id, reason }) = model.refusal(clip) {
                return Err(Error::input(format!("clip `{}`", id.escape_debug()), reason));
            }
            model.frames(&data, &[clip])?;
        }
        let tokens: Vec<Vec<u32>> = clips.iter().map(|c| model.tokens(&c.text)).collect::<Result<_>>()?;
        let settings =
            AdamW { lr: options.learning_rate, weight_decay: options.weight_decay, ..AdamW::default() };
        let optimiser = Optimiser::new(settings);
        let hidden = if options.train_text { Vec::new() } else { hidden_of(&model, &tokens).await? };
        let (saving, state) = (Saving::default(), State::default());
        let origin = Origin::of(&model, &data, &options).await?;
        let (own, resumed) = (false, None);
        Ok(Self {
            model,
            options,
            saving,
            own,
            resumed,
            data,
            origin,
            labels,
            tokens,
            hidden,
            optimiser,
            state,
        })
    }

    /// Has [`Trainer::run`] write what `saving` says.
    pub fn with_saving(self, saving: Saving) -> Self {
        Self { saving, own: false, ..self }
    }

    /// Goes on to the end of the last epoch, telling `hook` of each step and epoch. What is to be saved to is looked at before the
    /// work starts, and a checkpoint written where there is none.
    ///
    /// # Errors
    /// [`Error::File`] where a checkpoint or a model of another run would be overwritten; [`Error::Cancelled`] where the hook breaks off: the trainer is as the event left it, and runs on from there when this is
    /// called again. Otherwise as [`Trainer::next`], and [`Error::Io`] for what is saved.
    pub async fn run(&mut self, mut hook: impl FnMut(&TrainEvent) -> ControlFlow<()>) -> Result<TrainResult> {
        self.prepare().await?;
        while let Some(event) = self.next().await? {
            let due = match &event {
                TrainEvent::Step(step) => {
                    self.saving.every_steps.is_some_and(|n| step.step.is_multiple_of(n))
                }
                TrainEvent::Epoch { best, .. } => {
                    if let Some(folder) = self.saving.best.as_ref().filter(|_| *best) {
                        self.model.save(folder, self.options.train_text).await?;
                    }
                    true
                }
            };
            let flow = hook(&event);
            if let Some(path) = self.saving.checkpoint.as_ref().filter(|_| due || flow.is_break()) {
                self.checkpoint(path).await?;
            }
            go_on(flow, || format!("training step {}", self.state.steps))?;
        }
        let State { history, steps, best, .. } = self.state.clone();
        Ok(TrainResult { history, steps, best })
    }

    /// The clips that are trained on.
    pub(super) fn clips(&self) -> &[Clip] {
        self.data.splits.get(TRAIN).map(Vec::as_slice).unwrap_or_default()
    }

    /// Epochs that have ended.
    pub fn history(&self) -> &[EpochRecord] {
        &self.state.history
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.state.steps
    }

    pub(super) fn steps_per_epoch(&self) -> u32 {
        self.clips().len().div_ceil(self.options.batch) as u32
    }

    /// The rate of each step of as many epochs as the options say.
    fn plan(&self) -> WarmupLinear {
        let per_epoch = self.steps_per_epoch();
        WarmupLinear {
            peak: self.options.learning_rate,
            warmup: self.options.warmup_epochs.saturating_mul(per_epoch),
            total: self.options.epochs.saturating_mul(per_epoch),
        }
    }

    /// Learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.plan().rate(self.state.steps)
    }

    /// A stream of its own for each purpose and number.
    fn random(&self, purpose: u64, number: u64) -> Pcg64 {
        Pcg64::seed_from_u64(self.options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (purpose << 56) ^ number)
    }

    /// Batches of an epoch: shuffled, put together by like length within eight batches at a time, shuffled again.
    fn batches(&self, epoch: u32) -> Vec<Vec<usize>> {
        let mut rng = self.random(1, epoch.into());
        let mut order: Vec<usize> = (0..self.clips().len()).collect();
        shuffle(&mut order, &mut rng);
        let size = self.options.batch;
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for pool in order.chunks(size.saturating_mul(8)) {
            let costs: Vec<usize> = pool.iter().map(|&i| self.model.cost(&self.clips()[i])).collect();
            let within = bucketed(&costs, size).into_iter();
            batches.extend(within.map(|b| b.into_iter().map(|at| pool[at]).collect()));
        }
        shuffle(&mut batches, &mut rng);
        batches
    }

    /// Goes on by one optimiser step, or looks at the validation clips where an epoch's steps are done; `None` when all
    /// epochs are. [`Trainer::run`] for who does something of their own between the events that a hook cannot, such as wait:
    /// checkpoints are the caller's here, after any event.
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
        let request = ScoreRequest { batch: self.options.batch, ..ScoreRequest::split(VALID) };
        let valid = self.model.evaluate(&self.data, &request, |_| ControlFlow::Continue(())).await?.metrics;
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
        Ok(Some(TrainEvent::Epoch { record, best: better }))
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
        let plan = self.plan();
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
            let batch = self.batch(&mut tape, &weights, companions)?;
            let config = &self.model.description.model;
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
        let batch = self.batch(tape, weights, clips)?;
        forward(tape, weights, &self.model.description.model, &batch, Some(dropping))
    }

    /// Some clips' texts, encoded, and frames.
    fn batch(&self, tape: &mut Tape, weights: &Weights, clips: &[usize]) -> Result<Batch> {
        let text = self.text(tape, weights, clips)?;
        let clips: Vec<&Clip> = clips.iter().map(|&i| &self.clips()[i]).collect();
        self.model.batch(&self.data, &clips, text)
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
        let costs: Vec<usize> = self.clips().iter().map(|c| self.model.cost(c)).collect();
        let mut vectors = vec![Vec::new(); self.clips().len()];
        for batch in bucketed(&costs, self.options.batch) {
            let mut tape = Tape::forward();
            let taken = self.batch(&mut tape, &weights, &batch)?;
            let config = &self.model.description.model;
            let found = represent(&mut tape, &weights, config, &taken, None)?;
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
