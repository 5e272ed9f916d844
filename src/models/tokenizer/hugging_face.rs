//! `tokenizer.json` folders.

use std::path::{Path, PathBuf};

use super::{Encoding, WordMatch, clean_prompt};
use crate::error::without_panic;
use crate::weights::{ConfigFile, without_mark};
use crate::{Error, Result};

/// Tokens that Wan's text encoder takes, for folders that set no sensible limit.
const DEFAULT_MAX_LENGTH: usize = 512;
/// Limits above this stand for "none" (the Python library writes 10^30).
const LARGEST_MAX_LENGTH: f64 = 65_536.0;
/// UMT5's, with a vocabulary of a quarter of a million, has 17 MB.
const MAX_BYTES: u64 = 256 << 20;
/// End-of-sequence token of the T5 family.
const DEFAULT_EOS: &str = "</s>";

/// A tokenizer in the Hugging Face format, used as Wan uses UMT5's: the prompt is cleaned, one
/// end-of-sequence token is appended, and what is too long is cut in front of it.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_length: usize,
    eos: u32,
    /// Whether the file's post-processor appends the end-of-sequence token by itself.
    appends_eos: bool,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where there is one, `tokenizer_config.json` for `model_max_length`
    /// (512 without it) and `eos_token` or `sep_token` (`</s>` without both).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for a file that cannot be understood.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref().join("tokenizer.json");
        let json = crate::weights::file::read(&path, MAX_BYTES, "a tokenizer")?;
        let config = folder.as_ref().join("tokenizer_config.json");
        let config = if config.exists() { Some(ConfigFile::open(config)?) } else { None };
        Self::build(path, &json, config)
    }

    /// Takes the two files in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be understood.
    pub fn from_bytes(
        name: impl Into<PathBuf>,
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
    ) -> Result<Self> {
        let name = name.into();
        let config =
            tokenizer_config_json.map(|json| ConfigFile::from_bytes(name.clone(), json)).transpose()?;
        Self::build(name, tokenizer_json, config)
    }

    fn build(path: PathBuf, json: &[u8], config: Option<ConfigFile>) -> Result<Self> {
        let refuse = |reason: String| Error::file(&path, reason);
        let json = without_mark(json);
        // The library panics on a decoder that is no JSON, so JSON it must be before the library sees it.
        serde_json::from_slice::<serde::de::IgnoredAny>(json)
            .map_err(|e| refuse(format!("not a tokenizer: bad JSON, {e}")))?;
        let parsed = guarded(|| tokenizers::Tokenizer::from_bytes(json).map_err(|e| e.to_string()));
        let mut inner = parsed.map_err(|e| refuse(format!("not a tokenizer: {e}")))?;
        // A file may carry its own limits; length is this type's business, so that the end token survives.
        inner.with_truncation(None).map_err(|e| refuse(e.to_string()))?;
        inner.with_padding(None);

        let (max_length, eos_token) = match &config {
            Some(config) => (max_length(config)?, eos_token(config)?),
            None => (DEFAULT_MAX_LENGTH, DEFAULT_EOS.to_owned()),
        };
        let eos = inner.token_to_id(&eos_token).ok_or_else(|| {
            refuse(format!("the end-of-sequence token \"{eos_token}\" is not in the vocabulary"))
        })?;
        let empty = guarded(|| inner.encode("", true).map_err(|e| e.to_string()))
            .map_err(|e| refuse(format!("it cannot encode: {e}")))?;
        let appends_eos = empty.get_ids().last() == Some(&eos);
        Ok(Self { inner, max_length, eos, appends_eos })
    }

    /// Cuts prompts to another number of tokens, the end-of-sequence token included.
    ///
    /// # Errors
    /// [`Error::Input`] outside 1 ..= 65536.
    pub fn with_max_length(self, max_length: usize) -> Result<Self> {
        if !(1..=LARGEST_MAX_LENGTH as usize).contains(&max_length) {
            return Err(Error::input(
                "max_length",
                format!("expected 1 ..= {LARGEST_MAX_LENGTH}, found {max_length}"),
            ));
        }
        Ok(Self { max_length, ..self })
    }

    /// Most tokens of an encoding, the end-of-sequence token included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Id of the end-of-sequence token.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Tokens of the cleaned prompt, see [`clean_prompt`].
    ///
    /// # Errors
    /// [`Error::Input`] when the tokenizer refuses the text.
    pub fn encode(&self, prompt: &str) -> Result<Encoding> {
        self.encode_raw(&clean_prompt(prompt))
    }

    /// Tokens of the prompt as it is.
    ///
    /// # Errors
    /// [`Error::Input`] when the tokenizer refuses the text.
    pub fn encode_raw(&self, text: &str) -> Result<Encoding> {
        let encoded = guarded(|| self.inner.encode(text, true).map_err(|e| e.to_string()))
            .map_err(|e| Error::input("prompt", e))?;
        let (mut ids, mut offsets) = (encoded.get_ids().to_vec(), encoded.get_offsets().to_vec());
        if self.appends_eos {
            ids.pop();
        }
        offsets.truncate(ids.len());
        let kept = if ids.len() < self.max_length {
            text.len()
        } else {
            ids.truncate(self.max_length - 1);
            offsets.truncate(ids.len());
            offsets.last().map_or(0, |(_, end)| *end)
        };
        ids.push(self.eos);
        offsets.push((text.len(), text.len()));
        Ok(Encoding { ids, offsets, text: text.to_owned(), kept })
    }

    /// Positions of the tokens of a word or phrase in a prompt. [`WordMatch::Released`] looks in the
    /// prompt as typed and tokenises that, the others in the cleaned prompt that
    /// [`encode`](Self::encode) gives to the text encoder.
    ///
    /// # Errors
    /// [`Error::Input`] as [`Encoding::token_indices`].
    pub fn token_indices(&self, prompt: &str, phrase: &str, which: WordMatch) -> Result<Vec<usize>> {
        let encoding =
            if which == WordMatch::Released { self.encode_raw(prompt)? } else { self.encode(prompt)? };
        encoding.token_indices(phrase, which)
    }
}

/// Calls the library, whose files' contents are not all checked when they are read: what it answers with a panic is an
/// error here. It holds no state that a panic could leave half changed but a cache of finished words.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    without_panic(call).unwrap_or_else(|| Err("the tokenizer's tables contradict each other".into()))
}

fn max_length(config: &ConfigFile) -> Result<usize> {
    match config.get("model_max_length").map(serde_json::Value::as_f64) {
        None => Ok(DEFAULT_MAX_LENGTH),
        Some(Some(length)) if length > LARGEST_MAX_LENGTH => Ok(DEFAULT_MAX_LENGTH),
        Some(_) => config.usize("model_max_length", 1..=LARGEST_MAX_LENGTH as usize),
    }
}

/// The token stands as a string or as an object with its `content`. BERT's files call it `sep_token`.
fn eos_token(config: &ConfigFile) -> Result<String> {
    match config.get("eos_token").filter(|v| !v.is_null()).or_else(|| config.get("sep_token")) {
        None => Ok(DEFAULT_EOS.to_owned()),
        Some(value) => {
            let text = value.as_str().or_else(|| value.get("content").and_then(serde_json::Value::as_str));
            text.map(str::to_owned)
                .ok_or_else(|| config.refuse("`eos_token`: expected a string or an object with `content`"))
        }
    }
}
