//! Blocks that run twice: once for their results, and again when their gradient is due.

use super::var::Saved;
use super::{Gradients, MaybeSend, Mode, Tape, Var};
use crate::{Error, Result, Tensor};
use std::collections::VecDeque;

/// What a checkpoint keeps besides its block's inputs until the gradient is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Keep {
    /// Results and row statistics of its attention calls, which cost most to compute again.
    #[default]
    Attention,
    /// Nothing: the least memory, and one more forward pass of every block.
    Nothing,
}

/// What a block's first run tells of it.
struct FirstRun {
    /// It uses variables around it that want gradients.
    captured: bool,
    /// What its gradient will need.
    noted: Vec<Saved>,
}

impl Tape {
    /// A tape for a block within this one.
    fn within(&self, mode: Mode) -> Self {
        let outer = self.outer.iter().copied().chain([self.number]).collect();
        Self { outer, keep: self.keep, ..Self::with_mode(mode) }
    }

    fn first_run(&self, mode: Mode) -> Self {
        Self { noted: Some(Vec::new()), ..self.within(mode) }
    }

    /// Takes in what a block's first run told; a block around this one will want to know too.
    fn take_in(&mut self, block: &mut Self) -> FirstRun {
        let noted = block.noted.take().unwrap_or_default();
        self.captured |= block.captured;
        if let Some(own) = &mut self.noted {
            own.extend(noted.iter().cloned());
        }
        FirstRun { captured: block.captured, noted }
    }

    /// Runs a block and, where a gradient is wanted, keeps only its inputs and attention results; the rest is computed
    /// again when the gradient is due, by running the block a second time. It may use variables of the tape around it.
    ///
    /// # Errors
    /// Those of the block; [`Error::Tape`] for inputs of another tape. When the gradient is due, [`Error::Tape`] where an
    /// input or another tensor that the block reads was written since: what the block itself adds to in place is no such
    /// tensor.
    pub fn checkpoint(
        &mut self,
        inputs: &[Var],
        block: impl Fn(&mut Tape, &[Var]) -> Result<Vec<Var>> + MaybeSend + 'static,
    ) -> Result<Vec<Var>> {
        // A block within a block is a part of it: the outer one's checkpoint serves both.
        if !matches!(self.mode, Mode::Record) {
            return block(self, inputs);
        }
        self.admit("checkpoint", &inputs.iter().collect::<Vec<_>>())?;
        let mode = match self.keep {
            Keep::Attention => Mode::Keep(VecDeque::new()),
            Keep::Nothing => Mode::Forward,
        };
        let mut first = self.first_run(mode);
        let plain: Vec<Var> = inputs.iter().map(|v| Var::constant(v.tensor().clone())).collect();
        let before: Vec<Saved> = plain.iter().map(|v| Saved::new(v.tensor())).collect();
        let results = block(&mut first, &plain)?;
        let FirstRun { captured, mut noted } = self.take_in(&mut first);
        let wanted = captured || inputs.iter().any(Var::requires_grad);
        let outputs: Vec<Var> = results.into_iter().map(|v| self.var(v.tensor().clone(), wanted)).collect();
        if !wanted {
            return Ok(outputs);
        }
        let kept = match first.mode {
            Mode::Keep(kept) => kept,
            _ => VecDeque::new(),
        };
        // An input that the block has written is one that it adds to; the others are to stay.
        noted.extend(before.into_iter().filter(|saved| saved.unchanged("checkpoint").is_ok()));
        let (inputs, ours) = (inputs.to_vec(), outputs.clone());
        let again = self.within(Mode::Replay(kept));
        self.nodes.push(Box::new(move |gradients| {
            let dy: Vec<_> = ours.iter().map(|out| gradients.take(out)).collect::<Result<_>>()?;
            if dy.iter().all(Option::is_none) {
                return Ok(());
            }
            noted.iter().try_for_each(|saved| saved.unchanged("checkpoint"))?;
            replay(again, &inputs, block, dy, gradients)
        }));
        Ok(outputs)
    }

    /// Runs `block` on `rows` rows of `x` at a time, and again on each part when its gradient is due, so that only one
    /// part of what the block makes is in memory. `block` works on each row alone and returns as many rows, of any
    /// width; `x` is `(rows, cols)`. The block may use variables of the tape around it.
    ///
    /// # Errors
    /// [`Error::Input`] for an `x` that is no matrix and for a block that returns another number of rows; otherwise as
    /// [`Tape::checkpoint`].
    pub fn by_rows(
        &mut self,
        x: &Var,
        rows: usize,
        block: impl Fn(&mut Tape, &Var) -> Result<Var> + MaybeSend + 'static,
    ) -> Result<Var> {
        let &[total, _] = x.tensor().dims() else {
            return Err(Error::input("by_rows", format!("{} is not (rows, cols)", x.tensor().shape())));
        };
        if rows == 0 {
            return Err(Error::input("by_rows", "no row at a time"));
        }
        self.admit("by_rows", &[x])?;
        let parts = move || (0..total).step_by(rows).map(move |first| (first, rows.min(total - first)));
        let mut first_run = self.first_run(Mode::Forward);
        let mut y: Option<Tensor> = None;
        for (first, count) in parts() {
            let part = Var::constant(x.tensor().narrow(first, count)?);
            let part = block(&mut first_run, &part)?.tensor().clone();
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
        let FirstRun { captured, noted } = self.take_in(&mut first_run);
        let wanted = self.recording() && (captured || x.requires_grad());
        let out = self.var(y, wanted);
        if !wanted {
            return Ok(out);
        }
        let (input, of, outer) = (x.clone(), out.clone(), self.within(Mode::Record).outer);
        self.node("by_rows", &[x.tensor()], move |gradients| {
            let Some(dy) = gradients.take(&of)? else { return Ok(()) };
            noted.iter().try_for_each(|saved| saved.unchanged("by_rows"))?;
            let x = input.tensor();
            let wants = input.requires_grad();
            let dx =
                if wants { Some(Tensor::empty(dy.context(), x.shape().clone(), x.dtype())?) } else { None };
            for (first, count) in parts() {
                let mut tape = Self { outer: outer.clone(), ..Self::record() };
                let rows = x.narrow(first, count)?;
                let leaf = if wants { tape.leaf(rows) } else { Var::constant(rows) };
                let part = block(&mut tape, &leaf)?;
                let found = tape.run_backward(&[(&part, dy.narrow(first, count)?)])?;
                if let Some(dx) = &dx {
                    let dx = dx.narrow(first, count)?;
                    match found.of(&leaf)? {
                        Some(gradient) => gradient.copy_to(&dx)?,
                        None => return Err(Error::input("by_rows", "no gradient reached the rows")),
                    }
                }
                gradients.take_over(found)?;
            }
            dx.map_or(Ok(()), |dx| gradients.add(&input, dx))
        });
        Ok(out)
    }
}

/// Runs a block again, leaving nodes, and sends the gradients of its results back to its inputs and to what it captured.
fn replay(
    mut again: Tape,
    inputs: &[Var],
    block: impl Fn(&mut Tape, &[Var]) -> Result<Vec<Var>>,
    dy: Vec<Option<Tensor>>,
    gradients: &mut Gradients,
) -> Result<()> {
    let leaves: Vec<Var> = inputs
        .iter()
        .map(|v| {
            let tensor = v.tensor().clone();
            if v.requires_grad() { again.leaf(tensor) } else { Var::constant(tensor) }
        })
        .collect();
    let results = block(&mut again, &leaves)?;
    let pairs = results.iter().zip(dy);
    let seeds: Vec<(&Var, Tensor)> = pairs.filter_map(|(v, g)| g.map(|g| (v, g))).collect();
    let inner = again.run_backward(&seeds)?;
    for (leaf, input) in leaves.iter().zip(inputs) {
        if let Some(gradient) = inner.of(leaf)? {
            gradients.add(input, gradient)?;
        }
    }
    gradients.take_over(inner)
}
