//! The small text-to-video model of the repository, packed in other ways.

use crate::files::{Scratch, Stored, Tensors, decoded, in_8_bits, read, renamed, write};
use foveal::models::umt5::Umt5Config;
use foveal::models::umt5::keys::{Umt5Format, Umt5Param};
use foveal::models::wan::keys::WanParam;
use foveal::models::wan::{WanConfig, WanFormat};
use foveal::pipelines::text_to_video::TextToVideo;
use foveal::{Context, ContextOptions, block_on};
use kernels_tests::root;
use safetensors::tensor::Dtype;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

const MODEL: &str = "models/tiny-wan";
const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";
const ENCODER: &str = "text_encoder/model.safetensors";

/// Two frames after two steps, by their bits.
fn clip(context: &Context, model: &Path, warnings: &[&str]) -> Vec<f32> {
    let pipeline = TextToVideo::open(context, model).unwrap_or_else(|e| panic!("{e}"));
    let found = pipeline.warnings();
    assert_eq!(found.len(), warnings.len(), "{found:?}");
    for (found, wanted) in found.iter().zip(warnings) {
        assert!(found.contains(wanted), "{found}");
    }
    let mut request = pipeline.request("a red square and a blue cross");
    request.size[0] = 2;
    request.steps = 2;
    block_on(pipeline.generate(&request, |_| ControlFlow::Continue(()))).unwrap().clip.data().to_vec()
}

fn bits(clip: &[f32]) -> Vec<u32> {
    clip.iter().map(|v| v.to_bits()).collect()
}

/// Every matrix of a file in 8-bit floats with its scale beside it, and the same numbers in f32.
fn scaled(tensors: &Tensors, scale_name: &str, prefix: &str) -> (Tensors, Tensors) {
    let (mut eight, mut plain) = (Tensors::new(), Tensors::new());
    eight.insert(
        format!("{prefix}scaled_fp8"),
        Stored { dtype: Dtype::F8_E4M3, shape: vec![0], bytes: Vec::new() },
    );
    for (number, (name, stored)) in tensors.iter().enumerate() {
        let layer = name.strip_suffix(".weight").filter(|_| stored.shape.len() == 2);
        let Some(layer) = layer else {
            eight.insert(format!("{prefix}{name}"), stored.clone());
            plain.insert(name.clone(), stored.clone());
            continue;
        };
        let (bits, scale, meant) = in_8_bits(stored);
        let shape: &[usize] = if number % 2 == 0 { &[] } else { &[1] };
        eight.insert(format!("{prefix}{name}"), bits);
        eight.insert(format!("{prefix}{layer}.{scale_name}"), Stored::f32(shape, &[scale]));
        eight.insert(format!("{prefix}{layer}.scale_input"), Stored::f32(&[1], &[1.0]));
        plain.insert(name.clone(), meant);
    }
    (eight, plain)
}

/// Writes tensors as shards that no index lists.
fn write_shards(folder: &Scratch, stem: &str, tensors: &Tensors) {
    for part in 0..3 {
        let of_part = tensors.iter().enumerate().filter(|(i, _)| i % 3 == part);
        let of_part = of_part.map(|(_, (name, stored))| (name.clone(), stored.clone())).collect();
        write(&folder.path(&format!("{stem}-{:05}-of-00003.safetensors", part + 1)), &of_part);
    }
}

/// Keys of the original code by those of the hubs.
fn original_names() -> BTreeMap<String, String> {
    let wan = WanConfig::open(root().join(MODEL).join("transformer")).unwrap();
    let wan =
        WanParam::all(&wan).into_iter().map(|p| (WanFormat::Diffusers.key(p), WanFormat::Original.key(p)));
    let t5 = Umt5Config::open(root().join(MODEL).join("text_encoder")).unwrap();
    let t5 = Umt5Param::all(&t5)
        .into_iter()
        .map(|p| (Umt5Format::HuggingFace.key(p), Umt5Format::Original.key(p)));
    wan.chain(t5).collect()
}

/// The original repository's folder with the small model in it, without a VAE.
pub(crate) fn original_folder(tag: &str) -> Scratch {
    let (folder, from, names) = (Scratch::new(tag), root().join(MODEL), original_names());
    folder.put(
        "config.json",
        r#"{"_class_name": "WanModel", "model_type": "t2v", "dim": 128, "ffn_dim": 512, "freq_dim": 128, "in_dim": 3, "num_heads": 4,
            "num_layers": 5, "out_dim": 3, "text_dim": 64, "text_len": 16, "eps": 1e-06}"#,
    );
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        folder.put(
            &format!("google/umt5-xxl/{name}"),
            std::fs::read(from.join("tokenizer").join(name)).unwrap(),
        );
    }
    for name in ["foveal.json", "scheduler/scheduler_config.json"] {
        folder.put(name, std::fs::read(from.join(name)).unwrap());
    }
    let rename = |name: &str| names.get(name).cloned().unwrap_or_else(|| panic!("{name}"));
    let transformer = renamed(&read(&from.join(TRANSFORMER)), rename);
    write(&folder.path("diffusion_pytorch_model.safetensors"), &transformer);
    let mut encoder = read(&from.join(ENCODER));
    encoder.remove("encoder.embed_tokens.weight");
    write(&folder.path("models_t5_umt5-xxl-enc-bf16.safetensors"), &renamed(&encoder, rename));
    folder
}

#[test]
fn the_same_weights_in_any_packing_make_the_same_clip() {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    let from = root().join(MODEL);
    let expected = bits(&clip(&context, &from, &[]));
    let same = |folder: &Scratch, file: &str, warnings: &[&str]| {
        assert_eq!(bits(&clip(&context, &folder.path(file), warnings)), expected, "{}", folder.0.display());
    };
    let (transformer, encoder) = (read(&from.join(TRANSFORMER)), read(&from.join(ENCODER)));

    // A file of the transformer stands for the folder that it lies in, wherever in it.
    let folder = Scratch::copy_of("file", MODEL);
    same(&folder, TRANSFORMER, &[]);
    folder.put("._model_index.json", "x").put("transformer/._diffusion_pytorch_model.safetensors", "x");
    same(&folder, ".", &[]);
    write(&folder.path("tuned.safetensors"), &transformer);
    folder.remove(TRANSFORMER);
    same(&folder, "tuned.safetensors", &[]);

    // Wrapped, and with a tensor that nobody reads.
    for (i, prefix) in ["model.diffusion_model.", "module._orig_mod."].iter().enumerate() {
        let folder = Scratch::copy_of(&format!("wrapped-{i}"), MODEL);
        let mut wrapped = renamed(&transformer, |name| format!("{prefix}{name}"));
        wrapped.insert("fps_embedding.weight".into(), Stored::f32(&[2], &[1.0, 2.0]));
        write(&folder.path(TRANSFORMER), &wrapped);
        write(&folder.path(ENCODER), &renamed(&encoder, |name| format!("module.{name}")));
        same(&folder, ".", &["transformer: 1 tensor is in the file and not read: `fps_embedding.weight`"]);
    }

    // Shards without an index, and one of them in f32.
    let folder = Scratch::copy_of("shards", MODEL);
    folder.remove(TRANSFORMER).remove(ENCODER);
    let mut mixed = transformer.clone();
    for stored in mixed.values_mut().take(20) {
        *stored = Stored::f32(&stored.shape, &stored.values());
    }
    write_shards(&folder, "transformer/diffusion_pytorch_model", &mixed);
    write_shards(&folder, "text_encoder/model", &encoder);
    same(&folder, ".", &[]);
}

#[test]
fn the_original_repositorys_folder_is_read() {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    let expected = clip(&context, &root().join(MODEL), &[]);
    let folder = original_folder("original");
    let found = clip(&context, &folder.0, &[]);
    // The two code bases compute a timestep's sinusoid in f32 and in f64: 1.9e-5 apart in values of order one on llvmpipe,
    // with room for another driver's sines.
    let furthest = found.iter().zip(&expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(furthest > 0.0 && furthest < 2e-4, "{furthest}");
    // The same from its transformer's file, from one by another name, and from shards.
    let again =
        |file: &str| assert_eq!(bits(&clip(&context, &folder.path(file), &[])), bits(&found), "{file}");
    again("diffusion_pytorch_model.safetensors");
    let transformer = read(&folder.path("diffusion_pytorch_model.safetensors"));
    folder.remove("diffusion_pytorch_model.safetensors");
    write(&folder.path("wan_small.safetensors"), &renamed(&transformer, |k| format!("diffusion_model.{k}")));
    again(".");
    folder.remove("wan_small.safetensors");
    write_shards(&folder, "diffusion_pytorch_model", &transformer);
    again(".");
}

#[test]
fn weights_in_8_bits_are_the_numbers_that_they_stand_for() {
    let context = block_on(Context::new(ContextOptions::default())).unwrap();
    let from = root().join(MODEL);
    let (transformer, encoder) = (read(&from.join(TRANSFORMER)), read(&from.join(ENCODER)));
    let (eight, plain) = (Scratch::copy_of("eight", MODEL), Scratch::copy_of("plain", MODEL));
    let (bits_of, meant) = scaled(&transformer, "scale_weight", "model.diffusion_model.");
    write(&eight.path(TRANSFORMER), &bits_of);
    write(&plain.path(TRANSFORMER), &meant);
    let (mut bits_of, meant) = scaled(&encoder, "weight_scale", "");
    bits_of.insert("spiece_model".into(), Stored { dtype: Dtype::U8, shape: vec![3], bytes: vec![1, 2, 3] });
    write(&eight.path(ENCODER), &bits_of);
    write(&plain.path(ENCODER), &meant);
    let found = clip(&context, &eight.0, &[]);
    assert_eq!(bits(&found), bits(&clip(&context, &plain.0, &[])));
    // It is the same model still, and not the same numbers.
    let expected = clip(&context, &from, &[]);
    assert_ne!(bits(&found), bits(&expected));
    let squares =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>();
    let off = squares(&found, &expected) / squares(&expected, &vec![0.0; expected.len()]);
    // E4M3 rounds each weight by at most a sixteenth of itself; what is drawn moved by 0.0011 of its energy.
    assert!(off < 0.005, "{off}");

    // Plain 8-bit floats have no scale and no mark.
    let name = "blocks.0.attn1.to_q.weight";
    let (mut as_bits, mut as_floats) = (transformer.clone(), transformer);
    let (bits_of, ..) = in_8_bits(&as_bits[name]);
    // Under no scale they are far too large for this model, and the same in both files.
    as_floats.insert(name.into(), Stored::f32(&bits_of.shape, &decoded(&bits_of.bytes)));
    as_bits.insert(name.into(), bits_of);
    let folder = Scratch::copy_of("unscaled", MODEL);
    write(&folder.path(TRANSFORMER), &as_bits);
    let found = clip(&context, &folder.0, &[]);
    write(&folder.path(TRANSFORMER), &as_floats);
    assert_eq!(bits(&found), bits(&clip(&context, &folder.0, &[])));
}
