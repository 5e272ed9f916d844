//! Where queries and keys stand under masks that compare positions.

use super::{close, context, download, full, t};
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Positions, Tables, attention};

/// What each query sees, as the mean of the keys' numbers: scores are all equal.
fn means(problem: &AttentionProblem, key_lengths: &[u32]) -> Vec<f32> {
    let c = context();
    let AttentionShape { batch, seq_q, seq_kv, .. } = problem.shape;
    let tables = Tables::default().with_key_lengths(key_lengths).upload(&c, problem).unwrap();
    let q = full(&c, &[batch, seq_q, 1, 4], 0.0);
    let k = full(&c, &[batch, seq_kv, 1, 4], 0.0);
    let v: Vec<f32> = (0..batch * seq_kv * 4).map(|i| (i / 4 % seq_kv) as f32).collect();
    let v = t(&c, &[batch, seq_kv, 1, 4], &v);
    download(&attention(problem, &q, &k, &v, &tables).unwrap().o).into_iter().step_by(4).collect()
}

fn problem(
    batch: usize,
    seq_q: usize,
    seq_kv: usize,
    mask: Mask,
    from: Option<[usize; 2]>,
) -> AttentionProblem {
    let positions = from.map(|[first_query, first_key]| Positions { first_query, first_key });
    let shape = AttentionShape { batch, heads: 1, kv_heads: 1, seq_q, seq_kv, head_dim: 4 };
    AttentionProblem { mask, positions, ..AttentionProblem::new(shape) }
}

#[test]
fn the_last_query_stands_at_the_last_key_of_its_own_sequence() {
    // Sequences of 5, 3 and 2 keys in memory for 5.
    let p = AttentionProblem { key_lengths: true, ..problem(3, 2, 5, Mask::Causal, None) };
    close(&means(&p, &[5, 3, 2]), &[1.5, 2.0, 0.5, 1.0, 0.0, 0.5], 1e-6);
    let mask = Mask::Window { left: 1, right: 0 };
    let p = AttentionProblem { key_lengths: true, ..problem(3, 2, 5, mask, None) };
    close(&means(&p, &[5, 3, 2]), &[2.5, 3.5, 0.5, 1.5, 0.0, 0.5], 1e-6);
    let p = problem(1, 2, 5, Mask::Causal, None);
    close(&means(&p, &[]), &[1.5, 2.0], 1e-6);
}

#[test]
fn explicit_positions_say_where_both_begin() {
    // A cache for 6 keys: the queries are the tokens 2 and 3, and what lies after them is not written yet.
    close(&means(&problem(1, 2, 6, Mask::Causal, Some([2, 0])), &[]), &[1.0, 1.5], 1e-6);
    // The keys are those from 10 on.
    close(&means(&problem(1, 3, 4, Mask::Causal, Some([9, 10])), &[]), &[0.0, 0.0, 0.5], 1e-6);
    let mask = Mask::Window { left: 2, right: 1 };
    close(&means(&problem(1, 3, 6, mask, Some([3, 0])), &[]), &[2.5, 3.5, 4.0], 1e-6);
    // Lengths hide what they hid.
    let p = AttentionProblem { key_lengths: true, ..problem(2, 2, 6, Mask::Causal, Some([2, 0])) };
    close(&means(&p, &[6, 2]), &[1.0, 1.5, 0.5, 0.5], 1e-6);
}

#[test]
fn positions_of_any_size() {
    let huge = usize::MAX;
    let window = |left, right| Mask::Window { left, right };
    close(&means(&problem(1, 2, 4, window(huge, 0), None), &[]), &[1.0, 1.5], 1e-6);
    close(&means(&problem(1, 2, 4, window(0, huge), None), &[]), &[2.5, 3.0], 1e-6);
    close(&means(&problem(1, 2, 4, window(huge, huge), None), &[]), &[1.5, 1.5], 1e-6);
    close(&means(&problem(1, 2, 4, Mask::Causal, Some([huge, 0])), &[]), &[1.5, 1.5], 1e-6);
    close(&means(&problem(1, 2, 4, Mask::Causal, Some([0, huge])), &[]), &[0.0, 0.0], 1e-6);
    close(&means(&problem(1, 2, 4, Mask::Causal, Some([huge, huge])), &[]), &[0.0, 0.5], 1e-6);
    close(&means(&problem(1, 2, 4, window(1, 0), Some([huge - 3, huge - 5])), &[]), &[1.5, 2.5], 1e-6);
}
