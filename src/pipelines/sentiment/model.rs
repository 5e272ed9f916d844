//! A model that scores clips: DashFusion, its text encoder and tokenizer, in one folder.

use super::data::{Clip, Dataset};
use super::digest::Digest;
use super::memory::TextMemory;
use super::metrics::Convention;
use super::scale::{AudioScale, apart};
use crate::autograd::{Tape, Var};
use crate::gpu::Context;
use crate::models::bert::{self, BertConfig, Texts};
use crate::models::dashfusion::{Batch, DashFusionConfig, Frames, Fused, Padding, forward, keys};
use crate::models::tokenizer::Tokenizer;
use crate::nn::{Parameters, Weights};
use crate::weights::{WeightStore, warning, write_whole};
use crate::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Name of a model's description in its folder.
pub const CONFIG: &str = "sentiment.json";
/// Name of its weights.
pub const WEIGHTS: &str = "model.safetensors";
/// Folder of its text encoder: `config.json`, `tokenizer.json`, `model.safetensors`.
pub const TEXT_ENCODER: &str = "text_encoder";
/// Most tokens of a text, as the released code cuts it.
pub const MAX_TOKENS: usize = 128;
const FORMAT: &str = "foveal-dashfusion";
/// More bytes than any tokenizer has.
const MAX_TOKENIZER: u64 = 1 << 28;

/// What is known of a model beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    format: String,
    version: u32,
    /// Sizes.
    pub model: DashFusionConfig,
    /// How its scores are measured.
    pub convention: Convention,
    /// Lowest and highest label that it was trained on.
    pub label_range: [f32; 2],
    /// What its audio's columns are and the scale that it takes them on, where they have names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_scale: Option<AudioScale>,
}

impl Description {
    /// A model for a data set: positions as many as its longest clip has frames, or the published ones where they are
    /// more, so that longer clips can be scored too.
    pub fn new(model: DashFusionConfig, convention: Convention, label_range: [f32; 2]) -> Self {
        Self { format: FORMAT.into(), version: 1, model, convention, label_range, audio_scale: None }
    }

    /// The same for the audio features of a data set: where they have names, the model keeps those, and the mean and deviation
    /// of each column over the split `train`, by which it scales whatever it scores.
    ///
    /// # Errors
    /// [`Error::File`] for a data set without training clips; [`Error::Input`] where no training clip has audio.
    pub fn for_data(mut self, data: &Dataset) -> Result<Self> {
        self.audio_scale = match &data.audio_features {
            Some(set) => {
                let rows = data.split("train")?.iter().map(|clip| data.audio(clip));
                Some(AudioScale::of(set.clone(), rows)?)
            }
            None => None,
        };
        Ok(self)
    }
}

/// Hidden state of one text, kept on the host while its encoder is frozen.
pub type Hidden = Vec<f32>;

/// A model on a device.
#[derive(Debug)]
pub struct SentimentModel {
    /// Sizes and conventions.
    pub description: Description,
    /// All parameters, the text encoder's under `text_encoder.extractor.`.
    pub parameters: Parameters,
    /// How padding is treated.
    pub padding: Padding,
    /// Sizes of the text encoder.
    pub text_config: BertConfig,
    tokenizer: Tokenizer,
    text_folder: PathBuf,
    /// Files of the text encoder's weights.
    text_files: Vec<PathBuf>,
    warnings: Vec<String>,
    memory: Option<TextMemory>,
}

/// A score, and what it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// The clip.
    pub id: String,
    /// In the units of the labels, not clamped.
    pub score: f32,
    /// Modalities that the clip lacks.
    pub missing: Vec<String>,
}

/// A clip that the model cannot score, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unscored {
    /// The clip.
    pub id: String,
    /// Such as "audio has 700 frames, the model takes at most 375".
    pub reason: String,
}

impl SentimentModel {
    /// A fresh model: seeded first values, and a text encoder from a Hugging Face folder.
    ///
    /// # Errors
    /// As those of the folder's files; [`Error::Input`] for sizes that do not fit the encoder.
    pub fn fresh(context: &Context, description: Description, text: &Path, seed: u64) -> Result<Self> {
        let mut this = Self::with_text(context, description, text)?;
        keys::initialise(&mut this.parameters, &this.description.model, seed)?;
        Ok(this)
    }

    /// A trained model from its folder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::File`], [`Error::Weight`] naming file and tensor.
    pub fn open(context: &Context, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(CONFIG);
        let json = crate::weights::file::read(&path, 1 << 20, "a model's description")?;
        let description: Description =
            serde_json::from_slice(&json).map_err(|e| Error::file(&path, e.to_string()))?;
        if description.format != FORMAT || description.version != 1 {
            let found = format!("{} {}", description.format, description.version);
            return Err(Error::file(&path, format!("format {found}: {FORMAT} 1 is read")));
        }
        let mut this = Self::with_text(context, description, &folder.join(TEXT_ENCODER))?;
        this.load(&WeightStore::open(folder.join(WEIGHTS))?)?;
        Ok(this)
    }

    /// A released checkpoint's weights, converted to safetensors, with its text encoder's configuration and tokenizer
    /// from a Hugging Face folder. Weights of the encoder that the checkpoint holds replace the folder's.
    ///
    /// # Errors
    /// [`Error::Weight`] naming the tensor.
    pub fn released(
        context: &Context,
        description: Description,
        text: &Path,
        checkpoint: &Path,
    ) -> Result<Self> {
        let mut this = Self::with_text(context, description, text)?;
        this.load(&WeightStore::open(checkpoint)?)?;
        Ok(this)
    }

    fn with_text(context: &Context, description: Description, folder: &Path) -> Result<Self> {
        description.model.check()?;
        if let Some(scale) = &description.audio_scale {
            scale.check(description.model.audio_width)?;
        }
        let text_config = BertConfig::open(folder)?;
        if text_config.hidden_size != description.model.text_width {
            let widths = (text_config.hidden_size, description.model.text_width);
            return Err(Error::file(
                folder,
                format!("hidden size {}; the model takes {}", widths.0, widths.1),
            ));
        }
        let tokenizer = Tokenizer::from_folder(folder)?;
        let tokenizer = tokenizer.with_max_length(MAX_TOKENS.min(text_config.max_positions))?;
        let mut parameters = Parameters::new(context);
        let store = WeightStore::open(folder)?;
        let unread = bert::load(&mut parameters, keys::TEXT_EXTRACTOR, &store, &text_config)?;
        let (text_folder, padding) = (folder.to_path_buf(), Padding::default());
        let text_files = store.files().map(Path::to_path_buf).collect();
        let warnings = warning("text encoder", &unread).into_iter().collect();
        Ok(Self {
            description,
            parameters,
            padding,
            text_config,
            tokenizer,
            text_folder,
            text_files,
            warnings,
            memory: None,
        })
    }

    /// What a user should know of the files, a sentence each: tensors of the text encoder that no one reads.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Has the model look for hidden states of texts in `memory`, and keep there what it lacks: for many passes over the same
    /// texts by an encoder that does not change. A training run that trains the encoder goes without.
    pub fn with_text_memory(self, memory: TextMemory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Has the text encoder read every text anew.
    pub(super) fn forget_texts(&mut self) {
        self.memory = None;
    }

    fn load(&mut self, store: &WeightStore) -> Result<()> {
        let store = &store.unwrapped()?;
        keys::load(&mut self.parameters, store, &self.description.model)?;
        let text = store.with_prefix(keys::TEXT_EXTRACTOR);
        if text.names().next().is_some() {
            bert::load(&mut self.parameters, keys::TEXT_EXTRACTOR, &text, &self.text_config)?;
        }
        Ok(())
    }

    /// Writes the model to a folder that [`SentimentModel::open`] reads, the text encoder's weights among its own only
    /// where they were trained.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn save(&self, folder: impl AsRef<Path>, text_trained: bool) -> Result<()> {
        let folder = folder.as_ref();
        let text = folder.join(TEXT_ENCODER);
        std::fs::create_dir_all(&text).map_err(|e| Error::io(&text, e))?;
        let small = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
        let indices = crate::weights::visible_files(&self.text_folder)?;
        let indices = indices.iter().filter(|name| name.ends_with(".safetensors.index.json"));
        let copied =
            small.into_iter().chain(indices.map(String::as_str)).map(|name| self.text_folder.join(name));
        for from in copied.chain(self.text_files.iter().cloned()) {
            let to = text.join(from.file_name().unwrap_or_default());
            if from.exists() {
                let bytes = std::fs::read(&from).map_err(|e| Error::io(&from, e))?;
                // What stands there may be half of it, or another encoder's.
                if std::fs::read(&to).ok().as_ref() != Some(&bytes) {
                    write_whole(&to, &bytes)?;
                }
            }
        }
        let json = serde_json::to_vec_pretty(&self.description)
            .map_err(|e| Error::file(folder.join(CONFIG), e.to_string()))?;
        write_whole(folder.join(CONFIG), &json)?;
        let kept = |name: &str| text_trained || !name.starts_with(keys::TEXT_EXTRACTOR);
        let named = self.parameters.iter().filter(|(name, _)| kept(name));
        let tensors = named.map(|(name, t)| (name.to_owned(), t.clone())).collect();
        super::checkpoint::write(&folder.join(WEIGHTS), tensors, None).await
    }

    /// Sixteen digits that another model does not have: of its sizes, values, tokenizer and padding, of all that a score depends
    /// on. Reads every parameter back from the device.
    ///
    /// # Errors
    /// [`Error::Io`] for the tokenizer's file; those of a readback.
    pub async fn digest(&self) -> Result<String> {
        let mut digest = self.text_digest()?;
        let sizes = serde_json::to_string(&self.description)
            .map_err(|e| Error::input("model's description", e.to_string()))?;
        digest.text(sizes).text(format!("{:?}", self.padding));
        for (name, parameter) in self.parameters.iter() {
            digest.text(name).floats(&parameter.to_vec().await?);
        }
        Ok(digest.digits())
    }

    /// Of what stands between a text and its encoder's parameters.
    fn text_digest(&self) -> Result<Digest> {
        let mut digest = Digest::new();
        // What a tokenizer can be made from, as far as it is there.
        for name in ["tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
            let path = self.text_folder.join(name);
            if path.exists() {
                digest.text(name).text(crate::weights::file::read(&path, MAX_TOKENIZER, "a tokenizer")?);
            }
        }
        digest.number(self.tokenizer.max_length()).text(format!("{:?}", self.text_config));
        Ok(digest)
    }

    /// Of the tokenizer and, where asked for, of the text encoder's parameters: what a training run takes from outside.
    pub(super) async fn encoder_digest(&self, parameters: bool) -> Result<String> {
        let mut digest = self.text_digest()?;
        let text = |name: &str| parameters && name.starts_with(keys::TEXT_EXTRACTOR);
        for (name, parameter) in self.parameters.iter().filter(|(name, _)| text(name)) {
            digest.text(name).floats(&parameter.to_vec().await?);
        }
        Ok(digest.digits())
    }

    /// Token ids of a text, `[CLS]` and `[SEP]` included, cut to [`MAX_TOKENS`].
    ///
    /// # Errors
    /// [`Error::Input`] for a text without words.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        if text.trim().is_empty() {
            return Err(Error::input("text", "it is empty"));
        }
        Ok(self.tokenizer.encode_raw(text)?.ids)
    }

    /// Hidden states `(tokens, text_width)` of texts by the text encoder as it is now, or as the model's
    /// [memory](SentimentModel::with_text_memory) has them.
    ///
    /// # Errors
    /// Those of [`SentimentModel::tokens`] and [`bert::encode`].
    pub async fn hidden(&self, weights: &Weights, texts: &[Vec<u32>]) -> Result<Vec<Hidden>> {
        let Some(memory) = &self.memory else { return self.encode(weights, texts).await };
        let new = memory.unknown(texts);
        if texts.is_empty() || !new.is_empty() {
            let hidden = self.encode(weights, &new).await?;
            memory.keep(new, hidden);
        }
        match memory.of(texts) {
            Some(hidden) => Ok(hidden),
            None => self.encode(weights, texts).await,
        }
    }

    async fn encode(&self, weights: &Weights, texts: &[Vec<u32>]) -> Result<Vec<Hidden>> {
        let batch = Texts::new(texts)?;
        let mut tape = Tape::forward();
        let x = bert::encode(&mut tape, weights, keys::TEXT_EXTRACTOR, &self.text_config, &batch)?;
        let (all, width) = (x.tensor().to_vec().await?, self.text_config.hidden_size);
        let clip = |(i, n): (usize, &usize)| {
            let first = i * batch.longest() * width;
            all.get(first..first + n * width).unwrap_or_default().to_vec()
        };
        Ok(batch.lengths().iter().enumerate().map(clip).collect())
    }

    /// Hidden states of a batch, padded, as the model takes them.
    ///
    /// # Errors
    /// [`Error::Input`] for a hidden state that is no whole tokens; [`Error::OutOfMemory`] and others of an upload.
    pub fn text_batch(&self, hidden: &[&Hidden]) -> Result<(Var, Vec<usize>)> {
        let width = self.text_config.hidden_size;
        let broken = |h: &Hidden| width == 0 || !h.len().is_multiple_of(width);
        if let Some((i, h)) = hidden.iter().enumerate().find(|(_, h)| broken(h)) {
            let reason = format!("{} values are no whole tokens of width {width}", h.len());
            return Err(Error::input(format!("hidden state {i}"), reason));
        }
        let lengths: Vec<usize> = hidden.iter().map(|h| h.len() / width).collect();
        let mut longest = lengths.iter().copied().max().unwrap_or(0);
        if self.padding == Padding::Masked {
            // A number of rows that is a multiple of four is what the weights' gradients like best.
            longest = longest.next_multiple_of(4);
        }
        let pad = |h: &&Hidden| {
            let missing = longest * width - h.len();
            h.iter().copied().chain(std::iter::repeat_n(0.0, missing)).collect::<Vec<_>>()
        };
        let values: Vec<f32> = hidden.iter().flat_map(pad).collect();
        let x = Tensor::from_f32(self.parameters.context(), [hidden.len() * longest, width], &values)?;
        Ok((Var::constant(x), lengths))
    }

    /// Audio and vision of clips, scaled and padded.
    ///
    /// # Errors
    /// [`Error::Input`] for audio features or widths other than the model's, and as [`Frames::new`].
    pub fn frames(&self, data: &Dataset, clips: &[&Clip]) -> Result<[Frames; 2]> {
        let c = &self.description.model;
        let scale = self.description.audio_scale.as_ref();
        let own = (scale.map(|scale| &scale.features), c.audio_width);
        if let Some([found, own]) = apart((data.audio_features.as_ref(), data.audio_width), own) {
            return Err(Error::input("audio features", format!("the data set has {found}, the model {own}")));
        }
        for (what, found, expected) in
            [("audio", data.audio_width, c.audio_width), ("vision", data.vision_width, c.vision_width)]
        {
            if found != expected {
                let reason = format!("the data set has {found}, the model {expected}");
                return Err(Error::input(format!("{what} width"), reason));
            }
        }
        let audio = clips.iter().map(|clip| data.audio(clip));
        let audio: Vec<Cow<[f32]>> = match scale {
            Some(scale) => audio.map(|rows| Cow::Owned(scale.applied(rows))).collect(),
            None => audio.map(Cow::Borrowed).collect(),
        };
        let audio: Vec<&[f32]> = audio.iter().map(AsRef::as_ref).collect();
        let vision: Vec<&[f32]> = clips.iter().map(|clip| data.vision(clip)).collect();
        let named = |e: Error| match clips {
            [only] => Error::input(format!("clip `{}`", only.id.escape_debug()), e.to_string()),
            _ => e,
        };
        Ok([
            Frames::new("audio", &audio, c.audio_width, c.audio_frames, self.padding).map_err(named)?,
            Frames::new("vision", &vision, c.vision_width, c.vision_frames, self.padding).map_err(named)?,
        ])
    }

    /// A pass over a batch without gradients.
    ///
    /// # Errors
    /// As [`SentimentModel::frames`] and [`forward`].
    pub fn pass(
        &self,
        weights: &Weights,
        data: &Dataset,
        clips: &[&Clip],
        hidden: &[&Hidden],
    ) -> Result<Fused> {
        let batch = self.batch(data, clips, self.text_batch(hidden)?)?;
        forward(&mut Tape::forward(), weights, &self.description.model, &batch, None)
    }

    /// What the model takes of some clips, their texts' hidden states and lengths given.
    pub(super) fn batch(
        &self,
        data: &Dataset,
        clips: &[&Clip],
        (text, text_lengths): (Var, Vec<usize>),
    ) -> Result<Batch> {
        let [audio, vision] = self.frames(data, clips)?;
        Ok(Batch { text, text_lengths, audio, vision, padding: self.padding })
    }

    /// Scores of a batch of clips, their texts encoded on the way.
    ///
    /// # Errors
    /// As [`SentimentModel::pass`].
    pub async fn score_batch(&self, data: &Dataset, clips: &[&Clip]) -> Result<Vec<Score>> {
        let weights = self.parameters.constants();
        let texts: Vec<Vec<u32>> = clips.iter().map(|c| self.tokens(&c.text)).collect::<Result<_>>()?;
        let hidden = self.hidden(&weights, &texts).await?;
        let pass = self.pass(&weights, data, clips, &hidden.iter().collect::<Vec<_>>())?;
        let values = pass.score.tensor().to_vec().await?;
        let score = |(clip, score): (&&Clip, f32)| Score {
            id: clip.id.clone(),
            score,
            missing: clip.missing().into_iter().map(str::to_owned).collect(),
        };
        Ok(clips.iter().zip(values).map(score).collect())
    }

    /// What a clip costs in tokens and frames: for batches of like length.
    pub fn cost(&self, clip: &Clip) -> usize {
        // A text token passes through the text encoder, worth several frames; its length in bytes tells enough.
        clip.frames().iter().sum::<usize>() + clip.text.len()
    }
}
