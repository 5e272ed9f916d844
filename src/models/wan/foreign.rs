//! Tensors of a checkpoint that Wan's text-to-video transformer does not have: some change what the model computes, and
//! are refused by name; the rest is listed.

use std::collections::BTreeSet;

use super::config::WanConfig;
use crate::Result;
use crate::weights::WeightStore;

/// Beginnings of a part of a name, and the model that has such layers.
const FAMILIES: [(&[&str], &str); 6] = [
    (
        &[
            "img_emb",
            "k_img",
            "v_img",
            "norm_k_img",
            "image_embedder",
            "add_k_proj",
            "add_v_proj",
            "norm_added_",
        ],
        "image conditioning (image to video)",
    ),
    (&["vace_"], "VACE, which edits and fills in video"),
    (&["audio_", "casual_audio_"], "a model that is driven by sound"),
    (
        &["face_adapter", "face_encoder", "motion_encoder", "pose_patch_embedding"],
        "a model that animates a figure",
    ),
    (&["control_adapter", "cam_encoder", "ref_conv"], "a model that is steered by a camera or a reference"),
    (&["lora_", "hada_", "lokr_", "dora_", "base_layer", "diff_b"], LORA),
];
const LORA: &str =
    "a LoRA, which changes a model's weights: merge it into the transformer, and take that file";

fn family(name: &str) -> Option<&'static str> {
    let has = |mark: &str| name.split('.').any(|part| part.starts_with(mark));
    FAMILIES.iter().find(|(marks, _)| marks.iter().any(|mark| has(mark))).map(|(_, what)| *what)
}

/// The number of the block that a parameter belongs to.
fn block(name: &str) -> Option<usize> {
    name.strip_prefix("blocks.")?.split('.').next()?.parse().ok()
}

/// Whether the file is an addition to a model and no model.
pub(super) fn is_lora(store: &WeightStore) -> bool {
    store.names().any(|name| family(name) == Some(LORA))
}

/// Refuses layers of other models, and blocks beyond those of the configuration.
///
/// # Errors
/// [`crate::Error::Weight`] naming the first.
pub(super) fn require_none(store: &WeightStore, config: &WanConfig) -> Result<()> {
    for name in store.names() {
        if let Some(what) = family(name) {
            return Err(store.refusal(name, format!("it belongs to {what}; text to video is supported")));
        }
        if let Some(number) = block(name).filter(|number| *number >= config.num_layers) {
            let layers = config.num_layers;
            let reason =
                format!("block {number}, and the configuration has {layers} (`num_layers`): another model's");
            return Err(store.refusal(name, reason));
        }
    }
    Ok(())
}

/// What is left when the parameters have been read.
///
/// # Errors
/// [`crate::Error::Weight`] for a tensor inside a block: the model would compute something with it.
pub(super) fn unread(store: &WeightStore, read: &BTreeSet<String>) -> Result<Vec<String>> {
    // Tables of rotary angles, which are computed here.
    let computed = |name: &str| name == "freqs" || name.starts_with("rope.");
    store.unread(read, computed, |name| block(name).is_some(), || {
        "no layer of a block by its configuration: the file and config.json do not belong together, or it is a variant of the \
         model that is not supported"
            .into()
    })
}
