//! Whole systems.

#[cfg(feature = "audio")]
pub mod audio;
pub mod audio_mask;
pub mod curve;
pub mod memory_plan;
pub mod plan;
pub mod sampling;
pub mod schedule;
pub mod sentiment;
pub mod temporal_control;
pub mod text_to_video;
pub mod unipc;
