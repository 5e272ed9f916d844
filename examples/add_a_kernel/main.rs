//! A kernel of your own, outside the crate, with its gradient: rows of length one, as embeddings are compared. Its WGSL beside
//! this file takes packs, so that one text serves f32, f16 and bf16, and reduces over a workgroup. Here is what an app needs of
//! it: `Kernel`, a wrapper, an op on the tape. `proof` is what shows it right.

mod proof;

use clap::Parser;
use foveal::autograd::{Tape, Var};
use foveal::kernels::verified::Verified;
use foveal::kernels::{Kernel, Launch, REDUCE, Slot, Variant, Work, elems, grid, pack, pack_module, run};
use foveal::{Caps, Context, ContextOptions, Error, Tensor, shader::Source};
use std::fmt::{Display, Formatter};
use std::process::ExitCode;

/// `y = x / sqrt(Σ x² + EPS)` over each row: sizes and options of one call.
#[derive(Debug, Clone)]
struct UnitRows {
    rows: usize,
    cols: usize,
}

/// Its gradient by `x`, from `x` and the gradient by `y`.
#[derive(Debug, Clone)]
struct UnitRowsBackward(UnitRows);

/// `Params` of both shaders: 32-bit members in the same order.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    packs: u32,
}

/// The name of a case.
impl Display for UnitRows {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "unit_rows(rows={},cols={})", self.rows, self.cols)
    }
}

impl Display for UnitRowsBackward {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "unit_rows_backward(rows={},cols={})", self.0.rows, self.0.cols)
    }
}

impl Kernel for UnitRows {
    const STEM: &'static str = "unit_rows";
    const SHADER: Source =
        Source { path: "examples/add_a_kernel/unit_rows.wgsl", text: include_str!("unit_rows.wgsl") };

    fn check(&self) -> foveal::Result<()> {
        let fits = self.cols > 0 && self.rows.checked_mul(self.cols).is_some_and(|n| n < 1 << 32);
        let reason = || format!("{self}: at least one column and fewer than 2^32 elements");
        if fits { Ok(()) } else { Err(Error::problem(Self::STEM, reason())) }
    }
    fn slots(&self) -> Vec<Slot> {
        let shape = [self.rows, self.cols];
        vec![Slot::read("x", shape), Slot::write("y", shape)]
    }
    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        // f32 everywhere, f16 where the device has it, bf16 where packs are of four.
        let of = |elem| Variant::new(elem, 64).module(REDUCE).module(pack_module(pack(self.cols)));
        elems(caps, pack(self.cols)).into_iter().map(of).collect()
    }
    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let packs = (self.cols / pack(self.cols)) as u32;
        Launch::new(&Params { rows: self.rows as u32, packs }, grid(self.rows, caps))
    }
    fn work(&self) -> Work {
        let n = (self.rows * self.cols) as f64;
        Work { flops: 3.0 * n, bytes: 8.0 * n }
    }
}

impl Kernel for UnitRowsBackward {
    const STEM: &'static str = "unit_rows_backward";
    const SHADER: Source = Source {
        path: "examples/add_a_kernel/unit_rows_backward.wgsl",
        text: include_str!("unit_rows_backward.wgsl"),
    };

    fn check(&self) -> foveal::Result<()> {
        self.0.check()
    }
    fn slots(&self) -> Vec<Slot> {
        let shape = [self.0.rows, self.0.cols];
        vec![Slot::read("x", shape), Slot::read("dy", shape), Slot::write("dx", shape)]
    }
    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps)
    }
    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch(caps, variant)
    }
    fn work(&self) -> Work {
        let n = (self.0.rows * self.0.cols) as f64;
        Work { flops: 7.0 * n, bytes: 12.0 * n }
    }
}

/// The calls that a program uses.
fn unit_rows(x: &Tensor) -> foveal::Result<Tensor> {
    let (y, kernel) = like(x)?;
    run(x.context(), &kernel, &[x, &y])?;
    Ok(y)
}

fn unit_rows_backward(x: &Tensor, dy: &Tensor) -> foveal::Result<Tensor> {
    let (dx, kernel) = like(x)?;
    run(x.context(), &UnitRowsBackward(kernel), &[x, dy, &dx])?;
    Ok(dx)
}

fn like(x: &Tensor) -> foveal::Result<(Tensor, UnitRows)> {
    let &[rows, cols] = x.dims() else { return Err(Error::problem(UnitRows::STEM, "x is (rows, cols)")) };
    Ok((Tensor::empty(x.context(), x.shape().clone(), x.dtype())?, UnitRows { rows, cols }))
}

/// The op on the tape.
fn unit_rows_op(tape: &mut Tape, x: &Var) -> foveal::Result<Var> {
    let x_value = x.tensor().clone();
    let y = unit_rows(&x_value)?;
    tape.apply(&[x], y, move |dy| Ok(vec![Some(unit_rows_backward(&x_value, dy)?)]))
}

/// Proves a kernel of its own, rows of length one, and the kernel's gradient on this machine's adapter, and runs both. It takes
/// no arguments; the source is what it is for.
#[derive(Debug, Parser)]
#[command(name = "add_a_kernel")]
struct Args {}

fn main() -> ExitCode {
    let Args {} = Args::parse();
    match run_example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_example() -> Result<(), Box<dyn std::error::Error>> {
    foveal::block_on(async {
        let context = Context::new(ContextOptions::default()).await?;
        for (forward, backward) in UnitRows::cases().iter().zip(&UnitRowsBackward::cases()) {
            proof::prove(&context, forward).await?;
            proof::prove(&context, backward).await?;
        }
        let mut tape = Tape::record();
        let x = tape.leaf(Tensor::from_f32(&context, [1, 2], &[3.0, 4.0])?);
        let y = unit_rows_op(&mut tape, &x)?;
        let gradients = tape.backward(&[(&y, Tensor::from_f32(&context, [1, 2], &[1.0, 0.0])?)])?;
        let gradient = gradients.of(&x)?.ok_or("no gradient")?.to_vec().await?;
        println!(
            "(3, 4) of length one: {:?}; gradient of its first: {gradient:?}",
            y.tensor().to_vec().await?
        );
        // 1/5 − 9/125 and −12/125.
        let right = gradient.iter().zip([0.128, -0.096]).all(|(found, wanted)| (found - wanted).abs() < 1e-6);
        if right { Ok(()) } else { Err("the gradient is wrong".into()) }
    })
}

#[test]
fn the_example_holds() -> Result<(), Box<dyn std::error::Error>> {
    run_example()
}
