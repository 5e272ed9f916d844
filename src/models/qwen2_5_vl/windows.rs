//! The order in which the vision tower reads patches, who attends to whom, and where each patch lies.
//!
//! Patch rows come in merge-block order: by temporal slice, then by units of `merge` × `merge` patches row by
//! row, then by the patches of a unit row by row. Windowed blocks want the units of one window next to each
//! other, so the tower reorders units once before its first block and undoes it behind the merger (Bai et al.
//! 2025, arXiv 2502.13923, section 2.1.1; transformers 4.49.0, `get_window_index` and `rot_pos_emb`).

use super::{Grid, MAX_ROWS, QwenVisionConfig, units};
use crate::{Error, Result};

/// Order, segments and positions of the patch rows of some images and videos, joined one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowOrder {
    /// Patches of a unit, `merge_size` squared: so many rows move together.
    pub unit: usize,
    /// Unit that is read at each place: a window after another, within one row by row. Windows at the right
    /// and lower edge hold fewer units.
    pub index: Vec<u32>,
    /// Place at which each unit is read: `inverse[index[i]] == i`. Undoes the order behind the merger.
    pub inverse: Vec<u32>,
    /// First patch row of each window, in window order, and the number of rows behind the last: attention of
    /// most blocks stays within.
    pub windows: Vec<u32>,
    /// First patch row of each temporal slice, in either order, and the number of rows behind the last:
    /// attention of the full blocks stays within, so slices can be encoded one at a time with the same
    /// result.
    pub slices: Vec<u32>,
    /// Row and column of each patch in its image, in merge-block order.
    pub positions: Vec<[u32; 2]>,
}

impl WindowOrder {
    /// The order for these grids.
    ///
    /// # Errors
    /// [`Error::Input`] naming the grid that has a size of zero, one that `merge_size` does not divide, or
    /// too many patches, and for windows narrower than a unit.
    pub fn new(vision: &QwenVisionConfig, grids: &[Grid]) -> Result<Self> {
        let merge = vision.merge_size;
        let side = vision.window_size.checked_div(merge.saturating_mul(vision.patch_size)).unwrap_or(0);
        if side == 0 {
            let reason =
                format!("expected at least one unit of {merge} patches, found {}", vision.window_size);
            return Err(Error::input("window_size", reason));
        }
        let unit = merge * merge;
        let mut order = Self {
            unit,
            index: Vec::new(),
            inverse: Vec::new(),
            windows: vec![0],
            slices: vec![0],
            positions: Vec::new(),
        };
        for (i, grid) in grids.iter().enumerate() {
            let [steps, height, width] = units(&format!("grid {i}"), *grid, merge)?;
            let rows = order.positions.len() + steps * height * width * unit;
            if rows > MAX_ROWS {
                let reason = format!("expected up to {MAX_ROWS} patches in all, found {rows}");
                return Err(Error::input(format!("grid {i}"), reason));
            }
            for _ in 0..steps {
                order.slice(height, width, side, merge);
            }
        }
        order.inverse = vec![0; order.index.len()];
        for (place, unit) in order.index.iter().enumerate() {
            if let Some(slot) = order.inverse.get_mut(*unit as usize) {
                *slot = place as u32;
            }
        }
        Ok(order)
    }

    /// Adds one temporal slice of `height` × `width` units.
    fn slice(&mut self, height: usize, width: usize, side: usize, merge: usize) {
        let first = self.index.len();
        for top in (0..height).step_by(side) {
            let bottom = height.min(top + side);
            for left in (0..width).step_by(side) {
                let right = width.min(left + side);
                for row in top..bottom {
                    let unit = first + row * width;
                    self.index.extend((unit + left) as u32..(unit + right) as u32);
                }
                self.windows.push((self.index.len() * self.unit) as u32);
            }
        }
        self.slices.push((self.index.len() * self.unit) as u32);
        for row in 0..height {
            for column in 0..width {
                for y in row * merge..(row + 1) * merge {
                    self.positions
                        .extend((column * merge..(column + 1) * merge).map(|x| [y as u32, x as u32]));
                }
            }
        }
    }

    /// Patch rows.
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// [`positions`](Self::positions) in window order: what the tower's blocks turn queries and keys by.
    pub fn window_positions(&self) -> Vec<[u32; 2]> {
        let unit = |unit: &u32| {
            let first = *unit as usize * self.unit;
            self.positions.get(first..first + self.unit).unwrap_or_default().iter().copied()
        };
        self.index.iter().flat_map(unit).collect()
    }
}

/// Angles, in radians a position, of the pairs that turn with the row: the first `head_dim / 4`. As many
/// after them turn with the column by the same angles; pair `j` is dimensions `j` and `j + head_dim / 2` of a
/// head. Base 10000.
pub fn vision_frequencies(head_dim: usize) -> Vec<f32> {
    let pairs = head_dim / 4;
    (0..pairs).map(|pair| (10_000f64.powf(pair as f64 / pairs as f64) as f32).recip()).collect()
}

#[cfg(test)]
mod tests;
