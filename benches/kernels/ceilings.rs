//! What this adapter can do at most, measured: copying memory, f32 multiply-adds, and cooperative matrices where it has
//! them. A kernel's rate is told as a share of these, not of a data sheet's.

use crate::{texts, timing};
use foveal::gpu::AdapterClass;
use foveal::kernels::{Kernel, Launch, Slot, Variant, Work, grid, lanes};
use foveal::shader::{Composed, Source};
use foveal::{Caps, Context, Dtype, Error, Result};
use std::fmt;

/// The measured limits of an adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceilings {
    /// Bytes a second, read and written together.
    pub(crate) copy: f64,
    /// f32 operations a second; a multiply-add counts two.
    pub(crate) fma: f64,
    /// Operations a second of the matrix units, f16 factors and f32 sums.
    pub(crate) coop: Option<f64>,
}

/// Which ceiling a kernel meets first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Memory.
    Copy,
    /// f32 arithmetic.
    Fma,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copy => "memory",
            Self::Fma => "arithmetic",
        })
    }
}

impl Ceilings {
    /// Runs the three small kernels.
    pub(crate) fn measure(context: &Context, smoke: bool) -> Result<Self> {
        // Beyond any cache, and within one binding.
        let caps = context.caps();
        let bytes = if smoke { 1 << 20 } else { caps.max_binding.min(caps.max_buffer).min(256 << 20) };
        let vectors = bytes as usize / 16;
        let steps = if caps.class == AdapterClass::Software { 64 } else { 4 };
        let copy = Ceiling::copy(caps, vectors, steps);
        let fma = Ceiling::fma(caps);
        let goal = if smoke { 0.0 } else { 0.1 };
        let rate = |ceiling: Ceiling, of: fn(Work) -> f64| ceiling.rate(context, of, goal);
        let coop = Ceiling::coop(caps).map(|coop| rate(coop, |work| work.flops)).transpose()?;
        Ok(Self { copy: rate(copy, |work| work.bytes)?, fma: rate(fma, |work| work.flops)?, coop })
    }

    /// The higher of two measurements: nothing makes an adapter faster than it is.
    pub(crate) fn higher(&self, other: &Self) -> Self {
        let coop = self.coop.zip(other.coop).map(|(a, b)| a.max(b));
        Self { copy: self.copy.max(other.copy), fma: self.fma.max(other.fma), coop }
    }

    /// Whether two measurements are more than a quarter apart.
    pub(crate) fn differ(&self, other: &Self) -> bool {
        let apart = |a: f64, b: f64| a.max(b) > 1.25 * a.min(b);
        apart(self.copy, other.copy)
            || apart(self.fma, other.fma)
            || self.coop.zip(other.coop).is_some_and(|(a, b)| apart(a, b))
    }

    /// Operations a byte above which arithmetic and not memory is the limit.
    pub(crate) fn ridge(&self) -> f64 {
        self.fma / self.copy
    }

    /// Which ceiling binds this work: arithmetic where its operations a byte are above the ridge.
    pub(crate) fn bound(&self, work: Work) -> Bound {
        if work.flops > work.bytes * self.ridge() { Bound::Fma } else { Bound::Copy }
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "ceilings, measured: copy {:.1} GB/s, f32 multiply-add {:.1} GFLOP/s,",
            self.copy * 1e-9,
            self.fma * 1e-9
        )?;
        match self.coop {
            Some(rate) => {
                writeln!(f, "  cooperative matrix (f16 factors, f32 sums) {:.1} GFLOP/s;", rate * 1e-9)?
            }
            None => writeln!(f, "  no cooperative matrix with f16 factors and f32 sums;")?,
        }
        write!(f, "  above {:.1} operations a byte arithmetic binds, below it memory", self.ridge())
    }
}

/// A small kernel that meets one ceiling.
#[derive(Debug, Clone)]
struct Ceiling {
    text: Composed,
    /// Elements read and written, and the type of the first.
    read: (usize, Dtype),
    written: usize,
    wg_size: u32,
    workgroups: usize,
    /// The shader's `count`.
    count: u32,
    /// Work of one unit of `count`, and whether more of them may be asked for.
    unit: Work,
    grows: bool,
}

impl Ceiling {
    fn copy(caps: &Caps, vectors: usize, steps: usize) -> Self {
        let wg_size = lanes(caps).max(8);
        Self {
            text: texts::copy(caps, wg_size, steps),
            read: (4 * vectors, Dtype::F32),
            written: 4 * vectors,
            wg_size,
            workgroups: vectors.div_ceil(wg_size as usize * steps),
            count: vectors as u32,
            unit: Work { flops: 0.0, bytes: 32.0 },
            grows: false,
        }
    }

    fn fma(caps: &Caps) -> Self {
        let wg_size = lanes(caps).max(8);
        // Enough to fill every unit of a large GPU several times over.
        let workgroups = if caps.class == AdapterClass::Software { 1024 } else { 16_384 };
        let invocations = workgroups * wg_size as usize;
        Self {
            text: texts::fma(caps, wg_size),
            read: (4 * invocations, Dtype::F32),
            written: 4 * invocations,
            wg_size,
            workgroups,
            count: 64,
            unit: Work { flops: 96.0 * invocations as f64, bytes: 0.0 },
            grows: true,
        }
    }

    /// Where the adapter lists a square shape of 8 or 16 with f16 factors and f32 sums.
    fn coop(caps: &Caps) -> Option<Self> {
        let shape = caps.matrix()?;
        let size = shape as usize;
        let wg_size = caps.subgroup?.0;
        let workgroups = 16_384;
        Some(Self {
            text: texts::coop(caps, wg_size, shape),
            read: (2 * size * size, Dtype::F16),
            written: workgroups * size * size,
            wg_size,
            workgroups,
            count: 16,
            unit: Work { flops: 8.0 * (size * size * size * workgroups) as f64, bytes: 0.0 },
            grows: true,
        })
    }

    /// Best rate of several runs, each long enough for overheads not to show: at least `goal` seconds.
    fn rate(mut self, context: &Context, of: fn(Work) -> f64, goal: f64) -> Result<f64> {
        let variant = Variant::new(self.read.1, self.wg_size);
        let tensors = timing::tensors(context, &self.slots(), Self::STEM, &variant)?;
        let tensors: Vec<_> = tensors.iter().collect();
        let run = |ceiling: &Self| {
            timing::timed(context, || {
                foveal::kernels::run_composed(context, ceiling, &variant, &ceiling.text, &tensors)
            })
        };
        run(&self)?;
        let mut seconds = run(&self)?;
        while self.grows && seconds < goal {
            self.count *= 4;
            seconds = run(&self)?;
        }
        for _ in 0..if goal > 0.0 { 4 } else { 0 } {
            seconds = seconds.min(run(&self)?);
        }
        Ok(of(self.work()) / seconds)
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ceiling(count={})", self.count)
    }
}

/// Slots and launch; the text is given with each run, since one type stands for three shaders.
impl Kernel for Ceiling {
    const STEM: &'static str = "ceiling";
    const SHADER: Source = texts::COPY;

    fn check(&self) -> Result<()> {
        if self.count == 0 { Err(Error::problem(Self::STEM, "no rounds")) } else { Ok(()) }
    }

    fn slots(&self) -> Vec<Slot> {
        let x = Slot::read("x", [self.read.0]);
        vec![if self.read.1 == Dtype::F32 { x.f32() } else { x }, Slot::update("y", [self.written]).f32()]
    }

    fn variants(&self, _caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(self.read.1, self.wg_size)]
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        Launch::new(&self.count, grid(self.workgroups, caps))
    }

    fn work(&self) -> Work {
        let count = f64::from(self.count);
        Work { flops: self.unit.flops * count, bytes: self.unit.bytes * count }
    }
}
