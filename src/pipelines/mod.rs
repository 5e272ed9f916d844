//! Whole systems.

pub mod audio_mask;
pub mod curve;
pub mod memory_plan;
pub mod sampling;
pub mod schedule;
pub mod temporal_control;
pub mod text_to_video;
pub mod unipc;
