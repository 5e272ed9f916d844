//! Frames to patch rows: which frames of a clip, at what size, by what resampling, in what order.
//!
//! [`sample`] picks frames, [`smart_resize`] a size, [`VisionProcessor`] turns the frames of one temporal
//! slice at a time into rows, so that a long clip never lies in memory whole. Where two programs prepare
//! frames differently, both are here and the names say whose: qwen-vl-utils 0.0.14, which the model's authors
//! use, and transformers.

pub mod frames;
pub mod patches;
pub mod resize;
pub mod sizes;

pub use frames::{ClipInfo, FrameRule, FrameSampling, SampledFrames, sample};
pub use patches::VisionProcessor;
pub use resize::{Resampling, RgbFrame, resize};
pub use sizes::{PixelLimits, Size, smart_resize};
