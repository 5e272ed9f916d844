//! Ops of training: with weights that may want gradients, with rows picked and summed, with losses.

use super::{Gradients, Tape, Var};
use crate::kernels::contrast::{gram, gram_backward, nt_xent, nt_xent_backward};
use crate::kernels::elementwise::{
    Stream, channel_scale, dropout, gelu_erf, gelu_erf_backward, product, transposed, weighted_sum,
};
use crate::kernels::matmul::{Epilogue, Layout, matmul};
use crate::kernels::rowwise::{branch_norm, column_sum, layer_norm, layer_norm_backward};
use crate::kernels::token::{RowMap, sum_rows};
use crate::{Dtype, Error, Result, Shape, Tensor};

fn rows_of(t: &Tensor) -> Result<Tensor> {
    let &[.., cols] = t.dims() else { return Err(Error::input("matrix", "a scalar has no columns")) };
    t.reshape([t.len() / cols.max(1), cols])
}

fn only(mut all: Vec<Tensor>) -> Result<Tensor> {
    if all.is_empty() { Err(Error::input("matmul", "no result")) } else { Ok(all.swap_remove(0)) }
}

/// What follows an affine map in the same kernel.
#[derive(Debug, Clone, Copy)]
pub enum AffineThen<'a> {
    /// gelu, erf form.
    GeluErf,
    /// Added to a residual.
    Residual(&'a Var),
}

/// What the gradient of an affine map needs.
struct Affine {
    x: Var,
    w: Var,
    bias: Option<Var>,
}

impl Affine {
    fn backward(&self, dy: &Tensor, g: &mut Gradients) -> Result<()> {
        let Self { x, w, bias } = self;
        let dy = rows_of(dy)?;
        if x.requires_grad() {
            g.add(x, only(matmul(&dy, w.tensor(), Layout::Columns, Epilogue::None, &[])?)?)?;
        }
        if w.requires_grad() {
            let (across, x2) = (transposed(&dy)?, rows_of(x.tensor())?);
            g.add(w, only(matmul(&across, &x2, Layout::Columns, Epilogue::None, &[])?)?)?;
        }
        match bias {
            Some(bias) if bias.requires_grad() => g.add(bias, column_sum(&dy)?),
            _ => Ok(()),
        }
    }
}

/// What the gradient of a layer norm needs.
struct Norm {
    x: Var,
    scale: Var,
    shift: Var,
    eps: f32,
}

impl Norm {
    fn backward(&self, dy: &Tensor, g: &mut Gradients) -> Result<()> {
        let Self { x, scale, shift, eps } = self;
        if scale.requires_grad() {
            let cols = scale.tensor().len();
            let ones = Tensor::from_f32(dy.context(), [cols], &vec![1.0; cols])?;
            let zeros = Tensor::zeros(dy.context(), [cols], Dtype::F32)?;
            let normed = layer_norm(x.tensor(), &ones, &zeros, false, *eps)?;
            g.add(scale, column_sum(&product(&dy.reshape(normed.shape().clone())?, &normed)?)?)?;
        }
        if shift.requires_grad() {
            g.add(shift, column_sum(dy)?)?;
        }
        if x.requires_grad() {
            g.add(x, layer_norm_backward(x.tensor(), scale.tensor(), dy, false, *eps)?)?;
        }
        Ok(())
    }
}

impl Tape {
    /// `x wᵀ + bias` with gradients by `x (…, k)`, `w (n, k)` and `bias (n)`, whichever want one; the result is
    /// `(rows, n)`. A gradient by `w` is fastest where the number of rows is a multiple of four.
    pub fn affine(&mut self, x: &Var, w: &Var, bias: Option<&Var>) -> Result<Var> {
        let x2 = rows_of(x.tensor())?;
        let y = match bias {
            Some(b) => matmul(&x2, w.tensor(), Layout::Rows, Epilogue::Bias, &[b.tensor()])?,
            None => matmul(&x2, w.tensor(), Layout::Rows, Epilogue::None, &[])?,
        };
        let inputs: Vec<&Var> = [x, w].into_iter().chain(bias).collect();
        let node = Affine { x: x.clone(), w: w.clone(), bias: bias.cloned() };
        let saved = [x.tensor(), w.tensor()];
        self.output("affine", &inputs, &saved, only(y)?, move |dy, g| node.backward(&dy, g))
    }

    /// [`Tape::affine`], then what `then` says in the same kernel, with gradients by what it adds too.
    pub fn affine_then(&mut self, x: &Var, w: &Var, bias: &Var, then: AffineThen<'_>) -> Result<Var> {
        let x2 = rows_of(x.tensor())?;
        let node = Affine { x: x.clone(), w: w.clone(), bias: Some(bias.clone()) };
        match then {
            AffineThen::GeluErf => {
                let extra = [bias.tensor()];
                let mut both = matmul(&x2, w.tensor(), Layout::Rows, Epilogue::BiasGeluErf, &extra)?;
                let pre = both.pop().ok_or_else(|| Error::input("affine", "no value before the gelu"))?;
                let kept = pre.clone();
                let saved = [x.tensor(), w.tensor(), &kept];
                self.output("affine", &[x, w, bias], &saved, only(both)?, move |dy, g| {
                    node.backward(&gelu_erf_backward(&pre, &rows_of(&dy)?)?, g)
                })
            }
            AffineThen::Residual(residual) => {
                let extra = [bias.tensor(), &rows_of(residual.tensor())?];
                let y = only(matmul(&x2, w.tensor(), Layout::Rows, Epilogue::BiasResidual, &extra)?)?;
                let through = residual.clone();
                let saved = [x.tensor(), w.tensor()];
                self.output("affine", &[x, w, bias, residual], &saved, y, move |dy, g| {
                    node.backward(&dy, g)?;
                    g.add(&through, dy)
                })
            }
        }
    }

    /// Layer norm over the last axis with learnt `scale` and `shift` `(cols)`, with gradients by all three.
    pub fn affine_norm(&mut self, x: &Var, scale: &Var, shift: &Var, eps: f32) -> Result<Var> {
        let y = layer_norm(x.tensor(), scale.tensor(), shift.tensor(), false, eps)?;
        let node = Norm { x: x.clone(), scale: scale.clone(), shift: shift.clone(), eps };
        let saved = [x.tensor(), scale.tensor()];
        self.output("affine_norm", &[x, scale, shift], &saved, y, move |dy, g| node.backward(&dy, g))
    }

    /// `residual` plus the layer norm of `x`, as in [`Tape::affine_norm`]: the norm lies on the branch. With gradients by
    /// all four.
    pub fn branch_norm(
        &mut self,
        x: &Var,
        residual: &Var,
        scale: &Var,
        shift: &Var,
        eps: f32,
    ) -> Result<Var> {
        let y = branch_norm(x.tensor(), scale.tensor(), shift.tensor(), residual.tensor(), eps)?;
        let node = Norm { x: x.clone(), scale: scale.clone(), shift: shift.clone(), eps };
        let through = residual.clone();
        let saved = [x.tensor(), scale.tensor()];
        self.output("branch_norm", &[x, residual, scale, shift], &saved, y, move |dy, g| {
            node.backward(&dy, g)?;
            g.add(&through, dy)
        })
    }

    /// gelu, erf form, in the shape of `x`.
    pub fn gelu_erf(&mut self, x: &Var) -> Result<Var> {
        let y = gelu_erf(x.tensor())?;
        let input = x.clone();
        let saved = [x.tensor()];
        self.output("gelu_erf", &[x], &saved, y, move |dy, g| {
            g.add(&input, gelu_erf_backward(input.tensor(), &dy)?)
        })
    }

    /// Rows of `x (…, cols)` summed as `map` says: `(map.rows_out(), cols)`.
    pub fn sum_rows(&mut self, x: &Var, map: &RowMap) -> Result<Var> {
        let y = sum_rows(x.tensor(), map)?;
        let wants = self.recording() && x.requires_grad();
        let (input, back) = (x.clone(), wants.then(|| map.transposed()));
        self.output("sum_rows", &[x], &[], y, move |dy, g| match back {
            Some(back) => g.add(&input, sum_rows(&dy, &back)?),
            None => Ok(()),
        })
    }

    /// Sum of one to four variables of as many elements each, in the first one's shape.
    pub fn sum(&mut self, terms: &[&Var]) -> Result<Var> {
        let shape = terms.first().map(|t| t.tensor().shape().clone()).unwrap_or_else(|| Shape::from([0]));
        let same: Vec<Tensor> =
            terms.iter().map(|t| t.tensor().reshape(shape.clone())).collect::<Result<_>>()?;
        let y = weighted_sum(&same.iter().map(|t| (t, 1.0)).collect::<Vec<_>>())?;
        let inputs: Vec<Var> = terms.iter().map(|&t| t.clone()).collect();
        self.output("sum", terms, &[], y, move |dy, g| {
            inputs.iter().try_for_each(|input| g.add(input, dy.clone()))
        })
    }

    /// Dropout with probability `p`, below 1, in the shape of `x`; nothing happens at 0.
    pub fn dropout(&mut self, x: &Var, p: f32, stream: Stream) -> Result<Var> {
        if p == 0.0 {
            return Ok(x.clone());
        }
        let y = dropout(x.tensor(), p, stream)?;
        let input = x.clone();
        self.output("dropout", &[x], &[], y, move |dy, g| g.add(&input, dropout(&dy, p, stream)?))
    }

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
        let sums = only(matmul(&flat, &ones, Layout::Rows, Epilogue::None, &[])?)?.reshape([batch])?;
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
