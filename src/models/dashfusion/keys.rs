//! Names, shapes and first values of DashFusion's parameters, under the names of the released checkpoints.
//!
//! The released code hands vision to the slots called `a` of its fusion and audio to those called `v`
//! (`HBF.encoder_a`, `to_k_a`, …); trained weights follow that, so [`fusion_slot`] does. What a checkpoint holds and the
//! model never reads is left: `text_encoder.projector.MLP.*` (a second name of `proj.*`), `*_encoder.fc`, `.dense` and
//! `.cls_embedding`, `temporal_alignment.ffn`, `.norm1` and `.norm2`, BERT's pooler and `position_ids`.

use super::{DashFusionConfig, Fusion};
use crate::nn::Parameters;
use crate::weights::WeightStore;
use crate::{HostTensor, Result};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// What BERT's parameters are called in a whole checkpoint.
pub const TEXT_EXTRACTOR: &str = "text_encoder.extractor.";

/// A modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modality {
    /// Text.
    Text,
    /// Audio.
    Audio,
    /// Vision.
    Vision,
}

/// All of them, in the order in which the model takes them.
pub const MODALITIES: [Modality; 3] = [Modality::Text, Modality::Audio, Modality::Vision];

/// What the parameters of a modality's own head begin with, in [`Fusion::Late`].
pub fn late_head(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => "late_text",
        Modality::Audio => "late_audio",
        Modality::Vision => "late_vision",
    }
}

/// Whether a parameter takes part in a pass of a model with this fusion. The others are kept, since released checkpoints
/// hold them, and never change.
pub fn takes_part(name: &str, fusion: Fusion) -> bool {
    let all = matches!(fusion, Fusion::Hierarchical | Fusion::Concatenation | Fusion::Late);
    match name.split('.').next() {
        Some("text_encoder") => all || fusion == Fusion::Text,
        Some("audio_encoder") => all || fusion == Fusion::Audio,
        Some("vision_encoder") => all || fusion == Fusion::Vision,
        Some("temporal_alignment" | "HBF") => fusion == Fusion::Hierarchical,
        Some("classifier") => fusion != Fusion::Late,
        Some("late_text" | "late_audio" | "late_vision") => fusion == Fusion::Late,
        _ => false,
    }
}

/// The letter under which the released fusion keeps a modality's weights: vision and audio are exchanged.
pub fn fusion_slot(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => "t",
        Modality::Vision => "a",
        Modality::Audio => "v",
    }
}

/// How a parameter begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum First {
    /// Uniform within ± this.
    Uniform(f64),
    /// All of them this.
    Constant(f32),
}

/// A parameter's name, shape and first values.
struct Entry {
    name: String,
    shape: Vec<usize>,
    first: First,
}

struct Entries(Vec<Entry>);

impl Entries {
    fn add(&mut self, name: String, shape: &[usize], first: First) {
        self.0.push(Entry { name, shape: shape.to_vec(), first });
    }

    /// As torch begins a Linear layer: uniform within ± 1/√inputs.
    fn linear(&mut self, name: &str, out: usize, inner: usize, bias: bool) {
        let first = First::Uniform(1.0 / (inner as f64).sqrt());
        self.add(format!("{name}.weight"), &[out, inner], first);
        if bias {
            self.add(format!("{name}.bias"), &[out], first);
        }
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width], First::Constant(1.0));
        self.add(format!("{name}.bias"), &[width], First::Constant(0.0));
    }

    /// Audio or vision encoder.
    fn encoder(&mut self, name: &str, config: &DashFusionConfig, [width, frames, layers]: [usize; 3]) {
        let d = config.d_model;
        let at = format!("{name}.encoder.pos_encoder");
        self.linear(&format!("{at}.proj"), d, width, true);
        self.add(format!("{at}.cls_token"), &[1, 1, d], First::Constant(1.0));
        self.add(format!("{at}.position_embeddings"), &[1, frames + 1, d], First::Constant(0.0));
        for i in 0..layers {
            let at = format!("{name}.encoder.transformer_encoder.layers.{i}");
            // As torch begins a MultiheadAttention.
            let xavier = First::Uniform((6.0 / (4 * d) as f64).sqrt());
            self.add(format!("{at}.self_attn.in_proj_weight"), &[3 * d, d], xavier);
            self.add(format!("{at}.self_attn.in_proj_bias"), &[3 * d], First::Constant(0.0));
            self.add(
                format!("{at}.self_attn.out_proj.weight"),
                &[d, d],
                First::Uniform(1.0 / (d as f64).sqrt()),
            );
            self.add(format!("{at}.self_attn.out_proj.bias"), &[d], First::Constant(0.0));
            self.linear(&format!("{at}.linear1"), config.ffn, d, true);
            self.linear(&format!("{at}.linear2"), d, config.ffn, true);
            self.norm(&format!("{at}.norm1"), d);
            self.norm(&format!("{at}.norm2"), d);
        }
        self.norm(&format!("{name}.layernorm"), d);
    }
}

fn entries(config: &DashFusionConfig) -> Vec<Entry> {
    let (d, ffn) = (config.d_model, config.ffn);
    let mut all = Entries(Vec::new());
    all.linear("text_encoder.projector.proj.0", d, config.text_width, false);
    all.linear("text_encoder.projector.proj.2", d, d, false);
    all.norm("text_encoder.projector.layernorm", d);
    all.encoder("audio_encoder", config, [config.audio_width, config.audio_frames, config.audio_layers]);
    all.encoder("vision_encoder", config, [config.vision_width, config.vision_frames, config.vision_layers]);
    let inner = config.heads * config.alignment_head_dim;
    for name in ["to_q", "to_k_ta", "to_k_tv", "to_v_ta", "to_v_tv"] {
        all.linear(&format!("temporal_alignment.{name}"), inner, d, false);
    }
    all.linear("temporal_alignment.to_out.0", d, inner, true);
    for level in 0..config.bottlenecks.len() {
        for part in ["q", "t", "a", "v"] {
            let at = format!("HBF.encoder_{part}.{level}.layers.0");
            for name in ["to_query", "to_key", "to_value"] {
                all.linear(&format!("{at}.0.fn.{name}"), d, d, true);
            }
            all.norm(&format!("{at}.0.norm"), d);
            all.linear(&format!("{at}.1.fn.net.0"), ffn, d, true);
            all.linear(&format!("{at}.1.fn.net.3"), d, ffn, true);
            all.norm(&format!("{at}.1.norm"), d);
        }
        let at = format!("HBF.encoder_q2tav.{level}");
        for name in ["to_q", "to_k_t", "to_k_a", "to_k_v", "to_v_t", "to_v_a", "to_v_v"] {
            all.linear(&format!("{at}.{name}"), d, d, false);
        }
        all.linear(&format!("{at}.ffn.net.0"), ffn, d, true);
        all.linear(&format!("{at}.ffn.net.3"), d, ffn, true);
        all.norm(&format!("{at}.norm1"), d);
        all.norm(&format!("{at}.norm2"), d);
    }
    let mut head = |name: &str, inner: usize| {
        all.linear(&format!("{name}.MLP.0"), 2 * d, inner, true);
        all.linear(&format!("{name}.MLP.2"), d, 2 * d, true);
        all.linear(&format!("{name}.MLP.4"), 1, d, true);
    };
    head("classifier", 4 * d);
    if config.fusion == Fusion::Late {
        // Behind all others, which begin the same in every fusion.
        MODALITIES.into_iter().for_each(|modality| head(late_head(modality), d));
    }
    all.0
}

/// Names and shapes of the parameters, without the text encoder's.
pub fn parameter_shapes(config: &DashFusionConfig) -> Vec<(String, Vec<usize>)> {
    entries(config).into_iter().map(|e| (e.name, e.shape)).collect()
}

/// Loads the parameters from a checkpoint, without the text encoder's.
///
/// # Errors
/// [`crate::Error::Input`] for sizes that make no model; [`crate::Error::Weight`] naming the tensor that is missing or
/// has another shape.
pub fn load(parameters: &mut Parameters, store: &WeightStore, config: &DashFusionConfig) -> Result<()> {
    config.check()?;
    for Entry { name, shape, .. } in entries(config) {
        parameters.insert(name.clone(), &store.load(&name, &shape)?)?;
    }
    Ok(())
}

/// First values as torch draws them by layer, from a seeded stream of this crate's.
///
/// # Errors
/// [`crate::Error::Input`] for sizes that make no model; otherwise those of an upload.
pub fn initialise(parameters: &mut Parameters, config: &DashFusionConfig, seed: u64) -> Result<()> {
    config.check()?;
    let mut rng = Pcg64::seed_from_u64(seed);
    for Entry { name, shape, first } in entries(config) {
        let count = shape.iter().product();
        let values = match first {
            First::Uniform(bound) => (0..count).map(|_| rng.random_range(-bound..bound) as f32).collect(),
            First::Constant(value) => vec![value; count],
        };
        parameters.insert(name, &HostTensor::new(shape, values)?)?;
    }
    Ok(())
}

/// Whether AdamW's decay applies: to everything but biases and BERT's layer norms, as the released code has it.
pub fn decays(name: &str) -> bool {
    !name.contains("bias") && !name.contains("LayerNorm.weight")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_as_many_as_published() {
        // Of the released model's, without what it holds and never uses.
        let count = |c: &DashFusionConfig| -> usize {
            parameter_shapes(c).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        let d = 128;
        let unused = |c: &DashFusionConfig| {
            let encoders = d * (c.audio_width + 1) + d * (c.vision_width + 1) + 2 * (d * d + d);
            encoders + 2 * (d * d + d) + 4 * d
        };
        for (config, published) in [
            (DashFusionConfig::mosi(), 2_482_433),
            (DashFusionConfig::mosei(), 3_694_849),
            (DashFusionConfig::sims(), 2_612_225),
        ] {
            assert_eq!(count(&config) + unused(&config), published);
        }
    }

    #[test]
    fn late_fusion_has_heads_of_its_own_and_every_fusion_knows_its_parameters() {
        let config = |fusion| DashFusionConfig { fusion, ..DashFusionConfig::mosi() };
        let of = |fusion: Fusion| -> usize {
            let taken = parameter_shapes(&config(fusion)).into_iter().filter(|(n, _)| takes_part(n, fusion));
            taken.map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        let (hierarchical, late) =
            (parameter_shapes(&config(Fusion::Hierarchical)), parameter_shapes(&config(Fusion::Late)));
        assert_eq!(late[..hierarchical.len()], hierarchical);
        assert_eq!(late.len(), hierarchical.len() + 3 * 6);
        let all: usize = hierarchical.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(of(Fusion::Hierarchical), all);
        let head = |inner: usize| (inner + 1) * 256 + 257 * 128 + 129;
        let alone = [Fusion::Text, Fusion::Audio, Fusion::Vision].map(|f| of(f) - head(512));
        assert_eq!(of(Fusion::Concatenation), alone.iter().sum::<usize>() + head(512));
        assert_eq!(of(Fusion::Late), alone.iter().sum::<usize>() + 3 * head(128));
    }

    #[test]
    fn biases_and_berts_norms_do_not_decay() {
        assert!(decays("audio_encoder.layernorm.weight") && decays("HBF.encoder_q2tav.0.norm1.weight"));
        assert!(!decays("classifier.MLP.0.bias"));
        assert!(!decays("text_encoder.extractor.embeddings.LayerNorm.weight"));
    }
}
