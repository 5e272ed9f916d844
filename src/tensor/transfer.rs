//! Values from the host to the device and back.

use super::{HostTensor, Tensor};
use crate::gpu::{Binding, Context};
use crate::{Dtype, Error, Result, Shape};
use std::borrow::Cow;

fn unfilled(shape: &Shape, given: impl std::fmt::Display) -> Error {
    Error::input("tensor", format!("{given} do not fill shape {shape}"))
}

/// Floats as a storage type has them; none for indices.
fn stored(values: &[f32], dtype: Dtype) -> Option<Cow<'_, [u8]>> {
    let halves = |half: fn(f32) -> [u8; 2]| Cow::Owned(values.iter().flat_map(|&v| half(v)).collect());
    match dtype {
        Dtype::F32 => Some(Cow::Borrowed(bytemuck::cast_slice(values))),
        Dtype::F16 => Some(halves(|v| half::f16::from_f32(v).to_le_bytes())),
        Dtype::Bf16 => Some(halves(|v| half::bf16::from_f32(v).to_le_bytes())),
        Dtype::U32 => None,
    }
}

impl Tensor {
    /// Zeros, made on the device; errors as for [`Tensor::empty`].
    pub fn zeros(context: &Context, shape: impl Into<Shape>, dtype: Dtype) -> Result<Self> {
        let tensor = Self::empty(context, shape, dtype)?;
        let size = tensor.bytes().next_multiple_of(4);
        context.zero(Binding { buffer: &tensor.buffer, offset: 0, size })?;
        Ok(tensor)
    }

    /// Uploads values; [`Error::Input`] where they do not fill the shape, and errors as for [`Tensor::empty`].
    pub fn from_f32(context: &Context, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        Self::from_f32_as(context, shape, values, Dtype::F32)
    }

    /// Uploads values, rounded to `dtype` (f32, f16 or bf16); errors as for [`Tensor::from_f32`], and [`Error::Dtype`] for
    /// u32.
    pub fn from_f32_as(
        context: &Context,
        shape: impl Into<Shape>,
        values: &[f32],
        dtype: Dtype,
    ) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_len() != Some(values.len()) {
            return Err(unfilled(&shape, format_args!("{} values", values.len())));
        }
        if context.is_plan() && dtype != Dtype::U32 {
            return Self::empty(context, shape, dtype);
        }
        match stored(values, dtype) {
            Some(bytes) => Self::from_bytes(context, shape, dtype, &bytes),
            None => Err(mismatch("from_f32_as", "f32, f16 or bf16", dtype)),
        }
    }

    /// Uploads halves; errors as for [`Tensor::from_f32`].
    pub fn from_f16(context: &Context, shape: impl Into<Shape>, values: &[half::f16]) -> Result<Self> {
        Self::from_pod(context, shape, Dtype::F16, values)
    }

    /// Uploads bfloat16; errors as for [`Tensor::from_f32`].
    pub fn from_bf16(context: &Context, shape: impl Into<Shape>, values: &[half::bf16]) -> Result<Self> {
        Self::from_pod(context, shape, Dtype::Bf16, values)
    }

    /// Uploads indices; errors as for [`Tensor::from_f32`].
    pub fn from_u32(context: &Context, shape: impl Into<Shape>, values: &[u32]) -> Result<Self> {
        Self::from_pod(context, shape, Dtype::U32, values)
    }

    fn from_pod<T: bytemuck::Pod>(
        context: &Context,
        shape: impl Into<Shape>,
        dtype: Dtype,
        values: &[T],
    ) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_len() != Some(values.len()) {
            return Err(unfilled(&shape, format_args!("{} values", values.len())));
        }
        Self::from_bytes(context, shape, dtype, bytemuck::cast_slice(values))
    }

    /// Uploads a host tensor, as f32.
    pub fn from_host(context: &Context, host: &HostTensor) -> Result<Self> {
        Self::from_f32(context, host.shape().clone(), host.data())
    }

    /// Uploads elements as they are stored, little-endian; bf16 and f16 are two bytes each.
    ///
    /// # Errors
    /// [`Error::Input`] where the bytes do not fill the shape; those of [`Tensor::empty`].
    pub fn from_bytes(
        context: &Context,
        shape: impl Into<Shape>,
        dtype: Dtype,
        bytes: &[u8],
    ) -> Result<Self> {
        let shape = shape.into();
        if Self::bytes_of(&shape, dtype)? != bytes.len() as u64 {
            return Err(unfilled(&shape, format_args!("{} bytes of {dtype}", bytes.len())));
        }
        let tensor = Self::empty(context, shape, dtype)?;
        context.upload(&tensor.buffer, 0, bytes)?;
        Ok(tensor)
    }

    /// Overwrites the values, rounded to the storage type, in order with recorded work.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of values and as for [`Tensor::write_bytes`]; [`Error::Dtype`] for a tensor of
    /// indices.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(unfilled(&self.shape, format_args!("{} values", values.len())));
        }
        match stored(values, self.dtype) {
            Some(bytes) => self.write_bytes(&bytes),
            None => Err(mismatch("write", "f32, f16 or bf16", self.dtype)),
        }
    }

    /// Overwrites the elements with such as they are stored, little-endian, in order with recorded work.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of bytes, and where the tensor begins or ends inside a word of four bytes, as one
    /// of an odd number of halves does: what lies beside it would be written too. [`Error::Usage`] for an app's buffer without
    /// COPY_DST; those of the device.
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<()> {
        if self.bytes() != bytes.len() as u64 {
            return Err(unfilled(&self.shape, format_args!("{} bytes of {}", bytes.len(), self.dtype)));
        }
        self.require_whole_words("write")?;
        self.context.upload(&self.buffer, self.offset, bytes)
    }

    /// The same values in another context, on its device or on this one's: downloaded here, uploaded there as they are stored.
    /// In the same context it is a copy too, so that writing to one never changes the other.
    ///
    /// # Errors
    /// Those of [`Tensor::to_bytes`] and [`Tensor::from_bytes`].
    pub async fn to_context(&self, context: &Context) -> Result<Self> {
        // What begins inside a word only the host can take out.
        if self.context.same(context) && self.offset.is_multiple_of(4) {
            return self.to_owned_copy();
        }
        let bytes = self.to_bytes().await?;
        Self::from_bytes(context, self.shape.clone(), self.dtype, &bytes)
    }

    /// Downloads the elements as they are stored, little-endian, after all work recorded so far.
    ///
    /// # Errors
    /// [`Error::Lost`] where they were never computed; [`Error::Usage`] for an app's buffer without COPY_SRC;
    /// [`Error::OutOfMemory`] where the host has no room; those of the device.
    pub async fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = self.bytes();
        if bytes == 0 {
            return Ok(Vec::new());
        }
        // Downloads are whole words; a view of f16 may start in the middle of one.
        let before = self.offset % 4;
        let size = (before + bytes).next_multiple_of(4);
        let mut raw = self.context.read(&self.buffer, self.offset - before, size).await?;
        raw.truncate((before + bytes) as usize);
        raw.drain(..before as usize);
        Ok(raw)
    }

    /// Downloads the values as f32.
    ///
    /// # Errors
    /// Those of [`Tensor::to_bytes`]; [`Error::Input`] where an index is one that f32 does not have: [`Tensor::to_u32`].
    pub async fn to_vec(&self) -> Result<Vec<f32>> {
        let raw = self.to_bytes().await?;
        let exact = |(at, index): (usize, u32)| {
            let value = index as f32;
            let reason = || format!("{index} at element {at} is no f32; `to_u32` downloads indices");
            if f64::from(value) == f64::from(index) {
                Ok(value)
            } else {
                Err(Error::input("indices", reason()))
            }
        };
        match self.dtype {
            Dtype::F32 => Ok(elements(&raw, f32::from_le_bytes).collect()),
            Dtype::F16 => Ok(elements(&raw, |b| half::f16::from_le_bytes(b).to_f32()).collect()),
            Dtype::Bf16 => Ok(elements(&raw, |b| half::bf16::from_le_bytes(b).to_f32()).collect()),
            Dtype::U32 => elements(&raw, u32::from_le_bytes).enumerate().map(exact).collect(),
        }
    }

    /// Downloads halves.
    ///
    /// # Errors
    /// [`Error::Dtype`] for a tensor of another type; those of [`Tensor::to_bytes`].
    pub async fn to_f16(&self) -> Result<Vec<half::f16>> {
        self.require("to_f16", Dtype::F16)?;
        Ok(elements(&self.to_bytes().await?, half::f16::from_le_bytes).collect())
    }

    /// Downloads bfloat16.
    ///
    /// # Errors
    /// [`Error::Dtype`] for a tensor of another type; those of [`Tensor::to_bytes`].
    pub async fn to_bf16(&self) -> Result<Vec<half::bf16>> {
        self.require("to_bf16", Dtype::Bf16)?;
        Ok(elements(&self.to_bytes().await?, half::bf16::from_le_bytes).collect())
    }

    /// Downloads indices.
    ///
    /// # Errors
    /// [`Error::Dtype`] for a tensor of floats; those of [`Tensor::to_bytes`].
    pub async fn to_u32(&self) -> Result<Vec<u32>> {
        self.require("to_u32", Dtype::U32)?;
        Ok(elements(&self.to_bytes().await?, u32::from_le_bytes).collect())
    }

    /// Downloads into host memory; errors as for [`Tensor::to_vec`].
    pub async fn to_host(&self) -> Result<HostTensor> {
        HostTensor::new(self.shape.clone(), self.to_vec().await?)
    }

    fn require(&self, call: &'static str, expected: Dtype) -> Result<()> {
        if self.dtype == expected { Ok(()) } else { Err(mismatch(call, expected, self.dtype)) }
    }
}

fn mismatch(call: &'static str, expected: impl std::fmt::Display, found: Dtype) -> Error {
    Error::dtype(call, "tensor", expected, found)
}

/// Elements of some bytes each.
fn elements<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |b| element(*b))
}
