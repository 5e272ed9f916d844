//! Sizes of Qwen2.5-VL, from either generation of its `config.json`.

mod vision;

pub use vision::{QwenVisionConfig, VISION_EPS};

use crate::Result;
use crate::weights::ConfigFile;

/// Sizes of a Qwen2.5-VL model, from the Hugging Face `config.json`.
///
/// Read from the flat file that the published checkpoints carry, or the one with `text_config` that
/// transformers writes since 4.52. A key that is absent takes the default of transformers' class; what
/// decides about a result and has no sensible default must be there.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QwenVlConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the token stream; `heads * head_dim`.
    pub hidden_size: usize,
    /// Blocks of the language model.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Positions that the model was trained for.
    pub max_positions: usize,
    /// Epsilon of the language model's RMS norms.
    pub eps: f32,
    /// Base of the rotary frequencies: pair `j` of a head turns by `position * theta^(-2j / head_dim)`.
    pub rope_theta: f64,
    /// Pairs of a head that turn with time, height and width; they add up to half a head.
    pub mrope_section: [usize; 3],
    /// The output layer is the token table.
    pub tied: bool,
    /// Ids that stand for images and videos.
    pub tokens: VisualTokens,
    /// The vision tower.
    pub vision: QwenVisionConfig,
}

/// Ids of the tokens that mark images and videos in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisualTokens {
    /// Stands for one token of an image.
    pub image: u32,
    /// Stands for one token of a video.
    pub video: u32,
    /// Before the tokens of an image or video.
    pub vision_start: u32,
    /// Behind them.
    pub vision_end: u32,
}

/// The published vocabulary's ids.
const TOKENS: VisualTokens =
    VisualTokens { image: 151_655, video: 151_656, vision_start: 151_652, vision_end: 151_653 };
/// Bound on widths: far above any released model, far below what overflows a product of three.
const MAX_WIDTH: usize = 1 << 17;
impl QwenVlConfig {
    /// Qwen2.5-VL-3B-Instruct, as published.
    pub fn qwen2_5_vl_3b() -> Self {
        Self::published(2048, 36, 16, 2, 11_008, 151_936, true)
    }

    /// Qwen2.5-VL-7B-Instruct, as published.
    pub fn qwen2_5_vl_7b() -> Self {
        Self::published(3584, 28, 28, 4, 18_944, 152_064, false)
    }

    fn published(
        hidden_size: usize,
        layers: usize,
        heads: usize,
        kv_heads: usize,
        intermediate_size: usize,
        vocab_size: usize,
        tied: bool,
    ) -> Self {
        Self {
            vocab_size,
            hidden_size,
            layers,
            heads,
            kv_heads,
            intermediate_size,
            max_positions: 128_000,
            eps: 1e-6,
            rope_theta: 1e6,
            mrope_section: [16, 24, 24],
            tied,
            tokens: TOKENS,
            vision: QwenVisionConfig::published(hidden_size),
        }
    }

    /// Reads `config.json`, or the folder it lies in.
    ///
    /// # Errors
    /// [`crate::Error::Io`], or [`crate::Error::File`] naming the key.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::from_config(&ConfigFile::open(path)?)
    }

    /// Parses a `config.json` in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the key.
    pub fn from_bytes(name: impl Into<std::path::PathBuf>, json: &[u8]) -> Result<Self> {
        Self::from_config(&ConfigFile::from_bytes(name, json)?)
    }

    /// Reads the keys of either generation.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the key that is missing, out of range, at odds with another one, or asks
    /// for another architecture.
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        require(file, "model_type", &["qwen2_5_vl"])?;
        let nested = part(file, "text_config")?;
        let text = nested.as_ref().unwrap_or(file);
        let kinds: &[_] = if nested.is_some() { &["qwen2_5_vl_text", "qwen2_5_vl"] } else { &["qwen2_5_vl"] };
        text.require_one_of("model_type", kinds)?;
        require(text, "hidden_act", &["silu"])?;
        if text.bool_or("use_sliding_window", false)? {
            return Err(text.refuse("`use_sliding_window` is true: only full attention is supported"));
        }
        let full = |kind: &serde_json::Value| kind.as_str() == Some("full_attention");
        if text.get("layer_types").is_some_and(|v| !v.as_array().is_some_and(|a| a.iter().all(full))) {
            return Err(text.refuse("`layer_types`: expected `full_attention` only, found another kind"));
        }
        let heads = text.usize("num_attention_heads", 1..=4096)?;
        let hidden_size = text.usize("hidden_size", 1..=MAX_WIDTH)?;
        let head_dim = head_of(text, "num_attention_heads", heads, hidden_size)?;
        if text.usize_or("head_dim", head_dim, 1..=MAX_WIDTH)? != head_dim {
            return Err(
                text.refuse(format!("`head_dim`: expected {head_dim}, of {heads} heads, found another"))
            );
        }
        let kv_heads = text.usize_or("num_key_value_heads", heads, 1..=4096)?;
        if !heads.is_multiple_of(kv_heads) {
            let reason =
                format!("`num_key_value_heads`: expected a divisor of {heads} heads, found {kv_heads}");
            return Err(text.refuse(reason));
        }
        let (mrope_section, rope_theta) = rope(text, head_dim)?;
        let Some(vision) = part(file, "vision_config")? else {
            return Err(file.refuse("`vision_config` is missing (expected an object)"));
        };
        let vision = QwenVisionConfig::from_config(&vision)?;
        if vision.out_hidden_size != hidden_size {
            return Err(file.refuse(format!(
                "`vision_config.out_hidden_size`: expected {hidden_size}, as `hidden_size` says, found {}",
                vision.out_hidden_size
            )));
        }
        let vocab_size = text.usize("vocab_size", 1..=1 << 24)?;
        Ok(Self {
            vocab_size,
            hidden_size,
            layers: text.usize("num_hidden_layers", 1..=1024)?,
            heads,
            kv_heads,
            intermediate_size: text.usize("intermediate_size", 1..=MAX_WIDTH)?,
            max_positions: text.usize_or("max_position_embeddings", 32_768, 1..=1 << 30)?,
            // transformers' class default, ten times what the published files state.
            eps: text.positive_or("rms_norm_eps", 1e-5, 1.0)? as f32,
            rope_theta,
            mrope_section,
            // The outer key counts; files from before it did carry the inner one.
            tied: file.bool_or("tie_word_embeddings", text.bool_or("tie_word_embeddings", false)?)?,
            tokens: VisualTokens::from_config(file, text, vocab_size)?,
            vision,
        })
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        // The reader refuses zero heads; a hand-made value must not divide by zero either.
        self.hidden_size / self.heads.max(1)
    }
}

impl VisualTokens {
    fn from_config(file: &ConfigFile, text: &ConfigFile, vocab_size: usize) -> Result<Self> {
        let id = |key: &str, default: u32| {
            let from = if file.has(key) { file } else { text };
            let id = from.usize_or(key, default as usize, 0..=u32::MAX as usize)?;
            if id >= vocab_size {
                let reason = format!("`{key}`: expected an id below `vocab_size` {vocab_size}, found {id}");
                return Err(from.refuse(reason));
            }
            Ok(id as u32)
        };
        let tokens = Self {
            image: id("image_token_id", TOKENS.image)?,
            video: id("video_token_id", TOKENS.video)?,
            vision_start: id("vision_start_token_id", TOKENS.vision_start)?,
            vision_end: id("vision_end_token_id", TOKENS.vision_end)?,
        };
        if tokens.image == tokens.video {
            let reason = format!(
                "`video_token_id`: expected another id than `image_token_id`'s, found {} twice",
                tokens.image
            );
            return Err(file.refuse(reason));
        }
        Ok(tokens)
    }
}

/// An object within the file, where it is there.
fn part(file: &ConfigFile, key: &str) -> Result<Option<ConfigFile>> {
    let Some(value) = file.get(key) else { return Ok(None) };
    let name = format!("{}: `{key}`", file.path().display());
    ConfigFile::from_value(name, value.clone()).map(Some)
}

/// A string key that must be there with one of the values.
fn require(file: &ConfigFile, key: &str, accepted: &[&str]) -> Result<()> {
    if !file.has(key) {
        return Err(file.refuse(format!("`{key}` is missing (expected {})", accepted.join(" or "))));
    }
    file.require_one_of(key, accepted)
}

/// Width of a head: rotary embeddings and the kernels ask for a multiple of 4.
fn head_of(file: &ConfigFile, key: &str, heads: usize, width: usize) -> Result<usize> {
    let head_dim = width / heads;
    if !width.is_multiple_of(heads) || !head_dim.is_multiple_of(4) || head_dim > 256 {
        return Err(file.refuse(format!(
            "`{key}`: expected heads of a multiple of 4 up to 256 wide, found {heads} of `hidden_size` {width}"
        )));
    }
    Ok(head_dim)
}

/// The sections and the base of the rotary embedding, by the names of either generation.
fn rope(text: &ConfigFile, head_dim: usize) -> Result<([usize; 3], f64)> {
    let key = if text.has("rope_parameters") { "rope_parameters" } else { "rope_scaling" };
    let Some(rope) = part(text, key)? else {
        return Err(
            text.refuse("`rope_scaling` or `rope_parameters` is missing (expected one with `mrope_section`)")
        );
    };
    // `mrope` is what the published files call the default kind; all others scale positions.
    rope.require_one_of("type", &["mrope", "default"])?;
    rope.require_one_of("rope_type", &["mrope", "default"])?;
    if !rope.has("mrope_section") {
        return Err(rope.refuse("`mrope_section` is missing (expected 3 whole numbers)"));
    }
    let sections = rope.usize_array_or("mrope_section", [0; 3], 0..=256)?;
    let pairs: usize = sections.iter().sum();
    if pairs != head_dim / 2 {
        let reason =
            format!("`mrope_section`: expected a sum of {}, half a head, found {pairs}", head_dim / 2);
        return Err(rope.refuse(reason));
    }
    let from = if rope.has("rope_theta") { &rope } else { text };
    Ok((sections, from.positive_or("rope_theta", 1e6, 1e12)?))
}

#[cfg(test)]
mod tests;
