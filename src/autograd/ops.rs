//! Ops on single elements and on whole rows.

use super::{Tape, Var};
use crate::kernels::elementwise::{Stream, convert, dropout, gelu_erf, gelu_erf_backward, weighted_sum};
use crate::kernels::token::{PatchOrder, Patches, RowMap, patchify, sum_rows, unpatchify};
use crate::{Dtype, Error, Result, Shape, Tensor};

impl Tape {
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
