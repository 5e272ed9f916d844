//! Named tensors that can be trained, and layers by their names.

use crate::autograd::{Gradients, LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::{Error, HostTensor, Result, Tensor};
use std::collections::{BTreeMap, HashMap};

/// The tensors of a model on a device, by the names of its checkpoint, in f32.
#[derive(Debug, Clone)]
pub struct Parameters {
    context: Context,
    tensors: BTreeMap<String, Tensor>,
}

impl Parameters {
    /// None yet.
    pub fn new(context: &Context) -> Self {
        Self { context: context.clone(), tensors: BTreeMap::new() }
    }

    /// Uploads a tensor, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, values: &HostTensor) -> Result<()> {
        self.tensors.insert(name.into(), Tensor::from_host(&self.context, values)?);
        Ok(())
    }

    /// The context they live in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A tensor by its name.
    ///
    /// # Errors
    /// [`Error::Input`] where there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::input(format!("parameter `{name}`"), "there is none"))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.tensors.values().map(Tensor::len).sum()
    }

    /// As constants: for scoring.
    pub fn constants(&self) -> Weights {
        let vars = self.tensors.iter().map(|(name, t)| (name.clone(), Var::constant(t.clone())));
        Weights { vars: vars.collect() }
    }

    /// As variables of a tape; those that `trained` names want gradients.
    pub fn on(&self, tape: &mut Tape, trained: &dyn Fn(&str) -> bool) -> Weights {
        let var = |(name, tensor): (&String, &Tensor)| {
            let var = if trained(name) { tape.leaf(tensor.clone()) } else { Var::constant(tensor.clone()) };
            (name.clone(), var)
        };
        Weights { vars: self.tensors.iter().map(var).collect() }
    }
}

/// The parameters of one pass: what layers by name read.
#[derive(Debug, Clone)]
pub struct Weights {
    vars: HashMap<String, Var>,
}

impl Weights {
    /// A parameter by its name.
    ///
    /// # Errors
    /// [`Error::Input`] where there is none.
    pub fn var(&self, name: &str) -> Result<&Var> {
        self.vars.get(name).ok_or_else(|| Error::input(format!("parameter `{name}`"), "there is none"))
    }

    /// `x wᵀ + b` with `name.weight` and, where there is one, `name.bias`.
    pub fn linear(&self, tape: &mut Tape, x: &Var, name: &str) -> Result<Var> {
        self.linear_then(tape, x, name, LinearThen::Nothing)
    }

    /// [`Self::linear`], then what `then` says; in the same kernel where there is a bias.
    pub fn linear_then(&self, tape: &mut Tape, x: &Var, name: &str, then: LinearThen<'_>) -> Result<Var> {
        let bias = self.vars.get(&format!("{name}.bias"));
        tape.linear_then(x, self.var(&format!("{name}.weight"))?, bias, then)
    }

    /// Layer norm with `name.weight` and `name.bias`.
    pub fn norm(&self, tape: &mut Tape, x: &Var, name: &str, eps: f32) -> Result<Var> {
        tape.layer_norm(x, self.var(&format!("{name}.weight"))?, self.var(&format!("{name}.bias"))?, eps)
    }

    /// `residual` plus the layer norm of `x` with `name.weight` and `name.bias`.
    pub fn branch_norm(&self, tape: &mut Tape, x: &Var, residual: &Var, name: &str, eps: f32) -> Result<Var> {
        let (scale, shift) = (self.var(&format!("{name}.weight"))?, self.var(&format!("{name}.bias"))?);
        tape.branch_norm(x, residual, scale, shift, eps)
    }

    /// Gradients of those parameters that one reached, by name.
    pub fn gradients(&self, gradients: &Gradients) -> Result<BTreeMap<String, Tensor>> {
        let mut found = BTreeMap::new();
        for (name, var) in self.vars.iter().filter(|(_, v)| v.requires_grad()) {
            if let Some(gradient) = gradients.of(var)? {
                found.insert(name.clone(), gradient);
            }
        }
        Ok(found)
    }
}
