//! Contexts, their submissions and their memory under bad use: nothing wrong is handed out as if it were computed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Tape, Var};
use foveal::block_on;
use foveal::gpu::Binding;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Tables, attention};
use foveal::kernels::elementwise::{convert, gelu, product, transposed, weighted_sum};
use foveal::kernels::matmul::Layout;
use foveal::kernels::rowwise::{column_sum, layer_norm, softmax};
use foveal::kernels::{Then, matmul};
use foveal::{Context, ContextOptions, Dtype, Error, Tensor};
use kernels_tests::devices::compile_unoptimised;

const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE;
const COPY_SRC: wgpu::BufferUsages = wgpu::BufferUsages::COPY_SRC;
const COPY_DST: wgpu::BufferUsages = wgpu::BufferUsages::COPY_DST;

fn context() -> Context {
    compile_unoptimised();
    block_on(Context::new(ContextOptions::default())).unwrap()
}

fn plain_context() -> foveal::Result<Context> {
    compile_unoptimised();
    kernels_tests::plain_context()
}

fn limited_context(features: wgpu::Features, limit: impl Fn(&mut wgpu::Limits)) -> foveal::Result<Context> {
    compile_unoptimised();
    kernels_tests::limited_context(features, limit)
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

fn app_buffer(context: &Context, values: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    context.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("the app's"),
        size: 4 * values as u64,
        usage,
        mapped_at_creation: false,
    })
}

fn adopt(context: &Context, buffer: &wgpu::Buffer, shape: &[usize]) -> Tensor {
    Tensor::from_app_buffer(context, buffer, 0, shape, Dtype::F32).unwrap()
}

/// Leaves old numbers in the memory that the next tensors of this size get.
fn leave_old_numbers(context: &Context) {
    let old: Vec<Tensor> = (0..8).map(|_| Tensor::from_f32(context, [64], &[777.0; 64]).unwrap()).collect();
    block_on(context.finish()).unwrap();
    drop(old);
}

/// Work that is recorded, and not handed over yet.
fn recorded(context: &Context) -> Tensor {
    weighted_sum(&[(&Tensor::from_f32(context, [64], &[1.0; 64]).unwrap(), 2.0)]).unwrap()
}

/// A call that has to be refused without taking recorded work along.
type BadCall = (&'static str, fn(&Context) -> foveal::Result<()>);

const BAD_CALLS: [BadCall; 12] = [
    ("a download without COPY_SRC", |c| {
        block_on(adopt(c, &app_buffer(c, 64, STORAGE | COPY_DST), &[64]).to_vec()).map(drop)
    }),
    ("an upload without COPY_DST", |c| {
        adopt(c, &app_buffer(c, 64, STORAGE | COPY_SRC), &[64]).write(&[1.0; 64])
    }),
    ("a copy without COPY_SRC", |c| {
        adopt(c, &app_buffer(c, 64, STORAGE | COPY_DST), &[64]).to_owned_copy().map(drop)
    }),
    ("a copy without COPY_DST", |c| {
        let to = adopt(c, &app_buffer(c, 64, STORAGE | COPY_SRC), &[64]);
        Tensor::from_f32(c, [64], &[1.0; 64])?.copy_to(&to)
    }),
    ("a read past the end", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        block_on(c.read(x.buffer(), x.buffer().size() - 4, 8)).map(drop)
    }),
    ("a read past all numbers", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        block_on(c.read(x.buffer(), u64::MAX - 3, 8)).map(drop)
    }),
    ("a read from an odd byte", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        block_on(c.read(x.buffer(), 2, 4)).map(drop)
    }),
    ("an upload past the end", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        c.upload(x.buffer(), x.buffer().size() - 4, &[0; 8])
    }),
    ("an upload from an odd byte", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        c.upload(x.buffer(), 1, &[0; 4])
    }),
    ("a copy onto itself", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        let part = |offset| Binding { buffer: x.buffer(), offset, size: 16 };
        c.copy(part(0), part(128))
    }),
    ("zeros past the end", |c| {
        let x = Tensor::from_f32(c, [64], &[1.0; 64])?;
        c.zero(Binding { buffer: x.buffer(), offset: 8, size: x.buffer().size() })
    }),
    ("a kernel on a row of a buffer that cannot be copied", |c| {
        let x = adopt(c, &app_buffer(c, 12, STORAGE | COPY_DST), &[4, 3]);
        gelu(&x.narrow(1, 2)?).map(drop)
    }),
];

#[test]
fn a_refused_call_takes_no_recorded_work_along() {
    for context in [context(), plain_context().unwrap()] {
        for (name, call) in BAD_CALLS {
            leave_old_numbers(&context);
            let y = recorded(&context);
            let refused = call(&context);
            assert!(matches!(refused, Err(Error::Input { .. } | Error::Usage { .. })), "{name}: {refused:?}");
            assert_eq!(download(&y), [2.0; 64], "after {name}");
        }
    }
}

#[test]
fn another_threads_bad_call_takes_no_recorded_work_along() {
    let context = context();
    for (name, call) in BAD_CALLS {
        leave_old_numbers(&context);
        let y = recorded(&context);
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(call(&context).is_err(), "{name}"));
        });
        assert_eq!(download(&y), [2.0; 64], "after {name}");
    }
}

#[test]
fn a_call_names_the_usage_that_an_apps_buffer_lacks() {
    let context = context();
    let message = |call: BadCall| (call.1)(&context).unwrap_err().to_string();
    for (call, usage) in [(0, "COPY_SRC"), (1, "COPY_DST"), (2, "COPY_SRC"), (3, "COPY_DST")] {
        assert!(message(BAD_CALLS[call]).contains(usage), "{}", message(BAD_CALLS[call]));
    }
    let kernel = message(BAD_CALLS[11]);
    for part in ["gelu", "`x`", "byte 12", "COPY_SRC"] {
        assert!(kernel.contains(part), "{kernel}");
    }
}

/// A submission that fails when it is too late to refuse it, with some work in it.
fn fails_with(context: &Context, work: impl FnOnce()) -> Result<(), Error> {
    let doomed = app_buffer(context, 64, STORAGE | COPY_SRC | COPY_DST);
    let lost = weighted_sum(&[(&adopt(context, &doomed, &[64]), 1.0)]).unwrap();
    work();
    doomed.destroy();
    let outcome = context.submit();
    assert!(matches!(block_on(lost.to_vec()), Err(Error::Lost(_))));
    outcome
}

#[test]
fn what_a_failed_submission_would_have_written_is_an_error_to_read() {
    for context in [context(), plain_context().unwrap()] {
        leave_old_numbers(&context);
        let kept = Tensor::from_f32(&context, [64], &[5.0; 64]).unwrap();
        block_on(context.finish()).unwrap();
        let [mut y, mut copy, mut zero] = [None, None, None];
        let one = Tensor::from_f32(&context, [64], &[1.0; 64]).unwrap();
        // An upload would hand over what is recorded.
        let outcome = fails_with(&context, || {
            y = Some(weighted_sum(&[(&one, 2.0)]).unwrap());
            copy = Some(kept.to_owned_copy().unwrap());
            zero = Some(Tensor::zeros(&context, [64], Dtype::F32).unwrap());
        });
        assert!(matches!(&outcome, Err(Error::Gpu(m)) if m.contains("destroyed")), "{outcome:?}");
        let [y, copy, zero] = [y, copy, zero].map(Option::unwrap);
        for (name, tensor) in [("kernel", &y), ("copy", &copy), ("zeros", &zero)] {
            // Read, used by a kernel, copied, in part: each says what happened, none hands out old memory.
            let uses: [foveal::Result<()>; 4] = [
                block_on(tensor.to_vec()).map(drop),
                gelu(tensor).map(drop),
                tensor.to_owned_copy().map(drop),
                block_on(tensor.narrow(60, 4).unwrap().to_vec()).map(drop),
            ];
            for used in uses {
                assert!(matches!(&used, Err(Error::Lost(m)) if m.contains("destroyed")), "{name}: {used:?}");
            }
        }
        // What was there before is there, and what is written again is whole again.
        assert_eq!(download(&kept), [5.0; 64]);
        y.write(&[3.0; 64]).unwrap();
        assert_eq!(download(&y), [3.0; 64]);
        assert_eq!(download(&recorded(&context)), [2.0; 64]);
        kept.copy_to(&copy).unwrap();
        assert_eq!(download(&copy), [5.0; 64]);
    }
}

#[test]
fn a_loss_is_the_written_parts_alone() {
    let context = context();
    let x = Tensor::from_f32(&context, [4, 64], &[1.0; 256]).unwrap();
    let row = |i| x.narrow(i, 1).unwrap();
    let other = Tensor::from_f32(&context, [1, 64], &[9.0; 64]).unwrap();
    fails_with(&context, || other.copy_to(&row(2)).unwrap()).unwrap_err();
    assert_eq!([download(&row(0)), download(&row(1)), download(&row(3))].concat(), [1.0; 192]);
    assert!(matches!(block_on(row(2).to_vec()), Err(Error::Lost(_))));
    assert!(matches!(block_on(x.to_vec()), Err(Error::Lost(_))));
    other.copy_to(&row(2)).unwrap();
    assert_eq!(download(&x)[128..192], [9.0; 64]);
}

#[test]
fn an_apps_buffer_that_was_lost_is_lost_in_every_view_of_it() {
    let context = plain_context().unwrap();
    let (device, queue) = (context.device().clone(), context.queue().clone());
    let second = block_on(Context::from_device(device, queue, ContextOptions::default())).unwrap();
    let buffer = app_buffer(&context, 64, STORAGE | COPY_SRC | COPY_DST);
    let x = adopt(&context, &buffer, &[64]);
    let one = Tensor::from_f32(&context, [64], &[1.0; 64]).unwrap();
    fails_with(&context, || one.copy_to(&x).unwrap()).unwrap_err();
    for of in [&context, &second] {
        assert!(matches!(block_on(adopt(of, &buffer, &[64]).to_vec()), Err(Error::Lost(_))));
    }
    adopt(&second, &buffer, &[64]).write(&[4.0; 64]).unwrap();
    assert_eq!(download(&x), [4.0; 64]);
}

#[test]
fn tensors_of_two_contexts_do_not_meet() {
    let (a, b) = (context(), context());
    let t = |c: &Context, shape: &[usize], value: f32| {
        Tensor::from_f32(c, shape, &vec![value; shape.iter().product()]).unwrap()
    };
    let others = [t(&a, &[4, 4], 42.0), t(&a, &[4, 4], 43.0)];
    let (x, w) = (t(&a, &[4, 4], 1.0), t(&b, &[4, 4], 100.0));
    type Call = fn(&Tensor, &Tensor) -> foveal::Result<()>;
    let calls: [(&str, Call); 8] = [
        ("weighted_sum", |x, w| weighted_sum(&[(x, 1.0), (w, 1.0)]).map(drop)),
        ("product", |x, w| product(x, w).map(drop)),
        ("matmul", |x, w| matmul(x, w, Layout::Rows, Then::Nothing).map(drop)),
        ("matmul", |x, w| matmul(x, x, Layout::Rows, Then::Bias(&w.narrow(0, 1)?.reshape([4])?)).map(drop)),
        ("layer_norm", |x, w| layer_norm(x, &w.narrow(0, 1)?, &w.narrow(1, 1)?, false, 1e-5).map(drop)),
        ("copy", |x, w| x.copy_to(w)),
        ("attention", |x, w| {
            let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: 4, seq_kv: 4, head_dim: 4 };
            let problem = AttentionProblem::new(shape);
            let tables = Tables::default().upload(x.context(), &problem)?;
            let [q, k] = [x.reshape([1, 4, 1, 4])?, w.reshape([1, 4, 1, 4])?];
            attention(&problem, &q, &k, &q, &tables).map(drop)
        }),
        ("weighted_sum", |x, w| {
            Tape::forward().add(&Var::constant(x.clone()), &Var::constant(w.clone())).map(drop)
        }),
    ];
    for (name, call) in calls {
        for (x, w) in [(&x, &w), (&w, &x)] {
            match call(x, w) {
                Err(Error::Context { kernel, tensor, .. }) => {
                    assert!(kernel == name && !tensor.is_empty(), "{name}: {kernel} {tensor}");
                    // Both contexts are named.
                    let text = call(x, w).unwrap_err().to_string();
                    assert!([&a, &b].iter().all(|c| text.contains(&c.to_string())), "{text}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    for (call, low) in ["copy", "upload", "read"].into_iter().zip([
        a.copy(
            Binding { buffer: x.buffer(), offset: 0, size: 64 },
            Binding { buffer: w.buffer(), offset: 0, size: 64 },
        ),
        a.upload(w.buffer(), 0, &[0; 4]),
        block_on(a.read(w.buffer(), 0, 4)).map(drop),
    ]) {
        let Err(Error::Context { kernel, expected, found, .. }) = low else { panic!("{call}: {low:?}") };
        assert_eq!((kernel, expected, found), (call, a.to_string(), b.to_string()));
    }
    // Nothing was written by the refused calls, and a copy is explicit.
    assert_eq!(others.each_ref().map(download), [vec![42.0; 16], vec![43.0; 16]]);
    let sum = weighted_sum(&[(&x, 1.0), (&block_on(w.to_context(&a)).unwrap(), 1.0)]).unwrap();
    assert_eq!(download(&sum), [101.0; 16]);
    let half = convert(&x, Dtype::Bf16).unwrap();
    let there = block_on(half.narrow(1, 2).unwrap().to_context(&b)).unwrap();
    assert!(there.context().same(&b) && there.dtype() == Dtype::Bf16);
    assert_eq!(download(&there), [1.0; 8]);
    assert!(!a.same(&b) && a.same(&a.clone()));
}

#[test]
fn a_copy_in_any_context_is_the_same_bytes_and_memory_of_its_own() {
    let (a, b) = (context(), plain_context().unwrap());
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::U32] {
        let bytes: Vec<u8> = (0..15 * dtype.size() as u8).map(|i| i.wrapping_mul(37)).collect();
        let x = Tensor::from_bytes(&a, [5, 3], dtype, &bytes).unwrap();
        // Rows of halves begin inside a word every other time.
        for row in 0..5 {
            let view = x.narrow(row, 1).unwrap();
            for to in [&a, &b] {
                let copy = block_on(view.to_context(to)).unwrap();
                assert!(copy.context().same(to) && !copy.buffer().same(x.buffer()));
                assert_eq!((copy.dims(), copy.dtype()), (&[1, 3][..], dtype));
                let expected = &bytes[3 * row * dtype.size()..][..3 * dtype.size()];
                assert_eq!(block_on(copy.to_bytes()).unwrap(), expected, "{dtype} row {row} to {to}");
            }
        }
        let whole = block_on(x.to_context(&a)).unwrap();
        x.context().zero(x.binding()).unwrap();
        assert_eq!(block_on(whole.to_bytes()).unwrap(), bytes, "{dtype}: a copy changed with what it is of");
    }
    // What was lost is not copied.
    let y = recorded(&a);
    let mut lost = None;
    fails_with(&a, || lost = Some(weighted_sum(&[(&y, 1.0)]).unwrap())).unwrap_err();
    for to in [&a, &b] {
        assert!(matches!(block_on(lost.as_ref().unwrap().to_context(to)), Err(Error::Lost(_))));
    }
}

#[test]
fn two_contexts_on_a_device_use_an_apps_buffer_in_order() {
    let a = plain_context().unwrap();
    let options = ContextOptions::default();
    let b = block_on(Context::from_device(a.device().clone(), a.queue().clone(), options)).unwrap();
    let shared = app_buffer(&a, 64, STORAGE | COPY_SRC | COPY_DST);
    let (of_a, of_b) = (adopt(&a, &shared, &[64]), adopt(&b, &shared, &[64]));
    of_a.write(&[1.0; 64]).unwrap();
    let mut expected = 1.0;
    for round in 0..6 {
        // Recorded by one, read by the other, without a word in between.
        let (first, second) = if round % 2 == 0 { (&of_a, &of_b) } else { (&of_b, &of_a) };
        let one = Tensor::from_f32(first.context(), [64], &[1.0; 64]).unwrap();
        weighted_sum(&[(first, 2.0), (&one, 1.0)]).unwrap().copy_to(first).unwrap();
        expected = 2.0 * expected + 1.0;
        let seen = weighted_sum(&[(second, 1.0)]).unwrap();
        assert_eq!(download(&seen), [expected; 64], "round {round}");
    }
    // Their own tensors stay apart though they share the device.
    let of = |c| Tensor::from_f32(c, [4], &[1.0; 4]).unwrap();
    assert!(matches!(product(&of(&a), &of(&b)), Err(Error::Context { .. })));
    std::thread::scope(|scope| {
        for context in [&a, &b] {
            scope.spawn(move || {
                for round in 0..50 {
                    let x = Tensor::from_f32(context, [300], &[round as f32; 300]).unwrap();
                    assert_eq!(download(&weighted_sum(&[(&x, 3.0)]).unwrap()), [3.0 * round as f32; 300]);
                }
            });
        }
    });
}

#[test]
fn sizes_that_no_device_has_are_refused() {
    for context in [context(), Context::plan(foveal::Caps::webgpu_default(), ContextOptions::default())] {
        for bytes in [u64::MAX, u64::MAX - 3, (1 << 63) + 1, 1 << 50] {
            assert!(matches!(context.allocate(bytes), Err(Error::Unsupported { .. })), "{bytes}");
        }
        let huge = [vec![(1 << 62) + 1], vec![1 << 40], vec![1 << 31, 1 << 31], vec![usize::MAX, 3]];
        for shape in huge {
            for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32, Dtype::U32] {
                for made in [
                    Tensor::empty(&context, shape.clone(), dtype),
                    Tensor::zeros(&context, shape.clone(), dtype),
                ] {
                    let typed = matches!(made, Err(Error::Unsupported { .. } | Error::Input { .. }));
                    assert!(typed, "{shape:?} {dtype}: {made:?}");
                }
            }
        }
        assert_eq!(context.memory().live, 0);
        block_on(context.finish()).unwrap();
    }
    let budget = Some(1 << 20);
    let context = block_on(Context::new(ContextOptions::default().memory_budget(budget)));
    assert!(matches!(context.unwrap().allocate(u64::MAX), Err(Error::OutOfMemory { .. })));
}

#[test]
fn the_pool_keeps_little_more_than_was_ever_in_use() {
    let context = context();
    let mut peak = 0;
    for round in 0..200 {
        // Sizes that differ from round to round, as batches of clips do.
        let n = 300_000 + 37_777 * (round % 61);
        let x = Tensor::empty(&context, [n], Dtype::F32).unwrap();
        let y = Tensor::empty(&context, [n / 3], Dtype::F32).unwrap();
        weighted_sum(&[(&y, 1.0)]).unwrap();
        drop((x, y));
        let stats = context.memory();
        peak = peak.max(stats.peak);
        assert!(stats.live + stats.pooled <= peak + peak / 4 + (16 << 20), "{stats:?} after {round}");
    }
    let pooled = context.memory().pooled;
    assert!(pooled > 0, "nothing is kept");
    block_on(context.finish()).unwrap();
    // A budget is for what is held: what is free and above it goes.
    context.set_memory_budget(Some(pooled / 2));
    assert!(context.memory().pooled <= pooled / 2);
    let x = Tensor::empty(&context, [(pooled / 16) as usize], Dtype::F32).unwrap();
    let stats = context.memory();
    assert!(stats.live + stats.pooled <= pooled / 2, "{stats:?}");
    drop(x);
}

#[test]
fn work_of_more_workgroups_than_a_dispatch_may_have_is_cut() {
    let limit = |l: &mut wgpu::Limits| l.max_compute_workgroups_per_dimension = 28;
    let small = limited_context(wgpu::Features::SHADER_F16, limit).unwrap();
    let whole = plain_context().unwrap();
    let values = |n: usize| -> Vec<f32> { (0..n).map(|i| (i as f32 * 0.37).sin()).collect() };
    let run = |context: &Context| {
        let t = |shape: &[usize]| Tensor::from_f32(context, shape, &values(shape.iter().product())).unwrap();
        // Rows, columns, heads and sequences beyond the limit.
        let shape =
            AttentionShape { batch: 17, heads: 34, kv_heads: 17, seq_q: 141, seq_kv: 137, head_dim: 4 };
        let problem = AttentionProblem::new(shape);
        let tables = Tables::default().upload(context, &problem).unwrap();
        let (q, k) = (t(&[17, 141, 34, 4]), t(&[17, 137, 17, 4]));
        let attended = attention(&problem, &q, &k, &k, &tables).unwrap();
        let mut tape = Tape::record();
        let [lq, lk] = [&q, &k].map(|x| tape.leaf(x.clone()));
        let call = foveal::autograd::Attend::new(&problem, &lq, &lk, &lk).with_tables(&tables);
        let o = tape.attend(&call).unwrap().o;
        let gradients = tape.backward(&[(&o, q.clone())]).unwrap();
        let wide = matmul(&t(&[600, 36]), &t(&[268, 36]), Layout::Rows, Then::Bias(&t(&[268]))).unwrap();
        let odd = matmul(&t(&[3, 35]), &t(&[35, 267]), Layout::Columns, Then::Nothing).unwrap();
        let merged =
            foveal::kernels::attention::attention_merge(&[attended.clone(), attended.clone()]).unwrap();
        let all = [
            attended.o.clone(),
            attended.lse().unwrap(),
            gradients.of(&lq).unwrap().unwrap(),
            gradients.of(&lk).unwrap().unwrap(),
            wide.clone(),
            odd.clone(),
            merged.o,
            softmax(&t(&[99, 20]), 1.0).unwrap(),
            column_sum(&t(&[300, 20])).unwrap(),
            transposed(&t(&[99, 20])).unwrap(),
        ];
        all.map(|t| download(&t))
    };
    for (i, (found, wanted)) in run(&small).iter().zip(&run(&whole)).enumerate() {
        assert_eq!(found, wanted, "result {i}");
    }
}

#[test]
fn valid_work_above_65_535_workgroups_runs() {
    let context = context();
    let (queries, dim) = (20_000, 128);
    let one = Tensor::from_f32(&context, [1, queries, 1, dim], &vec![1.0; queries * dim]).unwrap();
    let part = foveal::kernels::attention::AttentionOutput {
        o: one,
        stats: {
            let shape =
                AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: queries, seq_kv: 1, head_dim: dim };
            let problem = AttentionProblem::new(shape);
            let zeros = |shape: &[usize]| Tensor::zeros(&context, shape.to_vec(), Dtype::F32).unwrap();
            let tables = Tables::default().upload(&context, &problem).unwrap();
            let (q, k) = (zeros(&[1, queries, 1, dim]), zeros(&[1, 1, 1, dim]));
            attention(&problem, &q, &k, &k, &tables).unwrap().stats
        },
    };
    let merged = foveal::kernels::attention::attention_merge(&[part.clone(), part]).unwrap();
    assert_eq!(download(&merged.o), vec![1.0; queries * dim]);
    // Three million rows, and as many queries.
    let rows = 3_000_000;
    let x = Tensor::from_f32(&context, [rows, 4], &vec![1.0; rows * 4]).unwrap();
    let w = Tensor::from_f32(&context, [4, 4], &[0.5; 16]).unwrap();
    let y = matmul(&x, &w, Layout::Rows, Then::Nothing).unwrap();
    assert!(download(&y).iter().all(|&v| v == 2.0));
    let shape = AttentionShape { batch: 1, heads: 1, kv_heads: 1, seq_q: rows, seq_kv: 3, head_dim: 4 };
    let problem = AttentionProblem::new(shape);
    let tables = Tables::default().upload(&context, &problem).unwrap();
    let k = Tensor::from_f32(&context, [1, 3, 1, 4], &[0.5; 12]).unwrap();
    let o = attention(&problem, &x.reshape([1, rows, 1, 4]).unwrap(), &k, &k, &tables).unwrap().o;
    assert!(download(&o).iter().all(|&v| (v - 0.5).abs() < 1e-6));
}

/// SwiftShader's memory is the process's own, which can be limited; a GPU's would have to be filled, and Mesa's llvmpipe
/// hands out memory that it could not map without a word.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_the_machine_has_not_got_is_an_error() {
    const NAME: &str = "memory_that_the_machine_has_not_got_is_an_error";
    // A limit is a whole process's, so the test starts itself once more and is then the process that runs out.
    const ALONE: &str = "FOVEAL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return run_out_of_memory();
    }
    let program = std::env::current_exe().unwrap();
    let child = std::process::Command::new(program)
        .args(["--exact", NAME, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[cfg(target_os = "linux")]
fn run_out_of_memory() {
    let context = context();
    if !context.caps().adapter.contains("SwiftShader") {
        return;
    }
    let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let kept = Tensor::from_f32(&context, [1000], &values).unwrap();
    let doubled = || download(&weighted_sum(&[(&kept, 2.0)]).unwrap());
    let expected = doubled();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.split_whitespace().next());
    let limit = kilobytes.unwrap().parse::<u64>().unwrap() * 1024 + (1 << 30);
    let limits = [format!("--pid={}", std::process::id()), format!("--as={limit}")];
    assert!(std::process::Command::new("prlimit").args(limits).status().unwrap().success());
    let live = context.memory().live;
    for round in 0..2 {
        let mut filled = Vec::new();
        let error = loop {
            match Tensor::empty(&context, [32 << 20], Dtype::F32) {
                Ok(tensor) => filled.push(tensor),
                Err(error) => break error,
            }
            assert!(filled.len() < 64, "8 GiB in a process that may have one");
        };
        assert!(matches!(error, Error::OutOfMemory { limit: None, .. }), "round {round}: {error:?}");
        assert!(!filled.is_empty(), "nothing fits");
        // What there was is whole, in the midst of it and after.
        assert_eq!(doubled(), expected, "round {round}");
        drop(filled);
        block_on(context.finish()).unwrap();
        assert_eq!(context.memory().live, live, "round {round}");
        assert_eq!(doubled(), expected, "round {round}");
    }
}
