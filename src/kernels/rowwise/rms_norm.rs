//! `y = rope(x weight / sqrt(mean(x²) + eps))` over each row: RMS norm over all heads of a row together, then, where
//! asked for, the rotary position of [`Rope`](super::Rope) inside each head.
//!
//! Shapes: `x, y (rows, cols)`; `weight (cols)` in f32; `rope_table (positions, head_dim / 2, 2)` in f32: cosine and
//! sine. With a rotary position, row `r` is token `(first_token + r) mod (frames · height · width)`. Memory written:
//! `y`. Source: Wan 2.1's query and key norm.
//!
//! Errors: no columns, 2³² elements or more, `eps` not above zero, heads that do not make the columns, odd
//! `head_dim`, a table too short for the grid.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{Operand, RmsNormProblem, RopeAt, by_rows, rows_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// The kernel of an RMS norm.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm(pub RmsNormProblem);

impl fmt::Display for RmsNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rms_norm({})", self.0)
    }
}

impl Kernel for RmsNorm {
    const STEM: &'static str = "rms_norm";
    const SHADER: Source = wgsl!("rowwise/rms_norm.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let RmsNormProblem { rows, cols, .. } = self.0;
        let mut slots = vec![
            Slot::read("x", [rows, cols]),
            Slot::read("weight", [cols]).f32(),
            Slot::write("y", [rows, cols]),
        ];
        slots.extend(self.0.table());
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps, 3)
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        self.0.launch(caps)
    }

    fn work(&self) -> Work {
        let n = (self.0.rows * self.0.cols) as f64;
        let flops = if self.0.rope.is_some() { 7.0 } else { 4.0 };
        Work { flops: flops * n, bytes: 8.0 * n + self.0.shared_bytes() }
    }
}

#[cfg(feature = "verify")]
impl Verified for RmsNorm {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "RMS norm over a whole row, then an optional rotary position per head";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, weight, table @ ..] = inputs else { return Vec::new() };
        vec![self.0.by_rows(x, |r, x| self.0.normed(r, x, weight, table))]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = self.0.x(rng, 1e-3);
        // A row of zeros: only eps keeps it finite.
        if let Some(row) = x.data.chunks_exact_mut(self.0.cols).nth(2) {
            row.fill(0.0);
        }
        inputs::enlarge(&mut x, self.0.cols);
        let mut all = vec![x, inputs::tame(rng, [self.0.cols], 1.0)];
        all.extend(self.0.rope.map(|r| r.table()));
        all
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // The rotation subtracts products of the size of the pair, hence the absolute part.
        let reason = "a sum of cols squares, WGSL's 2-ulp root, a rotation, in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 2.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let empty = RmsNormProblem { rows: 0, cols: 8, eps: 1e-6, rope: None };
        let mut cases = RmsNormProblem::cases();
        // Not last: the last case is what every device runs in every storage type.
        cases.insert(1, empty);
        cases.into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let text = RmsNormProblem { rows: 512, cols: 4096, eps: 1e-6, rope: None };
        let cases = RmsNormProblem::bench_cases().into_iter().chain([("umt5-xxl 512 tokens", text)]);
        cases.map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// RMS norm over the last axis of `x (…, cols)` with an f32 `weight (cols)`, then the rotary position, if any. Right
/// for every row of finite f32, however large or small its values; a row that holds a NaN is NaN throughout.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for no column, an `eps` that is not finite and above zero, and a rotary
/// position that does not fit the columns; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32, rope: Option<&RopeAt>) -> Result<Tensor> {
    let (_, cols) = rows_of(RmsNorm::STEM, x)?;
    let at = rope.map(|r| r.for_cols(RmsNorm::STEM, cols)).transpose()?;
    let mut operands = vec![Operand::Rows(x), Operand::Whole(weight), Operand::Result];
    operands.extend(rope.map(|r| Operand::Whole(&r.table)));
    by_rows(x, 1, &operands, |piece| {
        RmsNorm(RmsNormProblem { rows: piece.rows, cols, eps, rope: at.map(|r| r.starting_at(piece.row)) })
    })
}
