//! Where the parts of a model lie: in a diffusers folder, in one of the original repository's, or around a single file of
//! the transformer. Only small files are opened here, and what cannot be run is refused before anything large is.

use super::request::ClipDefaults;
use crate::models::tokenizer::Tokenizer;
use crate::models::wan::WanConfig;
use crate::weights::{ConfigFile, choose, foreign, visible_files};
use crate::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The parts of a model.
#[derive(Debug)]
pub(super) struct Parts {
    /// The folder with `foveal.json` and `scheduler/`.
    pub(super) root: PathBuf,
    /// A folder with `tokenizer.json`.
    pub(super) tokenizer: PathBuf,
    /// Weights of the text encoder, a file or a folder.
    pub(super) encoder: PathBuf,
    /// Its configuration; the original code's file has none.
    pub(super) encoder_config: Option<ConfigFile>,
    /// Weights of the transformer, a file or a folder.
    pub(super) transformer: PathBuf,
    /// Its configuration, which a file by itself may lack.
    pub(super) config: Option<ConfigFile>,
}

impl Parts {
    /// The number of text positions that all agree on who state one: the transformer's configuration, `foveal.json` and the
    /// tokenizer's.
    ///
    /// # Errors
    /// [`Error::File`] naming two that do not agree.
    pub(super) fn text_len(
        &self,
        config: Option<&WanConfig>,
        defaults: &ClipDefaults,
        tokenizer: &Tokenizer,
    ) -> Result<Option<usize>> {
        let own = self.config.as_ref().filter(|file| file.has("text_len"));
        let stated = [
            own.zip(config).map(|(file, config)| ("text_len", file.path().to_path_buf(), config.text_len)),
            defaults.text_len.map(|length| ("text_len", self.root.join("foveal.json"), length)),
            tokenizer
                .stated_max_length()
                .map(|length| ("model_max_length", self.tokenizer.join("tokenizer_config.json"), length)),
        ];
        let mut all = stated.iter().flatten();
        let Some((key, path, length)) = all.next() else { return Ok(None) };
        match all.find(|(_, _, other)| other != length) {
            None => Ok(Some(*length)),
            Some((other_key, other_path, other)) => Err(Error::file(
                path,
                format!(
                    "`{key}` is {length}, and `{other_key}` of {} is {other}: both are the text positions of \
                     cross-attention, which the model was trained with; correct the wrong one",
                    other_path.display()
                ),
            )),
        }
    }
}

/// diffusers' description of a folder.
const INDEX: &str = "model_index.json";
/// What a folder of another pipeline is told.
const OURS: &str = "WanPipeline (Wan 2.1, text to video) is supported";
/// What a folder with a VAE is told.
const NO_VAE: &str = "the folder has a VAE, whose decoder is not part of the crate yet";
/// Where the original repository has its tokenizer, then where diffusers has one.
const TOKENIZERS: [&str; 3] = ["google/umt5-xxl", "tokenizer", "."];

/// Finds the parts around a folder or a file of the transformer.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for a folder of another pipeline, a part that is missing, a VAE, a PyTorch checkpoint.
pub(super) fn find(path: &Path) -> Result<Parts> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if meta.is_dir() {
        return if path.join(INDEX).exists() { diffusers(path, None) } else { original(path, None) };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if foreign::is_pickle(&name) {
        let reason = format!("a PyTorch checkpoint, which is not read: {}", foreign::conversion(path));
        return Err(Error::file(path, reason));
    }
    // A name in the folder where the program stands has no parents by itself.
    let path = &std::path::absolute(path).map_err(|e| Error::io(path, e))?;
    let here = path.parent().unwrap_or(Path::new(""));
    match here.parent().filter(|above| above.join(INDEX).exists()) {
        _ if here.join(INDEX).exists() => diffusers(here, Some(path)),
        Some(above) => diffusers(above, Some(path)),
        None => original(here, Some(path)),
    }
}

fn diffusers(root: &Path, file: Option<&Path>) -> Result<Parts> {
    require_supported(&ConfigFile::open(root.join(INDEX))?)?;
    let (encoder, transformer) = (root.join("text_encoder"), root.join("transformer"));
    // A file's own configuration lies beside it, if anywhere.
    let beside = file.and_then(Path::parent).unwrap_or(&transformer).join("config.json");
    let config = [beside, transformer.join("config.json")].into_iter().find(|path| path.exists());
    let config = match (config, file) {
        (Some(path), _) => Some(ConfigFile::open(path)?),
        (None, Some(_)) => None,
        (None, None) => Some(ConfigFile::open(&transformer)?),
    };
    Ok(Parts {
        root: root.into(),
        tokenizer: root.join("tokenizer"),
        encoder_config: Some(ConfigFile::open(&encoder)?),
        encoder,
        config,
        transformer: file.map_or(transformer, Path::to_path_buf),
    })
}

/// True for what stands for a component that is not there.
fn absent(value: &Value) -> bool {
    value.as_array().map_or(value.is_null(), |parts| parts.iter().all(Value::is_null))
}

/// What a pipeline of diffusers' does, by its class.
fn purpose(class: &str) -> &'static str {
    let known = [
        ("WanImageToVideo", "starts from an image"),
        ("WanVideoToVideo", "starts from a video"),
        ("WanVACE", "edits and fills in video"),
        ("WanAnimate", "animates a figure"),
        ("WanSpeechToVideo", "is driven by sound"),
        ("Wan", "is another variant of Wan"),
        ("StableDiffusion", "makes images"),
        ("StableVideoDiffusion", "is another video model"),
        ("Flux", "makes images"),
        ("QwenImage", "makes images"),
        ("CogVideo", "is another video model"),
        ("Hunyuan", "is another model"),
        ("LTX", "is another video model"),
    ];
    known
        .iter()
        .find(|(start, _)| class.starts_with(start))
        .map_or("is another model", |(_, purpose)| purpose)
}

/// Refuses the folder of anything but Wan 2.1's text to video without a VAE.
fn require_supported(index: &ConfigFile) -> Result<()> {
    if let Some(class) = index.str("_class_name")?.filter(|class| *class != "WanPipeline") {
        return Err(index.refuse(format!("`_class_name` is \"{class}\", which {}: {OURS}", purpose(class))));
    }
    let second = index.get("transformer_2").is_some_and(|value| !absent(value));
    for (key, set) in [
        ("transformer_2", second),
        ("boundary_ratio", index.has("boundary_ratio")),
        ("expand_timesteps", index.bool_or("expand_timesteps", false)?),
    ] {
        if set {
            return Err(index.refuse(format!("`{key}` is set, as in Wan 2.2: {OURS}")));
        }
    }
    for (key, value) in index.entries().filter(|(key, value)| !key.starts_with('_') && value.is_array()) {
        let class = value.get(1).and_then(Value::as_str).unwrap_or_default();
        let wanted = match key {
            // The scheduler's own file has its class.
            "scheduler" | "tokenizer" | "transformer_2" | "vae" => continue,
            "text_encoder" => "UMT5EncoderModel",
            "transformer" => "WanTransformer3DModel",
            _ if absent(value) => continue,
            _ => {
                return Err(index.refuse(format!("the component `{key}` ({class}) is not supported: {OURS}")));
            }
        };
        if absent(value) {
            return Err(index.refuse(format!("`{key}` is null: the folder lacks it (expected {wanted})")));
        }
        if class != wanted {
            return Err(index.refuse(format!("`{key}` is \"{class}\"; supported: {wanted}")));
        }
    }
    if index.get("vae").is_some_and(|value| !absent(value)) {
        return Err(index.refuse(NO_VAE));
    }
    Ok(())
}

/// Whose weights a file of the original layout holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Whose {
    Encoder,
    Vae,
    Transformer,
}

fn whose(name: &str) -> Option<Whose> {
    let name = name.to_lowercase();
    let weights = name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    if !weights && !foreign::is_pickle(&name) {
        return None;
    }
    Some(if name.starts_with("models_t5") || name.starts_with("umt5") {
        Whose::Encoder
    } else if name.contains("vae") {
        Whose::Vae
    } else {
        Whose::Transformer
    })
}

/// The original repository's folder: `config.json` and the transformer's weights, `models_t5_….safetensors`,
/// `google/umt5-xxl`.
fn original(root: &Path, file: Option<&Path>) -> Result<Parts> {
    let config = root.join("config.json");
    let config = if config.exists() { Some(ConfigFile::open(config)?) } else { None };
    if let Some(config) = &config {
        // What it cannot run is of more use to know than what else is amiss.
        WanConfig::from_config(config)?;
    } else if root.join("high_noise_model").is_dir() {
        return Err(Error::file(root, format!("`high_noise_model` is here, as in Wan 2.2: {OURS}")));
    } else if file.is_none() {
        let reason = format!(
            "no model: neither {INDEX} (a diffusers folder) nor config.json (the original Wan repository) is here"
        );
        return Err(Error::file(root, reason));
    }
    let names = visible_files(root)?;
    let of =
        |part| -> Vec<String> { names.iter().filter(|name| whose(name) == Some(part)).cloned().collect() };
    let encoder = encoder_of(root, &of(Whose::Encoder))?;
    let mut obstacles: Vec<String> = encoder.as_ref().err().cloned().into_iter().collect();
    if let Some(vae) = of(Whose::Vae).first() {
        obstacles.insert(0, format!("`{vae}`: {NO_VAE}"));
    }
    let tokenizer = TOKENIZERS
        .map(|folder| root.join(folder))
        .into_iter()
        .find(|folder| ["tokenizer.json", "spiece.model"].iter().any(|name| folder.join(name).exists()));
    if tokenizer.is_none() {
        obstacles.push(
            "no tokenizer (expected google/umt5-xxl/tokenizer.json or tokenizer/tokenizer.json)".into(),
        );
    }
    let (Ok((encoder, encoder_config)), Some(tokenizer), []) = (encoder, tokenizer, obstacles.as_slice())
    else {
        return Err(Error::file(file.unwrap_or(root), obstacles.join("; ")));
    };
    let encoder_config = encoder_config.map(ConfigFile::open).transpose()?;
    let transformer = match file {
        Some(file) => file.into(),
        None => choose(root, &of(Whose::Transformer))?,
    };
    Ok(Parts { root: root.into(), tokenizer, encoder, encoder_config, transformer, config })
}

/// Weights and configuration of the text encoder, or what is in the way where there are none.
type Encoder = std::result::Result<(PathBuf, Option<PathBuf>), String>;

fn encoder_of(root: &Path, names: &[String]) -> Result<Encoder> {
    let folder = root.join("text_encoder");
    if folder.join("config.json").exists() {
        return Ok(Ok((folder.clone(), Some(folder))));
    }
    let expected = "expected models_t5_umt5-xxl-enc-bf16.safetensors or text_encoder/";
    Ok(match names.iter().find(|name| foreign::is_pickle(name)) {
        _ if names.iter().any(|name| !foreign::is_pickle(name)) => Ok((choose(root, names)?, None)),
        Some(pickle) => {
            let how = foreign::conversion(Path::new(pickle));
            Err(format!("`{pickle}` is a PyTorch checkpoint, which is not read: {how}"))
        }
        None => Err(format!("no text encoder beside the transformer ({expected})")),
    })
}
