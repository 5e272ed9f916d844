#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use crate::models::qwen2_5_vl::QwenVlConfig;

fn vision() -> QwenVisionConfig {
    QwenVlConfig::qwen2_5_vl_3b().vision
}

fn picture(height: usize, width: usize, frame: usize) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let byte = |c: usize| ((y * 37 + x * 101 + c * 71 + frame * 13 + (x * y) % 253) % 256) as u8;
            pixels.extend((0..3).map(byte));
        }
    }
    pixels
}

/// Height, width and frames; the grid, the sum of all values and eight of them in equal steps, by
/// `Qwen2VLImageProcessor` of transformers 4.49.0 with Pillow 11.1.0.
const CASES: [(usize, usize, usize, Grid, f64, [f32; 8]); 3] = [
    (
        60,
        90,
        1,
        [1, 4, 6],
        5532.949141817866,
        [-1.704672, 0.3639983, -1.2669188, -0.6681836, 0.6670103, -0.8433648, 0.33398274, 1.705075],
    ),
    (
        90,
        60,
        3,
        [2, 6, 4],
        10662.186974025448,
        [-1.704672, -1.082058, -0.086653285, 0.37900606, 0.8592546, 0.3537062, -0.55139625, 0.48214942],
    ),
    (
        28,
        28,
        2,
        [1, 4, 4],
        3534.54445180099,
        [-1.7922626, -0.39081356, 0.6341381, -1.1673783, 0.5726826, -1.1067631, 1.5628744, -1.4802198],
    ),
];

#[test]
fn agrees_with_transformers() {
    for (height, width, frames, grid, sum, eight) in CASES {
        let pictures: Vec<_> = (0..frames).map(|f| picture(height, width, f)).collect();
        let frames: Vec<_> = pictures.iter().map(|p| RgbFrame::new(height, width, p).unwrap()).collect();
        let size = Size { height, width };
        let processor = VisionProcessor::image(&vision(), size, None).unwrap();
        assert_eq!(processor.grid(frames.len()).unwrap(), grid);
        let rows = processor.rows(&frames).unwrap();
        assert_eq!(rows.len(), grid.iter().product::<usize>() * 1176);
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|i| rows[i * (rows.len() - 1) / 7]), eight);
        assert!((rows.iter().map(|v| f64::from(*v)).sum::<f64>() - sum).abs() < 1e-6);
    }
}

#[test]
fn rows_are_slices_and_the_last_frame_repeats() {
    let pictures: Vec<_> = (0..5).map(|f| picture(100, 60, f)).collect();
    let frames: Vec<_> = pictures.iter().map(|p| RgbFrame::new(100, 60, p).unwrap()).collect();
    let processor = VisionProcessor::video(&vision(), Size { height: 100, width: 60 }, 5, None).unwrap();
    // A portrait clip stays one.
    assert_eq!(processor.resized(), Size { height: 420, width: 252 });
    assert_eq!(processor.grid(5).unwrap(), [3, 30, 18]);
    let rows = processor.rows(&frames).unwrap();
    let slices: Vec<_> = frames.chunks(2).flat_map(|s| processor.slice(s).unwrap()).collect();
    assert_eq!(rows, slices);
    let last = rows.len() / 3 * 2;
    assert_eq!(rows[last..], processor.slice(&[frames[4], frames[4]]).unwrap());
}

/// Where every pixel of the first frame goes, one at a time.
#[test]
fn pixels_lie_in_merge_block_order() {
    let (height, width) = (56, 84);
    let limits = PixelLimits { min: 1.0, max: 1e6 };
    let processor =
        VisionProcessor::new(&vision(), Size { height, width }, &limits, Resampling::Pillow).unwrap();
    for (y, x, c) in [(0, 0, 0), (13, 14, 1), (14, 0, 2), (27, 27, 0), (30, 50, 1), (55, 83, 2), (3, 29, 2)] {
        let mut pixels = vec![0u8; height * width * 3];
        pixels[(y * width + x) * 3 + c] = 255;
        let dark = vec![0u8; height * width * 3];
        let frames = [&dark, &pixels].map(|p| RgbFrame::new(height, width, p).unwrap());
        let rows = processor.slice(&frames).unwrap();
        let bright: Vec<_> = (0..rows.len()).filter(|i| rows[*i] > 1.0).collect();
        let unit = y / 28 * 3 + x / 28;
        let row = unit * 4 + y % 28 / 14 * 2 + x % 28 / 14;
        assert_eq!(bright, [row * 1176 + (c * 2 + 1) * 196 + y % 14 * 14 + x % 14], "{y} {x} {c}");
    }
}

#[test]
fn one_pixel_is_enough() {
    let frame = RgbFrame::new(1, 1, &[255, 0, 128]).unwrap();
    let processor = VisionProcessor::image(&vision(), Size { height: 1, width: 1 }, None).unwrap();
    assert_eq!(processor.grid(1).unwrap(), [1, 4, 4]);
    let rows = processor.slice(&[frame]).unwrap();
    assert_eq!((rows.len(), rows[0]), (16 * 1176, (1.0 - 0.481_454_66) / 0.268_629_54));
    assert!(rows.iter().all(|v| v.is_finite()));
}

#[test]
fn refuses_by_name() {
    let size = Size { height: 60, width: 90 };
    let processor = VisionProcessor::video(&vision(), size, 4, None).unwrap();
    let (wide, tall) = (picture(60, 90, 0), picture(90, 60, 0));
    let wide = RgbFrame::new(60, 90, &wide).unwrap();
    let tall = RgbFrame::new(90, 60, &tall).unwrap();
    let error = |frames: &[RgbFrame<'_>]| processor.slice(frames).unwrap_err().to_string();
    assert_eq!(error(&[]), "frames: expected 1 ..= 2 for a slice, found 0");
    assert_eq!(error(&[wide; 3]), "frames: expected 1 ..= 2 for a slice, found 3");
    assert_eq!(
        error(&[wide, tall]),
        "frame 1 of the slice: expected 60 × 90 (height × width), found 90 × 60"
    );
    assert!(processor.rows(&[]).is_err());
    assert!(processor.grid(usize::MAX).is_err());
    assert!(VisionProcessor::video(&vision(), size, 0, None).unwrap_err().to_string().starts_with("frames"));
    for hollow in [
        QwenVisionConfig { patch_size: 0, ..vision() },
        QwenVisionConfig { merge_size: 0, ..vision() },
        QwenVisionConfig { temporal_patch_size: 0, ..vision() },
        QwenVisionConfig { patch_size: usize::MAX, ..vision() },
    ] {
        assert!(VisionProcessor::new(&hollow, size, &PixelLimits::image(28), Resampling::Float).is_err());
        let _ = VisionProcessor::image(&hollow, size, Some(PixelLimits::image(28)));
    }
}
