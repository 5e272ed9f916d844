//! Ops other than attention. Weights are constants: gradients by inputs only.

use super::{Tape, Var};
use crate::kernels::elementwise::{channel_scale, convert, gelu_backward, weighted_sum};
use crate::kernels::matmul::{Epilogue, Layout, matmul};
use crate::kernels::rowwise::{RopeAt, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
use crate::kernels::token::{PatchOrder, Patches, patchify, unpatchify};
use crate::{Dtype, Error, Result, Tensor};

/// What follows a linear layer in the same kernel.
#[derive(Debug, Clone, Copy)]
pub enum LinearThen<'a> {
    /// Nothing.
    Nothing,
    /// gelu, tanh form.
    Gelu,
    /// Added to a residual.
    Residual(&'a Var),
    /// Scaled by gates `(groups, n)` of equal runs of rows, then added to a residual.
    GatedResidual {
        /// Gates; no gradient reaches them.
        gate: &'a Tensor,
        /// Residual.
        residual: &'a Var,
    },
}

fn matrix(t: &Tensor) -> Result<Tensor> {
    let &[.., cols] = t.dims() else { return Err(Error::input("linear", "a scalar has no columns")) };
    t.reshape([t.len() / cols.max(1), cols])
}

impl Tape {
    /// `x wᵀ + bias`, then what `then` says. `x (…, k)`, `w (n, k)`, `bias (n)`; the result is `(rows, n)`. A gradient
    /// reaches `x` and a residual; `w` must be as it was when it is due.
    pub fn linear(&mut self, x: &Var, w: &Tensor, bias: &Tensor, then: LinearThen<'_>) -> Result<Var> {
        let x2 = matrix(x.tensor())?;
        let rows = Layout::Rows;
        let first = |mut all: Vec<Tensor>| {
            if all.is_empty() { Err(Error::input("linear", "no result")) } else { Ok(all.swap_remove(0)) }
        };
        let weight = w.clone();
        // dx = dy · w, in the shape of x.
        let back = move |dy: &Tensor| first(matmul(dy, &weight, Layout::Columns, Epilogue::None, &[])?);
        let input = x.clone();
        match then {
            LinearThen::Nothing => {
                let y = first(matmul(&x2, w, rows, Epilogue::Bias, &[bias])?)?;
                self.output("linear", &[x], &[w], y, move |dy, g| g.add(&input, back(&dy)?))
            }
            LinearThen::Gelu => {
                let mut both = matmul(&x2, w, rows, Epilogue::BiasGelu, &[bias])?;
                let pre = both.pop().ok_or_else(|| Error::input("linear", "no value before the gelu"))?;
                let y = first(both)?;
                let saved = pre.clone();
                self.output("linear", &[x], &[w, &saved], y, move |dy, g| {
                    g.add(&input, back(&gelu_backward(&pre, &dy)?)?)
                })
            }
            LinearThen::Residual(residual) => {
                let r = matrix(residual.tensor())?;
                let y = first(matmul(&x2, w, rows, Epilogue::BiasResidual, &[bias, &r])?)?;
                let through = residual.clone();
                self.output("linear", &[x, residual], &[w], y, move |dy, g| {
                    if input.requires_grad() {
                        g.add(&input, back(&dy)?)?;
                    }
                    g.add(&through, dy)
                })
            }
            LinearThen::GatedResidual { gate, residual } => {
                let r = matrix(residual.tensor())?;
                let gate = matrix(gate)?;
                let groups = gate.dims().first().copied().unwrap_or(1);
                let y =
                    first(matmul(&x2, w, rows, Epilogue::BiasGateResidual { groups }, &[bias, &r, &gate])?)?;
                let through = residual.clone();
                let saved = gate.clone();
                self.output("linear", &[x, residual], &[w, &saved], y, move |dy, g| {
                    if input.requires_grad() {
                        g.add(&input, back(&channel_scale(&dy, &gate)?)?)?;
                    }
                    g.add(&through, dy)
                })
            }
        }
    }

    /// Layer norm over the last axis with `scale`, `shift` `(groups, cols)`; `modulated` scales by `1 + scale`.
    pub fn layer_norm(
        &mut self,
        x: &Var,
        scale: &Tensor,
        shift: &Tensor,
        modulated: bool,
        eps: f32,
    ) -> Result<Var> {
        let y = layer_norm(x.tensor(), scale, shift, modulated, eps)?;
        let (input, kept) = (x.clone(), scale.clone());
        self.output("layer_norm", &[x], &[x.tensor(), scale], y, move |dy, g| {
            let dx = layer_norm_backward(input.tensor(), &kept, &dy, modulated, eps)?;
            g.add(&input, dx)
        })
    }

    /// RMS norm over the last axis, then the rotation of `rope` = (table, grid), where given.
    pub fn rms_norm(
        &mut self,
        x: &Var,
        weight: &Tensor,
        eps: f32,
        rope: Option<(&Tensor, [usize; 3])>,
    ) -> Result<Var> {
        let at = |(table, grid)| RopeAt { table, grid, first_token: 0 };
        let y = rms_norm(x.tensor(), weight, eps, rope.map(at))?;
        let saved: Vec<&Tensor> =
            [x.tensor(), weight].into_iter().chain(rope.map(|(table, _)| table)).collect();
        let (input, weight) = (x.clone(), weight.clone());
        let rope = rope.map(|(table, grid)| (table.clone(), grid));
        self.output("rms_norm", &[x], &saved, y, move |dy, g| {
            let rope = rope.as_ref().map(|(table, grid)| RopeAt { table, grid: *grid, first_token: 0 });
            let dx = rms_norm_backward(input.tensor(), &weight, &dy, eps, rope)?;
            g.add(&input, dx)
        })
    }

    /// Sum of two variables of one shape and storage type.
    pub fn add(&mut self, a: &Var, b: &Var) -> Result<Var> {
        let y = weighted_sum(&[(a.tensor(), 1.0), (b.tensor(), 1.0)])?;
        let (left, right) = (a.clone(), b.clone());
        self.output("add", &[a, b], &[], y, move |dy, g| {
            g.add(&left, dy.clone())?;
            g.add(&right, dy)
        })
    }

    /// The same numbers in another storage type.
    pub fn convert(&mut self, x: &Var, dtype: Dtype) -> Result<Var> {
        if x.tensor().dtype() == dtype {
            return Ok(x.clone());
        }
        let (input, from) = (x.clone(), x.tensor().dtype());
        let y = convert(x.tensor(), dtype)?;
        self.output("convert", &[x], &[], y, move |dy, g| g.add(&input, convert(&dy, from)?))
    }

    /// A clip `(channels, frames, height, width)` as rows of patches `(tokens, values)`.
    pub fn patchify(&mut self, x: &Var, patch: [usize; 3], order: PatchOrder) -> Result<Var> {
        let &[channels, frames, height, width] = x.tensor().dims() else {
            return Err(Error::input(
                "patchify",
                format!("{} is not (channels, frames, height, width)", x.tensor().shape()),
            ));
        };
        let patches = Patches { channels, frames, height, width, patch, order };
        let y = patchify(x.tensor(), patch, order)?;
        let input = x.clone();
        self.output("patchify", &[x], &[], y, move |dy, g| g.add(&input, unpatchify(&dy, patches)?))
    }

    /// The inverse of [`Tape::patchify`].
    pub fn unpatchify(&mut self, y: &Var, patches: Patches) -> Result<Var> {
        let x = unpatchify(y.tensor(), patches)?;
        let input = y.clone();
        let (patch, order) = (patches.patch, patches.order);
        self.output("unpatchify", &[y], &[], x, move |dx, g| g.add(&input, patchify(&dx, patch, order)?))
    }
}
