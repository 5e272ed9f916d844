//! What cannot be run, told by the name of what is in the way.

use crate::files::{Scratch, Stored, read, write};
use crate::wan::original_folder;
use foveal::pipelines::text_to_video::TextToVideo;
use foveal::{Caps, Context, ContextOptions, Error};
use safetensors::tensor::Dtype;
use std::path::Path;

const MODEL: &str = "models/tiny-wan";
const INDEX: &str = "model_index.json";
const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";

/// What is said of a folder; no device is needed for that.
fn refusal(path: &Path) -> String {
    let context = Context::plan(Caps::webgpu_default(), ContextOptions::default());
    match TextToVideo::open(&context, path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error @ (Error::File { .. } | Error::Weight { .. } | Error::Io { .. })) => error.to_string(),
        Err(error) => panic!("{error:?}"),
    }
}

/// A copy of the small model's folder, changed, that has no weights: none are read before the refusal.
fn changed(file: &str, from: &str, to: &str) -> String {
    let folder = Scratch::copy_of("changed", MODEL);
    folder.remove(TRANSFORMER).remove("text_encoder/model.safetensors").edit(file, from, to);
    refusal(&folder.0)
}

#[test]
fn folders_of_other_pipelines_say_what_they_are() {
    for (class, what) in [
        ("WanImageToVideoPipeline", "starts from an image"),
        ("WanVideoToVideoPipeline", "starts from a video"),
        ("WanVACEPipeline", "edits and fills in video"),
        ("WanAnimatePipeline", "animates a figure"),
        ("StableDiffusionPipeline", "makes images"),
        ("SomethingPipeline", "is another model"),
    ] {
        let text = changed(INDEX, "\"WanPipeline\"", &format!("\"{class}\""));
        assert!(text.contains(INDEX) && text.contains(class) && text.contains(what), "{text}");
    }
    let component = |name: &str, class: &str| {
        let entry = format!("\"{name}\": [\"diffusers\", \"{class}\"], \"vae\": [");
        changed(INDEX, "\"vae\": [", &entry)
    };
    for (text, wanted) in [
        (component("image_encoder", "CLIPVisionModel"), "`image_encoder` (CLIPVisionModel)"),
        (
            changed(INDEX, "\"transformer_2\": [\n    null", "\"transformer_2\": [\n    \"diffusers\""),
            "Wan 2.2",
        ),
        (changed(INDEX, "\"vae\": [", "\"boundary_ratio\": 0.875, \"vae\": ["), "`boundary_ratio`"),
        (changed(INDEX, "\"vae\": [", "\"expand_timesteps\": true, \"vae\": ["), "`expand_timesteps`"),
        (changed(INDEX, "UMT5EncoderModel", "T5EncoderModel"), "`text_encoder` is \"T5EncoderModel\""),
        (changed(INDEX, "WanTransformer3DModel", "WanVACETransformer3DModel"), "`transformer` is \"WanVACE"),
        (changed(INDEX, "\"vae\": [\n    null", "\"vae\": [\n    \"diffusers\""), "the folder has a VAE"),
    ] {
        assert!(text.contains(INDEX) && text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn what_files_state_twice_has_to_agree() {
    let text = changed("foveal.json", "\"text_len\": 16", "\"text_len\": 17");
    assert!(
        text.contains("foveal.json: `text_len` is 17") && text.contains("tokenizer_config.json is 16"),
        "{text}"
    );
    let text = changed("transformer/config.json", "\"text_dim\": 64", "\"text_dim\": 64, \"text_len\": 512");
    assert!(text.contains("config.json: `text_len` is 512") && text.contains("foveal.json is 16"), "{text}");
    let text = changed("scheduler/scheduler_config.json", "\"flow_shift\": 3.0", "\"flow_shift\": 5.0");
    assert!(
        text.contains("foveal.json: `shift` is 3") && text.contains("scheduler_config.json says 5"),
        "{text}"
    );
    let text = changed("scheduler/scheduler_config.json", "UniPCMultistep", "DPMSolverMultistep");
    assert!(text.contains("scheduler_config.json") && text.contains("DPMSolverMultistepScheduler"), "{text}");
}

#[test]
fn the_original_repository_as_it_is_published_says_all_that_is_in_the_way() {
    let folder = original_folder("published");
    folder.remove("models_t5_umt5-xxl-enc-bf16.safetensors");
    folder.put("models_t5_umt5-xxl-enc-bf16.pth", "x").put("Wan2.1_VAE.pth", "x");
    for path in [folder.0.clone(), folder.path("diffusion_pytorch_model.safetensors")] {
        let text = refusal(&path);
        for wanted in [
            "`Wan2.1_VAE.pth`: the folder has a VAE",
            "torch.load('models_t5_umt5-xxl-enc-bf16.pth'",
            "is not read",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
    folder.remove("Wan2.1_VAE.pth").remove("google");
    let text = refusal(&folder.0);
    assert!(
        text.contains("umt5-xxl-enc-bf16.pth") && text.contains("google/umt5-xxl/tokenizer.json"),
        "{text}"
    );
    assert!(refusal(&folder.path("models_t5_umt5-xxl-enc-bf16.pth")).contains("a PyTorch checkpoint"));
    folder.remove("models_t5_umt5-xxl-enc-bf16.pth");
    assert!(refusal(&folder.0).contains("no text encoder"));
    // Another model is another model first of all.
    folder.edit("config.json", "t2v", "i2v");
    let text = refusal(&folder.0);
    assert!(text.contains("`model_type` is \"i2v\""), "{text}");
    folder.remove("config.json");
    let text = refusal(&folder.0);
    assert!(text.contains("neither model_index.json") && text.contains("config.json"), "{text}");
    folder.put("high_noise_model/config.json", "{}");
    assert!(refusal(&folder.0).contains("Wan 2.2"));
}

#[test]
fn a_file_without_a_configuration_says_which_one_it_needs() {
    let folder = original_folder("alone");
    folder.remove("config.json");
    let text = refusal(&folder.path("diffusion_pytorch_model.safetensors"));
    for wanted in ["width 128, feed-forward 512, 5 blocks", "config.json", "num_heads"] {
        assert!(text.contains(wanted), "{text}");
    }
    let file = std::fs::read(folder.path("diffusion_pytorch_model.safetensors")).unwrap();
    let alone = Scratch::new("quite-alone");
    alone.put("wan.safetensors", file);
    let text = refusal(&alone.path("wan.safetensors"));
    assert!(text.contains("no text encoder") && text.contains("no tokenizer"), "{text}");
}

#[test]
fn weights_of_another_model_are_refused_by_their_tensor() {
    let folder = Scratch::copy_of("weights", MODEL);
    let tensors = read(&folder.path(TRANSFORMER));
    for (name, wanted) in [
        ("blocks.5.scale_shift_table", "block 5, and the configuration has 5"),
        ("blocks.0.attn2.add_k_proj.weight", "image to video"),
        ("vace_blocks.0.proj_out.weight", "VACE"),
        ("blocks.0.attn1.to_q.lora_A.weight", "a LoRA"),
        ("blocks.0.attn1.to_q.weight_scale_inv", "in a form that is not read"),
        ("module.proj_out.weight", "is here too, and both are `proj_out.weight`"),
    ] {
        let mut more = tensors.clone();
        more.insert(name.into(), Stored::f32(&[1], &[1.0]));
        write(&folder.path(TRANSFORMER), &more);
        let text = refusal(&folder.0);
        assert!(text.contains(&format!("`{name}`")) && text.contains(wanted), "{name}: {text}");
    }
    // A layer whose scale is missing or makes none is refused before anything is uploaded, too.
    let mut scaled = tensors.clone();
    scaled.insert("scaled_fp8".into(), Stored { dtype: Dtype::F8_E4M3, shape: vec![0], bytes: Vec::new() });
    let name = "blocks.4.ffn.net.2";
    let weight = &scaled[&format!("{name}.weight")];
    let weight = Stored {
        dtype: Dtype::F8_E4M3,
        shape: weight.shape.clone(),
        bytes: vec![0x38; weight.values().len()],
    };
    scaled.insert(format!("{name}.weight"), weight);
    write(&folder.path(TRANSFORMER), &scaled);
    let text = refusal(&folder.0);
    assert!(text.contains(&format!("`{name}.scale_weight` is missing")), "{text}");
    scaled.insert(format!("{name}.scale_weight"), Stored::f32(&[2], &[1.0, 1.0]));
    write(&folder.path(TRANSFORMER), &scaled);
    let text = refusal(&folder.0);
    assert!(text.contains(&format!("`{name}.scale_weight`: a scale is one number")), "{text}");
    folder.put(TRANSFORMER, "version https://git-lfs.github.com/spec/v1\n");
    assert!(refusal(&folder.0).contains("git lfs pull"));
    folder.remove(TRANSFORMER).put("transformer/diffusion_pytorch_model.bin", "x");
    let text = refusal(&folder.0);
    assert!(text.contains("torch.load('diffusion_pytorch_model.bin'"), "{text}");
    folder.put("text_encoder/config.json", "version https://git-lfs.github.com/spec/v1\n");
    assert!(refusal(&folder.0).contains("text_encoder/config.json: this is a git-lfs pointer"));
}
