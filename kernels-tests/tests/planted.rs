//! Defects planted in copies of the shaders: the harness of `numerics` has to find each of them.
//!
//! A defect is an edit of a kernel's composed text. The edited copy runs through the same code as every numerical test,
//! on the kernel's own test cases, until a case shows wrong numbers; the copy without the edit has to pass that case.
//! A text that no longer holds the edited part exactly once fails the test, as does a copy that does not compile: what
//! is wanted is a defect that runs. As everywhere, workgroup memory begins with what was there before. A defect of a way
//! that the adapter does not have, such as cooperative matrices, is listed as ignored.

use foveal::gpu::AdapterClass;
use foveal::kernels::Variant;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::{Caps, Context, ContextOptions, Dtype};
use kernels_tests::devices::{self, Devices};
use kernels_tests::numerics;
use libtest_mimic::{Arguments, Trial};

/// One defect.
struct Planted {
    name: &'static str,
    /// Kernel whose cases have to show it.
    stem: &'static str,
    /// Only variants with all these words in their name: the ones whose text holds the part.
    variants: &'static str,
    /// Whose variants: those of a GPU hold more invocations a workgroup, so that a missing barrier shows.
    class: Option<AdapterClass>,
    part: &'static str,
    by: &'static str,
}

const DEFECTS: &[Planted] = &[
    Planted {
        name: "a slice that begins at the first place",
        stem: "slice",
        variants: "",
        class: None,
        part: "x[run * params.x_run + params.start + at]",
        by: "x[run * params.x_run + at]",
    },
    Planted {
        name: "pairs of the third axis that turn by the second position",
        stem: "rotary",
        variants: "",
        class: None,
        part: " + u32(pair >= params.second_end)",
        by: "",
    },
    Planted {
        name: "tokens of a later part at the first positions",
        stem: "rotary",
        variants: "",
        class: None,
        part: "params.first_token + token",
        by: "token",
    },
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
        part: "return min((u32(tables[2u * b]) << 16u) + u32(tables[2u * b + 1u]), params.seq_kv);",
        by: "return params.seq_kv;",
    },
    Planted {
        name: "padded keys that receive a gradient",
        stem: "attention_backward_dq",
        variants: "",
        class: None,
        part: "return min((u32(tables[2u * b]) << 16u) + u32(tables[2u * b + 1u]), params.seq_kv);",
        by: "return params.seq_kv;",
    },
    Planted {
        name: "the last tile of keys left out",
        stem: "attention",
        variants: "forward/rows",
        class: None,
        part: "j0 < end; j0 += WG_SIZE",
        by: "j0 + WG_SIZE < end; j0 += WG_SIZE",
    },
    Planted {
        name: "the last inputs of a product left out",
        stem: "matmul",
        variants: "ways/rows",
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
        part: "max(params.eps * unit * unit",
        by: "max(10.0 * params.eps * unit * unit",
    },
    Planted {
        name: "ten times the epsilon, in layer norm",
        stem: "layer_norm",
        variants: "",
        class: None,
        part: "max(params.eps * unit * unit",
        by: "max(10.0 * params.eps * unit * unit",
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
        part: "let others = sum_of(sum);",
        by: "let others = sum_of(sum) + positives[anchor] * exp((similarity[first] - largest) * params.sharpness);",
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
        part: "max(params.eps * unit * unit",
        by: "max(10.0 * params.eps * unit * unit",
    },
    Planted {
        name: "results that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/rows",
        class: None,
        part: "acc[r][d] *= shrink;",
        by: "",
    },
    Planted {
        name: "blocks of a long sum that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/rows LONG=true",
        class: None,
        part: "acc_before[r][d] *= shrink;",
        by: "",
    },
    Planted {
        name: "the first block of a long sum lost",
        stem: "attention",
        variants: "forward/rows LONG=true",
        class: None,
        part: "sums_before[r] = together(sums_before[r], sums[r]);",
        by: "",
    },
    Planted {
        name: "results that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/tiles",
        class: Some(AdapterClass::Discrete),
        part: "acc[r][n] *= shrink[r];",
        by: "",
    },
    Planted {
        name: "blocks of a long sum that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/tiles LONG=true",
        class: Some(AdapterClass::Discrete),
        part: "acc_before[r][n] *= shrink[r];",
        by: "",
    },
    Planted {
        name: "probabilities written before the maxima are read",
        stem: "attention",
        variants: "forward/tiles",
        class: Some(AdapterClass::Discrete),
        part: "workgroupBarrier();\n    shared_rows[x * SIDE + y]",
        by: "shared_rows[x * SIDE + y]",
    },
    Planted {
        name: "probabilities multiplied before all are there",
        stem: "attention",
        variants: "forward/tiles",
        class: Some(AdapterClass::Discrete),
        part: "stage_rows(side, c * SIDE, place, lane);\n    workgroupBarrier();",
        by: "stage_rows(side, c * SIDE, place, lane);",
    },
    Planted {
        name: "results that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/few",
        class: Some(AdapterClass::Discrete),
        part: "acc[own] * factors[r] + sum",
        by: "acc[own] + sum",
    },
    Planted {
        name: "blocks of a long sum that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/few LONG=true",
        class: Some(AdapterClass::Discrete),
        part: "acc_before[own] *= factors[r];",
        by: "",
    },
    Planted {
        name: "scores read before all are there",
        stem: "attention",
        variants: "forward/few",
        class: Some(AdapterClass::Discrete),
        part: "seen[lane] = seen_by;\n        workgroupBarrier();",
        by: "seen[lane] = seen_by;",
    },
    Planted {
        name: "padded keys that are seen",
        stem: "attention",
        variants: "forward/held",
        class: Some(AdapterClass::Discrete),
        part: "j >= range.x && j < range.y",
        by: "j >= range.x",
    },
    Planted {
        name: "keys read before all are there",
        stem: "attention",
        variants: "forward/held",
        class: Some(AdapterClass::Discrete),
        part: "values[n] = widen4(v[at]);\n    }\n    workgroupBarrier();",
        by: "values[n] = widen4(v[at]);\n    }",
    },
    Planted {
        name: "results that are not scaled down as a larger score comes",
        stem: "attention",
        variants: "forward/matrices",
        class: Some(AdapterClass::Discrete),
        part: "acc[d] = scaled(acc[d], share, shrink);",
        by: "",
    },
    Planted {
        name: "statistics relative to another score than the largest",
        stem: "attention",
        variants: "forward/matrices",
        class: Some(AdapterClass::Discrete),
        part: "row / group), highest, ",
        by: "row / group), reference, ",
    },
    Planted {
        name: "padded keys that are seen",
        stem: "attention",
        variants: "forward/matrices",
        class: Some(AdapterClass::Discrete),
        part: "hidden[t][c] = bias <= MASKED || j >= end;",
        by: "hidden[t][c] = bias <= MASKED;",
    },
    Planted {
        name: "a gradient without the mean of its row",
        stem: "attention_backward_dq",
        variants: "dq/rows",
        class: None,
        part: "- delta;",
        by: ";",
    },
    Planted {
        name: "the first block of a long sum lost",
        stem: "attention_backward_dq",
        variants: "dq/rows LONG=true",
        class: None,
        part: "add_block(&acc_before, &acc, vectors);",
        by: "acc = array<array<vec4<f32>, HEAD_VEC>, ROWS>();",
    },
    Planted {
        name: "a gradient without the mean of its row",
        stem: "attention_backward_dq",
        variants: "dq/tiles",
        class: Some(AdapterClass::Discrete),
        part: "- delta;",
        by: ";",
    },
    Planted {
        name: "a tile of values multiplied before it is there",
        stem: "attention_backward_dq",
        variants: "dq/tiles",
        class: Some(AdapterClass::Discrete),
        part: "stage_slab(right, 1u, place, d0, lane);\n    workgroupBarrier();",
        by: "stage_slab(right, 1u, place, d0, lane);",
    },
    Planted {
        name: "the first block of a long sum lost",
        stem: "attention_backward_dq",
        variants: "dq/tiles LONG=true",
        class: Some(AdapterClass::Discrete),
        part: "add_block(&acc_before, &acc);",
        by: "acc = array<array<vec4<f32>, COLUMNS>, 4>();",
    },
    Planted {
        name: "padded keys that receive a gradient",
        stem: "attention_backward_dq",
        variants: "dq/held",
        class: Some(AdapterClass::Discrete),
        part: "j >= range.x && j < end",
        by: "j >= range.x",
    },
    Planted {
        name: "results in the unit of a smaller gradient",
        stem: "attention_backward_dq",
        variants: "dq/matrices",
        class: Some(AdapterClass::Discrete),
        part: "acc[d] = scaled(acc[d], share, reference * inverse_of(renewed));",
        by: "",
    },
    Planted {
        name: "gradients of one head of a group alone",
        stem: "attention_backward_dkv",
        variants: "dkv/rows",
        class: None,
        part: "h < (kv_head + 1u) * group_size",
        by: "h < kv_head * group_size + 1u",
    },
    Planted {
        name: "the first block of a long sum lost",
        stem: "attention_backward_dkv",
        variants: "dkv/rows LONG=true",
        class: None,
        part: "add_block(&dv_before, &dv, vectors);",
        by: "dv = array<array<vec4<f32>, HEAD_VEC>, ROWS>();",
    },
    Planted {
        name: "rows of another head's statistics",
        stem: "attention_backward_dkv",
        variants: "dkv/tiles",
        class: Some(AdapterClass::Discrete),
        part: "let h = place.kv_head * group + row % group;",
        by: "let h = place.kv_head * group;",
    },
    Planted {
        name: "gradients multiplied before all are there",
        stem: "attention_backward_dkv",
        variants: "dkv/tiles",
        class: Some(AdapterClass::Discrete),
        part: "stage_rows(side, c * SIDE, place, lane);\n    workgroupBarrier();",
        by: "stage_rows(side, c * SIDE, place, lane);",
    },
    Planted {
        name: "the first block of a long sum lost",
        stem: "attention_backward_dkv",
        variants: "dkv/tiles LONG=true",
        class: Some(AdapterClass::Discrete),
        part: "add_block(&dk_before, &dk);",
        by: "dk = array<array<vec4<f32>, COLUMNS>, 4>();",
    },
    Planted {
        name: "a gradient without the mean of its row",
        stem: "attention_backward_dkv",
        variants: "dkv/held",
        class: Some(AdapterClass::Discrete),
        part: "- delta;",
        by: ";",
    },
    Planted {
        name: "results in the unit of a smaller gradient",
        stem: "attention_backward_dkv",
        variants: "dkv/matrices",
        class: Some(AdapterClass::Discrete),
        part: "dk[d] = scaled(dk[d], share, reference * inverse_of(renewed));",
        by: "",
    },
    Planted {
        name: "a gradient without the mean of its row",
        stem: "attention_backward_dkv",
        variants: "dkv/matrices",
        class: Some(AdapterClass::Discrete),
        part: "- delta;",
        by: ";",
    },
    Planted {
        name: "the gradient of a column left out of the mean of its row",
        stem: "attention_backward_delta",
        variants: "",
        class: None,
        part: "found = found || tables",
        by: "found = found && tables",
    },
    Planted {
        name: "rows of no weight that count",
        stem: "attention_column_mass",
        variants: "mass/rows",
        class: None,
        part: "i0 + t <= last_row && weight != 0.0",
        by: "i0 + t <= last_row",
    },
    Planted {
        name: "padded keys that receive",
        stem: "attention_column_mass",
        variants: "mass/tiles",
        class: Some(AdapterClass::Discrete),
        part: "score[r][c], j < end)",
        by: "score[r][c], true)",
    },
    Planted {
        name: "rows read before all are there",
        stem: "attention_column_mass",
        variants: "mass/tiles",
        class: Some(AdapterClass::Discrete),
        part: "stage_slab(right, 1u, place, d0, lane);\n    workgroupBarrier();",
        by: "stage_slab(right, 1u, place, d0, lane);",
    },
    Planted {
        name: "keys that are hidden, counted",
        stem: "attention_columns",
        variants: "",
        class: None,
        part: "p, bias > MASKED)",
        by: "p, true)",
    },
    Planted {
        name: "a part that is not scaled to the largest score of all",
        stem: "attention_join",
        variants: "",
        class: None,
        part: "let log_share = select(fall, -200.0, fall < -200.0) + row.log_total;",
        by: "let log_share = row.log_total;",
    },
    Planted {
        name: "a part that is not scaled to the largest score of all",
        stem: "attention_merge",
        variants: "",
        class: None,
        part: "let log_share = select(fall, -200.0, fall < -200.0) + row.log_total;",
        by: "let log_share = row.log_total;",
    },
];

/// Plants the defect and looks for the first case that shows it.
fn find(context: &Context, planted: &Planted, entry: &Entry) -> Result<(), String> {
    let mut tried = 0;
    for case in (entry.cases)() {
        for variant in variants_with(context.caps(), planted, &*case) {
            tried += 1;
            if shows(context, planted, &*case, &variant)? {
                println!("{}: shown by {case} {}", planted.name, variant.name());
                return Ok(());
            }
        }
    }
    Err(format!("no case of {} shows this in {tried} runs: its cases need one that does", planted.stem))
}

/// Variants of a case whose text holds the part.
fn variants_with(caps: &Caps, planted: &Planted, case: &dyn AnyKernel) -> Vec<Variant> {
    let caps = caps.clone().with(|caps| caps.class = planted.class.unwrap_or(caps.class));
    let of = |v: &Variant| v.matrices || v.elem == Dtype::F32;
    let named = |v: &Variant| planted.variants.split(' ').all(|word| v.name().contains(word));
    case.variants(&caps).into_iter().filter(|v| of(v) && named(v)).collect()
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
    let mut arguments = Arguments::from_args();
    devices::compile_unoptimised();
    let threads = *arguments.test_threads.get_or_insert_with(Devices::threads);
    // A planted defect may index anything, so these copies alone are compiled with bounds checks.
    let options = ContextOptions::default().checked(true);
    let devices = Devices::open(threads, || foveal::block_on(Context::new(options.clone())));
    let devices = match devices {
        Ok(devices) => devices,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let caps = devices.borrow(|context| context.caps().clone());
    eprintln!("adapter: {caps}");
    let trial = |planted: &'static Planted| {
        let devices = devices.clone();
        let entry = REGISTRY.iter().find(|entry| entry.stem == planted.stem);
        let cases = entry.map(|entry| (entry.cases)()).unwrap_or_default();
        let way = if planted.variants.is_empty() { planted.stem } else { planted.variants };
        let matrices = planted.variants.contains("/matrices");
        let absent = matrices && cases.iter().all(|case| variants_with(&caps, planted, &**case).is_empty());
        let run = move || {
            let entry = entry.ok_or_else(|| format!("no kernel is named {}", planted.stem))?;
            devices.borrow(|context| find(context, planted, entry)).map_err(Into::into)
        };
        Trial::test(format!("{way}: {}", planted.name), run).with_ignored_flag(absent)
    };
    // One of each kernel, where a part of the suite is asked for.
    let first = |n: usize| DEFECTS[..n].iter().all(|before| before.stem != DEFECTS[n].stem);
    let kept = |n: &usize| !numerics::part_is_asked_for() || first(*n);
    let defects = (0..DEFECTS.len()).filter(kept).map(|n| trial(&DEFECTS[n]));
    let outcome = libtest_mimic::run(&arguments, defects.collect());
    // Devices outlive the process's exit, where the driver's own handlers may tear them down.
    std::mem::forget(devices);
    outcome.exit();
}
