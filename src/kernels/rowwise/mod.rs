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
pub use softmax::{Softmax, softmax};
pub use softmax_backward::{SoftmaxBackward, softmax_backward};

use super::GRID;
use super::contract::{Variant, elems};
use super::packs::{pack, pack_module};
use super::splits::{check_groups, pieces, rows_of, vectors};
use crate::gpu::{AdapterClass, Caps};
use crate::shader::Source;
use crate::{Dtype, Error, HostTensor, Result, Tensor, wgsl};

/// Rotary position over (frame, height, width), for rows that are tokens in that order.
///
/// Of the `c = head_dim / 2` pairs of a head the first `c − 2 (c / 3)` turn by the token's frame, the next `c / 3` by
/// its height, the last `c / 3` by its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rope {
    /// Heads of a row.
    pub heads: usize,
    /// Columns of a head; even.
    pub head_dim: usize,
    /// Frames, height and width in tokens. Rows beyond their product start again: a batch.
    pub grid: [usize; 3],
    /// Token of row 0, for a part of a sequence.
    pub first_token: usize,
    /// Rows of the table; at least the largest size of the grid.
    pub positions: usize,
}

/// How a wrapper is told about a rotary position: table, grid, and token of row 0.
#[derive(Debug, Clone, Copy)]
pub struct RopeAt<'a> {
    /// `(positions, head_dim / 2, 2)` in f32, from [`rope_table`].
    pub table: &'a Tensor,
    /// Frames, height and width in tokens.
    pub grid: [usize; 3],
    /// Token of row 0.
    pub first_token: usize,
}

impl RopeAt<'_> {
    fn for_cols(&self, stem: &'static str, cols: usize) -> Result<Rope> {
        match *self.table.dims() {
            [positions, pairs, 2] if pairs > 0 && cols.is_multiple_of(2 * pairs) => Ok(Rope {
                heads: cols / (2 * pairs),
                head_dim: 2 * pairs,
                grid: self.grid,
                first_token: self.first_token,
                positions,
            }),
            _ => Err(Error::problem(
                stem,
                format!(
                    "rope_table {} is (positions, head_dim / 2, 2) with heads of {cols} columns",
                    self.table.shape()
                ),
            )),
        }
    }
}

impl Rope {
    fn check(&self, stem: &'static str, rows: usize, cols: usize) -> Result<()> {
        let Self { heads, head_dim, grid: [frames, height, width], first_token, positions } = *self;
        let limit = u32::MAX as usize;
        let tokens =
            frames.checked_mul(height).and_then(|n| n.checked_mul(width)).filter(|&n| n > 0 && n <= limit);
        let refuse = |reason: String| Err(Error::problem(stem, reason));
        if head_dim == 0 || !head_dim.is_multiple_of(2) || heads.checked_mul(head_dim) != Some(cols) {
            return refuse(format!(
                "{heads} heads of {head_dim} columns do not make {cols} columns of pairs"
            ));
        }
        if tokens.is_none() || first_token.checked_add(rows).is_none_or(|end| end > limit) {
            return refuse(format!(
                "grid {frames}×{height}×{width} from token {first_token}: 1.. and below 2^32"
            ));
        }
        if positions < frames.max(height).max(width)
            || positions.checked_mul(head_dim).is_none_or(|n| n > limit)
        {
            return refuse(format!(
                "a table of {positions} positions does not serve {frames}×{height}×{width}"
            ));
        }
        Ok(())
    }

    fn table_shape(&self) -> [usize; 3] {
        [self.positions, self.head_dim / 2, 2]
    }
}

/// Axis of pair `j` of a head, its number within the axis, and the axis's number of pairs.
fn axis_of(j: usize, pairs: usize) -> (usize, usize, usize) {
    let third = pairs / 3;
    let first = pairs - 2 * third;
    if j < first {
        (0, j, first)
    } else if j < first + third {
        (1, j - first, third)
    } else {
        (2, j - first - third, third)
    }
}

/// Cosine and sine of every position and pair: `(positions, head_dim / 2, 2)`. Within an axis of `d` columns pair `j`
/// turns by `theta^(−2j/d)` a position; `theta` is 10000 in Wan. Angles are computed in f64.
///
/// # Errors
/// [`Error::Input`] for heads without columns or of an odd number of them, a theta that is not above zero or of which
/// angles pass f64's range, and a table of 2³² elements and more.
pub fn rope_table(positions: usize, head_dim: usize, theta: f64) -> Result<HostTensor> {
    let refuse = |reason: String| Err(Error::input("rope table", reason));
    if head_dim < 2 || !head_dim.is_multiple_of(2) {
        return refuse(format!("heads of {head_dim} columns are not made of pairs"));
    }
    if positions.checked_mul(head_dim).is_none_or(|n| n > u32::MAX as usize) {
        return refuse(format!("{positions} positions of {head_dim} columns: below 2^32 elements"));
    }
    // Where theta is below 1, no pair turns by more than 1 / theta a position.
    if !(theta.is_finite() && theta > 0.0 && (positions as f64 / theta).is_finite()) {
        return refuse(format!("theta {theta}: a positive number that leaves angles finite"));
    }
    Ok(turns(positions, head_dim, theta))
}

/// [`rope_table`] of numbers that are known to make one.
fn turns(positions: usize, head_dim: usize, theta: f64) -> HostTensor {
    let pairs = head_dim / 2;
    let mut table = HostTensor::zeros([positions, pairs, 2]);
    for (i, turn) in table.data_mut().chunks_exact_mut(2).enumerate() {
        let (_, j, of) = axis_of(i % pairs, pairs);
        let angle = (i / pairs) as f64 * theta.powf(-(j as f64) / of as f64);
        (turn[0], turn[1]) = (angle.cos() as f32, angle.sin() as f32);
    }
    table
}

const REDUCE_WORKGROUP: Source = wgsl!("shared/reduce.workgroup.wgsl");
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
        let workgroup = Variant::new(elem, if software { 8 } else { wide }).module(REDUCE_WORKGROUP);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rope_splits_64_pairs_into_22_21_21() {
        assert_eq!(axis_of(21, 64), (0, 21, 22));
        assert_eq!(axis_of(22, 64), (1, 0, 21));
        assert_eq!(axis_of(63, 64), (2, 20, 21));
        let table = turns(3, 128, 10_000.0);
        // Position 2, pair 23: the second pair of the height axis, 42 columns wide.
        let angle = 2.0 * 10_000f64.powf(-2.0 / 42.0);
        let at = (2 * 64 + 23) * 2;
        assert_eq!(table.data()[at..at + 2], [angle.cos() as f32, angle.sin() as f32]);
    }
}
