//! Gradients of one backward pass.

use super::Var;
use crate::kernels::elementwise::weighted_sum;
use crate::{Error, Result, Tensor};
use std::collections::{HashMap, HashSet};

/// Gradients of one backward pass, by variable.
#[derive(Debug)]
pub struct Gradients {
    tape: u64,
    /// By variable, with the variable's tape: blocks leave gradients of variables around them.
    found: HashMap<u64, (u64, Tensor)>,
    /// Variables whose gradients stay after they were used.
    kept: HashSet<u64>,
    /// Variables whose gradients were used and dropped.
    dropped: HashSet<u64>,
}

impl Gradients {
    pub(super) fn new(tape: u64, kept: HashSet<u64>) -> Self {
        Self { tape, found: HashMap::new(), kept, dropped: HashSet::new() }
    }

    /// The gradient of a variable, in its shape; none where none reached it.
    ///
    /// # Errors
    /// [`Error::Tape`] for a variable of another tape than the one that ran backwards, and for one that ops computed, whose
    /// gradient was used on the way and not kept: [`Tape::keep_gradient`](super::Tape::keep_gradient) asks for it beforehand.
    pub fn of(&self, var: &Var) -> Result<Option<Tensor>> {
        if var.tape().is_some_and(|tape| tape != self.tape) {
            return Err(Error::Tape("gradients: a variable of another tape was asked for".into()));
        }
        if self.dropped.contains(&var.number()) {
            let shape = var.tensor().shape();
            return Err(Error::Tape(format!(
                "gradients: that of a variable {shape} was used on the way back and not kept; `Tape::keep_gradient` \
                 before the backward keeps it"
            )));
        }
        let found = self.found.get(&var.number());
        found.map(|(_, g)| g.reshape(var.tensor().shape().clone())).transpose()
    }

    /// The gradient of what an op returned, for the op's own use.
    pub(super) fn take(&mut self, var: &Var) -> Result<Option<Tensor>> {
        let number = var.number();
        let found = if self.kept.contains(&number) {
            self.found.get(&number).cloned()
        } else {
            let found = self.found.remove(&number);
            if found.is_some() {
                self.dropped.insert(number);
            }
            found
        };
        found.map(|(_, g)| g.reshape(var.tensor().shape().clone())).transpose()
    }

    pub(super) fn add(&mut self, var: &Var, gradient: Tensor) -> Result<()> {
        let Some(tape) = var.tape() else { return Ok(()) };
        let tensor = var.tensor();
        if gradient.len() != tensor.len() || gradient.dtype() != tensor.dtype() {
            let of = |t: &Tensor| format!("{} {}", t.shape(), t.dtype());
            let reason = format!("{} for a variable of {}", of(&gradient), of(tensor));
            return Err(Error::input("gradient", reason));
        }
        self.add_to(var.number(), tape, gradient)
    }

    fn add_to(&mut self, number: u64, tape: u64, gradient: Tensor) -> Result<()> {
        let sum = match self.found.get(&number) {
            None => gradient,
            Some((_, before)) => {
                weighted_sum(&[(&before.reshape(gradient.shape().clone())?, 1.0), (&gradient, 1.0)])?
            }
        };
        self.found.insert(number, (tape, sum));
        Ok(())
    }

    /// Takes over what a block left for variables of the tapes around it.
    pub(super) fn take_over(&mut self, block: Self) -> Result<()> {
        let outer = block.found.into_iter().filter(|(_, (tape, _))| *tape != block.tape);
        let mut outer: Vec<_> = outer.collect();
        // In one order on every run.
        outer.sort_by_key(|(number, _)| *number);
        outer.into_iter().try_for_each(|(number, (tape, gradient))| self.add_to(number, tape, gradient))
    }

    /// Copies gradients that share memory with each other or with a seed, so that whoever changes one in place changes that
    /// one.
    pub(super) fn own_memory<'a>(&mut self, seeds: impl Iterator<Item = &'a Tensor>) -> Result<()> {
        let mut taken: Vec<Tensor> = seeds.cloned().collect();
        let mut all: Vec<_> = self.found.iter_mut().collect();
        all.sort_by_key(|(number, _)| **number);
        for (_, (_, gradient)) in all {
            if taken.iter().any(|other| other.buffer().same(gradient.buffer())) {
                *gradient = gradient.to_owned_copy()?;
            }
            taken.push(gradient.clone());
        }
        Ok(())
    }
}
