//! A tensor in host memory.

use crate::{Error, Result, Shape};

/// Dense row-major `f32` values in host memory: what loaders produce and downloads return.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostTensor {
    shape: Shape,
    data: Vec<f32>,
}

impl HostTensor {
    /// Wraps `data`; the length must be the product of `shape`.
    pub fn new(shape: impl Into<Shape>, data: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        match shape.checked_len() {
            Some(n) if n == data.len() => Ok(Self { shape, data }),
            _ => Err(Error::input("host tensor", format!("{} values do not fill shape {shape}", data.len()))),
        }
    }

    /// Zeros of a shape. One that no memory has, of more than [`isize::MAX`] bytes, gives a tensor of shape `[0]`: what
    /// takes it refuses it by its shape.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        match shape.checked_len().filter(|&n| n <= isize::MAX as usize / size_of::<f32>()) {
            Some(n) => Self { shape, data: vec![0.0; n] },
            None => Self { shape: [0].into(), data: Vec::new() },
        }
    }

    /// Sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Values, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Values, row-major, to change in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Takes the values out.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Same values under another shape with as many elements.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        Self::new(shape, self.data)
    }

    /// Fails with [`Error::NonFinite`] at the first NaN or infinity.
    pub fn require_finite(&self, what: &str) -> Result<()> {
        match self.data.iter().position(|v| !v.is_finite()) {
            Some(index) => Err(Error::NonFinite { what: what.into(), index }),
            None => Ok(()),
        }
    }
}
