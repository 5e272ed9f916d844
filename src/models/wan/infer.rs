//! Sizes of a transformer whose file came without a configuration.

use super::config::WanConfig;
use super::keys::{BlockParam, Part, WanParam, recognise};
use crate::weights::{ConfigFile, WeightStore};
use crate::{Error, Result};

/// Width, feed-forward width, blocks and heads of the released text-to-video models: 1.3B and 14B. Nothing in a file says
/// how many heads there are.
const RELEASED: [[usize; 4]; 2] = [[1536, 8960, 30, 12], [5120, 13_824, 40, 40]];

impl WanConfig {
    /// The configuration of a released Wan 2.1 text-to-video model, told by the sizes of its tensors. Names may be either
    /// code base's, in any wrapper.
    ///
    /// # Errors
    /// [`Error::Weight`] for what is no Wan transformer; [`Error::File`] for other sizes than the released ones, since
    /// the number of heads is then anyone's guess.
    pub fn infer(store: &WeightStore) -> Result<Self> {
        let (store, format) = recognise(store)?;
        let refuse = |reason: String| Err(Error::file(store.path(), reason));
        let shape = |param| store.shape(&format.key(param)).map(|shape| shape.dims().to_vec());
        let (patch, ffn) = (
            shape(WanParam::PatchEmbedding(Part::Weight))?,
            shape(WanParam::Block(0, BlockParam::FfnUp(Part::Weight)))?,
        );
        let layers =
            (0..).find(|&i| !store.contains(&format.key(WanParam::Block(i, BlockParam::Modulation))));
        let layers = layers.unwrap_or(0);
        let (&[dim, in_dim, frames, rows, columns], &[ffn_dim, _]) = (patch.as_slice(), ffn.as_slice())
        else {
            return refuse(format!("not a Wan transformer: a patch embedding of shape {patch:?}"));
        };
        let Some([.., heads]) = RELEASED.iter().find(|known| known[..3] == [dim, ffn_dim, layers]) else {
            return refuse(format!(
                "width {dim}, feed-forward {ffn_dim}, {layers} blocks: not a released size, so the number of heads is \
                 not known; put the model's config.json (`num_heads` or `num_attention_heads`) into its folder"
            ));
        };
        let last = |param| shape(param).map(|dims| dims.last().copied().unwrap_or(0));
        let head = shape(WanParam::Head(Part::Bias))?.first().copied().unwrap_or(0);
        let json = serde_json::json!({
            "dim": dim, "ffn_dim": ffn_dim, "num_layers": layers, "num_heads": heads, "in_dim": in_dim,
            "out_dim": head / frames.saturating_mul(rows).saturating_mul(columns).max(1), "patch_size": [frames, rows, columns],
            "freq_dim": last(WanParam::TimeIn(Part::Weight))?, "text_dim": last(WanParam::TextIn(Part::Weight))?,
        });
        Self::from_config(&ConfigFile::from_value(store.path(), json)?)
    }
}
