//! Contrasts between vectors: which are alike, and how far they are from being as alike as they should be.

pub mod gram;
pub mod gram_backward;
pub mod nt_xent;
pub mod nt_xent_backward;
mod problems;
#[cfg(feature = "verify")]
mod verified;

pub use gram::{Gram, gram};
pub use gram_backward::{GramBackward, gram_backward};
pub use nt_xent::{NtXent, nt_xent};
pub use nt_xent_backward::{NtXentBackward, nt_xent_backward};
pub use problems::{GramProblem, NtXentProblem};

use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};

/// What the loss of pairs and its gradient read.
const PAIRS: Source = wgsl!("contrast/pairs.wgsl");

/// Batch, rows and width of `x (batch, rows, dim)`.
fn sizes(stem: &'static str, x: &Tensor) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(x.dims())
        .map_err(|_| Error::problem(stem, format!("{} has not three axes", x.shape())))
}

fn check_sizes(stem: &'static str, sizes: [usize; 3]) -> Result<()> {
    if sizes.iter().try_fold(1usize, |p, &d| p.checked_mul(d)).is_none_or(|n| n == 0 || n >= 1 << 31) {
        return Err(Error::problem(stem, format!("sizes {sizes:?}: 1.. with a product below 2^31")));
    }
    Ok(())
}

fn check_temperature(stem: &'static str, temperature: f32) -> Result<()> {
    // Its reciprocal is what the shader multiplies with.
    if temperature.is_finite() && temperature > 0.0 && temperature.recip().is_finite() {
        return Ok(());
    }
    Err(Error::problem(stem, format!("temperature {temperature}: a positive number is needed")))
}
