//! `y = x` with the pairs of every head turned by its token's angles: a rotary position of its own, whose positions are
//! data. A pair `(a, b)` becomes `(a cos − b sin, a sin + b cos)`; columns beyond the pairs stay as they are.
//!
//! Shapes: `x, y (tokens, heads, head_dim)`; `rope_table (table rows, pairs, 2)` in f32: cosine and sine; `positions
//! (axes, tokens)` u32, one row for each position that a token has. Pair `j` turns by the first position where `j` is below
//! `sections[0]`, by the second for the next `sections[1]` pairs, and so on. Memory written: `y`. The gradient is the same
//! kernel turning back.
//!
//! Errors: sizes of zero or above 2³², more pairs than columns, sections behind one of none, a position past the table
//! (where the host sees the positions; on the device such a position reads the last row). bf16 needs an even number of columns
//! and, in halves, of pairs.
//!
//! Source: Su et al. 2021; sections as in Qwen2-VL's M-RoPE.

#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::packs::pack_module;
use crate::kernels::splits::pieces;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Error, HostTensor, Result, Tensor, wgsl};
#[cfg(feature = "verify")]
use rand::RngExt;
use std::fmt;

/// Which two columns of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pairs {
    /// `2j` and `2j + 1`, as in Wan.
    Interleaved,
    /// `j` and `j + pairs`, as in Llama and Qwen.
    Halves,
}

/// Sizes and options of a rotary position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotary {
    /// Tokens of `x`.
    pub tokens: usize,
    /// Heads of a token.
    pub heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// Pairs of a head that turn by each of a token's positions; none behind the last.
    pub sections: [usize; 3],
    /// Which columns make a pair.
    pub pairs: Pairs,
    /// Rows of the table.
    pub table_rows: usize,
    /// Tokens of `positions`; those of `x` are some of them.
    pub of: usize,
    /// The first of them.
    pub first: usize,
    /// Turns back.
    pub back: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
    head_packs: u32,
    heads: u32,
    pairs: u32,
    first_end: u32,
    second_end: u32,
    first_token: u32,
    tokens: u32,
    table_rows: u32,
    direction: f32,
}

impl fmt::Display for Rotary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tokens, heads, head_dim, sections: [a, b, c], pairs, table_rows, of, first, back } = self;
        write!(f, "rotary(tokens={tokens},heads={heads},head_dim={head_dim},sections={a}+{b}+{c},{pairs:?}")?;
        write!(f, ",table={table_rows},first={first},of={of}")?;
        if *back {
            write!(f, ",back")?;
        }
        write!(f, ")")
    }
}

impl Rotary {
    fn pair_count(&self) -> usize {
        self.sections.iter().fold(0, |n: usize, &s| n.saturating_add(s))
    }

    /// Positions of a token.
    fn axes(&self) -> usize {
        self.sections.iter().take_while(|&&n| n > 0).count()
    }

    fn pack(&self) -> usize {
        match self.pairs {
            Pairs::Interleaved => 2,
            Pairs::Halves => {
                let whole = |pack: &usize| {
                    self.head_dim.is_multiple_of(*pack) && self.pair_count().is_multiple_of(*pack)
                };
                [4, 2].into_iter().find(whole).unwrap_or(1)
            }
        }
    }
}

impl Kernel for Rotary {
    const STEM: &'static str = "rotary";
    const SHADER: Source = wgsl!("token/rotary.wgsl");

    fn check(&self) -> Result<()> {
        let Self { tokens, heads, head_dim, sections, table_rows, of, first, .. } = *self;
        let refuse = |reason: String| Err(Error::problem(Self::STEM, reason));
        let fits = |sizes: [usize; 3]| {
            let product = sizes.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            product.is_some_and(|n| n > 0 && u32::try_from(n).is_ok())
        };
        let pairs = self.pair_count();
        if !fits([tokens, heads, head_dim]) || !fits([table_rows, pairs, 2]) || !fits([3, of, 1]) {
            return refuse(format!("{self}: sizes are 1.. with products below 2^32"));
        }
        if pairs.saturating_mul(2) > head_dim || (self.pairs == Pairs::Interleaved && head_dim % 2 == 1) {
            return refuse(format!("{pairs} pairs do not fit heads of {head_dim} columns"));
        }
        if sections[self.axes()..].iter().any(|&n| n > 0) {
            return refuse(format!("sections {sections:?}: none behind one of no pairs"));
        }
        if first.checked_add(tokens).is_none_or(|end| end > of) {
            return refuse(format!("{tokens} tokens from {first} on have no positions among {of}"));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let x = [self.tokens, self.heads, self.head_dim];
        vec![
            Slot::read("x", x),
            Slot::read("rope_table", [self.table_rows, self.pair_count(), 2]).f32(),
            Slot::read("positions", [self.axes(), self.of]).u32(),
            Slot::write("y", x),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = self.pack();
        let modules: &[Source] = match (self.pairs, pack) {
            (Pairs::Interleaved, _) => &[wgsl!("token/rotary/interleaved.wgsl")],
            (Pairs::Halves, 4) => &[wgsl!("token/rotary/halves.wgsl"), wgsl!("token/rotary/turns/4.wgsl")],
            (Pairs::Halves, 2) => &[wgsl!("token/rotary/halves.wgsl"), wgsl!("token/rotary/turns/2.wgsl")],
            (Pairs::Halves, _) => &[wgsl!("token/rotary/halves.wgsl"), wgsl!("token/rotary/turns/1.wgsl")],
        };
        let of = |elem| {
            let variant = Variant::new(elem, lanes(caps)).module(GRID).module(pack_module(pack));
            modules.iter().fold(variant, |variant, &module| variant.module(module))
        };
        elems(caps, pack).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let head_packs = self.head_dim / self.pack();
        let packs = self.tokens * self.heads * head_packs;
        let [first, second, _] = self.sections;
        let params = Params {
            packs: packs as u32,
            head_packs: head_packs as u32,
            heads: self.heads as u32,
            pairs: self.pair_count() as u32,
            first_end: first as u32,
            second_end: (first + second) as u32,
            first_token: self.first as u32,
            tokens: self.of as u32,
            table_rows: self.table_rows as u32,
            direction: if self.back { -1.0 } else { 1.0 },
        };
        Launch::new(&params, grid(packs.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let n = (self.tokens * self.heads * self.head_dim) as f64;
        let own = (self.tokens * (2 * self.pair_count() + self.axes())) as f64;
        Work { flops: 3.0 * n, bytes: 8.0 * n + 4.0 * own }
    }
}

#[cfg(feature = "verify")]
impl Rotary {
    /// `x` turned, forwards or back.
    fn turn(&self, x: &[f64], table: &Array, positions: &Array, back: bool) -> Vec<f64> {
        let (count, [first, second, _]) = (self.pair_count(), self.sections);
        let mut y = x.to_vec();
        for (head, y) in y.chunks_exact_mut(self.head_dim).enumerate() {
            let token = self.first + head / self.heads;
            for j in 0..count {
                let axis = usize::from(j >= first) + usize::from(j >= first + second);
                let position = (positions.data[axis * self.of + token] as usize).min(self.table_rows - 1);
                let at = 2 * (position * count + j);
                let (cos, sin) =
                    (table.data[at], if back { -table.data[at + 1] } else { table.data[at + 1] });
                let (a, b) = match self.pairs {
                    Pairs::Interleaved => (2 * j, 2 * j + 1),
                    Pairs::Halves => (j, j + count),
                };
                (y[a], y[b]) = (y[a] * cos - y[b] * sin, y[a] * sin + y[b] * cos);
            }
        }
        y
    }
}

#[cfg(feature = "verify")]
impl Verified for Rotary {
    const FAMILY: &'static str = "token";
    const SUMMARY: &'static str = "rotary positions of up to three axes, given as data";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, table, positions] = inputs else { return Vec::new() };
        vec![Array { shape: x.shape.clone(), data: self.turn(&x.data, table, positions, self.back) }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let x = inputs::normal(rng, [self.tokens, self.heads, self.head_dim], 1.0);
        let mut table = Array::zeros([self.table_rows, self.pair_count(), 2]);
        for turn in table.data.chunks_exact_mut(2) {
            let angle: f64 = rng.random_range(-3.2..3.2);
            (turn[0], turn[1]) = (angle.cos(), angle.sin());
        }
        let mut positions = inputs::indices(rng, [self.axes(), self.of], self.table_rows);
        // The last row, and a position past the table.
        for (position, v) in positions.data.iter_mut().zip([self.table_rows - 1, self.table_rows + 7]) {
            *position = v as f64;
        }
        vec![x, table, positions]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance::for_elem(elem, 1e-6, 8.0, "two products that may cancel, at outliers")]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let kernel = *self;
        Some(Gradient::linear(Self::STEM, move |inputs, x| {
            let [dy, table, positions] = inputs else { return f64::NAN };
            let y = kernel.turn(&x.data, table, positions, !kernel.back);
            y.iter().zip(&dy.data).map(|(y, dy)| y * dy).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |[tokens, heads, head_dim]: [usize; 3], sections, pairs| Self {
            tokens,
            heads,
            head_dim,
            sections,
            pairs,
            table_rows: 11,
            of: tokens,
            first: 0,
            back: false,
        };
        use Pairs::{Halves, Interleaved};
        let part = Self { of: 40, first: 7, ..case([19, 2, 16], [4, 4, 0], Halves) };
        vec![
            case([1, 1, 2], [1, 0, 0], Interleaved),
            case([1, 1, 2], [1, 0, 0], Halves),
            case([37, 3, 6], [1, 1, 1], Interleaved),
            case([37, 3, 6], [1, 1, 1], Halves),
            // Columns that do not turn.
            case([9, 2, 20], [4, 2, 0], Interleaved),
            case([9, 2, 20], [4, 4, 0], Halves),
            case([9, 2, 10], [2, 2, 0], Halves),
            case([9, 2, 11], [2, 1, 1], Halves),
            case([12, 4, 128], [16, 24, 24], Halves),
            Self { back: true, ..case([12, 4, 128], [16, 24, 24], Halves) },
            Self { back: true, table_rows: 1, ..case([12, 2, 128], [22, 21, 21], Interleaved) },
            part,
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |tokens, heads| Self {
            tokens,
            heads,
            head_dim: 128,
            sections: [16, 24, 24],
            pairs: Pairs::Halves,
            table_rows: 32_768,
            of: tokens,
            first: 0,
            back: false,
        };
        vec![("qwen2.5-vl-3b 4096 tokens", case(4096, 16)), ("qwen2.5-vl-3b a token", case(1, 16))]
    }
}

/// Cosine and sine of every position and pair `(table rows, pairs, 2)`: pair `j` turns by `theta^(−j / pairs)` a position.
/// Angles are computed in f64. [`rope_table`](crate::kernels::rowwise::rope_table()) is Wan's, whose axes have frequencies
/// of their own.
///
/// # Errors
/// [`Error::Input`] for sizes of zero, a table of 2³² elements and more, and a theta that is not above zero or of which angles
/// pass f64's range.
pub fn rotary_table(rows: usize, pairs: usize, theta: f64) -> Result<HostTensor> {
    let elements =
        rows.checked_mul(pairs).and_then(|n| n.checked_mul(2)).filter(|&n| u32::try_from(n).is_ok());
    if elements.is_none_or(|n| n == 0) {
        let reason = format!("{rows} rows of {pairs} pairs: sizes are 1.. with fewer than 2^32 elements");
        return Err(Error::input("rotary table", reason));
    }
    if !(theta.is_finite() && theta > 0.0 && (rows as f64 / theta).is_finite()) {
        let reason = format!("theta {theta}: a positive number that leaves angles finite");
        return Err(Error::input("rotary table", reason));
    }
    let turn = |i: usize| {
        let angle = (i / pairs) as f64 * theta.powf(-((i % pairs) as f64) / pairs as f64);
        [angle.cos() as f32, angle.sin() as f32]
    };
    HostTensor::new([rows, pairs, 2], (0..rows * pairs).flat_map(turn).collect())
}

/// Where tokens stand, for [`rotary()`].
#[derive(Debug, Clone)]
pub struct RotaryPositions {
    /// `(table rows, pairs, 2)` in f32: cosine and sine of every position and pair.
    pub table: Tensor,
    /// `(axes, tokens)` u32: the positions of every token.
    pub positions: Tensor,
    /// Pairs of a head that turn by each position.
    pub sections: [usize; 3],
    /// Which columns make a pair.
    pub pairs: Pairs,
}

impl RotaryPositions {
    /// Positions that the host knows, one list an axis, each of which has `sections` pairs.
    ///
    /// # Errors
    /// [`Error::Problem`] for lists of different lengths and another number of them than there are sections, and for a
    /// position that the table does not have.
    pub fn new(table: &Tensor, positions: &[&[u32]], sections: [usize; 3], pairs: Pairs) -> Result<Self> {
        let refuse = |reason: String| Err(Error::problem(Rotary::STEM, reason));
        let axes = sections.iter().take_while(|&&n| n > 0).count();
        let tokens = positions.first().map_or(0, |p| p.len());
        if positions.len() != axes || positions.iter().any(|p| p.len() != tokens) {
            let found: Vec<usize> = positions.iter().map(|p| p.len()).collect();
            return refuse(format!("positions of {found:?} tokens: {axes} axes of the same tokens"));
        }
        let rows = table.dims().first().copied().unwrap_or(0);
        let all = positions.concat();
        if let Some((place, position)) = all.iter().enumerate().find(|&(_, &p)| p as usize >= rows) {
            let (axis, token) = (place / tokens, place % tokens);
            return refuse(format!(
                "position {position} of token {token} on axis {axis}: the table has {rows} rows"
            ));
        }
        let positions = Tensor::from_u32(table.context(), [axes, tokens], &all)?;
        Ok(Self { table: table.clone(), positions, sections, pairs })
    }

    fn apply(&self, x: &Tensor, back: bool) -> Result<Tensor> {
        let &[.., heads, head_dim] = x.dims() else {
            return Err(Error::problem(Rotary::STEM, format!("x {} is (…, heads, head_dim)", x.shape())));
        };
        let of = self.positions.dims().last().copied().unwrap_or(0);
        let tokens = x.len() / (heads * head_dim).max(1);
        if tokens != of {
            return Err(Error::Shape {
                kernel: Rotary::STEM,
                tensor: "positions".into(),
                axis: "of tokens".into(),
                expected: tokens,
                found: of,
            });
        }
        let y = Tensor::empty(x.context(), x.shape().clone(), x.dtype())?;
        let rows = |t: &Tensor| t.reshape([tokens, heads, head_dim]);
        let (x_rows, y_rows) = (rows(x)?, rows(&y)?);
        for piece in pieces(x.context().caps(), tokens, heads * head_dim * x.dtype().size(), 1) {
            let kernel = Rotary {
                tokens: piece.rows,
                heads,
                head_dim,
                sections: self.sections,
                pairs: self.pairs,
                table_rows: self.table.dims().first().copied().unwrap_or(0),
                of,
                first: piece.row,
                back,
            };
            let cut = |t: &Tensor| t.narrow(piece.row, piece.rows);
            run(x.context(), &kernel, &[&cut(&x_rows)?, &self.table, &self.positions, &cut(&y_rows)?])?;
        }
        Ok(y)
    }
}

/// `x (…, heads, head_dim)` turned by the positions of its tokens, in the order of its axes before the heads.
///
/// # Errors
/// [`Error::Problem`] for pairs that do not fit a head and sizes of zero, [`Error::Shape`] for another number of positions
/// than there are tokens; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn rotary(x: &Tensor, at: &RotaryPositions) -> Result<Tensor> {
    at.apply(x, false)
}

/// Gradient of [`rotary()`] by `x` from the gradient `dy` by its result.
///
/// # Errors
/// As for [`rotary()`].
pub fn rotary_backward(dy: &Tensor, at: &RotaryPositions) -> Result<Tensor> {
    at.apply(dy, true)
}
