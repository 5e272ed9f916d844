//! Losses, and the similarities that they compare.

use super::{Tape, Var};
use crate::kernels::contrast::{gram, gram_backward, nt_xent, nt_xent_backward};
use crate::kernels::elementwise::{channel_scale, product, weighted_sum};
use crate::kernels::matmul::Layout;
use crate::kernels::rowwise::column_sum;
use crate::kernels::{Then, matmul};
use crate::{Error, Result, Tensor};

impl Tape {
    /// Products of all rows of each of `x (batch, rows, dim)` with each other: `(batch, rows, rows)`.
    pub fn gram(&mut self, x: &Var) -> Result<Var> {
        let y = gram(x.tensor())?;
        let input = x.clone();
        let saved = [x.tensor()];
        self.output("gram", &[x], &saved, y, move |dy, g| g.add(&input, gram_backward(input.tensor(), &dy)?))
    }

    /// NT-Xent of `similarity (batch, rows, rows)` over given pairs, see [`nt_xent()`]: the sum of each group's weighted
    /// losses `(batch)`, and beside it the loss of every pair `(batch, rows, rows)`.
    pub fn nt_xent(
        &mut self,
        similarity: &Var,
        positives: &Tensor,
        negatives: &Tensor,
        temperature: f32,
    ) -> Result<(Var, Tensor)> {
        let losses = nt_xent(similarity.tensor(), positives, negatives, temperature)?;
        let &[batch, rows, _] = losses.dims() else {
            return Err(Error::input("similarity", format!("{} has not three axes", losses.shape())));
        };
        let ones = Tensor::from_f32(losses.context(), [1, rows * rows], &vec![1.0; rows * rows])?;
        let flat = losses.reshape([batch, rows * rows])?;
        let sums = matmul(&flat, &ones, Layout::Rows, Then::Nothing)?.reshape([batch])?;
        let saved = [similarity.tensor(), positives, negatives];
        let (input, positives, negatives) = (similarity.clone(), positives.clone(), negatives.clone());
        let total = self.output("nt_xent", &[similarity], &saved, sums, move |dy, g| {
            let d = nt_xent_backward(input.tensor(), &positives, &negatives, &dy, temperature)?;
            g.add(&input, d)
        })?;
        Ok((total, losses))
    }

    /// Mean of `(x − target)²` over all elements, as `(1)`.
    pub fn mean_squared_error(&mut self, x: &Var, target: &Tensor) -> Result<Var> {
        let n = x.tensor().len();
        let difference = weighted_sum(&[
            (&x.tensor().reshape([n, 1])?, 1.0),
            (
                &target.reshape([n, 1]).map_err(|_| Error::Shape {
                    kernel: "mean_squared_error",
                    tensor: "target".into(),
                    axis: "number of elements".into(),
                    expected: n,
                    found: target.len(),
                })?,
                -1.0,
            ),
        ])?;
        let share = 1.0 / n.max(1) as f32;
        let y = weighted_sum(&[(&column_sum(&product(&difference, &difference)?)?, share)])?;
        let input = x.clone();
        let kept = difference.clone();
        self.output("mean_squared_error", &[x], &[&kept], y, move |dy, g| {
            let scaled = channel_scale(&difference, &dy.reshape([1, 1])?)?;
            g.add(&input, weighted_sum(&[(&scaled, 2.0 * share)])?)
        })
    }
}
