//! A real encoder against transformers, in the folder that `FOVEAL_MINILM` names: 91 MB that are not part of the repository.
//! Run by name only; `cargo xtask test --ci` downloads them and does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::models::dashfusion::DashFusionConfig;
use foveal::pipelines::sentiment::metrics::Convention;
use foveal::pipelines::sentiment::{Description, SentimentModel};
use kernels_tests::golden::new_context;
use kernels_tests::{root, tiny_dashfusion};
use std::path::PathBuf;

#[test]
fn a_real_bert_gives_what_transformers_gives() {
    let context = new_context().unwrap();
    let config = DashFusionConfig { text_width: 384, ..tiny_dashfusion() };
    let description = Description::new(config, Convention::Mosi, [-3.0, 3.0]);
    let folder = PathBuf::from(
        std::env::var_os("FOVEAL_MINILM").unwrap_or_else(|| panic!("FOVEAL_MINILM names no folder")),
    );
    let model = SentimentModel::fresh(&context, description, &folder, 1).unwrap();
    let oracle = std::fs::read(root().join("kernels-tests/training/minilm_oracle.json")).unwrap();
    let oracle: serde_json::Value = serde_json::from_slice(&oracle).unwrap();
    // An empty text is refused before it comes to the encoder.
    let told = |c: &&serde_json::Value| c["text"] != "";
    let cases: Vec<&serde_json::Value> = oracle["cases"].as_array().unwrap().iter().filter(told).collect();
    assert!(cases.len() >= 4);
    let tokens: Vec<Vec<u32>> =
        cases.iter().map(|c| model.tokens(c["text"].as_str().unwrap()).unwrap()).collect();
    let hidden = block_on(model.hidden(&model.parameters.constants(), &tokens)).unwrap();
    for ((case, ids), hidden) in cases.iter().zip(&tokens).zip(&hidden) {
        let expected: Vec<u64> =
            case["ids"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
        assert_eq!(ids.iter().map(|&id| u64::from(id)).collect::<Vec<_>>(), expected);
        let near = |values: &[f32], expected: &serde_json::Value| {
            for (found, expected) in values.iter().zip(expected.as_array().unwrap()) {
                let expected = expected.as_f64().unwrap();
                // Six layers in f32, values of order one.
                assert!((f64::from(*found) - expected).abs() < 2e-5, "{found}, not {expected}");
            }
        };
        for (row, expected) in hidden.chunks(384).zip(case["first_rows"].as_array().unwrap()) {
            near(row, expected);
        }
        near(hidden.chunks(384).next_back().unwrap(), &case["last_row"]);
        let norm = hidden.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        assert!((norm / case["norm"].as_f64().unwrap() - 1.0).abs() < 1e-5);
    }
}
