//! What proving the kernels of this family shares.

use super::Rope;
use super::rope::{axis_of, turns};
pub(super) use crate::kernels::verified::*;

impl Rope {
    /// Turns the pairs of a row by the angles of its token; `sign` −1 turns back.
    pub(super) fn turn(&self, table: &Array, row: usize, values: &mut [f64], sign: f64) {
        let [frames, height, width] = self.grid;
        let token = (row + self.first_token) % (frames * height * width);
        let place = [token / (height * width), token / width % height, token % width];
        let pairs = self.head_dim / 2;
        for (pair, v) in values.chunks_exact_mut(2).enumerate() {
            let j = pair % pairs;
            let at = (place[axis_of(j, pairs).0] * pairs + j) * 2;
            let (cos, sin) = (table.data[at], sign * table.data[at + 1]);
            (v[0], v[1]) = (v[0] * cos - v[1] * sin, v[0] * sin + v[1] * cos);
        }
    }

    pub(super) fn table(&self) -> Array {
        let table = turns(self.positions, self.head_dim, 10_000.0);
        Array::from_fn(self.table_shape(), |i| f64::from(table.data()[i]))
    }
}

/// Mean and reciprocal spread of a row.
pub(super) fn moments(row: &[f64], eps: f32) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, 1.0 / (variance + f64::from(eps)).sqrt())
}

/// `1 / sqrt(mean(x²) + eps)` of a row.
pub(super) fn reciprocal_rms(row: &[f64], eps: f32) -> f64 {
    1.0 / (row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64 + f64::from(eps)).sqrt()
}

/// Rows for a norm by moments: some far from zero, which lose their spread in a naive sum of squares, and one of little
/// spread, `small`: next to a variance near one, a wrong eps would not show. With `flat` one is constant: only eps keeps
/// it finite.
pub(super) fn with_offsets(rng: &mut Pcg64, [rows, cols]: [usize; 2], small: f64, flat: bool) -> Array {
    let mut x = inputs::normal(rng, [rows, cols], 1.0);
    for row in x.data.chunks_exact_mut(cols).skip(1).step_by(4) {
        row.iter_mut().for_each(|v| *v += 100.0);
    }
    if let Some(row) = x.data.chunks_exact_mut(cols).nth(3) {
        row.iter_mut().for_each(|v| *v *= small);
    }
    if let Some(row) = x.data.chunks_exact_mut(cols).nth(2).filter(|_| flat) {
        row.fill(0.7);
    }
    inputs::enlarge(&mut x, cols);
    x
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
