//! BERT encoder, computed in f32, frozen or trained.
//!
//! Token, position and segment embeddings summed, layer norm; then post-norm blocks: x ← LN(x + attention), x ← LN(x +
//! feed-forward with gelu in its erf form). The pooler is not part of it. Parameters keep the names of the checkpoint.
//!
//! Source: Devlin et al. 2018, as in transformers' BertModel.

mod config;
mod names;

pub use config::BertConfig;

use crate::autograd::{Attend, LinearThen, Tape, Var};
use crate::kernels::attention::{AttentionProblem, AttentionShape, Tables};
use crate::kernels::token::RowMap;
use crate::nn::{Parameters, Weights};
use crate::weights::WeightStore;
use crate::{Error, HostTensor, Result};

/// Token ids of a batch of texts, each with its own length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    longest: usize,
}

impl Texts {
    /// Pads texts to the longest.
    ///
    /// # Errors
    /// [`Error::Input`] for no text or one without tokens.
    pub fn new(texts: &[Vec<u32>]) -> Result<Self> {
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if let Some(empty) = lengths.iter().position(|&n| n == 0) {
            return Err(Error::input(format!("text {empty}"), "it has no token"));
        }
        if longest == 0 {
            return Err(Error::input("texts", "there is none"));
        }
        // Id 0 pads: nobody reads its rows.
        let ids =
            texts.iter().flat_map(|t| t.iter().copied().chain(std::iter::repeat_n(0, longest - t.len())));
        Ok(Self { ids: ids.collect(), lengths, longest })
    }

    /// Tokens of each text.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Tokens of the longest.
    pub fn longest(&self) -> usize {
        self.longest
    }
}

/// Names and shapes of the parameters that the encoder reads.
pub fn parameter_shapes(config: &BertConfig) -> Vec<(String, Vec<usize>)> {
    let (d, f) = (config.hidden_size, config.intermediate_size);
    let mut all: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![config.vocab_size, d]),
        ("embeddings.position_embeddings.weight".into(), vec![config.max_positions, d]),
        ("embeddings.token_type_embeddings.weight".into(), vec![config.segments, d]),
    ];
    let mut layer = |name: String, out: usize, inner: Option<usize>| {
        all.push((format!("{name}.weight"), [out].into_iter().chain(inner).collect()));
        all.push((format!("{name}.bias"), vec![out]));
    };
    layer("embeddings.LayerNorm".into(), d, None);
    for i in 0..config.layers {
        let of = |name: &str| format!("encoder.layer.{i}.{name}");
        for name in ["attention.self.query", "attention.self.key", "attention.self.value"] {
            layer(of(name), d, Some(d));
        }
        layer(of("attention.output.dense"), d, Some(d));
        layer(of("attention.output.LayerNorm"), d, None);
        layer(of("intermediate.dense"), f, Some(d));
        layer(of("output.dense"), d, Some(f));
        layer(of("output.LayerNorm"), d, None);
    }
    all
}

/// Adds an encoder's parameters under `prefix`. A checkpoint of a model with a head on top, whose names begin with
/// `bert.`, loads too, as do those of before 2019, whose norms have `gamma` and `beta`, and names with a wrapper around them
/// ([`WeightStore::unwrapped`]).
///
/// Returns the names of tensors that no one reads. Pooler, heads and tables of positions, which every such checkpoint may
/// have, are not listed.
///
/// # Errors
/// [`Error::Weight`] naming the tensor that is missing or has another shape, that is there twice, or that makes another
/// model: more layers than the configuration has, unknown tensors in a layer, scales of a form that is not read. Nothing
/// is added then.
pub fn load(
    parameters: &mut Parameters,
    prefix: &str,
    store: &WeightStore,
    config: &BertConfig,
) -> Result<Vec<String>> {
    let store = names::usual(store)?;
    let shapes = parameter_shapes(config);
    for (name, shape) in &shapes {
        store.require_float(name, shape)?;
    }
    let read = shapes.iter().map(|(name, _)| name.clone()).collect();
    let unread = names::unread(&store, &read, config)?;
    for (name, shape) in shapes {
        let values: HostTensor = store.load(&name, &shape)?;
        parameters.insert(format!("{prefix}{name}"), &values)?;
    }
    Ok(unread)
}

/// The last hidden state `(texts × longest, hidden_size)`; rows past a text's length hold what the padding became.
///
/// # Errors
/// [`Error::Input`] for heads that do not divide the width, a text longer than the position table, or an id past the
/// vocabulary.
pub fn encode(
    tape: &mut Tape,
    weights: &Weights,
    prefix: &str,
    config: &BertConfig,
    texts: &Texts,
) -> Result<Var> {
    let (heads, width) = (config.heads, config.hidden_size);
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(Error::input("BERT configuration", format!("{heads} heads do not divide {width}")));
    }
    let (batch, length) = (texts.lengths.len(), texts.longest);
    if length > config.max_positions {
        let reason = format!("{length} tokens; the position table has {}", config.max_positions);
        return Err(Error::input("text", reason));
    }
    if let Some(id) = texts.ids.iter().find(|&&id| id as usize >= config.vocab_size) {
        return Err(Error::input("token id", format!("{id}; the vocabulary has {}", config.vocab_size)));
    }
    let rows = batch * length;
    let of = |name: &str| format!("{prefix}{name}");
    let table = |name: &str| weights.var(&of(name));
    let words = RowMap::pick(config.vocab_size, texts.ids.iter().map(|&id| Some(id as usize)))?;
    let places = RowMap::pick(config.max_positions, (0..rows).map(|i| Some(i % length)))?;
    let segments = RowMap::pick(config.segments, (0..rows).map(|_| Some(0)))?;
    let word = tape.sum_rows(table("embeddings.word_embeddings.weight")?, &words)?;
    let place = tape.sum_rows(table("embeddings.position_embeddings.weight")?, &places)?;
    let segment = tape.sum_rows(table("embeddings.token_type_embeddings.weight")?, &segments)?;
    let x = tape.sum(&[&word, &segment, &place])?;
    let eps = config.eps;
    let mut x = weights.norm(tape, &x, &of("embeddings.LayerNorm"), eps)?;

    let head_dim = width / heads;
    let shape = AttentionShape { batch, heads, kv_heads: heads, seq_q: length, seq_kv: length, head_dim };
    let problem = AttentionProblem { key_lengths: true, ..AttentionProblem::new(shape) };
    let lengths: Vec<u32> = texts.lengths.iter().map(|&n| n as u32).collect();
    let tables = Tables::default().with_key_lengths(lengths).upload(x.tensor().context(), &problem)?;
    for i in 0..config.layers {
        let of = |name: &str| format!("{prefix}encoder.layer.{i}.{name}");
        let mut split =
            |name: &str| weights.linear(tape, &x, &of(name))?.reshape([batch, length, heads, head_dim]);
        let (q, k, v) =
            (split("attention.self.query")?, split("attention.self.key")?, split("attention.self.value")?);
        let o =
            tape.attend(&Attend::new(&problem, &q, &k, &v).with_tables(&tables))?.o.reshape([rows, width])?;
        let residual = LinearThen::Residual(&x);
        let sum = weights.linear_then(tape, &o, &of("attention.output.dense"), residual)?;
        x = weights.norm(tape, &sum, &of("attention.output.LayerNorm"), eps)?;
        let hidden = weights.linear_then(tape, &x, &of("intermediate.dense"), LinearThen::GeluErf)?;
        let residual = LinearThen::Residual(&x);
        let sum = weights.linear_then(tape, &hidden, &of("output.dense"), residual)?;
        x = weights.norm(tape, &sum, &of("output.LayerNorm"), eps)?;
    }
    Ok(x)
}
