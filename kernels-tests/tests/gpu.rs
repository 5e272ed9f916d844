//! The device floor on this machine's adapter: choosing, memory, errors, loss, timing, order.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::gpu::{MemoryStats, list_adapters};
use foveal::kernels::elementwise::{Each, Gelu, convert, gelu, weighted_sum};
use foveal::kernels::matmul::Layout;
use foveal::kernels::trial::compare;
use foveal::kernels::{GeluForm, Then, Verified, matmul, run};
use foveal::tensor::Array;
use foveal::{AdapterChoice, Context, ContextOptions, Dtype, Error, Tensor};
use kernels_tests::{limited_context, plain_context};
use std::time::{Duration, Instant};

fn open(options: ContextOptions) -> Context {
    block_on(Context::new(options)).unwrap()
}

fn context() -> Context {
    open(ContextOptions::default())
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.37).sin() * 3.0).collect()
}

fn expected_gelu(x: &[f32]) -> Vec<f32> {
    let gelu =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    x.iter().map(|&x| gelu(f64::from(x)) as f32).collect()
}

fn doubled(x: &[f32]) -> Vec<f32> {
    x.iter().map(|v| v + v).collect()
}

/// Compares with gelu of `x` within the bounds that the kernel itself states.
#[track_caller]
fn assert_gelu(found: &[f32], x: &[f32]) {
    let expected = expected_gelu(x);
    let expected = Array::from_fn([x.len()], |i| f64::from(expected[i]));
    let tolerance = Each::<Gelu>::new(x.len()).tolerance(Dtype::F32).remove(0);
    compare("gelu", found, &expected, &tolerance).unwrap_or_else(|e| panic!("{e}"));
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        // NaN fails.
        assert!((f - e).abs() <= bound, "[{i}] found {f}, expected {e}");
    }
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

#[test]
fn adapters_are_listed_and_chosen_by_number_and_name() {
    let all = block_on(list_adapters());
    assert!(all.iter().enumerate().all(|(i, report)| report.index == i));
    let usable: Vec<_> = all.iter().filter(|report| report.refused.is_none()).collect();
    assert!(!usable.is_empty(), "no adapter is usable: {all:?}");
    for report in usable {
        let chosen = open(ContextOptions::default().adapter(AdapterChoice::Index(report.index)));
        assert_eq!(
            (&chosen.caps().adapter, &chosen.caps().backend),
            (&report.caps.adapter, &report.caps.backend)
        );
        let part: String = report.caps.adapter.to_uppercase().chars().take(5).collect();
        let chosen = open(ContextOptions::default().adapter(AdapterChoice::Name(part.clone())));
        assert!(chosen.caps().adapter.to_uppercase().contains(&part));
    }
}

#[test]
fn a_refusal_says_what_was_asked_for_and_what_there_is() {
    let all = block_on(list_adapters());
    for adapter in [AdapterChoice::Name("no such adapter".into()), AdapterChoice::Index(9999)] {
        let asked = format!("asked for {adapter}");
        match block_on(Context::new(ContextOptions::default().adapter(adapter))) {
            Err(Error::NoAdapter(message)) => {
                assert!(message.contains(&asked), "{message}");
                for report in &all {
                    assert!(message.contains(&report.caps.adapter), "{message}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_apps_device_and_buffers_run_a_kernel() {
    let context = plain_context().unwrap();
    let x = values(100);
    let make = |label| {
        context.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: 400,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let (from, to) = (make("from"), make("to"));
    let adopt =
        |buffer: &wgpu::Buffer| Tensor::from_app_buffer(&context, buffer, 0, [100], Dtype::F32).unwrap();
    context.queue().write_buffer(&from, 0, &bytes(&x));
    run(&context, &Each::<Gelu>::new(100), &[&adopt(&from), &adopt(&to)]).unwrap();
    assert_gelu(&download(&adopt(&to)), &x);
    assert_eq!(context.memory(), MemoryStats::default(), "an app's buffers are the app's");
    // The same buffer, adopted twice, is still one buffer.
    let twice = run(&context, &Each::<Gelu>::new(100), &[&adopt(&from), &adopt(&from)]);
    assert!(
        matches!(&twice, Err(Error::Problem { kernel: "gelu", reason, .. }) if reason.contains("bound twice")),
        "{twice:?}"
    );
    // Too small, and without the usage.
    assert!(matches!(
        Tensor::from_app_buffer(&context, &from, 256, [100], Dtype::F32),
        Err(Error::Input { .. })
    ));
    let other = wgpu::BufferDescriptor {
        label: None,
        size: 400,
        usage: wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    };
    let other = context.device().create_buffer(&other);
    assert!(matches!(
        Tensor::from_app_buffer(&context, &other, 0, [100], Dtype::F32),
        Err(Error::Usage { usage: "STORAGE", .. })
    ));
    assert!(!context.set_timing(true), "the device was opened without timestamps");
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn memory_is_counted_exactly_and_reused() {
    let context = context();
    let stats = |live, peak, pooled, allocations| {
        let mut stats = MemoryStats::default();
        (stats.live, stats.peak, stats.pooled, stats.allocations) = (live, peak, pooled, allocations);
        stats
    };
    assert_eq!(context.memory(), MemoryStats::default());
    let a = Tensor::empty(&context, [1000], Dtype::F32).unwrap();
    assert_eq!(context.memory(), stats(4096, 4096, 0, 1));
    let view = a.narrow(0, 10).unwrap();
    let b = Tensor::empty(&context, [64], Dtype::F32).unwrap();
    assert_eq!(context.memory(), stats(4352, 4352, 0, 2));
    drop(a);
    assert_eq!(context.memory(), stats(4352, 4352, 0, 2), "a view keeps its buffer");
    drop(view);
    assert_eq!(context.memory(), stats(256, 4352, 4096, 2));
    let c = Tensor::empty(&context, [1024], Dtype::F32).unwrap();
    assert_eq!(context.memory(), stats(4352, 4352, 0, 2), "the pool gives the same buffer again");
    drop((b, c));
    assert_eq!(context.memory(), stats(0, 4352, 4352, 2));
    context.trim();
    assert_eq!(context.memory(), stats(0, 4352, 0, 2));
    context.reset_peak();
    assert_eq!(context.memory().peak, 0);
    // A large request wastes at most an eighth.
    let large = Tensor::empty(&context, [(1 << 20) + 1], Dtype::F32).unwrap();
    let live = context.memory().live;
    assert!(((4 << 20) + 4..=(4 << 20) + (4 << 17)).contains(&live), "{live}");
    drop(large);
}

#[test]
fn trimming_keeps_what_recorded_work_still_needs() {
    let context = context();
    let x = values(64);
    let kept = {
        let x = Tensor::from_f32(&context, [64], &x).unwrap();
        let once = gelu(&x).unwrap();
        gelu(&once).unwrap()
    };
    // The inputs are back in the pool, and the work that reads them is not submitted yet.
    context.trim();
    // Values up to 3, where one call may err by 1e-5 (1 + 3); gelu is no steeper than 1.13, so two by 2.13 of that.
    assert_near(&download(&kept), &expected_gelu(&expected_gelu(&x)), 8.5e-5);
}

#[test]
fn a_budget_refuses_and_the_context_goes_on() {
    let context = open(ContextOptions::default().memory_budget(10_000));
    let first = Tensor::from_f32(&context, [2000], &values(2000)).unwrap();
    match Tensor::empty(&context, [2000], Dtype::F32) {
        Err(Error::OutOfMemory { requested, live, limit, .. }) => {
            assert_eq!((requested, live, limit), (8192, 8192, Some(10_000)));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(gelu(&first), Err(Error::OutOfMemory { .. })));
    assert_eq!(download(&first), values(2000));
    context.set_memory_budget(None);
    assert_gelu(&download(&gelu(&first).unwrap()), &values(2000));
    // Above what the device can hold in one buffer.
    let huge = Tensor::empty(&context, [usize::try_from(context.caps().max_buffer).unwrap()], Dtype::F32);
    assert!(matches!(huge, Err(Error::Unsupported { .. })), "{huge:?}");
    let too_large = Tensor::empty(&context, [usize::MAX, 2], Dtype::F32);
    assert!(matches!(too_large, Err(Error::Input { .. })), "{too_large:?}");
}

#[test]
fn a_lost_device_is_an_error_from_every_call() {
    type Call = fn(&Context, &Tensor) -> foveal::Result<()>;
    let calls: [(&str, Call); 7] = [
        ("allocate", |context, _| Tensor::empty(context, [5000], Dtype::F32).map(drop)),
        ("upload", |context, _| Tensor::from_f32(context, [8], &values(8)).map(drop)),
        ("write", |_, x| x.write(&values(8))),
        ("download", |_, x| block_on(x.to_vec()).map(drop)),
        ("submit", |context, _| context.submit()),
        ("finish", |context, _| block_on(context.finish())),
        ("kernel", |context, x| gelu(x).and_then(|_| block_on(context.finish()))),
    ];
    for (name, call) in calls {
        let context = context();
        let x = Tensor::from_f32(&context, [8], &values(8)).unwrap();
        gelu(&x).unwrap();
        context.device().destroy();
        let start = Instant::now();
        // As the first call after the loss, and again.
        for _ in 0..2 {
            let outcome = call(&context, &x);
            assert!(matches!(outcome, Err(Error::DeviceLost(_))), "{name}: {outcome:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
        assert!(matches!(gelu(&x), Err(Error::DeviceLost(_))));
        context.trim();
    }
    // An app tells of the loss of its own device.
    let context = plain_context().unwrap();
    let x = Tensor::from_f32(&context, [8], &values(8)).unwrap();
    context.mark_lost("unplugged");
    assert!(matches!(gelu(&x), Err(Error::DeviceLost(reason)) if reason == "unplugged"));
}

#[test]
fn every_timed_dispatch_has_a_time() {
    let context = context();
    let x = Tensor::from_f32(&context, [5000], &values(5000)).unwrap();
    gelu(&x).unwrap();
    if !context.set_timing(true) {
        assert!(!context.caps().timestamps);
        return;
    }
    let before = context.dispatches();
    let y = gelu(&x).unwrap();
    let copy = y.to_owned_copy().unwrap();
    weighted_sum(&[(&copy, 2.0)]).unwrap();
    let timings = block_on(context.take_timings()).unwrap();
    let names: Vec<_> = timings.iter().map(|t| t.kernel.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["gelu", "weighted_sum"]);
    assert_eq!(context.dispatches() - before, 2);
    assert!(timings.iter().all(|t| t.seconds >= 0.0 && t.seconds < 10.0), "{timings:?}");
    assert!(timings.iter().any(|t| t.seconds > 0.0), "{timings:?}");
    assert_gelu(&download(&copy), &values(5000));
    context.set_timing(false);
    gelu(&x).unwrap();
    assert!(block_on(context.take_timings()).unwrap().is_empty());
}

#[test]
fn checks_do_not_change_results() {
    let checked = open(ContextOptions::default().checked(true));
    for n in [1, 37, 5000] {
        let found = [context(), checked.clone()].map(|context| {
            let x = Tensor::from_f32(&context, [n], &values(n)).unwrap();
            download(&gelu(&x).unwrap())
        });
        // With checks in between, the compiler may join other products and sums: a few ulp of 3, 2.4e-7 each.
        assert_near(&found[0], &found[1], 1e-6);
        assert_gelu(&found[1], &values(n));
    }
}

#[test]
fn errors_name_kernel_tensor_axis_and_sizes() {
    let context = context();
    let empty = |shape: &[usize], dtype| Tensor::empty(&context, shape.to_vec(), dtype).unwrap();
    let kernel = Each::<Gelu>::new(8);
    let (x, y) = (empty(&[8], Dtype::F32), empty(&[8], Dtype::F32));
    let message = |tensors: &[&Tensor]| run(&context, &kernel, tensors).unwrap_err().to_string();
    assert_eq!(message(&[&empty(&[7], Dtype::F32), &y]), "gelu: tensor `x` axis 0: expected 8, found 7");
    assert_eq!(message(&[&x, &empty(&[2, 4], Dtype::F32)]), "gelu: tensor `y` rank: expected 1, found 2");
    assert_eq!(message(&[&x, &empty(&[8], Dtype::F16)]), "gelu: tensor `y`: expected f32, found f16");
    assert_eq!(message(&[&x]), "gelu: 1 tensors given, 2 needed");
    // bf16 lies two in a word, so seven of them have no variant.
    let odd = (empty(&[7], Dtype::Bf16), empty(&[7], Dtype::Bf16));
    let refused = run(&context, &Each::<Gelu>::new(7), &[&odd.0, &odd.1]);
    assert!(
        matches!(&refused, Err(Error::Unsupported { what, .. }) if what == "gelu(n=7) on bf16"),
        "{refused:?}"
    );
    // Nothing was recorded by the refused calls.
    assert_eq!(context.dispatches(), 0);
}

#[test]
fn a_written_buffer_is_bound_once() {
    let context = context();
    let x = Tensor::from_f32(&context, [16, 64], &values(1024)).unwrap();
    let rows = |from| x.narrow(from, 8).unwrap().reshape([512]).unwrap();
    for (from, to) in [(0, 0), (0, 8)] {
        let outcome = run(&context, &Each::<Gelu>::new(512), &[&rows(from), &rows(to)]);
        assert!(
            matches!(&outcome, Err(Error::Problem { kernel: "gelu", reason, .. }) if reason.contains("bound twice")),
            "{outcome:?}"
        );
    }
    // Reading one buffer twice is fine, and the refusals left the context whole.
    assert_near(&download(&weighted_sum(&[(&x, 1.0), (&x, 1.0)]).unwrap()), &doubled(&values(1024)), 0.0);
}

#[test]
fn many_dispatches_keep_their_order_and_parameters() {
    for context in [context(), plain_context().unwrap()] {
        let one = Tensor::from_f32(&context, [33], &[1.0; 33]).unwrap();
        let mut x = Tensor::from_f32(&context, [33], &[0.0; 33]).unwrap();
        let mut expected = 0.0f64;
        for i in 0..700 {
            // Each dispatch has a weight of its own, and the order matters.
            let weight = (i % 7) as f32;
            x = weighted_sum(&[(&x, 0.5), (&one, weight)]).unwrap();
            expected = expected * 0.5 + f64::from(weight);
        }
        assert!(context.dispatches() >= 700);
        // A step rounds by half an ulp below 16, 4.8e-7, and halves what came before: twice that in all.
        assert_near(&download(&x), &[expected as f32; 33], 1e-6);
        let stats = context.memory();
        assert!(stats.allocations < 20, "{stats:?}: the pool is not used");
    }
}

#[test]
fn uploads_and_kernels_keep_their_order() {
    let context = context();
    let x = Tensor::from_f32(&context, [8], &[1.0; 8]).unwrap();
    let before = weighted_sum(&[(&x, 3.0)]).unwrap();
    x.write(&[2.0; 8]).unwrap();
    let after = weighted_sum(&[(&x, 3.0)]).unwrap();
    let copy = x.to_owned_copy().unwrap();
    x.write(&[5.0; 8]).unwrap();
    assert_eq!(
        [download(&before), download(&after), download(&copy)],
        [vec![3.0; 8], vec![6.0; 8], vec![2.0; 8]]
    );
}

#[test]
fn a_view_at_any_row_is_an_input() {
    let context = context();
    let all = values(9 * 5);
    let x = Tensor::from_f32(&context, [9, 5], &all).unwrap();
    for (from, rows) in [(0, 9), (1, 7), (3, 1), (8, 1), (4, 0)] {
        let view = x.narrow(from, rows).unwrap();
        let expected = &all[from * 5..(from + rows) * 5];
        assert_eq!(download(&view), expected);
        assert_gelu(&download(&gelu(&view).unwrap()), expected);
    }
    assert!(matches!(x.narrow(8, 2), Err(Error::Input { .. })));
    assert!(matches!(x.narrow(usize::MAX, 2), Err(Error::Input { .. })));
    // Where a kernel writes, a copy would be lost, so an odd place is refused.
    let part = x.narrow(1, 1).unwrap().reshape([5]).unwrap();
    let y = Tensor::from_f32(&context, [5], &values(5)).unwrap();
    let outcome = run(&context, &Each::<Gelu>::new(5), &[&y, &part]);
    assert!(matches!(outcome, Err(Error::Unsupported { .. })), "{outcome:?}");
}

#[test]
fn halves_may_start_inside_a_word() {
    let context = context();
    let all: Vec<f32> = (0..15).map(|i| i as f32 * 0.5).collect();
    let x = Tensor::from_f32_as(&context, [5, 3], &all, Dtype::F16).unwrap();
    assert_eq!(download(&x), all);
    for from in 0..5 {
        let view = x.narrow(from, 1).unwrap();
        assert_eq!(download(&view), &all[from * 3..from * 3 + 3]);
        // The device copies whole words; what it cannot do is refused before it is recorded.
        assert_eq!(view.to_owned_copy().is_ok(), from % 2 == 0);
    }
    let y = Tensor::from_f32_as(&context, [2, 3], &[9.0; 6], Dtype::F16).unwrap();
    let outcome = x.narrow(0, 1).unwrap().copy_to(&y.narrow(0, 1).unwrap());
    assert!(matches!(outcome, Err(Error::Input { .. })), "{outcome:?}");
    x.narrow(2, 2).unwrap().copy_to(&y).unwrap();
    assert_eq!(download(&y), &all[6..12]);
}

#[test]
fn empty_tensors_go_through() {
    let context = context();
    let x = Tensor::from_f32(&context, [0, 4], &[]).unwrap();
    assert_eq!(download(&gelu(&x).unwrap()), Vec::<f32>::new());
    assert_eq!(download(&x.to_owned_copy().unwrap()), Vec::<f32>::new());
    // Nothing is dispatched for nothing, and nothing that was recorded is wrong.
    assert_eq!(context.dispatches(), 0);
    block_on(context.finish()).unwrap();
}

#[test]
fn threads_share_a_context() {
    let context = context();
    std::thread::scope(|scope| {
        for thread in 0..4u16 {
            let context = &context;
            scope.spawn(move || {
                for round in 0..40u16 {
                    let x: Vec<f32> = (0..257)
                        .map(|i| f32::from(thread) + f32::from(round) * 0.01 + i as f32 * 1e-3)
                        .collect();
                    let tensor = Tensor::from_f32(context, [257], &x).unwrap();
                    let y = gelu(&tensor).unwrap();
                    drop(tensor);
                    let y = weighted_sum(&[(&y, 2.0)]).unwrap();
                    // Doubling and halving are exact.
                    let halved: Vec<f32> = download(&y).iter().map(|v| v / 2.0).collect();
                    assert_gelu(&halved, &x);
                    if round % 8 == 0 {
                        context.trim();
                    }
                }
            });
        }
    });
    assert_eq!(context.memory().live, 0);
}

#[test]
fn a_product_larger_than_a_binding_goes_in_parts() {
    let context = plain_context().unwrap();
    // Two groups of rows, each with its gate; the factor takes 135 MB of the 134 that a binding may have.
    let (m, n, k, groups) = (33_024, 4, 1024, 2);
    assert!(m * k * 4 > context.caps().max_binding as usize);
    let tensor = |dims: Vec<usize>, of: &dyn Fn(usize) -> usize| {
        let values: Vec<f32> = (0..dims.iter().product()).map(|at| of(at) as f32).collect();
        Tensor::from_f32(&context, dims, &values).unwrap()
    };
    let x = |row: usize, i: usize| (row + i) % 5;
    let w = |column: usize, i: usize| (column + i) % 3;
    let bias = tensor(vec![n], &|column| column);
    let residual = tensor(vec![m, n], &|at| at % 11);
    let gate = tensor(vec![groups, n], &|at| 1 + at);
    let y = matmul(
        &tensor(vec![m, k], &|at| x(at / k, at % k)),
        &tensor(vec![n, k], &|at| w(at / k, at % k)),
        Layout::Rows,
        Then::GatedResidual { bias: &bias, residual: &residual, gate: &gate },
    )
    .unwrap();
    let products: Vec<usize> =
        (0..5 * n).map(|at| (0..k).map(|i| x(at / n, i) * w(at % n, i)).sum()).collect();
    let expected = (0..m * n).map(|at| {
        let (row, column) = (at / n, at % n);
        let gate = 1 + row / (m / groups) * n + column;
        (at % 11 + gate * (products[row % 5 * n + column] + column)) as f32
    });
    assert_eq!(download(&y), expected.collect::<Vec<_>>());
}

#[test]
fn a_weight_larger_than_a_binding_goes_in_pieces() {
    let open = |bytes: u64| {
        let limit = |l: &mut wgpu::Limits| l.max_storage_buffer_binding_size = bytes;
        limited_context(wgpu::Features::SHADER_F16, limit).unwrap()
    };
    let (whole, small) = (open(8 << 20), open(512 << 10));
    // More rows than a binding takes, too; the last piece of the weight is shorter than the others.
    let (m, n, k, groups) = (400, 640, 512, 2);
    assert!(small.caps().max_binding < (n * k * 2) as u64);
    let values = |count: usize, phase: f32, scale: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37 + phase).sin() * scale).collect()
    };
    let (x, w, dy) = (values(m * k, 0.1, 1.0), values(n * k, 0.2, 0.05), values(m * n, 0.3, 1.0));
    let product = |context: &Context, stored: [Dtype; 2], layout, then: &str| {
        let tensor = |dims: &[usize], values: &[f32], dtype| {
            convert(&Tensor::from_f32(context, dims, values).unwrap(), dtype).unwrap()
        };
        let w = tensor(&[n, k], &w, stored[1]);
        let x = match layout {
            Layout::Rows => tensor(&[m, k], &x, stored[0]),
            Layout::Columns => tensor(&[m, n], &dy, stored[0]),
        };
        let bias = &tensor(&[n], &values(n, 0.4, 1.0), Dtype::F32);
        let residual = &tensor(&[m, n], &values(m * n, 0.5, 1.0), stored[0]);
        let gate = &tensor(&[groups, n], &values(groups * n, 0.6, 1.0), Dtype::F32);
        let before = &Tensor::empty(context, [m, n], stored[0]).unwrap();
        let (then, written) = match then {
            "gelu" => (Then::Gelu { bias, form: GeluForm::Tanh, before }, Some(before)),
            "gated residual" => (Then::GatedResidual { bias, residual, gate }, None),
            _ => (Then::Nothing, None),
        };
        let y = matmul(&x, &w, layout, then).unwrap();
        [&y].into_iter()
            .chain(written)
            .map(|y| download(&convert(y, Dtype::F32).unwrap()))
            .collect::<Vec<_>>()
    };
    let f16 = whole.caps().f16;
    for stored in [[Dtype::F32; 2], [Dtype::F32, Dtype::Bf16], [Dtype::F16; 2]] {
        if stored[0] == Dtype::F16 && !f16 {
            continue;
        }
        for (layout, then) in [
            (Layout::Rows, "nothing"),
            (Layout::Rows, "gelu"),
            (Layout::Rows, "gated residual"),
            (Layout::Columns, "nothing"),
        ] {
            let wanted = product(&whole, stored, layout, then);
            let found = product(&small, stored, layout, then);
            // A few roundings of results of order one; f16 rounds these itself.
            let bound = if stored[0] == Dtype::F16 { 2e-3 } else { 5e-6 };
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!(found.len(), wanted.len());
                let off = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
                let worst = found.iter().zip(wanted).map(off).fold(0.0, f32::max);
                assert!(worst <= bound, "{stored:?} {layout:?} {then}: off by {worst}");
            }
        }
    }
}

#[test]
fn compiled_kernels_are_taken_up_again_and_damaged_ones_left_aside() {
    let context = context();
    let x = values(100);
    let run = |context: &Context| {
        let x = Tensor::from_f32(context, [100], &x).unwrap();
        download(&gelu(&x).unwrap())
    };
    let expected = run(&context);
    let Some(data) = context.compiled_kernels().unwrap() else {
        assert_ne!(context.caps().backend, "vulkan", "every driver for Vulkan has pipeline caches");
        return;
    };
    let cut = data[..data.len() / 2].to_vec();
    let mut changed = data.clone();
    *changed.last_mut().unwrap() ^= 1;
    for compiled in [data, cut, changed, Vec::new()] {
        let options = ContextOptions::default().compiled_kernels(compiled);
        let again = open(options);
        assert_eq!(run(&again), expected);
        assert!(again.compiled_kernels().unwrap().is_some());
    }
}
