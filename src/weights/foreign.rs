//! Files that stand where a weight file or a configuration should, and what to do about each.

use std::path::Path;

/// Endings of PyTorch's own checkpoints, which are pickles: they are programs, so that this library does not read them.
#[cfg(not(target_arch = "wasm32"))]
const PICKLES: [&str; 4] = [".pth", ".pt", ".bin", ".ckpt"];

/// True for a file name that ends like a PyTorch checkpoint.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn is_pickle(name: &str) -> bool {
    PICKLES.iter().any(|ending| name.ends_with(ending))
}

/// How a checkpoint of PyTorch becomes a safetensors file.
pub(crate) fn conversion(pickle: &Path) -> String {
    let from = pickle.file_name().unwrap_or_default().to_string_lossy();
    let stem = pickle.file_stem().unwrap_or_default().to_string_lossy();
    // The command is for a shell, and names come from wherever the file does.
    let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "._-+ ".contains(c));
    let (from, stem) = if plain(&from) { (&*from, &*stem) } else { ("FILE", "model") };
    // What transformers calls `pytorch_model.bin` is called `model.safetensors` there; what is called so already is not to be
    // written over.
    let to = match stem {
        "pytorch_model" => "model".to_owned(),
        stem if from.ends_with(".safetensors") => format!("{stem}-converted"),
        stem => stem.to_owned(),
    };
    format!(
        "convert it once, in its folder: python -c \"import torch; from safetensors.torch import save_file; \
         w = torch.load('{from}', map_location='cpu', weights_only=True); \
         save_file({{k: v.contiguous().clone() for k, v in w.items()}}, '{to}.safetensors')\""
    )
}

/// True for the stand-in that git-lfs checks out where the file itself was not fetched.
fn is_lfs_pointer(bytes: &[u8]) -> bool {
    let mark: &[u8] = b"version https://git-lfs";
    // A file that was cut inside the mark is one too.
    bytes.len() >= 8 && bytes.iter().zip(mark).all(|(a, b)| a == b)
}

/// Why these bytes are no file at all but what a download left in its place.
pub(crate) fn unfetched(bytes: &[u8]) -> Option<&'static str> {
    let starts =
        |mark: &str| bytes.get(..mark.len()).is_some_and(|b| b.eq_ignore_ascii_case(mark.as_bytes()));
    if is_lfs_pointer(bytes) {
        Some("this is a git-lfs pointer and not the file itself: fetch it with `git lfs pull`")
    } else if starts("<!doctype html") || starts("<html") {
        Some("this is a web page and not the file itself: download it again")
    } else if bytes.is_empty() {
        Some("the file is empty")
    } else {
        None
    }
}

/// Why these bytes are not safetensors, where they are something that users commonly pass in its place.
pub(super) fn refusal(path: &Path, bytes: &[u8]) -> Option<String> {
    if let Some(reason) = unfetched(bytes) {
        return Some(reason.into());
    }
    let pickle = |what| Some(format!("this is {what}, not a safetensors file; {}", conversion(path)));
    match bytes {
        [b'P', b'K', 3, 4, ..] => pickle("a PyTorch checkpoint (zip)"),
        [0x80, 2..=5, b'}' | b'c' | b'\x8a' | b'\x95', ..] => pickle("a Python pickle"),
        [b'G', b'G', b'U', b'F', ..] => {
            Some("this is a GGUF file, which is not read: take the model's safetensors files".into())
        }
        _ => None,
    }
}
