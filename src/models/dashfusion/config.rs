//! Sizes of a DashFusion model, and the published data sets' configurations.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the head sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// The hierarchical bottleneck fusion: its query and the three fused streams.
    #[default]
    Hierarchical,
    /// The means of the three encoded modalities side by side, without alignment and fusion.
    Concatenation,
    /// The same three means, each before a head of its own; the score is the sum of the heads' scores, those of missing
    /// modalities left out.
    Late,
    /// The mean of the text alone.
    Text,
    /// The mean of the audio alone.
    Audio,
    /// The mean of the vision alone.
    Vision,
}

/// Sizes and dropout of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DashFusionConfig {
    /// Width of the text encoder's hidden state.
    pub text_width: usize,
    /// Width of a frame of audio features.
    pub audio_width: usize,
    /// Width of a frame of vision features.
    pub vision_width: usize,
    /// Most frames of audio: the length of its position table, without the class token.
    pub audio_frames: usize,
    /// Most frames of vision.
    pub vision_frames: usize,
    /// Width of all streams.
    pub d_model: usize,
    /// Heads of every attention.
    pub heads: usize,
    /// Width of a head in the temporal alignment, which has an output projection of its own.
    pub alignment_head_dim: usize,
    /// Hidden width of the feed-forward layers.
    pub ffn: usize,
    /// Blocks of the audio encoder.
    pub audio_layers: usize,
    /// Blocks of the vision encoder.
    pub vision_layers: usize,
    /// Bottleneck tokens of each level of the fusion.
    pub bottlenecks: Vec<usize>,
    /// Dropout after the position embeddings of audio and vision, in training.
    pub position_dropout: f32,
    /// Dropout on the branches of their blocks, in training.
    pub encoder_dropout: f32,
    /// What the head sees.
    #[serde(default)]
    pub fusion: Fusion,
}

impl DashFusionConfig {
    fn released(audio: [usize; 2], vision: [usize; 2], layers: usize, bottlenecks: &[usize]) -> Self {
        Self {
            text_width: 768,
            audio_width: audio[1],
            vision_width: vision[1],
            audio_frames: audio[0],
            vision_frames: vision[0],
            d_model: 128,
            heads: 8,
            alignment_head_dim: 32,
            ffn: 256,
            audio_layers: layers,
            vision_layers: layers,
            bottlenecks: bottlenecks.to_vec(),
            position_dropout: 0.1,
            encoder_dropout: 0.5,
            fusion: Fusion::Hierarchical,
        }
    }

    /// CMU-MOSI, unaligned.
    pub fn mosi() -> Self {
        Self::released([375, 5], [500, 20], 2, &[8, 4])
    }

    /// CMU-MOSEI, unaligned.
    pub fn mosei() -> Self {
        Self::released([500, 74], [500, 35], 4, &[8, 4, 2])
    }

    /// CH-SIMS, unaligned.
    pub fn sims() -> Self {
        Self::released([400, 33], [55, 709], 2, &[8, 4])
    }

    /// Refuses sizes that make no model, by name.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::input("DashFusion configuration", reason));
        let sizes = [
            ("text_width", self.text_width),
            ("audio_width", self.audio_width),
            ("vision_width", self.vision_width),
            ("audio_frames", self.audio_frames),
            ("vision_frames", self.vision_frames),
            ("d_model", self.d_model),
            ("heads", self.heads),
            ("alignment_head_dim", self.alignment_head_dim),
            ("ffn", self.ffn),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|&(_, size)| size == 0 || size > 1 << 16) {
            return refuse(format!("`{name}` is {size}: 1 ..= 65536"));
        }
        let head_dim = self.d_model / self.heads;
        for (name, dim) in [("d_model / heads", head_dim), ("alignment_head_dim", self.alignment_head_dim)] {
            if !dim.is_multiple_of(4) || !(4..=256).contains(&dim) {
                return refuse(format!("{name} is {dim}: a multiple of 4 up to 256"));
            }
        }
        if !self.d_model.is_multiple_of(self.heads) {
            return refuse(format!("{} heads do not divide {}", self.heads, self.d_model));
        }
        if self.bottlenecks.is_empty() || self.bottlenecks.len() > 16 || self.bottlenecks.contains(&0) {
            return refuse(format!("bottlenecks {:?}: 1 to 16 levels of at least one", self.bottlenecks));
        }
        if self.audio_layers.max(self.vision_layers) > 64 {
            return refuse("more than 64 layers".into());
        }
        for p in [self.position_dropout, self.encoder_dropout] {
            if !(0.0..1.0).contains(&p) {
                return refuse(format!("dropout {p}: 0 ≤ p < 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn released_configurations_are_sound_and_faults_are_named() {
        for config in [DashFusionConfig::mosi(), DashFusionConfig::mosei(), DashFusionConfig::sims()] {
            config.check().unwrap();
        }
        let error = |edit: fn(&mut DashFusionConfig)| {
            let mut config = DashFusionConfig::mosi();
            edit(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(error(|c| c.audio_width = 0).contains("audio_width"));
        assert!(error(|c| c.heads = 7).contains("heads"));
        assert!(error(|c| c.bottlenecks = vec![8, 0]).contains("bottlenecks"));
        assert!(error(|c| c.encoder_dropout = 1.0).contains("dropout 1"));
    }
}
