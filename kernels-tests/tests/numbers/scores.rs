//! Attention at any finite score: only a mask hides, and probabilities are at most one and sum to one.

use super::{attended, close, context, download, full, shape, t};
use foveal::kernels::attention::{
    AttentionProblem, AttentionShape, Mass, Readout, Tables, attention, attention_column_mass,
    attention_columns,
};
use foveal::kernels::rowwise;
use foveal::{Dtype, Tensor};

#[test]
fn the_lowest_scores_are_seen() {
    let c = context();
    for size in [1e18, 1e19] {
        let problem = AttentionProblem { scale: 0.25, ..AttentionProblem::new(shape(1, 2, 4)) };
        let (q, k) = ([size, 0.0, 0.0, 0.0], [-size, 0.0, 0.0, 0.0, -size, 0.0, 0.0, 0.0]);
        let v = [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 5.0, 6.0];
        let found = attended(&c, &problem, &Tables::default(), [&q, &k, &v, &[1.0; 4]]);
        close(&found.o, &[2.0, 3.0, 4.0, 5.0], 1e-6);
        assert!(found.gradients.iter().flatten().all(|v| v.is_finite()));
        close(&found.gradients[2], &[0.5; 8], 1e-6);
    }
}

#[test]
fn equal_scores_of_any_size_share_alike() {
    let c = context();
    for size in [1.0, 1e2, 1e7, 1e12, 3e37, -1e7, -3e37] {
        for (seq_q, seq_kv) in [(1, 4), (20, 4), (20, 40)] {
            let shape = shape(seq_q, seq_kv, 4);
            let readout = Readout::default().with_groups(1).with_mass(Mass::Mean).with_entropy();
            let problem = AttentionProblem { scale: 1.0, readout, ..AttentionProblem::new(shape) };
            let columns: Vec<f32> = (0..seq_kv).map(|j| if j == 1 { 1.0 } else { 0.0 }).collect();
            let rows = vec![1.0 / seq_q as f32; seq_q];
            let tables = Tables::default().with_columns(&columns[..]).with_rows(&rows[..]).with_heads([1.0]);
            let tables = tables.upload(&c, &problem).unwrap();
            let q: Vec<f32> = (0..seq_q * 4).map(|i| if i % 4 == 0 { size } else { 0.0 }).collect();
            let q = t(&c, &[1, seq_q, 1, 4], &q);
            let k = full(&c, &[1, seq_kv, 1, 4], 1.0);
            let out = attention(&problem, &q, &k, &k, &tables).unwrap();
            let share = 1.0 / seq_kv as f32;
            close(&download(&out.o), &vec![1.0; seq_q * 4], 1e-6);
            close(&download(&out.entropy().unwrap()), &vec![(seq_kv as f32).ln(); seq_q], 1e-6);
            let map = Tensor::zeros(&c, [1, 1, seq_q], Dtype::F32).unwrap();
            attention_columns(&problem, &q, &k, &out.stats, &tables, &map).unwrap();
            close(&download(&map), &vec![share; seq_q], 2e-6);
            let mass = attention_column_mass(&problem, &q, &k, &out.stats, &tables).unwrap();
            close(&download(&mass), &vec![share; seq_kv], 2e-6);
        }
    }
}

#[test]
fn gradients_are_finite_at_any_scale() {
    let c = context();
    for (scale, exact) in [(1e10, true), (1e10, false), (1e-10, false), (-1e4, true), (-1e2, false)] {
        let problem = AttentionProblem { scale, ..AttentionProblem::new(shape(3, 4, 4)) };
        // Where scores are so large that a nat is lost in their last digits, only exact products can be taken twice alike.
        let value = |i: usize, step: f32| {
            let v = (i as f32 * step).sin();
            if exact { (4.0 * v).round() / 4.0 } else { v }
        };
        let q: Vec<f32> = (0..12).map(|i| value(i, 0.7)).collect();
        let k: Vec<f32> = (0..16).map(|i| value(i, 1.1)).collect();
        let found = attended(&c, &problem, &Tables::default(), [&q, &k, &k, &[1.0; 12]]);
        assert!(
            found.gradients.iter().flatten().all(|v| v.is_finite()),
            "scale {scale}: {:?}",
            found.gradients
        );
        // dv: each query shares out its gradient, whole.
        let total: f32 = found.gradients[2].iter().sum();
        if exact || scale.abs() < 1e3 {
            assert!((total / 12.0 - 1.0).abs() < 1e-4, "scale {scale}: {total}");
        } else {
            assert!(total < 12.001, "scale {scale}: {total}");
        }
    }
}

#[test]
fn no_probability_is_above_one() {
    let c = context();
    // Scores of which a second way to sum them differs in the last digits of a large number.
    let (seq_q, seq_kv, width) = (33, 65, 16);
    let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q, seq_kv, head_dim: width };
    let readout = Readout::default().with_mass(Mass::Max);
    let problem = AttentionProblem { scale: 1.0, readout, ..AttentionProblem::new(shape) };
    let q: Vec<f32> = (0..seq_q * width).map(|i| 3e3 * (i as f32 * 0.37).sin()).collect();
    let k: Vec<f32> = (0..seq_kv * width).map(|i| 3e3 * (i as f32 * 0.91).cos()).collect();
    let (q, k) = (t(&c, &[1, seq_q, 1, width], &q), t(&c, &[1, seq_kv, 1, width], &k));
    let rows = vec![1.0; seq_q];
    let tables = Tables::default().with_rows(&rows[..]).with_heads([1.0]).upload(&c, &problem).unwrap();
    let out = attention(&problem, &q, &k, &k, &tables).unwrap();
    let mass = download(&attention_column_mass(&problem, &q, &k, &out.stats, &tables).unwrap());
    assert!(mass[..seq_kv].iter().all(|p| (0.0..=1.0).contains(p)), "{mass:?}");
    assert!(mass[..seq_kv].contains(&1.0), "{mass:?}");
}

#[test]
fn a_softmax_of_large_numbers() {
    let c = context();
    for size in [1e7, 3e38, -3e38] {
        let x = t(&c, &[1, 4], &[size; 4]);
        if size > -1e38 {
            close(&download(&rowwise::softmax(&x, 1.0).unwrap()), &[0.25; 4], 1e-6);
        }
        let x = t(&c, &[1, 2], &[size.abs(), -1e37]);
        close(&download(&rowwise::softmax(&x, 1.0).unwrap()), &[1.0, 0.0], 0.0);
    }
}
