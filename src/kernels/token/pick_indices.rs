//! `y[a, i] = x[a, ids[i]]`, of integers: positions of chosen tokens, an axis at a time.
//!
//! Shapes: `x (axes, of)` u32; `ids (count)` u32; `y (axes, count)` u32. Memory written: `y`.
//!
//! Errors: sizes of zero or above 2³²; on the device an id that is not below `of` reads the last column.

#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes of a look-up of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PickIndices {
    /// Rows, of which each is looked up alike.
    pub axes: usize,
    /// Columns of `x`.
    pub of: usize,
    /// Columns taken.
    pub count: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    axes: u32,
    columns: u32,
    count: u32,
}

impl fmt::Display for PickIndices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { axes, of, count } = self;
        write!(f, "pick_indices(axes={axes},of={of},count={count})")
    }
}

impl Kernel for PickIndices {
    const STEM: &'static str = "pick_indices";
    const SHADER: Source = wgsl!("token/pick_indices.wgsl");

    fn check(&self) -> Result<()> {
        let fits = |n: usize| n.checked_mul(self.axes).is_some_and(|n| n > 0 && u32::try_from(n).is_ok());
        if !fits(self.of) || !fits(self.count) {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: sizes are 1.. with products below 2^32"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot::read("x", [self.axes, self.of]).u32(),
            Slot::read("ids", [self.count]).u32(),
            Slot::write("y", [self.axes, self.count]).u32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, lanes(caps)).module(GRID)]
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let Self { axes, of, count } = *self;
        let params = Params { axes: axes as u32, columns: of as u32, count: count as u32 };
        Launch::new(&params, grid((axes * count).div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        Work { flops: 0.0, bytes: 4.0 * (self.count * (2 * self.axes + 1)) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for PickIndices {
    const FAMILY: &'static str = "token";
    const SUMMARY: &'static str = "integers by their ids: positions of chosen tokens";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, ids] = inputs else { return Vec::new() };
        let y = |at: usize| {
            let id = (ids.data[at % self.count] as usize).min(self.of - 1);
            x.data[at / self.count * self.of + id]
        };
        vec![Array::from_fn([self.axes, self.count], y)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let x = inputs::indices(rng, [self.axes, self.of], 1 << 20);
        let mut ids = inputs::indices(rng, [self.count], self.of);
        // The first and the last column, and an id past them.
        for (id, v) in ids.data.iter_mut().zip([0, self.of - 1, self.of + 5]) {
            *id = v as f64;
        }
        vec![x, ids]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "a copy of integers" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |axes, of, count| Self { axes, of, count };
        vec![case(1, 1, 1), case(3, 77, 41), case(3, 500, 333), case(2, 9, 30)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("qwen2.5-vl 1480 of 5560 tokens", Self { axes: 3, of: 5560, count: 1480 })]
    }
}

/// Columns of `x (axes, of)` by `ids (count)`, both u32 on the device: `(axes, count)` u32. An id past the last reads the last.
///
/// # Errors
/// [`Error::Problem`] for other shapes and sizes of zero; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn pick_indices(x: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (&[axes, of], &[count]) = (x.dims(), ids.dims()) else {
        return Err(Error::problem(
            PickIndices::STEM,
            format!("x {} is not a matrix or ids {} not a vector", x.shape(), ids.shape()),
        ));
    };
    let y = Tensor::empty(x.context(), [axes, count], Dtype::U32)?;
    run(x.context(), &PickIndices { axes, of, count }, &[x, ids, &y])?;
    Ok(y)
}
