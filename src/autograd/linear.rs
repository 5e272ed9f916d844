//! Linear layers, and what follows them in the same kernel.

use super::{Gradients, Tape, Var, matrix};
use crate::kernels::elementwise::{
    channel_scale, gelu, gelu_backward, gelu_erf_backward, transposed, weighted_sum,
};
use crate::kernels::matmul::Layout;
use crate::kernels::rowwise::column_sum;
use crate::kernels::{GeluForm, Then, matmul};
use crate::{Result, Tensor};

/// What follows a linear layer; in the same kernel where the layer has a bias.
#[derive(Debug, Clone, Copy)]
pub enum LinearThen<'a> {
    /// Nothing.
    Nothing,
    /// gelu, tanh form.
    Gelu,
    /// gelu, erf form.
    GeluErf,
    /// Added to a residual of as many elements as the result.
    Residual(&'a Var),
    /// Scaled by gates `(groups, n)` of equal runs of rows, then added to a residual.
    GatedResidual {
        /// Gates; a constant.
        gate: &'a Tensor,
        /// Residual.
        residual: &'a Var,
    },
}

/// What the gradient of `x wᵀ + bias` needs.
struct Linear {
    x: Var,
    w: Var,
    bias: Option<Var>,
}

impl Linear {
    fn backward(&self, dy: &Tensor, g: &mut Gradients) -> Result<()> {
        let Self { x, w, bias } = self;
        let dy = matrix(dy)?;
        if x.requires_grad() {
            g.add(x, matmul(&dy, w.tensor(), Layout::Columns, Then::Nothing)?)?;
        }
        if w.requires_grad() {
            let (across, x2) = (transposed(&dy)?, matrix(x.tensor())?);
            g.add(w, matmul(&across, &x2, Layout::Columns, Then::Nothing)?)?;
        }
        match bias {
            Some(bias) if bias.requires_grad() => g.add(bias, column_sum(&dy)?),
            _ => Ok(()),
        }
    }
}

impl Tape {
    /// `x wᵀ + bias`: `x (…, k)`, `w (n, k)`, `bias (n)`; the result is `(rows, n)`. A gradient reaches those of the three that
    /// want one; that of `w` is fastest where the number of rows is a multiple of four.
    pub fn linear(&mut self, x: &Var, w: &Var, bias: Option<&Var>) -> Result<Var> {
        self.linear_then(x, w, bias, LinearThen::Nothing)
    }

    /// [`Tape::linear`], then what `then` says. A gradient reaches its residual too.
    pub fn linear_then(&mut self, x: &Var, w: &Var, bias: Option<&Var>, then: LinearThen<'_>) -> Result<Var> {
        let node = Linear { x: x.clone(), w: w.clone(), bias: bias.cloned() };
        let rows = matrix(x.tensor())?;
        let product = |then: Then<'_>| matmul(&rows, w.tensor(), Layout::Rows, then);
        let mut inputs = vec![x, w];
        // The gradient by `x` reads the weights, that by the weights reads `x`.
        let mut saved = vec![w.tensor()];
        if w.requires_grad() {
            saved.push(x.tensor());
        }
        let Some(bias) = bias else {
            if let LinearThen::Residual(residual) | LinearThen::GatedResidual { residual, .. } = then {
                self.admit("linear", &[residual])?;
            }
            let y = product(Then::Nothing)?;
            let y = self.output("linear", &inputs, &saved, y, move |dy, g| node.backward(&dy, g))?;
            return self.after(y, then);
        };
        inputs.push(bias);
        let b = bias.tensor();
        match then {
            LinearThen::Nothing => {
                let y = product(Then::Bias(b))?;
                self.output("linear", &inputs, &saved, y, move |dy, g| node.backward(&dy, g))
            }
            LinearThen::Gelu | LinearThen::GeluErf => {
                let erf = matches!(then, LinearThen::GeluErf);
                let form = if erf { GeluForm::Erf } else { GeluForm::Tanh };
                let shape = [rows.dims()[0], w.tensor().dims().first().copied().unwrap_or(0)];
                let before = Tensor::empty(rows.context(), shape, rows.dtype())?;
                let y = product(Then::Gelu { bias: b, form, before: &before })?;
                let kept = before.clone();
                saved.push(&kept);
                self.output("linear", &inputs, &saved, y, move |dy, g| {
                    let dy = if erf { gelu_erf_backward(&before, &dy) } else { gelu_backward(&before, &dy) };
                    node.backward(&dy?, g)
                })
            }
            LinearThen::Residual(residual) => {
                let y = product(Then::Residual { bias: b, residual: &matrix(residual.tensor())? })?;
                inputs.push(residual);
                let through = residual.clone();
                self.output("linear", &inputs, &saved, y, move |dy, g| {
                    node.backward(&dy, g)?;
                    g.add(&through, dy)
                })
            }
            LinearThen::GatedResidual { gate, residual } => {
                let gate = matrix(gate)?;
                let through_rows = matrix(residual.tensor())?;
                let y = product(Then::GatedResidual { bias: b, residual: &through_rows, gate: &gate })?;
                inputs.push(residual);
                let (through, kept) = (residual.clone(), gate.clone());
                saved.push(&kept);
                let inner = node.x.requires_grad() || node.w.requires_grad() || bias.requires_grad();
                self.output("linear", &inputs, &saved, y, move |dy, g| {
                    if inner {
                        node.backward(&channel_scale(&dy, &gate)?, g)?;
                    }
                    g.add(&through, dy)
                })
            }
        }
    }

    /// What follows a layer without a bias, by kernels of its own.
    fn after(&mut self, y: Var, then: LinearThen<'_>) -> Result<Var> {
        let rows = |residual: &Var| residual.reshape(y.tensor().shape().clone());
        match then {
            LinearThen::Nothing => Ok(y),
            LinearThen::Gelu => {
                let (input, z) = (y.clone(), gelu(y.tensor())?);
                self.output("gelu", &[&y], &[y.tensor()], z, move |dy, g| {
                    g.add(&input, gelu_backward(input.tensor(), &dy)?)
                })
            }
            LinearThen::GeluErf => self.gelu_erf(&y),
            LinearThen::Residual(residual) => self.sum(&[&rows(residual)?, &y]),
            LinearThen::GatedResidual { gate, residual } => {
                let (gate, residual) = (matrix(gate)?, rows(residual)?);
                let z = weighted_sum(&[(&channel_scale(y.tensor(), &gate)?, 1.0), (residual.tensor(), 1.0)])?;
                let (input, through, kept) = (y.clone(), residual.clone(), gate.clone());
                self.output("gated residual", &[&y, &residual], &[&kept], z, move |dy, g| {
                    if input.requires_grad() {
                        g.add(&input, channel_scale(&dy, &gate)?)?;
                    }
                    g.add(&through, dy)
                })
            }
        }
    }
}
