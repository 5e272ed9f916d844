//! Whole systems, a folder each: what is asked for (request), the models, the run with its progress, and the result. What two
//! systems use stands beside them.

pub mod schedules;
pub mod sentiment;
#[cfg(feature = "audio")]
pub mod sounds;
pub mod text_to_video;
