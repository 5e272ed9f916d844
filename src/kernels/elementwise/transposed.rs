//! `y[c, r] = x[r, c]`. A weight's gradient `dw = dyᵀ x` is a matrix product with `dy` transposed.
//!
//! Shapes: `x (rows, cols)`; `y (cols, rows)`. Memory written: `y`.
//!
//! Errors: sizes of zero, 2³¹ elements or more.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{groups_for, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transposed {
    /// Rows of `x`.
    pub rows: usize,
    /// Columns of `x`.
    pub cols: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    rows: u32,
    cols: u32,
}

impl fmt::Display for Transposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transposed(rows={},cols={})", self.rows, self.cols)
    }
}

impl Kernel for Transposed {
    const STEM: &'static str = "transposed";
    const SHADER: Source = wgsl!("elementwise/transposed.wgsl");

    fn check(&self) -> Result<()> {
        if self.rows.checked_mul(self.cols).is_none_or(|n| n == 0 || n >= 1 << 31) {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: sizes are 1.. with a product below 2^31"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { rows, cols } = *self;
        vec![Slot::read("x", [rows, cols]), Slot::write("y", [cols, rows])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, 1).into_iter().map(|elem| variant(caps, elem, 1)).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let count = self.rows * self.cols;
        let params = Params { count: count as u32, rows: self.rows as u32, cols: self.cols as u32 };
        Launch::new(&params, groups_for(count, caps, variant))
    }

    fn work(&self) -> Work {
        Work { flops: 0.0, bytes: 8.0 * (self.rows * self.cols) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for Transposed {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "a matrix with rows and columns exchanged";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let Self { rows, cols } = *self;
        vec![Array::from_fn([cols, rows], |i| x.data[i % rows * cols + i / rows])]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.rows, self.cols], 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "a copy of stored values" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let Self { rows, cols } = *self;
        Some(Gradient::linear(Self::STEM, move |inputs, x| {
            let [dy] = inputs else { return f64::NAN };
            (0..rows * cols).map(|i| x.data[i % cols * rows + i / cols] * dy.data[i]).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        [(1, 1), (1, 9), (37, 5), (64, 128), (131, 33)].map(|(rows, cols)| Self { rows, cols }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 clips of vision", Self { rows: 16 * 501, cols: 128 })]
    }
}

/// `x (rows, cols)` as `(cols, rows)`.
pub fn transposed(x: &Tensor) -> Result<Tensor> {
    let &[rows, cols] = x.dims() else {
        return Err(Error::problem(Transposed::STEM, format!("x {} is no matrix", x.shape())));
    };
    let y = Tensor::empty(x.context(), [cols, rows], x.dtype())?;
    run(x.context(), &Transposed { rows, cols }, &[x, &y])?;
    Ok(y)
}
