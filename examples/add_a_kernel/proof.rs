//! A formula in f64, inputs that try to break the kernel, how close results must come and why, cases; and every variant and
//! the gradient held to them.

use crate::{UnitRows, UnitRowsBackward};
use foveal::kernels::verified::{Array, Gradient, GradientLoss, Pcg64, Tolerance, Verified, inputs};
use foveal::kernels::{AnyKernel, Kernel, trial};
use foveal::{Context, Dtype};

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Verified for UnitRows {
    const FAMILY: &'static str = "examples";
    const SUMMARY: &'static str = "rows of length one";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let of_row = |row: &[f64]| 1.0 / (dot(row, row) + 1e-12).sqrt();
        let inverse: Vec<f64> = x.data.chunks_exact(self.cols).map(of_row).collect();
        vec![Array::from_fn(x.shape.clone(), |i| x.data[i] * inverse[i / self.cols])]
    }
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.rows, self.cols], 1.0)]
    }
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance::for_elem(elem, 1e-5, 0.1, "a sum of cols squares and WGSL's 2-ulp root, in f32")]
    }
    fn gradient_of(&self) -> Option<Gradient> {
        None
    }
    fn cases() -> Vec<Self> {
        // One element, no row, odd sizes, packs of four, more packs than invocations.
        [(1, 1), (0, 8), (5, 33), (4, 64), (3, 1028)].map(|(rows, cols)| Self { rows, cols }).into()
    }
    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("sentences of MiniLM", Self { rows: 4096, cols: 384 })]
    }
}

impl Verified for UnitRowsBackward {
    const FAMILY: &'static str = "examples";
    const SUMMARY: &'static str = "gradient of unit_rows";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, dy] = inputs else { return Vec::new() };
        let mut dx = dy.clone();
        for (row, dx) in dx.data.chunks_exact_mut(self.0.cols).enumerate() {
            let x = &x.data[row * self.0.cols..][..self.0.cols];
            let square = dot(x, x) + 1e-12;
            let along = dot(x, dx) / square;
            dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = (*dx - x * along) / square.sqrt());
        }
        vec![dx]
    }
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let shape = [self.0.rows, self.0.cols];
        vec![inputs::normal(rng, shape, 1.0), inputs::normal(rng, shape, 1.0)]
    }
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance::for_elem(elem, 1e-5, 1.0, "of dy what lies along x is taken away, in f32")]
    }
    fn gradient_of(&self) -> Option<Gradient> {
        // Output 0 is the derivative of the loss by input 0.
        let forward = self.0.clone();
        Some(Gradient::of(UnitRows::STEM, vec![(0, 0)], move |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            dot(&Verified::reference(&forward, std::slice::from_ref(x))[0].data, &dy.data)
        }))
    }
    fn cases() -> Vec<Self> {
        UnitRows::cases().into_iter().map(Self).collect()
    }
    fn bench_cases() -> Vec<(&'static str, Self)> {
        UnitRows::bench_cases().into_iter().map(|(name, case)| (name, Self(case))).collect()
    }
}

/// Every variant of a case against its reference, and the reference of a gradient against finite differences in f64.
pub(crate) async fn prove(context: &Context, case: &dyn AnyKernel) -> Result<(), Box<dyn std::error::Error>> {
    for variant in case.variants(context.caps()) {
        let outcome = trial::trial(context, case, &variant, None).await?;
        if !outcome.faults.is_empty() {
            return Err(format!("{case} {}: {}", variant.name(), outcome.faults.join("; ")).into());
        }
        println!("{case} {}: ok", variant.name());
    }
    if let Some(Gradient { loss: GradientLoss::Of(loss, _), .. }) = case.gradient_of() {
        let inputs = case.inputs(&mut trial::rng(&case.to_string()));
        let direction = case.inputs(&mut trial::rng("a direction")).swap_remove(1);
        let at = |step: f64| {
            let x = Array::from_fn(inputs[0].shape.clone(), |i| inputs[0].data[i] + step * direction.data[i]);
            loss(&[x, inputs[1].clone()])
        };
        let (found, wanted) =
            (dot(&case.reference(&inputs)[0].data, &direction.data), (at(1e-6) - at(-1e-6)) / 2e-6);
        if !((found - wanted).abs() <= 1e-5 * (1.0 + wanted.abs())) {
            return Err(format!("{case}: {found} along a direction, {wanted} by differences").into());
        }
    }
    Ok(())
}
