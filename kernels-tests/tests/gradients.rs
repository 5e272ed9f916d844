//! Reference backward against finite differences of the reference forward, in f64 on the CPU.

use foveal::kernels::registry::{AnyKernel, REGISTRY};
use foveal::kernels::verified::GradientLoss;
use foveal::tensor::Array;
use kernels_tests::numerics::rng;
use libtest_mimic::{Arguments, Trial};
use rand_distr::{Distribution, StandardNormal};

/// Directions tried per gradient.
const DIRECTIONS: usize = 4;

fn shifted(x: &Array, direction: &[f64], by: f64) -> Array {
    Array::from_fn(x.shape.clone(), |i| x.data[i] + by * direction[i])
}

/// Central difference of `loss` along a direction against the product of gradient and direction.
fn along(
    what: &str,
    x: &Array,
    gradient: &Array,
    direction: &[f64],
    loss: impl Fn(&Array) -> f64,
) -> Result<(), String> {
    let step = 1e-5;
    let numeric = (loss(&shifted(x, direction, step)) - loss(&shifted(x, direction, -step))) / (2.0 * step);
    let analytic: f64 = gradient.data.iter().zip(direction).map(|(g, d)| g * d).sum();
    let size: f64 = gradient.data.iter().zip(direction).map(|(g, d)| (g * d).abs()).sum();
    // Central differences err by step² times the third derivative and by rounding over the step.
    let bound = 1e-5 * size + 1e-7;
    if !((numeric - analytic).abs() <= bound) {
        return Err(format!(
            "{what}: finite differences {numeric:.9e}, gradient {analytic:.9e}, bound {bound:.1e}"
        ));
    }
    Ok(())
}

fn check(kernel: &dyn AnyKernel) -> Result<(), String> {
    let Some(gradient) = kernel.gradient_of() else { return Ok(()) };
    let mut rng = rng(&kernel.to_string());
    let inputs = kernel.inputs(&mut rng);
    let outputs = kernel.reference(&inputs);
    let mut direction = |n: usize| -> Vec<f64> { (0..n).map(|_| StandardNormal.sample(&mut rng)).collect() };
    for _ in 0..DIRECTIONS {
        match &gradient.loss {
            GradientLoss::Of(loss, pairs) => {
                for &(output, input) in pairs {
                    let what = format!("output {output} by input {input}");
                    let d = direction(inputs[input].len());
                    along(&what, &inputs[input], &outputs[output], &d, |x| {
                        let mut moved = inputs.clone();
                        moved[input] = x.clone();
                        loss(&moved)
                    })?;
                }
            }
            GradientLoss::Stacked(loss, stacked) => {
                let mut from = 0;
                for &input in stacked {
                    let x = &inputs[input];
                    let part = Array {
                        shape: x.shape.clone(),
                        data: outputs[0].data[from..from + x.len()].to_vec(),
                    };
                    from += x.len();
                    let d = direction(x.len());
                    along(&format!("output 0 by input {input}"), x, &part, &d, |x| {
                        let mut moved = inputs.clone();
                        moved[input] = x.clone();
                        loss(&moved)
                    })?;
                }
            }
            GradientLoss::Linear(loss) => {
                let x = Array::zeros(outputs[0].shape.clone());
                let d = direction(x.len());
                along("output 0", &x, &outputs[0], &d, |x| loss(&inputs, x))?;
            }
        }
    }
    Ok(())
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for entry in REGISTRY {
        for case in (entry.cases)() {
            if case.gradient_of().is_some() {
                trials.push(Trial::test(case.to_string(), move || check(&*case).map_err(Into::into)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
