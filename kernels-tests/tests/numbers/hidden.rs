//! What a mask hides must not matter, whatever it holds.

use super::{attended, close, context, full, shape, t};
use foveal::Context;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Positions, Readout, Tables};

const STRAYS: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// With strays in keys, values, queries and gradients that are hidden, results are those with zeros there.
fn same_as_zeros(
    c: &Context,
    problem: &AttentionProblem,
    tables: &Tables,
    hidden_keys: &[usize],
    hidden_rows: &[usize],
) {
    let AttentionShape { heads, kv_heads, seq_q, seq_kv, head_dim, .. } = problem.shape;
    let fill = |rows: usize, width: usize, hidden: &[usize], stray: f32, step: f32| -> Vec<f32> {
        let at = |i: usize| {
            if hidden.contains(&(i / width)) { stray } else { ((i as f32 * step).sin() * 8.0).round() / 8.0 }
        };
        (0..rows * width).map(at).collect()
    };
    let run = |stray: f32| {
        let q = fill(seq_q, heads * head_dim, hidden_rows, stray, 0.7);
        let k = fill(seq_kv, kv_heads * head_dim, hidden_keys, stray, 1.1);
        let v = fill(seq_kv, kv_heads * head_dim, hidden_keys, stray, 1.9);
        let d_o = fill(seq_q, heads * head_dim, hidden_rows, stray, 2.3);
        attended(c, problem, tables, [&q, &k, &v, &d_o])
    };
    let want = run(0.0);
    for stray in STRAYS {
        let found = run(stray);
        let pairs = [
            (&found.o, &want.o),
            (&found.lse, &want.lse),
            (&found.gradients[0], &want.gradients[0]),
            (&found.gradients[1], &want.gradients[1]),
            (&found.gradients[2], &want.gradients[2]),
        ];
        for (n, (found, want)) in pairs.into_iter().enumerate() {
            assert_eq!(found, want, "result {n}, {stray} hidden, {problem}");
        }
        assert_eq!(found.entropy, want.entropy, "{stray} hidden, {problem}");
    }
}

#[test]
fn a_causal_mask_hides_a_value_that_is_nan() {
    let c = context();
    let problem = AttentionProblem { mask: Mask::Causal, ..AttentionProblem::new(shape(2, 2, 4)) };
    let (ones, nan) = ([1.0; 8], f32::NAN);
    let v = [1.0, 2.0, 3.0, 4.0, nan, nan, nan, nan];
    let found = attended(&c, &problem, &Tables::default(), [&ones, &ones, &v, &ones]);
    close(&found.o, &[1.0, 2.0, 3.0, 4.0, nan, nan, nan, nan], 0.0);
    close(&found.gradients[0][..4], &[0.0; 4], 0.0);
}

#[test]
fn masks_hide_whatever_lies_there() {
    let c = context();
    let readout = Readout::default().with_entropy();
    // Ways for few keys and few queries, and those for many.
    for (seq_q, seq_kv, kv_heads, head_dim) in [(3, 9, 1, 4), (9, 6, 2, 4), (40, 70, 1, 16), (70, 90, 2, 16)]
    {
        let heads = 2;
        let shape = AttentionShape { batch: 1, heads, kv_heads, seq_q, seq_kv, head_dim };
        let new = AttentionProblem { readout, ..AttentionProblem::new(shape) };
        let last = seq_kv - 1;
        let none = Tables::default();
        // A query sees the keys up to its own place: of positions 0.. those after the last query are hidden.
        let positions = Some(Positions::default());
        let unseen: Vec<usize> = (seq_q.min(seq_kv)..seq_kv).collect();
        same_as_zeros(
            &c,
            &AttentionProblem { mask: Mask::Causal, positions, ..new.clone() },
            &none,
            &unseen,
            &[],
        );
        let mask = Mask::Window { left: 1, right: 1 };
        let unseen: Vec<usize> = ((seq_q + 1).min(seq_kv)..seq_kv).collect();
        // Rows more than one past the last key see nothing.
        let rows: Vec<usize> = (seq_kv + 1..seq_q).collect();
        same_as_zeros(&c, &AttentionProblem { mask, positions, ..new.clone() }, &none, &unseen, &rows);
        // Lengths.
        let tables = none.clone().with_key_lengths([last as u32]);
        same_as_zeros(&c, &AttentionProblem { key_lengths: true, ..new.clone() }, &tables, &[last], &[]);
        let tables = none.clone().with_key_lengths([0]);
        let (keys, rows): (Vec<_>, Vec<_>) = ((0..seq_kv).collect(), (0..seq_q).collect());
        same_as_zeros(&c, &AttentionProblem { key_lengths: true, ..new.clone() }, &tables, &keys, &rows);
        // Two frames, of which the second sees nothing, and a key in the midst that neither sees.
        let tokens_per_frame = seq_q.div_ceil(2);
        let mask: Vec<f32> = (0..2 * seq_kv)
            .map(|i| if i >= seq_kv || i == seq_kv / 2 { f32::NEG_INFINITY } else { 0.25 })
            .collect();
        let tables = none.clone().with_mask(&mask[..]);
        let rows: Vec<usize> = (tokens_per_frame..seq_q).collect();
        let problem = AttentionProblem { mask: Mask::Temporal { tokens_per_frame }, ..new.clone() };
        same_as_zeros(&c, &problem, &tables, &[seq_kv / 2], &rows);
        // A bias for each head and distance that hides all but a few.
        let distances = seq_q + seq_kv - 1;
        let mask: Vec<f32> = (0..heads * distances)
            .map(|i| if i % distances < seq_q { 0.5 } else { f32::NEG_INFINITY })
            .collect();
        let tables = none.clone().with_mask(&mask[..]);
        let unseen: Vec<usize> = (seq_q.min(seq_kv)..seq_kv).collect();
        same_as_zeros(&c, &AttentionProblem { mask: Mask::Relative, ..new }, &tables, &unseen, &[]);
    }
}

#[test]
fn parts_of_which_a_row_sees_nothing_do_not_matter() {
    let c = context();
    let output = |o: f32, stats: &[f32]| foveal::kernels::attention::AttentionOutput {
        o: full(&c, &[1, 1, 1, 4], o),
        stats: t(&c, &[2, 1, 1, 1], stats),
    };
    for stray in STRAYS {
        let merged = foveal::kernels::attention::attention_merge(&[
            output(3.0, &[1.0, 0.5]),
            output(stray, &[f32::MIN, 0.0]),
        ])
        .unwrap();
        assert_eq!(super::download(&merged.o), [3.0; 4]);
        close(&super::download(&merged.lse().unwrap()), &[1.5], 1e-6);
    }
}

#[test]
fn pairs_that_do_not_count_do_not_matter() {
    let c = context();
    for stray in STRAYS {
        // Each anchor's similarity to itself is in neither table.
        let similarity = t(&c, &[1, 3, 3], &[stray, 0.5, 0.25, 0.5, stray, 0.75, 0.25, 0.75, stray]);
        let positives = t(&c, &[3, 3], &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let negatives = t(&c, &[3, 3], &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
        let loss = foveal::kernels::contrast::nt_xent(&similarity, &positives, &negatives, 0.5).unwrap();
        let expected = |own: f32, other: f32| ((other - own) / 0.5).exp().ln_1p();
        let (a, b) = (expected(0.5, 0.25), expected(0.5, 0.75));
        close(&super::download(&loss), &[0.0, a, 0.0, b, 0.0, 0.0, 0.0, 0.0, 0.0], 1e-5);
        let dy = t(&c, &[1], &[1.0]);
        let d = foveal::kernels::contrast::nt_xent_backward(&similarity, &positives, &negatives, &dy, 0.5);
        let d = super::download(&d.unwrap());
        assert!(d.iter().all(|v| v.is_finite()), "{d:?}");
        assert!(d[1] < 0.0 && d[2] > 0.0 && d[0] == 0.0 && d[4] == 0.0 && d[6..] == [0.0; 3], "{d:?}");
    }
}
