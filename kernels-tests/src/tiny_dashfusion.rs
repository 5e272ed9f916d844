//! A model of DashFusion for the tests' small data.

use foveal::models::dashfusion::DashFusionConfig;

/// Sizes that fit `kernels-tests/golden`'s tiny text encoder and the synthetic clips, with MOSI's options.
pub fn tiny_dashfusion() -> DashFusionConfig {
    DashFusionConfig {
        text_width: 32,
        audio_width: 33,
        vision_width: 25,
        audio_frames: 140,
        vision_frames: 70,
        d_model: 32,
        heads: 4,
        alignment_head_dim: 8,
        ffn: 48,
        audio_layers: 1,
        vision_layers: 1,
        ..DashFusionConfig::mosi()
    }
}
