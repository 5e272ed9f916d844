//! Sizes of a dense row-major tensor.

use std::fmt;

/// Sizes of a dense tensor, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of elements; `None` when the bytes of the elements, or those of a part of the axes, cannot be counted.
    pub fn checked_len(&self) -> Option<usize> {
        // Four bytes are the widest element. An axis of size zero must not hide that the others cannot be multiplied.
        let mut others = self.0.iter().filter(|d| **d > 0);
        let bytes = others.try_fold(4usize, |n, &d| n.checked_mul(d))?;
        Some(if self.is_empty() { 0 } else { bytes / 4 })
    }

    /// Number of elements; [`usize::MAX`] where [`Self::checked_len`] has none.
    pub fn len(&self) -> usize {
        self.checked_len().unwrap_or(usize::MAX)
    }

    /// True when an axis has size zero.
    pub fn is_empty(&self) -> bool {
        self.0.contains(&0)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
        }
        write!(f, "]")
    }
}
