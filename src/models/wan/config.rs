//! Sizes of a Wan diffusion transformer, from either of its two configuration formats.

use crate::weights::ConfigFile;
use crate::{Error, Result};

/// Sizes of the Wan 2.1 text-to-video transformer.
///
/// Read from the original `config.json` (Wan-Video/Wan2.1, `WanModel`) or the diffusers one
/// (`WanTransformer3DModel`); what this library cannot run is refused by name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WanConfig {
    /// Width of the token stream; `num_heads * head_dim`.
    pub dim: usize,
    /// Hidden width of the feed-forward layers.
    pub ffn_dim: usize,
    /// Width of the sinusoidal time embedding; even.
    pub freq_dim: usize,
    /// Width of the text encoder's output.
    pub text_dim: usize,
    /// Text positions in cross-attention: shorter prompts are padded with zero rows that take part in
    /// the softmax, so this size changes results. 512 where the file does not state it, as diffusers' does not.
    pub text_len: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Transformer blocks.
    pub num_layers: usize,
    /// Latent channels read.
    pub in_dim: usize,
    /// Latent channels written; equal to `in_dim`.
    pub out_dim: usize,
    /// Latent frames, rows and columns of one token.
    pub patch_size: [usize; 3],
    /// Epsilon of every norm.
    pub eps: f64,
    /// RMS norm over the whole `dim` on queries and keys.
    pub qk_norm: bool,
    /// Affine layer norm before cross-attention.
    pub cross_attn_norm: bool,
    /// Positions of the rotary table on each axis.
    pub rope_max_seq_len: usize,
}

/// Text positions that Wan 2.1 was trained with.
const TEXT_LEN: usize = 512;
/// Positions of the released rotary tables.
const ROPE_LEN: usize = 1024;
/// Bound on widths: far above any released model, far below what overflows a product of three.
const MAX_WIDTH: usize = 1 << 17;

/// Bound on the width of one head, which sizes the rotary table together with the positions.
const MAX_HEAD: usize = 4096;

impl WanConfig {
    /// Reads `config.json`, or the folder it lies in.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] naming the key.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::from_config(&ConfigFile::open(path)?)
    }

    /// Parses a `config.json` in memory; `name` stands for the path in messages.
    ///
    /// # Errors
    /// [`Error::File`] naming the key.
    pub fn from_bytes(name: impl Into<std::path::PathBuf>, json: &[u8]) -> Result<Self> {
        Self::from_config(&ConfigFile::from_bytes(name, json)?)
    }

    /// Reads either format; `num_attention_heads` marks the diffusers one.
    ///
    /// # Errors
    /// [`Error::File`] naming the key that is missing, out of range or switches on a feature this
    /// library does not run (image conditioning, windowed attention, other model classes).
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        let config = if file.has("num_attention_heads") {
            Self::from_diffusers(file)?
        } else {
            Self::from_original(file)?
        };
        config.check(file)?;
        Ok(config)
    }

    fn from_original(file: &ConfigFile) -> Result<Self> {
        file.require_one_of("_class_name", &["WanModel"])?;
        file.require_one_of("model_type", &["t2v"])?;
        let window = file.get("window_size").and_then(|w| serde_json::from_value::<Vec<i64>>(w.clone()).ok());
        if file.has("window_size") && window != Some(vec![-1, -1]) {
            return Err(
                file.refuse("`window_size` is not [-1, -1]: windowed self-attention is not supported")
            );
        }
        Ok(Self {
            dim: file.usize("dim", 2..=MAX_WIDTH)?,
            num_heads: file.usize("num_heads", 1..=1024)?,
            in_dim: file.usize_or("in_dim", 16, 1..=4096)?,
            out_dim: file.usize_or("out_dim", 16, 1..=4096)?,
            qk_norm: file.bool_or("qk_norm", true)?,
            rope_max_seq_len: ROPE_LEN,
            ..Self::common(file)?
        })
    }

    fn from_diffusers(file: &ConfigFile) -> Result<Self> {
        file.require_one_of("_class_name", &["WanTransformer3DModel"])?;
        file.require_absent("image_dim", "image conditioning (i2v)")?;
        file.require_absent("added_kv_proj_dim", "image conditioning (i2v)")?;
        file.require_absent("pos_embed_seq_len", "image conditioning (i2v)")?;
        file.require_one_of("qk_norm", &["rms_norm_across_heads"])?;
        let num_heads = file.usize("num_attention_heads", 1..=1024)?;
        let in_dim = file.usize_or("in_channels", 16, 1..=4096)?;
        Ok(Self {
            dim: num_heads * file.usize("attention_head_dim", 2..=MAX_HEAD)?,
            num_heads,
            in_dim,
            out_dim: file.usize_or("out_channels", in_dim, 1..=4096)?,
            // An absent key means the class default, the norm across heads; an explicit null means none.
            qk_norm: !file.is_null("qk_norm"),
            rope_max_seq_len: file.usize_or("rope_max_seq_len", ROPE_LEN, 1..=1 << 20)?,
            ..Self::common(file)?
        })
    }

    /// Keys that both formats name alike; the rest is filled with values the caller replaces.
    fn common(file: &ConfigFile) -> Result<Self> {
        Ok(Self {
            ffn_dim: file.usize("ffn_dim", 1..=MAX_WIDTH)?,
            freq_dim: file.usize_or("freq_dim", 256, 2..=MAX_WIDTH)?,
            text_dim: file.usize_or("text_dim", 4096, 1..=MAX_WIDTH)?,
            num_layers: file.usize("num_layers", 1..=1024)?,
            patch_size: file.usize_array_or("patch_size", [1, 2, 2], 1..=64)?,
            eps: file.positive_or("eps", 1e-6, 1.0)?,
            cross_attn_norm: file.bool_or("cross_attn_norm", true)?,
            dim: 0,
            num_heads: 0,
            in_dim: 0,
            out_dim: 0,
            text_len: file.usize_or("text_len", TEXT_LEN, 1..=1 << 16)?,
            qk_norm: false,
            rope_max_seq_len: 0,
        })
    }

    fn check(&self, file: &ConfigFile) -> Result<()> {
        let Self { dim, num_heads, in_dim, out_dim, freq_dim, .. } = *self;
        if dim > MAX_WIDTH || dim % num_heads != 0 {
            return Err(file.refuse(format!(
                "{num_heads} heads do not divide a width of {dim}, or it is above {MAX_WIDTH}"
            )));
        }
        if !self.head_dim().is_multiple_of(2) {
            return Err(
                file.refuse(format!("head size {} is odd; rotary embedding turns pairs", self.head_dim()))
            );
        }
        if self.head_dim() > MAX_HEAD {
            return Err(file.refuse(format!("head size {} is above {MAX_HEAD}", self.head_dim())));
        }
        if !freq_dim.is_multiple_of(2) {
            return Err(
                file.refuse(format!("`freq_dim` {freq_dim} is odd; the time embedding is cosines and sines"))
            );
        }
        if in_dim != out_dim {
            return Err(file.refuse(format!("{in_dim} input but {out_dim} output channels: conditioning on extra channels (i2v) is not supported")));
        }
        Ok(())
    }

    /// The same model with another number of text positions.
    ///
    /// # Errors
    /// [`Error::Input`] outside 1 ..= 65536.
    pub fn with_text_len(self, text_len: usize) -> Result<Self> {
        if !(1..=1 << 16).contains(&text_len) {
            return Err(Error::input("text_len", format!("expected 1 ..= 65536, found {text_len}")));
        }
        Ok(Self { text_len, ..self })
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        // `check` refuses zero heads; a hand-made value must not divide by zero either.
        self.dim / self.num_heads.max(1)
    }

    /// Rotary pairs of one head that turn with the frame, the row and the column: of `c` pairs,
    /// `c - 2*(c/3)`, `c/3`, `c/3`. Within an axis of `p` pairs, pair `j` turns by
    /// `position * 10000^(-j/p)`.
    pub fn rope_pairs(&self) -> [usize; 3] {
        let pairs = self.head_dim() / 2;
        [pairs - 2 * (pairs / 3), pairs / 3, pairs / 3]
    }

    /// Values in one token of the latent: channels times patch volume.
    pub fn patch_values(&self) -> usize {
        self.in_dim * self.patch_size.iter().product::<usize>()
    }

    /// Tokens along frame, row and column for a latent of these sizes.
    ///
    /// # Errors
    /// [`Error::Input`] when the patch does not divide a size, a size is zero, or an axis is longer
    /// than the rotary table.
    pub fn grid(&self, frames: usize, height: usize, width: usize) -> Result<[usize; 3]> {
        let mut grid = [0; 3];
        let axes = [("frames", frames), ("height", height), ("width", width)];
        for ((cells, (axis, size)), patch) in grid.iter_mut().zip(axes).zip(self.patch_size) {
            if size == 0 || patch == 0 || size % patch != 0 {
                return Err(Error::input(
                    format!("latent {axis}"),
                    format!("{size} is not a positive multiple of the patch size {patch}"),
                ));
            }
            *cells = size / patch;
            if *cells > self.rope_max_seq_len {
                return Err(Error::input(
                    format!("latent {axis}"),
                    format!("{cells} positions, the rotary table has {}", self.rope_max_seq_len),
                ));
            }
        }
        Ok(grid)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const ORIGINAL: &str = r#"{"_class_name": "WanModel", "_diffusers_version": "0.30.0", "dim": 1536, "eps": 1e-06, "ffn_dim": 8960,
        "freq_dim": 256, "in_dim": 16, "model_type": "t2v", "num_heads": 12, "num_layers": 30, "out_dim": 16, "text_len": 512}"#;
    const DIFFUSERS: &str = r#"{"_class_name": "WanTransformer3DModel", "added_kv_proj_dim": null, "attention_head_dim": 128,
        "cross_attn_norm": true, "eps": 1e-06, "ffn_dim": 8960, "freq_dim": 256, "image_dim": null, "in_channels": 16,
        "num_attention_heads": 12, "num_layers": 30, "out_channels": 16, "patch_size": [1, 2, 2],
        "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024, "text_dim": 4096}"#;

    fn parse(json: &str) -> Result<WanConfig> {
        WanConfig::from_bytes("config.json", json.as_bytes())
    }

    #[test]
    fn both_formats_agree() {
        let original = parse(ORIGINAL).unwrap();
        assert_eq!(original, parse(DIFFUSERS).unwrap());
        assert_eq!(
            (original.head_dim(), original.rope_pairs(), original.patch_values()),
            (128, [22, 21, 21], 64)
        );
        assert_eq!(original.grid(21, 60, 104).unwrap(), [21, 30, 52]);
        assert_eq!(original.with_text_len(226).unwrap().text_len, 226);
    }

    #[test]
    fn rope_split_is_the_same_in_both_code_bases() {
        for head_dim in (2..=512).step_by(2) {
            let config = WanConfig { dim: head_dim * 3, num_heads: 3, ..parse(ORIGINAL).unwrap() };
            // The diffusers code counts dimensions: height and width get 2*(d/6), the frame the rest.
            let plane = 2 * (head_dim / 6);
            assert_eq!(
                config.rope_pairs().map(|p| 2 * p),
                [head_dim - 2 * plane, plane, plane],
                "{head_dim}"
            );
        }
    }

    #[test]
    fn refuses_by_name() {
        let original = |from: &str, to: &str| parse(&ORIGINAL.replace(from, to)).unwrap_err().to_string();
        assert!(original("\"t2v\"", "\"i2v\"").contains("`model_type` is \"i2v\""));
        assert!(original("\"WanModel\"", "\"VaceWanModel\"").contains("_class_name"));
        assert!(original("\"num_heads\": 12", "\"num_heads\": 7").contains("7 heads"));
        assert!(original("\"num_heads\": 12", "\"num_heads\": 512").contains("odd"));
        assert!(original("\"in_dim\": 16", "\"in_dim\": 36").contains("36 input"));
        assert!(original("\"dim\": 1536, ", "").contains("`dim` is missing"));
        assert!(original("\"ffn_dim\": 8960", "\"ffn_dim\": 99999999999").contains("`ffn_dim`"));
        assert!(original("\"eps\": 1e-06", "\"eps\": 0").contains("`eps`"));
        assert!(original("\"freq_dim\": 256", "\"freq_dim\": 255").contains("odd"));
        assert!(original("\"text_len\": 512", "\"window_size\": [8, 8]").contains("window"));
        let diffusers = |from: &str, to: &str| parse(&DIFFUSERS.replace(from, to)).unwrap_err().to_string();
        assert!(diffusers("\"image_dim\": null", "\"image_dim\": 1280").contains("`image_dim` is set"));
        assert!(
            diffusers("\"added_kv_proj_dim\": null", "\"added_kv_proj_dim\": 5120")
                .contains("added_kv_proj_dim")
        );
        assert!(diffusers("rms_norm_across_heads", "layer_norm").contains("qk_norm"));
        assert!(
            diffusers("\"num_attention_heads\": 12", "\"num_attention_heads\": 0")
                .contains("num_attention_heads")
        );
        assert!(diffusers("[1, 2, 2]", "[1, 2]").contains("patch_size"));
        assert!(diffusers("[1, 2, 2]", "[1, 0, 2]").contains("patch_size"));
        let plain = parse(&DIFFUSERS.replace("\"rms_norm_across_heads\"", "null")).unwrap();
        assert!(!plain.qk_norm);
    }

    #[test]
    fn grid_refuses_odd_sizes() {
        let config = parse(ORIGINAL).unwrap();
        assert!(config.grid(21, 61, 104).unwrap_err().to_string().contains("height"));
        assert!(config.grid(0, 60, 104).is_err());
        assert!(config.grid(1025, 60, 104).unwrap_err().to_string().contains("rotary"));
    }
}
