//! Calls that kernels of several families make together; no family knows another. Products in parts of the inner size where a
//! GPU would idle, in pieces of the rows or of the weight where they pass a binding; the log-sum-exp of attention.

use super::attention::AttentionOutput;
use super::choices::Choices;
use super::contract::Kernel;
use super::elementwise::{Convert, Direction, weighted_sum};
use super::matmul::{Epilogue, Layout, Matmul, MatmulJoin, Piece};
use super::run::run;
use crate::gpu::{AdapterClass, Caps};
use crate::{Dtype, Error, Result, Tensor};

/// Rows of any width after which a binding may begin: 256 bytes of the smallest element, at the least.
const ROWS_APART: usize = 128;

impl Matmul {
    /// The same product with as many parts as give a GPU a workgroup for each of its cores; one where at least half of them
    /// have one without, where an epilogue is part of the product, or where parts would be so short that adding them costs what
    /// they save. Of very many inputs several on every device, since sums of fewer lose less.
    ///
    /// # Errors
    /// [`Error::Problem`] for a product that is none.
    pub fn for_device(self, caps: &Caps, elem: Dtype) -> Result<Self> {
        const INPUTS: usize = 512;
        const MOST_INPUTS: usize = 1 << 18;
        self.check()?;
        if self.epilogue != Epilogue::None || self.piece.is_some() || self.k < 2 * INPUTS {
            return Ok(self);
        }
        let long = self.k.div_ceil(MOST_INPUTS);
        let parts = if caps.class == AdapterClass::Software {
            long
        } else {
            let workgroups = self.workgroups(caps, elem).max(1);
            (Choices::of(caps).workgroups / workgroups).min(self.k / INPUTS).max(long).max(1)
        };
        let in_parts = Self { parts, ..self.clone() };
        // What passes the check is fewer than 2^32 elements.
        let held = in_parts.check().is_ok() && 4 * (parts * self.m * self.n) as u64 <= caps.max_binding;
        Ok(if held { in_parts } else { self })
    }

    /// The product, of its parts' shares where it has several, then what `then` says: `(m, n)` of the type of `x`.
    ///
    /// # Errors
    /// [`Error::Problem`] for one with an epilogue of its own and for a piece; otherwise those of
    /// [`kernels::run`](crate::kernels::run()).
    pub fn multiply(&self, x: &Tensor, w: &Tensor, then: Then<'_>) -> Result<Tensor> {
        self.check()?;
        let Self { m, n, parts, .. } = *self;
        if self.epilogue != Epilogue::None || self.piece.is_some() {
            return Err(Error::problem(Self::STEM, format!("{self}: a whole product without an epilogue")));
        }
        let (context, epilogue) = (x.context(), then.epilogue());
        let join = MatmulJoin { parts, m, n, epilogue };
        join.check()?;
        let y = Tensor::empty(context, [m, n], x.dtype())?;
        if parts == 1 {
            let whole = Self { epilogue, ..self.clone() };
            run(context, &whole, &[&[x, w, &y], &then.tensors()[..]].concat())?;
            return Ok(y);
        }
        let shares = Tensor::empty(context, [parts, m, n], Dtype::F32)?;
        run(context, self, &[x, w, &shares])?;
        run(context, &join, &[&[&shares, &y], &then.tensors()[..]].concat())?;
        Ok(y)
    }
}

/// Which gelu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GeluForm {
    /// By tanh, as in Wan and UMT5.
    Tanh,
    /// By erf, as in BERT.
    Erf,
}

/// What is done with a product in the same kernel. Vectors are f32.
#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// `· + bias`
    Bias(&'a Tensor),
    /// `gelu(· + bias)`
    Gelu {
        /// `(n)`
        bias: &'a Tensor,
        /// Which gelu.
        form: GeluForm,
        /// `(m, n)` of the type of `x`: receives the value before the gelu, which its gradient needs.
        before: &'a Tensor,
    },
    /// `residual + · + bias`
    Residual {
        /// `(n)`
        bias: &'a Tensor,
        /// `(m, n)` of the type of `x`.
        residual: &'a Tensor,
    },
    /// `residual + gate ⊙ (· + bias)`
    GatedResidual {
        /// `(n)`
        bias: &'a Tensor,
        /// `(m, n)` of the type of `x`.
        residual: &'a Tensor,
        /// `(groups, n)`: a vector for each of equal runs of rows.
        gate: &'a Tensor,
    },
}

impl<'a> Then<'a> {
    fn epilogue(self) -> Epilogue {
        match self {
            Self::Nothing => Epilogue::None,
            Self::Bias(_) => Epilogue::Bias,
            Self::Gelu { form: GeluForm::Tanh, .. } => Epilogue::BiasGelu,
            Self::Gelu { form: GeluForm::Erf, .. } => Epilogue::BiasGeluErf,
            Self::Residual { .. } => Epilogue::BiasResidual,
            Self::GatedResidual { gate, .. } => {
                Epilogue::BiasGateResidual { groups: gate.dims().first().copied().unwrap_or(0) }
            }
        }
    }

    /// In binding order.
    fn tensors(self) -> Vec<&'a Tensor> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Bias(bias) => vec![bias],
            Self::Gelu { bias, before, .. } => vec![bias, before],
            Self::Residual { bias, residual } => vec![bias, residual],
            Self::GatedResidual { bias, residual, gate } => vec![bias, residual, gate],
        }
    }
}

/// `x · op(w)` of `x (m, k)` and `w`, `(n, k)` or `(k, n)` as `layout` says, then what `then` says: `(m, n)` of the type of
/// `x`. `w` may be narrower than `x`.
///
/// Sums are f32. Those of more than about 1,000 inputs on a CPU and 9,000 on a GPU are taken by blocks, so that errors
/// grow with the logarithm of `k`; where cooperative matrices multiply f16, the device sums.
///
/// ```no_run
/// # fn f(x: &foveal::Tensor, w: &foveal::Tensor, b: &foveal::Tensor) -> foveal::Result<()> {
/// use foveal::kernels::matmul::Layout;
/// use foveal::kernels::{Then, matmul};
///
/// let y = matmul(x, w, Layout::Rows, Then::Residual { bias: b, residual: x })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Problem`] for what is no matrix, sizes of zero or above 2³², and groups that do not divide the rows; otherwise
/// those of [`kernels::run`](crate::kernels::run()).
pub fn matmul(x: &Tensor, w: &Tensor, layout: Layout, then: Then<'_>) -> Result<Tensor> {
    let (&[m, k], &[w0, w1]) = (x.dims(), w.dims()) else {
        return Err(Error::problem(
            Matmul::STEM,
            format!("x {} and w {} are matrices", x.shape(), w.shape()),
        ));
    };
    let n = if layout == Layout::Rows { w0 } else { w1 };
    let context = x.context();
    let bare = Matmul { m, n, k, layout, epilogue: Epilogue::None, parts: 1, piece: None };
    let problem = bare.clone().for_device(context.caps(), x.dtype())?;
    // Weights that no binding takes have enough to do in each piece.
    if problem.parts > 1 && w.bytes() <= context.caps().max_binding {
        return problem.multiply(x, w, then);
    }
    let y = Tensor::empty(context, [m, n], x.dtype())?;
    let whole = Matmul { epilogue: then.epilogue(), ..bare };
    in_bindings(&whole, &[&[x, w, &y], &then.tensors()[..]].concat())?;
    Ok(y)
}

/// Runs a product whose rows may not fit the device's largest binding: then some of them at a time.
fn in_bindings(problem: &Matmul, tensors: &[&Tensor]) -> Result<()> {
    let [x, w, ..] = tensors else { return Ok(()) };
    let context = x.context();
    let limit = context.caps().max_binding;
    // Sums of pieces of a weight are f32.
    let widest = if w.bytes() > limit { Dtype::F32 } else { x.dtype() };
    let row = widest.size() * problem.k.max(problem.n);
    let most = (limit as usize / row.max(1)).max(1);
    // Rows that share a gate stay together, and parts begin where a binding may.
    let group = problem.m / problem.groups().max(1);
    let step = whole_steps(most);
    let slots = problem.slots();
    let whole = slots.len() == tensors.len() && slots.iter().zip(tensors).all(|(s, t)| s.shape == *t.shape());
    if problem.m <= most || group == 0 || !whole {
        return in_pieces(problem, tensors);
    }
    for first in (0..problem.m).step_by(group) {
        for start in (first..first + group).step_by(step) {
            let rows = step.min(first + group - start);
            let epilogue = match problem.epilogue {
                Epilogue::BiasGateResidual { .. } => Epilogue::BiasGateResidual { groups: 1 },
                other => other,
            };
            let part = Matmul { m: rows, epilogue, ..problem.clone() };
            let parts = slots.iter().zip(tensors).map(|(slot, tensor)| match slot.name {
                "w" | "bias" => Ok((*tensor).clone()),
                "gate" => tensor.narrow(first / group, 1),
                _ => tensor.narrow(start, rows),
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            in_pieces(&part, &parts.iter().collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// Runs a product whose weight may not fit the device's largest binding: then some of its stored rows at a time.
fn in_pieces(problem: &Matmul, tensors: &[&Tensor]) -> Result<()> {
    let [x, w, y, extra @ ..] = tensors else { return Ok(()) };
    let context = x.context();
    let limit = context.caps().max_binding;
    let &[of, inner] = w.dims() else { return run(context, problem, tensors) };
    let step = whole_steps(limit as usize / (w.dtype().size() * inner).max(1));
    let inputs = problem.layout == Layout::Columns;
    if w.bytes() <= limit || step == 0 || (inputs && problem.epilogue != Epilogue::None) {
        return run(context, problem, tensors);
    }
    let narrow_sum = inputs && y.dtype() != Dtype::F32;
    let sum = if narrow_sum { Tensor::zeros(context, y.shape().clone(), Dtype::F32)? } else { (*y).clone() };
    for first in (0..of).step_by(step) {
        let rows = step.min(of - first);
        let part = Matmul { piece: Some(Piece { first, of }), ..problem.clone() };
        let part = if inputs { Matmul { k: rows, ..part } } else { Matmul { n: rows, ..part } };
        let more = inputs && (first > 0 || narrow_sum);
        let part = if more { Matmul { epilogue: Epilogue::Add, ..part } } else { part };
        let own = w.narrow(first, rows)?;
        run(context, &part, &[&[*x, &own, &sum], extra].concat())?;
    }
    if !narrow_sum {
        return Ok(());
    }
    let n = sum.len();
    let rounding = Convert { n, direction: Direction::Narrow };
    run(context, &rounding, &[&sum.reshape([n])?, &y.reshape([n])?])
}

/// As many rows, at most this many, as end where a binding may begin, if there are so many.
fn whole_steps(most: usize) -> usize {
    if most >= ROWS_APART { most - most % ROWS_APART } else { most }
}

impl AttentionOutput {
    /// Log-sum-exp of each row `(batch, heads, seq_q)`, nats, in memory of its own; the lowest finite number where
    /// nothing is seen. Beside large scores it has fewer digits than `stats`, which the other kernels take.
    ///
    /// # Errors
    /// Those of [`weighted_sum()`].
    pub fn lse(&self) -> Result<Tensor> {
        weighted_sum(&[(&self.plane(0)?, 1.0), (&self.plane(1)?, 1.0)])
    }
}
