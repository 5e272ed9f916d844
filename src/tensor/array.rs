//! Arrays of f64 on which the kernels' references compute.

use crate::Shape;

/// Dense row-major f64 values: input and output of a kernel's reference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Array {
    /// Sizes.
    pub shape: Shape,
    /// Values, row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// Zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let data = vec![0.0; shape.len()];
        Self { shape, data }
    }

    /// Values of a function of the flat index.
    pub fn from_fn(shape: impl Into<Shape>, f: impl FnMut(usize) -> f64) -> Self {
        let shape = shape.into();
        let data = (0..shape.len()).map(f).collect();
        Self { shape, data }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// True when it has no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Values as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&v| v as f32).collect()
    }
}
