//! Folders as they are downloaded, and names as programs save them.

use super::{one, reason};
use crate::weights::WeightStore;

#[test]
fn wrappers_are_taken_off_and_what_is_there_twice_is_refused() {
    let named = |names: &[&str]| WeightStore::zeros("m", names.iter().map(|n| ((*n).to_owned(), vec![2])));
    for (wrapped, bare) in [
        ("module.blocks.0.w", "blocks.0.w"),
        ("_orig_mod.w", "w"),
        ("model.diffusion_model.w", "w"),
        ("diffusion_model.w", "w"),
        ("module._orig_mod.model.diffusion_model.module.w", "w"),
        ("blocks.0._orig_mod.attn._checkpoint_wrapped_module.w", "blocks.0.attn.w"),
        ("_fsdp_wrapped_module.blocks.0._fsdp_wrapped_module.w", "blocks.0.w"),
        // Not wrappers: parts of names.
        ("blocks.model.w", "blocks.model.w"),
        ("model_ema.w", "model_ema.w"),
        ("modules.w", "modules.w"),
    ] {
        let store = named(&[wrapped]).unwrapped().unwrap();
        assert_eq!(store.names().collect::<Vec<_>>(), [bare]);
        let text = store.load(bare, &[3]).unwrap_err().to_string();
        assert!(text.contains(&format!("`{wrapped}`: expected shape")), "{text}");
    }
    let text = named(&["w", "module.w"]).unwrapped().map(drop).unwrap_err().to_string();
    assert!(text.contains("`module.w` is here too") && text.contains("keep one"), "{text}");
    // Of a view, by the names in it.
    let view = named(&["text.module.w", "text.v", "w"]).with_prefix("text.").unwrapped().unwrap();
    assert_eq!(view.names().collect::<Vec<_>>(), ["v", "w"]);
    assert!(view.load("w", &[3]).unwrap_err().to_string().contains("`text.module.w`"));
}

#[cfg(not(target_arch = "wasm32"))]
mod folders {
    use super::super::Folder;
    use super::*;

    /// What git-lfs leaves where it did not fetch.
    const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5676070424\n";

    #[test]
    fn shards_without_an_index_are_found_by_their_names() {
        let folder = Folder::new("unindexed");
        let shard = |i: usize, of: usize| format!("model-{i:05}-of-{of:05}.safetensors");
        folder.put(&shard(1, 3), &one("a", [1., 2.])).put(&shard(3, 3), &one("c", [5., 6.]));
        let text = reason(folder.open());
        assert!(text.contains("2 of 3 shards") && text.contains("missing model-00002-of-00003"), "{text}");
        folder.put(&shard(2, 3), &one("b", [3., 4.])).put(&format!("._{}", shard(1, 3)), b"macOS");
        let all = ["a", "b", "c"];
        assert_eq!(folder.open().unwrap().names().collect::<Vec<_>>(), all);
        // A path to one of them is a path to the model.
        let one_of_them = WeightStore::open(folder.0.join(shard(2, 3))).unwrap();
        assert_eq!((one_of_them.names().collect::<Vec<_>>(), one_of_them.files().count()), (all.to_vec(), 3));
        // Two hold one tensor.
        folder.put(&shard(2, 3), &one("a", [3., 4.]));
        let text = reason(folder.open());
        assert!(text.contains("`a`: another shard holds it too") && text.contains(&shard(1, 3)), "{text}");
        // Another set beside it is another model, unless its name is a model's usual one.
        folder.put(&shard(2, 3), &one("b", [3., 4.]));
        folder.put("extra-1-of-1.safetensors", &one("x", [1., 2.]));
        assert!(folder.open().unwrap().contains("c"));
        std::fs::remove_file(folder.0.join(shard(1, 3))).unwrap();
        assert!(reason(folder.open()).contains("missing model-00001-of-00003"));
    }

    #[test]
    fn several_models_in_a_folder_are_a_question() {
        let folder = Folder::new("several");
        for i in 1..=2 {
            folder.put(&format!("wan-{i}-of-2.safetensors"), &one(&format!("w{i}"), [1., 2.]));
        }
        assert_eq!(folder.open().unwrap().names().count(), 2);
        folder.put("vae.safetensors", &one("v", [1., 2.]));
        let text = reason(folder.open());
        assert!(text.contains("2 models") && text.contains("vae.safetensors, wan-1-of-2"), "{text}");
        assert!(WeightStore::open(folder.0.join("vae.safetensors")).unwrap().contains("v"));
        // Numbers that no shard has are names.
        for name in [
            "a-0-of-0.safetensors",
            "a-5-of-3.safetensors",
            "-1-of-2.safetensors",
            "a-1-of-12345678.safetensors",
            "a-01-of-2.safetensors",
        ] {
            let folder = Folder::new("odd-names");
            folder.put(name, &one("a", [1., 2.]));
            assert_eq!(reason(folder.open()), "opened", "{name}");
        }
    }

    #[test]
    fn hidden_files_are_not_there() {
        let folder = Folder::new("hidden");
        folder.put("._model.safetensors", b"x").put(".cache.safetensors", b"x");
        assert!(reason(folder.open()).contains("no .safetensors file"));
        folder.put("odd.safetensors", &one("a", [1., 2.])).put("._odd.safetensors", b"x");
        assert!(folder.open().unwrap().contains("a"));
    }

    #[test]
    fn a_missing_shard_of_an_index_is_named() {
        let folder = Folder::new("missing-shard");
        let index = br#"{"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
        folder.put("model.safetensors.index.json", index).put("m-1.safetensors", &one("a", [1., 2.]));
        let text = reason(folder.open());
        assert!(
            text.contains("index.json: 1 of its 2 shards are not here") && text.contains("m-2"),
            "{text}"
        );
        folder.put("m-2.safetensors", POINTER);
        let text = reason(folder.open());
        assert!(
            text.contains("m-2.safetensors: this is a git-lfs pointer") && text.contains("git lfs pull"),
            "{text}"
        );
        folder.put("model.safetensors.index.json", POINTER);
        assert!(reason(folder.open()).contains("index.json: this is a git-lfs pointer"));
    }

    #[test]
    fn what_is_no_weight_file_says_what_it_is_and_what_to_do() {
        let folder = Folder::new("foreign");
        let file = |bytes: &[u8]| {
            folder.put("a.safetensors", bytes);
            reason(WeightStore::open(folder.0.join("a.safetensors")))
        };
        for (bytes, wanted) in [
            (POINTER, "git lfs pull"),
            (b"version https://git".as_slice(), "git lfs pull"),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"<HTML>", "a web page"),
            (b"", "empty"),
            (b"PK\x03\x04....", "torch.load('a.safetensors'"),
            (b"PK\x03\x04....", "'a-converted.safetensors'"),
            (b"\x80\x02}q\x00.......", "torch.load("),
            (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        ] {
            let text = file(bytes);
            assert!(text.contains("a.safetensors: ") && text.contains(wanted), "{text}");
        }
        std::fs::remove_file(folder.0.join("a.safetensors")).unwrap();
        folder.put("optimizer.pt", b"x").put("pytorch_model.bin", b"x");
        let text = reason(folder.open());
        assert!(text.contains("`pytorch_model.bin` is a PyTorch checkpoint"), "{text}");
        assert!(
            text.contains("torch.load('pytorch_model.bin'") && text.contains("'model.safetensors'"),
            "{text}"
        );
    }
}
