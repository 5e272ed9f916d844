//! Tensors as rows and groups of rows, and calls in pieces where a device's bindings ask for it.

use super::contract::Kernel;
use super::run::run;
use crate::gpu::Caps;
use crate::{Error, Result, Tensor};

pub(crate) fn check_groups(stem: &'static str, rows: usize, groups: usize) -> Result<()> {
    if groups == 0 || !rows.is_multiple_of(groups) {
        return Err(Error::problem(stem, format!("{rows} rows do not split into {groups} groups")));
    }
    Ok(())
}

/// Rows and columns of a tensor whose last axis is the row.
pub(crate) fn rows_of(stem: &'static str, x: &Tensor) -> Result<(usize, usize)> {
    match x.dims().last() {
        Some(&cols) if cols > 0 => Ok((x.len() / cols, cols)),
        _ => Err(Error::problem(stem, format!("x {} has no columns", x.shape()))),
    }
}

/// Vectors of a group of rows each, as `(groups, cols)`; one vector may come without the first axis.
pub(crate) fn vectors(stem: &'static str, name: &str, t: &Tensor, cols: usize) -> Result<Tensor> {
    match t.dims() {
        [found] | [_, found] if *found == cols => t.reshape([t.len() / cols, cols]),
        dims => Err(Error::Shape {
            kernel: stem,
            tensor: name.into(),
            axis: "of columns".into(),
            expected: cols,
            found: dims.last().copied().unwrap_or(0),
        }),
    }
}

/// A tensor of a call that is made in pieces of rows.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// Cut with the rows.
    Rows(&'a Tensor),
    /// `(groups, cols)`: a vector for each group of rows.
    Groups(&'a Tensor),
    /// The same for every piece.
    Whole(&'a Tensor),
    /// What the kernel writes, cut with the rows.
    Result,
}

/// Runs a kernel over the rows of `x (…, cols)` into a tensor like it, in pieces where the device's bindings ask for it.
/// `operands` are in binding order.
pub(crate) fn by_rows<K: Kernel>(
    x: &Tensor,
    groups: usize,
    operands: &[Operand<'_>],
    kernel: impl Fn(&Piece) -> K,
) -> Result<Tensor> {
    let (rows, cols) = rows_of(K::STEM, x)?;
    let result = Tensor::empty(x.context(), x.shape().clone(), x.dtype())?;
    let flat = |operand: &Operand<'_>| match *operand {
        Operand::Rows(t) => t.reshape([rows, cols]),
        Operand::Result => result.reshape([rows, cols]),
        Operand::Groups(t) | Operand::Whole(t) => Ok(t.clone()),
    };
    let flat = operands.iter().map(flat).collect::<Result<Vec<_>>>()?;
    for piece in pieces(x.context().caps(), rows, cols * x.dtype().size(), groups) {
        let cut = |(operand, t): (&Operand<'_>, &Tensor)| match operand {
            Operand::Rows(_) | Operand::Result => t.narrow(piece.row, piece.rows),
            Operand::Groups(_) => t.narrow(piece.group, piece.groups),
            Operand::Whole(_) => Ok(t.clone()),
        };
        let cut = operands.iter().zip(&flat).map(cut).collect::<Result<Vec<_>>>()?;
        run(x.context(), &kernel(&piece), &cut.iter().collect::<Vec<_>>())?;
    }
    Ok(result)
}

/// A run of rows that one dispatch can bind, and the groups it belongs to.
pub(crate) struct Piece {
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) group: usize,
    pub(crate) groups: usize,
}

/// Cuts rows so that each piece fits the device's largest binding and starts at an allowed offset; a piece lies within a
/// group unless everything fits at once. A group of a cut tensor that starts at an odd place stays refused, by name.
pub(crate) fn pieces(caps: &Caps, rows: usize, row_bytes: usize, groups: usize) -> Vec<Piece> {
    pieces_of(caps, rows, &[row_bytes], groups)
}

/// [`pieces`] of several tensors of the same rows, each with so many bytes a row.
pub(crate) fn pieces_of(caps: &Caps, rows: usize, bytes: &[usize], groups: usize) -> Vec<Piece> {
    let row_bytes = bytes.iter().copied().max().unwrap_or(0);
    let limit = caps.max_binding.min(1 << 31) as usize;
    let whole = Piece { row: 0, rows, group: 0, groups };
    if rows.saturating_mul(row_bytes) <= limit || groups == 0 || !rows.is_multiple_of(groups) {
        return vec![whole];
    }
    let alignment = caps.offset_alignment.max(16) as usize;
    let aligned_rows = alignment / bytes.iter().fold(alignment, |all, &own| gcd(all, own));
    let most = (limit / row_bytes / aligned_rows).max(1) * aligned_rows;
    let per_group = rows / groups;
    let within = |group: usize| {
        let starts = (0..per_group).step_by(most);
        starts.map(move |start| Piece {
            row: group * per_group + start,
            rows: most.min(per_group - start),
            group,
            groups: 1,
        })
    };
    (0..groups).flat_map(within).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_all_rows_once_and_start_aligned() {
        let caps = Caps { max_binding: 10_000, ..Caps::webgpu_default() };
        for (rows, row_bytes, groups) in [(100, 192, 1), (1000, 20, 1), (300, 768, 3), (7, 100, 7)] {
            let mut next = 0;
            for piece in pieces(&caps, rows, row_bytes, groups) {
                assert_eq!(piece.row, next);
                assert!(piece.rows * row_bytes <= 10_000 || piece.rows == rows);
                assert!(piece.group * (rows / groups) <= piece.row && piece.groups >= 1);
                assert!((piece.row % (rows / groups) * row_bytes).is_multiple_of(256));
                next += piece.rows;
            }
            assert_eq!(next, rows);
        }
    }
}
