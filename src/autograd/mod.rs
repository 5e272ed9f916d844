//! A tape that records kernel calls and replays their gradients.
//!
//! A [`Var`] is a tensor with a number. An op runs its kernels at once; where some input wants a gradient, it also
//! leaves a node on the tape that turns gradients of its outputs into gradients of its inputs. Inputs that want none
//! cost nothing: cross-attention to a fixed text runs the query half of its backward alone.
//!
//! What gets a gradient is said by types: a `&Var` does where it wants one, and [`Var::constant`] wants none; a `&Tensor` never
//! does. So `linear` and `layer_norm` serve fixed and trained weights alike.
//!
//! A variable belongs to its tape. A block that [`Tape::checkpoint`] or [`Tape::by_rows`] runs may use variables of the tape
//! around it, and their gradients flow there; elsewhere a variable of another tape is an error, and so is a gradient that
//! needs a tensor that was written since.
//!
//! [`Tape::checkpoint`] keeps a block's input and its attention results only, and runs the rest of the block again when
//! its gradient is due.
//!
//! On native targets tapes, variables and gradients are [`Send`], so what a tape is handed is too ([`MaybeSend`]). A tape is not
//! [`Sync`]: it is recorded by one thread at a time, and the closures on it may hold what only one thread may see.

mod attend;
mod blocks;
mod gradients;
mod linear;
mod losses;
mod norms;
mod ops;
mod places;
mod threads;
mod var;

pub use attend::{Attend, Attended};
pub use blocks::Keep;
pub use gradients::Gradients;
pub use linear::LinearThen;
pub use threads::MaybeSend;
pub use var::Var;

use crate::{Error, Result, Tensor};
use std::collections::{HashSet, VecDeque};
use var::{Saved, next_number};

#[cfg(not(target_arch = "wasm32"))]
type Backward = Box<dyn FnOnce(&mut Gradients) -> Result<()> + Send>;
#[cfg(target_arch = "wasm32")]
type Backward = Box<dyn FnOnce(&mut Gradients) -> Result<()>>;

/// A tensor as a matrix of its rows.
fn matrix(t: &Tensor) -> Result<Tensor> {
    let &[.., cols] = t.dims() else { return Err(Error::input("matrix", "a scalar has no columns")) };
    t.reshape([t.len() / cols.max(1), cols])
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
///
/// Every op returns the errors of its kernels, and [`Error::Tape`] for a variable of another tape and, where a gradient
/// may ask for it, for one whose tensor was written since the variable was made.
pub struct Tape {
    number: u64,
    /// Tapes around the block that this one runs: their variables may be used here, and their gradients go there.
    outer: Vec<u64>,
    nodes: Vec<Backward>,
    mode: Mode,
    keep: Keep,
    /// A variable of an outer tape was used that wants a gradient.
    captured: bool,
    /// Of a block's first run, what its gradient will need: it must be the same when the block runs again.
    noted: Option<Vec<Saved>>,
    /// Numbers of variables whose gradients are kept.
    kept: HashSet<u64>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape({} nodes)", self.nodes.len())
    }
}

impl Tape {
    fn with_mode(mode: Mode) -> Self {
        Self {
            number: next_number(),
            outer: Vec::new(),
            nodes: Vec::new(),
            mode,
            keep: Keep::default(),
            captured: false,
            noted: None,
            kept: HashSet::new(),
        }
    }

    /// A tape for inference: nothing is kept.
    pub fn forward() -> Self {
        Self::with_mode(Mode::Forward)
    }

    /// A tape that records.
    pub fn record() -> Self {
        Self::with_mode(Mode::Record)
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

    fn var(&self, tensor: Tensor, requires_grad: bool) -> Var {
        Var::on(self.number, tensor, requires_grad)
    }

    /// Refuses variables of other tapes, and those whose values were written since they were made.
    fn admit(&mut self, op: &str, inputs: &[&Var]) -> Result<()> {
        for var in inputs {
            if let Some(tape) = var.tape()
                && tape != self.number
            {
                if !self.outer.contains(&tape) {
                    return Err(Error::Tape(format!(
                        "{op}: a variable of another tape; `Var::constant` of its tensor has its values here"
                    )));
                }
                self.captured = true;
            }
            // Where no gradient will ask, values may change as they like.
            if self.noted.is_some() || !matches!(self.mode, Mode::Forward) {
                var.unchanged(op)?;
            }
        }
        Ok(())
    }

    /// A new variable that `op` computed from `inputs`, with the node that sends its gradient back; `saved` is what that
    /// reads.
    fn output(
        &mut self,
        op: &'static str,
        inputs: &[&Var],
        saved: &[&Tensor],
        tensor: Tensor,
        backward: impl FnOnce(Tensor, &mut Gradients) -> Result<()> + MaybeSend + 'static,
    ) -> Result<Var> {
        self.admit(op, inputs)?;
        let wanted = inputs.iter().any(|v| v.requires_grad());
        // The block reads all of them when it runs again.
        self.note(&inputs.iter().map(|v| v.tensor()).collect::<Vec<_>>());
        self.note(saved);
        let out = self.var(tensor, self.recording() && wanted);
        if out.requires_grad() {
            let of = out.clone();
            self.node(op, saved, move |gradients| match gradients.take(&of)? {
                Some(gradient) => backward(gradient, gradients),
                None => Ok(()),
            });
        }
        Ok(out)
    }

    /// In a block's first run, remembers what its gradient will need.
    fn note(&mut self, saved: &[&Tensor]) {
        if let Some(noted) = &mut self.noted {
            noted.extend(saved.iter().map(|t| Saved::new(t)));
        }
    }

    /// Leaves a node that runs where what it saved is as it was.
    fn node(
        &mut self,
        op: &'static str,
        saved: &[&Tensor],
        backward: impl FnOnce(&mut Gradients) -> Result<()> + MaybeSend + 'static,
    ) {
        let saved: Vec<Saved> = saved.iter().map(|t| Saved::new(t)).collect();
        self.nodes.push(Box::new(move |gradients| {
            saved.iter().try_for_each(|saved| saved.unchanged(op))?;
            backward(gradients)
        }));
    }

    /// An op of your own: `result` was computed from `inputs`. Where a gradient of it is wanted, `backward` turns that
    /// into gradients by the inputs, in their order, shapes and storage types; `None` where there is none. It may read the
    /// inputs' tensors and `result`.
    ///
    /// # Errors
    /// [`Error::Tape`] for inputs of another tape; when the gradient is due, also for inputs that were written since,
    /// and [`Error::Input`] for gradients of another number, size or type.
    pub fn apply(
        &mut self,
        inputs: &[&Var],
        result: Tensor,
        backward: impl FnOnce(&Tensor) -> Result<Vec<Option<Tensor>>> + MaybeSend + 'static,
    ) -> Result<Var> {
        let sources: Vec<Var> = inputs.iter().map(|&v| v.clone()).collect();
        // What a closure from outside reads is not known: anything that it was computed from.
        let saved: Vec<&Tensor> = inputs.iter().map(|v| v.tensor()).collect();
        self.output("apply", inputs, &saved, result, move |dy, gradients| {
            let found = backward(&dy)?;
            if found.len() != sources.len() {
                let reason = format!("{} for {} inputs of an op", found.len(), sources.len());
                return Err(Error::input("gradients", reason));
            }
            for (input, gradient) in sources.iter().zip(found) {
                let Some(gradient) = gradient else { continue };
                gradients.add(input, gradient)?;
            }
            Ok(())
        })
    }

    /// Keeps the gradient of a variable that ops computed, such as a map of attention, for [`Gradients::of`]. Without this only
    /// gradients of [leaves](Tape::leaf) are: those of what lies between are used on the way and dropped.
    ///
    /// # Errors
    /// [`Error::Tape`] for a variable of another tape, and within a block that runs twice, whose variables are made anew when
    /// the gradient is due: have the block return the variable, and keep the gradient of what [`Tape::checkpoint`] returns.
    pub fn keep_gradient(&mut self, var: &Var) -> Result<()> {
        if !self.outer.is_empty() {
            let reason =
                "a block's variables are made anew when their gradient is due; have the block return it";
            return Err(Error::Tape(format!("keep_gradient: {reason}")));
        }
        self.own("keep_gradient", var)?;
        self.kept.insert(var.number());
        Ok(())
    }

    /// Refuses a variable of another tape, blocks' tapes included.
    fn own(&self, call: &str, var: &Var) -> Result<()> {
        if var.tape().is_some_and(|tape| tape != self.number) {
            return Err(Error::Tape(format!("{call}: a variable of another tape was given")));
        }
        Ok(())
    }

    /// Runs the tape backwards from gradients of some outputs: of each variable the gradient that arrives at it, in its size
    /// and storage type. From a scalar loss: [`Tape::backward_from`]. The gradients that come back have memory of their own.
    ///
    /// # Errors
    /// [`Error::Tape`] for a variable of another tape, and where a tensor that a gradient needs (an input of an op, a weight)
    /// was written since the op ran; [`Error::Input`] for a gradient of another size or type than its variable.
    pub fn backward(self, seeds: &[(&Var, Tensor)]) -> Result<Gradients> {
        seeds.iter().try_for_each(|(var, _)| self.own("backward", var))?;
        let mut gradients = self.run_backward(seeds)?;
        gradients.own_memory(seeds.iter().map(|(_, seed)| seed))?;
        Ok(gradients)
    }

    /// Runs the tape backwards from a scalar loss, a variable of one element: the gradients are those of the loss.
    ///
    /// # Errors
    /// [`Error::Input`], naming the shape, for a variable of another number of elements; [`Error::Tape`] for one that was
    /// computed from no variable; otherwise those of [`Tape::backward`].
    pub fn backward_from(self, loss: &Var) -> Result<Gradients> {
        let tensor = loss.tensor();
        if tensor.len() != 1 {
            let reason = format!(
                "it has shape {}; gradients are those of one number: reduce it, or give `backward` a gradient of each",
                tensor.shape()
            );
            return Err(Error::input("loss", reason));
        }
        if !loss.requires_grad() {
            let reason = "the loss was computed from no variable of a recording tape, so it has no gradient";
            return Err(Error::Tape(format!("backward_from: {reason}")));
        }
        let one = Tensor::from_f32_as(tensor.context(), tensor.shape().clone(), &[1.0], tensor.dtype())?;
        self.backward(&[(loss, one)])
    }

    fn run_backward(self, seeds: &[(&Var, Tensor)]) -> Result<Gradients> {
        let mut gradients = Gradients::new(self.number, self.kept);
        for (var, seed) in seeds {
            gradients.add(var, seed.clone())?;
        }
        for node in self.nodes.into_iter().rev() {
            node(&mut gradients)?;
        }
        Ok(gradients)
    }
}
