//! Sizes of an encoder whose file came without a configuration, as the original code's does.

use super::config::Umt5Config;
use super::keys::{Umt5BlockParam, Umt5Param, embedding_key, recognise};
use crate::weights::{ConfigFile, WeightStore};
use crate::{Error, Result};

impl Umt5Config {
    /// The configuration of a UMT5 encoder, told by the sizes of its tensors. What they do not say, the largest distance and
    /// the norms' epsilon, is the same in all of them.
    ///
    /// # Errors
    /// [`Error::Weight`] for what is no UMT5 encoder; [`Error::File`] for sizes that make no encoder.
    pub fn infer(store: &WeightStore) -> Result<Self> {
        let (store, format) = recognise(store)?;
        let pair = |key: String| {
            let shape = store.shape(&key)?;
            match *shape.dims() {
                [rows, columns] => Ok((rows, columns)),
                _ => {
                    Err(Error::file(store.path(), format!("not a UMT5 encoder: `{key}` is of shape {shape}")))
                }
            }
        };
        let of_block = |param| pair(format.key(Umt5Param::Block(0, param)));
        let norm = |block| format.key(Umt5Param::Block(block, Umt5BlockParam::AttentionNorm));
        let (vocab_size, d_model) = pair(embedding_key(&store, format))?;
        let (num_buckets, num_heads) = of_block(Umt5BlockParam::PositionBias)?;
        let json = serde_json::json!({
            "vocab_size": vocab_size, "d_model": d_model, "num_buckets": num_buckets, "num_heads": num_heads,
            "d_attn": of_block(Umt5BlockParam::Q)?.0, "d_ff": of_block(Umt5BlockParam::FfnUp)?.0,
            "num_layers": (0..).find(|&i| !store.contains(&norm(i))).unwrap_or(0),
        });
        Self::from_config(&ConfigFile::from_value(store.path(), json)?)
    }
}
