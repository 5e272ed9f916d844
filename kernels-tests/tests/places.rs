//! Where things stand: rotary positions as data, slices of inner axes, a cache whose capacity is not its length, and tables
//! that change from call to call.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::Tape;
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Positions, Tables, attention};
use foveal::kernels::elementwise::{convert, slice, slice_backward, weighted_sum};
use foveal::kernels::token::{Pairs, RotaryPositions, rotary, rotary_backward, rotary_table};
use foveal::{Context, Dtype, Error, Tensor};
use kernels_tests::golden::new_context;

fn context() -> Context {
    new_context().unwrap()
}

fn values(n: usize, seed: f64) -> Vec<f32> {
    (0..n).map(|i| ((i as f64 * 0.7391 + seed) * 1.931).sin() as f32).collect()
}

fn tensor(context: &Context, shape: &[usize], seed: f64) -> Tensor {
    Tensor::from_f32(context, shape.to_vec(), &values(shape.iter().product(), seed)).unwrap()
}

fn download(tensor: &Tensor) -> Vec<f32> {
    block_on(tensor.to_vec()).unwrap()
}

fn assert_near(found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() <= bound, "{i}: {f} for {e}");
    }
}

/// Qwen2.5-VL's order: halves of a head turn together, the first 16 pairs by time, 24 by height, 24 by width.
#[test]
fn positions_of_three_axes_turn_their_own_pairs() {
    let context = context();
    let (tokens, heads, head_dim, theta) = (5, 2, 128, 1e6);
    let table = Tensor::from_host(&context, &rotary_table(1000, 64, theta).unwrap()).unwrap();
    let positions: [&[u32]; 3] = [&[0, 7, 7, 7, 999], &[0, 7, 8, 31, 999], &[0, 9, 7, 40, 2]];
    let at = RotaryPositions::new(&table, &positions, [16, 24, 24], Pairs::Halves).unwrap();
    let x = tensor(&context, &[tokens, heads, head_dim], 0.3);
    let host = values(tokens * heads * head_dim, 0.3);
    let expected: Vec<f64> = (0..host.len())
        .map(|i| {
            let (token, column) = (i / head_dim / heads, i % head_dim);
            let j = column % 64;
            let axis = if j < 16 {
                0
            } else if j < 40 {
                1
            } else {
                2
            };
            let angle = f64::from(positions[axis][token]) * theta.powf(-(j as f64) / 64.0);
            let other = f64::from(host[if column < 64 { i + 64 } else { i - 64 }]);
            f64::from(host[i]) * angle.cos() + if column < 64 { -other } else { other } * angle.sin()
        })
        .collect();
    let y = rotary(&x, &at).unwrap();
    assert_near(&download(&y), &expected, 2e-6);
    let host: Vec<f64> = host.iter().map(|&v| v.into()).collect();
    assert_near(&download(&rotary_backward(&y, &at).unwrap()), &host, 2e-6);
    // A batch is more tokens; half precision goes the same way.
    let half = rotary(&convert(&x.reshape([1, tokens, heads, head_dim]).unwrap(), Dtype::Bf16).unwrap(), &at);
    assert_near(&download(&half.unwrap()), &expected, 2e-2);
}

#[test]
fn positions_that_fit_nothing_are_refused() {
    let context = context();
    let table = Tensor::from_host(&context, &rotary_table(10, 4, 1e4).unwrap()).unwrap();
    let new =
        |positions: &[&[u32]], sections| RotaryPositions::new(&table, positions, sections, Pairs::Halves);
    let says = |result: foveal::Result<RotaryPositions>, text: &str| match result {
        Err(Error::Problem { reason, .. }) => assert!(reason.contains(text), "{reason}"),
        other => panic!("{other:?}"),
    };
    says(new(&[&[0, 10]], [4, 0, 0]), "position 10 of token 1 on axis 0: the table has 10 rows");
    says(new(&[&[0, 1], &[0]], [2, 2, 0]), "[2, 1] tokens");
    says(new(&[&[0, 1]], [2, 2, 0]), "2 axes");
    let at = new(&[&[0, 1]], [4, 0, 0]).unwrap();
    let turn = |shape: &[usize]| rotary(&tensor(&context, shape, 0.0), &at).map(drop);
    assert!(
        matches!(turn(&[3, 1, 8]), Err(Error::Shape { tensor, found: 2, expected: 3, .. }) if tensor == "positions")
    );
    assert!(matches!(turn(&[2, 1, 6]), Err(Error::Problem { reason, .. }) if reason.contains("4 pairs")));
    assert!(matches!(turn(&[8]), Err(Error::Problem { .. })));
    let gap = RotaryPositions { sections: [2, 0, 2], ..at.clone() };
    assert!(matches!(rotary(&tensor(&context, &[2, 1, 8], 0.0), &gap), Err(Error::Problem { .. })));
    for (rows, pairs, theta) in [(0, 4, 1e4), (4, 0, 1e4), (4, 4, 0.0), (4, 4, f64::NAN), (1 << 30, 8, 1e4)] {
        assert!(rotary_table(rows, pairs, theta).is_err());
    }
}

#[test]
fn slices_of_every_axis_are_copies_and_have_gradients() {
    let context = context();
    let dims = [3, 5, 8];
    let (x, host) = (tensor(&context, &dims, 0.1), values(120, 0.1));
    for (axis, start, count) in [(0, 1, 2), (1, 2, 3), (2, 3, 4), (2, 4, 4), (1, 0, 5)] {
        let y = slice(&x, axis, start, count).unwrap();
        let mut shape = dims;
        shape[axis] = count;
        assert_eq!(y.dims(), shape);
        let place = |i: usize| {
            let mut at = [i / shape[2] / shape[1], i / shape[2] % shape[1], i % shape[2]];
            at[axis] += start;
            (at[0] * dims[1] + at[1]) * dims[2] + at[2]
        };
        let expected: Vec<f32> = (0..y.len()).map(|i| host[place(i)]).collect();
        assert_eq!(download(&y), expected);
        let mut laid = vec![0.0; 120];
        (0..y.len()).for_each(|i| laid[place(i)] = expected[i]);
        assert_eq!(download(&slice_backward(&y, axis, start, dims[axis]).unwrap()), laid);
        let mut tape = Tape::record();
        let leaf = tape.leaf(x.clone());
        let part = tape.slice(&leaf, axis, start, count).unwrap();
        let found = tape.backward(&[(&part, y.clone())]).unwrap().of(&leaf).unwrap().unwrap();
        assert_eq!(download(&found), laid);
    }
    // bf16 lies two in a word: runs of four are there, others are refused rather than wrong.
    let half = convert(&x, Dtype::Bf16).unwrap();
    assert_eq!(slice(&half, 1, 2, 3).unwrap().dims(), [3, 3, 8]);
    assert!(slice(&half, 2, 3, 4).is_err());
    for (axis, start, count) in [(3, 0, 1), (1, 3, 3), (1, 0, 0), (1, usize::MAX, 2)] {
        assert!(
            matches!(slice(&x, axis, start, count), Err(Error::Problem { .. })),
            "{axis} {start} {count}"
        );
    }
    assert!(matches!(slice_backward(&x, 1, 0, 4), Err(Error::Problem { .. })));
}

#[test]
fn a_turned_variable_has_the_gradient_turned_back() {
    let context = context();
    let table = Tensor::from_host(&context, &rotary_table(10, 3, 1e4).unwrap()).unwrap();
    let at = RotaryPositions::new(&table, &[&[1, 5, 9]], [3, 0, 0], Pairs::Interleaved).unwrap();
    let (x, dy) = (tensor(&context, &[3, 2, 8], 0.2), tensor(&context, &[3, 2, 8], 0.9));
    let mut tape = Tape::record();
    let leaf = tape.leaf(x);
    let y = tape.rotary(&leaf, &at).unwrap();
    let found = tape.backward(&[(&y, dy.clone())]).unwrap().of(&leaf).unwrap().unwrap();
    assert_eq!(download(&found), download(&rotary_backward(&dy, &at).unwrap()));
}

/// One token at a time beside all at once: the cache has room for more keys than there are, what lies there is not a
/// number, positions change from call to call, and nothing is submitted or compiled anew between tokens.
#[test]
fn a_cache_larger_than_its_length_decodes_like_the_whole_sequence() {
    let context = context();
    let (tokens, capacity, heads, kv_heads, head_dim) = (21, 64, 4, 2, 32);
    let table = Tensor::from_host(&context, &rotary_table(capacity, head_dim / 2, 1e4).unwrap()).unwrap();
    let all: Vec<u32> = (0..tokens as u32).collect();
    let sections = [head_dim / 2, 0, 0];
    let whole = RotaryPositions::new(&table, &[&all], sections, Pairs::Halves).unwrap();
    let q = tensor(&context, &[1, tokens, heads, head_dim], 0.1);
    let [k, v] = [0.5, 0.7].map(|seed| tensor(&context, &[1, tokens, kv_heads, head_dim], seed));
    let shape = AttentionShape { batch: 1, heads, kv_heads, seq_q: tokens, seq_kv: tokens, head_dim };
    let problem = AttentionProblem { mask: Mask::Causal, ..AttentionProblem::new(shape) };
    let tables = Tables::default().upload(&context, &problem).unwrap();
    let (q_turned, k_turned) = (rotary(&q, &whole).unwrap(), rotary(&k, &whole).unwrap());
    let expected = download(&attention(&problem, &q_turned, &k_turned, &v, &tables).unwrap().o);

    let room = vec![f32::NAN; capacity * kv_heads * head_dim];
    let [k_cache, v_cache] =
        [(); 2].map(|()| Tensor::from_f32(&context, [capacity, kv_heads, head_dim], &room).unwrap());
    let position = Tensor::from_u32(&context, [1, 1], &[0]).unwrap();
    let shape = AttentionShape { seq_q: 1, seq_kv: capacity, ..shape };
    let mut found = Vec::new();
    let mut submissions = Vec::new();
    for token in 0..tokens {
        context.upload(position.buffer(), 0, &(token as u32).to_le_bytes()).unwrap();
        let at = RotaryPositions { positions: position.clone(), ..whole.clone() };
        let row = |t: &Tensor, heads| t.reshape([tokens, heads, head_dim])?.narrow(token, 1);
        let q = rotary(&row(&q, heads).unwrap(), &at).unwrap().reshape([1, 1, heads, head_dim]).unwrap();
        rotary(&row(&k, kv_heads).unwrap(), &at)
            .unwrap()
            .copy_to(&k_cache.narrow(token, 1).unwrap())
            .unwrap();
        row(&v, kv_heads).unwrap().copy_to(&v_cache.narrow(token, 1).unwrap()).unwrap();
        let positions = Some(Positions { first_query: token, first_key: 0 });
        let problem = AttentionProblem { mask: Mask::Causal, positions, ..AttentionProblem::new(shape) };
        let cache = |t: &Tensor| t.reshape([1, capacity, kv_heads, head_dim]).unwrap();
        found.push(attention(&problem, &q, &cache(&k_cache), &cache(&v_cache), &tables).unwrap().o);
        submissions.push(context.submissions());
    }
    let found: Vec<f32> = found.iter().flat_map(download).collect();
    let expected: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
    assert_near(&found, &expected, 2e-6);
    // What a submission takes is work of a quarter second or 256 commands, however slow the device is.
    let between = submissions.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(between <= tokens / 2, "{submissions:?}");
}

#[test]
fn a_small_table_changes_from_call_to_call_within_one_submission() {
    let context = context();
    let table = Tensor::from_f32(&context, [4], &[0.0; 4]).unwrap();
    let whole = Tensor::from_f32(&context, [1 << 16], &vec![0.0; 1 << 16]).unwrap();
    context.submit().unwrap();
    let before = context.submissions();
    // Each call sees the table as it was when the call was made, whatever is written afterwards.
    let sums: Vec<Tensor> = (0..20)
        .map(|i| {
            table.write(&[i as f32; 4]).unwrap();
            weighted_sum(&[(&table, 2.0)]).unwrap()
        })
        .collect();
    assert_eq!(context.submissions(), before);
    // What is longer than a recorded write goes by itself, in order too.
    whole.write(&vec![1.0; 1 << 16]).unwrap();
    let one = weighted_sum(&[(&whole, 3.0)]).unwrap();
    for (i, sum) in sums.iter().enumerate() {
        assert_eq!(download(sum), [2.0 * i as f32; 4]);
    }
    assert!(download(&one).iter().all(|&v| v == 3.0));
    // Many of them are handed over before they are many bytes.
    let before = context.submissions();
    let wide = Tensor::from_f32(&context, [1 << 14], &vec![0.0; 1 << 14]).unwrap();
    let last: Vec<Tensor> = (0..40)
        .map(|i| {
            wide.write(&vec![i as f32; 1 << 14]).unwrap();
            weighted_sum(&[(&wide, 1.0)]).unwrap()
        })
        .collect();
    let between = context.submissions() - before;
    assert!(between >= 2, "{between} submissions of 40 writes of 64 KiB");
    for (i, y) in last.iter().enumerate() {
        assert!(download(y).iter().all(|&v| v == i as f32), "write {i}");
    }
}
