//! Norms at the ends of f32.

use super::{close, context, download, t};
use foveal::block_on;
use foveal::kernels::{optim, rowwise};

#[test]
fn norms_of_any_size() {
    let c = context();
    let ones = t(&c, &[1, 4], &[1.0; 4]);
    let (weight, zeros) = (t(&c, &[4], &[1.0; 4]), t(&c, &[1, 4], &[0.0; 4]));
    for size in [3e38, 1e30, 1e20, 1e10, 1.0, 1e-10, 1e-15] {
        let x = t(&c, &[1, 4], &[size, size, -size, -size]);
        let want = [1.0, 1.0, -1.0, -1.0];
        // As eps vanishes beside the size of the row or the row beside it.
        let rms = rowwise::rms_norm(&x, &weight, 1e-38, None).unwrap();
        close(&download(&rms), &want, 2e-6);
        let norm = rowwise::layer_norm(&x, &ones, &zeros, false, 1e-38).unwrap();
        close(&download(&norm), &want, 2e-6);
        let x = t(&c, &[1, 4], &[size; 4]);
        close(&download(&rowwise::rms_norm(&x, &weight, 1e-38, None).unwrap()), &[1.0; 4], 2e-6);
        close(&download(&rowwise::layer_norm(&x, &ones, &zeros, false, 1e-6).unwrap()), &[0.0; 4], 0.0);
    }
}

#[test]
fn gradients_of_norms_of_any_size() {
    let c = context();
    let weight = t(&c, &[4], &[1.0; 4]);
    let scale = t(&c, &[1, 4], &[1.0; 4]);
    let dy = t(&c, &[1, 4], &[1.0, 0.0, 0.0, 0.0]);
    for size in [1e30f32, 1e20, 1e10, 1.0, 1e-10] {
        // x = size (1, 1, -1, -1): x̂ = (1, 1, -1, -1), dx = (dy - mean(dy x̂) x̂) / size, less the mean of dy by layers.
        let x = t(&c, &[1, 4], &[size, size, -size, -size]);
        let dx = rowwise::rms_norm_backward(&x, &weight, &dy, 1e-38, None).unwrap();
        let want = [0.75, -0.25, 0.25, 0.25].map(|v| v / size);
        close(&download(&dx), &want, 1e-5);
        let dx = rowwise::layer_norm_backward(&x, &scale, &dy, false, 1e-38).unwrap();
        let want = [0.5, -0.5, 0.0, 0.0].map(|v| v / size);
        let found = download(&dx);
        for (f, w) in found.iter().zip(want) {
            assert!((f - w).abs() <= 1e-5 / size, "{size}: {found:?}");
        }
    }
}

#[test]
fn norms_of_gradients_neither_overflow_nor_vanish() {
    let c = context();
    for size in [3e38f32, 1e30, 1.0, 1e-25, 1e-37] {
        let x = t(&c, &[3], &[size, -size, size]);
        let norm = block_on(optim::norm(&x)).unwrap();
        assert!((norm / (3f64.sqrt() * f64::from(size)) - 1.0).abs() < 1e-6, "{size}: {norm}");
    }
}
