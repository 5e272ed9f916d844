//! Which of many scored tokens are kept: the largest of each group, their ids ascending, without a copy to the host.
//!
//! Scores are what attention's [column mass](crate::kernels::attention::attention_column_mass) leaves, or any others.
//! [`top_k()`] keeps so many of each group; [`mass_count()`] tells how many are needed for a share of a group's sum. Rows are
//! then gathered by [`embedding_of`](crate::kernels::token::embedding_of), tables of positions by
//! [`pick_indices`](crate::kernels::token::pick_indices()).
//!
//! Both are deterministic: of equal scores those of lower ids are kept, and what is no number ranks below −∞.

pub mod mass_count;
pub mod top_k;

pub use mass_count::{MassCount, mass_count};
pub use top_k::{TopK, top_k};

use crate::gpu::{AdapterClass, Caps};
use crate::{Error, Result};

/// Invocations of the workgroup that takes a group: the few groups want as many as a workgroup holds, but on a CPU, where each
/// costs at every barrier.
fn wide(caps: &Caps) -> u32 {
    if caps.class == AdapterClass::Software { 32 } else { 256 }
}

/// Groups and scores of each. Counts travel in f32.
fn check_sizes(stem: &'static str, groups: usize, n: usize) -> Result<()> {
    let fits = groups.checked_mul(n).is_some_and(|all| all > 0 && u32::try_from(all).is_ok());
    if fits && n <= 1 << 24 {
        return Ok(());
    }
    let reason = format!("{groups} groups of {n} scores: 1.. of at most 2^24 each, below 2^32 together");
    Err(Error::problem(stem, reason))
}
