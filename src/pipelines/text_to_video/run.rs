//! From a prompt to a clip.

use super::folder;
use super::model::{Prompt, TextToVideo};
use super::progress::Event;
use super::request::{ClipDefaults, ClipRequest, TimedWord, require_places};
use super::result::ClipResult;
use super::temporal_control::{Control, Prompts, TimedTokens, sample};
use crate::gpu::Context;
use crate::models::tokenizer::{Encoding, Tokenizer};
use crate::models::umt5::{Umt5, Umt5Config, Umt5Weights};
use crate::models::wan::{Wan, WanConfig, WanWeights};
use crate::nn::Precision;
use crate::pipelines::go_on;
use crate::pipelines::schedules::noise;
use crate::pipelines::schedules::{Sampler, Schedule};
use crate::weights::{WeightStore, warning};
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::path::Path;

impl TextToVideo {
    /// Loads a model, in f32: a diffusers folder, one of the original repository's, or a `.safetensors` file of the
    /// transformer that lies in such a folder.
    ///
    /// # Errors
    /// As [`TextToVideo::open_as`].
    pub fn open(context: &Context, model: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(context, model, Precision::F32)
    }

    /// Loads a model, its numbers stored in `precision`; of the text encoder only the weights are.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] and [`Error::Weight`] for what is missing, damaged, of another model or pipeline, or
    /// contradicts itself, before anything is uploaded; otherwise those of [`Wan::with_precision`].
    pub fn open_as(context: &Context, model: impl AsRef<Path>, precision: Precision) -> Result<Self> {
        precision.check(context)?;
        let parts = folder::find(model.as_ref())?;
        let defaults = ClipDefaults::read(&parts.root)?;
        let tokenizer = Tokenizer::from_folder(&parts.tokenizer)?;
        let mut warnings = Vec::new();

        let config = parts.config.as_ref().map(WanConfig::from_config).transpose()?;
        let encoder_config = parts.encoder_config.as_ref().map(Umt5Config::from_config).transpose()?;
        let text_len = parts.text_len(config.as_ref(), &defaults, &tokenizer)?;

        let store = WeightStore::open(&parts.transformer)?;
        let config = match config {
            Some(config) => config,
            None => {
                let told = WanConfig::infer(&store)?;
                let WanConfig { dim, num_layers, num_heads, .. } = told;
                warnings.push(format!(
                    "transformer: no config.json is there; by its tensors it is the released model with {num_layers} blocks \
                     of width {dim}, so {num_heads} heads are taken"
                ));
                told
            }
        };
        let config = match text_len {
            Some(stated) => config.with_text_len(stated)?,
            None => config,
        };
        let tokenizer = tokenizer.with_max_length(config.text_len)?;
        let transformer = WanWeights::new(&store, config)?;
        let store = WeightStore::open(&parts.encoder)?;
        let config = match encoder_config {
            Some(config) => config,
            None => Umt5Config::infer(&store)?,
        };
        let encoder = Umt5Weights::new(&store, config)?;
        let (width, wanted) = (encoder.config().d_model, transformer.config().text_dim);
        if width != wanted {
            let reason = format!("a text encoder of width {width} beside a transformer that takes {wanted}");
            return Err(Error::file(&parts.root, reason));
        }
        warnings.extend(warning("transformer", transformer.unread()));
        warnings.extend(warning("text encoder", encoder.unread()));

        let encoder = Umt5::with_storage(context, encoder, precision.weights)?;
        let transformer = Wan::with_precision(context, &transformer, precision)?;
        let (context, folder) = (context.clone(), parts.root);
        Ok(Self { context, tokenizer, encoder, transformer, defaults, folder, warnings })
    }

    /// The tokens of a prompt, without encoding them: [`Encoding::cut_off`](crate::models::tokenizer::Encoding::cut_off) says
    /// what of it is too long to be drawn.
    pub fn tokenize(&self, prompt: &str) -> Result<Encoding> {
        self.tokenizer.encode(prompt)
    }

    /// Encodes a prompt, once for any number of clips. The end of one that is too long is left out, and told by
    /// `encoding.cut_off()`.
    pub fn encode(&self, prompt: &str) -> Result<Prompt> {
        self.encode_tokens(self.tokenize(prompt)?)
    }

    fn encode_tokens(&self, encoding: Encoding) -> Result<Prompt> {
        let n = encoding.ids.len();
        // Padding never reaches the encoder: encoding the real tokens alone gives the same rows.
        let rows = self.encoder.encode(&encoding.ids, n, &[n])?;
        let width = self.transformer.config().text_dim;
        let text = self.transformer.text_on_device(&rows.reshape([n, width])?)?;
        Ok(Prompt { encoding, text })
    }

    /// A request with the folder's defaults.
    pub fn request(&self, prompt: &str) -> ClipRequest {
        let d = &self.defaults;
        ClipRequest {
            prompt: prompt.into(),
            negative_prompt: d.negative_prompt.clone(),
            size: d.size,
            seed: 0,
            steps: d.steps,
            guidance_scale: d.guidance_scale,
            shift: d.shift,
            grid: d.grid,
            solver: d.solver,
            words: Vec::new(),
            guidance: None,
            mask: None,
            rows_at_a_time: None,
        }
    }

    /// Makes a clip, telling `hook` of each event.
    ///
    /// # Errors
    /// [`Error::Input`] for what the model does not take, by name, before anything is computed; [`Error::Cancelled`] where the
    /// hook breaks off; otherwise those of [`sample`].
    pub async fn generate(
        &self,
        request: &ClipRequest,
        mut hook: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<ClipResult> {
        let [frames, height, width] = request.size;
        self.transformer.config().grid(frames, height, width)?;
        require_places(request.size)?;
        if !request.guidance_scale.is_finite() {
            return Err(Error::input("guidance_scale", format!("{}", request.guidance_scale)));
        }
        let read = [self.tokenize(&request.prompt)?, self.tokenize(&request.negative_prompt)?];
        let groups = groups(&read[0], &request.words)?;
        for (negative, encoding) in [false, true].into_iter().zip(&read) {
            if let Some(cut) = encoding.cut_off() {
                let flow = hook(&Event::PromptCut { negative, cut: cut.into() });
                go_on(flow, || "reading the prompt".into())?;
            }
        }
        let [positive, negative] = read;
        let (positive, negative) = (self.encode_tokens(positive)?, self.encode_tokens(negative)?);
        let steered = request.guidance.is_some() || request.mask.is_some();
        let control = Control { groups, guidance: request.guidance.clone(), mask: request.mask };
        let sampler =
            Sampler::new(Schedule::new(request.grid, request.steps, request.shift)?, request.solver);
        let latent = noise(request.seed, [self.transformer.config().in_dim, frames, height, width]);
        let prompts = Prompts {
            rows_at_a_time: request.rows_at_a_time,
            ..Prompts::new(positive.text, negative.text, request.guidance_scale)
        };
        let clip =
            sample(&self.transformer, &latent, &prompts, &sampler, steered.then_some(&control), hook).await?;
        let clip = clip.to_host().await?;
        clip.require_finite("clip")?;
        Ok(ClipResult { clip, fps: self.defaults.fps })
    }
}

/// The tokens of each word with its curve. Words that share some are refused unless they want the same of them.
fn groups(prompt: &Encoding, words: &[TimedWord]) -> Result<Vec<TimedTokens>> {
    let mut groups: Vec<TimedTokens> = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let tokens = prompt.token_indices(&word.phrase, word.occurrence)?;
        for (other, group) in words.iter().take(index).zip(&groups) {
            let Some(shared) = tokens.iter().find(|token| group.tokens.contains(token)) else { continue };
            if tokens != group.tokens && word.curve == other.curve {
                continue;
            }
            let place = prompt.offsets.get(*shared).and_then(|(from, to)| prompt.text.get(*from..*to));
            return Err(Error::input(
                format!("words \"{}\" and \"{}\"", other.phrase, word.phrase),
                format!(
                    "both time \"{}\" in the prompt, which follows one curve: leave one out, or give each an occurrence or a \
                     part of the prompt of its own",
                    place.unwrap_or_default().trim()
                ),
            ));
        }
        groups.push(TimedTokens { tokens, curve: word.curve.clone() });
    }
    Ok(groups)
}
