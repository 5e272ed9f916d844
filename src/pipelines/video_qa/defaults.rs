//! What a model's folder says about how it is used.

use super::look::Look;
use super::sampling::Sampling;
use crate::models::qwen2_5_vl::processor::{FrameSampling, PixelLimits};
use crate::weights::ConfigFile;
use crate::{Error, Result};
use std::path::Path;

/// What a folder says about answers and pictures.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QaDefaults {
    /// Tokens that end an answer, by `generation_config.json`; empty where it says nothing.
    pub ends: Vec<u32>,
    /// How tokens are drawn, by the same file; the most likely ones where `do_sample` is not set.
    pub sampling: Sampling,
    /// Bounds on an image's pixels, by `preprocessor_config.json`; the published ones without.
    pub image_limits: Option<PixelLimits>,
    /// Bounds on the pixels of a video's frame, by `video_preprocessor_config.json`; the published ones without.
    pub video_limits: Option<PixelLimits>,
    /// Frames a second and how many, by `video_preprocessor_config.json`; the published ones without.
    pub frames: FrameSampling,
}

impl QaDefaults {
    /// Reads the three files, where they are.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::File`] naming the key that is no such number.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let file = |name: &str| {
            let path = folder.join(name);
            if path.exists() { ConfigFile::open(path).map(Some) } else { Ok(None) }
        };
        let (ends, sampling) = match file("generation_config.json")? {
            Some(file) => (ends(&file)?, drawn(&file)?),
            None => (Vec::new(), Sampling::default()),
        };
        let image = file("preprocessor_config.json")?;
        let video = file("video_preprocessor_config.json")?;
        let limits = |file: &Option<ConfigFile>| file.as_ref().map_or(Ok(None), limits);
        Ok(Self {
            ends,
            sampling,
            image_limits: limits(&image)?,
            video_limits: limits(&video)?,
            frames: video.as_ref().map_or_else(|| Ok(FrameSampling::default()), frames)?,
        })
    }

    /// How videos are looked at.
    pub fn look(&self) -> Look {
        Look { sampling: self.frames, limits: self.video_limits, ..Look::default() }
    }
}

/// One id or several.
fn ends(file: &ConfigFile) -> Result<Vec<u32>> {
    let Some(value) = file.get("eos_token_id") else { return Ok(Vec::new()) };
    let one = |v: &serde_json::Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value.as_array() {
        Some(list) => list.iter().map(one).collect(),
        None => one(value).map(|id| vec![id]),
    };
    ids.ok_or_else(|| file.refuse("`eos_token_id`: expected a token id or a list of them"))
}

fn drawn(file: &ConfigFile) -> Result<Sampling> {
    let greedy = Sampling::default();
    let penalty = file.positive_or("repetition_penalty", 1.0, 1e6)? as f32;
    if !file.bool_or("do_sample", false)? {
        return Ok(Sampling { repetition_penalty: penalty, ..greedy });
    }
    // transformers' defaults for what is not stated.
    Ok(Sampling {
        temperature: file.positive_or("temperature", 1.0, 1e6)? as f32,
        top_p: file.positive_or("top_p", 1.0, 1.0)? as f32,
        top_k: file.usize_or("top_k", 50, 0..=1 << 24)?,
        repetition_penalty: penalty,
        ..greedy
    })
}

fn frames(file: &ConfigFile) -> Result<FrameSampling> {
    let usual = FrameSampling::default();
    let max_frames = file.usize_or("max_frames", usual.max_frames, 1..=1 << 24)?;
    Ok(FrameSampling {
        fps: file.positive_or("fps", usual.fps, 1e6)?,
        min_frames: file.usize_or("min_frames", usual.min_frames.min(max_frames), 0..=max_frames)?,
        max_frames,
        ..usual
    })
}

/// By the names of either generation of transformers.
fn limits(file: &ConfigFile) -> Result<Option<PixelLimits>> {
    let size = match file.get("size") {
        Some(value @ serde_json::Value::Object(_)) => {
            Some(ConfigFile::from_value(format!("{}: `size`", file.path().display()), value.clone())?)
        }
        _ => None,
    };
    let one = |own: &str, nested: &str| -> Result<Option<f64>> {
        let found = [(Some(file), own), (size.as_ref(), nested), (size.as_ref(), own)];
        for (file, key) in found {
            if let Some(file) = file.filter(|file| file.has(key)) {
                return file.positive_or(key, 1.0, 4_294_967_296.0).map(Some);
            }
        }
        Ok(None)
    };
    match (one("min_pixels", "shortest_edge")?, one("max_pixels", "longest_edge")?) {
        (None, None) => Ok(None),
        (Some(min), Some(max)) if min <= max => Ok(Some(PixelLimits { min, max })),
        (min, max) => {
            let reason =
                format!("expected both bounds on pixels, the lower one first, found {min:?} and {max:?}");
            Err(Error::file(file.path(), reason))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn file(json: &str) -> ConfigFile {
        ConfigFile::from_bytes("f.json", json.as_bytes()).unwrap()
    }

    #[test]
    fn the_published_files_are_understood() {
        let generation = file(
            r#"{"bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643],
                "repetition_penalty": 1.05, "temperature": 0.000001}"#,
        );
        assert_eq!(ends(&generation).unwrap(), [151_645, 151_643]);
        let sampling = drawn(&generation).unwrap();
        assert_eq!((sampling.temperature, sampling.repetition_penalty, sampling.top_k), (1e-6, 1.05, 50));
        assert_eq!(ends(&file(r#"{"eos_token_id": 7}"#)).unwrap(), [7]);
        assert_eq!(drawn(&file("{}")).unwrap(), Sampling::default());
        let own = limits(&file(r#"{"min_pixels": 3136, "max_pixels": 12845056}"#)).unwrap();
        assert_eq!(own, Some(PixelLimits { min: 3136.0, max: 12_845_056.0 }));
        let nested = limits(&file(r#"{"size": {"shortest_edge": 3136, "longest_edge": 12845056}}"#)).unwrap();
        assert_eq!(own, nested);
        assert_eq!(limits(&file(r#"{"size": 224}"#)).unwrap(), None);
        let sampling = frames(&file(r#"{"fps": 1, "max_frames": 3}"#)).unwrap();
        assert_eq!((sampling.fps, sampling.min_frames, sampling.max_frames), (1.0, 3, 3));
        assert_eq!(frames(&file("{}")).unwrap(), FrameSampling::default());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        assert!(ends(&file(r#"{"eos_token_id": "x"}"#)).unwrap_err().to_string().contains("eos_token_id"));
        assert!(ends(&file(r#"{"eos_token_id": [1, -1]}"#)).is_err());
        assert!(drawn(&file(r#"{"do_sample": true, "temperature": -1}"#)).is_err());
        assert!(limits(&file(r#"{"min_pixels": 5}"#)).unwrap_err().to_string().contains("both bounds"));
        assert!(limits(&file(r#"{"min_pixels": 5, "max_pixels": 4}"#)).is_err());
    }
}
