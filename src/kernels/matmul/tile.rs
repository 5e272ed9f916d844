//! How a workgroup shares a product, by the kind of adapter.

use super::problem::Matmul;
use crate::Dtype;
use crate::gpu::{AdapterClass, Caps};

/// How a workgroup shares a product.
#[derive(Clone, Copy)]
pub(super) enum Sharing {
    /// Each invocation reads the weights it wants.
    Direct,
    /// Each reads a part of the weights of its columns for all rows.
    Few,
    /// A workgroup is one subgroup, which reads them between it.
    Subgroup,
    /// SIDE × SIDE invocations share a tile in workgroup memory.
    Tiles(u32),
    /// Four subgroups do, by cooperative matrices of this side.
    Matrices(u32),
}

impl Sharing {
    /// When it is the way.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Direct => "sizes that are no multiples of four, or a CPU without subgroups of one size",
            Self::Few => "few rows: reading every weight once is what it costs",
            Self::Subgroup => "a CPU with subgroups of one size, which read a tile of weights between them",
            Self::Tiles(_) => "everywhere: factors pass through workgroup memory in tiles",
            Self::Matrices(_) => "16 bits, and sizes of whole packs for the matrix units",
        }
    }
}

/// Rows up to which a product is bound by reading its weights.
const FEW: usize = 8;

/// Rows and columns that one invocation computes; by cooperative matrices and for few rows, a workgroup.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) wg: u32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) sharing: Sharing,
}

impl Tile {
    /// Rows and columns of a workgroup.
    fn size(&self) -> [usize; 2] {
        match self.sharing {
            Sharing::Direct | Sharing::Subgroup => [self.wg as usize * self.rows, self.columns],
            Sharing::Tiles(side) => [side as usize * self.rows, side as usize * self.columns],
            Sharing::Few | Sharing::Matrices(_) => [self.rows, self.columns],
        }
    }
}

impl Matmul {
    /// Workgroups of the variant that would run for tensors of this type.
    pub(in crate::kernels) fn workgroups(&self, caps: &Caps, elem: Dtype) -> usize {
        let runs = |tile: &Tile| elem.size() == 2 || !matches!(tile.sharing, Sharing::Matrices(_));
        let size = self.tiles(caps).iter().find(|tile| runs(tile)).map_or([1, 1], Tile::size);
        self.m.div_ceil(size[0].max(1)) * self.n.div_ceil(size[1].max(1))
    }

    /// Tiles for these capabilities, best first.
    ///
    /// On a CPU a load of one address costs a bounds check and a branch for each number of it, so the invocations of a
    /// vector register read a tile between them; rows times columns then hide the handing round. On a GPU factors pass
    /// through workgroup memory, in large tiles where enough of them keep it busy, or through cooperative matrices.
    /// Sizes that are no multiple of four are read directly, and of up to [`FEW`] rows every weight once.
    pub(super) fn tiles(&self, caps: &Caps) -> Vec<Tile> {
        let few = |wg: u32, columns| {
            let rows = self.m.next_power_of_two();
            Tile { wg, rows, columns, sharing: Sharing::Few }
        };
        let by_side = |side: u32, rows, columns| {
            let wg = side * side;
            Tile { wg, rows, columns, sharing: Sharing::Tiles(side) }
        };
        if caps.class != AdapterClass::Software {
            let (rows, columns) = if self.m <= 64 { (1, 4) } else { (4, 8) };
            let direct = Tile { wg: 64, rows, columns, sharing: Sharing::Direct };
            if self.m <= FEW {
                return vec![few(64, 16)];
            }
            if self.pack() != 4 {
                return vec![direct];
            }
            let large = self.m.div_ceil(128) * self.n.div_ceil(128) >= 64;
            let tiles = if large { by_side(16, 8, 8) } else { by_side(16, 4, 4) };
            return self.by_matrices(caps).into_iter().chain([tiles]).collect();
        }
        let direct = Tile { wg: 8, rows: 2, columns: 8, sharing: Sharing::Direct };
        if self.m <= FEW {
            return vec![few(8, 8)];
        }
        if self.pack() != 4 {
            return vec![direct];
        }
        let one_size = caps.subgroup.filter(|(low, high)| low == high && [4, 8, 16].contains(low));
        let together = one_size
            .map(|(wg, _)| Tile { wg, rows: 4, columns: 16, sharing: Sharing::Subgroup })
            .or(Some(direct));
        together.into_iter().chain([by_side(8, 4, 4)]).chain(self.by_matrices(caps)).collect()
    }

    /// Four subgroups, two by two, each of four by four matrices; as many invocations as four of the largest subgroups have.
    fn by_matrices(&self, caps: &Caps) -> Option<Tile> {
        let side = caps.matrix()?;
        let (least, lanes) = caps.subgroup?;
        let tile = 8 * side;
        // As the modules lay them out, in bytes: both factors, a sum a subgroup, and units of both factors' rows.
        let factors = 2 * 8 * tile * (side / 2 + 2);
        let memory = factors + 16 * 4 * side * (side / 4 + 1) + 2 * 4 * 2 * tile + 8;
        // Neighbours that share a row of a slab are of one subgroup.
        let slab = side / 2;
        let fits = slab <= least && 4 * lanes <= caps.max_invocations && memory <= caps.workgroup_memory;
        let tile = tile as usize;
        fits.then_some(Tile { wg: 4 * lanes, rows: tile, columns: tile, sharing: Sharing::Matrices(side) })
    }
}
