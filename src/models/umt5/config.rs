//! Sizes of a UMT5 text encoder.

use crate::Result;
use crate::weights::ConfigFile;

/// Sizes of a UMT5 encoder, from the Hugging Face `config.json` or from a flat object with the
/// original code's sizes (`d_attn`, `num_buckets`, `max_distance`, `eps`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Umt5Config {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the token stream.
    pub d_model: usize,
    /// Width of one head.
    pub d_kv: usize,
    /// Width of queries, keys and values together: `num_heads * d_kv`; need not equal `d_model`.
    pub d_attn: usize,
    /// Hidden width of the gated feed-forward layer.
    pub d_ff: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Encoder blocks.
    pub num_layers: usize,
    /// Rows of each block's relative position table; half of them for keys after the query.
    pub num_buckets: usize,
    /// Distance from which all positions share the last bucket.
    pub max_distance: usize,
    /// Epsilon of the RMS norms.
    pub eps: f64,
}

/// Bound on widths: far above any released model, far below what overflows a product of three.
const MAX_WIDTH: usize = 1 << 17;

impl Umt5Config {
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

    /// Reads either format; `d_attn` marks the flat one.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the key that is missing, out of range or asks for another
    /// architecture: plain T5 shares one position table among blocks, v1.0 has no gate.
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        let config = if file.has("d_attn") { Self::from_flat(file)? } else { Self::from_hugging_face(file)? };
        // The bucket rule takes half of the buckets for a direction and half of those for exact
        // distances, beyond which it takes logarithms up to the largest distance.
        let exact = config.num_buckets / 4;
        if !config.num_buckets.is_multiple_of(4) || config.max_distance <= exact {
            let (buckets, distance) = (config.num_buckets, config.max_distance);
            return Err(file.refuse(format!("{buckets} position buckets must be a multiple of 4 and the largest distance, {distance}, above {exact}")));
        }
        Ok(config)
    }

    fn from_flat(file: &ConfigFile) -> Result<Self> {
        let (d_attn, num_heads) = (file.usize("d_attn", 1..=MAX_WIDTH)?, file.usize("num_heads", 1..=4096)?);
        if d_attn % num_heads != 0 {
            return Err(file.refuse(format!("{num_heads} heads do not divide `d_attn` {d_attn}")));
        }
        let d_kv = d_attn / num_heads;
        let position = [
            file.usize_or("num_buckets", 32, 4..=1 << 16)?,
            file.usize_or("max_distance", 128, 2..=1 << 20)?,
        ];
        Self::with_sizes(file, d_kv, num_heads, position, file.positive_or("eps", 1e-6, 1.0)?)
    }

    fn from_hugging_face(file: &ConfigFile) -> Result<Self> {
        file.require_one_of("model_type", &["umt5"])?;
        file.require_one_of("feed_forward_proj", &["gated-gelu"])?;
        // `gelu_new` is the tanh form.
        file.require_one_of("dense_act_fn", &["gelu_new"])?;
        let (d_kv, num_heads) = (file.usize("d_kv", 1..=4096)?, file.usize("num_heads", 1..=4096)?);
        let buckets = file.usize_or("relative_attention_num_buckets", 32, 4..=1 << 16)?;
        let distance = file.usize_or("relative_attention_max_distance", 128, 2..=1 << 20)?;
        Self::with_sizes(
            file,
            d_kv,
            num_heads,
            [buckets, distance],
            file.positive_or("layer_norm_epsilon", 1e-6, 1.0)?,
        )
    }

    fn with_sizes(
        file: &ConfigFile,
        d_kv: usize,
        num_heads: usize,
        [num_buckets, max_distance]: [usize; 2],
        eps: f64,
    ) -> Result<Self> {
        let d_attn = d_kv * num_heads;
        if d_attn > MAX_WIDTH {
            return Err(file.refuse(format!("attention width {d_attn} is above {MAX_WIDTH}")));
        }
        Ok(Self {
            vocab_size: file.usize("vocab_size", 1..=1 << 24)?,
            d_model: file.usize("d_model", 1..=MAX_WIDTH)?,
            d_kv,
            d_attn,
            d_ff: file.usize("d_ff", 1..=MAX_WIDTH)?,
            num_heads,
            num_layers: file.usize("num_layers", 1..=1024)?,
            num_buckets,
            max_distance,
            eps,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const HUGGING_FACE: &str = r#"{"architectures": ["UMT5EncoderModel"], "d_ff": 10240, "d_kv": 64, "d_model": 4096, "dense_act_fn": "gelu_new",
        "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-06, "model_type": "umt5", "num_heads": 64, "num_layers": 24,
        "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32, "vocab_size": 256384}"#;
    const FLAT: &str = r#"{"vocab_size": 256384, "d_model": 4096, "d_attn": 4096, "d_ff": 10240, "num_heads": 64, "num_layers": 24,
        "num_buckets": 32, "max_distance": 128, "eps": 1e-06}"#;

    fn parse(json: &str) -> Result<Umt5Config> {
        Umt5Config::from_bytes("config.json", json.as_bytes())
    }

    #[test]
    fn both_formats_agree() {
        let config = parse(HUGGING_FACE).unwrap();
        assert_eq!(config, parse(FLAT).unwrap());
        assert_eq!((config.d_attn, config.d_kv, config.max_distance), (4096, 64, 128));
    }

    #[test]
    fn refuses_by_name() {
        let hf = |from: &str, to: &str| parse(&HUGGING_FACE.replace(from, to)).unwrap_err().to_string();
        assert!(hf("\"umt5\"", "\"t5\"").contains("`model_type` is \"t5\""));
        assert!(hf("gated-gelu", "relu").contains("feed_forward_proj"));
        assert!(hf("\"d_kv\": 64, ", "").contains("`d_kv` is missing"));
        assert!(hf("_buckets\": 32", "_buckets\": 30").contains("multiple of 4"));
        assert!(hf("_distance\": 128", "_distance\": 8").contains("largest distance"));
        assert!(hf("\"vocab_size\": 256384", "\"vocab_size\": 1e12").contains("vocab_size"));
        assert!(
            parse(&FLAT.replace("\"num_heads\": 64", "\"num_heads\": 63"))
                .unwrap_err()
                .to_string()
                .contains("63 heads")
        );
    }
}
