//! What a BERT's tensors are called in the files of hubs.

use std::collections::BTreeSet;

use super::BertConfig;
use crate::Result;
use crate::weights::WeightStore;

/// The file under the names that an encoder alone has today.
///
/// # Errors
/// [`crate::Error::Weight`] where two tensors have one name then.
pub(super) fn usual(store: &WeightStore) -> Result<WeightStore> {
    store.unwrapped()?.renamed(|name| {
        let name = name.strip_prefix("bert.").unwrap_or(name);
        match name.rsplit_once(".LayerNorm.") {
            Some((at, "gamma")) => format!("{at}.LayerNorm.weight"),
            Some((at, "beta")) => format!("{at}.LayerNorm.bias"),
            _ => name.to_owned(),
        }
    })
}

/// What stands on top of an encoder, or can be computed.
const EXPECTED: [&str; 7] = [
    "cls.",
    "pooler.",
    "classifier.",
    "qa_outputs.",
    "lm_head.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
];

/// Names of what nobody reads, without what is expected.
///
/// # Errors
/// [`crate::Error::Weight`] for a tensor that the encoder would compute something with.
pub(super) fn unread(
    store: &WeightStore,
    read: &BTreeSet<String>,
    config: &BertConfig,
) -> Result<Vec<String>> {
    let expected = |name: &str| EXPECTED.iter().any(|start| name.starts_with(start));
    let inside = |name: &str| name.starts_with("encoder.") || name.starts_with("embeddings.");
    store.unread(read, expected, inside, || {
        format!(
            "nothing that an encoder of {} layers (`num_hidden_layers`) has: the file and config.json do not belong together, \
             or it is a variant of the model that is not supported",
            config.layers
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::parameter_shapes;
    use super::*;
    use crate::weights::ConfigFile;

    fn config() -> BertConfig {
        let json = br#"{"model_type": "bert", "hidden_act": "gelu", "hidden_size": 8, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 7}"#;
        BertConfig::from_config(&ConfigFile::from_bytes("config.json", json).unwrap()).unwrap()
    }

    /// Every tensor under a name that `rename` makes, and more; what is missing, and what nobody reads.
    fn read(rename: impl Fn(&str) -> String, more: &[&str]) -> Result<Vec<String>> {
        let shapes = parameter_shapes(&config());
        let named = shapes.iter().map(|(name, shape)| (rename(name), shape.clone()));
        let more = more.iter().map(|name| ((*name).to_owned(), vec![1, 512]));
        let store = usual(&WeightStore::zeros("model.safetensors", named.chain(more)))?;
        for (name, shape) in &shapes {
            store.require_shape(name, shape)?;
        }
        unread(&store, &shapes.into_iter().map(|(name, _)| name).collect(), &config())
    }

    /// As bert-base-uncased is published.
    fn old(name: &str) -> String {
        let name =
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        format!("bert.{name}")
    }

    #[test]
    fn names_of_hubs_are_read() {
        let heads = [
            "cls.predictions.bias",
            "cls.predictions.transform.LayerNorm.gamma",
            "cls.seq_relationship.weight",
            "bert.pooler.dense.weight",
            "bert.embeddings.position_ids",
        ];
        assert_eq!(read(old, &heads).unwrap(), [""; 0]);
        let pooler = ["pooler.dense.bias", "embeddings.position_ids"];
        assert_eq!(read(str::to_owned, &pooler).unwrap(), [""; 0]);
        assert_eq!(read(|name| format!("module.bert.{name}"), &["classifier.weight"]).unwrap(), [""; 0]);
        assert_eq!(read(str::to_owned, &["dense.weight"]).unwrap(), ["dense.weight"]);
    }

    #[test]
    fn what_makes_another_model_is_refused_by_its_name_in_the_file() {
        for (more, wanted) in [
            ("bert.encoder.layer.2.output.dense.bias", "2 layers"),
            ("bert.encoder.layer.0.attention.self.query.lora_A.weight", "a variant"),
            ("bert.embeddings.norm.weight", "a variant"),
            ("embeddings.LayerNorm.weight", "keep one"),
            ("embeddings.LayerNorm.beta", "keep one"),
        ] {
            let text = read(old, &[more]).unwrap_err().to_string();
            assert!(text.contains(more) && text.contains(wanted), "{more}: {text}");
        }
        let text =
            read(|name| old(name).replace(".LayerNorm.beta", ".LayerNorm.b"), &[]).unwrap_err().to_string();
        assert!(text.contains("LayerNorm.bias`: missing"), "{text}");
    }
}
