//! The lower floors as a program meets them: a device of its own, values up and down, kernels compiled ahead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::kernels::attention::{AttentionProblem, AttentionShape, Tables, attention};
use foveal::kernels::elementwise::{Each, Gelu, gelu, weighted_sum};
use foveal::kernels::matmul::Layout;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::rowwise::softmax;
use foveal::kernels::{Then, matmul};
use foveal::{Context, ContextOptions, Dtype, Error, Result, SelfTest, Tensor, block_on};
use kernels_tests::devices::compile_unoptimised;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Poll, Waker};

fn context() -> Context {
    compile_unoptimised();
    block_on(Context::new(ContextOptions::default())).unwrap()
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

/// Leaves old numbers in the memory that the next tensors of this size get.
fn leave_old_numbers(context: &Context) {
    let old: Vec<Tensor> = (0..8).map(|_| Tensor::from_f32(context, [64], &[777.0; 64]).unwrap()).collect();
    block_on(context.finish()).unwrap();
    drop(old);
}

/// A device of an app's, with one limit that no other test's has, so that no answer about it is known.
fn app_device(workgroups: u32) -> (wgpu::Device, wgpu::Queue) {
    compile_unoptimised();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env());
    let adapter = block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
    let limits = wgpu::Limits { max_compute_workgroups_per_dimension: workgroups, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    block_on(adapter.request_device(&descriptor)).unwrap()
}

#[test]
fn an_apps_device_is_asked_as_one_of_our_own_is() {
    let open = |workgroups, options| {
        let (device, queue) = app_device(workgroups);
        // One that answers nothing stands for a driver that answers wrongly.
        device.destroy();
        block_on(Context::from_device(device, queue, options))
    };
    let refused = open(60_001, ContextOptions::default());
    assert!(
        matches!(&refused, Err(Error::NoAdapter(reason)) if reason.contains("app's device")),
        "{refused:?}"
    );
    assert!(open(60_002, ContextOptions::default().self_test(SelfTest::Skip)).is_ok());
    // Once it has answered, a device of these capabilities is not asked again.
    let (device, queue) = app_device(60_003);
    let context = block_on(Context::from_device(device, queue, ContextOptions::default())).unwrap();
    assert_eq!(
        (context.compiled_count(), context.memory().allocations),
        (0, 0),
        "the test left something behind"
    );
    assert!(open(60_003, ContextOptions::default()).is_ok());
}

#[test]
fn zeros_are_zero_in_memory_that_was_used() {
    let context = context();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::U32] {
        leave_old_numbers(&context);
        for n in [0, 1, 3, 64] {
            let zeros = Tensor::zeros(&context, [n], dtype).unwrap();
            assert_eq!((download(&zeros), zeros.dtype()), (vec![0.0; n], dtype));
        }
    }
}

#[test]
fn indices_come_back_as_they_are() {
    let context = context();
    let ids = [0, 7, 1 << 24, (1 << 24) + 1, u32::MAX];
    let x = Tensor::from_u32(&context, [5], &ids).unwrap();
    assert_eq!(block_on(x.to_u32()).unwrap(), ids);
    let rounded = block_on(x.to_vec());
    assert!(
        matches!(&rounded, Err(Error::Input { reason, .. }) if reason.contains("16777217")),
        "{rounded:?}"
    );
    assert_eq!(download(&x.narrow(0, 3).unwrap()), [0.0, 7.0, 16_777_216.0]);
    let floats = Tensor::from_f32(&context, [2], &[1.0; 2]).unwrap();
    assert!(matches!(block_on(floats.to_u32()), Err(Error::Dtype { .. })));
}

#[test]
fn bytes_go_up_and_down_in_every_storage_type() {
    let context = context();
    for (dtype, bytes) in [
        (Dtype::F32, vec![0, 0, 128, 63, 0, 0, 0, 192]),
        (Dtype::F16, vec![0, 60, 0, 192, 0, 56]),
        (Dtype::Bf16, vec![128, 63, 0, 192, 0, 63]),
        (Dtype::U32, vec![1, 2, 3, 4]),
    ] {
        let n = bytes.len() / dtype.size();
        let x = Tensor::from_bytes(&context, [n], dtype, &bytes).unwrap();
        assert_eq!(block_on(x.to_bytes()).unwrap(), bytes, "{dtype}");
        assert!(matches!(Tensor::from_bytes(&context, [n + 1], dtype, &bytes), Err(Error::Input { .. })));
        if dtype != Dtype::U32 {
            assert_eq!(download(&x)[..2], [1.0, -2.0]);
        }
        let again: Vec<u8> = bytes.iter().rev().copied().collect();
        match x.write_bytes(&again) {
            Ok(()) => assert_eq!(block_on(x.to_bytes()).unwrap(), again, "{dtype}"),
            // Three halves end inside a word.
            Err(error) => assert!(dtype.size() == 2 && matches!(error, Error::Input { .. }), "{error:?}"),
        }
        assert!(matches!(x.write_bytes(&bytes[1..]), Err(Error::Input { .. })));
    }
}

#[test]
fn halves_go_up_and_down_as_they_are() {
    let context = context();
    // One of each kind, a payload of a NaN included.
    let bits = [0x0000u16, 0x8000, 0x3c00, 0x0001, 0x7c00, 0x7e01, 0x3f80];
    let of_f16: Vec<half::f16> = bits.iter().map(|&b| half::f16::from_bits(b)).collect();
    let of_bf16: Vec<half::bf16> = bits.iter().map(|&b| half::bf16::from_bits(b)).collect();
    let x = Tensor::from_f16(&context, [7], &of_f16).unwrap();
    let y = Tensor::from_bf16(&context, [7], &of_bf16).unwrap();
    assert_eq!((x.dtype(), y.dtype()), (Dtype::F16, Dtype::Bf16));
    let back: Vec<u16> = block_on(x.to_f16()).unwrap().iter().map(|v| v.to_bits()).collect();
    assert_eq!(back, bits);
    let back: Vec<u16> = block_on(y.to_bf16()).unwrap().iter().map(|v| v.to_bits()).collect();
    assert_eq!(back, bits);
    assert_eq!(download(&x)[2], 1.0);
    assert_eq!(download(&y)[6], 1.0);
    let refused =
        [block_on(x.to_bf16()).map(drop), block_on(y.to_f16()).map(drop), block_on(x.to_u32()).map(drop)];
    for (refused, call) in refused.into_iter().zip(["to_bf16", "to_f16", "to_u32"]) {
        assert!(matches!(refused, Err(Error::Dtype { kernel, .. }) if kernel == call), "{refused:?}");
    }
    assert!(matches!(Tensor::from_f16(&context, [6], &of_f16), Err(Error::Input { .. })));
}

#[test]
fn values_are_written_in_every_float_type_and_nothing_beside_them() {
    let context = context();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let x = Tensor::from_f32_as(&context, [4, 3], &[9.0; 12], dtype).unwrap();
        // A third that each type rounds to its own.
        let third = dtype.round(f64::from(1.0f32 / 3.0)) as f32;
        x.narrow(2, 2).unwrap().write(&[1.0 / 3.0; 6]).unwrap();
        assert_eq!(download(&x), [[9.0; 6], [third; 6]].concat(), "{dtype}");
        let odd = x.narrow(1, 1).unwrap().write(&[0.0; 3]);
        assert_eq!(odd.is_ok(), dtype == Dtype::F32, "{dtype}: {odd:?}");
        let kept = if odd.is_ok() { 0.0 } else { 9.0 };
        assert_eq!(download(&x)[3..6], [kept; 3], "{dtype}");
        assert!(matches!(x.write(&[0.0; 11]), Err(Error::Input { .. })));
    }
    let ids = Tensor::from_u32(&context, [2], &[1, 2]).unwrap();
    assert!(matches!(ids.write(&[0.0; 2]), Err(Error::Dtype { kernel: "write", .. })));
    assert!(matches!(
        Tensor::from_f32_as(&context, [1], &[0.0], Dtype::U32),
        Err(Error::Dtype { kernel: "from_f32_as", .. })
    ));
}

/// Some of what programs do, in two storage types.
fn work(context: &Context) -> Result<Vec<Tensor>> {
    let values = |n: usize| -> Vec<f32> { (0..n).map(|i| (i as f32 * 0.37).sin()).collect() };
    let t =
        |shape: &[usize], dtype| Tensor::from_f32_as(context, shape, &values(shape.iter().product()), dtype);
    let mut found = Vec::new();
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let (x, w) = (t(&[12, 8], dtype)?, t(&[16, 8], dtype)?);
        found.push(gelu(&x)?);
        found.push(softmax(&x, 1.0)?);
        found.push(matmul(&x, &w, Layout::Rows, Then::Nothing)?);
        let shape = AttentionShape { batch: 1, heads: 2, kv_heads: 1, seq_q: 6, seq_kv: 5, head_dim: 8 };
        let problem = AttentionProblem::new(shape);
        let tables = Tables::default().upload(context, &problem)?;
        let (q, k) = (t(&[1, 6, 2, 8], dtype)?, t(&[1, 5, 1, 8], dtype)?);
        found.push(attention(&problem, &q, &k, &k, &tables)?.o);
    }
    Ok(found)
}

fn bytes(tensors: &[Tensor]) -> Vec<Vec<u8>> {
    tensors.iter().map(|t| block_on(t.to_bytes()).unwrap()).collect()
}

fn rehearsed(context: &Context) -> Context {
    let plan = Context::plan(context.caps().clone(), ContextOptions::default());
    work(&plan).unwrap();
    plan
}

#[test]
fn what_was_prepared_is_not_compiled_again_and_computes_the_same() {
    let (plain, context) = (context(), context());
    let expected = bytes(&work(&plain).unwrap());
    let plan = rehearsed(&context);
    let mut steps = Vec::new();
    let prepared = block_on(context.prepare(&plan, |p| {
        steps.push((p.done, p.total, p.kernel.clone()));
        ControlFlow::Continue(())
    }))
    .unwrap();
    assert_eq!(
        (prepared, context.compiled_count(), plan.compiled_count()),
        (plain.compiled_count(), prepared, 0)
    );
    assert!(prepared >= 8, "{steps:?}");
    for (i, (done, total, kernel)) in steps.iter().enumerate() {
        assert_eq!((*done, *total), (i + 1, prepared), "{kernel}");
    }
    for stem in ["gelu f32", "gelu bf16", "softmax ", "matmul ", "attention "] {
        assert!(steps.iter().any(|(.., kernel)| kernel.starts_with(stem)), "no {stem}: {steps:?}");
    }
    assert_eq!(context.dispatches(), 0, "nothing runs");
    assert_eq!(bytes(&work(&context).unwrap()), expected);
    assert_eq!(context.compiled_count(), prepared, "a dispatch compiled what was prepared");
    let again =
        block_on(context.prepare(&plan, |_| -> ControlFlow<()> { panic!("compiled twice") })).unwrap();
    assert_eq!((again, context.compiled_count()), (0, prepared));
}

#[test]
fn a_preparation_may_be_broken_off() {
    let context = context();
    let plan = rehearsed(&context);
    let broken = block_on(context.prepare(&plan, |_| ControlFlow::Break(())));
    assert!(matches!(&broken, Err(Error::Cancelled(place)) if place.contains("kernel 1 of")), "{broken:?}");
    let rest = block_on(context.prepare(&plan, |_| ControlFlow::Continue(()))).unwrap();
    assert!(context.compiled_count() > rest, "what was compiled before stays");
}

#[test]
fn kernels_are_prepared_on_several_threads_while_others_run() {
    let context = context();
    let expected = bytes(&work(&self::context()).unwrap());
    let plan = rehearsed(&context);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| block_on(context.prepare(&plan, |_| ControlFlow::Continue(()))).unwrap());
        }
        scope.spawn(|| assert_eq!(bytes(&work(&context).unwrap()), expected));
    });
    assert_eq!(bytes(&work(&context).unwrap()), expected);
    let compiled = context.compiled_count();
    assert_eq!(block_on(context.prepare(&plan, |_| ControlFlow::Continue(()))).unwrap(), 0);
    assert_eq!(context.compiled_count(), compiled);
}

#[test]
fn a_preparation_that_is_dropped_leaves_no_thread_at_work() {
    let context = context();
    let plan = rehearsed(&context);
    {
        let preparing = pin!(context.prepare(&plan, |_| ControlFlow::Continue(())));
        // The first look starts the threads.
        let polled = preparing.poll(&mut std::task::Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(_))));
    }
    let compiled = context.compiled_count();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(context.compiled_count(), compiled);
    work(&context).unwrap();
    block_on(context.finish()).unwrap();
}

#[test]
fn what_cannot_be_prepared_is_an_error_that_leaves_the_context_whole() {
    let context = context();
    let plan = rehearsed(&context);
    let reason = |refused: Result<usize>| match refused {
        Err(Error::Input { reason, .. } | Error::Unsupported { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(
        reason(block_on(context.prepare(&context, |_| ControlFlow::Continue(())))).contains("no dry run")
    );
    assert!(
        reason(block_on(plan.prepare(&plan, |_| ControlFlow::Continue(())))).contains("compiles nothing")
    );
    let other = context.caps().clone().with(|caps| caps.max_buffer += 4);
    let other = Context::plan(other, ContextOptions::default());
    assert!(
        reason(block_on(context.prepare(&other, |_| ControlFlow::Continue(()))))
            .contains("other capabilities")
    );
    // A text that does not compile: where, and of which kernel.
    let kernel = Each::<Gelu>::new(8);
    let variant = AnyKernel::variants(&kernel, context.caps()).remove(0);
    let text = AnyKernel::composed(&kernel, context.caps(), &variant);
    let broken = text.replaced("fn gelu(", "fn gelu(nothing_of_the_kind").unwrap();
    let (x, y) =
        (Tensor::empty(&plan, [8], Dtype::F32).unwrap(), Tensor::empty(&plan, [8], Dtype::F32).unwrap());
    kernel.run_composed(&plan, &variant, &broken, &[&x, &y]).unwrap();
    let refused = block_on(context.prepare(&plan, |_| ControlFlow::Continue(())));
    let Err(Error::Shader { variant, location, .. }) = &refused else { panic!("{refused:?}") };
    assert!(variant.starts_with("gelu f32") && location.contains("gelu.wgsl:"), "{refused:?}");
    assert_eq!(
        download(&weighted_sum(&[(&Tensor::from_f32(&context, [2], &[1.0; 2]).unwrap(), 2.0)]).unwrap()),
        [2.0; 2]
    );
    context.mark_lost("a test");
    assert!(matches!(
        block_on(context.prepare(&plan, |_| ControlFlow::Continue(()))),
        Err(Error::DeviceLost(_))
    ));
}
