//! Defects planted in copies of the shaders: the harness of `numerics` has to find each of them.
//!
//! A defect is an edit of a kernel's composed text. The edited copy runs through the same code as every numerical test,
//! on the kernel's own test cases, until a case shows wrong numbers; the copy without the edit has to pass that case.
//! A text that no longer holds the edited part exactly once fails the test, as does a copy that does not compile: what
//! is wanted is a defect that runs.

use foveal::gpu::AdapterClass;
use foveal::kernels::Variant;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::{Caps, Context, ContextOptions};
use kernels_tests::numerics;
use libtest_mimic::{Arguments, Trial};

/// One defect.
struct Planted {
    name: &'static str,
    /// Kernel whose cases have to show it.
    stem: &'static str,
    /// Only variants with this in their name: the ones whose text holds the part.
    variants: &'static str,
    /// Whose variants: those of a GPU hold more invocations a workgroup, so that a missing barrier shows.
    class: Option<AdapterClass>,
    part: &'static str,
    by: &'static str,
}

const DEFECTS: &[Planted] = &[
    Planted {
        name: "a sum over a workgroup without its barrier",
        stem: "layer_norm",
        variants: "reduce.workgroup",
        class: Some(AdapterClass::Discrete),
        part: "workgroupBarrier();\n        if (lane < half) {\n            reduce_scratch[lane] +=",
        by: "if (lane < half) {\n            reduce_scratch[lane] +=",
    },
    Planted {
        name: "a maximum over a workgroup without its barrier",
        stem: "softmax",
        variants: "reduce.workgroup",
        class: Some(AdapterClass::Discrete),
        part: "workgroupBarrier();\n        if (lane < half) {\n            reduce_scratch[lane] = max",
        by: "if (lane < half) {\n            reduce_scratch[lane] = max",
    },
    Planted {
        name: "keys a step of all heads apart instead of the key heads",
        stem: "attention",
        variants: "",
        class: None,
        part: "* params.kv_heads + kv_head) * HEAD_VEC",
        by: "* params.heads + kv_head) * HEAD_VEC",
    },
    Planted {
        name: "padded keys that are not masked",
        stem: "attention",
        variants: "",
        class: None,
        part: "return min(u32(tables[b]), params.seq_kv);",
        by: "return params.seq_kv;",
    },
    Planted {
        name: "padded keys that receive a gradient",
        stem: "attention_backward_dq",
        variants: "",
        class: None,
        part: "return min(u32(tables[b]), params.seq_kv);",
        by: "return params.seq_kv;",
    },
    Planted {
        name: "the last tile of keys left out",
        stem: "attention",
        variants: "",
        class: None,
        part: "j0 < end; j0 += WG_SIZE",
        by: "j0 + WG_SIZE < end; j0 += WG_SIZE",
    },
    Planted {
        name: "the last inputs of a product left out",
        stem: "matmul",
        variants: "matmul.rows",
        class: None,
        part: "for (var i = range.x; i < range.y; i++)",
        by: "for (var i = range.x; i + 1u < range.y; i++)",
    },
    Planted {
        name: "one result that is not a number",
        stem: "silu",
        variants: "",
        class: None,
        part: "y[i] = narrow(v * logistic(v));",
        by: "y[i] = narrow(select(v * logistic(v), Pack(bitcast<f32>(params.packs | 0x7fc00000u)), i + 1u == params.packs));",
    },
    Planted {
        name: "results past the end",
        stem: "silu",
        variants: "",
        class: None,
        part: "if (i < params.packs) {",
        by: "if (i < params.packs + 1u) {",
    },
    Planted {
        name: "a result far past the end, beyond what a binding is rounded up to",
        stem: "silu",
        variants: "",
        class: None,
        part: "y[i] = narrow(v * logistic(v));",
        by: "y[i] = narrow(v * logistic(v));\n            y[i + params.packs + 100u] = y[i];",
    },
    Planted {
        name: "results that are never written",
        stem: "silu",
        variants: "",
        class: None,
        part: "if (i < params.packs) {",
        by: "if (i + 1u < params.packs) {",
    },
    Planted {
        name: "ten times the epsilon, in the gradient of layer norm",
        stem: "layer_norm_backward",
        variants: "",
        class: None,
        part: "m.variance + params.eps",
        by: "m.variance + 10.0 * params.eps",
    },
    Planted {
        name: "ten times the epsilon, in layer norm",
        stem: "layer_norm",
        variants: "",
        class: None,
        part: "m.variance + params.eps",
        by: "m.variance + 10.0 * params.eps",
    },
    Planted {
        name: "the last term of each sum left out",
        stem: "sum_rows",
        variants: "",
        class: None,
        part: "e < last; e++",
        by: "e + 1u < last; e++",
    },
    Planted {
        name: "the first row of the next block added",
        stem: "column_sum",
        variants: "",
        class: None,
        part: "min(first + BLOCK, params.rows)",
        by: "min(first + BLOCK + 1u, params.rows)",
    },
    Planted {
        name: "a mask that starts anew with every part of a tensor",
        stem: "dropout",
        variants: "",
        class: None,
        part: "scramble(params.first + i)",
        by: "scramble(i)",
    },
    Planted {
        name: "other positives in the denominator",
        stem: "nt_xent",
        variants: "",
        class: None,
        part: "var others = 0.0;",
        by: "var others = positives[anchor] * exp((similarity[first] - largest) * params.sharpness);",
    },
    Planted {
        name: "half of a symmetric gradient",
        stem: "gram_backward",
        variants: "",
        class: None,
        part: " + dy[plane + j * params.rows + i]",
        by: "",
    },
    Planted {
        name: "a norm without its residual's sign",
        stem: "branch_norm",
        variants: "",
        class: None,
        part: "narrow(widen(residual[first + i]) +",
        by: "narrow(abs(widen(residual[first + i])) +",
    },
    Planted {
        name: "a coefficient off in the third digit",
        stem: "gelu_erf",
        variants: "",
        class: None,
        part: "p = p * t + 0.373987826;",
        by: "p = p * t + 0.3731;",
    },
    Planted {
        name: "ten times the epsilon, in RMS norm",
        stem: "rms_norm",
        variants: "",
        class: None,
        part: "mean + params.eps",
        by: "mean + 10.0 * params.eps",
    },
];

/// Plants the defect and looks for the first case that shows it.
fn find(context: &Context, planted: &Planted, entry: &Entry) -> Result<(), String> {
    let caps = Caps { class: planted.class.unwrap_or(context.caps().class), ..context.caps().clone() };
    let mut tried = 0;
    for case in (entry.cases)() {
        let variants = case.variants(&caps).into_iter();
        for variant in variants.filter(|v| v.name().contains(planted.variants)) {
            tried += 1;
            if shows(context, planted, &*case, &variant)? {
                println!("{}: shown by {case} {}", planted.name, variant.name());
                return Ok(());
            }
        }
    }
    Err(format!("no case of {} shows this in {tried} runs: its cases need one that does", planted.stem))
}

/// Whether a case shows the defect.
fn shows(
    context: &Context,
    planted: &Planted,
    case: &dyn AnyKernel,
    variant: &Variant,
) -> Result<bool, String> {
    let sound = case.composed(context.caps(), variant);
    let broken = sound.replaced(planted.part, planted.by).ok_or_else(|| {
        format!(
            "`{}` does not stand exactly once in {case} {}: plant the defect anew",
            planted.part,
            variant.name()
        )
    })?;
    let found = numerics::measure(context, case, variant, Some(&broken))
        .map_err(|e| format!("{case} {}: the copy with the defect does not run: {e}", variant.name()))?;
    if found.faults.is_empty() {
        return Ok(false);
    }
    let control = numerics::measure(context, case, variant, Some(&sound))?;
    match control.faults.first() {
        None => Ok(true),
        Some(fault) => Err(format!("{case} {}: wrong without the defect too: {fault}", variant.name())),
    }
}

fn main() {
    let arguments = Arguments::from_args();
    // A planted defect may index anything, so these copies alone are compiled with bounds checks.
    let options = ContextOptions { checked: true, ..Default::default() };
    let context = match pollster::block_on(Context::new(options)) {
        Ok(context) => context,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    eprintln!("adapter: {}", context.caps());
    let trial = |planted: &'static Planted| {
        let context = context.clone();
        Trial::test(format!("{}: {}", planted.stem, planted.name), move || {
            let entry = REGISTRY.iter().find(|entry| entry.stem == planted.stem);
            let entry = entry.ok_or_else(|| format!("no kernel is named {}", planted.stem))?;
            find(&context, planted, entry).map_err(Into::into)
        })
    };
    libtest_mimic::run(&arguments, DEFECTS.iter().map(trial).collect()).exit();
}
