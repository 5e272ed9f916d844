//! Questions about videos, answered by Qwen2.5-VL from the tokens that matter.
//!
//! Placeholders in a prompt become tokens ([`prompt`]), where wanted with each step's time before it. The prompt is prefilled in
//! chunks ([`Session`]); on the way attention itself scores the video's tokens ([`scores`]), the best are kept ([`selection`]),
//! and the rest of the prefill and all that is generated reads those alone. Kept tokens keep their positions. [`sampling`] draws
//! the next token.
//!
//! The maps of attention that scores come from are reduced where they are computed and never written. The method is a family:
//! which blocks score, whose rows, how heads are reduced, where tokens are left out. Relatives that were published are
//! [presets](Selection).
//!
//! `know_show`, a feature, measures answers on the Know-Show benchmark.

mod baselines;
mod choice;
#[cfg(not(target_arch = "wasm32"))]
mod defaults;
mod gather;
mod grounding;
#[cfg(feature = "know_show")]
pub mod know_show;
mod look;
mod memory_plan;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod model;
mod progress;
pub mod prompt;
mod request;
mod result;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod run;
pub mod sampling;
pub mod scores;
pub mod selection;
mod session;
mod source;
mod tokens;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod transcript;

pub use choice::Choice;
#[cfg(not(target_arch = "wasm32"))]
pub use defaults::QaDefaults;
pub use grounding::{Grounded, GroundedBox};
pub use look::{Look, LookPlan, Visual, look_at_image, look_at_video};
pub use memory_plan::{QaPlan, QaPlanRequest, memory_plan};
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub use model::VideoQa;
pub use progress::Event;
pub use prompt::{Expanded, Medium, expand};
pub use request::Question;
pub use result::{Answer, Finish, KeptToken};
pub use sampling::{Sampler, Sampling};
pub use scores::{ScoreReader, ScoreRows, Scoring};
pub use selection::{Kept, ScoreSource, Selection, When};
pub use session::{Prefill, Prefilled, Session};
pub use source::{Clip, FrameSource, SourceInfo};
pub use tokens::VideoTokens;
