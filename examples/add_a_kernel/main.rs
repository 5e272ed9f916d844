//! A kernel of your own, outside the crate: its WGSL beside this file, what a dispatch needs to know of it (`Kernel`), and its
//! place on the tape, where it makes SwiGLU, `silu(gate) ⊙ up`, of the library's silu. An app may stop there. What proves it
//! right (`Verified`) is a reference, inputs and tolerances, and lets every variant be compared.

use foveal::autograd::{Tape, Var};
use foveal::kernels::elementwise::{silu, silu_backward};
use foveal::kernels::verified::{Array, Gradient, Pcg64, Tolerance, Verified, inputs};
use foveal::kernels::{Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run, trial::trial};
use foveal::{Caps, Context, ContextOptions, Dtype, Error, Tensor, shader::Source};

/// `y = a b`, element by element: sizes and options of one call.
#[derive(Debug, Clone)]
struct Product {
    n: usize,
}

/// The name of a case.
impl std::fmt::Display for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "product(n={})", self.n)
    }
}

impl Kernel for Product {
    const STEM: &'static str = "product";
    const SHADER: Source =
        Source { path: "examples/add_a_kernel/product.wgsl", text: include_str!("product.wgsl") };

    fn check(&self) -> foveal::Result<()> {
        let fits = self.n <= 1 << 31;
        if fits {
            Ok(())
        } else {
            Err(Error::problem(Self::STEM, format!("{} elements: at most 2^31", self.n)))
        }
    }
    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("a", [self.n]), Slot::read("b", [self.n]), Slot::write("y", [self.n])]
    }
    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, 1).into_iter().map(|elem| Variant::new(elem, lanes(caps))).collect()
    }
    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        Launch::new(&(self.n as u32), grid(self.n.div_ceil(variant.number("WG_SIZE") as usize), caps))
    }
    fn work(&self) -> Work {
        Work { flops: self.n as f64, bytes: 12.0 * self.n as f64 }
    }
}

impl Verified for Product {
    const FAMILY: &'static str = "examples";
    const SUMMARY: &'static str = "product of two tensors, element by element";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [a, b] = inputs else { return Vec::new() };
        vec![Array::from_fn([self.n], |i| a.data[i] * b.data[i])]
    }
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        // Outliers in one factor only: the product of two would leave the range of f16.
        vec![inputs::normal(rng, [self.n], 1.0), inputs::tame(rng, [self.n], 1.0)]
    }
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance::for_elem(elem, 1e-6, 0.1, "one rounding of the product, one of the store")]
    }
    fn gradient_of(&self) -> Option<Gradient> {
        None
    }
    fn cases() -> Vec<Self> {
        [1, 0, 37, 4096].map(|n| Self { n }).into()
    }
    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("a layer of 8960, 1560 tokens", Self { n: 1560 * 8960 })]
    }
}

/// The call that a program uses.
fn product(a: &Tensor, b: &Tensor) -> foveal::Result<Tensor> {
    let y = Tensor::empty(a.context(), a.shape().clone(), a.dtype())?;
    let flat = |t: &Tensor| t.reshape([t.len()]);
    run(a.context(), &Product { n: a.len() }, &[&flat(a)?, &flat(b)?, &flat(&y)?])?;
    Ok(y)
}

/// `silu(gate) ⊙ up` on the tape. The gradient of a product is a product with the other factor.
fn swiglu(tape: &mut Tape, gate: &Var, up: &Var) -> foveal::Result<Var> {
    let x = gate.tensor().clone();
    let open = tape.apply(&[gate], silu(&x)?, move |dy| Ok(vec![Some(silu_backward(&x, dy)?)]))?;
    let (a, b) = (open.tensor().clone(), up.tensor().clone());
    let y = product(&a, &b)?;
    tape.apply(&[&open, up], y, move |dy| Ok(vec![Some(product(dy, &b)?), Some(product(dy, &a)?)]))
}

/// Every case and variant against the reference.
async fn check(context: &Context) -> Result<(), Box<dyn std::error::Error>> {
    for case in Product::cases() {
        for variant in case.variants(context.caps()) {
            let outcome = trial(context, &case, &variant, None).await?;
            if !outcome.faults.is_empty() {
                return Err(format!("{case} {}: {}", variant.name(), outcome.faults.join("; ")).into());
            }
            println!("{case} {}: ok", variant.name());
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    foveal::block_on(async {
        let context = Context::new(ContextOptions::default()).await?;
        check(&context).await?;
        let mut tape = Tape::record();
        let gate = tape.leaf(Tensor::from_f32(&context, [3], &[-1.0, 0.5, 2.0])?);
        let up = tape.leaf(Tensor::from_f32(&context, [3], &[0.5, -2.0, 1.5])?);
        let y = swiglu(&mut tape, &gate, &up)?;
        let gradients = tape.backward(&[(&y, Tensor::from_f32(&context, [3], &[1.0; 3])?)])?;
        for (name, var, other) in [("gate", &gate, &up), ("up", &up, &gate)] {
            let gradient = gradients.of(var)?.ok_or("no gradient")?.to_vec().await?;
            let (x, other) = (var.tensor().to_vec().await?, other.tensor().to_vec().await?);
            for ((found, x), other) in gradient.iter().zip(x).zip(other) {
                // Central difference of the formula.
                let y = |x: f32| {
                    let (gate, up) = if name == "gate" { (x, other) } else { (other, x) };
                    f64::from(gate) / (1.0 + f64::from(-gate).exp()) * f64::from(up)
                };
                let wanted = (y(x + 1e-3) - y(x - 1e-3)) / 2e-3;
                println!("swiglu by {name} at {x}: {found:.5}, by differences {wanted:.5}");
                if !((f64::from(*found) - wanted).abs() <= 1e-4) {
                    return Err(format!("the gradient by {name} is wrong").into());
                }
            }
        }
        Ok(())
    })
}

#[test]
fn the_example_holds() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
