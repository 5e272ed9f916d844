//! What is no number shows in whatever depends on it.

use super::{all_nan, attended, close, context, download, shape, t};
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Readout, Tables};
use foveal::kernels::{contrast, elementwise, rowwise};
use foveal::{Dtype, Tensor};

#[test]
fn a_softmax_with_nan_in_its_row_is_nan() {
    let c = context();
    let nan = f32::NAN;
    for at in 0..4 {
        let mut x = [1.0, 1.5, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0];
        x[at] = nan;
        let y = download(&rowwise::softmax(&t(&c, &[2, 4], &x), 1.0).unwrap());
        close(&y, &[nan, nan, nan, nan, 0.25, 0.25, 0.25, 0.25], 1e-6);
    }
}

#[test]
fn functions_of_one_number_keep_nan_and_reach_their_limits() {
    let c = context();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = [nan, inf, -inf, 3e38, -3e38, -100.0, 100.0, 0.0];
    let n = x.len();
    let (x, ones) = (t(&c, &[n], &x), t(&c, &[n], &vec![1.0; n]));
    let values = [nan, inf, 0.0, 3e38, 0.0, 0.0, 100.0, 0.0];
    let slopes = [nan, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.5];
    for (name, value, slope) in [
        ("silu", elementwise::silu(&x), elementwise::silu_backward(&x, &ones)),
        ("gelu", elementwise::gelu(&x), elementwise::gelu_backward(&x, &ones)),
        ("gelu_erf", elementwise::gelu_erf(&x), elementwise::gelu_erf_backward(&x, &ones)),
    ] {
        let (found, expected) = (download(&value.unwrap()), values);
        for (f, e) in found.iter().zip(expected) {
            let right = if e.is_finite() {
                (f - e).abs() <= 1e-6 * e.abs() + 1e-32
            } else {
                f.to_string() == e.to_string()
            };
            assert!(right, "{name}: {found:?}");
        }
        let found = download(&slope.unwrap());
        for (f, e) in found.iter().zip(slopes) {
            assert!(if e.is_nan() { f.is_nan() } else { (f - e).abs() <= 1e-6 }, "{name}′: {found:?}");
        }
    }
}

#[test]
fn a_nan_query_shows_in_its_row() {
    let c = context();
    let readout = Readout::default().with_entropy();
    for (seq_q, seq_kv) in [(2, 3), (40, 50), (12, 300)] {
        let problem = AttentionProblem { readout, ..AttentionProblem::new(shape(seq_q, seq_kv, 16)) };
        let mut q = vec![0.5; seq_q * 16];
        q[19] = f32::NAN; // of row 1
        let (k, d_o) = (vec![0.25; seq_kv * 16], vec![1.0; seq_q * 16]);
        let v: Vec<f32> = (0..seq_kv * 16).map(|i| (i % 7) as f32).collect();
        let found = attended(&c, &problem, &Tables::default(), [&q, &k, &v, &d_o]);
        for (row, width) in (0..seq_q).map(|row| (row, 16)) {
            let is_nan = |values: &[f32]| values.iter().all(|v| v.is_nan());
            let is_number = |values: &[f32]| values.iter().all(|v| v.is_finite());
            let of_row = &found.o[row * width..][..width];
            let entropy = &found.entropy.as_ref().unwrap()[row..=row];
            let dq = &found.gradients[0][row * width..][..width];
            for part in [of_row, &found.lse[row..=row], entropy, dq] {
                assert!(
                    if row == 1 { is_nan(part) } else { is_number(part) },
                    "row {row} of {seq_q}: {part:?}"
                );
            }
        }
        all_nan(&found.gradients[1]);
        all_nan(&found.gradients[2]);
    }
}

#[test]
fn a_nan_key_shows_in_the_reductions_of_the_map() {
    use foveal::kernels::attention::{Mass, attention, attention_column_mass, attention_columns};
    let c = context();
    let shape = AttentionShape { batch: 1, heads: 2, kv_heads: 2, seq_q: 6, seq_kv: 5, head_dim: 8 };
    for mass in [Mass::Mean, Mass::Max] {
        let readout = Readout::default().with_groups(1).with_mass(mass).with_entropy();
        let problem = AttentionProblem { readout, ..AttentionProblem::new(shape) };
        let tables = Tables::default()
            .with_columns([1.0, 0.0, 0.0, 0.0, 0.0])
            .with_rows([1.0 / 6.0; 6])
            .with_heads([0.5; 2]);
        let tables = tables.upload(&c, &problem).unwrap();
        let q = super::full(&c, &[1, 6, 2, 8], 0.5);
        let mut k = vec![0.25; 5 * 2 * 8];
        k[3 * 16] = f32::NAN; // head 0
        let k = t(&c, &[1, 5, 2, 8], &k);
        let out = attention(&problem, &q, &k, &k, &tables).unwrap();
        let map = Tensor::zeros(&c, [1, 1, 6], Dtype::F32).unwrap();
        attention_columns(&problem, &q, &k, &out.stats, &tables, &map).unwrap();
        all_nan(&download(&map));
        let mass = download(&attention_column_mass(&problem, &q, &k, &out.stats, &tables).unwrap());
        all_nan(&mass[..5]);
    }
}

#[test]
fn nt_xent_and_its_gradient_are_nan_together() {
    let c = context();
    let table = |v: &[f32; 9]| t(&c, &[3, 3], v);
    let positives = table(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let negatives = table(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    for at in [1, 2] {
        let mut s = [0.5; 9];
        s[at] = f32::NAN;
        let s = t(&c, &[1, 3, 3], &s);
        let loss = download(&contrast::nt_xent(&s, &positives, &negatives, 0.5).unwrap());
        let dy = t(&c, &[1], &[1.0]);
        let d = contrast::nt_xent_backward(&s, &positives, &negatives, &dy, 0.5).unwrap();
        let d = download(&d);
        assert!(loss[1].is_nan() && d[1].is_nan() && d[2].is_nan(), "{loss:?} {d:?}");
        assert!(loss[7].is_finite() && d[6].is_finite() && d[7].is_finite(), "{loss:?} {d:?}");
    }
}

#[test]
fn norms_of_nan_are_nan() {
    let c = context();
    let mut x = [1.0, 2.0, 3.0, 4.0, 1.0, -1.0, 1.0, -1.0];
    x[2] = f32::NAN;
    let x = t(&c, &[2, 4], &x);
    let (ones, zeros) = (t(&c, &[1, 4], &[1.0; 4]), t(&c, &[1, 4], &[0.0; 4]));
    let weight = t(&c, &[4], &[1.0; 4]);
    let nan = f32::NAN;
    let expected = [nan, nan, nan, nan, 1.0, -1.0, 1.0, -1.0];
    close(&download(&rowwise::rms_norm(&x, &weight, 1e-12, None).unwrap()), &expected, 1e-6);
    close(&download(&rowwise::layer_norm(&x, &ones, &zeros, false, 1e-12).unwrap()), &expected, 1e-6);
}
