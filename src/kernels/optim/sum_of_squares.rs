//! Sums of squares over blocks of 4096 elements; the host adds the partials in f64.
//!
//! A square of a large or small f32 is none, so a block has three sums: of elements below 2⁻⁵⁰ times 2¹⁰⁰, of those in the
//! middle, and of those above 2⁵² times 2⁻⁷⁶. None of them overflows, and no normal number is lost.
//!
//! Shapes: `x (n)`; `partials (⌈n / 4096⌉, 3)`, f32: small, middle, large. Memory written: `partials`. The same order of
//! additions on every run.
//!
//! Errors: no element or more than 2³².
//!
//! Source: Blue 1978, A portable Fortran program to find the Euclidean norm of a vector.

use crate::gpu::{AdapterClass, Caps};
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Elements of one partial sum: enough for 256 invocations to read 16 each.
const BLOCK: usize = 4096;

/// Elements below the first are small and above the second large.
#[cfg(feature = "verify")]
const BOUNDS: [f64; 2] = [1.0 / (1u64 << 50) as f64, (1u64 << 52) as f64];

/// What small, middle and large elements are multiplied with.
fn scales() -> [f64; 3] {
    [100.0f64.exp2(), 1.0, (-76.0f64).exp2()]
}

/// Number of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumOfSquares {
    /// Elements.
    pub count: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    blocks: u32,
}

impl fmt::Display for SumOfSquares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sum_of_squares(n={})", self.count)
    }
}

impl SumOfSquares {
    fn blocks(&self) -> usize {
        self.count.div_ceil(BLOCK)
    }
}

impl Kernel for SumOfSquares {
    const STEM: &'static str = "sum_of_squares";
    const SHADER: Source = wgsl!("optim/sum_of_squares.wgsl");

    fn check(&self) -> Result<()> {
        // The last block's end is computed in u32 too.
        if self.count == 0 || self.count > u32::MAX as usize - BLOCK {
            return Err(Error::problem(
                Self::STEM,
                format!("{} elements: 1.. below 2^32 - {BLOCK}", self.count),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.count]).f32(), Slot::write("partials", [self.blocks(), 3]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let software = caps.class == AdapterClass::Software;
        let new = |size| Variant::new(Dtype::F32, size).with("BLOCK", BLOCK).module(GRID);
        let workgroup =
            new(if software { lanes(caps) } else { 256 }).module(wgsl!("shared/reduce.workgroup.wgsl"));
        let Some((size, _)) = caps.subgroup.filter(|(low, high)| low == high) else { return vec![workgroup] };
        let subgroup = Variant { subgroup: true, ..new(size).module(wgsl!("shared/reduce.subgroup.wgsl")) };
        // Barriers are dear on a CPU; a GPU wants more invocations a block than one subgroup has.
        if software { vec![subgroup, workgroup] } else { vec![workgroup, subgroup] }
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        Launch::new(
            &Params { count: self.count as u32, blocks: self.blocks() as u32 },
            grid(self.blocks(), caps),
        )
    }

    fn work(&self) -> Work {
        let n = self.count as f64;
        Work { flops: 2.0 * n, bytes: 4.0 * (n + self.blocks() as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for SumOfSquares {
    const FAMILY: &'static str = "optim";
    const SUMMARY: &'static str = "partial sums of squares, for norms of gradients";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let mut partials = Array::zeros([self.blocks(), 3]);
        for (block, sums) in x.data.chunks(BLOCK).zip(partials.data.chunks_exact_mut(3)) {
            for &v in block {
                // NaN belongs to the middle.
                let class = if v.abs() < BOUNDS[0] {
                    0
                } else if v.abs() > BOUNDS[1] {
                    2
                } else {
                    1
                };
                sums[class] += (v * scales()[class]).powi(2);
            }
        }
        vec![partials]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.count], 1.0);
        // Of every size that f32 has, in some of the blocks.
        let sizes = [1e-37, 1e-25, 1e-16, 1e15, 1e17, 1e30, 3e38];
        for (i, v) in x.data.iter_mut().enumerate().filter(|(i, _)| i / BLOCK % 2 == 1 || i % 97 == 36) {
            *v = v.signum() * sizes[i % sizes.len()];
        }
        vec![x]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance {
            atol: 1e-30,
            rtol: 1e-5,
            reason: "f32 sum of up to 512 positive terms an invocation",
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [1, 37, BLOCK, BLOCK + 1, 3 * BLOCK - 7].into_iter().map(|count| Self { count }).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("wan-1.3b 480p latent", Self { count: 16 * 21 * 60 * 104 })]
    }
}

/// Partial sums of the squares of `x`, whatever its shape; [`norm_of`] makes a norm of them.
pub fn sum_of_squares(x: &Tensor) -> Result<Tensor> {
    let problem = SumOfSquares { count: x.len() };
    problem.check()?;
    let partials = Tensor::empty(x.context(), [problem.blocks(), 3], Dtype::F32)?;
    run(x.context(), &problem, &[&x.reshape([x.len()])?, &partials])?;
    Ok(partials)
}

/// The Euclidean norm of all that these partial sums of squares are of, in f64, which holds the norm of any f32.
pub fn norm_of(partials: &[f32]) -> f64 {
    let mut sums = [0.0; 3];
    for block in partials.chunks(3) {
        sums.iter_mut().zip(block).for_each(|(sum, part)| *sum += f64::from(*part));
    }
    sums.iter().zip(scales()).map(|(sum, scale)| sum / scale / scale).sum::<f64>().sqrt()
}

/// Euclidean norm of `x`, whatever its shape and the size of its values.
pub async fn norm(x: &Tensor) -> Result<f64> {
    Ok(norm_of(&sum_of_squares(x)?.to_vec().await?))
}
