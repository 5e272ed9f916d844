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

#[cfg(feature = "know_show")]
pub mod know_show;
pub mod prompt;
pub mod sampling;
pub mod scores;
pub mod selection;
mod session;
mod tokens;

pub use prompt::{Expanded, Medium, expand};
pub use sampling::{Sampler, Sampling};
pub use scores::{ScoreReader, ScoreRows, Scoring};
pub use selection::{Choice, Kept, Selection, When};
pub use session::{Prefill, Prefilled, Session};
pub use tokens::VideoTokens;
