//! Companions of a clip for the contrast: who is alike, and who has the same label.
//!
//! The released code keeps the places of the sorted list where it should keep the clips in those places, so that a
//! sixth of its positives share the anchor's label. Here they are the clips, as the paper's text has it.

use super::metrics::Convention;
use crate::models::dashfusion::loss::GROUP;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Candidates kept of each kind.
const KEPT: usize = 10;

/// Candidates of every clip, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retrieval {
    /// Of the same label, the most alike first.
    same: Vec<Vec<u32>>,
    /// Of other labels, the least alike first.
    other: Vec<Vec<u32>>,
    /// Of other labels, the most alike first.
    alike: Vec<Vec<u32>>,
}

impl Retrieval {
    /// From one vector a clip and the labels. A clip that nobody shares a label with is its own companion.
    pub(super) fn of(vectors: &[Vec<f32>], labels: &[f32], convention: Convention) -> Self {
        let class = |i: usize| match convention {
            Convention::Mosi => labels[i].round_ties_even(),
            Convention::Sims => labels[i],
        };
        let unit: Vec<Vec<f32>> = vectors
            .iter()
            .map(|v| {
                let length = v.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                v.iter().map(|x| x / length).collect()
            })
            .collect();
        let mut found = Self::default();
        for (i, own) in unit.iter().enumerate() {
            let near = |j: usize| unit[j].iter().zip(own).map(|(a, b)| a * b).sum::<f32>();
            let mut order: Vec<(f32, usize)> =
                (0..unit.len()).filter(|&j| j != i).map(|j| (near(j), j)).collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let pick = |from: &mut dyn Iterator<Item = usize>| {
                let some: Vec<u32> = from.take(KEPT).map(|j| j as u32).collect();
                if some.is_empty() { vec![i as u32] } else { some }
            };
            let ranked = || order.iter().map(|&(_, j)| j);
            found.same.push(pick(&mut ranked().filter(|&j| class(j) == class(i))));
            found.alike.push(pick(&mut ranked().filter(|&j| class(j) != class(i))));
            found.other.push(pick(&mut ranked().rev().filter(|&j| class(j) != class(i))));
        }
        found
    }

    /// Whether it can be one of this many clips; where nothing is retrieved yet, it can.
    pub(super) fn fits(&self, clips: usize) -> bool {
        let kinds = [&self.same, &self.other, &self.alike];
        let sizes = kinds.map(Vec::len);
        (sizes == [0; 3] || sizes == [clips; 3])
            && kinds.into_iter().flatten().flatten().all(|&clip| (clip as usize) < clips)
    }

    /// Two companions of each kind for every clip of a batch: six after six.
    pub(super) fn draw(&self, batch: &[usize], rng: &mut Pcg64) -> Vec<usize> {
        let mut drawn = Vec::with_capacity(batch.len() * (GROUP - 1));
        for &clip in batch {
            for kind in [&self.same, &self.other, &self.alike] {
                let from = kind.get(clip).map(Vec::as_slice).unwrap_or_default();
                for _ in 0..2 {
                    let at = rng.random_range(0..from.len().max(1));
                    drawn.push(from.get(at).map_or(clip, |&j| j as usize));
                }
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn companions_have_the_labels_they_should() {
        let vectors: Vec<Vec<f32>> =
            (0..12).map(|i| vec![(i as f32 * 0.7).cos(), (i as f32 * 0.7).sin()]).collect();
        let labels: Vec<f32> = (0..12).map(|i| if i == 11 { 3.0 } else { (i % 3) as f32 - 1.1 }).collect();
        let found = Retrieval::of(&vectors, &labels, Convention::Mosi);
        for i in 0..11 {
            let class = |j: u32| labels[j as usize].round_ties_even();
            assert!(found.same[i].iter().all(|&j| class(j) == class(i as u32) && j as usize != i));
            assert!(found.other[i].iter().chain(&found.alike[i]).all(|&j| class(j) != class(i as u32)));
        }
        assert_eq!(found.same[11], [11]);
        let drawn = found.draw(&[0, 11], &mut Pcg64::seed_from_u64(1));
        assert_eq!(drawn.len(), 12);
        assert_eq!(drawn[6..8], [11, 11]);
    }
}
