//! `y = x` in another storage type: from half precision to f32, or from f32 to half precision, rounding to the nearest.
//!
//! Shapes: `x, y` of any one shape. Memory written: `y`.
//!
//! Errors: more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors), bf16 where the number of elements
//! is no multiple of two. There is no variant from f32 to f32, and so none at all for an odd number of elements on a
//! device without f16.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_len, groups_for, pack, pieces, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Which side is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the storage type to f32.
    Widen,
    /// From f32 to the storage type.
    Narrow,
}

/// Size and direction of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convert {
    /// Elements.
    pub n: usize,
    /// Which side is f32.
    pub direction: Direction,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for Convert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "convert(n={},direction={:?})", self.n, self.direction)
    }
}

impl Kernel for Convert {
    const STEM: &'static str = "convert";
    const SHADER: Source = wgsl!("elementwise/convert.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        let (x, y) = (Slot::read("x", [self.n]), Slot::write("y", [self.n]));
        match self.direction {
            Direction::Widen => vec![x, y.f32()],
            Direction::Narrow => vec![x.f32(), y],
        }
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let module = match self.direction {
            Direction::Widen => wgsl!("elementwise/convert/widen.wgsl"),
            Direction::Narrow => wgsl!("elementwise/convert/narrow.wgsl"),
        };
        let halves = elems(caps, pack(self.n)).into_iter().filter(|elem| *elem != Dtype::F32);
        halves.map(|elem| variant(caps, elem, self.n).by(module, "the direction that is asked for")).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        Launch::new(&Params { packs: packs as u32 }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        // Four bytes on one side and two on the other.
        Work { flops: 0.0, bytes: 6.0 * self.n as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for Convert {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "half precision to f32, or back";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        vec![x.clone()]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.n], 3.0);
        // Halfway between two bf16 numbers with an even and an odd lower neighbour, zeros, f16's largest, a small one.
        let edges = [1.003_906_25, 1.011_718_75, -1.003_906_25, 0.0, -0.0, 65_504.0, -65_504.0, 6.2e-5];
        x.data.iter_mut().zip(edges).for_each(|(x, edge)| *x = edge);
        vec![x]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // Below f16's smallest normal number the step is 2⁻²⁴.
        let (atol, rtol) = if elem == Dtype::F16 { (3e-8, 4.9e-4) } else { (0.0, 3.91e-3) };
        vec![Tolerance { atol, rtol, reason: "half a step of the narrower type" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let both = |n| [Direction::Widen, Direction::Narrow].map(|direction| Self { n, direction });
        [1, 0, 37, 64, 5000].into_iter().flat_map(both).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let n = 32_760 * 1536;
        vec![
            ("wan-1.3b 480p, to f32", Self { n, direction: Direction::Widen }),
            ("wan-1.3b 480p, from f32", Self { n, direction: Direction::Narrow }),
        ]
    }
}

/// The tensor stored as `dtype`: f32, f16 or bf16. The same tensor where it is stored so already.
pub fn convert(x: &Tensor, dtype: Dtype) -> Result<Tensor> {
    let (from, n) = (x.dtype(), x.len());
    let direction = match (from, dtype) {
        (from, to) if from == to => return Ok(x.clone()),
        (Dtype::F16 | Dtype::Bf16, Dtype::F32) => Direction::Widen,
        (Dtype::F32, Dtype::F16 | Dtype::Bf16) => Direction::Narrow,
        _ => {
            return Err(Error::problem(Convert::STEM, format!("from {from} to {dtype}; one of them is f32")));
        }
    };
    let context = x.context();
    let y = Tensor::empty(context, x.shape().clone(), dtype)?;
    let (flat_x, flat_y) = (x.reshape([n])?, y.reshape([n])?);
    // Cuts that the narrow side can bind, small enough for the wide one.
    let caps = Caps { max_binding: context.caps().max_binding / 2, ..context.caps().clone() };
    for piece in pieces(&caps, n, Dtype::F16.size(), 1) {
        let problem = Convert { n: piece.rows, direction };
        run(
            context,
            &problem,
            &[&flat_x.narrow(piece.row, piece.rows)?, &flat_y.narrow(piece.row, piece.rows)?],
        )?;
    }
    Ok(y)
}
