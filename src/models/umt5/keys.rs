//! Names and shapes of a UMT5 encoder's parameters in the two checkpoint formats.

use std::collections::BTreeSet;

use super::config::Umt5Config;
use crate::weights::WeightStore;
use crate::{Error, HostTensor, Result};

/// Which code base named the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Umt5Format {
    /// Wan-Video/Wan2.1, `blocks.0.attn.q.weight`.
    Original,
    /// transformers, `encoder.block.0.layer.0.SelfAttention.q.weight`.
    HuggingFace,
}

/// A parameter of one block. None has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Umt5BlockParam {
    /// RMS norm before attention, `[d_model]`.
    AttentionNorm,
    /// Queries, `[d_attn, d_model]`.
    Q,
    /// Keys, `[d_attn, d_model]`.
    K,
    /// Values, `[d_attn, d_model]`.
    V,
    /// Attention output, `[d_model, d_attn]`.
    O,
    /// Relative position bias, `[num_buckets, num_heads]`; every block has its own.
    PositionBias,
    /// RMS norm before the feed-forward layer, `[d_model]`.
    FfnNorm,
    /// The layer that goes through the GELU, `[d_ff, d_model]`.
    FfnGate,
    /// The layer that is multiplied with the gate, `[d_ff, d_model]`.
    FfnUp,
    /// Output of the feed-forward layer, `[d_model, d_ff]`.
    FfnDown,
}

/// A parameter of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Umt5Param {
    /// Token table, `[vocab_size, d_model]`; gigabytes in the released model, see
    /// [`Umt5Weights::load_embeddings`].
    TokenEmbedding,
    /// RMS norm after the last block, `[d_model]`.
    FinalNorm,
    /// Parameter of one block.
    Block(usize, Umt5BlockParam),
}

impl Umt5Format {
    /// Key of a parameter in this format.
    pub fn key(self, param: Umt5Param) -> String {
        use Umt5BlockParam as B;
        let original = self == Self::Original;
        let pick = |a: &'static str, b: &'static str| if original { a } else { b };
        let (index, block) = match param {
            // The transformers library ties two names to one table and writes the other one as zeros in
            // some versions; `shared` is the one that always holds the values.
            Umt5Param::TokenEmbedding => return pick("token_embedding.weight", "shared.weight").to_owned(),
            Umt5Param::FinalNorm => return pick("norm.weight", "encoder.final_layer_norm.weight").to_owned(),
            Umt5Param::Block(index, block) => (index, block),
        };
        let name = match block {
            B::AttentionNorm => pick("norm1", "layer.0.layer_norm"),
            B::Q => pick("attn.q", "layer.0.SelfAttention.q"),
            B::K => pick("attn.k", "layer.0.SelfAttention.k"),
            B::V => pick("attn.v", "layer.0.SelfAttention.v"),
            B::O => pick("attn.o", "layer.0.SelfAttention.o"),
            B::PositionBias => {
                pick("pos_embedding.embedding", "layer.0.SelfAttention.relative_attention_bias")
            }
            B::FfnNorm => pick("norm2", "layer.1.layer_norm"),
            B::FfnGate => pick("ffn.gate.0", "layer.1.DenseReluDense.wi_0"),
            B::FfnUp => pick("ffn.fc1", "layer.1.DenseReluDense.wi_1"),
            B::FfnDown => pick("ffn.fc2", "layer.1.DenseReluDense.wo"),
        };
        format!("{}.{index}.{name}.weight", pick("blocks", "encoder.block"))
    }
}

impl Umt5BlockParam {
    /// Every parameter of one block.
    pub const ALL: [Self; 10] = [
        Self::AttentionNorm,
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::PositionBias,
        Self::FfnNorm,
        Self::FfnGate,
        Self::FfnUp,
        Self::FfnDown,
    ];
}

impl Umt5Param {
    /// Shape in the file, the same in both formats.
    pub fn shape(self, config: &Umt5Config) -> Vec<usize> {
        use Umt5BlockParam as B;
        let Umt5Config { vocab_size, d_model, d_attn, d_ff, num_heads, num_buckets, .. } = *config;
        match self {
            Self::TokenEmbedding => vec![vocab_size, d_model],
            Self::FinalNorm | Self::Block(_, B::AttentionNorm | B::FfnNorm) => vec![d_model],
            Self::Block(_, B::Q | B::K | B::V) => vec![d_attn, d_model],
            Self::Block(_, B::O) => vec![d_model, d_attn],
            Self::Block(_, B::PositionBias) => vec![num_buckets, num_heads],
            Self::Block(_, B::FfnGate | B::FfnUp) => vec![d_ff, d_model],
            Self::Block(_, B::FfnDown) => vec![d_model, d_ff],
        }
    }

    /// Every parameter that an encoder of this configuration has.
    pub fn all(config: &Umt5Config) -> Vec<Self> {
        let blocks = (0..config.num_layers).flat_map(|i| Umt5BlockParam::ALL.map(|p| Self::Block(i, p)));
        [Self::TokenEmbedding, Self::FinalNorm].into_iter().chain(blocks).collect()
    }
}

/// The parameters of one checkpoint, by meaning instead of by key.
#[derive(Debug, Clone)]
pub struct Umt5Weights {
    store: WeightStore,
    format: Umt5Format,
    config: Umt5Config,
    /// Key of the token table: a file may hold only the tied name.
    embedding_key: String,
    unread: Vec<String>,
}

/// The name of the token table that an encoder-only checkpoint may use instead of `shared`.
const TIED_EMBEDDING: &str = "encoder.embed_tokens.weight";

/// The file without what is wrapped around its names, and whose names they are.
///
/// # Errors
/// [`Error::Weight`] for what is no UMT5 encoder.
pub(super) fn recognise(store: &WeightStore) -> Result<(WeightStore, Umt5Format)> {
    let formats = [Umt5Format::Original, Umt5Format::HuggingFace];
    let probe = Umt5Param::Block(0, Umt5BlockParam::Q);
    let store = store.unwrapped()?;
    match formats.into_iter().find(|f| store.contains(&f.key(probe))) {
        Some(format) => Ok((store, format)),
        None => {
            let keys = formats.map(|f| f.key(probe)).join("` nor `");
            let reason = format!("not a UMT5 encoder: neither `{keys}` is here");
            Err(Error::weight(store.path(), formats[1].key(probe), reason))
        }
    }
}

/// Key of the token table in a file.
pub(super) fn embedding_key(store: &WeightStore, format: Umt5Format) -> String {
    let usual = format.key(Umt5Param::TokenEmbedding);
    let tied = format == Umt5Format::HuggingFace && !store.contains(&usual) && store.contains(TIED_EMBEDDING);
    if tied { TIED_EMBEDDING.to_owned() } else { usual }
}

impl Umt5Weights {
    /// Recognises the format, strips what is wrapped around the names ([`WeightStore::unwrapped`]), and checks that every
    /// parameter of the configuration is there with its shape. Reads no elements. A decoder in the same file is ignored,
    /// as is a tokenizer.
    ///
    /// # Errors
    /// [`Error::Weight`] naming the first tensor that is missing or has another shape, that is there twice, or that makes
    /// another model: more blocks than the configuration has, unknown layers in a block, scales of a form that is not read.
    pub fn new(store: &WeightStore, config: Umt5Config) -> Result<Self> {
        let (store, format) = recognise(store)?;
        let embedding_key = embedding_key(&store, format);
        let mut weights = Self { store, format, config, embedding_key, unread: Vec::new() };
        let mut read = BTreeSet::new();
        for param in Umt5Param::all(&weights.config) {
            let key = weights.key(param);
            weights.store.require_float(&key, &param.shape(&weights.config))?;
            read.insert(key);
        }
        weights.unread = weights.others(&read)?;
        Ok(weights)
    }

    /// What nobody reads, without what an encoder's file may well hold.
    fn others(&self, read: &BTreeSet<String>) -> Result<Vec<String>> {
        let whole = self.format == Umt5Format::HuggingFace;
        let expected = |name: &str| {
            let of_the_whole = name.starts_with("decoder.") || name.starts_with("lm_head.");
            whole && (of_the_whole || name.starts_with("encoder.embed_tokens.")) || name == "spiece_model"
        };
        let blocks = if whole { "encoder.block." } else { "blocks." };
        self.store.unread(read, expected, |name| name.starts_with(blocks), || {
            format!(
                "no layer of the {} blocks of the configuration (`num_layers`): the file and config.json do not belong \
                 together, or it is a variant of the model that is not supported",
                self.config.num_layers
            )
        })
    }

    /// Weights that have shapes and no values, for planning what a model needs without its files; they load as zeros.
    pub fn planned(config: Umt5Config) -> Self {
        let format = Umt5Format::HuggingFace;
        let shapes = Umt5Param::all(&config).into_iter().map(|p| (format.key(p), p.shape(&config)));
        let store = WeightStore::zeros("planned weights", shapes);
        let embedding_key = format.key(Umt5Param::TokenEmbedding);
        Self { store, format, config, embedding_key, unread: Vec::new() }
    }

    /// The format that was recognised.
    pub fn format(&self) -> Umt5Format {
        self.format
    }

    /// Sizes of the encoder.
    pub fn config(&self) -> &Umt5Config {
        &self.config
    }

    /// Tensors of the file that no one reads, by their names without wrappers: nothing that the encoder computes with.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The file, its names without wrappers: for uploads that keep the stored type.
    pub fn store(&self) -> &WeightStore {
        &self.store
    }

    /// Key of a parameter in [`store`](Self::store).
    pub fn key(&self, param: Umt5Param) -> String {
        if param == Umt5Param::TokenEmbedding { self.embedding_key.clone() } else { self.format.key(param) }
    }

    /// Loads a parameter as f32.
    ///
    /// # Errors
    /// [`Error::Weight`] when it is missing (an index past the last block) or not a float tensor.
    pub fn load(&self, param: Umt5Param) -> Result<HostTensor> {
        self.store.load(&self.key(param), &param.shape(&self.config))
    }

    /// Loads the rows of the token table that a prompt needs, `[ids, d_model]`.
    ///
    /// # Errors
    /// [`Error::Weight`] when an id is past the end of the table.
    pub fn load_embeddings(&self, ids: &[u32]) -> Result<HostTensor> {
        self.store.load_rows(&self.embedding_key, &Umt5Param::TokenEmbedding.shape(&self.config), ids)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn config() -> Umt5Config {
        let json =
            br#"{"vocab_size": 5, "d_model": 3, "d_attn": 4, "d_ff": 6, "num_heads": 2, "num_layers": 2}"#;
        Umt5Config::from_bytes("config.json", json).unwrap()
    }

    /// A file with every parameter, all ones, except those that `change` renames or drops.
    /// A key of two names is two tensors.
    fn store(format: Umt5Format, change: impl Fn(String) -> Option<String>) -> WeightStore {
        let (mut header, mut end) = (Vec::new(), 0);
        for param in Umt5Param::all(&config()) {
            let shape = param.shape(&config());
            let bytes = 4 * shape.iter().product::<usize>();
            let keys = change(format.key(param));
            for key in keys.iter().flat_map(|keys| keys.split('\0')) {
                header.push(format!(
                    r#""{key}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{end},{}]}}"#,
                    end + bytes
                ));
                end += bytes;
            }
        }
        let header = format!("{{{}}}", header.join(","));
        let data: Vec<u8> = 1f32.to_le_bytes().iter().copied().cycle().take(end).collect();
        WeightStore::from_bytes(
            "t5",
            [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat(),
        )
        .unwrap()
    }

    #[test]
    fn recognises_both_formats() {
        for format in [Umt5Format::Original, Umt5Format::HuggingFace] {
            let weights = Umt5Weights::new(&store(format, Some), config()).unwrap();
            assert_eq!(weights.format(), format);
            assert_eq!(weights.load(Umt5Param::Block(1, Umt5BlockParam::O)).unwrap().shape().dims(), [3, 4]);
            assert_eq!(weights.load_embeddings(&[4, 0]).unwrap().shape().dims(), [2, 3]);
            assert!(weights.load_embeddings(&[5]).is_err());
        }
        for wrapper in ["module.", "model.", "_orig_mod.module."] {
            let wrapped = store(Umt5Format::Original, |k| Some(format!("{wrapper}{k}")));
            assert_eq!(Umt5Weights::new(&wrapped, config()).unwrap().format(), Umt5Format::Original);
        }
        // 242 tensors in the released file of 24 blocks.
        assert_eq!(Umt5Param::all(&Umt5Config { num_layers: 24, ..config() }).len(), 242);
    }

    #[test]
    fn accepts_the_tied_name_only_without_the_shared_one() {
        let renamed = store(Umt5Format::HuggingFace, |k| {
            Some(if k == "shared.weight" { TIED_EMBEDDING.into() } else { k })
        });
        assert_eq!(
            Umt5Weights::new(&renamed, config()).unwrap().key(Umt5Param::TokenEmbedding),
            TIED_EMBEDDING
        );
        let original = store(Umt5Format::Original, |k| {
            Some(if k == "token_embedding.weight" { TIED_EMBEDDING.into() } else { k })
        });
        assert!(
            Umt5Weights::new(&original, config()).unwrap_err().to_string().contains("token_embedding.weight")
        );
    }

    #[test]
    fn sizes_are_told_from_the_tensors() {
        for format in [Umt5Format::Original, Umt5Format::HuggingFace] {
            let expected = Umt5Config { num_buckets: 32, ..config() };
            let shapes = Umt5Param::all(&expected).into_iter().map(|p| (format.key(p), p.shape(&expected)));
            assert_eq!(Umt5Config::infer(&WeightStore::zeros("t5", shapes)).unwrap(), expected);
        }
        let other = WeightStore::zeros("o", [("a".to_owned(), vec![1])]);
        assert!(Umt5Config::infer(&other).unwrap_err().to_string().contains("not a UMT5 encoder"));
    }

    #[test]
    fn lists_or_refuses_what_it_does_not_read() {
        let with = |format: Umt5Format, extra: &str| {
            let first = format.key(Umt5Param::FinalNorm);
            let more = |k: String| Some(if k == first { format!("{k}\0{extra}") } else { k });
            Umt5Weights::new(&store(format, more), config())
        };
        use Umt5Format::{HuggingFace, Original};
        for extra in
            ["decoder.block.0.layer.0.layer_norm.weight", "lm_head.weight", TIED_EMBEDDING, "spiece_model"]
        {
            assert_eq!(with(HuggingFace, extra).unwrap().unread(), [""; 0], "{extra}");
        }
        assert_eq!(with(HuggingFace, "projection.weight").unwrap().unread(), ["projection.weight"]);
        for (format, extra) in [
            (HuggingFace, "encoder.block.2.layer.0.layer_norm.weight"),
            (HuggingFace, "encoder.block.0.layer.0.SelfAttention.q.lora_A.weight"),
            (Original, "blocks.2.norm1.weight"),
        ] {
            let text = with(format, extra).unwrap_err().to_string();
            assert!(text.contains(extra) && text.contains("2 blocks of the configuration"), "{text}");
        }
        let text = with(HuggingFace, "model.shared.weight").unwrap_err().to_string();
        assert!(text.contains("`model.shared.weight` is here too") && text.contains("keep one"), "{text}");
    }

    #[test]
    fn names_the_missing_tensor() {
        let key = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight";
        let text = Umt5Weights::new(&store(Umt5Format::HuggingFace, |k| (k != key).then_some(k)), config())
            .unwrap_err()
            .to_string();
        assert!(text.contains(key) && text.contains("missing"), "{text}");
        let empty = store(Umt5Format::Original, |k| k.starts_with("norm").then_some(k));
        assert!(Umt5Weights::new(&empty, config()).unwrap_err().to_string().contains("not a UMT5 encoder"));
    }
}
