//! Ops that say where things stand: slices of an axis, rotary positions.

use super::{Tape, Var};
use crate::Result;
use crate::kernels::elementwise::{slice, slice_backward};
use crate::kernels::token::{RotaryPositions, rotary, rotary_backward};

impl Tape {
    /// `count` places of an axis of `x` from `start` on, as a copy.
    ///
    /// # Errors
    /// Those of [`slice()`] and of every op.
    pub fn slice(&mut self, x: &Var, axis: usize, start: usize, count: usize) -> Result<Var> {
        let y = slice(x.tensor(), axis, start, count)?;
        let of = x.tensor().dims().get(axis).copied().unwrap_or(0);
        let input = x.clone();
        self.output("slice", &[x], &[], y, move |dy, g| g.add(&input, slice_backward(&dy, axis, start, of)?))
    }

    /// `x (…, heads, head_dim)` turned by the positions of its tokens.
    ///
    /// # Errors
    /// Those of [`rotary()`] and of every op.
    pub fn rotary(&mut self, x: &Var, at: &RotaryPositions) -> Result<Var> {
        let y = rotary(x.tensor(), at)?;
        let (input, at) = (x.clone(), at.clone());
        let saved = [at.table.clone(), at.positions.clone()];
        self.output("rotary", &[x], &saved.each_ref(), y, move |dy, g| {
            g.add(&input, rotary_backward(&dy, &at)?)
        })
    }
}
