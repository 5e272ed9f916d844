//! Kernels that reduce over each row of a matrix: norms and softmax.
//!
//! One workgroup a row. The variants are the reduction (workgroup memory, or one subgroup) and the number of elements
//! an invocation takes at a time.

pub mod branch_norm;
pub mod column_sum;
pub mod layer_norm;
pub mod layer_norm_backward;
pub mod rms_norm;
pub mod rms_norm_backward;
mod rope;
pub mod row_change;
mod rows;
pub mod softmax;
pub mod softmax_backward;
#[cfg(feature = "verify")]
mod verified;

pub use branch_norm::{BranchNorm, branch_norm};
pub use column_sum::{ColumnSum, column_sum};
pub use layer_norm::{LayerNorm, layer_norm};
pub use layer_norm_backward::{LayerNormBackward, layer_norm_backward};
pub use rms_norm::{RmsNorm, rms_norm};
pub use rms_norm_backward::{RmsNormBackward, rms_norm_backward};
pub use rope::{Rope, RopeAt, rope_table};
pub use row_change::{RowChange, row_change};
pub use rows::{LayerNormProblem, RmsNormProblem, SoftmaxProblem};
pub use softmax::{Softmax, softmax};
pub use softmax_backward::{SoftmaxBackward, softmax_backward};

use super::contract::{Variant, elems};
use super::packs::{pack, pack_module};
use super::splits::{Operand, by_rows, check_groups, rows_of, vectors};
use super::{GRID, NAN, REDUCE};
use crate::gpu::{AdapterClass, Caps};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};

const REDUCE_SUBGROUP: Source = wgsl!("shared/reduce.subgroup.wgsl");
/// What norms are made of: the unit in which a row is squared, and its moments or its mean square.
const ROW_UNIT: Source = wgsl!("rowwise/row_unit.wgsl");
const MOMENTS: Source = wgsl!("rowwise/moments.wgsl");
const MEAN_SQUARE: Source = wgsl!("rowwise/mean_square.wgsl");

/// One workgroup a row: the reduction in workgroup memory everywhere, in a subgroup where its size is known.
fn row_variants(caps: &Caps, cols: usize, pack: usize) -> Vec<Variant> {
    let software = caps.class == AdapterClass::Software;
    // About four packs an invocation; on a CPU the smallest workgroup, since each barrier costs all of its invocations.
    let wide = (cols / pack / 4).next_power_of_two().clamp(64, 256) as u32;
    let subgroup = caps.subgroup.filter(|(low, high)| low == high).map(|(size, _)| size);
    let of_elem = |elem| {
        let workgroup = Variant::new(elem, if software { 8 } else { wide }).module(REDUCE);
        let workgroup = workgroup.because("everywhere: a row is reduced in workgroup memory");
        let subgroup = subgroup.map(|size| {
            let variant = Variant { subgroup: true, ..Variant::new(elem, size) }.module(REDUCE_SUBGROUP);
            variant.because("subgroups of one known size, of which one reduces a row")
        });
        let both = if software { [subgroup, Some(workgroup)] } else { [Some(workgroup), subgroup] };
        both.into_iter().flatten().map(|v| v.module(GRID).module(pack_module(pack)))
    };
    elems(caps, pack).into_iter().flat_map(of_elem).collect()
}

/// The variants of a norm: rows by their moments, or by their mean square.
fn norm_variants(caps: &Caps, cols: usize, pack: usize, of_rows: Source) -> Vec<Variant> {
    let norm = |v: Variant| {
        let narrow = v.elem == Dtype::F16;
        v.flag("NARROW", narrow).module(ROW_UNIT).module(of_rows)
    };
    row_variants(caps, cols, pack).into_iter().map(norm).collect()
}

fn check_size(stem: &'static str, rows: usize, cols: usize) -> Result<()> {
    if cols == 0 || rows.checked_mul(cols).is_none_or(|n| n > u32::MAX as usize) {
        let reason = format!("rows={rows}, cols={cols}: at least one column and fewer than 2^32 elements");
        return Err(Error::problem(stem, reason));
    }
    Ok(())
}

fn check_positive(stem: &'static str, what: &str, value: f32) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::problem(stem, format!("{what} is {value}; it is finite and above zero")))
}
