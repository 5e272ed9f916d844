//! Steps of an optimiser and what they need to know about gradients.

pub mod adamw;
pub mod sum_of_squares;

pub use adamw::{AdamW, AdamWStep, adamw};
pub use sum_of_squares::{SumOfSquares, norm, norm_of, sum_of_squares};
