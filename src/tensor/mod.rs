//! Arrays on the device and in host memory.

mod array;
mod host;
mod transfer;

pub use array::Array;
pub use host::HostTensor;

use crate::gpu::{Binding, Buffer, Context};
use crate::{Dtype, Error, Result, Shape};

/// A dense row-major tensor on a device: a view of a pooled buffer. Values go
///
/// | in host memory | up | down | storage types |
/// |---|---|---|---|
/// | `f32` | [`from_f32`](Self::from_f32), [`from_f32_as`](Self::from_f32_as), [`write`](Self::write) | [`to_vec`](Self::to_vec) | f32, f16, bf16, rounded to what is stored; down also u32 |
/// | [`half::f16`] | [`from_f16`](Self::from_f16) | [`to_f16`](Self::to_f16) | f16 |
/// | [`half::bf16`] | [`from_bf16`](Self::from_bf16) | [`to_bf16`](Self::to_bf16) | bf16 |
/// | `u32` | [`from_u32`](Self::from_u32) | [`to_u32`](Self::to_u32) | u32 |
/// | bytes | [`from_bytes`](Self::from_bytes), [`write_bytes`](Self::write_bytes) | [`to_bytes`](Self::to_bytes) | all, as they are stored |
/// | [`HostTensor`] | [`from_host`](Self::from_host) | [`to_host`](Self::to_host) | as for `f32` |
///
/// What goes down waits for the device: `await`, or [`block_on`](crate::gpu::block_on) where there is no executor.
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
        bytes.ok_or_else(|| {
            Error::input("tensor", format!("too large: the bytes of shape {shape} cannot be counted"))
        })
    }

    /// A tensor on an app's buffer, from byte `offset` on; see [`Context::adopt`] for the usages that it needs. Where `offset` is
    /// no multiple of [`crate::Caps::offset_alignment`], kernels read a copy, for which the buffer needs COPY_SRC, and cannot
    /// write.
    ///
    /// # Errors
    /// [`Error::Usage`] where the buffer lacks STORAGE, [`Error::Input`] where the tensor does not fit or begins inside an
    /// element. A usage that only some calls need is asked for by those.
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
                format!(
                    "past the end: {shape} of {dtype} at byte {offset}, the buffer has {} bytes",
                    buffer.size()
                ),
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
                format!("{} elements of {} do not fill shape {shape}", self.len(), self.shape),
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
            let reason = format!("past the end: {count} rows from row {start}, the tensor has {rows}");
            return Err(Error::input("narrow", reason));
        }
        let offset = self.offset + start as u64 * inner as u64 * self.dtype.size() as u64;
        let mut shape = dims.to_vec();
        if let Some(first) = shape.first_mut() {
            *first = count;
        }
        Ok(Self { offset, shape: shape.into(), ..self.clone() })
    }

    /// The error where a tensor of this context meets one that is not.
    pub(crate) fn foreign(&self, kernel: &'static str, name: &str, expected: &Context) -> Error {
        let (expected, found) = (expected.to_string(), self.context.to_string());
        Error::Context { kernel, tensor: name.into(), expected, found }
    }

    fn inside_a_word(&self, call: &str) -> Error {
        let Self { shape, dtype, offset, .. } = self;
        let bytes = self.bytes();
        Error::input(call, format!("no whole words: {shape} {dtype} has {bytes} bytes from byte {offset}"))
    }

    /// The device moves whole words, and the rest of one may be another tensor's.
    fn require_whole_words(&self, call: &str) -> Result<()> {
        let whole = self.offset.is_multiple_of(4) && self.bytes().is_multiple_of(4);
        if whole { Ok(()) } else { Err(self.inside_a_word(call)) }
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

    /// Copies the values into another tensor of the same size and type, in the same context.
    ///
    /// # Errors
    /// [`Error::Context`] for a tensor of another context, [`Error::Input`] for another size or type, memory that both
    /// share, and an odd number of values of two bytes.
    pub fn copy_to(&self, to: &Self) -> Result<()> {
        if !self.context.same(&to.context) {
            return Err(to.foreign("copy", "destination", &self.context));
        }
        if self.len() != to.len() || self.dtype != to.dtype {
            return Err(Error::input(
                "copy",
                format!(
                    "another size or type: source {} {}, destination {} {}",
                    self.shape, self.dtype, to.shape, to.dtype
                ),
            ));
        }
        if self.buffer.same(&to.buffer) {
            return Err(Error::input("copy", "source and destination share a buffer"));
        }
        self.require_whole_words("copy")?;
        self.copy_bytes(to)
    }

    /// Copies, rounding up to whole words.
    fn copy_bytes(&self, to: &Self) -> Result<()> {
        if let Some(odd) = [self, to].into_iter().find(|t| !t.offset.is_multiple_of(4)) {
            return Err(odd.inside_a_word("copy"));
        }
        let size = self.bytes().next_multiple_of(4);
        if size == 0 {
            return Ok(());
        }
        self.context.copy(Binding { size, ..self.binding() }, Binding { size, ..to.binding() })
    }
}
