//! Kernels that treat each element alone: activations, their gradients, scalings and sums.
//!
//! An invocation takes several packs of elements, a workgroup's width apart. The only variants are the storage type
//! and the number of elements at a time.

pub mod channel_scale;
pub mod convert;
pub mod dropout;
pub mod geglu;
pub mod gelu;
pub mod gelu_backward;
pub mod gelu_erf;
pub mod gelu_erf_backward;
pub mod pointwise;
pub mod product;
pub mod silu;
pub mod silu_backward;
pub mod slice;
pub mod swiglu;
pub mod transposed;
#[cfg(feature = "verify")]
mod verified;
pub mod weighted_sum;

pub use channel_scale::{ChannelScale, channel_scale};
pub use convert::{Convert, Direction, convert};
pub use dropout::{Dropout, Stream, dropout};
pub use geglu::{Geglu, geglu};
pub use gelu::{Gelu, gelu};
pub use gelu_backward::{GeluBackward, gelu_backward};
pub use gelu_erf::{GeluErf, gelu_erf};
pub use gelu_erf_backward::{GeluErfBackward, gelu_erf_backward};
#[cfg(feature = "verify")]
pub use pointwise::Formula;
pub use pointwise::{Each, Pointwise, each};
pub use product::{Product, product};
pub use silu::{Silu, silu};
pub use silu_backward::{SiluBackward, silu_backward};
pub use slice::{Slice, slice, slice_backward};
pub use swiglu::{Swiglu, swiglu};
pub use transposed::{Transposed, transposed};
pub use weighted_sum::{WeightedSum, weighted_sum};

use super::GRID;
use super::contract::Variant;
use super::packs::{pack, pack_module};
use super::run::{grid, lanes};
use super::splits::{Operand, by_rows, check_groups, pieces, pieces_of, rows_of, vectors};
use crate::gpu::{AdapterClass, Caps};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};

const STEP: Source = wgsl!("elementwise/step.wgsl");
const BETWEEN: Source = wgsl!("shared/between.wgsl");
const LOGISTIC: Source = wgsl!("elementwise/logistic.wgsl");
const GELU: Source = wgsl!("shared/gelu.wgsl");
const GELU_ERF: Source = wgsl!("shared/gelu_erf.wgsl");

/// The variant for a storage type; `cols` is what the pack must divide.
fn variant(caps: &Caps, elem: Dtype, cols: usize) -> Variant {
    packed(caps, elem, pack(cols))
}

/// The variant for a storage type and so many elements at a time.
fn packed(caps: &Caps, elem: Dtype, pack: usize) -> Variant {
    // Starting a workgroup costs a CPU as much as hundreds of elements; a GPU wants many workgroups.
    let steps = if caps.class == AdapterClass::Software { 16 } else { 2 };
    Variant::new(elem, lanes(caps)).with("STEPS", steps).module(GRID).module(STEP).module(pack_module(pack))
}

/// Workgroups for a number of packs.
fn groups_for(packs: usize, caps: &Caps, variant: &Variant) -> [u32; 3] {
    let each = variant.number("WG_SIZE").max(1) * variant.number("STEPS").max(1);
    grid(packs.div_ceil(each as usize), caps)
}

fn check_len(stem: &'static str, n: usize) -> Result<()> {
    // Half of u32, so that the last workgroup's surplus invocations do not wrap around.
    if n > 1 << 31 {
        return Err(Error::problem(stem, format!("{n} elements; at most 2^31 in one dispatch")));
    }
    Ok(())
}
