//! A tape that records kernel calls and replays their gradients.
//!
//! A [`Var`] is a tensor with a number. An op runs its kernels at once; where some input wants a gradient, it also
//! leaves a node on the tape that turns gradients of its outputs into gradients of its inputs. Inputs that want none
//! cost nothing: cross-attention to a fixed text runs the query half of its backward alone.
//!
//! [`Tape::checkpoint`] keeps a block's input and its attention results only, and runs the rest of the block again when
//! its gradient is due.

mod attend;
mod ops;
mod train;

pub use attend::{Attend, Attended};
pub use ops::LinearThen;
pub use train::AffineThen;

use crate::kernels::elementwise::weighted_sum;
use crate::{Error, Result, Tensor};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A tensor on the tape.
#[derive(Debug, Clone)]
pub struct Var {
    id: usize,
    tensor: Tensor,
    requires_grad: bool,
}

impl Var {
    /// A tensor that no gradient reaches.
    pub fn constant(tensor: Tensor) -> Self {
        Self { id: 0, tensor, requires_grad: false }
    }

    /// Its values.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// A gradient will reach it.
    pub fn requires_grad(&self) -> bool {
        self.requires_grad
    }

    /// The same variable under another shape; its gradient is the same numbers.
    pub fn reshape(&self, shape: impl Into<crate::Shape>) -> Result<Self> {
        Ok(Self { tensor: self.tensor.reshape(shape)?, ..self.clone() })
    }
}

/// Gradients of one backward pass, by variable.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<usize, Tensor>);

impl Gradients {
    /// The gradient of a variable, in its shape, if one reached it.
    pub fn of(&self, var: &Var) -> Result<Option<Tensor>> {
        self.0.get(&var.id).map(|g| g.reshape(var.tensor.shape().clone())).transpose()
    }

    fn take(&mut self, var: &Var) -> Result<Option<Tensor>> {
        self.0.remove(&var.id).map(|g| g.reshape(var.tensor.shape().clone())).transpose()
    }

    fn add(&mut self, var: &Var, gradient: Tensor) -> Result<()> {
        if !var.requires_grad {
            return Ok(());
        }
        let sum = match self.0.remove(&var.id) {
            None => gradient,
            Some(before) => {
                weighted_sum(&[(&before.reshape(gradient.shape().clone())?, 1.0), (&gradient, 1.0)])?
            }
        };
        self.0.insert(var.id, sum);
        Ok(())
    }
}

type Backward = Box<dyn FnOnce(&mut Gradients) -> Result<()>>;
/// A block that [`Tape::checkpoint`] can run twice.
pub type Block = Rc<dyn Fn(&mut Tape, &[Var]) -> Result<Vec<Var>>>;

/// Something done to each row alone; see [`Tape::by_rows`].
pub type RowBlock = Rc<dyn Fn(&mut Tape, &Var) -> Result<Var>>;

/// What a checkpoint keeps besides its block's inputs until the gradient is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Keep {
    /// Results and row statistics of its attention calls, which cost most to compute again.
    #[default]
    Attention,
    /// Nothing: the least memory, and one more forward pass of every block.
    Nothing,
}

/// What a checkpoint keeps of an attention call.
#[derive(Debug, Clone)]
struct KeptAttention {
    o: Tensor,
    stats: Tensor,
}

enum Mode {
    /// Run only.
    Forward,
    /// Run, and leave nodes.
    Record,
    /// Run, and keep attention results for a later replay.
    Keep(VecDeque<KeptAttention>),
    /// Leave nodes, taking attention results from the first run where it kept them. What a block accumulates outside
    /// itself is there already.
    Replay(VecDeque<KeptAttention>),
}

/// Records kernel calls.
pub struct Tape {
    nodes: Vec<Backward>,
    next: usize,
    mode: Mode,
    keep: Keep,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape({} nodes)", self.nodes.len())
    }
}

impl Tape {
    fn with_mode(mode: Mode, next: usize) -> Self {
        Self { nodes: Vec::new(), next, mode, keep: Keep::default() }
    }

    /// A tape for inference: nothing is kept.
    pub fn forward() -> Self {
        Self::with_mode(Mode::Forward, 1)
    }

    /// A tape that records.
    pub fn record() -> Self {
        Self::with_mode(Mode::Record, 1)
    }

    /// A tape that records, with checkpoints that keep this much.
    pub fn record_keeping(keep: Keep) -> Self {
        Self { keep, ..Self::record() }
    }

    fn recording(&self) -> bool {
        matches!(self.mode, Mode::Record | Mode::Replay(_))
    }

    /// A variable whose gradient is wanted.
    pub fn leaf(&mut self, tensor: Tensor) -> Var {
        let requires_grad = self.recording();
        self.var(tensor, requires_grad)
    }

    fn var(&mut self, tensor: Tensor, requires_grad: bool) -> Var {
        self.next += 1;
        Var { id: self.next, tensor, requires_grad }
    }

    /// A new variable computed from `inputs`, with the node that sends its gradient back.
    fn output(
        &mut self,
        inputs: &[&Var],
        tensor: Tensor,
        backward: impl FnOnce(Tensor, &mut Gradients) -> Result<()> + 'static,
    ) -> Var {
        let requires_grad = self.recording() && inputs.iter().any(|v| v.requires_grad);
        let out = self.var(tensor, requires_grad);
        if requires_grad {
            let of = out.clone();
            self.nodes.push(Box::new(move |gradients| match gradients.take(&of)? {
                Some(gradient) => backward(gradient, gradients),
                None => Ok(()),
            }));
        }
        out
    }

    /// An op of your own: `result` was computed from `inputs`. Where a gradient of it is wanted, `backward` turns that
    /// into gradients by the inputs, in their order, shapes and storage types; `None` where there is none.
    pub fn apply(
        &mut self,
        inputs: &[&Var],
        result: Tensor,
        backward: impl FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
    ) -> Var {
        let sources: Vec<Var> = inputs.iter().map(|&v| v.clone()).collect();
        self.output(inputs, result, move |dy, gradients| {
            let found = backward(&dy)?;
            if found.len() != sources.len() {
                let reason = format!("{} for {} inputs of an op", found.len(), sources.len());
                return Err(Error::input("gradients", reason));
            }
            for (input, gradient) in sources.iter().zip(found) {
                let Some(gradient) = gradient else { continue };
                if gradient.len() != input.tensor.len() || gradient.dtype() != input.tensor.dtype() {
                    let of = |t: &Tensor| format!("{} {}", t.shape(), t.dtype());
                    let reason = format!("{} for an input of {}", of(&gradient), of(&input.tensor));
                    return Err(Error::input("gradient", reason));
                }
                gradients.add(input, gradient)?;
            }
            Ok(())
        })
    }

    /// Runs the tape backwards from gradients of some outputs.
    pub fn backward(self, seeds: &[(&Var, Tensor)]) -> Result<Gradients> {
        let mut gradients = Gradients::default();
        for (var, seed) in seeds {
            if seed.len() != var.tensor.len() {
                return Err(Error::input(
                    "gradient",
                    format!("{} for a variable of shape {}", seed.shape(), var.tensor.shape()),
                ));
            }
            gradients.add(var, seed.clone())?;
        }
        for node in self.nodes.into_iter().rev() {
            node(&mut gradients)?;
        }
        Ok(gradients)
    }

    /// Runs a block and, where a gradient is wanted, keeps only its inputs and attention results; the rest is computed
    /// again when the gradient is due.
    pub fn checkpoint(&mut self, inputs: &[Var], block: Block) -> Result<Vec<Var>> {
        // A block within a block is a part of it: the outer one's checkpoint serves both.
        if !matches!(self.mode, Mode::Record) || !inputs.iter().any(Var::requires_grad) {
            return block(self, inputs);
        }
        let keep = self.keep;
        let mut first = match keep {
            Keep::Attention => Self::with_mode(Mode::Keep(VecDeque::new()), 1),
            Keep::Nothing => Self::forward(),
        };
        let plain: Vec<Var> = inputs.iter().map(|v| Var::constant(v.tensor.clone())).collect();
        let results = block(&mut first, &plain)?;
        let kept = match first.mode {
            Mode::Keep(kept) => kept,
            _ => VecDeque::new(),
        };
        let outputs: Vec<Var> = results.into_iter().map(|v| self.var(v.tensor, true)).collect();
        let (inputs, ours) = (inputs.to_vec(), outputs.clone());
        self.nodes.push(Box::new(move |gradients| {
            let mut upstream = Vec::with_capacity(ours.len());
            for out in &ours {
                upstream.push(gradients.take(out)?);
            }
            if upstream.iter().all(Option::is_none) {
                return Ok(());
            }
            let mut again = Self::with_mode(Mode::Replay(kept), 1);
            let leaves: Vec<Var> = inputs
                .iter()
                .map(|v| {
                    if v.requires_grad {
                        again.leaf(v.tensor.clone())
                    } else {
                        Var::constant(v.tensor.clone())
                    }
                })
                .collect();
            let results = block(&mut again, &leaves)?;
            let pairs = results.iter().zip(upstream);
            let seeds: Vec<(&Var, Tensor)> = pairs.filter_map(|(v, g)| g.map(|g| (v, g))).collect();
            let inner = again.backward(&seeds)?;
            for (leaf, input) in leaves.iter().zip(&inputs) {
                if let Some(gradient) = inner.of(leaf)? {
                    gradients.add(input, gradient)?;
                }
            }
            Ok(())
        }));
        Ok(outputs)
    }

    /// Runs `block` on `rows` rows of `x` at a time, and again on each part when its gradient is due, so that only one
    /// part of what the block makes is in memory. `block` works on each row alone and returns as many rows, of any
    /// width; `x` is `(rows, cols)`.
    pub fn by_rows(&mut self, x: &Var, rows: usize, block: RowBlock) -> Result<Var> {
        let &[total, _] = x.tensor.dims() else {
            return Err(Error::input("by_rows", format!("{} is not (rows, cols)", x.tensor.shape())));
        };
        if rows == 0 {
            return Err(Error::input("by_rows", "no row at a time"));
        }
        let parts = move || (0..total).step_by(rows).map(move |first| (first, rows.min(total - first)));
        let mut y: Option<Tensor> = None;
        for (first, count) in parts() {
            let part = Var::constant(x.tensor.narrow(first, count)?);
            let part = block(&mut Self::forward(), &part)?.tensor;
            if part.dims().first() != Some(&count) {
                return Err(Error::input("by_rows", format!("{count} rows became {}", part.shape())));
            }
            let whole = match &y {
                Some(y) => y,
                None => {
                    let shape = [total, part.len() / count.max(1)];
                    y.insert(Tensor::empty(part.context(), shape, part.dtype())?)
                }
            };
            part.copy_to(&whole.narrow(first, count)?)?;
        }
        let y = y.ok_or_else(|| Error::input("by_rows", "no rows"))?;
        let input = x.clone();
        Ok(self.output(&[x], y, move |dy, g| {
            let dx = Tensor::empty(dy.context(), input.tensor.shape().clone(), input.tensor.dtype())?;
            for (first, count) in parts() {
                let mut tape = Self::record();
                let leaf = tape.leaf(input.tensor.narrow(first, count)?);
                let part = block(&mut tape, &leaf)?;
                let gradient = tape.backward(&[(&part, dy.narrow(first, count)?)])?.of(&leaf)?;
                let gradient =
                    gradient.ok_or_else(|| Error::input("by_rows", "no gradient reached the rows"))?;
                gradient.copy_to(&dx.narrow(first, count)?)?;
            }
            g.add(&input, dx)
        }))
    }
}
