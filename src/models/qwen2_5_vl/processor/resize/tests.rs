#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

/// A picture that has every spatial frequency, by a formula that other languages repeat.
fn picture(height: usize, width: usize) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            pixels.extend((0..3).map(|c| ((y * 37 + x * 101 + c * 71 + (x * y) % 253) % 256) as u8));
        }
    }
    pixels
}

fn resized(from: (usize, usize), to: (usize, usize), how: Resampling) -> Vec<u8> {
    let pixels = picture(from.0, from.1);
    let frame = RgbFrame::new(from.0, from.1, &pixels).unwrap();
    resize(&frame, Size { height: to.0, width: to.1 }, how).unwrap()
}

/// Sum of all bytes by Pillow 11.1.0, and eight bytes in equal steps by it and by torchvision 0.29.2.
type Case = (usize, usize, usize, usize, u64, [u8; 8], [u8; 8]);
const CASES: [Case; 7] = [
    (1, 1, 56, 56, 667968, [0, 142, 142, 142, 142, 142, 142, 142], [0, 142, 142, 142, 142, 142, 142, 142]),
    (40, 50, 56, 28, 602065, [51, 99, 108, 124, 139, 123, 101, 74], [51, 99, 108, 123, 139, 123, 101, 74]),
    (90, 64, 56, 56, 1206690, [20, 99, 151, 184, 76, 104, 140, 72], [20, 99, 152, 183, 76, 104, 140, 72]),
    (
        33,
        150,
        28,
        84,
        898448,
        [57, 117, 142, 161, 108, 146, 108, 136],
        [57, 117, 142, 161, 107, 146, 108, 136],
    ),
    (64, 90, 64, 28, 688593, [93, 88, 156, 182, 96, 135, 151, 129], [93, 88, 156, 182, 96, 135, 151, 129]),
    (90, 64, 28, 64, 689436, [45, 133, 122, 151, 115, 120, 143, 88], [45, 133, 122, 151, 115, 120, 143, 88]),
    (
        121,
        75,
        28,
        28,
        300575,
        [126, 151, 123, 114, 124, 127, 124, 114],
        [126, 152, 123, 114, 124, 127, 124, 113],
    ),
];

#[test]
fn agrees_with_pillow_and_torchvision() {
    for (height, width, to_height, to_width, sum, pillow, float) in CASES {
        let eight = |bytes: &[u8]| [0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[i * (bytes.len() - 1) / 7]);
        let found = resized((height, width), (to_height, to_width), Resampling::Pillow);
        assert_eq!(found.iter().map(|b| u64::from(*b)).sum::<u64>(), sum, "{height} {width}");
        assert_eq!(eight(&found), pillow);
        let found = resized((height, width), (to_height, to_width), Resampling::Float);
        // torch may add up in another order, which shows where a mean lies between two bytes.
        assert!(eight(&found).iter().zip(float).all(|(a, b)| a.abs_diff(b) <= 1), "{height} {width}");
    }
}

#[test]
fn what_keeps_its_size_keeps_its_bytes() {
    for how in [Resampling::Pillow, Resampling::Float] {
        assert_eq!(resized((9, 7), (9, 7), how), picture(9, 7));
        // A flat picture stays flat at every size.
        for (height, width) in [(1, 1), (3, 200), (56, 28), (1, 9)] {
            let flat = [10, 200, 255].repeat(30);
            let frame = RgbFrame::new(5, 6, &flat).unwrap();
            let out = resize(&frame, Size { height, width }, how).unwrap();
            assert_eq!(out, [10, 200, 255].repeat(height * width));
        }
    }
}

#[test]
fn pictures_on_their_side() {
    // f32 between the passes: only the order of sums differs when height and width change places.
    let (tall, wide) = (picture(40, 30), resized((40, 30), (28, 56), Resampling::Float));
    let turned: Vec<u8> = (0..30)
        .flat_map(|x| (0..40).flat_map(move |y| [0, 1, 2].map(|c| (y * 30 + x) * 3 + c)))
        .map(|at| tall[at])
        .collect();
    let frame = RgbFrame::new(30, 40, &turned).unwrap();
    let out = resize(&frame, Size { height: 56, width: 28 }, Resampling::Float).unwrap();
    for y in 0..28 {
        for x in 0..56 {
            assert!(wide[(y * 56 + x) * 3].abs_diff(out[(x * 28 + y) * 3]) <= 1);
        }
    }
}

#[test]
fn refuses_by_name() {
    let error = |h, w, bytes: &[u8]| RgbFrame::new(h, w, bytes).unwrap_err().to_string();
    assert_eq!(error(2, 2, &[0; 11]), "frame: expected 12 bytes for 2 × 2 of RGB, found 11");
    assert!(error(0, 2, &[]).starts_with("frame: expected sides"));
    assert!(error(65_536, 65_536, &[]).contains("expected 12884901888 bytes"));
    let pixels = [0; 3];
    let frame = RgbFrame::new(1, 1, &pixels).unwrap();
    for (height, width) in [(0, 1), (1, 0), (1, usize::MAX)] {
        assert!(resize(&frame, Size { height, width }, Resampling::Pillow).is_err());
    }
}
