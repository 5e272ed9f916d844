//! From a prompt to a clip.

use super::model::{Prompt, TextToVideo};
use super::progress::Event;
use super::request::{ClipDefaults, ClipRequest, TimedWord, require_places};
use super::result::ClipResult;
use super::temporal_control::{Control, Prompts, TimedTokens, sample};
use crate::gpu::Context;
use crate::models::tokenizer::Encoding;
use crate::models::umt5::{Umt5, Umt5Config, Umt5Weights};
use crate::models::wan::{Wan, WanConfig, WanWeights};
use crate::nn::Precision;
use crate::pipelines::go_on;
use crate::pipelines::schedules::noise;
use crate::pipelines::schedules::{Sampler, Solver};
use crate::pipelines::schedules::{Schedule, SigmaGrid};
use crate::weights::{ConfigFile, WeightStore};
use crate::{Error, Result};
use std::ops::ControlFlow;

impl TextToVideo {
    /// Loads a model folder, in f32.
    pub fn open(context: &Context, folder: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::open_as(context, folder, Precision::F32)
    }

    /// Loads a model folder, its numbers stored in `precision`; of the text encoder only the weights are.
    pub fn open_as(
        context: &Context,
        folder: impl AsRef<std::path::Path>,
        precision: Precision,
    ) -> Result<Self> {
        precision.check(context)?;
        let folder = folder.as_ref();
        let index = folder.join("model_index.json");
        let index = ConfigFile::open(&index)?;
        let has_vae = index.get("vae").and_then(|v| v.get(0)).is_some_and(|v| !v.is_null());
        if has_vae {
            return Err(index.refuse("the folder has a VAE, whose decoder is not part of the crate yet"));
        }
        let tokenizer = crate::models::tokenizer::Tokenizer::from_folder(folder.join("tokenizer"))?;
        let encoder_folder = folder.join("text_encoder");
        let encoder_config = Umt5Config::open(encoder_folder.join("config.json"))?;
        let encoder = Umt5Weights::new(&WeightStore::open(&encoder_folder)?, encoder_config)?;
        let encoder = Umt5::with_storage(context, encoder, precision.weights)?;
        let transformer_folder = folder.join("transformer");
        let config =
            WanConfig::open(transformer_folder.join("config.json"))?.with_text_len(tokenizer.max_length())?;
        let transformer = WanWeights::new(&WeightStore::open(&transformer_folder)?, config)?;
        let transformer = Wan::with_precision(context, &transformer, precision)?;
        if encoder.config().d_model != transformer.config().text_dim {
            return Err(index.refuse(format!(
                "text encoder of width {} beside a transformer that takes {}",
                encoder.config().d_model,
                transformer.config().text_dim
            )));
        }
        let defaults = ClipDefaults::read(folder)?;
        Ok(Self { context: context.clone(), tokenizer, encoder, transformer, defaults })
    }

    /// The tokens of a prompt, without encoding them: [`Encoding::cut_off`](crate::models::tokenizer::Encoding::cut_off) says
    /// what of it is too long to be drawn.
    pub fn tokenize(&self, prompt: &str) -> Result<Encoding> {
        self.tokenizer.encode(prompt)
    }

    /// Encodes a prompt, once for any number of clips. The end of one that is too long is left out, and told by
    /// `encoding.cut_off()`.
    pub fn encode(&self, prompt: &str) -> Result<Prompt> {
        let encoding = self.tokenize(prompt)?;
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
            negative_prompt: String::new(),
            size: d.size,
            seed: 0,
            steps: d.steps,
            guidance_scale: d.guidance_scale,
            shift: d.shift,
            grid: SigmaGrid::Wan,
            solver: Solver::UniPc,
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
        let positive = self.encode(&request.prompt)?;
        let negative = self.encode(&request.negative_prompt)?;
        for (negative, prompt) in [(false, &positive), (true, &negative)] {
            if let Some(cut) = prompt.encoding.cut_off() {
                let flow = hook(&Event::PromptCut { negative, cut: cut.into() });
                go_on(flow, || "reading the prompt".into())?;
            }
        }
        let groups = groups(&positive.encoding, &request.words)?;
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
