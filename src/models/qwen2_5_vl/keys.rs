//! Names and shapes of Qwen2.5-VL's parameters in checkpoints of both generations.

use std::collections::BTreeSet;

use super::config::QwenVlConfig;
use crate::weights::WeightStore;
use crate::{Error, HostTensor, Result};

/// How a checkpoint names the language model's tensors, without the `model.` in front of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QwenVlFormat {
    /// As published, `layers.0.self_attn.q_proj.weight`.
    Published,
    /// As transformers has saved them since 4.52, `language_model.layers.0.self_attn.q_proj.weight`.
    Nested,
}

/// Weight or bias of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `[out, in]`.
    Weight,
    /// `[out]`.
    Bias,
}

/// A linear layer of a feed-forward layer with a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ffn {
    /// The layer that goes through the silu, `[intermediate, hidden]`.
    Gate,
    /// The layer that is multiplied with the gate, `[intermediate, hidden]`.
    Up,
    /// Output, `[hidden, intermediate]`.
    Down,
}

/// A parameter of a block of the language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextParam {
    /// RMS norm before attention, `[hidden]`.
    AttentionNorm,
    /// Queries, `[hidden, hidden]`.
    Q(Part),
    /// Keys, `[kv_heads * head_dim, hidden]`.
    K(Part),
    /// Values, `[kv_heads * head_dim, hidden]`.
    V(Part),
    /// Output, `[hidden, hidden]`, without a bias.
    O,
    /// RMS norm before the feed-forward layer, `[hidden]`.
    FfnNorm,
    /// The feed-forward layer, without biases.
    Ffn(Ffn),
}

/// A parameter of a block of the vision tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VisionParam {
    /// RMS norm before attention, `[width]`.
    AttentionNorm,
    /// Queries, keys and values, `[3 * width, width]`.
    Qkv(Part),
    /// Output of attention, `[width, width]`.
    O(Part),
    /// RMS norm before the feed-forward layer, `[width]`.
    FfnNorm,
    /// The feed-forward layer.
    Ffn(Ffn, Part),
}

/// A parameter of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QwenVlParam {
    /// Convolution over patches, `[width, 3, frames, patch, patch]`, without a bias.
    PatchEmbedding,
    /// A block of the vision tower.
    Vision(usize, VisionParam),
    /// RMS norm before the merger, `[width]`.
    MergerNorm,
    /// First layer of the merger, `[4 * width, 4 * width]` where four patches make a token.
    MergerIn(Part),
    /// Second layer of the merger, `[hidden, 4 * width]`.
    MergerOut(Part),
    /// Token table, `[vocab, hidden]`.
    TokenEmbedding,
    /// A block of the language model.
    Text(usize, TextParam),
    /// RMS norm behind the last block, `[hidden]`.
    FinalNorm,
    /// Output layer, `[vocab, hidden]`; absent where it is the token table.
    Head,
}

const PARTS: [Part; 2] = [Part::Weight, Part::Bias];
const FFN: [Ffn; 3] = [Ffn::Gate, Ffn::Up, Ffn::Down];

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        }
    }

    fn shape(self, weight: [usize; 2]) -> Vec<usize> {
        match self {
            Self::Weight => weight.to_vec(),
            Self::Bias => vec![weight[0]],
        }
    }
}

impl Ffn {
    fn name(self) -> &'static str {
        match self {
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    fn shape(self, width: usize, intermediate: usize) -> [usize; 2] {
        if self == Self::Down { [width, intermediate] } else { [intermediate, width] }
    }
}

impl QwenVlFormat {
    /// Key of a parameter, without wrappers.
    pub fn key(self, param: QwenVlParam) -> String {
        use QwenVlParam as P;
        let inner = if self == Self::Nested { "language_model." } else { "" };
        match param {
            P::PatchEmbedding => "visual.patch_embed.proj.weight".to_owned(),
            P::Vision(i, param) => {
                use VisionParam as V;
                let (name, part) = match param {
                    V::AttentionNorm => ("norm1", Part::Weight),
                    V::Qkv(part) => ("attn.qkv", part),
                    V::O(part) => ("attn.proj", part),
                    V::FfnNorm => ("norm2", Part::Weight),
                    V::Ffn(ffn, part) => (ffn.name(), part),
                };
                format!("visual.blocks.{i}.{name}.{}", part.name())
            }
            P::MergerNorm => "visual.merger.ln_q.weight".to_owned(),
            P::MergerIn(part) => format!("visual.merger.mlp.0.{}", part.name()),
            P::MergerOut(part) => format!("visual.merger.mlp.2.{}", part.name()),
            P::TokenEmbedding => format!("{inner}embed_tokens.weight"),
            P::Text(i, param) => {
                use TextParam as T;
                let (name, part) = match param {
                    T::AttentionNorm => ("input_layernorm", Part::Weight),
                    T::Q(part) => ("self_attn.q_proj", part),
                    T::K(part) => ("self_attn.k_proj", part),
                    T::V(part) => ("self_attn.v_proj", part),
                    T::O => ("self_attn.o_proj", Part::Weight),
                    T::FfnNorm => ("post_attention_layernorm", Part::Weight),
                    T::Ffn(ffn) => (ffn.name(), Part::Weight),
                };
                format!("{inner}layers.{i}.{name}.{}", part.name())
            }
            P::FinalNorm => format!("{inner}norm.weight"),
            P::Head => "lm_head.weight".to_owned(),
        }
    }
}

impl QwenVlParam {
    /// Shape in the file.
    pub fn shape(self, config: &QwenVlConfig) -> Vec<usize> {
        let (hidden, vision) = (config.hidden_size, &config.vision);
        let width = vision.hidden_size;
        let merged = width * vision.merge_size * vision.merge_size;
        match self {
            Self::PatchEmbedding => {
                vec![width, 3, vision.temporal_patch_size, vision.patch_size, vision.patch_size]
            }
            Self::Vision(_, param) => match param {
                VisionParam::AttentionNorm | VisionParam::FfnNorm => vec![width],
                VisionParam::Qkv(part) => part.shape([3 * width, width]),
                VisionParam::O(part) => part.shape([width, width]),
                VisionParam::Ffn(ffn, part) => part.shape(ffn.shape(width, vision.intermediate_size)),
            },
            Self::MergerNorm => vec![width],
            Self::MergerIn(part) => part.shape([merged, merged]),
            Self::MergerOut(part) => part.shape([hidden, merged]),
            Self::TokenEmbedding | Self::Head => vec![config.vocab_size, hidden],
            Self::Text(_, param) => match param {
                TextParam::AttentionNorm | TextParam::FfnNorm => vec![hidden],
                TextParam::Q(part) => part.shape([hidden, hidden]),
                TextParam::K(part) | TextParam::V(part) => {
                    part.shape([config.kv_heads * config.head_dim(), hidden])
                }
                TextParam::O => vec![hidden, hidden],
                TextParam::Ffn(ffn) => ffn.shape(hidden, config.intermediate_size).to_vec(),
            },
            Self::FinalNorm => vec![hidden],
        }
    }

    /// Every parameter that a model of this configuration has.
    pub fn all(config: &QwenVlConfig) -> Vec<Self> {
        let mut all = vec![Self::PatchEmbedding, Self::MergerNorm, Self::TokenEmbedding, Self::FinalNorm];
        for part in PARTS {
            all.extend([Self::MergerIn(part), Self::MergerOut(part)]);
        }
        if !config.tied {
            all.push(Self::Head);
        }
        for i in 0..config.vision.depth {
            use VisionParam as V;
            let mut block = vec![V::AttentionNorm, V::FfnNorm];
            for part in PARTS {
                block.extend([V::Qkv(part), V::O(part)]);
                block.extend(FFN.map(|ffn| V::Ffn(ffn, part)));
            }
            all.extend(block.into_iter().map(|param| Self::Vision(i, param)));
        }
        for i in 0..config.layers {
            use TextParam as T;
            let mut block = vec![T::AttentionNorm, T::O, T::FfnNorm];
            block.extend(PARTS.into_iter().flat_map(|part| [T::Q(part), T::K(part), T::V(part)]));
            block.extend(FFN.map(T::Ffn));
            all.extend(block.into_iter().map(|param| Self::Text(i, param)));
        }
        all
    }
}

/// The parameters of one checkpoint, by meaning instead of by key.
#[derive(Debug, Clone)]
pub struct QwenVlWeights {
    store: WeightStore,
    format: QwenVlFormat,
    config: QwenVlConfig,
    unread: Vec<String>,
}

impl QwenVlWeights {
    /// Recognises the generation, strips what is wrapped around the names ([`WeightStore::unwrapped`]), and checks that every
    /// parameter of the configuration is there with its shape. Reads no elements.
    ///
    /// # Errors
    /// [`Error::Weight`] naming the first tensor that is missing or has another shape, that is there twice, or that makes
    /// another model: more blocks than the configuration has, unknown layers in a block, an output layer of its own where the
    /// configuration says that it is the token table.
    pub fn new(store: &WeightStore, config: QwenVlConfig) -> Result<Self> {
        let store = store.unwrapped()?;
        let formats = [QwenVlFormat::Published, QwenVlFormat::Nested];
        let probe = QwenVlParam::FinalNorm;
        let Some(format) = formats.into_iter().find(|f| store.contains(&f.key(probe))) else {
            let keys = formats.map(|f| f.key(probe)).join("` nor `");
            let reason = format!("not Qwen2.5-VL: neither `{keys}` is here");
            return Err(Error::weight(store.path(), formats[0].key(probe), reason));
        };
        let mut weights = Self { store, format, config, unread: Vec::new() };
        let mut read = BTreeSet::new();
        for param in QwenVlParam::all(&weights.config) {
            let key = weights.key(param);
            weights.store.require_float(&key, &param.shape(&weights.config))?;
            read.insert(key);
        }
        weights.unread = weights.others(&read)?;
        Ok(weights)
    }

    /// What nobody reads.
    fn others(&self, read: &BTreeSet<String>) -> Result<Vec<String>> {
        // A file may hold the table twice, once as the output layer that it stands for.
        let head = self.format.key(QwenVlParam::Head);
        let twice = self.config.tied && self.store.contains(&head);
        if twice {
            let table = self.store.load_rows(
                &self.key(QwenVlParam::TokenEmbedding),
                &QwenVlParam::TokenEmbedding.shape(&self.config),
                &[0],
            )?;
            if self.store.load_rows(&head, &QwenVlParam::Head.shape(&self.config), &[0])? != table {
                let reason = "the configuration says that the output layer is the token table \
                              (`tie_word_embeddings`), and this one differs from it";
                return Err(self.store.refusal(&head, reason));
            }
        }
        let inside = |name: &str| {
            let text = name.strip_prefix("language_model.").unwrap_or(name);
            text.starts_with("layers.")
                || name.starts_with("visual.blocks.")
                || name.starts_with("visual.merger.")
        };
        // Checkpoints of both generations may carry frequencies that follow from the configuration.
        let expected = |name: &str| (twice && name == head) || name.ends_with("rotary_emb.inv_freq");
        self.store.unread(read, expected, inside, || {
            format!(
                "no layer of the {} blocks of the language model (`num_hidden_layers`) and {} of the vision tower \
                 (`depth`): the file and config.json do not belong together, or it is a variant that is not supported",
                self.config.layers, self.config.vision.depth
            )
        })
    }

    /// Weights that have shapes and no values, for planning what a model needs without its files; they load as zeros.
    pub fn planned(config: QwenVlConfig) -> Self {
        let format = QwenVlFormat::Published;
        let shapes = QwenVlParam::all(&config).into_iter().map(|p| (format.key(p), p.shape(&config)));
        let store = WeightStore::zeros("planned weights", shapes);
        Self { store, format, config, unread: Vec::new() }
    }

    /// The generation that was recognised.
    pub fn format(&self) -> QwenVlFormat {
        self.format
    }

    /// Sizes of the model.
    pub fn config(&self) -> &QwenVlConfig {
        &self.config
    }

    /// Tensors of the file that no one reads, by their names without wrappers.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Key of a parameter in the file, without wrappers. The output layer's is the token table's where they are one.
    pub fn key(&self, param: QwenVlParam) -> String {
        match param {
            QwenVlParam::Head if self.config.tied => self.format.key(QwenVlParam::TokenEmbedding),
            param => self.format.key(param),
        }
    }

    /// Loads a parameter as f32.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing (an index past the last block) or not a float tensor.
    pub fn load(&self, param: QwenVlParam) -> Result<HostTensor> {
        self.store.load(&self.key(param), &param.shape(&self.config))
    }

    /// Loads the rows of the token table that a prompt needs, `[ids, hidden]`.
    ///
    /// # Errors
    /// [`Error::Weight`] when an id is past the end of the table.
    pub fn load_embeddings(&self, ids: &[u32]) -> Result<HostTensor> {
        let table = QwenVlParam::TokenEmbedding;
        self.store.load_rows(&self.key(table), &table.shape(&self.config), ids)
    }
}
