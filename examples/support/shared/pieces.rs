//! Connected pieces of a picture.

use std::collections::BTreeSet;

/// Pixels that touch each other by a side or a corner, as (row, column).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece(BTreeSet<(usize, usize)>);

impl Piece {
    /// Number of pixels.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The pixel is one of them.
    pub(crate) fn contains(&self, pixel: (usize, usize)) -> bool {
        self.0.contains(&pixel)
    }

    /// Rows and columns from end to end.
    pub(crate) fn size(&self) -> (usize, usize) {
        let extent = |of: fn(&(usize, usize)) -> usize| {
            let (low, high) = (self.0.iter().map(of).min(), self.0.iter().map(of).max());
            low.zip(high).map_or(0, |(low, high)| high - low + 1)
        };
        (extent(|p| p.0), extent(|p| p.1))
    }

    /// It touches the edge of a frame, which may cut it there.
    pub(crate) fn at_edge(&self, height: usize, width: usize) -> bool {
        self.0.iter().any(|&(y, x)| y == 0 || x == 0 || y + 1 == height || x + 1 == width)
    }
}

/// The pieces of a mask whose rows are `width` long, largest first.
pub(crate) fn pieces(mask: &[bool], width: usize) -> Vec<Piece> {
    let width = width.max(1);
    let mut left: BTreeSet<(usize, usize)> =
        mask.iter().enumerate().filter(|(_, m)| **m).map(|(at, _)| (at / width, at % width)).collect();
    let mut found = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut piece, mut edge) = (BTreeSet::from([first]), vec![first]);
        while let Some((y, x)) = edge.pop() {
            for near in
                (y.saturating_sub(1)..=y + 1).flat_map(|v| (x.saturating_sub(1)..=x + 1).map(move |u| (v, u)))
            {
                if left.remove(&near) {
                    piece.insert(near);
                    edge.push(near);
                }
            }
        }
        found.push(Piece(piece));
    }
    found.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&str]) -> Vec<Piece> {
        let mask: Vec<bool> = rows.concat().chars().map(|c| c == '#').collect();
        pieces(&mask, rows.first().map_or(0, |row| row.len()))
    }

    #[test]
    fn corners_join_and_gaps_do_not() {
        let found = of(&["##..#", "..#..", "....#", "#...#"]);
        assert_eq!(found.iter().map(Piece::len).collect::<Vec<_>>(), [3, 2, 1, 1]);
        assert_eq!(found.iter().map(Piece::size).collect::<Vec<_>>(), [(2, 3), (2, 1), (1, 1), (1, 1)]);
        // The last pixel of a row is no neighbour of the first one of the next.
        assert_eq!(of(&["..#", "#.."]).len(), 2);
        assert!(of(&["...", "..."]).is_empty() && pieces(&[], 4).is_empty());
    }

    #[test]
    fn an_edge_is_known() {
        let found = of(&["....", ".##.", "...."]);
        let cut = |height, width| found.iter().map(|piece| piece.at_edge(height, width)).collect::<Vec<_>>();
        assert_eq!([cut(3, 4), cut(2, 4), cut(3, 3)], [[false], [true], [true]]);
    }
}
