//! Sizes of a BERT encoder.

use crate::Result;
use crate::weights::ConfigFile;

/// Sizes of a BERT encoder, from the Hugging Face `config.json`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BertConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of the token stream.
    pub hidden_size: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Rows of the position table.
    pub max_positions: usize,
    /// Rows of the segment table; texts are all of segment 0.
    pub segments: usize,
    /// Epsilon of the layer norms.
    pub eps: f32,
}

/// Bound on widths: far above any released model, far below what overflows a product of three.
const MAX_WIDTH: usize = 1 << 17;

impl BertConfig {
    /// Reads `config.json`, or the folder it lies in.
    ///
    /// # Errors
    /// [`crate::Error::Io`], or [`crate::Error::File`] naming the key.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::from_config(&ConfigFile::open(path)?)
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the key that is missing, out of range or asks for another architecture.
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        file.require_one_of("model_type", &["bert"])?;
        file.require_one_of("hidden_act", &["gelu"])?;
        if file.bool_or("is_decoder", false)? || file.bool_or("add_cross_attention", false)? {
            return Err(file.refuse("`is_decoder` or `add_cross_attention` is set: only an encoder is built"));
        }
        if let Some(kind) = file.str("position_embedding_type")?.filter(|k| *k != "absolute") {
            return Err(file.refuse(format!("`position_embedding_type` {kind}: only absolute is built")));
        }
        let heads = file.usize("num_attention_heads", 1..=4096)?;
        let hidden_size = file.usize("hidden_size", 1..=MAX_WIDTH)?;
        let head_dim = hidden_size / heads;
        if !hidden_size.is_multiple_of(heads) || !head_dim.is_multiple_of(4) || head_dim > 256 {
            let reason = format!("{heads} heads of width {hidden_size}: a head is a multiple of 4 up to 256");
            return Err(file.refuse(reason));
        }
        Ok(Self {
            vocab_size: file.usize("vocab_size", 1..=1 << 24)?,
            hidden_size,
            layers: file.usize("num_hidden_layers", 1..=1024)?,
            heads,
            intermediate_size: file.usize("intermediate_size", 1..=MAX_WIDTH)?,
            max_positions: file.usize_or("max_position_embeddings", 512, 1..=1 << 20)?,
            segments: file.usize_or("type_vocab_size", 2, 1..=1 << 16)?,
            eps: file.positive_or("layer_norm_eps", 1e-12, 1.0)? as f32,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MINILM: &str = r#"{"model_type": "bert", "hidden_act": "gelu", "hidden_size": 384, "num_hidden_layers": 6,
        "num_attention_heads": 12, "intermediate_size": 1536, "vocab_size": 30522, "max_position_embeddings": 512,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}"#;

    fn parse(json: &str) -> Result<BertConfig> {
        BertConfig::from_config(&ConfigFile::from_bytes("config.json", json.as_bytes())?)
    }

    #[test]
    fn reads_and_refuses_by_name() {
        let config = parse(MINILM).unwrap();
        assert_eq!((config.layers, config.heads, config.eps), (6, 12, 1e-12));
        let error = |from: &str, to: &str| parse(&MINILM.replace(from, to)).unwrap_err().to_string();
        assert!(error("\"bert\"", "\"roberta\"").contains("model_type"));
        assert!(error("\"gelu\"", "\"relu\"").contains("hidden_act"));
        assert!(error("absolute", "relative_key").contains("position_embedding_type"));
        assert!(error("\"hidden_act\"", "\"is_decoder\": true, \"hidden_act\"").contains("is_decoder"));
        assert!(error("_heads\": 12", "_heads\": 11").contains("11 heads"));
    }
}
