//! Sums of many terms: errors grow with the logarithm of their number.

use super::{attended, close, context, download, full, shape, t};
use foveal::block_on;
use foveal::kernels::attention::{
    AttentionProblem, AttentionShape, Mass, Readout, Tables, attention, attention_column_mass,
};
use foveal::kernels::matmul::Layout;
use foveal::kernels::token::{RowMap, sum_rows};
use foveal::kernels::{Then, matmul};
use foveal::kernels::{contrast, elementwise, optim, rowwise};

const MANY: usize = 1_000_000;

#[test]
fn column_mass_of_many_rows_and_heads() {
    let c = context();
    let (heads, seq_q) = (12, 32_760);
    let shape = AttentionShape { batch: 1, heads, kv_heads: heads, seq_q, seq_kv: 3, head_dim: 4 };
    let readout = Readout::default().with_mass(Mass::Mean);
    let problem = AttentionProblem { readout, ..AttentionProblem::new(shape) };
    let (rows, of_heads) = (vec![1.0 / seq_q as f32; seq_q], vec![1.0 / heads as f32; heads]);
    let tables =
        Tables::default().with_rows(&rows[..]).with_heads(&of_heads[..]).upload(&c, &problem).unwrap();
    let (q, k) = (full(&c, &[1, seq_q, heads, 4], 0.5), full(&c, &[1, 3, heads, 4], 0.5));
    let out = attention(&problem, &q, &k, &k, &tables).unwrap();
    let mass = download(&attention_column_mass(&problem, &q, &k, &out.stats, &tables).unwrap());
    // The weights themselves sum to one within 1e-6.
    close(&mass, &[1.0 / 3.0; 3], 3e-6);
}

#[test]
fn means_of_ones_are_one() {
    let c = context();
    for n in [32_760, MANY] {
        let x = full(&c, &[n, 4], 1.0);
        let map = RowMap::mean(n, [(0..n).collect()]).unwrap();
        close(&download(&sum_rows(&x, &map).unwrap()), &[1.0; 4], 1e-6);
        close(&download(&rowwise::column_sum(&x).unwrap()), &[n as f32; 4], 0.0);
        assert!(
            (block_on(optim::norm(&x.reshape([4 * n]).unwrap())).unwrap() / (4.0 * n as f64).sqrt() - 1.0)
                .abs()
                < 1e-6
        );
    }
}

#[test]
fn products_of_many_terms() {
    let c = context();
    for (m, n) in [(1, 1), (3, 8), (16, 4)] {
        for (k, layout) in [(MANY, Layout::Columns), (MANY, Layout::Rows), (33_333, Layout::Columns)] {
            if m * k > 4 * MANY {
                continue;
            }
            let x = full(&c, &[m, k], 0.1);
            let w = match layout {
                Layout::Columns => full(&c, &[k, n], 1.0),
                Layout::Rows => full(&c, &[n, k], 1.0),
            };
            let y = matmul(&x, &w, layout, Then::Nothing);
            close(&download(&y.unwrap()), &vec![0.1 * k as f32; m * n], 2e-6);
        }
    }
}

#[test]
fn attention_over_millions_of_keys() {
    let c = context();
    let seq_kv = 4_000_000;
    let problem = AttentionProblem::new(shape(1, seq_kv, 4));
    let tables = Tables::default().upload(&c, &problem).unwrap();
    let (q, k) = (full(&c, &[1, 1, 1, 4], 0.5), full(&c, &[1, seq_kv, 1, 4], 0.5));
    let out = attention(&problem, &q, &k, &k, &tables).unwrap();
    close(&download(&out.o), &[0.5; 4], 2e-6);
    close(&download(&out.lse().unwrap()), &[0.5 + (seq_kv as f32).ln()], 1e-6);
}

#[test]
fn gradients_by_keys_of_many_queries() {
    let c = context();
    let seq_q = 200_000;
    let problem = AttentionProblem::new(shape(seq_q, 2, 4));
    let (q, k) = (vec![0.5; seq_q * 4], vec![0.5; 8]);
    // Both keys have half of each row: dv is half of the rows, dk = Σ p (1 - p) (v0 - v1) q · scale.
    let v = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    let d_o = vec![0.25; seq_q * 4];
    let found = attended(&c, &problem, &Tables::default(), [&q, &k, &v, &d_o]);
    close(&found.gradients[2], &[0.125 * seq_q as f32; 8], 2e-6);
    let dk = 0.25 * 0.5 * 0.5 * seq_q as f32;
    close(&found.gradients[1], &[dk, dk, dk, dk, -dk, -dk, -dk, -dk], 2e-5);
}

#[test]
fn gradients_by_queries_of_many_keys() {
    let c = context();
    let seq_kv = 200_000;
    let problem = AttentionProblem::new(shape(1, seq_kv, 4));
    let alternate = |a: f32, b: f32| -> Vec<f32> {
        (0..seq_kv * 4).map(|i| if i / 4 % 2 == 0 { a } else { b }).collect()
    };
    // Every key has 1/n; dq = Σ p (v - ½) · 4 · k · scale.
    let found = attended(
        &c,
        &problem,
        &Tables::default(),
        [&[0.0; 4], &alternate(1.0, -1.0), &alternate(1.0, 0.0), &[1.0; 4]],
    );
    close(&found.o, &[0.5; 4], 2e-6);
    close(&found.gradients[0], &[1.0; 4], 2e-5);
}

#[test]
fn rows_of_many_columns() {
    let c = context();
    let x: Vec<f32> = (0..MANY).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let x = t(&c, &[1, MANY], &x);
    let (ones, zeros) = (full(&c, &[1, MANY], 1.0), full(&c, &[1, MANY], 0.0));
    let rms = rowwise::rms_norm(&x, &full(&c, &[MANY], 1.0), 1e-12, None).unwrap();
    let norm = rowwise::layer_norm(&x, &ones, &zeros, false, 1e-12).unwrap();
    close(&download(&rms), &download(&x), 1e-6);
    close(&download(&norm), &download(&x), 1e-6);
    close(&download(&rowwise::softmax(&ones, 1.0).unwrap()), &vec![1e-6; MANY], 3e-6);
    let dx = download(&rowwise::softmax_backward(&full(&c, &[1, MANY], 1e-6), &x, 1.0).unwrap());
    close(&dx, &download(&elementwise::weighted_sum(&[(&x, 1e-6)]).unwrap()), 1e-5);
}

#[test]
fn gram_of_long_rows() {
    let c = context();
    let x = full(&c, &[1, 2, MANY], 0.1);
    close(&download(&contrast::gram(&x).unwrap()), &[1e4; 4], 2e-6);
}

#[test]
fn a_frame_of_many_tokens() {
    let c = context();
    // Two frames: the map's values are all the same, and their entropy is the logarithm of their number, but for the 1e-10
    // that is added to each share.
    let map = full(&c, &[1, 2, MANY], 0.001);
    let masks = t(&c, &[1, 2], &[1.0, 1.0]);
    let objective = foveal::kernels::temporal::TemporalObjective::released();
    let outcome = foveal::kernels::temporal::temporal_loss(&map, &masks, &objective).unwrap();
    let terms = block_on(outcome.group_terms()).unwrap();
    let entropy = -(1.0 / MANY as f32 + 1e-10).ln();
    assert!((terms[0].entropy / entropy - 1.0).abs() < 6e-6, "{terms:?}, expected {entropy}");
}
