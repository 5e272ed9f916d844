#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

/// As the hub has it for 3B.
const FLAT: &str = r#"{"architectures": ["Qwen2_5_VLForConditionalGeneration"], "attention_dropout": 0.0,
    "hidden_act": "silu", "hidden_size": 2048, "image_token_id": 151655, "intermediate_size": 11008,
    "max_position_embeddings": 128000, "max_window_layers": 70, "model_type": "qwen2_5_vl",
    "num_attention_heads": 16, "num_hidden_layers": 36, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_section": [16, 24, 24], "type": "mrope"}, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false,
    "video_token_id": 151656, "vision_config": {"depth": 32, "fullatt_block_indexes": [7, 15, 23, 31],
    "hidden_act": "silu", "hidden_size": 1280, "in_chans": 3, "intermediate_size": 3420,
    "num_heads": 16, "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2,
    "spatial_patch_size": 14, "temporal_patch_size": 2, "tokens_per_second": 2, "window_size": 112},
    "vision_end_token_id": 151653, "vision_start_token_id": 151652, "vocab_size": 151936}"#;

/// The same model as transformers 5 writes it.
const NESTED: &str = r#"{"model_type": "qwen2_5_vl", "image_token_id": 151655, "video_token_id": 151656,
    "vision_start_token_id": 151652, "vision_end_token_id": 151653, "tie_word_embeddings": true,
    "text_config": {"model_type": "qwen2_5_vl_text", "hidden_act": "silu", "hidden_size": 2048,
    "intermediate_size": 11008, "layer_types": ["full_attention", "full_attention"],
    "max_position_embeddings": 128000, "num_attention_heads": 16, "num_hidden_layers": 36,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "sliding_window": null,
    "rope_parameters": {"mrope_section": [16, 24, 24], "rope_theta": 1000000.0, "rope_type": "default",
    "type": "default"}, "use_sliding_window": false, "vocab_size": 151936},
    "vision_config": {"model_type": "qwen2_5_vl_vision", "depth": 32,
    "fullatt_block_indexes": [31, 7, 15, 23, 7], "hidden_act": "silu", "hidden_size": 1280,
    "in_channels": 3, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
    "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2,
    "window_size": 112}}"#;

fn parse(json: &str) -> Result<QwenVlConfig> {
    QwenVlConfig::from_bytes("config.json", json.as_bytes())
}

#[test]
fn both_generations_read_as_the_presets() {
    let preset = QwenVlConfig::qwen2_5_vl_3b();
    assert_eq!(parse(FLAT).unwrap(), preset);
    assert_eq!(parse(NESTED).unwrap(), preset);
    assert_eq!((preset.head_dim(), preset.vision.head_dim(), preset.vision.patch_values()), (128, 80, 1176));
    let seven = QwenVlConfig::qwen2_5_vl_7b();
    assert_eq!((seven.head_dim(), seven.vision.out_hidden_size, seven.tied), (128, 3584, false));
    assert_eq!(seven.vision.tokens([4, 10, 6]).unwrap(), 60);
    assert!(seven.vision.tokens([4, 9, 6]).is_err());
    // A file from between the generations carries both: the inner one counts, and ties there are found.
    let both =
        NESTED.replace("\"tie_word_embeddings\": true", "\"hidden_size\": 1, \"hidden_act\": \"gelu\"");
    assert!(!parse(&both).unwrap().tied);
    let inner = both.replace("\"vocab_size\"", "\"tie_word_embeddings\": true, \"vocab_size\"");
    assert_eq!(parse(&inner).unwrap(), preset);
}

#[test]
fn what_a_file_leaves_out_is_the_class_default() {
    let without = |key: &str| parse(&FLAT.replace(key, "\"unknown\"")).unwrap();
    assert_eq!(without("\"tokens_per_second\"").vision.tokens_per_second, 4);
    assert_eq!(without("\"window_size\"").vision, QwenVlConfig::qwen2_5_vl_3b().vision);
    assert_eq!(without("\"fullatt_block_indexes\"").vision.full_attention, [7, 15, 23, 31]);
    assert_eq!(without("\"rms_norm_eps\"").eps, 1e-5);
    assert_eq!(without("\"image_token_id\"").tokens, TOKENS);
    assert_eq!(without("\"num_key_value_heads\"").kv_heads, 16);
    assert!(!without("\"tie_word_embeddings\"").tied);
}

#[test]
fn refuses_by_name() {
    for (from, to, words) in [
        ("\"qwen2_5_vl\"", "\"qwen2_vl\"", "`model_type` is \"qwen2_vl\"; supported: qwen2_5_vl"),
        ("\"qwen2_5_vl\"", "\"qwen3_vl\"", "`model_type` is \"qwen3_vl\""),
        ("\"model_type\"", "\"other\"", "`model_type` is missing"),
        (
            "\"hidden_act\": \"silu\", \"hidden_size\": 2048",
            "\"hidden_act\": \"gelu\", \"hidden_size\": 2048",
            "`hidden_act`",
        ),
        (
            "\"hidden_act\": \"silu\", \"hidden_size\": 1280",
            "\"hidden_act\": \"quick_gelu\", \"hidden_size\": 1280",
            "`hidden_act`",
        ),
        ("\"use_sliding_window\": false", "\"use_sliding_window\": true", "`use_sliding_window`"),
        ("\"use_sliding_window\": false", "\"layer_types\": [\"sliding_attention\"]", "`layer_types`"),
        ("_attention_heads\": 16", "_attention_heads\": 15", "found 15 of `hidden_size` 2048"),
        ("_attention_heads\": 16", "_attention_heads\": 0", "`num_attention_heads`"),
        ("_attention_heads\": 16", "_attention_heads\": -16", "found -16"),
        ("_attention_heads\": 16", "_attention_heads\": \"16\"", "found \"16\""),
        ("_attention_heads\": 16", "_attention_heads\": 16.5", "found 16.5"),
        (
            "\"num_key_value_heads\": 2",
            "\"num_key_value_heads\": 3",
            "expected a divisor of 16 heads, found 3",
        ),
        ("\"num_key_value_heads\": 2", "\"head_dim\": 64", "`head_dim`: expected 128"),
        ("[16, 24, 24]", "[16, 24, 23]", "expected a sum of 64, half a head, found 63"),
        ("[16, 24, 24]", "[16, 48]", "`mrope_section`"),
        ("[16, 24, 24]", "[64, -1, 1]", "`mrope_section`"),
        ("\"mrope_section\"", "\"section\"", "`mrope_section` is missing"),
        ("\"mrope\"", "\"yarn\"", "`type` is \"yarn\""),
        ("\"rope_scaling\"", "\"scaling\"", "`rope_scaling` or `rope_parameters` is missing"),
        ("{\"mrope_section\": [16, 24, 24], \"type\": \"mrope\"}", "[1]", "rope_scaling"),
        ("\"rope_theta\": 1000000.0", "\"rope_theta\": 0", "`rope_theta`"),
        ("\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1e-06", "`rms_norm_eps`"),
        ("\"hidden_size\": 2048", "\"hidden_size\": 99999999999999999999", "`hidden_size`"),
        (
            "\"vocab_size\": 151936",
            "\"vocab_size\": 151655",
            "`image_token_id`: expected an id below `vocab_size` 151655",
        ),
        ("\"video_token_id\": 151656", "\"video_token_id\": 151655", "found 151655 twice"),
        ("\"image_token_id\": 151655", "\"image_token_id\": -1", "`image_token_id`"),
        ("\"vision_config\"", "\"tower\"", "`vision_config` is missing"),
        ("\"depth\": 32", "\"depth\": 31", "expected blocks below `depth` 31, found 31"),
        ("\"depth\": 32", "\"depth\": 0", "`depth`"),
        ("[7, 15, 23, 31]", "[7, -1]", "`fullatt_block_indexes`"),
        ("[7, 15, 23, 31]", "7", "`fullatt_block_indexes`"),
        ("\"hidden_size\": 1280", "\"hidden_size\": 1281", "found 16 of `hidden_size` 1281"),
        ("\"num_heads\": 16", "\"num_heads\": 128", "`num_heads`"),
        ("\"in_chans\": 3", "\"in_chans\": 4", "`in_chans`"),
        (
            "\"out_hidden_size\": 2048",
            "\"out_hidden_size\": 3584",
            "expected 2048, as `hidden_size` says, found 3584",
        ),
        ("\"spatial_patch_size\": 14", "\"spatial_patch_size\": 16", "`spatial_patch_size`: expected 14"),
        ("\"window_size\": 112", "\"window_size\": 100", "expected a multiple of 28"),
        ("\"window_size\": 112", "\"window_size\": 0", "`window_size`"),
        ("\"temporal_patch_size\": 2", "\"temporal_patch_size\": 0", "`temporal_patch_size`"),
        ("\"tokens_per_second\": 2", "\"tokens_per_second\": 0", "`tokens_per_second`"),
        ("\"tokens_per_second\": 2", "\"tokens_per_second\": NaN", "bad JSON"),
        ("\"num_hidden_layers\": 36", "\"num_hidden_layers\": null", "`num_hidden_layers` is missing"),
    ] {
        let changed = FLAT.replacen(from, to, 1);
        assert_ne!(changed, FLAT, "{from}");
        let error = parse(&changed).unwrap_err().to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
    let nested = |from: &str, to: &str| parse(&NESTED.replacen(from, to, 1)).unwrap_err().to_string();
    assert!(nested("\"qwen2_5_vl_text\"", "\"qwen3_vl_text\"").contains("`text_config`: `model_type`"));
    assert!(nested("\"depth\": 32", "\"depth\": \"x\"").contains("`vision_config`: `depth`"));
    assert!(
        nested("\"rope_type\": \"default\"", "\"rope_type\": \"dynamic\"")
            .contains("`rope_type` is \"dynamic\"")
    );
    for broken in
        ["", "[]", "{}", "{\"model_type\": 1}", "nul", "{\"model_type\": \"qwen2_5_vl\", \"text_config\": 3}"]
    {
        assert!(parse(broken).is_err(), "{broken}");
    }
}
