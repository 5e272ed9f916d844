//! BERT's tokenizer from its vocabulary, for folders that are older than `tokenizer.json`.

use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::models::ModelWrapper;
use tokenizers::processors::bert::BertProcessing;

use crate::weights::{ConfigFile, without_mark};
use crate::{Error, Result};

/// Tokens that begin and end a text.
const BEGIN: &str = "[CLS]";
const END: &str = "[SEP]";
/// Tokens that stand for no text; the vocabulary must have the first three.
const SPECIAL: [&str; 5] = ["[UNK]", BEGIN, END, "[PAD]", "[MASK]"];

/// The `tokenizer.json` that a vocabulary, one token a line, stands for.
///
/// # Errors
/// [`Error::File`] for what is no BERT vocabulary, and for settings that are not what they should be.
pub(super) fn from_vocabulary(path: &Path, text: &[u8], config: Option<&ConfigFile>) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(without_mark(text))
        .map_err(|e| Error::file(path, format!("not a vocabulary: {e}")))?;
    // Where a token stands twice the last line counts, as in the Python library.
    let vocabulary: BTreeMap<&str, usize> = text.lines().enumerate().map(|(id, token)| (token, id)).collect();
    let id = |token: &str| vocabulary.get(token).copied();
    if let Some(missing) = SPECIAL.iter().take(3).find(|token| id(token).is_none()) {
        let reason =
            format!("not a BERT vocabulary: {} lines, and none of them is {missing}", vocabulary.len());
        return Err(Error::file(path, reason));
    }
    let flag = |key: &str, default| config.map_or(Ok(default), |config| config.bool_or(key, default));
    let has_capitals = vocabulary
        .keys()
        .any(|token| !token.starts_with('[') && token.chars().any(|c| c.is_ascii_uppercase()));
    let lowercase = flag("do_lower_case", !has_capitals)?;
    let chinese = flag("tokenize_chinese_chars", true)?;
    let accents = config.filter(|config| config.has("strip_accents"));
    let accents = accents.map(|config| config.bool_or("strip_accents", true)).transpose()?;
    let special = |token: &&str| {
        let id = id(token)?;
        Some(serde_json::json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        }))
    };
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": SPECIAL.iter().filter_map(special).collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": chinese, "strip_accents": accents,
            "lowercase": lowercase
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": [END, id(END)], "cls": [BEGIN, id(BEGIN)] },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary
        }
    });
    serde_json::to_vec(&json).map_err(|e| Error::file(path, e.to_string()))
}

/// Puts `[CLS]` and `[SEP]` around texts where a file with BERT's kind of model does not say what to put there.
pub(super) fn complete(tokenizer: &mut tokenizers::Tokenizer) {
    let silent = tokenizer.get_post_processor().is_none();
    if silent && matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_)) {
        let token = |name: &str| tokenizer.token_to_id(name).map(|id| (name.to_owned(), id));
        if let (Some(begin), Some(end)) = (token(BEGIN), token(END)) {
            tokenizer.with_post_processor(Some(BertProcessing::new(end, begin)));
        }
    }
}
