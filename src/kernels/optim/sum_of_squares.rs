//! `partials[b] = Σ x[i]²` over blocks of 4096 elements; the host adds the partials in f64.
//!
//! Shapes: `x (n)`; `partials (⌈n / 4096⌉)`, f32. Memory written: `partials`. The same order of additions on every run.
//! A square above 3.4e38 becomes infinite.
//!
//! Errors: no element or more than 2³².

use crate::gpu::{AdapterClass, Caps};
use crate::kernels::{Gradient, Kernel, Launch, Slot, Tolerance, Variant, Work, grid, inputs, lanes, run};
use crate::shader::Source;
use crate::tensor::Array;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use rand_pcg::Pcg64;
use std::fmt;

/// Elements of one partial sum: enough for 256 invocations to read 16 each.
const BLOCK: usize = 4096;

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
    const FAMILY: &'static str = "optim";
    const SUMMARY: &'static str = "partial sums of squares, for norms of gradients";
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
        vec![Slot::read("x", [self.count]).f32(), Slot::write("partials", [self.blocks()]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let software = caps.class == AdapterClass::Software;
        let new = |size| Variant::new(Dtype::F32, size).with("BLOCK", BLOCK);
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

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let data = x.data.chunks(BLOCK).map(|block| block.iter().map(|v| v * v).sum()).collect();
        vec![Array { shape: [self.blocks()].into(), data }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.count], 1.0)]
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

    fn work(&self) -> Work {
        let n = self.count as f64;
        Work { flops: 2.0 * n, bytes: 4.0 * (n + self.blocks() as f64) }
    }
}

/// Partial sums of the squares of `x`, whatever its shape.
pub fn sum_of_squares(x: &Tensor) -> Result<Tensor> {
    let problem = SumOfSquares { count: x.len() };
    problem.check()?;
    let partials = Tensor::empty(x.context(), [problem.blocks()], Dtype::F32)?;
    run(x.context(), &problem, &[&x.reshape([x.len()])?, &partials])?;
    Ok(partials)
}

/// Euclidean norm of `x`, whatever its shape.
pub async fn norm(x: &Tensor) -> Result<f64> {
    let partials = sum_of_squares(x)?.to_vec().await?;
    Ok(partials.into_iter().map(f64::from).sum::<f64>().sqrt())
}
