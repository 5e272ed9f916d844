//! Arrays on the device and in host memory.

mod array;
mod host;

pub use array::Array;
pub use host::HostTensor;

use crate::gpu::{Binding, Buffer, Context};
use crate::{Dtype, Error, Result, Shape};

/// A dense row-major tensor on a device: a view of a pooled buffer.
#[derive(Debug, Clone)]
pub struct Tensor {
    context: Context,
    buffer: Buffer,
    /// First byte in the buffer.
    offset: u64,
    shape: Shape,
    dtype: Dtype,
    /// Bytes behind the elements that a binding takes in; see [`with_slack`](Self::with_slack).
    slack: u64,
}

impl Tensor {
    /// Memory for a tensor; its contents are undefined. [`Error::OutOfMemory`] where there is no room,
    /// [`Error::Unsupported`] where it passes the device's largest buffer, [`Error::Input`] where its bytes cannot be
    /// counted.
    pub fn empty(context: &Context, shape: impl Into<Shape>, dtype: Dtype) -> Result<Self> {
        let shape = shape.into();
        let bytes = Self::bytes_of(&shape, dtype)?;
        let buffer = context.allocate(bytes)?;
        Ok(Self { context: context.clone(), buffer, offset: 0, shape, dtype, slack: 0 })
    }

    fn bytes_of(shape: &Shape, dtype: Dtype) -> Result<u64> {
        let bytes = shape.checked_len().and_then(|n| (n as u64).checked_mul(dtype.size() as u64));
        bytes.ok_or_else(|| Error::input("tensor", format!("shape {shape} is too large")))
    }

    /// Uploads values; [`Error::Input`] where they do not fill the shape.
    pub fn from_f32(context: &Context, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        Self::from_f32_as(context, shape, values, Dtype::F32)
    }

    /// Uploads values, stored as `dtype` (f32, f16 or bf16); [`Error::Input`] where they do not fill the shape, and for
    /// indices.
    pub fn from_f32_as(
        context: &Context,
        shape: impl Into<Shape>,
        values: &[f32],
        dtype: Dtype,
    ) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_len() != Some(values.len()) {
            return Err(Error::input("tensor", format!("{} values do not fill shape {shape}", values.len())));
        }
        if dtype == Dtype::U32 {
            return Err(Error::input("tensor", format!("floats cannot be stored as {dtype}")));
        }
        let tensor = Self::empty(context, shape, dtype)?;
        if context.is_plan() {
            return Ok(tensor);
        }
        match dtype {
            Dtype::F32 | Dtype::U32 => context.upload(&tensor.buffer, 0, bytemuck::cast_slice(values))?,
            Dtype::F16 => {
                let halves: Vec<half::f16> = values.iter().map(|&v| half::f16::from_f32(v)).collect();
                context.upload(&tensor.buffer, 0, bytemuck::cast_slice(&halves))?;
            }
            Dtype::Bf16 => {
                let halves: Vec<half::bf16> = values.iter().map(|&v| half::bf16::from_f32(v)).collect();
                context.upload(&tensor.buffer, 0, bytemuck::cast_slice(&halves))?;
            }
        }
        Ok(tensor)
    }

    /// Uploads indices; [`Error::Input`] where they do not fill the shape.
    pub fn from_u32(context: &Context, shape: impl Into<Shape>, values: &[u32]) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_len() != Some(values.len()) {
            return Err(Error::input("tensor", format!("{} values do not fill shape {shape}", values.len())));
        }
        let tensor = Self::empty(context, shape, Dtype::U32)?;
        context.upload(&tensor.buffer, 0, bytemuck::cast_slice(values))?;
        Ok(tensor)
    }

    /// Uploads a host tensor.
    pub fn from_host(context: &Context, host: &HostTensor) -> Result<Self> {
        Self::from_f32(context, host.shape().clone(), host.data())
    }

    /// Zeros in f32.
    pub fn zeros(context: &Context, shape: impl Into<Shape>) -> Result<Self> {
        Self::zeros_as(context, shape, Dtype::F32)
    }

    /// Zeros of any storage type, made on the device; errors as for [`Tensor::empty`].
    pub fn zeros_as(context: &Context, shape: impl Into<Shape>, dtype: Dtype) -> Result<Self> {
        let tensor = Self::empty(context, shape, dtype)?;
        let size = tensor.bytes().next_multiple_of(4);
        context.zero(Binding { buffer: &tensor.buffer, offset: 0, size })?;
        Ok(tensor)
    }

    /// Uploads elements as they are stored, little-endian; bf16 and f16 are two bytes each.
    ///
    /// # Errors
    /// [`Error::Input`] where the bytes do not fill the shape.
    pub fn from_bytes(
        context: &Context,
        shape: impl Into<Shape>,
        dtype: Dtype,
        bytes: &[u8],
    ) -> Result<Self> {
        let shape = shape.into();
        if Self::bytes_of(&shape, dtype)? != bytes.len() as u64 {
            let reason = format!("{} bytes do not fill shape {shape} of {dtype}", bytes.len());
            return Err(Error::input("tensor", reason));
        }
        let tensor = Self::empty(context, shape, dtype)?;
        context.upload(&tensor.buffer, 0, bytes)?;
        Ok(tensor)
    }

    /// A tensor on an app's buffer, from byte `offset` on. The buffer needs the usage STORAGE, COPY_DST to be written by the
    /// host, and COPY_SRC to be read by it. Where `offset` is no multiple of [`crate::Caps::offset_alignment`], kernels read a
    /// copy, which takes COPY_SRC too, and cannot write.
    ///
    /// # Errors
    /// [`Error::Input`] where the tensor does not fit, begins inside an element, or the buffer lacks STORAGE.
    pub fn from_app_buffer(
        context: &Context,
        buffer: &wgpu::Buffer,
        offset: u64,
        shape: impl Into<Shape>,
        dtype: Dtype,
    ) -> Result<Self> {
        let shape = shape.into();
        let bytes = Self::bytes_of(&shape, dtype)?;
        if offset.checked_add(bytes).is_none_or(|end| end > buffer.size()) {
            return Err(Error::input(
                "app buffer",
                format!("{shape} of {dtype} at byte {offset} does not fit in {} bytes", buffer.size()),
            ));
        }
        if !offset.is_multiple_of(dtype.size() as u64) {
            return Err(Error::input("app buffer", format!("byte {offset} is inside an element of {dtype}")));
        }
        let buffer = context.adopt(buffer)?;
        Ok(Self { context: context.clone(), buffer, offset, shape, dtype, slack: 0 })
    }

    /// The context it lives in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Sizes as a slice, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// True when it has no element.
    pub fn is_empty(&self) -> bool {
        self.shape.is_empty()
    }

    /// Storage type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The memory it is a view of.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Same elements under another shape; [`Error::Input`] where they do not fill it.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_len() != Some(self.len()) {
            return Err(Error::input(
                "reshape",
                format!("{} elements do not fill shape {shape}", self.len()),
            ));
        }
        Ok(Self { shape, ..self.clone() })
    }

    /// Rows `start..start + count` of the outermost axis, without a copy; [`Error::Input`] where there are fewer.
    pub fn narrow(&self, start: usize, count: usize) -> Result<Self> {
        let dims = self.dims();
        let (Some(&rows), inner) = (dims.first(), dims.iter().skip(1).product::<usize>()) else {
            return Err(Error::input("narrow", "a scalar has no rows"));
        };
        if start.checked_add(count).is_none_or(|end| end > rows) {
            return Err(Error::input("narrow", format!("rows {start}..{start}+{count} of {rows}")));
        }
        let offset = self.offset + start as u64 * inner as u64 * self.dtype.size() as u64;
        let mut shape = dims.to_vec();
        if let Some(first) = shape.first_mut() {
            *first = count;
        }
        Ok(Self { offset, shape: shape.into(), ..self.clone() })
    }

    /// Number of commands that have written to its memory; see [`crate::autograd`].
    pub(crate) fn version(&self) -> u64 {
        self.buffer.version()
    }

    /// Bytes of the elements.
    pub(crate) fn bytes(&self) -> u64 {
        self.len() as u64 * self.dtype.size() as u64
    }

    /// The same elements in a binding that takes in what lies behind them: where a driver drops what goes past a
    /// binding, a stray write would leave no trace.
    pub(crate) fn with_slack(&self, elements: usize) -> Self {
        Self { slack: elements as u64 * self.dtype.size() as u64, ..self.clone() }
    }

    /// The bytes a kernel binds: rounded up to 16 so that vector reads of the last element stay inside.
    pub fn binding(&self) -> Binding<'_> {
        let bytes = self.bytes() + self.slack;
        // A binding is never empty; a view of nothing may stand at the buffer's end, so it binds the beginning.
        let offset = if bytes == 0 { 0 } else { self.offset };
        let size = bytes.max(1).next_multiple_of(16).min(self.buffer.size() - offset);
        Binding { buffer: &self.buffer, offset, size: size - size % 4 }
    }

    /// Copies the values into a new tensor; [`Error::Input`] for a view that starts inside a word.
    pub fn to_owned_copy(&self) -> Result<Self> {
        let copy = Self::empty(&self.context, self.shape.clone(), self.dtype)?;
        self.copy_bytes(&copy)?;
        Ok(copy)
    }

    /// The same values in another context, on its device or on this one's.
    ///
    /// # Errors
    /// Those of a download and an upload.
    pub async fn to_context(&self, context: &Context) -> Result<Self> {
        if self.context.same(context) {
            return self.to_owned_copy();
        }
        let bytes = self.to_bytes().await?;
        Self::from_bytes(context, self.shape.clone(), self.dtype, &bytes)
    }

    /// Copies the values into another tensor of the same size and type, in the same context.
    ///
    /// # Errors
    /// [`Error::Context`] for a tensor of another context, [`Error::Input`] for another size or type, memory that both
    /// share, and an odd number of values of two bytes.
    pub fn copy_to(&self, to: &Self) -> Result<()> {
        if !self.context.same(&to.context) {
            return Err(Error::Context { kernel: "copy", tensor: "destination".into() });
        }
        if self.len() != to.len() || self.dtype != to.dtype {
            return Err(Error::input(
                "copy",
                format!("{} {} into {} {}", self.shape, self.dtype, to.shape, to.dtype),
            ));
        }
        if self.buffer.same(&to.buffer) {
            return Err(Error::input("copy", "source and destination share a buffer"));
        }
        if !self.bytes().is_multiple_of(4) {
            return Err(Error::input(
                "copy",
                format!("an odd number of {} values: copies are whole words", self.dtype),
            ));
        }
        self.copy_bytes(to)
    }

    /// Copies, rounding up to whole words.
    fn copy_bytes(&self, to: &Self) -> Result<()> {
        if let Some(odd) = [self, to].into_iter().find(|t| !t.offset.is_multiple_of(4)) {
            let reason =
                format!("a view of {} {} starts inside a word (byte {})", odd.shape, odd.dtype, odd.offset);
            return Err(Error::input("copy", reason));
        }
        let size = self.bytes().next_multiple_of(4);
        if size == 0 {
            return Ok(());
        }
        self.context.copy(Binding { size, ..self.binding() }, Binding { size, ..to.binding() })
    }

    /// Overwrites the values; [`Error::Input`] for another number of them, and for a tensor that is not f32.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() || self.dtype != Dtype::F32 {
            return Err(Error::input(
                "write",
                format!("{} f32 values into {} {}", values.len(), self.shape, self.dtype),
            ));
        }
        self.context.upload(&self.buffer, self.offset, bytemuck::cast_slice(values))
    }

    /// Downloads the elements as they are stored, little-endian.
    ///
    /// # Errors
    /// [`Error::Lost`] where they were never computed; those of the device.
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
        Ok(match self.dtype {
            Dtype::F32 => words(&raw).map(f32::from_le_bytes).collect(),
            Dtype::U32 => {
                let exact = |(at, word): (usize, [u8; 4])| {
                    let index = u32::from_le_bytes(word);
                    let value = index as f32;
                    let reason = || format!("{index} at element {at} is no f32; `to_u32` downloads indices");
                    if f64::from(value) == f64::from(index) {
                        Ok(value)
                    } else {
                        Err(Error::input("indices", reason()))
                    }
                };
                words(&raw).enumerate().map(exact).collect::<Result<_>>()?
            }
            Dtype::F16 | Dtype::Bf16 => {
                let value = |b| match self.dtype {
                    Dtype::Bf16 => half::bf16::from_le_bytes(b).to_f32(),
                    _ => half::f16::from_le_bytes(b).to_f32(),
                };
                raw.chunks_exact(2).filter_map(|c| c.try_into().ok()).map(value).collect()
            }
        })
    }

    /// Downloads indices.
    ///
    /// # Errors
    /// [`Error::Dtype`] for a tensor of floats; those of [`Tensor::to_bytes`].
    pub async fn to_u32(&self) -> Result<Vec<u32>> {
        if self.dtype != Dtype::U32 {
            let (expected, found) = (Dtype::U32.to_string(), self.dtype.to_string());
            return Err(Error::Dtype { kernel: "download", tensor: "indices".into(), expected, found });
        }
        Ok(words(&self.to_bytes().await?).map(u32::from_le_bytes).collect())
    }

    /// Downloads into host memory; errors as for [`Tensor::to_vec`].
    pub async fn to_host(&self) -> Result<HostTensor> {
        HostTensor::new(self.shape.clone(), self.to_vec().await?)
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).filter_map(|c| c.try_into().ok())
}
