//! Which keys a query sees. Everything that differs from mask to mask on the host is a `match` over all of them here; its
//! formula stands in `reference`, and what a shader answers in `shaders/attention/mask`.

use super::shape::AttentionShape;
use crate::shader::Source;
use crate::{Error, Result, wgsl};

/// A bias at or below this takes the key away, which no score does; tables hold [`f32::MIN`] there, since WGSL has no
/// infinity.
pub const MASKED: f64 = -1.0e38;

/// Which keys a query sees, and with what bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mask {
    /// All of them.
    #[default]
    None,
    /// Those up to its own position; see [`AttentionProblem::positions`](super::AttentionProblem::positions).
    Causal,
    /// `left` before and `right` after its own position.
    Window {
        /// Keys before.
        left: usize,
        /// Keys after.
        right: usize,
    },
    /// A table `(frames, seq_kv)` of biases by the query's frame: hard ([`f32::MIN`]) or soft.
    Temporal {
        /// Queries of a frame; frames are `seq_q / tokens_per_frame`, rounded up.
        tokens_per_frame: usize,
    },
    /// A table `(heads, seq_q + seq_kv - 1)` of biases by head and distance `key - query` (T5).
    Relative,
}

/// Where queries and keys stand, for masks that compare positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Positions {
    /// Position of the first query.
    pub first_query: usize,
    /// Position of the first key.
    pub first_key: usize,
}

/// Positions and windows beyond this are all the same to a sequence, and four of them fit an i32.
pub(super) const FAR: usize = 1 << 29;

/// Keys whose visibility for a frame a temporal mask's table sums up in one number; `FRAME_BLOCK` of the mask's module.
pub(super) const FRAME_BLOCK: usize = 16;

/// What the shader is told of a mask by position, in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// Keys before and after a query's position that it sees.
    pub(super) left: i32,
    pub(super) right: i32,
    /// Position of the first query less that of the first key.
    pub(super) shift: i32,
}

impl Mask {
    /// The module that answers for it.
    pub(super) fn module(self) -> Source {
        match self {
            Self::None => wgsl!("attention/mask/none.wgsl"),
            Self::Causal => wgsl!("attention/mask/causal.wgsl"),
            Self::Window { .. } => wgsl!("attention/mask/window.wgsl"),
            Self::Temporal { .. } => wgsl!("attention/mask/temporal.wgsl"),
            Self::Relative => wgsl!("attention/mask/relative.wgsl"),
        }
    }

    /// It compares positions of queries and keys.
    pub(super) fn is_by_position(self) -> bool {
        match self {
            Self::Causal | Self::Window { .. } => true,
            Self::None | Self::Temporal { .. } | Self::Relative => false,
        }
    }

    /// Queries of a frame; 0 where there are no frames.
    pub(super) fn tokens_per_frame(self) -> usize {
        match self {
            Self::Temporal { tokens_per_frame } => tokens_per_frame,
            Self::None | Self::Causal | Self::Window { .. } | Self::Relative => 0,
        }
    }

    /// Frames of so many queries.
    pub(super) fn frames(self, seq_q: usize) -> usize {
        match self.tokens_per_frame() {
            0 => 0,
            tokens => seq_q.div_ceil(tokens),
        }
    }

    /// Biases in its table; saturates.
    pub(super) fn table_len(self, shape: &AttentionShape) -> usize {
        let AttentionShape { heads, seq_q, seq_kv, .. } = *shape;
        match self {
            Self::None | Self::Causal | Self::Window { .. } => 0,
            Self::Temporal { .. } => self.frames(seq_q).saturating_mul(seq_kv),
            Self::Relative => heads.saturating_mul(seq_q.saturating_add(seq_kv).saturating_sub(1)),
        }
    }

    /// Numbers that sum up blocks of a temporal mask's table; saturates.
    pub(super) fn frame_blocks_len(self, shape: &AttentionShape) -> usize {
        self.frames(shape.seq_q).saturating_mul(shape.seq_kv.div_ceil(FRAME_BLOCK))
    }

    /// How far queries see from where they stand.
    pub(super) fn reach(self, positions: Option<Positions>) -> Reach {
        let far = |n: usize| n.min(FAR) as i64;
        let true_shift = positions.map_or(0, |p| far_apart(p.first_query, p.first_key));
        let shift = true_shift.clamp(-far(FAR), far(FAR));
        let beyond = true_shift - shift;
        let (left, right) = match self {
            // As far before the shift as after it, however far the shift itself is beyond the sequence.
            Self::Window { left, right } => (far(left) - beyond, far(right) + beyond),
            Self::None | Self::Causal | Self::Temporal { .. } | Self::Relative => (0, 0),
        };
        let [left, right] = [left, right].map(|n| n.clamp(-far(FAR), far(FAR)) as i32);
        Reach { left, right, shift: shift as i32 }
    }

    /// Why its numbers make no sense, if so.
    pub(super) fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Temporal { tokens_per_frame: 0 } => {
                Some("a temporal mask needs tokens_per_frame of at least 1")
            }
            Self::None | Self::Causal | Self::Window { .. } | Self::Temporal { .. } | Self::Relative => None,
        }
    }

    /// Keys that a query sees on the average, by which work is counted: of whole sequences, and all that a table could leave; at
    /// least one.
    pub(super) fn keys_seen(self, shape: &AttentionShape, positions: Option<Positions>) -> f64 {
        let (queries, keys) = (shape.seq_q, shape.seq_kv);
        // What lies below the own position, and so many keys beyond that: of all queries together.
        let below = |beyond: i64| {
            let shift = match positions {
                None => keys as i64 - queries as i64,
                Some(p) => far_apart(p.first_query, p.first_key),
            };
            clamped_sum(queries as i64, shift.saturating_add(beyond), keys as i64)
        };
        let far = |n: usize| n.min(FAR) as i64;
        let seen = match self {
            Self::Causal => below(1) / queries as f64,
            Self::Window { left, right } => (below(far(right) + 1) - below(-far(left))) / queries as f64,
            Self::None | Self::Temporal { .. } | Self::Relative => keys as f64,
        };
        seen.max(1.0)
    }
}

/// `Σ clamp(i + from, 0, most)` over `i` below `n`.
fn clamped_sum(n: i64, from: i64, most: i64) -> f64 {
    let begin = from.saturating_neg().clamp(0, n);
    let end = most.saturating_sub(from).clamp(begin, n);
    let growing = (end - begin) as f64 * ((begin + end - 1) as f64 / 2.0 + from as f64);
    growing + (n - end) as f64 * most as f64
}

/// `a − b`, as far as it fits.
fn far_apart(a: usize, b: usize) -> i64 {
    let distance = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    if a >= b { distance } else { -distance }
}

/// For each frame of a temporal mask `(frames, seq_kv)` and each block of keys, 1 where the frame sees some key of it.
pub(super) fn frame_blocks(mask: &[f64], seq_kv: usize) -> Vec<f64> {
    let seen = |block: &[f64]| f64::from(u8::from(block.iter().any(|&b| b > MASKED)));
    mask.chunks(seq_kv.max(1)).flat_map(|frame| frame.chunks(FRAME_BLOCK).map(seen)).collect()
}

/// The table of a [`Mask::Relative`] from T5's bucketed embedding `(buckets, heads)`: bidirectional, half of the
/// buckets for each sign, exact up to a quarter of them and logarithmic up to `max_distance`.
///
/// Source: Raffel et al. 2020, as UMT5 uses it with one table a layer.
///
/// # Errors
/// [`Error::Input`] for buckets that are no multiple of four, a largest distance that is not above a quarter of them,
/// an embedding of another size, and a table of 2³² elements and more.
pub fn relative_bias(
    embedding: &[f32],
    buckets: usize,
    max_distance: usize,
    heads: usize,
    seq_q: usize,
    seq_kv: usize,
) -> Result<Vec<f32>> {
    let refuse = |reason: String| Err(Error::input("relative bias", reason));
    let half = buckets / 2;
    let exact = half / 2;
    if buckets < 4 || !buckets.is_multiple_of(4) || max_distance <= exact {
        return refuse(format!(
            "{buckets} buckets must be a multiple of 4 and the largest distance, {max_distance}, above {exact}"
        ));
    }
    if buckets.checked_mul(heads) != Some(embedding.len()) {
        return refuse(format!("{} values for {buckets} buckets and {heads} heads", embedding.len()));
    }
    let distances = seq_q.checked_add(seq_kv).map(|n| n.saturating_sub(1));
    let elements = distances.and_then(|n| n.checked_mul(heads)).filter(|&n| u32::try_from(n).is_ok());
    let (Some(distances), Some(elements)) = (distances, elements) else {
        return refuse(format!("{heads} heads, {seq_q} queries and {seq_kv} keys: below 2^32 elements"));
    };
    let bucket = |distance: i64| -> usize {
        let away = distance.unsigned_abs() as usize;
        let within = if away < exact {
            away
        } else {
            let ratio = (away as f64 / exact as f64).ln() / (max_distance as f64 / exact as f64).ln();
            exact.saturating_add((ratio * (half - exact) as f64) as usize).min(half - 1)
        };
        within + if distance > 0 { half } else { 0 }
    };
    let at = |i: usize| {
        let (head, d) = (i / distances.max(1), i % distances.max(1));
        embedding.get(bucket(d as i64 + 1 - seq_q as i64) * heads + head).copied().unwrap_or(0.0)
    };
    Ok((0..elements).map(at).collect())
}
