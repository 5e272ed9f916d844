//! `tokenizer.json` folders.

use std::path::{Path, PathBuf};

use super::{Encoding, WordMatch, clean_prompt, word_piece};
use crate::error::without_panic;
use crate::weights::{ConfigFile, without_mark};
use crate::{Error, Result};

/// Tokens that Wan's text encoder takes, for folders that set no sensible limit.
const DEFAULT_MAX_LENGTH: usize = 512;
/// Limits above this stand for "none" (the Python library writes 10^30).
const LARGEST_MAX_LENGTH: f64 = 65_536.0;
/// UMT5's, with a vocabulary of a quarter of a million, has 17 MB.
const MAX_BYTES: u64 = 256 << 20;
/// End-of-sequence tokens of the T5 family and of BERT.
const DEFAULT_ENDS: [&str; 2] = ["</s>", "[SEP]"];

/// A tokenizer in the Hugging Face format, used as Wan uses UMT5's: the prompt is cleaned, one
/// end-of-sequence token is appended, and what is too long is cut in front of it.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_length: usize,
    eos: u32,
    /// Whether the file's post-processor appends the end-of-sequence token by itself.
    appends_eos: bool,
    /// Whether the folder states the limit.
    stated: bool,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where there is one, `tokenizer_config.json` for `model_max_length`
    /// (512 without it) and `eos_token` or `sep_token`. Where neither is stated the end token is the one that the tokenizer
    /// itself appends, as BERT's do, or `</s>`, or `[SEP]`.
    ///
    /// A folder of BERT's that has `vocab.txt` alone is read too, as the Python library reads it: WordPiece between `[CLS]` and
    /// `[SEP]`; in lower case if `do_lower_case` says so, and where nothing does unless the vocabulary has capitals.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for a file that cannot be understood, and for a folder with another tokenizer's files.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join("tokenizer.json");
        let config = folder.join("tokenizer_config.json");
        let config = if config.exists() { Some(ConfigFile::open(config)?) } else { None };
        if !path.exists() {
            let vocabulary = folder.join("vocab.txt");
            if vocabulary.exists() {
                let text = crate::weights::file::read(&vocabulary, MAX_BYTES, "a vocabulary")?;
                let json = word_piece::from_vocabulary(&vocabulary, &text, config.as_ref())?;
                return Self::build(vocabulary, &json, config);
            }
            for other in ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "vocab.json"] {
                if folder.join(other).exists() {
                    let reason = format!(
                        "not here, and `{other}` is not read: write it once, in this folder: python -c \"from transformers \
                         import AutoTokenizer; AutoTokenizer.from_pretrained('.').save_pretrained('.')\""
                    );
                    return Err(Error::file(path, reason));
                }
            }
        }
        let json = crate::weights::file::read(&path, MAX_BYTES, "a tokenizer")?;
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

        word_piece::complete(&mut inner);
        let stated = config.as_ref().map(max_length).transpose()?.flatten();
        // What a post-processor puts behind a text; a token in front of it alone ends nothing.
        let probe = |text: &str| guarded(|| inner.encode(text, true).map_err(|e| e.to_string()));
        let probed =
            probe("a").or_else(|_| probe("")).map_err(|e| refuse(format!("it cannot encode: {e}")))?;
        let behind = probed.get_special_tokens_mask().last() == Some(&1);
        let appended = probed.get_ids().last().copied().filter(|_| behind);
        let eos = match config.as_ref().map(eos_token).transpose()?.flatten() {
            Some(token) => inner.token_to_id(&token).ok_or_else(|| {
                refuse(format!("the end-of-sequence token \"{token}\" is not in the vocabulary"))
            })?,
            None => {
                let usual = || DEFAULT_ENDS.iter().find_map(|token| inner.token_to_id(token));
                appended.or_else(usual).ok_or_else(|| {
                    let names = DEFAULT_ENDS.join(" nor ");
                    refuse(format!(
                        "no end-of-sequence token: tokenizer_config.json states none (`eos_token`, `sep_token`), none is \
                         appended, and neither {names} is in the vocabulary"
                    ))
                })?
            }
        };
        let appends_eos = appended == Some(eos);
        let max_length = stated.unwrap_or(DEFAULT_MAX_LENGTH);
        Ok(Self { inner, max_length, eos, appends_eos, stated: stated.is_some() })
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
        Ok(Self { max_length, stated: true, ..self })
    }

    /// Most tokens of an encoding, the end-of-sequence token included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The same, where `model_max_length` or a caller has set it.
    pub fn stated_max_length(&self) -> Option<usize> {
        self.stated.then_some(self.max_length)
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

    /// Token ids of a text as it is, without anything added or cut: special tokens that are written in it (`<|im_end|>`) are those
    /// tokens. For texts that a chat template wrote.
    ///
    /// # Errors
    /// [`Error::Input`] when the tokenizer refuses the text.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoded = guarded(|| self.inner.encode(text, false).map_err(|e| e.to_string()));
        encoded.map(|encoded| encoded.get_ids().to_vec()).map_err(|e| Error::input("prompt", e))
    }

    /// The first special token that is spelled out in a text, as [`ids`](Self::ids) would read it: a user's words should have none,
    /// or they could end their own turn or stand for a picture.
    pub fn special_token_in(&self, text: &str) -> Option<String> {
        let added = self.inner.get_added_tokens_decoder();
        let mut special: Vec<_> = added.into_iter().filter(|(_, token)| token.special).collect();
        special.sort_unstable_by_key(|(id, _)| *id);
        special.into_iter().map(|(_, token)| token.content).find(|content| text.contains(content.as_str()))
    }

    /// Id of a token by its text, where the vocabulary has it.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// The text of some ids, without special tokens. Bytes that are no whole character are U+FFFD.
    ///
    /// # Errors
    /// [`Error::Input`] when the tokenizer refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guarded(|| self.inner.decode(ids, true).map_err(|e| e.to_string()))
            .map_err(|e| Error::input("token ids", e))
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

/// What the file states, where that is a limit.
fn max_length(config: &ConfigFile) -> Result<Option<usize>> {
    match config.get("model_max_length").map(serde_json::Value::as_f64) {
        None => Ok(None),
        Some(Some(length)) if length > LARGEST_MAX_LENGTH => Ok(None),
        Some(_) => config.usize("model_max_length", 1..=LARGEST_MAX_LENGTH as usize).map(Some),
    }
}

/// The token stands as a string or as an object with its `content`. BERT's files call it `sep_token`.
fn eos_token(config: &ConfigFile) -> Result<Option<String>> {
    let Some((key, value)) = ["eos_token", "sep_token"].iter().find_map(|key| Some((key, config.get(key)?)))
    else {
        return Ok(None);
    };
    let expected = || config.refuse(format!("`{key}`: expected a string or an object with `content`"));
    super::token_text(value).map(|text| Some(text.to_owned())).ok_or_else(expected)
}
