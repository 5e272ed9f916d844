//! Norms of rows.

use super::{Gradients, Tape, Var};
use crate::kernels::elementwise::product;
use crate::kernels::rowwise::{
    RopeAt, branch_norm, column_sum, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward,
};
use crate::{Dtype, Error, Result, Tensor};

/// What the gradient of a layer norm needs.
struct Norm {
    x: Var,
    scale: Var,
    shift: Var,
    eps: f32,
}

impl Norm {
    /// A gradient reaches a scale and a shift of one row alone.
    fn new(kernel: &'static str, x: &Var, scale: &Var, shift: &Var, eps: f32) -> Result<Self> {
        let cols = x.tensor().dims().last().copied().unwrap_or(1);
        for (tensor, var) in [("scale", scale), ("shift", shift)] {
            let found = var.tensor().len();
            if var.requires_grad() && found != cols {
                let (tensor, axis) = (tensor.to_owned(), "number of elements".to_owned());
                return Err(Error::Shape { kernel, tensor, axis, expected: cols, found });
            }
        }
        Ok(Self { x: x.clone(), scale: scale.clone(), shift: shift.clone(), eps })
    }

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
    /// Layer norm over the last axis of `x (…, cols)`, times `scale (cols)`, plus `shift (cols)`. A gradient reaches those of
    /// the three that want one. Constants may have a row for each of equal runs of rows, `(groups, cols)`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a scale or shift that wants a gradient and is not one row.
    pub fn layer_norm(&mut self, x: &Var, scale: &Var, shift: &Var, eps: f32) -> Result<Var> {
        let node = Norm::new("layer_norm", x, scale, shift, eps)?;
        let y = layer_norm(x.tensor(), scale.tensor(), shift.tensor(), false, eps)?;
        let saved = [x.tensor(), scale.tensor()];
        self.output("layer_norm", &[x, scale, shift], &saved, y, move |dy, g| node.backward(&dy, g))
    }

    /// Layer norm over the last axis of `x (…, cols)`, times `1 + scale`, plus `shift`, as diffusion transformers modulate it.
    /// `scale` and `shift`, `(groups, cols)` for equal runs of rows, are constants.
    pub fn modulated_layer_norm(&mut self, x: &Var, scale: &Tensor, shift: &Tensor, eps: f32) -> Result<Var> {
        let y = layer_norm(x.tensor(), scale, shift, true, eps)?;
        let (input, kept) = (x.clone(), scale.clone());
        self.output("modulated_layer_norm", &[x], &[x.tensor(), scale], y, move |dy, g| {
            let dx = layer_norm_backward(input.tensor(), &kept, &dy, true, eps)?;
            g.add(&input, dx)
        })
    }

    /// `residual` plus the layer norm of `x`, as in [`Tape::layer_norm`]: the norm lies on the branch. A gradient reaches
    /// those of the four that want one.
    pub fn branch_norm(
        &mut self,
        x: &Var,
        residual: &Var,
        scale: &Var,
        shift: &Var,
        eps: f32,
    ) -> Result<Var> {
        let node = Norm::new("branch_norm", x, scale, shift, eps)?;
        let y = branch_norm(x.tensor(), scale.tensor(), shift.tensor(), residual.tensor(), eps)?;
        let through = residual.clone();
        let saved = [x.tensor(), scale.tensor()];
        self.output("branch_norm", &[x, residual, scale, shift], &saved, y, move |dy, g| {
            node.backward(&dy, g)?;
            g.add(&through, dy)
        })
    }

    /// RMS norm over the last axis of `x (…, cols)`, times `weight (cols)`, then the rotation of `rope`, where given. The weight
    /// is a constant.
    pub fn rms_norm(&mut self, x: &Var, weight: &Tensor, eps: f32, rope: Option<&RopeAt>) -> Result<Var> {
        let y = rms_norm(x.tensor(), weight, eps, rope)?;
        let saved: Vec<&Tensor> = [x.tensor(), weight].into_iter().chain(rope.map(|r| &r.table)).collect();
        let (input, weight, rope) = (x.clone(), weight.clone(), rope.cloned());
        self.output("rms_norm", &[x], &saved, y, move |dy, g| {
            let dx = rms_norm_backward(input.tensor(), &weight, &dy, eps, rope.as_ref())?;
            g.add(&input, dx)
        })
    }
}
