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
//! A weight that no binding takes is taken in pieces, some of its stored rows at a time ([`Piece`]): of
//! [`Layout::Rows`] they are columns of the result, `y (m, of)`, which leaves the others as they are; of
//! [`Layout::Columns`] they are inputs, `x (m, of)`, whose shares [`Epilogue::Add`] adds up.
//!
//! `w` may be stored in f16 or bf16 while `x` and `y` are f32. Sizes that are multiples of four are read four at a time;
//! bf16 needs them.
//!
//! Errors: sizes of zero or above 2³², a number of groups that does not divide the rows, a piece that is none.

use super::epilogue::Epilogue;
#[cfg(feature = "verify")]
use super::problem::Piece;
use super::problem::{Layout, Matmul};
use super::tile::{Sharing, Tile};
#[cfg(feature = "verify")]
use crate::gpu::Access;
use crate::gpu::{AdapterClass, Caps};
use crate::kernels::packs::pack_module;
#[cfg(feature = "verify")]
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
#[cfg(feature = "verify")]
use std::collections::BTreeMap;

const MATRIX_16: Source = wgsl!("shared/matrix.16.wgsl");
const MATRIX_8: Source = wgsl!("shared/matrix.8.wgsl");
const STORE_BF16: Source = wgsl!("matmul/weight/store.bf16.wgsl");
const STORE_FLOAT: Source = wgsl!("matmul/weight/store.float.wgsl");
const BLOCKS: Source = wgsl!("matmul/blocks.wgsl");
const PLACE: Source = wgsl!("matmul/weight/place.wgsl");
const FEW_ROWS: Source = wgsl!("matmul/ways/few.wgsl");

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    rows_per_group: u32,
    part_inputs: u32,
    x_inputs: u32,
    first_input: u32,
    y_columns: u32,
    first_column: u32,
    first_workgroup: [u32; 3],
}

impl Matmul {
    /// Packs of inputs of which an invocation takes one sum, and whether of as many such sums another; 0 where all are one.
    fn blocks(&self, caps: &Caps, tile: &Tile) -> (usize, bool) {
        // A GPU pays for a second sum with registers, and real models end below 8,192 inputs or little above; what a sum of
        // 2,048 equal terms loses is 2e-5. A CPU has the second sum in memory, where it costs next to nothing.
        let (most, block) = if caps.class == AdapterClass::Software { (256, 64) } else { (2240, 128) };
        let sharers = match tile.sharing {
            Sharing::Few => (tile.wg as usize / tile.columns.div_ceil(self.pack()).max(1)).max(1),
            _ => 1,
        };
        let packs = (self.part_inputs() / self.pack()).div_ceil(sharers);
        if packs > most { (block, packs > block * block) } else { (0, false) }
    }
}

impl Kernel for Matmul {
    const STEM: &'static str = "matmul";
    const SHADER: Source = wgsl!("matmul/matmul.wgsl");

    fn check(&self) -> Result<()> {
        let Self { m, n, k, .. } = *self;
        let limit = u32::MAX as usize;
        let fits = |a: usize, b: usize| a.checked_mul(b).is_some_and(|p| p <= limit);
        let [(inputs, first_input), (columns, first_column)] = self.whole();
        if m == 0 || n == 0 || k == 0 || !fits(m, inputs) || !fits(n, k) || !fits(m, columns) {
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
        let inside =
            |own: usize, first: usize, of: usize| first.checked_add(own).is_some_and(|end| end <= of);
        let piece = inside(k, first_input, inputs) && inside(n, first_column, columns);
        if !piece || (self.piece.is_some() && self.parts > 1) {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: a piece lies inside the weight and is one part"),
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
        let [(inputs, _), (columns, _)] = self.whole();
        let result = |name| match self.piece {
            // The other columns stay.
            Some(_) if self.layout == Layout::Rows => Slot::update(name, [m, columns]),
            _ => Slot::write(name, [m, columns]),
        };
        let y = match self.epilogue {
            Epilogue::Add => Slot::update("y", [m, columns]).f32(),
            _ if self.parts > 1 => Slot::write("y", [self.parts, m, n]).f32(),
            _ => result("y"),
        };
        let w = if self.layout == Layout::Rows { [n, k] } else { [k, n] };
        let mut slots = vec![Slot::read("x", [m, inputs]), Slot::read("w", w).weight(), y];
        slots.extend(self.epilogue.slots(m, columns, result));
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let parts = wgsl!("matmul/epilogue/parts.wgsl");
        let epilogue = if self.parts > 1 { vec![parts] } else { self.epilogue.modules() };
        let pack = self.pack();
        let layout = match (self.layout, pack) {
            (Layout::Rows, 4) => wgsl!("matmul/weight/rows.wgsl"),
            (Layout::Columns, 4) => wgsl!("matmul/weight/columns.wgsl"),
            (Layout::Rows, _) => wgsl!("matmul/weight/rows.single.wgsl"),
            (Layout::Columns, _) => wgsl!("matmul/weight/columns.single.wgsl"),
        };
        let rows = self.layout == Layout::Rows;
        let variant = |tile: Tile, (elem, weight): (Dtype, Dtype)| {
            let mut variant = Variant::new(elem, tile.wg).weights(weight).module(pack_module(pack));
            variant = variant.module(wgsl!("shared/cut.wgsl")).module(layout);
            variant = epilogue.iter().fold(variant, |v, &m| v.module(m));
            variant = variant.module(match tile.sharing {
                Sharing::Matrices(_) => wgsl!("shared/invocation.subgroups.wgsl"),
                _ => wgsl!("shared/invocation.wgsl"),
            });
            if let Sharing::Matrices(side) = tile.sharing {
                let shape = if side == 16 { MATRIX_16 } else { MATRIX_8 };
                let reading = if rows {
                    wgsl!("matmul/weight/matrix.rows.wgsl")
                } else {
                    wgsl!("matmul/weight/matrix.columns.wgsl")
                };
                let (store, powers) = match elem {
                    Dtype::Bf16 => (STORE_BF16, wgsl!("matmul/powers/rows.wgsl")),
                    _ => (STORE_FLOAT, wgsl!("matmul/powers/none.wgsl")),
                };
                let variant = variant.module(store).module(shape).module(powers);
                let variant =
                    variant.module(reading).by(wgsl!("matmul/ways/matrices.wgsl"), tile.sharing.why());
                return Variant { matrices: true, subgroup: true, ..variant };
            }
            variant = variant.with("ROWS", tile.rows).with("TILE_PACKS", tile.columns.div_ceil(pack));
            let (block, deep) = self.blocks(caps, &tile);
            variant = variant.with("BLOCK", block).flag("DEEP", deep).module(BLOCKS);
            if let Sharing::Tiles(side) = tile.sharing {
                let order = if rows {
                    wgsl!("matmul/weight/order.rows.wgsl")
                } else {
                    wgsl!("matmul/weight/order.columns.wgsl")
                };
                variant = variant.with("SIDE", side as usize).module(order);
                variant = variant.by(wgsl!("matmul/ways/tiles.wgsl"), tile.sharing.why());
            } else if let Sharing::Few = tile.sharing {
                variant = variant.flag("ALONG_INPUTS", rows).by(FEW_ROWS, tile.sharing.why());
            } else {
                variant = variant.by(wgsl!("matmul/ways/rows.wgsl"), tile.sharing.why());
            }
            if pack != 4 {
                return variant.module(PLACE).module(wgsl!("matmul/weight/block.single.wgsl"));
            }
            let store = if weight == Dtype::Bf16 { STORE_BF16 } else { STORE_FLOAT };
            let variant = variant.module(store);
            match tile.sharing {
                Sharing::Tiles(_) | Sharing::Matrices(_) => variant,
                Sharing::Direct | Sharing::Few => variant
                    .module(wgsl!("matmul/weight/block.wgsl"))
                    .module(PLACE)
                    .module(wgsl!("matmul/weight/tile.direct.wgsl")),
                Sharing::Subgroup => {
                    let reading = wgsl!("matmul/weight/tile.subgroup.wgsl");
                    let variant = variant.module(wgsl!("matmul/weight/block.wgsl")).module(reading);
                    Variant { subgroup: true, ..variant }
                }
            }
        };
        let stored = elems(caps, pack);
        let same = stored.iter().map(|&d| (d, d));
        let narrow_weights = stored.iter().filter(|&&d| d != Dtype::F32).map(|&d| (Dtype::F32, d));
        let types: Vec<_> = same.chain(narrow_weights).collect();
        // The first variant of a pair of types is the one that runs. Cooperative matrices have f16 factors, which hold bf16
        // row by row; of f32 they would lose digits.
        let fits = |tile: &Tile, (elem, weight): (Dtype, Dtype)| {
            !matches!(tile.sharing, Sharing::Matrices(_)) || (elem == weight && elem.size() == 2)
        };
        let tiles = self.tiles(caps);
        let of = |tile: &Tile| {
            let types = types.iter().filter(|&&t| fits(tile, t));
            types.map(|&t| variant(*tile, t)).collect::<Vec<_>>()
        };
        tiles.iter().flat_map(of).collect()
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let [(inputs, first_input), (columns, first_column)] = self.whole();
        let params = Params {
            m: self.m as u32,
            n: self.n as u32,
            k: self.k as u32,
            rows_per_group: (self.m / self.groups()) as u32,
            part_inputs: self.part_inputs() as u32,
            x_inputs: inputs as u32,
            first_input: first_input as u32,
            y_columns: columns as u32,
            first_column: first_column as u32,
            first_workgroup: [0; 3],
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
        Launch::new(&params, grid).in_cuts(1, std::mem::offset_of!(Params, first_workgroup))
    }

    fn work(&self) -> Work {
        let (m, n, k) = (self.m as f64, self.n as f64, self.k as f64);
        Work { flops: 2.0 * m * n * k, bytes: 4.0 * (m * k + n * k + self.parts as f64 * m * n) }
    }
}

#[cfg(feature = "verify")]
impl Verified for Matmul {
    const FAMILY: &'static str = "matmul";
    const SUMMARY: &'static str = "matrix product with bias, gelu, gate and residual folded in";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let Self { m, n, k, .. } = *self;
        let slots = self.slots();
        let read = slots.iter().filter(|slot| slot.access != Access::Write).zip(inputs);
        let all: BTreeMap<&str, &Array> = read.map(|(slot, array)| (slot.name, array)).collect();
        let (Some(x), Some(w)) = (all.get("x"), all.get("w")) else { return Vec::new() };
        let [(x_inputs, first_input), (columns, first)] = self.whole();
        let product = |row: usize, col: usize, i: usize| {
            let w = if self.layout == Layout::Rows { w.data[col * k + i] } else { w.data[i * n + col] };
            x.data[row * x_inputs + first_input + i] * w
        };
        if self.parts > 1 {
            let inputs = self.part_inputs();
            let share = |at: usize| {
                let (part, row, col) = (at / n / m, at / n % m, at % n);
                let own = part * inputs..((part + 1) * inputs).min(k);
                own.map(|i| product(row, col, i)).sum::<f64>()
            };
            return vec![Array::from_fn([self.parts, m, n], share)];
        }
        let at = |name: &str, at: usize, absent: f64| all.get(name).map_or(absent, |array| array.data[at]);
        let sum = |row: usize, col: usize| (0..k).map(|i| product(row, col - first, i)).sum::<f64>();
        self.epilogue.reference([m, columns], &(first..first + n), &sum, &at)
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        // Results of order one whatever k is, so that one tolerance serves; outliers in x only, since an outlier
        // times an outlier leaves f16's range.
        let std = 1.0 / (self.k as f64).sqrt();
        let slots = self.slots();
        let read = slots.iter().filter(|slot| slot.access != Access::Write);
        read.map(|slot| match slot.name {
            "x" => inputs::normal(rng, slot.shape.clone(), 1.0),
            "w" => inputs::tame(rng, slot.shape.clone(), std),
            _ => inputs::tame(rng, slot.shape.clone(), 1.0),
        })
        .collect()
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let t = Tolerance::for_elem(
            elem,
            2e-6 * (self.k as f64).sqrt().max(4.0),
            1.0,
            "f32 summation of k terms of order 1/sqrt(k)",
        );
        let outputs = self.slots().iter().filter(|s| s.access != Access::Read).count();
        vec![t; outputs]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        // With the other layout a product is the gradient of a product by its input.
        let problem = Self { layout: Layout::Rows, ..self.clone() };
        let plain = self.epilogue == Epilogue::None && self.parts == 1 && self.piece.is_none();
        if self.layout != Layout::Columns || !plain {
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
        use Epilogue::{Add, Bias, BiasGateResidual, BiasGelu, BiasGeluErf, BiasResidual, None};
        let case =
            |m, n, k, layout, epilogue| Self { m, n, k, layout, epilogue, parts: 1, piece: Option::None };
        let in_parts = |parts, case: Self| Self { parts, ..case };
        let piece = |first, of, case: Self| Self { piece: Some(Piece { first, of }), ..case };
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
            // A piece of a weight: from the start, inside, at the end; of columns and of inputs.
            piece(0, 40, case(37, 24, 36, Layout::Rows, Bias)),
            piece(8, 40, case(34, 20, 24, Layout::Rows, BiasGateResidual { groups: 2 })),
            piece(12, 40, case(5, 28, 36, Layout::Rows, BiasGelu)),
            piece(7, 19, case(37, 9, 23, Layout::Rows, BiasResidual)),
            piece(24, 60, case(37, 20, 36, Layout::Columns, Add)),
            piece(0, 23, case(5, 19, 11, Layout::Columns, None)),
            // Sums by blocks.
            case(20, 8, 9300, Layout::Rows, None),
            case(3, 8, 9300, Layout::Columns, None),
            case(20, 7, 16_501, Layout::Columns, None),
            // The large tiles of a GPU.
            case(1101, 1108, 20, Layout::Rows, Bias),
            case(37, 36, 24, Layout::Rows, Add),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |m, n, k, layout, epilogue| Self { m, n, k, layout, epilogue, parts: 1, piece: None };
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
}
