//! Which rows make which: the sparse matrix of [`sum_rows`](super::sum_rows()).

use crate::{Error, Result};

/// A sparse matrix `(rows_out, rows_in)` by rows: every row of a result is a weighted sum of rows of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct RowMap {
    rows_in: usize,
    start: Vec<u32>,
    row: Vec<u32>,
    weight: Vec<f32>,
}

impl RowMap {
    /// From the terms `(row, weight)` of every row of the result.
    ///
    /// # Errors
    /// [`Error::Input`] for a row that the input does not have, for a weight that is NaN or infinite, and for 2³² − 1
    /// rows, results or terms and more.
    pub fn new(rows_in: usize, sums: impl IntoIterator<Item = Vec<(usize, f32)>>) -> Result<Self> {
        let counted = |n: usize| n < u32::MAX as usize;
        if !counted(rows_in) {
            return Err(Error::input("row map", format!("{rows_in} rows: below 2^32 - 1 are addressed")));
        }
        let mut map = Self { rows_in, start: vec![0], row: Vec::new(), weight: Vec::new() };
        for (at, terms) in sums.into_iter().enumerate() {
            for (row, weight) in terms {
                if row >= rows_in {
                    let reason = format!("row {row} for result {at}: the input has {rows_in}");
                    return Err(Error::input("row map", reason));
                }
                if !weight.is_finite() {
                    return Err(Error::input("row map", format!("a weight of {weight} for result {at}")));
                }
                map.row.push(row as u32);
                map.weight.push(weight);
            }
            if !counted(map.row.len()) || !counted(at + 1) {
                let reason = format!("{} terms of {} results: below 2^32 - 1", map.row.len(), at + 1);
                return Err(Error::input("row map", reason));
            }
            map.start.push(map.row.len() as u32);
        }
        Ok(map)
    }

    /// Each row of the result is one row of the input, or zero.
    ///
    /// # Errors
    /// As [`RowMap::new`].
    pub fn pick(rows_in: usize, rows: impl IntoIterator<Item = Option<usize>>) -> Result<Self> {
        Self::new(rows_in, rows.into_iter().map(|row| row.map(|r| (r, 1.0)).into_iter().collect()))
    }

    /// Each row of the result is the mean of some rows of the input; of none it is zero.
    ///
    /// # Errors
    /// As [`RowMap::new`].
    pub fn mean(rows_in: usize, rows: impl IntoIterator<Item = Vec<usize>>) -> Result<Self> {
        Self::new(
            rows_in,
            rows.into_iter().map(|rows| {
                let share = 1.0 / rows.len().max(1) as f32;
                rows.into_iter().map(|r| (r, share)).collect()
            }),
        )
    }

    /// The map of the gradient: `(rows_in, rows_out)`.
    pub fn transposed(&self) -> Self {
        let mut start = vec![0u32; self.rows_in + 1];
        for &row in &self.row {
            start[row as usize + 1] += 1;
        }
        for i in 0..self.rows_in {
            start[i + 1] += start[i];
        }
        let mut next = start.clone();
        let (mut row, mut weight) = (vec![0; self.row.len()], vec![0.0; self.row.len()]);
        for (out, range) in self.start.windows(2).enumerate() {
            for e in range[0] as usize..range[1] as usize {
                let at = &mut next[self.row[e] as usize];
                (row[*at as usize], weight[*at as usize]) = (out as u32, self.weight[e]);
                *at += 1;
            }
        }
        Self { rows_in: self.rows_out(), start, row, weight }
    }

    /// Rows of the input.
    pub fn rows_in(&self) -> usize {
        self.rows_in
    }

    /// Rows of the result.
    pub fn rows_out(&self) -> usize {
        self.start.len() - 1
    }

    /// Terms of all sums.
    pub fn terms(&self) -> usize {
        self.row.len()
    }

    pub(super) fn arrays(&self) -> (&[u32], &[u32], &[f32]) {
        (&self.start, &self.row, &self.weight)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn dense(map: &RowMap) -> Vec<Vec<f32>> {
        let row = |i: usize| {
            let mut row = vec![0.0; map.rows_in()];
            for e in map.start[i] as usize..map.start[i + 1] as usize {
                row[map.row[e] as usize] += map.weight[e];
            }
            row
        };
        (0..map.rows_out()).map(row).collect()
    }

    #[test]
    fn a_transposed_map_is_the_transposed_matrix() {
        let map =
            RowMap::new(3, [vec![(2, 0.5), (0, 1.0)], vec![], vec![(2, -1.0)], vec![(1, 3.0)]]).unwrap();
        let (a, b) = (dense(&map), dense(&map.transposed()));
        assert_eq!((b.len(), b[0].len()), (3, 4));
        for (i, row) in a.iter().enumerate() {
            for (j, v) in row.iter().enumerate() {
                assert_eq!(b[j][i], *v);
            }
        }
        assert_eq!(dense(&map.transposed().transposed()), a);
    }

    #[test]
    fn a_row_past_the_input_is_refused() {
        let error = RowMap::pick(3, [Some(1), Some(3)]).unwrap_err().to_string();
        assert!(error.contains("row 3") && error.contains("has 3"), "{error}");
    }
}
