//! `y[o, i, :] = x[o, start + i, :]`: some places of an inner axis, as a copy. With `pads` the other way round, `y[o, start +
//! i, :] = x[o, i, :]` and 0 elsewhere, which is its gradient.
//!
//! Shapes: `x (outer, of, inner)` and `y (outer, count, inner)`; with `pads` exchanged. Memory written: `y`.
//!
//! Errors: sizes of zero, a slice that does not lie inside, more than 2³¹ elements in one dispatch (the wrapper cuts larger
//! tensors). Packs are as wide as slices allow; bf16
//! needs two at least: where `inner · start`, `inner · count` or `inner · of` is odd, there is no variant in bf16.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_len, groups_for, packed, pieces_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Product of the axes before the one that is sliced.
    pub outer: usize,
    /// Places of that axis.
    pub of: usize,
    /// Product of the axes behind it.
    pub inner: usize,
    /// First place of the slice.
    pub start: usize,
    /// Places of the slice.
    pub count: usize,
    /// Lays a slice into zeros, where others cut it out.
    pub pads: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
    x_run: u32,
    y_run: u32,
    start: u32,
    count: u32,
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outer, of, inner, start, count, pads } = self;
        write!(f, "slice(outer={outer},of={of},inner={inner},start={start},count={count},pads={pads})")
    }
}

impl Slice {
    /// Elements at a time: what divides every run.
    fn pack(&self) -> usize {
        let runs = [self.of, self.start, self.count].map(|n| n * self.inner);
        [4, 2].into_iter().find(|pack| runs.iter().all(|run| run.is_multiple_of(*pack))).unwrap_or(1)
    }

    /// Places of `x` and of `y`.
    fn places(&self) -> [usize; 2] {
        if self.pads { [self.count, self.of] } else { [self.of, self.count] }
    }
}

impl Kernel for Slice {
    const STEM: &'static str = "slice";
    const SHADER: Source = wgsl!("elementwise/slice.wgsl");

    fn check(&self) -> Result<()> {
        let Self { outer, of, inner, start, count, .. } = *self;
        let elements = outer.saturating_mul(of).saturating_mul(inner);
        if elements == 0 || count == 0 {
            return Err(Error::problem(Self::STEM, format!("{self}: every size is at least 1")));
        }
        if start.checked_add(count).is_none_or(|end| end > of) {
            return Err(Error::problem(
                Self::STEM,
                format!("{count} places from {start} on do not lie inside {of}"),
            ));
        }
        check_len(Self::STEM, elements)
    }

    fn slots(&self) -> Vec<Slot> {
        let [x, y] = self.places().map(|places| [self.outer, places, self.inner]);
        vec![Slot::read("x", x), Slot::write("y", y)]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = self.pack();
        let of = |elem| packed(caps, elem, pack).flag("PADS", self.pads);
        elems(caps, pack).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = |places: usize| (places * self.inner / self.pack()) as u32;
        let [x_run, y_run] = self.places().map(packs);
        let all = self.outer * y_run as usize;
        let params =
            Params { packs: all as u32, x_run, y_run, start: packs(self.start), count: packs(self.count) };
        Launch::new(&params, groups_for(all, caps, variant))
    }

    fn work(&self) -> Work {
        let written = self.outer * self.places()[1] * self.inner;
        Work { flops: 0.0, bytes: 4.0 * (written + self.outer * self.count * self.inner) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Slice {
    /// `f(place in the slice, place in the whole)` of each element of the slice.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { of, inner, start, count, outer, .. } = *self;
        (0..outer * count * inner).map(move |at| {
            let (o, i, c) = (at / (count * inner), at / inner % count, at % inner);
            (at, (o * of + start + i) * inner + c)
        })
    }
}

#[cfg(feature = "verify")]
impl Verified for Slice {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "some places of an inner axis, cut out or laid into zeros";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let mut y = Array::zeros([self.outer, self.places()[1], self.inner]);
        for (part, whole) in self.pairs() {
            let (to, from) = if self.pads { (whole, part) } else { (part, whole) };
            y.data[to] = x.data[from];
        }
        vec![y]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.outer, self.places()[0], self.inner], 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "a copy of stored values" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let kernel = *self;
        Some(Gradient::linear(Self::STEM, move |inputs, x| {
            let [dy] = inputs else { return f64::NAN };
            // What cuts out is the gradient of what pads, and the other way round.
            let term = |(part, whole): (usize, usize)| match kernel.pads {
                true => x.data[whole] * dy.data[part],
                false => x.data[part] * dy.data[whole],
            };
            kernel.pairs().map(term).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |[outer, of, inner]: [usize; 3], start, count| {
            [false, true].map(|pads| Self { outer, of, inner, start, count, pads })
        };
        let all = [
            case([3, 7, 1], 2, 3),
            case([1, 1, 1], 0, 1),
            case([2, 12, 5], 11, 1),
            case([5, 16, 1], 4, 8),
            case([3, 6, 3], 2, 2),
            case([4, 9, 36], 0, 9),
            case([37, 6, 64], 1, 4),
        ];
        all.into_iter().flatten().collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        // The queries of a product that makes queries, keys and values at once.
        let case = |pads| Self { outer: 1560, of: 3, inner: 1536, start: 0, count: 1, pads };
        vec![("wan-1.3b frame, q of qkv", case(false)), ("wan-1.3b frame, dq into dqkv", case(true))]
    }
}

fn slice_of(x: &Tensor, axis: usize, of: usize, start: usize, count: usize, pads: bool) -> Result<Tensor> {
    let dims = x.dims();
    if axis >= dims.len() {
        return Err(Error::problem(
            Slice::STEM,
            format!("axis {axis} of {}, which has no such axis", x.shape()),
        ));
    }
    let size = |dims: &[usize]| dims.iter().fold(1, |n: usize, &d| n.saturating_mul(d));
    let (outer, inner) = (size(&dims[..axis]), size(&dims[axis + 1..]));
    let whole = Slice { outer, of, inner, start, count, pads };
    // One run says whether there is a slice; how many there are is no matter of it.
    Slice { outer: outer.min(1), ..whole }.check()?;
    let [from, to] = whole.places();
    let mut shape = dims.to_vec();
    shape[axis] = to;
    let y = Tensor::empty(x.context(), shape, x.dtype())?;
    let (x_runs, y_runs) = (x.reshape([outer, from, inner])?, y.reshape([outer, to, inner])?);
    let bytes = [from, to].map(|places| places.saturating_mul(inner).saturating_mul(x.dtype().size()));
    for piece in pieces_of(x.context().caps(), outer, &bytes, 1) {
        let cut = |t: &Tensor| t.narrow(piece.row, piece.rows);
        run(x.context(), &Slice { outer: piece.rows, ..whole }, &[&cut(&x_runs)?, &cut(&y_runs)?])?;
    }
    Ok(y)
}

/// `count` places of an axis of `x` from `start` on, as a copy. Along the first axis [`Tensor::narrow`] needs none.
///
/// # Errors
/// [`Error::Problem`] for an axis that is none, for sizes of zero, and for places that do not lie inside the axis; otherwise
/// those of [`kernels::run`](crate::kernels::run()), for bf16 among them runs of an odd number of elements.
pub fn slice(x: &Tensor, axis: usize, start: usize, count: usize) -> Result<Tensor> {
    let of = x.dims().get(axis).copied().unwrap_or(0);
    slice_of(x, axis, of, start, count, false)
}

/// The gradient of [`slice()`] from the gradient `dy` by its result: `dy` laid into zeros, `of` places along the axis.
///
/// # Errors
/// As for [`slice()`].
pub fn slice_backward(dy: &Tensor, axis: usize, start: usize, of: usize) -> Result<Tensor> {
    let count = dy.dims().get(axis).copied().unwrap_or(0);
    slice_of(dy, axis, of, start, count, true)
}
