//! Problems and inputs on which the whole family is tested and timed.

use super::mask::{Mask, Positions};
use super::output::OutputShape;
use super::problem::{AttentionProblem, Mass, Readout};
use super::reference;
use super::shape::AttentionShape;
use super::tables::Layout;
use crate::Dtype;
use crate::kernels::verified::{Tolerance, inputs};
use crate::tensor::Array;
use rand::RngExt;
use rand_pcg::Pcg64;

pub(super) const fn shape(
    batch: usize,
    heads: usize,
    kv_heads: usize,
    seq_q: usize,
    seq_kv: usize,
    head_dim: usize,
) -> AttentionShape {
    AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim }
}

/// Sizes of one, odd sizes, every mask, every head width a model here uses, grouped heads, lengths (one of them 0).
///
/// `attention`, `_columns` and `_column_mass` are all asked these, and the latter two some of the first with other readouts:
/// new ones go to the end.
pub(super) fn forward() -> Vec<AttentionProblem> {
    let new = AttentionProblem::new;
    let entropy = Readout { entropy: true, ..Readout::default() };
    vec![
        AttentionProblem { key_lengths: true, ..new(shape(3, 2, 1, 5, 21, 16)) },
        new(shape(1, 1, 1, 1, 1, 16)),
        new(shape(2, 3, 3, 37, 29, 20)),
        AttentionProblem { mask: Mask::Causal, ..new(shape(1, 4, 2, 19, 23, 24)) },
        AttentionProblem { mask: Mask::Window { left: 3, right: 2 }, ..new(shape(1, 2, 2, 41, 41, 32)) },
        AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame: 6 },
            readout: entropy,
            ..new(shape(1, 2, 2, 24, 17, 64))
        },
        AttentionProblem {
            mask: Mask::Relative,
            key_lengths: true,
            scale: 1.0,
            ..new(shape(2, 2, 2, 13, 13, 16))
        },
        // The second frame sees nothing and fills a tile.
        AttentionProblem { mask: Mask::Temporal { tokens_per_frame: 32 }, ..new(shape(1, 4, 4, 70, 50, 32)) },
        new(shape(1, 2, 2, 33, 65, 80)),
        AttentionProblem { readout: entropy, key_lengths: true, ..new(shape(2, 2, 1, 18, 40, 128)) },
        // The widest head.
        AttentionProblem { mask: Mask::Causal, key_lengths: true, ..new(shape(2, 2, 1, 9, 33, 256)) },
        // Keys that begin after the first query, and a query that stands after the last key.
        AttentionProblem {
            mask: Mask::Window { left: 3, right: 2 },
            positions: Some(Positions { first_query: 5, first_key: 9 }),
            ..new(shape(1, 2, 2, 41, 29, 32))
        },
        // Few keys: some of them hidden, and for some rows all.
        AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame: 9 },
            readout: entropy,
            key_lengths: true,
            ..new(shape(3, 4, 2, 37, 7, 16))
        },
        AttentionProblem {
            mask: Mask::Causal,
            positions: Some(Positions { first_query: 2, first_key: 0 }),
            key_lengths: true,
            ..new(shape(2, 2, 2, 19, 8, 24))
        },
        // Few rows of a key head: one token after many, and bottleneck tokens over frames that they do not all see.
        AttentionProblem { mask: Mask::Causal, key_lengths: true, ..new(shape(2, 7, 1, 1, 150, 128)) },
        AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame: 2 },
            readout: entropy,
            ..new(shape(2, 2, 2, 5, 77, 16))
        },
        AttentionProblem { mask: Mask::Temporal { tokens_per_frame: 2 }, ..new(shape(1, 2, 2, 3, 141, 16)) },
        // Few rows that see few of the keys, so that what is hidden is larger than what is seen.
        AttentionProblem { mask: Mask::Window { left: 3, right: 2 }, ..new(shape(1, 4, 2, 4, 141, 16)) },
    ]
}

/// Results to join or merge: of every head width above, few rows and many.
pub(super) fn outputs() -> Vec<OutputShape> {
    let of = |batch, heads, seq_q, head_dim, entropy| OutputShape { batch, heads, seq_q, head_dim, entropy };
    vec![
        of(3, 2, 5, 16, false),
        of(1, 1, 1, 16, false),
        of(2, 3, 37, 20, false),
        of(1, 4, 19, 24, false),
        of(1, 2, 41, 32, false),
        of(1, 2, 24, 64, true),
        of(2, 2, 13, 16, false),
        of(1, 4, 70, 32, false),
        of(1, 2, 33, 80, false),
        of(2, 2, 18, 128, true),
        of(2, 2, 9, 256, false),
        of(3, 4, 37, 16, true),
        of(2, 2, 19, 24, false),
        of(2, 7, 1, 128, false),
        of(2, 2, 5, 16, true),
        of(1, 2, 3, 16, false),
        of(1, 4, 4, 16, false),
    ]
}

/// Keys in parts: some of which a mask, a length or the rounding to whole blocks leaves empty. Constants are those of
/// cases above, so that no pipeline is compiled for them alone.
pub(super) fn in_parts() -> Vec<(usize, AttentionProblem)> {
    let new = AttentionProblem::new;
    let entropy = Readout { entropy: true, ..Readout::default() };
    vec![
        (5, AttentionProblem { mask: Mask::Causal, key_lengths: true, ..new(shape(2, 7, 1, 1, 150, 128)) }),
        (4, AttentionProblem { mask: Mask::Causal, ..new(shape(1, 4, 2, 19, 49, 24)) }),
        (3, AttentionProblem { readout: entropy, key_lengths: true, ..new(shape(2, 2, 1, 18, 70, 128)) }),
        (
            2,
            AttentionProblem {
                mask: Mask::Temporal { tokens_per_frame: 6 },
                readout: entropy,
                ..new(shape(1, 2, 2, 24, 37, 64))
            },
        ),
    ]
}

/// So many keys that sums are taken by blocks: of two heads, the scores of one grow along the keys, and those of the other
/// have a long tail below a few.
pub(super) fn long() -> Vec<AttentionProblem> {
    let readout = Readout { entropy: true, ..Readout::default() };
    vec![
        AttentionProblem { readout, ..AttentionProblem::new(shape(1, 2, 2, 36, 1100, 16)) },
        AttentionProblem { readout, ..AttentionProblem::new(shape(1, 2, 1, 2, 1100, 16)) },
        // Several blocks.
        AttentionProblem { readout, ..AttentionProblem::new(shape(1, 2, 2, 9, 2200, 16)) },
        AttentionProblem { readout, ..AttentionProblem::new(shape(1, 2, 1, 2, 2200, 16)) },
    ]
}

/// Every reduction alone and together, with and without a gradient of the output.
pub(super) fn backward() -> Vec<AttentionProblem> {
    let new = AttentionProblem::new;
    let columns = Readout { groups: 2, ..Readout::default() };
    let mass = |m| Readout { mass: Some(m), ..Readout::default() };
    let all = Readout { groups: 1, mass: Some(Mass::Mean), entropy: true };
    vec![
        AttentionProblem { key_lengths: true, ..new(shape(3, 2, 1, 5, 21, 16)) },
        new(shape(1, 1, 1, 1, 1, 16)),
        AttentionProblem { readout: columns, ..new(shape(1, 3, 3, 24, 19, 20)) },
        AttentionProblem { readout: columns, output_gradient: false, ..new(shape(2, 2, 2, 11, 14, 32)) },
        AttentionProblem { mask: Mask::Causal, readout: mass(Mass::Mean), ..new(shape(1, 4, 2, 19, 23, 24)) },
        AttentionProblem { mask: Mask::Window { left: 3, right: 2 }, ..new(shape(1, 2, 2, 41, 41, 32)) },
        AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame: 6 },
            readout: all,
            key_lengths: true,
            ..new(shape(2, 2, 1, 24, 17, 64))
        },
        AttentionProblem { mask: Mask::Temporal { tokens_per_frame: 32 }, ..new(shape(1, 2, 2, 70, 50, 32)) },
        AttentionProblem { mask: Mask::Causal, key_lengths: true, ..new(shape(2, 2, 1, 9, 33, 256)) },
        AttentionProblem {
            mask: Mask::Window { left: 3, right: 2 },
            positions: Some(Positions { first_query: 5, first_key: 9 }),
            key_lengths: true,
            ..new(shape(2, 2, 2, 41, 29, 32))
        },
        // Sums by blocks, over the keys and over the queries; see [`long`].
        new(shape(1, 2, 2, 36, 1100, 16)),
        new(shape(1, 2, 2, 1100, 36, 16)),
        new(shape(1, 1, 1, 9, 2200, 16)),
        new(shape(1, 1, 1, 2200, 9, 16)),
        // Few keys, and few queries.
        AttentionProblem { readout: all, key_lengths: true, ..new(shape(2, 4, 2, 21, 5, 16)) },
        AttentionProblem {
            mask: Mask::Causal,
            readout: all,
            key_lengths: true,
            ..new(shape(2, 4, 2, 3, 37, 16))
        },
        AttentionProblem { readout: mass(Mass::Max), ..new(shape(1, 2, 2, 9, 17, 80)) },
        // A bias by distance, at the ends of which single queries and keys meet.
        AttentionProblem {
            mask: Mask::Relative,
            readout: columns,
            key_lengths: true,
            ..new(shape(2, 2, 2, 13, 17, 16))
        },
        // Last, so that every device runs a wide head in every storage type.
        AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame: 9 },
            readout: columns,
            ..new(shape(1, 2, 2, 18, 40, 128))
        },
    ]
}

/// Real sizes: Wan 1.3B self-attention of one frame, of a short and of a 480p clip, and its cross-attention, each with
/// and without a temporal mask or `readout`; Qwen2.5-VL's language model and its vision windows; and fusion by few tokens.
pub(super) fn bench(readout: Readout) -> Vec<(&'static str, AttentionProblem)> {
    let wan = |seq_q, seq_kv, mask, readout| AttentionProblem {
        mask,
        readout,
        ..AttentionProblem::new(shape(1, 12, 12, seq_q, seq_kv, 128))
    };
    let none = Readout::default();
    let frames = Mask::Temporal { tokens_per_frame: 1560 };
    let causal = AttentionProblem::new(shape(1, 28, 4, 5440, 5440, 128));
    vec![
        ("wan-1.3b self, one frame", wan(1560, 1560, Mask::None, none)),
        ("wan-1.3b self, 21 frames of 390", wan(8190, 8190, Mask::None, none)),
        ("wan-1.3b self, 480p", wan(32_760, 32_760, Mask::None, none)),
        ("wan-1.3b self, 480p, temporal mask", wan(32_760, 32_760, frames, none)),
        ("wan-1.3b cross, one frame", wan(1560, 512, Mask::None, readout)),
        ("wan-1.3b cross, one frame, temporal mask", wan(1560, 512, frames, readout)),
        ("wan-1.3b cross, 480p", wan(32_760, 512, Mask::None, readout)),
        ("wan-1.3b cross, 480p, temporal mask", wan(32_760, 512, frames, readout)),
        ("qwen2.5-vl-7b, causal", AttentionProblem { mask: Mask::Causal, ..causal }),
        ("qwen2.5-vl vision windows", AttentionProblem::new(shape(85, 16, 16, 64, 64, 80))),
        ("qwen2.5-vl-7b, one token", AttentionProblem::new(shape(1, 28, 4, 1, 5440, 128))),
        ("fusion by 8 tokens", AttentionProblem::new(shape(32, 8, 8, 8, 500, 16))),
        ("fusion to 8 tokens", AttentionProblem::new(shape(32, 8, 8, 500, 8, 16))),
    ]
}

/// Inputs by name. Values are rounded to f16 from the start, so that statistics made here fit every storage type.
pub(super) struct Inputs {
    pub(super) q: Array,
    pub(super) k: Array,
    pub(super) v: Array,
    pub(super) tables: Array,
    pub(super) d_o: Array,
    pub(super) map_grads: Array,
}

pub(super) fn inputs_for(p: &AttentionProblem, rng: &mut Pcg64) -> Inputs {
    let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = p.shape;
    // Scores of a few units whatever the scale, so that rows are neither flat nor one-hot.
    let std = (2.0 / (f64::from(p.scale) * (head_dim as f64).sqrt())).sqrt();
    let mut tensor = |dims: [usize; 4], std: f64| {
        let mut a = inputs::tame(rng, dims, std);
        // Exact in every storage type: the statistics below belong to what the device holds.
        a.data.iter_mut().for_each(|v| *v = Dtype::F16.round(Dtype::Bf16.round(*v)));
        a
    };
    let mut q = tensor([batch, seq_q, heads, head_dim], std);
    let mut k = tensor([batch, seq_kv, kv_heads, head_dim], std);
    let v = tensor([batch, seq_kv, kv_heads, head_dim], 1.0);
    let mut d_o = tensor([batch, seq_q, heads, head_dim], 1.0);
    if seq_kv.max(seq_q) > 1024 {
        // The first dimension adds to the scores: up to 14 nats, growing along the keys for one head, 13 for a few keys of
        // the other. The gradients of early rows are a hundred-thousandth of those of late ones.
        let root = f64::from(p.scale).recip().sqrt();
        q.data.iter_mut().step_by(head_dim).for_each(|v| *v = Dtype::Bf16.round(root));
        for (row, v) in k.data.iter_mut().step_by(head_dim).enumerate() {
            let (key, head) = (row / kv_heads, row % kv_heads);
            let growth = [14.0 * key as f64 / seq_kv as f64, if key % 500 == 40 { 13.0 } else { 0.0 }];
            *v = Dtype::Bf16.round(root * growth[head % 2]);
        }
        let row = heads * head_dim;
        for (i, v) in d_o.data.iter_mut().enumerate() {
            *v = Dtype::F16
                .round(Dtype::Bf16.round(*v * 10f64.powf(-5.0 + 5.0 * (i / row) as f64 / seq_q as f64)));
        }
    }
    let tables = tables_for(p, rng);
    let mut map_grads = inputs::tame(rng, [p.map_grads_len()], 1.0);
    if p.readout.mass == Some(Mass::Max) {
        let found = reference::forward(p, &q, &k, &v, &tables).mass;
        let at = p.map_grads_offsets()[1] + batch * seq_kv;
        map_grads.data[at..at + batch * seq_kv].copy_from_slice(&found.data[batch * seq_kv..]);
    }
    Inputs { q, k, v, tables, d_o, map_grads }
}

fn tables_for(p: &AttentionProblem, rng: &mut Pcg64) -> Array {
    let AttentionShape { batch, heads, seq_q, seq_kv, .. } = p.shape;
    let Layout { lengths, mask, frame_blocks, columns, rows, heads: head_weights, end } = p.layout();
    let mut t = inputs::tame(rng, [p.tables_len()], 1.0);
    for (b, halves) in t.data[lengths..mask].chunks_exact_mut(2).enumerate() {
        // The last sequence of a batch sees nothing.
        let length = if b + 1 == batch { 0 } else { rng.random_range(1..=seq_kv) };
        (halves[0], halves[1]) = ((length >> 16) as f64, (length & 0xffff) as f64);
    }
    match p.mask {
        Mask::Temporal { .. } => {
            for (at, bias) in t.data[mask..frame_blocks].iter_mut().enumerate() {
                // One frame sees nothing, none sees the second 64 of many keys.
                let (frame, key) = (at / seq_kv, at % seq_kv);
                let hidden = frame == 1 || (seq_kv > 128 && key / 64 == 1) || rng.random_bool(0.2);
                *bias = if hidden { f64::from(f32::MIN) } else { *bias };
            }
            let seen = super::mask::frame_blocks(&t.data[mask..frame_blocks], seq_kv);
            t.data[frame_blocks..columns].copy_from_slice(&seen);
        }
        // No table, or biases as they are.
        Mask::None | Mask::Causal | Mask::Window { .. } | Mask::Relative => {}
    }
    for weight in &mut t.data[columns..rows] {
        *weight = if rng.random_bool(0.3) { 0.5 } else { 0.0 };
    }
    let chosen = seq_q.div_ceil(2) as f64;
    // Of one row nobody chooses a maximum.
    let nobody = p.readout.mass == Some(Mass::Max) && seq_q == 1;
    for (i, weight) in t.data[rows..head_weights].iter_mut().enumerate() {
        *weight = if i % 2 == 0 && !nobody { 1.0 / chosen } else { 0.0 };
    }
    for (h, weight) in t.data[head_weights..end].iter_mut().enumerate() {
        *weight = if h == 1 || heads < 3 { 1.0 / heads.min(2) as f64 } else { 0.0 };
    }
    // What the device will hold.
    t.data.iter_mut().for_each(|v| *v = Dtype::F32.round(*v));
    t
}

pub(super) fn tolerance(elem: Dtype, scale: f64) -> Tolerance {
    Tolerance::for_elem(
        elem,
        2e-5,
        scale,
        "exp of scores up to a few tens: 1e-7 relative each, summed over the keys",
    )
}

/// What the kernels of the backward read, in their order, but for the row sums.
pub(super) fn backward_inputs(p: &AttentionProblem, rng: &mut Pcg64) -> Vec<Array> {
    let i = inputs_for(p, rng);
    vec![i.q, i.k, i.v, i.d_o, Array::zeros([0]), i.tables, i.map_grads]
}

/// Sizes of real models, two token groups read.
pub(super) fn bench_backward() -> Vec<(&'static str, AttentionProblem)> {
    bench(Readout { groups: 2, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that a row of the reference sees, on the average; of a table that hides nothing.
    fn counted(p: &AttentionProblem) -> f64 {
        let mut inputs = inputs_for(p, &mut Pcg64::new(1, 2));
        if p.mask.table_len(&p.shape) > 0 {
            inputs.tables.data.fill(0.0);
        }
        let (mut seen, mut rows) = (0, 0);
        reference::rows(p, &inputs.q, &inputs.k, &inputs.tables, |_, row| {
            seen += row.seen.iter().filter(|seen| **seen).count();
            rows += 1;
        });
        seen as f64 / rows as f64
    }

    #[test]
    fn work_counts_the_keys_that_the_reference_sees() {
        let mut by_position = 0;
        for case in
            forward().into_iter().chain(backward()).filter(|p| p.shape.seq_q.max(p.shape.seq_kv) < 1000)
        {
            for positions in [None, case.positions] {
                let p = AttentionProblem { key_lengths: false, positions, ..case.clone() };
                let (counted, said) = (counted(&p).max(1.0), p.mask.keys_seen(&p.shape, p.positions));
                assert!((counted - said).abs() <= 1e-9 * counted, "{p}: {counted} keys, not {said}");
                by_position += usize::from(counted < p.shape.seq_kv as f64);
            }
        }
        assert!(by_position > 10, "{by_position} cases of which a mask by position hides something");
    }
}
