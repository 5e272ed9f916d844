//! Names and shapes of a Wan transformer's parameters in the two checkpoint formats.

use std::collections::BTreeSet;

use super::config::WanConfig;
use super::foreign;
use crate::weights::WeightStore;
use crate::{Error, HostTensor, Result};

/// Which code base named the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WanFormat {
    /// Wan-Video/Wan2.1, `blocks.0.self_attn.q.weight`.
    Original,
    /// diffusers, `blocks.0.attn1.to_q.weight`.
    Diffusers,
}

/// Self- or cross-attention of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Video tokens attend to video tokens.
    SelfAttention,
    /// Video tokens attend to text.
    Cross,
}

/// A linear layer of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Output.
    O,
}

/// Weight or bias of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `[out, in]`.
    Weight,
    /// `[out]`.
    Bias,
}

/// A parameter of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockParam {
    /// A projection of an attention, `[dim, dim]` or `[dim]`.
    Projection(Attention, Projection, Part),
    /// RMS norm weight on queries, `[dim]`.
    NormQ(Attention),
    /// RMS norm weight on keys, `[dim]`.
    NormK(Attention),
    /// Affine layer norm before cross-attention, `[dim]`: `norm3` in the original files, `norm2` in
    /// the diffusers ones. The other two norms of a block have no parameters in either.
    CrossNorm(Part),
    /// First feed-forward layer, `[ffn_dim, dim]`.
    FfnUp(Part),
    /// Second feed-forward layer, `[dim, ffn_dim]`.
    FfnDown(Part),
    /// Shift, scale and gate of attention, then of the feed-forward layer, `[1, 6, dim]`.
    Modulation,
}

/// A parameter of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WanParam {
    /// Patch convolution, `[dim, in_dim, pt, ph, pw]`.
    PatchEmbedding(Part),
    /// First text layer, `[dim, text_dim]`.
    TextIn(Part),
    /// Second text layer, `[dim, dim]`.
    TextOut(Part),
    /// First time layer, `[dim, freq_dim]`.
    TimeIn(Part),
    /// Second time layer, `[dim, dim]`.
    TimeOut(Part),
    /// Time to the six modulation vectors, `[6*dim, dim]`.
    TimeProjection(Part),
    /// Output layer, `[pt*ph*pw*out_dim, dim]`, channel fastest.
    Head(Part),
    /// Shift and scale before the output layer, `[1, 2, dim]`.
    HeadModulation,
    /// Parameter of one block.
    Block(usize, BlockParam),
}

const PARTS: [Part; 2] = [Part::Weight, Part::Bias];

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        }
    }

    fn shape(self, weight: &[usize]) -> Vec<usize> {
        match self {
            Self::Weight => weight.to_vec(),
            Self::Bias => weight.iter().take(1).copied().collect(),
        }
    }
}

impl WanFormat {
    /// Key of a parameter in this format, without any prefix.
    pub fn key(self, param: WanParam) -> String {
        use WanParam as P;
        let original = self == Self::Original;
        let pick = |a: &'static str, b: &'static str| if original { a } else { b };
        let (stem, part) = match param {
            P::Block(index, block) => return format!("blocks.{index}.{}", self.block_key(block)),
            P::HeadModulation => return pick("head.modulation", "scale_shift_table").to_owned(),
            P::PatchEmbedding(part) => ("patch_embedding", part),
            P::TextIn(part) => (pick("text_embedding.0", "condition_embedder.text_embedder.linear_1"), part),
            P::TextOut(part) => (pick("text_embedding.2", "condition_embedder.text_embedder.linear_2"), part),
            P::TimeIn(part) => (pick("time_embedding.0", "condition_embedder.time_embedder.linear_1"), part),
            P::TimeOut(part) => (pick("time_embedding.2", "condition_embedder.time_embedder.linear_2"), part),
            P::TimeProjection(part) => (pick("time_projection.1", "condition_embedder.time_proj"), part),
            P::Head(part) => (pick("head.head", "proj_out"), part),
        };
        format!("{stem}.{}", part.name())
    }

    fn block_key(self, param: BlockParam) -> String {
        use BlockParam as B;
        let original = self == Self::Original;
        let pick = |a: &'static str, b: &'static str| if original { a } else { b };
        let attention = |which: Attention| match which {
            Attention::SelfAttention => pick("self_attn", "attn1"),
            Attention::Cross => pick("cross_attn", "attn2"),
        };
        match param {
            B::Projection(which, projection, part) => {
                let layer = match projection {
                    Projection::Q => pick("q", "to_q"),
                    Projection::K => pick("k", "to_k"),
                    Projection::V => pick("v", "to_v"),
                    Projection::O => pick("o", "to_out.0"),
                };
                format!("{}.{layer}.{}", attention(which), part.name())
            }
            B::NormQ(which) => format!("{}.norm_q.weight", attention(which)),
            B::NormK(which) => format!("{}.norm_k.weight", attention(which)),
            B::CrossNorm(part) => format!("{}.{}", pick("norm3", "norm2"), part.name()),
            B::FfnUp(part) => format!("{}.{}", pick("ffn.0", "ffn.net.0.proj"), part.name()),
            B::FfnDown(part) => format!("{}.{}", pick("ffn.2", "ffn.net.2"), part.name()),
            B::Modulation => pick("modulation", "scale_shift_table").to_owned(),
        }
    }
}

impl WanParam {
    /// Shape in the file, the same in both formats.
    pub fn shape(self, config: &WanConfig) -> Vec<usize> {
        let WanConfig { dim, ffn_dim, freq_dim, text_dim, in_dim, out_dim, patch_size: [pt, ph, pw], .. } =
            *config;
        match self {
            Self::PatchEmbedding(part) => part.shape(&[dim, in_dim, pt, ph, pw]),
            Self::TextIn(part) => part.shape(&[dim, text_dim]),
            Self::TextOut(part) | Self::TimeOut(part) => part.shape(&[dim, dim]),
            Self::TimeIn(part) => part.shape(&[dim, freq_dim]),
            Self::TimeProjection(part) => part.shape(&[6 * dim, dim]),
            Self::Head(part) => part.shape(&[pt * ph * pw * out_dim, dim]),
            Self::HeadModulation => vec![1, 2, dim],
            Self::Block(_, BlockParam::Projection(_, _, part)) => part.shape(&[dim, dim]),
            Self::Block(_, BlockParam::FfnUp(part)) => part.shape(&[ffn_dim, dim]),
            Self::Block(_, BlockParam::FfnDown(part)) => part.shape(&[dim, ffn_dim]),
            Self::Block(_, BlockParam::Modulation) => vec![1, 6, dim],
            Self::Block(_, BlockParam::NormQ(_) | BlockParam::NormK(_) | BlockParam::CrossNorm(_)) => {
                vec![dim]
            }
        }
    }

    /// Every parameter that a model of this configuration has.
    pub fn all(config: &WanConfig) -> Vec<Self> {
        let mut params = vec![Self::HeadModulation];
        for part in PARTS {
            params.extend([
                Self::PatchEmbedding(part),
                Self::TextIn(part),
                Self::TextOut(part),
                Self::TimeIn(part),
            ]);
            params.extend([Self::TimeOut(part), Self::TimeProjection(part), Self::Head(part)]);
        }
        for index in 0..config.num_layers {
            params.extend(BlockParam::all(config).into_iter().map(|p| Self::Block(index, p)));
        }
        params
    }
}

impl BlockParam {
    /// Every parameter of one block.
    pub fn all(config: &WanConfig) -> Vec<Self> {
        let mut params = vec![Self::Modulation];
        for which in [Attention::SelfAttention, Attention::Cross] {
            for projection in [Projection::Q, Projection::K, Projection::V, Projection::O] {
                params.extend(PARTS.map(|part| Self::Projection(which, projection, part)));
            }
            if config.qk_norm {
                params.extend([Self::NormQ(which), Self::NormK(which)]);
            }
        }
        for part in PARTS {
            params.extend([Self::FfnUp(part), Self::FfnDown(part)]);
            if config.cross_attn_norm {
                params.push(Self::CrossNorm(part));
            }
        }
        params
    }
}

/// The parameters of one checkpoint, by meaning instead of by key.
#[derive(Debug, Clone)]
pub struct WanWeights {
    store: WeightStore,
    format: WanFormat,
    config: WanConfig,
    unread: Vec<String>,
}

/// The file without what is wrapped around its names, and whose names they are.
///
/// # Errors
/// [`Error::Weight`] for what is no Wan transformer.
pub(super) fn recognise(store: &WeightStore) -> Result<(WeightStore, WanFormat)> {
    // The one key whose name differs and that every model has.
    let probe = WanParam::TimeProjection(Part::Weight);
    let formats = [WanFormat::Original, WanFormat::Diffusers];
    let store = store.unwrapped()?;
    if let Some(format) = formats.into_iter().find(|format| store.contains(&format.key(probe))) {
        return Ok((store, format));
    }
    let reason = if foreign::is_lora(&store) {
        "this is a LoRA, an addition to a model: merge it into the transformer, and take that file".to_owned()
    } else {
        let keys = formats.map(|f| f.key(probe)).join("` nor `");
        format!(
            "not a Wan transformer: neither `{keys}` is here, with or without `model.diffusion_model.` and its kind"
        )
    };
    Err(Error::weight(store.path(), formats[0].key(probe), reason))
}

impl WanWeights {
    /// Recognises the format, strips what is wrapped around the names ([`WeightStore::unwrapped`]), and checks that every
    /// parameter of the configuration is there with its shape. Reads no elements.
    ///
    /// # Errors
    /// [`Error::Weight`] naming the first tensor that is missing or has another shape, that is there twice, or that makes
    /// another model: layers for an image, VACE's, a LoRA's, more blocks than the configuration has, scales of a form that
    /// is not read.
    pub fn new(store: &WeightStore, config: WanConfig) -> Result<Self> {
        let (store, format) = recognise(store)?;
        foreign::require_none(&store, &config)?;
        let mut read = BTreeSet::new();
        for param in WanParam::all(&config) {
            let key = format.key(param);
            store.require_float(&key, &param.shape(&config))?;
            read.insert(key);
        }
        let unread = foreign::unread(&store, &read)?;
        Ok(Self { store, format, config, unread })
    }

    /// Weights that have shapes and no values, for planning what a model needs without its files; they load as zeros.
    pub fn planned(config: WanConfig) -> Self {
        let format = WanFormat::Original;
        let shapes = WanParam::all(&config).into_iter().map(|p| (format.key(p), p.shape(&config)));
        Self { store: WeightStore::zeros("planned weights", shapes), format, config, unread: Vec::new() }
    }

    /// The format that was recognised.
    pub fn format(&self) -> WanFormat {
        self.format
    }

    /// Sizes of the model.
    pub fn config(&self) -> &WanConfig {
        &self.config
    }

    /// Tensors of the file that no one reads, by their names without wrappers: nothing that the model computes with.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The file, its names without wrappers: for uploads that keep the stored type.
    pub fn store(&self) -> &WeightStore {
        &self.store
    }

    /// Key of a parameter in [`store`](Self::store).
    pub fn key(&self, param: WanParam) -> String {
        self.format.key(param)
    }

    /// Loads a parameter as f32.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing (an index past the last block) or not a float tensor.
    pub fn load(&self, param: WanParam) -> Result<HostTensor> {
        self.store.load(&self.key(param), &param.shape(&self.config))
    }

    /// Loads a parameter of one block as f32. Errors as [`load`](Self::load).
    pub fn load_block(&self, index: usize, param: BlockParam) -> Result<HostTensor> {
        self.load(WanParam::Block(index, param))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn config() -> WanConfig {
        let json = br#"{"dim": 4, "ffn_dim": 6, "freq_dim": 8, "text_dim": 5, "num_heads": 2, "num_layers": 2, "in_dim": 3, "out_dim": 3}"#;
        WanConfig::from_bytes("config.json", json).unwrap()
    }

    /// A file with every parameter, zeros, except those that `change` renames or drops.
    /// A key of two names is two tensors.
    fn store(
        format: WanFormat,
        prefix: &str,
        mut change: impl FnMut(String) -> Option<String>,
    ) -> WeightStore {
        let (mut header, mut end) = (Vec::new(), 0);
        for param in WanParam::all(&config()) {
            let shape = param.shape(&config());
            let bytes = 4 * shape.iter().product::<usize>();
            let keys = change(format!("{prefix}{}", format.key(param)));
            for key in keys.iter().flat_map(|keys| keys.split('\0')) {
                header.push(format!(
                    r#""{key}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{end},{}]}}"#,
                    end + bytes
                ));
                end += bytes;
            }
        }
        let header = format!("{{{}}}", header.join(","));
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; end]].concat();
        WeightStore::from_bytes("wan", bytes).unwrap()
    }

    #[test]
    fn keys_are_distinct_and_as_published() {
        let all = WanParam::all(&config());
        // 825 tensors at 30 blocks: 15 outside and 27 a block.
        assert_eq!(all.len(), 15 + 2 * 27);
        for format in [WanFormat::Original, WanFormat::Diffusers] {
            let keys: BTreeSet<String> = all.iter().map(|p| format.key(*p)).collect();
            assert_eq!(keys.len(), all.len());
        }
        let both = |p| (WanFormat::Original.key(p), WanFormat::Diffusers.key(p));
        let norm = WanParam::Block(3, BlockParam::CrossNorm(Part::Bias));
        assert_eq!(both(norm), ("blocks.3.norm3.bias".into(), "blocks.3.norm2.bias".into()));
        let out = WanParam::Block(0, BlockParam::Projection(Attention::Cross, Projection::O, Part::Weight));
        assert_eq!(
            both(out),
            ("blocks.0.cross_attn.o.weight".into(), "blocks.0.attn2.to_out.0.weight".into())
        );
        assert_eq!(both(WanParam::HeadModulation), ("head.modulation".into(), "scale_shift_table".into()));
    }

    #[test]
    fn recognises_format_and_prefix() {
        for format in [WanFormat::Original, WanFormat::Diffusers] {
            for prefix in
                ["", "model.diffusion_model.", "module._orig_mod.", "diffusion_model.", "model.module."]
            {
                let weights = WanWeights::new(&store(format, prefix, Some), config()).unwrap();
                assert_eq!(weights.format(), format);
                let up = weights.load_block(1, BlockParam::FfnUp(Part::Weight)).unwrap();
                assert_eq!(up.shape().dims(), [6, 4]);
                assert!(weights.load_block(2, BlockParam::Modulation).is_err());
            }
        }
    }

    #[test]
    fn names_the_missing_tensor() {
        let without = |key: &'static str| store(WanFormat::Original, "", move |k| (k != key).then_some(k));
        let text = WanWeights::new(&without("blocks.1.norm3.weight"), config()).unwrap_err().to_string();
        assert!(text.contains("`blocks.1.norm3.weight`: missing"), "{text}");
        let text = WanWeights::new(&without("time_projection.1.weight"), config()).unwrap_err().to_string();
        assert!(text.contains("not a Wan transformer"), "{text}");
        let wider = WanConfig { ffn_dim: 7, ..config() };
        let text = WanWeights::new(&store(WanFormat::Original, "", Some), wider).unwrap_err().to_string();
        assert!(text.contains("ffn.0") && text.contains("expected shape"), "{text}");
    }

    /// The same with one tensor more, by its whole name.
    fn with(format: WanFormat, prefix: &str, extra: &str) -> Result<WanWeights> {
        let (mut first, extra) = (true, extra.to_owned());
        let twice = |key: String| {
            let both = if first { format!("{key}\0{extra}") } else { key };
            first = false;
            Some(both)
        };
        WanWeights::new(&store(format, prefix, twice), config())
    }

    #[test]
    fn refuses_what_makes_another_model_and_lists_the_rest() {
        for (format, extra, wanted) in [
            (WanFormat::Original, "blocks.2.modulation", "block 2, and the configuration has 2"),
            (WanFormat::Original, "img_emb.proj.0.weight", "image to video"),
            (WanFormat::Original, "blocks.0.cross_attn.k_img.weight", "image to video"),
            (WanFormat::Diffusers, "condition_embedder.image_embedder.norm1.weight", "image to video"),
            (WanFormat::Diffusers, "blocks.1.attn2.add_k_proj.weight", "image to video"),
            (WanFormat::Original, "vace_blocks.0.before_proj.weight", "VACE"),
            (WanFormat::Diffusers, "vace_patch_embedding.weight", "VACE"),
            (WanFormat::Original, "blocks.0.self_attn.q.lora_A.default.weight", "a LoRA"),
            (WanFormat::Original, "lora_unet_blocks_0_ffn_0.lora_up.weight", "a LoRA"),
            (WanFormat::Original, "blocks.0.audio_cross_attn.q_linear.weight", "driven by sound"),
            (WanFormat::Original, "blocks.1.norm9.weight", "no layer of a block"),
            (WanFormat::Original, "head.head.weight_scale_inv", "quantised, in a form that is not read"),
            (WanFormat::Original, "blocks.0.ffn.0.weight.absmax", "quantised, in a form that is not read"),
            (WanFormat::Original, "module.blocks.0.modulation", "`blocks.0.modulation` is here too"),
        ] {
            let text = with(format, "", extra).unwrap_err().to_string();
            assert!(text.contains(extra) && text.contains(wanted), "{extra}: {text}");
        }
        let lora = store(WanFormat::Original, "", |k| k.ends_with("q.weight").then(|| format!("{k}.lora_A")));
        let text = WanWeights::new(&lora, config()).unwrap_err().to_string();
        assert!(text.contains("this is a LoRA"), "{text}");
        for (extra, listed) in [
            ("model.diffusion_model.freqs", None),
            ("model.diffusion_model.scaled_fp8", None),
            ("model.diffusion_model.head.head.scale_input", None),
            ("model.diffusion_model.fps_embedding.weight", Some("fps_embedding.weight")),
            ("model_ema.decay", Some("model_ema.decay")),
        ] {
            let weights = with(WanFormat::Original, "model.diffusion_model.", extra).unwrap();
            assert_eq!(weights.unread(), listed.as_slice(), "{extra}");
        }
    }

    #[test]
    fn tells_a_released_model_by_its_sizes_and_no_other() {
        let large = [("dim", 1536), ("ffn_dim", 8960), ("num_layers", 30), ("num_heads", 12)];
        let json: serde_json::Map<String, serde_json::Value> =
            large.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
        let released =
            WanConfig::from_config(&crate::weights::ConfigFile::from_value("c", json.into()).unwrap())
                .unwrap();
        for format in [WanFormat::Original, WanFormat::Diffusers] {
            let shapes = WanParam::all(&released).into_iter().map(|p| (format.key(p), p.shape(&released)));
            let shapes = shapes.map(|(key, shape)| (format!("model.diffusion_model.{key}"), shape));
            assert_eq!(WanConfig::infer(&WeightStore::zeros("1.3B", shapes)).unwrap(), released);
            let text = WanConfig::infer(&store(format, "", Some)).unwrap_err().to_string();
            assert!(text.contains("2 blocks: not a released size") && text.contains("config.json"), "{text}");
        }
        let other = WeightStore::zeros("o", [("a".to_owned(), vec![1])]);
        assert!(WanConfig::infer(&other).unwrap_err().to_string().contains("not a Wan transformer"));
    }
}
