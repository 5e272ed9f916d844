//! Half precision in whole runs of the committed model: how far their clips are from f32's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::kernels::elementwise::convert;
use foveal::nn::Precision;
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::{Event, Guidance, TemporalMask};
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo, TimedWord};
use foveal::{Context, ContextOptions, Dtype, Tensor};
use std::ops::ControlFlow;
use std::path::Path;

/// A guided clip of a few steps.
fn clip(context: &Context, precision: Precision) -> Vec<f32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-wan");
    let pipeline = TextToVideo::open_as(context, folder, precision).unwrap();
    let mut request = pipeline.request("a red square and a blue cross");
    request.seed = 1;
    request.steps = 4;
    let curve = TimingCurve::parse("4..8", &pipeline.time_axis().unwrap()).unwrap();
    request.words.push(TimedWord::new("red square", curve));
    request.guidance = Some(Guidance { steps: (0..2).collect(), updates: 2, ..Guidance::default() });
    foveal::block_on(pipeline.generate(&request, |_| ControlFlow::Continue(()))).unwrap().clip.data().to_vec()
}

#[test]
fn a_guided_clip_in_half_precision_stays_near() {
    let context = foveal::block_on(Context::new(ContextOptions::default())).unwrap();
    let exact = clip(&context, Precision::F32);
    let size = exact.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    // A number errs by 2⁻⁹ at most when it is stored. Weights err once; the residual stream errs anew at each of its
    // fifteen sums, and guidance at scale 5 multiplies the difference of two passes. Measured: 0.015 and 0.20.
    for (precision, bound) in [(Precision::BF16_WEIGHTS, 0.05), (Precision::BF16, 0.3)] {
        let found = clip(&context, precision);
        let off = exact.iter().zip(&found).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt() / size;
        println!("{precision}: relative L2 {off:.2e}");
        assert!(off > 0.0 && off <= bound, "{precision}: relative L2 {off} of f32's clip, at most {bound}");
    }
}

/// Without a gradient the map is read in f16 as in f32, and the clip is near; with one the run is refused before it starts.
#[test]
fn a_clip_in_f16_is_read_and_masked_but_not_moved() {
    let context = foveal::block_on(Context::new(ContextOptions::default())).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-wan");
    if !context.caps().f16 {
        let error = TextToVideo::open_as(&context, folder, Precision::F16).unwrap_err().to_string();
        assert!(error.contains("f16") && error.contains("bf16 works everywhere"), "{error}");
        return;
    }
    let clip = |precision: Precision| {
        let pipeline = TextToVideo::open_as(&context, &folder, precision).unwrap();
        let mut request = pipeline.request("a red square and a blue cross");
        (request.seed, request.steps, request.size) = (1, 3, [4, 8, 8]);
        let curve = TimingCurve::new(vec![0.0, 0.0, 1.0, 1.0]).unwrap();
        request.words.push(TimedWord::new("red square", curve));
        request.mask = Some(TemporalMask::default());
        let mut read = Vec::new();
        let mut made = |updates: usize| {
            let guidance = Guidance { steps: (0..2).collect(), updates, ..Guidance::default() };
            let request = ClipRequest { guidance: Some(guidance), ..request.clone() };
            foveal::block_on(pipeline.generate(&request, |event| {
                if let Event::Read { terms, .. } = event {
                    read.push(terms[0].correlation);
                }
                ControlFlow::Continue(())
            }))
        };
        let clip = made(0).unwrap().clip.data().to_vec();
        if precision == Precision::F16 {
            let error = made(1).unwrap_err().to_string();
            assert!(error.contains("f16 with a gradient") && error.contains("bf16"), "{error}");
        }
        (clip, read)
    };
    let ((exact, exact_read), (found, found_read)) = (clip(Precision::F32), clip(Precision::F16));
    let square = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let off: Vec<f32> = exact.iter().zip(&found).map(|(a, b)| a - b).collect();
    let off = (square(&off) / square(&exact)).sqrt();
    println!("f16: relative L2 {off:.2e}; correlations {exact_read:?}, {found_read:?}");
    // f16 has eight times bf16's digits, and 0.3 is what bf16 is let off by.
    assert!(off > 0.0 && off <= 0.3 / 8.0, "relative L2 {off} of f32's clip");
    assert_eq!((exact_read.len(), found_read.len()), (2, 2));
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.05;
    assert!(exact_read.iter().zip(&found_read).all(near), "{exact_read:?} {found_read:?}");
}

/// To bf16 the crate rounds by the bits itself. To f16 the device does, and WGSL lets it choose a direction: the drivers
/// that the tests run on choose as IEEE does, and one that does not is worth knowing of.
#[test]
fn conversions_round_ties_to_even_bit_by_bit() {
    let context = foveal::block_on(Context::new(ContextOptions::default())).unwrap();
    // Every exponent of f16's normal numbers with odd and even neighbours below, halfway and a step of f32 beside it.
    let tie = |shift: u32, i: u32| {
        let upper = ((113 + i / 6 % 30) << 23 | (i / 3 % 2) << shift) | (i / 180 % 2) << 31;
        f32::from_bits((upper | 1 << (shift - 1)) + i % 3 - 1)
    };
    let types = [(Dtype::Bf16, 16, true), (Dtype::F16, 13, context.caps().f16)];
    for (dtype, shift, _) in types.into_iter().filter(|(.., there)| *there) {
        let values: Vec<f32> = (0..360).map(|i| tie(shift, i)).collect();
        let x = Tensor::from_f32(&context, [values.len()], &values).unwrap();
        let found = foveal::block_on(convert(&x, dtype).unwrap().to_vec()).unwrap();
        let mut inexact = 0;
        for (value, found) in values.iter().zip(found) {
            let expected = dtype.round(f64::from(*value)) as f32;
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "{dtype}: {value:e} became {found:e}, not {expected:e}"
            );
            inexact += usize::from(expected != *value);
        }
        assert_eq!(inexact, values.len(), "{dtype}: a value that needs no rounding");
    }
}
