//! Numbers that are handed in and mean nothing are refused, and none changes on its way to the device.

use super::{close, context, download, full, shape, t};
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, Mask, Tables, attention};
use foveal::kernels::{contrast, elementwise, optim, rowwise, temporal, token};
use foveal::{Dtype, Error, Tensor};

#[track_caller]
pub(super) fn refused<T>(outcome: foveal::Result<T>, about: &str) {
    match outcome {
        Err(Error::Problem { .. } | Error::Input { .. } | Error::NonFinite { .. } | Error::Shape { .. }) => {}
        Err(other) => panic!("{about}: {other}"),
        Ok(_) => panic!("{about}: taken"),
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let c = context();
    let x = full(&c, &[2, 4], 1.0);
    let (row, column) = (full(&c, &[1, 4], 1.0), full(&c, &[4], 1.0));
    for stray in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(elementwise::weighted_sum(&[(&x, stray)]), "a weight");
        refused(rowwise::softmax(&x, stray), "a scale");
        refused(rowwise::softmax_backward(&x, &x, stray), "a scale");
        refused(rowwise::rms_norm(&x, &column, stray, None), "eps");
        refused(rowwise::rms_norm_backward(&x, &column, &x, stray, None), "eps");
        refused(rowwise::layer_norm(&x, &row, &row, false, stray), "eps");
        refused(rowwise::layer_norm_backward(&x, &row, &x, false, stray), "eps");
        refused(elementwise::dropout(&x, stray, elementwise::Stream { seed: 1, use_number: 0 }), "p");
        let table = full(&c, &[2, 2], 1.0);
        let s = full(&c, &[1, 2, 2], 1.0);
        refused(contrast::nt_xent(&s, &table, &table, stray), "a temperature");
        refused(contrast::nt_xent_backward(&s, &table, &table, &full(&c, &[1], 1.0), stray), "a temperature");
        refused(token::RowMap::new(2, [vec![(0, stray)]]), "a weight of a map");
        let problem = AttentionProblem { scale: stray, ..AttentionProblem::new(shape(1, 1, 4)) };
        refused(Tables::default().upload(&c, &problem), "a scale of attention");
        for n in 0..6 {
            let mut objective = temporal::TemporalObjective::released();
            let w = &mut objective.weights;
            *[&mut w.correlation, &mut w.magnitude, &mut w.entropy, &mut w.flatness, &mut objective.tau]
                [n.min(4)] = stray;
            let (map, masks) = (full(&c, &[1, 2, 3], 0.5), full(&c, &[1, 2], 1.0));
            refused(temporal::temporal_loss(&map, &masks, &objective), "a number of an objective");
        }
        let [p, g, m, v] = [1.0, 0.5, 0.0, 0.0].map(|v| full(&c, &[4], v));
        for n in 0..5 {
            let mut s = optim::AdamW::default();
            *[&mut s.lr, &mut s.beta1, &mut s.beta2, &mut s.eps, &mut s.weight_decay][n] = stray.into();
            refused(optim::adamw(&p, &g, &m, &v, &s, 1), "a setting of AdamW");
        }
        assert_eq!(download(&p), [1.0; 4]);
    }
}

#[test]
fn tables_of_attention_hold_numbers() {
    let c = context();
    for stray in [f32::NAN, f32::INFINITY] {
        let temporal = AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame: 1 },
            ..AttentionProblem::new(shape(1, 2, 4))
        };
        refused(Tables::default().with_mask([0.0, stray]).upload(&c, &temporal), "a bias");
    }
    let lengths = AttentionProblem { key_lengths: true, ..AttentionProblem::new(shape(1, 4, 4)) };
    refused(Tables::default().with_key_lengths([5]).upload(&c, &lengths), "a length above the keys");
    refused(Tables::default().with_key_lengths([u32::MAX]).upload(&c, &lengths), "a length above the keys");
}

#[test]
fn a_length_of_any_size_arrives_whole() {
    let c = context();
    // Above 2^24 an f32 holds only even numbers.
    let seq_kv = (1 << 24) + 1;
    let problem = AttentionProblem { key_lengths: true, ..AttentionProblem::new(shape(1, seq_kv, 4)) };
    let packed = Tables::default().with_key_lengths([seq_kv as u32]).packed(&problem).unwrap();
    assert_eq!(packed[..2], [256.0, 1.0]);
    // As many keys would be 512 MiB; the last of fewer has to count.
    let seq_kv = 70_001;
    let problem = AttentionProblem { key_lengths: true, ..AttentionProblem::new(shape(1, seq_kv, 4)) };
    let tables = Tables::default().with_key_lengths([seq_kv as u32]).upload(&c, &problem).unwrap();
    let mut k = vec![0.0; seq_kv * 4];
    let mut v = vec![0.0; seq_kv * 4];
    k[(seq_kv - 1) * 4] = 100.0;
    v[(seq_kv - 1) * 4] = 7.0;
    let of = |v: &[f32]| t(&c, &[1, seq_kv, 1, 4], v);
    let out = attention(&problem, &full(&c, &[1, 1, 1, 4], 1.0), &of(&k), &of(&v), &tables).unwrap();
    close(&download(&out.o), &[7.0, 0.0, 0.0, 0.0], 1e-6);
}

#[test]
fn a_frame_of_more_tokens_than_there_are_is_the_only_one() {
    let c = context();
    for tokens_per_frame in [2, 1 << 32, usize::MAX] {
        let problem = AttentionProblem {
            mask: Mask::Temporal { tokens_per_frame },
            ..AttentionProblem::new(shape(2, 2, 4))
        };
        let tables = Tables::default().with_mask([0.0, f32::NEG_INFINITY]).upload(&c, &problem).unwrap();
        let k = t(&c, &[1, 2, 1, 4], &[1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]);
        let out = attention(&problem, &k, &k, &k, &tables).unwrap();
        assert_eq!(download(&out.o), [1.0; 8]);
    }
    refused(
        Tables::default().upload(
            &c,
            &AttentionProblem {
                mask: Mask::Temporal { tokens_per_frame: 0 },
                ..AttentionProblem::new(shape(2, 2, 4))
            },
        ),
        "frames of no token",
    );
}

#[test]
fn whole_numbers_are_read_as_they_are() {
    let c = context();
    let ids = [0, 1, (1 << 24) + 1, u32::MAX];
    let tensor = Tensor::from_u32(&c, [4], &ids).unwrap();
    assert_eq!(block_on(tensor.to_u32()).unwrap(), ids);
    assert!(block_on(tensor.to_vec()).is_err(), "2^24 + 1 is no f32");
    let small = Tensor::from_u32(&c, [2], &[3, 1 << 24]).unwrap();
    assert_eq!(download(&small), [3.0, 16_777_216.0]);
    assert!(matches!(tensor.dtype(), Dtype::U32));
}
