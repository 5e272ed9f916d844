//! What a product is asked for: sizes, layout, epilogue, and which piece of a weight.

use super::epilogue::Epilogue;
use std::fmt;

/// Inputs of a part are a multiple of this, the most that a way to share the work takes at a time.
const PART_STEP: usize = 32;
/// How the weight lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `(n, k)`: one row an output.
    Rows,
    /// `(k, n)`: one column an output.
    Columns,
}

/// Stored rows of a weight that a product takes, the product's own `n` or `k` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// The first of them.
    pub first: usize,
    /// Rows of the whole weight.
    pub of: usize,
}

/// Sizes and options of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matmul {
    /// Rows of `x`.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Inner size.
    pub k: usize,
    /// How `w` lies.
    pub layout: Layout,
    /// What is done before storing; nothing where there are several parts.
    pub epilogue: Epilogue,
    /// Parts of the inner size.
    pub parts: usize,
    /// Where in a larger weight `w` lies, which then is one part.
    pub piece: Option<Piece>,
}

impl fmt::Display for Matmul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k, layout, epilogue, parts, piece } = self;
        write!(f, "matmul(m={m},n={n},k={k},layout={layout:?},epilogue={epilogue:?}")?;
        if *parts > 1 {
            write!(f, ",parts={parts}")?;
        }
        if let Some(Piece { first, of }) = piece {
            write!(f, ",piece={first}..of {of}")?;
        }
        write!(f, ")")
    }
}

impl Matmul {
    /// Inputs of a part: whole tiles of every way to share the work.
    pub(super) fn part_inputs(&self) -> usize {
        if self.parts > 1 { self.k.div_ceil(self.parts).next_multiple_of(PART_STEP) } else { self.k }
    }

    /// Elements taken at a time along `k` and `n`.
    pub(super) fn pack(&self) -> usize {
        let [inputs, columns] = self.whole();
        let sizes = [self.n, self.k, inputs.0, inputs.1, columns.0, columns.1];
        if sizes.iter().all(|n| n.is_multiple_of(4)) { 4 } else { 1 }
    }

    /// Inputs in a row of `x` and columns in a row of `y`, each with the first that belongs to this product.
    pub(super) fn whole(&self) -> [(usize, usize); 2] {
        match (self.piece, self.layout) {
            (Some(Piece { first, of }), Layout::Rows) => [(self.k, 0), (of, first)],
            (Some(Piece { first, of }), Layout::Columns) => [(of, first), (self.n, 0)],
            (None, _) => [(self.k, 0), (self.n, 0)],
        }
    }

    pub(in crate::kernels) fn groups(&self) -> usize {
        self.epilogue.groups()
    }
}
