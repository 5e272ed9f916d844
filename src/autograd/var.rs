//! Variables, and what a gradient needs to find as it was.

use crate::gpu::BufferWatch;
use crate::{Error, Result, Shape, Tensor};
use std::sync::atomic::{AtomicU64, Ordering};

/// The next number of a tape or variable; none is given twice in a process.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A tensor on a tape. It belongs to that tape and to the blocks within it; on another, [`Var::constant`] of its tensor
/// has its values.
#[derive(Debug, Clone)]
pub struct Var {
    number: u64,
    /// The tape that a gradient of it is sent back by; none for what wants no gradient.
    tape: Option<u64>,
    tensor: Tensor,
    /// Of the tensor's memory when the variable was made.
    version: u64,
}

impl Var {
    /// A tensor that no gradient reaches.
    pub fn constant(tensor: Tensor) -> Self {
        Self { number: next_number(), tape: None, version: tensor.version(), tensor }
    }

    /// A variable of a tape.
    pub(super) fn on(tape: u64, tensor: Tensor, requires_grad: bool) -> Self {
        Self { tape: requires_grad.then_some(tape), ..Self::constant(tensor) }
    }

    /// Its values.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// A gradient will reach it.
    pub fn requires_grad(&self) -> bool {
        self.tape.is_some()
    }

    /// The same variable under another shape; its gradient is the same numbers. [`Error::Input`] where they do not fill
    /// it.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        Ok(Self { tensor: self.tensor.reshape(shape)?, ..self.clone() })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn tape(&self) -> Option<u64> {
        self.tape
    }

    /// An error where its memory was written since.
    pub(super) fn unchanged(&self, op: &str) -> Result<()> {
        if self.tensor.version() == self.version {
            return Ok(());
        }
        let shape = self.tensor.shape();
        Err(Error::Tape(format!(
            "{op}: the tensor {shape} of a variable was written after the variable was made; where an op adds to it in \
             place, hand on the variable that the op returns"
        )))
    }
}

/// A tensor that a gradient will read.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    memory: BufferWatch,
    version: u64,
    shape: Shape,
}

impl Saved {
    pub(super) fn new(tensor: &Tensor) -> Self {
        Self { memory: tensor.buffer().watch(), version: tensor.version(), shape: tensor.shape().clone() }
    }

    /// An error where it was written since. What is gone, such as what a block made in between, is computed again.
    pub(super) fn unchanged(&self, op: &str) -> Result<()> {
        match self.memory.version() {
            Some(now) if now != self.version => Err(Error::Tape(format!(
                "{op}: a tensor {} that the gradient needs was written after the forward pass",
                self.shape
            ))),
            _ => Ok(()),
        }
    }
}
