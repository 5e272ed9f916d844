//! Whole systems, a folder each. What two systems use stands beside them.
//!
//! Every system has the same rooms:
//!
//! | room | what it is | text to video | sentiment | video questions |
//! |---|---|---|---|---|
//! | request | plain data that an app may keep, edit and send to a thread, with a constructor or a default | [`ClipRequest`](text_to_video::ClipRequest) | `TrainOptions`, `ScoreRequest` | [`Look`](video_qa::Look), [`Question`](video_qa::Question) |
//! | model | the models on a device, opened from a folder | [`TextToVideo`](text_to_video::TextToVideo) | `SentimentModel` | `VideoQa` |
//! | run | a method that takes what is asked for and a hook | `TextToVideo::generate` | `Trainer::run`, `SentimentModel::score`, `evaluate` | `VideoQa::look`, `VideoQa::answer` |
//! | progress | an event, which the hook sees | [`Event`](text_to_video::Event) | `TrainEvent`, `ScoreEvent` | [`Event`](video_qa::Event) |
//! | result | a struct, which the run returns | [`ClipResult`](text_to_video::ClipResult) | `TrainResult`, `ScoreResult`, `Evaluation` | [`Visual`](video_qa::Visual), [`Answer`](video_qa::Answer) |
//!
//! A hook is a `FnMut(&Event) -> ControlFlow<()>`. Breaking off ends the run with [`Error::Cancelled`], which says where; models
//! and context may be used again. What an event holds it owns: it may be cloned and sent to another thread, though tensors may be
//! overwritten later, so that copies are for keeping. On native targets the futures of runs are [`Send`] where
//! their hooks are.
//!
//! Requests are written `X { field, ..X::new(…) }` or `..X::default()`, so that fields which come later break nobody; for that
//! they stay open. Events and results are `#[non_exhaustive]`: they are read.

pub mod schedules;
pub mod sentiment;
#[cfg(feature = "audio")]
pub mod sounds;
pub mod text_to_video;
pub mod video_qa;
#[cfg(all(feature = "video", not(target_arch = "wasm32")))]
pub mod videos;

use crate::{Error, Result};
use std::fmt;
use std::ops::ControlFlow;

/// Ends a run whose hook said so.
fn go_on(flow: ControlFlow<()>, place: impl FnOnce() -> String) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled(place())),
    }
}

/// Bytes as plans of memory state them.
struct Gigabytes(u64);

impl fmt::Display for Gigabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000_000_000 {
            write!(f, "{:.2} MB", self.0 as f64 / 1e6)
        } else {
            write!(f, "{:.2} GB", self.0 as f64 / 1e9)
        }
    }
}
