//! `y = epilogue(x · op(w))`, accumulated in f32.
//!
//! Shapes: `x (m, k)`; `w (n, k)` for [`Layout::Rows`] (a Linear layer's weight, `y = x wᵀ`) or `(k, n)` for
//! [`Layout::Columns`] (the same stored weight seen from its output: the gradient by the layer's input,
//! `dx = dy · w`); `y (m, n)`; `bias (n)` and `gate (groups, n)` in f32. Memory written: `y`, and for
//! [`Epilogue::BiasGelu`] and [`Epilogue::BiasGeluErf`] the value before the gelu, which its gradient needs.
//!
//! Long inner sizes and few results, such as gradients of weights, leave most of a GPU idle: there the inner size is cut
//! into `parts`, `y (parts, m, n)` in f32 holds the share of each, and their sum is the product.
//!
//! `w` may be stored in f16 or bf16 while `x` and `y` are f32. Sizes that are multiples of four are read four at a time;
//! bf16 needs them.
//!
//! Errors: sizes of zero or above 2³², a number of groups that does not divide the rows.

use super::tile::{Sharing, Tile};
use crate::gpu::Caps;
use crate::kernels::elementwise::{gelu_erf_of, gelu_of};
use crate::kernels::rowwise::pack_module;
use crate::kernels::{Gradient, Kernel, Launch, Slot, Tolerance, Variant, Work, elems, inputs};
use crate::shader::Source;
use crate::tensor::Array;
use crate::{Dtype, Error, Result, wgsl};
use rand_pcg::Pcg64;
use std::fmt;

const MATRIX_16: Source = wgsl!("shared/matrix.16.wgsl");
const MATRIX_8: Source = wgsl!("shared/matrix.8.wgsl");
/// Inputs of a part are a multiple of this, the most that a way to share the work takes at a time.
const PART_STEP: usize = 32;
const FEW_ROWS: Source = wgsl!("shared/matmul.few.wgsl");

/// How the weight lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `(n, k)`: one row an output.
    Rows,
    /// `(k, n)`: one column an output.
    Columns,
}

/// What happens to a result before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Nothing.
    None,
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

/// Sizes and options of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matmul {
    /// Rows of `x`.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Inner size.
    pub k: usize,
    /// How `w` lies.
    pub layout: Layout,
    /// What is done before storing; nothing where there are several parts.
    pub epilogue: Epilogue,
    /// Parts of the inner size.
    pub parts: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    rows_per_group: u32,
    part_inputs: u32,
    first_workgroup: u32,
}

impl fmt::Display for Matmul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k, layout, epilogue, parts } = self;
        write!(f, "matmul(m={m},n={n},k={k},layout={layout:?},epilogue={epilogue:?}")?;
        if *parts > 1 {
            write!(f, ",parts={parts}")?;
        }
        write!(f, ")")
    }
}

impl Matmul {
    /// Inputs of a part: whole tiles of every way to share the work.
    pub(super) fn part_inputs(&self) -> usize {
        if self.parts > 1 { self.k.div_ceil(self.parts).next_multiple_of(PART_STEP) } else { self.k }
    }

    /// Elements taken at a time along `k` and `n`.
    pub(super) fn pack(&self) -> usize {
        if self.n.is_multiple_of(4) && self.k.is_multiple_of(4) { 4 } else { 1 }
    }

    pub(super) fn groups(&self) -> usize {
        match self.epilogue {
            Epilogue::BiasGateResidual { groups } => groups,
            _ => 1,
        }
    }
}

impl Kernel for Matmul {
    const STEM: &'static str = "matmul";
    const FAMILY: &'static str = "matmul";
    const SUMMARY: &'static str = "matrix product with bias, gelu, gate and residual folded in";
    const SHADER: Source = wgsl!("matmul/matmul.wgsl");

    fn check(&self) -> Result<()> {
        let Self { m, n, k, .. } = *self;
        let limit = u32::MAX as usize;
        let fits = |a: usize, b: usize| a.checked_mul(b).is_some_and(|p| p <= limit);
        if m == 0 || n == 0 || k == 0 || !fits(m, k) || !fits(n, k) || !fits(m, n) {
            return Err(Error::problem(
                Self::STEM,
                format!("m={m}, n={n}, k={k}: sizes are 1.. and products below 2^32"),
            ));
        }
        if self.parts == 0 || (self.parts > 1 && self.epilogue != Epilogue::None) || self.parts > 65_535 {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: one part with an epilogue, otherwise 1 to 65535"),
            ));
        }
        if !fits(m * n, self.parts) {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: results of all parts are 2^32 and more"),
            ));
        }
        if self.groups() == 0 || !m.is_multiple_of(self.groups()) {
            return Err(Error::problem(
                Self::STEM,
                format!("{m} rows do not split into {} groups", self.groups()),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { m, n, k, .. } = *self;
        let w = if self.layout == Layout::Rows { [n, k] } else { [k, n] };
        let mut slots = vec![Slot::read("x", [m, k]), Slot::read("w", w).weight(), Slot::write("y", [m, n])];
        if self.parts > 1 {
            slots[2] = Slot::write("y", [self.parts, m, n]).f32();
        }
        if self.epilogue != Epilogue::None {
            slots.push(Slot::read("bias", [n]).f32());
        }
        match self.epilogue {
            Epilogue::None | Epilogue::Bias => {}
            Epilogue::BiasGelu | Epilogue::BiasGeluErf => slots.push(Slot::write("pre", [m, n])),
            Epilogue::BiasResidual => slots.push(Slot::read("residual", [m, n])),
            Epilogue::BiasGateResidual { groups } => {
                slots.push(Slot::read("residual", [m, n]));
                slots.push(Slot::read("gate", [groups, n]).f32());
            }
        }
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let epilogue = match self.epilogue {
            Epilogue::None if self.parts > 1 => wgsl!("shared/epilogue.parts.wgsl"),
            Epilogue::None => wgsl!("shared/epilogue.none.wgsl"),
            Epilogue::Bias => wgsl!("shared/epilogue.bias.wgsl"),
            Epilogue::BiasGelu | Epilogue::BiasGeluErf => wgsl!("shared/epilogue.bias_gelu.wgsl"),
            Epilogue::BiasResidual => wgsl!("shared/epilogue.bias_residual.wgsl"),
            Epilogue::BiasGateResidual { .. } => wgsl!("shared/epilogue.bias_gate_residual.wgsl"),
        };
        let pack = self.pack();
        let layout = match (self.layout, pack) {
            (Layout::Rows, 4) => wgsl!("shared/weight.rows.wgsl"),
            (Layout::Columns, 4) => wgsl!("shared/weight.columns.wgsl"),
            (Layout::Rows, _) => wgsl!("shared/weight.rows.single.wgsl"),
            (Layout::Columns, _) => wgsl!("shared/weight.columns.single.wgsl"),
        };
        let rows = self.layout == Layout::Rows;
        let variant = |tile: Tile, (elem, weight): (Dtype, Dtype)| {
            let mut variant = Variant::new(elem, tile.wg).weights(weight).module(pack_module(pack));
            variant = variant.module(layout).module(epilogue);
            match self.epilogue {
                Epilogue::BiasGelu => variant = variant.module(wgsl!("shared/gelu.wgsl")),
                Epilogue::BiasGeluErf => variant = variant.module(wgsl!("shared/gelu_erf.wgsl")),
                _ => {}
            }
            if let Sharing::Matrices(side) = tile.sharing {
                let shape = if side == 16 { MATRIX_16 } else { MATRIX_8 };
                let reading = if rows {
                    wgsl!("shared/weight_matrix.rows.wgsl")
                } else {
                    wgsl!("shared/weight_matrix.columns.wgsl")
                };
                let variant = variant.module(wgsl!("shared/weight_store.float.wgsl")).module(shape);
                let variant = variant.module(reading).module(wgsl!("shared/matmul.matrices.wgsl"));
                return Variant { matrices: true, ..variant };
            }
            variant = variant.with("ROWS", tile.rows).with("TILE_PACKS", tile.columns.div_ceil(pack));
            if let Sharing::Tiles(side) = tile.sharing {
                let order = if rows {
                    wgsl!("shared/weight_order.rows.wgsl")
                } else {
                    wgsl!("shared/weight_order.columns.wgsl")
                };
                variant = variant.with("SIDE", side as usize).module(order);
                variant = variant.module(wgsl!("shared/matmul.tiles.wgsl"));
            } else if let Sharing::Few = tile.sharing {
                variant = variant.flag("ALONG_INPUTS", rows).module(FEW_ROWS);
            } else {
                variant = variant.module(wgsl!("shared/matmul.rows.wgsl"));
            }
            if pack != 4 {
                return variant.module(wgsl!("shared/weight_block.single.wgsl"));
            }
            let store = if weight == Dtype::Bf16 {
                wgsl!("shared/weight_store.bf16.wgsl")
            } else {
                wgsl!("shared/weight_store.float.wgsl")
            };
            let variant = variant.module(store);
            match tile.sharing {
                Sharing::Tiles(_) | Sharing::Matrices(_) => variant,
                Sharing::Direct | Sharing::Few => variant
                    .module(wgsl!("shared/weight_block.wgsl"))
                    .module(wgsl!("shared/weight_tile.direct.wgsl")),
                Sharing::Subgroup => {
                    let reading = wgsl!("shared/weight_tile.subgroup.wgsl");
                    let variant = variant.module(wgsl!("shared/weight_block.wgsl")).module(reading);
                    Variant { subgroup: true, ..variant }
                }
            }
        };
        let stored = elems(caps, pack);
        let same = stored.iter().map(|&d| (d, d));
        let narrow_weights = stored.iter().filter(|&&d| d != Dtype::F32).map(|&d| (Dtype::F32, d));
        let types: Vec<_> = same.chain(narrow_weights).collect();
        // The first variant of a pair of types is the one that runs. Cooperative matrices have f16 factors.
        let fits = |tile: &Tile, types: (Dtype, Dtype)| {
            !matches!(tile.sharing, Sharing::Matrices(_)) || types == (Dtype::F16, Dtype::F16)
        };
        let tiles = self.tiles(caps);
        let of = |tile: &Tile| {
            let types = types.iter().filter(|&&t| fits(tile, t));
            types.map(|&t| variant(*tile, t)).collect::<Vec<_>>()
        };
        tiles.iter().flat_map(of).collect()
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let params = Params {
            m: self.m as u32,
            n: self.n as u32,
            k: self.k as u32,
            rows_per_group: (self.m / self.groups()) as u32,
            part_inputs: self.part_inputs() as u32,
            first_workgroup: 0,
        };
        let [tile_m, tile_n] = if variant.matrices {
            let side = if variant.modules.contains(&MATRIX_16) { 16 } else { 8 };
            [8 * side; 2]
        } else {
            let columns = variant.number("TILE_PACKS") * self.pack() as u32;
            match variant.number("SIDE") {
                0 if variant.modules.contains(&FEW_ROWS) => [variant.number("ROWS"), columns],
                0 => [variant.number("WG_SIZE") * variant.number("ROWS"), columns],
                side => [side * variant.number("ROWS"), side * columns],
            }
        };
        let grid = [params.n.div_ceil(tile_n.max(1)), params.m.div_ceil(tile_m.max(1)), self.parts as u32];
        Launch::new(&params, grid).split(1, std::mem::offset_of!(Params, first_workgroup))
    }

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { m, n, k, .. } = *self;
        let [x, w, rest @ ..] = inputs else { return Vec::new() };
        let weight = |i: usize, col: usize| match self.layout {
            Layout::Rows => w.data[col * k + i],
            Layout::Columns => w.data[i * n + col],
        };
        if self.parts > 1 {
            let inputs = self.part_inputs();
            let share = |at: usize| {
                let (part, row, col) = (at / n / m, at / n % m, at % n);
                let own = part * inputs..((part + 1) * inputs).min(k);
                own.map(|i| x.data[row * k + i] * weight(i, col)).sum::<f64>()
            };
            return vec![Array::from_fn([self.parts, m, n], share)];
        }
        let bias = |col: usize| rest.first().map_or(0.0, |b| b.data[col]);
        let pre = Array::from_fn([m, n], |at| {
            let (row, col) = (at / n, at % n);
            (0..k).map(|i| x.data[row * k + i] * weight(i, col)).sum::<f64>() + bias(col)
        });
        let residual = |at: usize| rest.get(1).map_or(0.0, |r| r.data[at]);
        let gate =
            |at: usize| rest.get(2).map_or(1.0, |g| g.data[(at / n) / (m / self.groups()) * n + at % n]);
        match self.epilogue {
            Epilogue::None | Epilogue::Bias => vec![pre],
            Epilogue::BiasGelu => vec![Array::from_fn([m, n], |at| gelu_of(pre.data[at])), pre],
            Epilogue::BiasGeluErf => vec![Array::from_fn([m, n], |at| gelu_erf_of(pre.data[at])), pre],
            Epilogue::BiasResidual | Epilogue::BiasGateResidual { .. } => {
                vec![Array::from_fn([m, n], |at| residual(at) + gate(at) * pre.data[at])]
            }
        }
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        // Results of order one whatever k is, so that one tolerance serves; outliers in x only, since an outlier
        // times an outlier leaves f16's range.
        let std = 1.0 / (self.k as f64).sqrt();
        let w = self.slots()[1].shape.clone();
        let mut all = vec![inputs::normal(rng, [self.m, self.k], 1.0), inputs::tame(rng, w, std)];
        for slot in self.slots().iter().skip(3).filter(|s| s.access == crate::gpu::Access::Read) {
            all.push(inputs::tame(rng, slot.shape.clone(), 1.0));
        }
        all
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let t = Tolerance::for_elem(
            elem,
            2e-6 * (self.k as f64).sqrt().max(4.0),
            1.0,
            "f32 summation of k terms of order 1/sqrt(k)",
        );
        let outputs = self.slots().iter().filter(|s| s.access != crate::gpu::Access::Read).count();
        vec![t; outputs]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        // With the other layout a product is the gradient of a product by its input.
        let problem = Self { layout: Layout::Rows, ..self.clone() };
        if self.layout != Layout::Columns || self.epilogue != Epilogue::None || self.parts > 1 {
            return None;
        }
        // dx (m, n) = dy (m, k) · w (k, n): L(x) = Σ dy ⊙ (x wᵀ) with x (m, n), w (k, n).
        let forward = Self { m: problem.m, n: problem.k, k: problem.n, ..problem };
        Some(Gradient::linear("matmul", move |inputs, x| {
            let y = forward.reference(&[x.clone(), inputs[1].clone()]);
            y[0].data.iter().zip(&inputs[0].data).map(|(y, dy)| y * dy).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        use Epilogue::{Bias, BiasGateResidual, BiasGelu, BiasGeluErf, BiasResidual, None};
        let case = |m, n, k, layout, epilogue| Self { m, n, k, layout, epilogue, parts: 1 };
        let in_parts = |parts, case: Self| Self { parts, ..case };
        vec![
            case(1, 1, 1, Layout::Rows, None),
            case(1, 9, 33, Layout::Columns, None),
            case(37, 19, 23, Layout::Rows, Bias),
            case(37, 19, 23, Layout::Columns, None),
            case(130, 67, 64, Layout::Rows, BiasGelu),
            case(17, 40, 96, Layout::Rows, BiasResidual),
            case(34, 33, 31, Layout::Rows, BiasGateResidual { groups: 2 }),
            case(66, 128, 128, Layout::Columns, None),
            // Four at a time, with an edge in each direction.
            case(9, 20, 36, Layout::Rows, None),
            case(37, 36, 24, Layout::Rows, Bias),
            // Few rows.
            case(3, 52, 140, Layout::Rows, BiasGelu),
            case(5, 44, 72, Layout::Columns, None),
            case(130, 68, 64, Layout::Rows, BiasGelu),
            case(34, 36, 32, Layout::Rows, BiasGateResidual { groups: 2 }),
            case(37, 36, 24, Layout::Rows, BiasGeluErf),
            case(5, 19, 23, Layout::Rows, BiasGeluErf),
            // In parts: the last shorter, of one step, and empty.
            in_parts(3, case(40, 36, 168, Layout::Columns, None)),
            in_parts(2, case(37, 19, 63, Layout::Rows, None)),
            in_parts(4, case(2, 36, 36, Layout::Rows, None)),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |m, n, k, layout, epilogue| Self { m, n, k, layout, epilogue, parts: 1 };
        let gradient = case(128, 128, 16_000, Layout::Columns, Epilogue::None);
        let down = Epilogue::BiasGateResidual { groups: 1 };
        vec![
            ("wan-1.3b frame, attention", case(1560, 1536, 1536, Layout::Rows, Epilogue::Bias)),
            ("wan-1.3b frame, mlp up", case(1560, 8960, 1536, Layout::Rows, Epilogue::BiasGelu)),
            ("wan-1.3b frame, mlp down", case(1560, 1536, 8960, Layout::Rows, down)),
            ("wan-1.3b frame, mlp up backward", case(1560, 1536, 8960, Layout::Columns, Epilogue::None)),
            ("qwen2.5-vl-7b, one token, mlp up", case(1, 18_944, 3584, Layout::Rows, Epilogue::None)),
            ("qwen2.5-vl-7b, one token, mlp down", case(1, 3584, 18_944, Layout::Rows, Epilogue::None)),
            ("dashfusion, gradient of a weight", gradient.clone()),
            ("dashfusion, gradient of a weight in parts", Self { parts: 31, ..gradient }),
            ("wan-1.3b 480p, attention", case(32_760, 1536, 1536, Layout::Rows, Epilogue::Bias)),
            ("wan-1.3b 480p, mlp up", case(32_760, 8960, 1536, Layout::Rows, Epilogue::BiasGelu)),
            ("wan-1.3b 480p, mlp down", case(32_760, 1536, 8960, Layout::Rows, down)),
            ("wan-1.3b 480p, mlp up backward", case(32_760, 1536, 8960, Layout::Columns, Epilogue::None)),
        ]
    }

    fn work(&self) -> Work {
        let (m, n, k) = (self.m as f64, self.n as f64, self.k as f64);
        Work { flops: 2.0 * m * n * k, bytes: 4.0 * (m * k + n * k + self.parts as f64 * m * n) }
    }
}
