//! The text encoder of sentiment, as hubs have it.

use crate::files::{Scratch, Stored, Tensors, read, renamed, write};
use foveal::pipelines::sentiment::metrics::Convention;
use foveal::pipelines::sentiment::{Description, SentimentModel};
use foveal::{Context, ContextOptions, Result, block_on};
use kernels_tests::tiny_dashfusion;
use std::path::Path;

const MODEL: &str = "kernels-tests/golden/bert_encode_tiny/model";
const WEIGHTS: &str = "model.safetensors";

fn open(context: &Context, folder: &Path) -> Result<SentimentModel> {
    let description = Description::new(tiny_dashfusion(), Convention::Mosi, [-3.0, 3.0]);
    SentimentModel::fresh(context, description, folder, 3)
}

/// Hidden states of a text, by their bits.
fn hidden(model: &SentimentModel) -> Vec<u32> {
    let ids = model.tokens("The film had a superb soundtrack, but bad acting?").unwrap();
    assert_eq!((ids.first(), ids.last()), (Some(&2), Some(&3)), "{ids:?}");
    let found = block_on(model.hidden(&model.parameters.constants(), &[ids])).unwrap();
    found[0].iter().map(|v| v.to_bits()).collect()
}

/// As bert-base-uncased is published: under `bert.`, norms with gamma and beta, heads of pretraining on top.
fn published(tensors: &Tensors) -> Tensors {
    let old = |name: &str| {
        format!(
            "bert.{}",
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        )
    };
    let mut all = renamed(tensors, old);
    for name in [
        "bert.pooler.dense.bias",
        "cls.predictions.bias",
        "cls.predictions.transform.LayerNorm.beta",
        "cls.predictions.transform.LayerNorm.gamma",
        "cls.seq_relationship.weight",
        "bert.embeddings.position_ids",
    ] {
        all.insert(name.into(), Stored::f32(&[1, 2], &[0.0, 1.0]));
    }
    all
}

#[test]
fn a_bert_of_any_hub_gives_the_same_states() {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    let folder = Scratch::copy_of("bert", MODEL);
    let tensors = read(&folder.path(WEIGHTS));
    let expected = hidden(&open(&context, &folder.0).unwrap());
    let same = |folder: &Scratch, what: &str| {
        let model = open(&context, &folder.0).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(model.warnings(), [""; 0], "{what}");
        assert_eq!(hidden(&model), expected, "{what}");
        model
    };

    folder.edit("config.json", "\"model_type\"", "\"architectures\": [\"BertForMaskedLM\"], \"model_type\"");
    write(&folder.path(WEIGHTS), &published(&tensors));
    same(&folder, "bert-base-uncased");
    folder.put("tokenizer_config.json", r#"{"do_lower_case": true}"#);
    same(&folder, "do_lower_case alone");
    folder.remove("tokenizer_config.json");
    same(&folder, "no tokenizer_config.json");
    folder.put("._model.safetensors", "x").put("pytorch_model.bin", "x");
    same(&folder, "other files beside it");
    write(&folder.path(WEIGHTS), &renamed(&tensors, |name| format!("module.bert.{name}")));
    same(&folder, "module.");

    // A vocabulary, and shards: what is saved has all that opens it again.
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path("tokenizer.json")).unwrap()).unwrap();
    let mut lines: Vec<(u64, &String)> =
        json["model"]["vocab"].as_object().unwrap().iter().map(|(t, id)| (id.as_u64().unwrap(), t)).collect();
    lines.sort();
    let lines: Vec<&str> = lines.into_iter().map(|(_, token)| token.as_str()).collect();
    folder.remove("tokenizer.json").remove(WEIGHTS).put("vocab.txt", lines.join("\n"));
    let (first, second) = tensors.iter().partition::<Vec<_>, _>(|(name, _)| name.contains("layer.0"));
    for (part, number) in [(first, 1), (second, 2)] {
        let part = part.into_iter().map(|(name, stored)| (name.clone(), stored.clone())).collect();
        write(&folder.path(&format!("model-{number:05}-of-00002.safetensors")), &part);
    }
    let model = same(&folder, "a vocabulary and shards");
    let saved = Scratch::new("saved");
    block_on(model.save(&saved.0, false)).unwrap();
    assert_eq!(hidden(&SentimentModel::open(&context, &saved.0).unwrap()), expected);
}

#[test]
fn a_bert_that_cannot_be_read_says_why() {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    let folder = Scratch::copy_of("bert-refused", MODEL);
    let tensors = published(&read(&folder.path(WEIGHTS)));
    let text = || open(&context, &folder.0).map(drop).unwrap_err().to_string();
    let mut more = tensors.clone();
    more.insert("bert.embeddings.LayerNorm.weight".into(), more["bert.embeddings.LayerNorm.gamma"].clone());
    write(&folder.path(WEIGHTS), &more);
    assert!(text().contains("`bert.embeddings.LayerNorm.gamma` is here too"), "{}", text());
    let mut more = tensors.clone();
    more.insert("bert.encoder.layer.2.output.dense.bias".into(), Stored::f32(&[32], &[0.0; 32]));
    more.insert("retriever.weight".into(), Stored::f32(&[1], &[0.0]));
    write(&folder.path(WEIGHTS), &more);
    assert!(text().contains("`bert.encoder.layer.2.output.dense.bias`"), "{}", text());
    more.remove("bert.encoder.layer.2.output.dense.bias");
    write(&folder.path(WEIGHTS), &more);
    assert!(open(&context, &folder.0).unwrap().warnings()[0].contains("`retriever.weight`"));
    folder.remove(WEIGHTS).put("pytorch_model.bin", "PK");
    assert!(text().contains("torch.load('pytorch_model.bin'") && text().contains("'model.safetensors'"));
    folder.remove("tokenizer.json").put("tokenizer.model", "x");
    assert!(text().contains("`tokenizer.model` is not read"), "{}", text());
}
