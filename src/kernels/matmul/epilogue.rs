//! What happens to a product before it is stored, in the kernel that multiplies or in the one that joins its parts.

use crate::kernels::Slot;
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::shader::Source;
use crate::wgsl;
#[cfg(feature = "verify")]
use std::ops::Range;

const BETWEEN: Source = wgsl!("shared/between.wgsl");

/// What happens to a result before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// `y + ·`: what `y` holds already, in f32, is added to.
    Add,
    /// `+ bias`
    Bias,
    /// `gelu(· + bias)`, tanh form, keeping the value before it.
    BiasGelu,
    /// `gelu(· + bias)`, erf form, keeping the value before it.
    BiasGeluErf,
    /// `residual + · + bias`
    BiasResidual,
    /// `residual + gate ⊙ (· + bias)`, `groups` gate vectors for equal runs of rows.
    BiasGateResidual {
        /// Number of gate vectors.
        groups: usize,
    },
}

impl Epilogue {
    /// Modules that declare the results and what else they are made of, and store them.
    pub(super) fn modules(self) -> Vec<Source> {
        let gelu = wgsl!("matmul/epilogue/bias_gelu.wgsl");
        match self {
            Self::None => vec![wgsl!("matmul/epilogue/none.wgsl")],
            Self::Add => vec![wgsl!("matmul/epilogue/add.wgsl")],
            Self::Bias => vec![wgsl!("matmul/epilogue/bias.wgsl")],
            Self::BiasGelu => vec![gelu, BETWEEN, wgsl!("shared/gelu.wgsl")],
            Self::BiasGeluErf => vec![gelu, BETWEEN, wgsl!("shared/gelu_erf.wgsl")],
            Self::BiasResidual => vec![wgsl!("matmul/epilogue/bias_residual.wgsl")],
            Self::BiasGateResidual { .. } => vec![wgsl!("matmul/epilogue/bias_gate_residual.wgsl")],
        }
    }

    /// What it takes, and stores beside `y`, for results of `m` rows and `columns`; `result` is a tensor of such.
    pub(super) fn slots(self, m: usize, columns: usize, result: impl Fn(&'static str) -> Slot) -> Vec<Slot> {
        let bias = Slot::read("bias", [columns]).f32();
        let residual = Slot::read("residual", [m, columns]);
        match self {
            Self::None | Self::Add => Vec::new(),
            Self::Bias => vec![bias],
            Self::BiasGelu | Self::BiasGeluErf => vec![bias, result("pre")],
            Self::BiasResidual => vec![bias, residual],
            Self::BiasGateResidual { groups } => {
                vec![bias, residual, Slot::read("gate", [groups, columns]).f32()]
            }
        }
    }

    /// Gate vectors, at least one.
    pub(super) fn groups(self) -> usize {
        match self {
            Self::BiasGateResidual { groups } => groups,
            _ => 1,
        }
    }

    /// Results `(m, columns)` from the sum at each row and column of `own`; the others hold what `y` did. `at` is an element
    /// of an input by its name, or what stands for an absent one.
    #[cfg(feature = "verify")]
    pub(super) fn reference(
        self,
        [m, columns]: [usize; 2],
        own: &Range<usize>,
        sum: &dyn Fn(usize, usize) -> f64,
        at: &dyn Fn(&str, usize, f64) -> f64,
    ) -> Vec<Array> {
        let result = |name: &str, of: &dyn Fn(usize, f64) -> f64| {
            Array::from_fn([m, columns], |place| {
                let (row, col) = (place / columns, place % columns);
                if !own.contains(&col) {
                    return at(name, place, 0.0);
                }
                of(place, sum(row, col) + at("bias", col, 0.0))
            })
        };
        let gate = |place: usize| {
            let group = place / columns / (m / self.groups());
            at("gate", group * columns + place % columns, 1.0)
        };
        match self {
            Self::None | Self::Bias => vec![result("y", &|_, v| v)],
            Self::Add => vec![result("y", &|place, v| at("y", place, 0.0) + v)],
            Self::BiasGelu => vec![result("y", &|_, v| gelu_of(v)), result("pre", &|_, v| v)],
            Self::BiasGeluErf => vec![result("y", &|_, v| gelu_erf_of(v)), result("pre", &|_, v| v)],
            Self::BiasResidual | Self::BiasGateResidual { .. } => {
                vec![result("y", &|place, v| at("residual", place, 0.0) + gate(place) * v)]
            }
        }
    }
}
