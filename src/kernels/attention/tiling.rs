//! How the kernels that multiply rows of queries by rows of keys share the work among invocations.

use super::params::Params;
use super::problem::{AttentionProblem, Mass};
use crate::gpu::{AdapterClass, Caps};
use crate::kernels::{Choices, LOWEST, Launch, NAN, Variant, elems, lanes};
use crate::shader::Source;
use crate::{Dtype, wgsl};

/// Which invocation runs, and for cooperative matrices in which subgroup.
const INVOCATION: Source = wgsl!("shared/invocation.wgsl");
const INVOCATION_IN_SUBGROUP: Source = wgsl!("shared/invocation.subgroups.wgsl");
/// What the ways are made of: a tile that invocations hand round, one in workgroup memory, one of matrices, keys that are held.
const HAND_ROUND: Source = wgsl!("attention/hand_round.wgsl");
const TILE: Source = wgsl!("attention/tile.wgsl");
/// Rows of a tile that an invocation owns.
const OWN_4: Source = wgsl!("attention/own.4.wgsl");
const OWN_2: Source = wgsl!("attention/own.2.wgsl");
const TILE_MATRICES: Source = wgsl!("attention/tile_matrices.wgsl");
const MET_STRAYS: Source = wgsl!("attention/met_strays.wgsl");
const HELD_KEYS: Source = wgsl!("attention/held_keys.wgsl");
const MATRIX_16: Source = wgsl!("shared/matrix.16.wgsl");
const MATRIX_8: Source = wgsl!("shared/matrix.8.wgsl");
/// What is in f16 relative to a power of two, and the powers of rows that f16 could not hold as they are.
const POWER_OF_TWO: Source = wgsl!("attention/power_of_two.wgsl");
const POWERS_OF_NONE: Source = wgsl!("attention/powers.none.wgsl");
const POWERS_OF_ROWS: Source = wgsl!("attention/powers.rows.wgsl");

/// The ways of one kernel.
pub(super) struct Tiling {
    /// Module of a kernel whose invocations own whole rows, and take what the rows meet in tiles.
    pub(super) rows: Source,
    /// Whether that one is compiled with checked indices.
    pub(super) rows_checked: bool,
    /// Rows that an invocation may own where the loops over a wide head stay loops, by the module's constant ROLLED.
    pub(super) rolled_rows: Option<usize>,
    /// Vectors of one operand that an invocation may keep in registers.
    pub(super) vectors: usize,
    /// Rows that an invocation may own: each is compiled as a copy of the code between the products.
    pub(super) most_rows: usize,
    /// Module of a kernel whose workgroups own tiles.
    pub(super) tiles: Source,
    /// Module of the same by cooperative matrices, where there is one.
    pub(super) matrices: Option<Source>,
    /// Module for few rows, where there is one: a workgroup owns all rows of a key head.
    pub(super) few: Option<Source>,
    /// Module for few of what a row meets, where there is one: a workgroup holds all of it.
    pub(super) held: Option<Source>,
    /// Whether the rows are keys rather than queries.
    pub(super) own_keys: bool,
    /// Whether the module of matrices can have the values of its keys in workgroup memory, by the constant VALUES_SHOWN.
    pub(super) shows_values: bool,
    /// Whether results are vectors, of which many sums are kept apart by the constant LONG.
    pub(super) sums_long: bool,
}

/// Keys, or rows for what owns keys, beyond which sums are taken of blocks. What a sum over this many loses is below 1e-5,
/// and results in registers once more cost a GPU some of its occupancy.
const LONG: usize = 1024;

/// Vectors of a head up to which its loops are better unrolled.
const NARROW: usize = 16;
/// Rows of a key head, or what a row meets, and invocations of a workgroup, of a variant for few of them.
const FEW: usize = 8;
const FEW_LANES: u32 = 64;

/// Rows that a workgroup of a variant owns.
pub(super) fn rows_of(variant: &Variant) -> u32 {
    let matrix = |module: &Source| match *module {
        MATRIX_16 => Some(16),
        MATRIX_8 => Some(8),
        _ => None,
    };
    match (variant.modules.iter().find_map(matrix), variant.number("SIDE")) {
        (Some(matrix), _) => matrix * variant.number("WAVES"),
        (None, 0) => variant.number("WG_SIZE").max(1) * variant.number("ROWS").max(1),
        (None, side) => {
            if variant.modules.contains(&OWN_2) {
                2 * side
            } else {
                4 * side
            }
        }
    }
}

/// Constants that the gradient into the map depends on.
pub(super) const MAP_GRAD_USES: [&str; 5] = ["GROUPS", "ENTROPY", "MASS_MEAN", "MASS_MAX", "UPSTREAM"];
const SHARED: Source = wgsl!("attention/problem.wgsl");
/// How probabilities come from scores.
pub(super) const SOFTMAX_ROW: Source = wgsl!("attention/softmax_row.wgsl");
/// What rows do not see must not matter.
pub(super) const STRAY: Source = wgsl!("attention/stray.wgsl");
/// Strays among the keys that a row sees.
pub(super) const SEEN_STRAYS: Source = wgsl!("attention/seen_strays.wgsl");
/// The statistics of a row, as a kernel before left them.
pub(super) const ROW_STATS: Source = wgsl!("attention/row_stats.wgsl");
/// The probability of a key from its score and those.
pub(super) const PROBABILITY: Source = wgsl!("attention/probability.wgsl");
/// The score of a key by one invocation.
pub(super) const SCORE: Source = wgsl!("attention/score.wgsl");
/// Which workgroup of the whole one of a cut is.
pub(super) const CUT: Source = wgsl!("shared/cut.wgsl");
/// Gradients into the map; only backward kernels take it.
pub(super) const MAP_GRAD: Source = wgsl!("attention/map_grad.wgsl");
/// What the gradients by queries and by keys read, and the gradient by a score.
pub(super) const BACKWARD: Source = wgsl!("attention/backward.wgsl");

impl AttentionProblem {
    /// Variants of the family: storage type × mask module, with workgroups of one vector register on a CPU. Of the
    /// family's constants a kernel names those it uses, so that calls that differ in others share a pipeline.
    pub(super) fn variants(&self, caps: &Caps, uses: &[&str], extra: &[Source]) -> Vec<Variant> {
        let variant = |elem| {
            let mut variant = Variant::new(elem, lanes(caps))
                .with("HEAD_DIM", self.shape.head_dim)
                .with("GROUP", self.shape.heads / self.shape.kv_heads)
                .with("GROUPS", self.readout.groups)
                .flag("ENTROPY", self.readout.entropy)
                .flag("MASS_MEAN", self.readout.mass == Some(Mass::Mean))
                .flag("MASS_MAX", self.readout.mass == Some(Mass::Max))
                .flag("UPSTREAM", self.output_gradient)
                .module(SHARED)
                .module(NAN)
                .module(LOWEST)
                .module(SOFTMAX_ROW)
                .module(CUT)
                .module(self.mask.module());
            variant
                .consts
                .retain(|(name, _)| ["WG_SIZE", "HEAD_DIM", "GROUP"].contains(name) || uses.contains(name));
            extra.iter().fold(variant, |v, &m| v.module(m))
        };
        elems(caps, 4).into_iter().map(variant).collect()
    }

    /// Parameters and grid over `items` (rows or keys) × `y` × `z`, cut along the items where the work is long.
    pub(super) fn launch(&self, variant: &Variant, items: usize, y: usize, z: usize) -> Launch {
        self.launch_parts(variant, [items, y, z], 1)
    }

    /// The same with `parts` workgroups for what one would do with all keys.
    pub(super) fn launch_parts(&self, variant: &Variant, grid: [usize; 3], parts: usize) -> Launch {
        let [items, y, z] = grid;
        let rows = rows_of(variant);
        let groups = (items as u32).div_ceil(rows);
        Launch::new(&self.params(parts), [groups, y as u32, (z * parts) as u32])
            .in_cuts(0, std::mem::offset_of!(Params, first_workgroup))
    }

    /// Variants of a kernel that multiplies rows of queries by rows of keys: the better first.
    ///
    /// By cooperative matrices where the adapter has them and the tensors are f16: results of four subgroups stay in its
    /// registers. By rows where a CPU has subgroups of one size: a workgroup is one vector register then, and barriers,
    /// which cost a CPU most, are left out; a load of one address costs it a bounds check and a branch for each number,
    /// so the invocations read a tile between them and hand it round. `vectors` bounds the operands in registers, and
    /// with them the time the driver compiles. By tiles, in workgroup memory, everywhere else: 16 × 16 invocations with
    /// four by four scores each, 8 × 8 where a head is too wide for 16 KiB or where each invocation of a workgroup costs
    /// a CPU.
    pub(super) fn tiled(&self, caps: &Caps, how: &Tiling, uses: &[&str], extra: &[Source]) -> Vec<Variant> {
        let vectors = (self.shape.head_dim / 4).max(1);
        let software = caps.class == AdapterClass::Software;
        let owned = if how.own_keys { self.shape.seq_kv } else { self.shape.seq_q };
        let s = &self.shape;
        let met = if how.own_keys { s.seq_q * (s.heads / s.kv_heads) } else { s.seq_kv };
        let mut bare = self.variants(caps, uses, extra);
        if how.sums_long {
            bare = bare.into_iter().map(|variant| variant.flag("LONG", met > LONG)).collect();
        }
        let plain: Vec<Variant> = bare.iter().map(|variant| variant.clone().module(INVOCATION)).collect();
        let few = plain.iter().filter_map(|variant| self.by_few(how.few?, variant, software));
        let held = plain.iter().filter_map(|variant| self.by_held(caps, how, variant));
        let side = if software || vectors > 32 { 8 } else { 16 };
        let tiles = plain.iter().map(|variant| {
            let variant = variant.clone().workgroup(side * side).with("SIDE", side as usize);
            let own = if Choices::of(caps).rows == 2 { OWN_2 } else { OWN_4 };
            let variant = variant.module(MET_STRAYS).module(own).module(TILE);
            variant.by(how.tiles, "everywhere: operands pass through workgroup memory in tiles")
        });
        let one_size = caps.subgroup.filter(|(low, high)| low == high && (4..=16).contains(low));
        let own_rows = one_size.filter(|_| software);
        let rows = own_rows.into_iter().flat_map(|(lanes, _)| {
            plain.iter().map(move |variant| {
                let enough = owned.div_ceil(lanes as usize);
                let rolled = how.rolled_rows.filter(|_| vectors > NARROW);
                let rows = match rolled {
                    Some(rows) => enough.min(rows),
                    None => (how.vectors / vectors).clamp(1, enough.min(how.most_rows)),
                };
                let variant = variant.clone().with("ROWS", rows).module(HAND_ROUND);
                let variant = match how.rolled_rows {
                    Some(_) => variant.flag("ROLLED", rolled.is_some()),
                    None => variant,
                };
                let checked = how.rows_checked || rolled.is_some();
                Variant {
                    subgroup: true,
                    checked,
                    ..variant
                        .by(how.rows, "a CPU with subgroups of one size: a workgroup is one vector register")
                }
            })
        });
        let matrices = bare.iter().flat_map(|variant| self.by_matrices(caps, how, variant));
        // A CPU's cooperative matrices are no faster than its vectors.
        if software {
            let instead = own_rows.is_none();
            rows.chain(few).chain(held.chain(tiles).filter(|_| instead)).chain(matrices).collect()
        } else {
            held.chain(few).chain(matrices).chain(tiles).collect()
        }
    }

    /// The variant for few rows of a key head: a tile would mostly be empty, and with it its invocations idle.
    fn by_few(&self, module: Source, plain: &Variant, software: bool) -> Option<Variant> {
        let rows = (self.shape.seq_q * (self.shape.heads / self.shape.kv_heads)).next_power_of_two();
        let workgroup = if software { plain.number("WG_SIZE") } else { FEW_LANES };
        let variant = || {
            plain
                .clone()
                .workgroup(workgroup)
                .with("ROWS", rows)
                .by(module, "few rows of a key head: a tile of them would be mostly empty")
        };
        (rows <= FEW && rows <= workgroup as usize).then(variant)
    }

    /// The variant for few of what a row meets: it lies in workgroup memory, and an invocation owns a row.
    fn by_held(&self, caps: &Caps, how: &Tiling, plain: &Variant) -> Option<Variant> {
        let s = &self.shape;
        let held = if how.own_keys { s.seq_q * (s.heads / s.kv_heads) } else { s.seq_kv };
        let workgroup =
            if caps.class == AdapterClass::Software { plain.number("WG_SIZE") } else { FEW_LANES };
        let memory = 2 * held * s.head_dim * size_of::<f32>();
        let module = how.held.filter(|_| held <= FEW && memory <= caps.workgroup_memory as usize)?;
        let plain = if how.own_keys { plain.clone() } else { plain.clone().module(HELD_KEYS) };
        Some(
            plain
                .workgroup(workgroup)
                .with("HELD", held)
                .by(module, "few of what a row meets: all of it lies in workgroup memory"),
        )
    }

    /// The variant by cooperative matrices: as many invocations as four of the largest subgroups have, whatever size they
    /// turn out to have; heads of whole matrices, and f16 or what it holds row by row under powers of two.
    fn by_matrices(&self, caps: &Caps, how: &Tiling, plain: &Variant) -> Vec<Variant> {
        let Some((variant, room)) = self.of_matrices(caps, how.matrices, plain) else { return Vec::new() };
        let variant = Variant { matrices: true, subgroup: true, ..variant };
        if !how.shows_values {
            return vec![variant];
        }
        let width = self.shape.head_dim as u32;
        let shown = 8 * rows_of(&variant) * (width / 4 + 2) <= room;
        let wanted = Choices::of(caps).values_shown && width > 64;
        // A CPU is where both are tested.
        let all = caps.class == AdapterClass::Software;
        [(!wanted || !shown || all, false), ((wanted || all) && shown, true)]
            .into_iter()
            .filter(|(there, _)| *there)
            .map(|(_, shown)| variant.clone().flag("VALUES_SHOWN", shown))
            .collect()
    }

    /// It, and the workgroup memory that is left.
    fn of_matrices(&self, caps: &Caps, module: Option<Source>, plain: &Variant) -> Option<(Variant, u32)> {
        const WAVES: u32 = 4;
        const TILE_ROWS: u32 = 32;
        let module = module?;
        let side = caps.matrix()?;
        let (_, lanes) = caps.subgroup?;
        let width = self.shape.head_dim as u32;
        let (workgroup, owned, tile) = (WAVES * lanes, WAVES * side, TILE_ROWS / 4);
        // A tile by rows or by columns, scores, weights, statistics of rows and a few words, in bytes, as the modules lay
        // them out.
        let by_rows = TILE_ROWS * (width / 4 + 2);
        let staged = 8 * by_rows.max(width * (tile + 2)).max(owned * (side / 4 + 2));
        let (powers, of_rows) = match plain.elem {
            Dtype::F16 => (POWERS_OF_NONE, 0),
            Dtype::Bf16 => (POWERS_OF_ROWS, 4 * (2 * owned + 2 * TILE_ROWS) + 8 * TILE_ROWS),
            _ => return None,
        };
        let own = owned * (16 * (tile + 1) + 8 * (tile + 2)) + 16 * TILE_ROWS.max(owned);
        let memory = staged + own + of_rows + 24;
        let fits = width.is_multiple_of(side)
            && workgroup.is_multiple_of(owned)
            && tile.is_multiple_of(workgroup / owned)
            && workgroup <= caps.max_invocations
            && memory <= caps.workgroup_memory;
        let shape = if side == 16 { MATRIX_16 } else { MATRIX_8 };
        let variant = || {
            let waves = plain.clone().workgroup(workgroup).with("WAVES", WAVES as usize);
            let modules =
                [INVOCATION_IN_SUBGROUP, shape, powers, POWER_OF_TWO, TILE_MATRICES, MET_STRAYS].into_iter();
            let mut variant = modules
                .fold(waves, Variant::module)
                .by(module, "16 bits, and heads of whole matrices for the matrix units");
            // Sums of products are the device's to round, f16 after all.
            variant.consts.retain(|(name, _)| *name != "LONG");
            variant
        };
        fits.then(|| (variant(), caps.workgroup_memory - memory))
    }

    /// Grid of a variant of [`Self::tiled`], the keys in `parts`.
    pub(super) fn launch_tiled(&self, variant: &Variant, how: &Tiling, parts: usize) -> Launch {
        let s = &self.shape;
        let by = |module: Option<Source>| module.is_some_and(|module| variant.modules.contains(&module));
        let by_tiles = variant.number("SIDE") > 0 || variant.matrices || by(how.few) || by(how.held);
        let grid = match (how.own_keys, by_tiles) {
            (true, _) => [s.seq_kv, s.kv_heads, s.batch],
            // Query heads that share a key head are rows of one tile.
            (false, true) => [s.seq_q * (s.heads / s.kv_heads), s.kv_heads, s.batch],
            (false, false) => [s.seq_q, s.heads, s.batch],
        };
        self.launch_parts(variant, grid, parts)
    }
}
