//! `y = epilogue(Σ shares)`: a product from the shares that parts of its inner size have of it.
//!
//! Shapes: `shares (parts, m, n)` f32, as [`Matmul`](super::Matmul) in parts leaves them; the rest as there, but no
//! [`Epilogue::Add`]. Memory written: `y`, and with a gelu the value before it.
//!
//! Source: split-k products.

use super::epilogue::Epilogue;
use crate::gpu::Caps;
use crate::kernels::packs::pack_module;
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems, lanes};
use crate::shader::Source;
#[cfg(feature = "verify")]
use crate::{Dtype, gpu::Access};
use crate::{Error, Result, wgsl};
use std::fmt;

/// Joins the shares of parts of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatmulJoin {
    /// Parts of the inner size.
    pub parts: usize,
    /// Rows of the product.
    pub m: usize,
    /// Its columns.
    pub n: usize,
    /// What is done with their sum before it is stored.
    pub epilogue: Epilogue,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    m: u32,
    n: u32,
    parts: u32,
    rows_per_group: u32,
    first_workgroup: [u32; 3],
}

impl fmt::Display for MatmulJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, m, n, epilogue } = self;
        write!(f, "matmul_join(parts={parts},m={m},n={n},epilogue={epilogue:?})")
    }
}

impl MatmulJoin {
    /// Columns that an invocation takes at a time.
    fn pack(&self) -> usize {
        if self.n.is_multiple_of(4) { 4 } else { 1 }
    }
}

impl Kernel for MatmulJoin {
    const STEM: &'static str = "matmul_join";
    const SHADER: Source = wgsl!("matmul/matmul_join.wgsl");

    fn check(&self) -> Result<()> {
        let Self { parts, m, n, epilogue } = *self;
        let all = parts.checked_mul(m).and_then(|rows| rows.checked_mul(n));
        if all.is_none_or(|all| all == 0 || all > u32::MAX as usize) {
            let why = format!("parts={parts}, m={m}, n={n}: each at least 1 and together below 2^32");
            return Err(Error::problem(Self::STEM, why));
        }
        if epilogue == Epilogue::Add {
            return Err(Error::problem(
                Self::STEM,
                "parts are joined to a result of their own, not added to one",
            ));
        }
        if epilogue.groups() == 0 || !m.is_multiple_of(epilogue.groups()) {
            let why = format!("{m} rows do not split into {} groups", epilogue.groups());
            return Err(Error::problem(Self::STEM, why));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { parts, m, n, epilogue } = *self;
        let result = |name| Slot::write(name, [m, n]);
        let mut slots = vec![Slot::read("shares", [parts, m, n]).f32(), result("y")];
        slots.extend(epilogue.slots(m, n, result));
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variant = |elem| {
            let variant = Variant::new(elem, lanes(caps)).module(pack_module(self.pack()));
            let variant = variant.module(wgsl!("shared/cut.wgsl"));
            self.epilogue.modules().into_iter().fold(variant, Variant::module)
        };
        elems(caps, self.pack()).into_iter().map(variant).collect()
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let [m, n, parts] = [self.m, self.n, self.parts].map(|n| n as u32);
        let rows_per_group = m / self.epilogue.groups() as u32;
        let params = Params { m, n, parts, rows_per_group, first_workgroup: [0; 3] };
        let packs = m * (n / self.pack() as u32);
        Launch::new(&params, [packs.div_ceil(variant.number("WG_SIZE").max(1)), 1, 1])
            .in_cuts(0, std::mem::offset_of!(Params, first_workgroup))
    }

    fn work(&self) -> Work {
        let (n, parts) = ((self.m * self.n) as f64, self.parts as f64);
        Work { flops: parts * n, bytes: 4.0 * (parts + 1.0) * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for MatmulJoin {
    const FAMILY: &'static str = "matmul";
    const SUMMARY: &'static str =
        "a product from the shares of parts of its inner size, with the same folded in";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { m, n, epilogue, .. } = *self;
        let [shares, extra @ ..] = inputs else { return Vec::new() };
        let names = self.slots();
        let names: Vec<_> = names.iter().filter(|s| s.access == Access::Read).map(|s| s.name).collect();
        let at = |name: &str, at: usize, absent: f64| {
            let found = names.iter().skip(1).position(|own| *own == name).and_then(|n| extra.get(n));
            found.map_or(absent, |array| array.data[at])
        };
        let sum =
            |row: usize, col: usize| shares.data.chunks(m * n).map(|part| part[row * n + col]).sum::<f64>();
        epilogue.reference([m, n], &(0..n), &sum, &at)
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let std = 1.0 / (self.parts as f64).sqrt();
        let slots = self.slots();
        let read = slots.iter().filter(|slot| slot.access == Access::Read);
        read.map(|slot| inputs::tame(rng, slot.shape.clone(), if slot.name == "shares" { std } else { 1.0 }))
            .collect()
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let t =
            Tolerance::for_elem(elem, 2e-6 * (self.parts as f64).sqrt().max(4.0), 1.0, "f32 sums of shares");
        let outputs = self.slots().iter().filter(|s| s.access != Access::Read).count();
        vec![t; outputs]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        use Epilogue::{Bias, BiasGateResidual, BiasGelu, BiasGeluErf, BiasResidual, None};
        let case = |parts, m, n, epilogue| Self { parts, m, n, epilogue };
        vec![
            case(1, 1, 1, None),
            case(2, 5, 20, None),
            case(3, 7, 9, Bias),
            case(2, 16, 36, Bias),
            case(4, 9, 24, BiasGelu),
            case(5, 3, 11, BiasGeluErf),
            case(2, 8, 40, BiasResidual),
            case(3, 34, 36, BiasGateResidual { groups: 2 }),
            // Sums by blocks.
            case(300, 2, 8, Bias),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("wan-1.3b, 16 rows, attention", Self { parts: 3, m: 16, n: 1536, epilogue: Epilogue::Bias })]
    }
}
