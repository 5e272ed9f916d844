#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

fn fit(height: usize, width: usize, limits: PixelLimits) -> Result<(usize, usize)> {
    smart_resize(Size { height, width }, 28, &limits).map(|s| (s.height, s.width))
}

/// Made by qwen-vl-utils 0.0.14.
#[test]
fn agrees_with_the_authors() {
    let image = PixelLimits::image(28);
    assert_eq!((image.min, image.max), (3136.0, 12_845_056.0));
    for (size, expected) in IMAGES {
        assert_eq!(fit(size.0, size.1, image).unwrap(), expected, "{size:?}");
    }
    for (size, frames, expected) in VIDEOS {
        assert_eq!(
            fit(size.0, size.1, PixelLimits::video(28, frames, None)).unwrap(),
            expected,
            "{size:?} {frames}"
        );
    }
}
const IMAGES: [((usize, usize), (usize, usize)); 9] = [
    ((1, 1), (56, 56)),
    ((720, 1280), (728, 1288)),
    ((1280, 720), (1288, 728)),
    ((480, 640), (476, 644)),
    ((4000, 6000), (2912, 4368)),
    ((30, 5000), (28, 5012)),
    ((14, 42), (56, 112)),
    ((55, 57), (56, 56)),
    ((1080, 1920), (1092, 1932)),
];
type Video = ((usize, usize), usize, (usize, usize));
const VIDEOS: [Video; 7] = [
    ((270, 480), 16, (280, 476)),
    ((480, 270), 16, (476, 280)),
    ((720, 1280), 64, (560, 1008)),
    ((1080, 1920), 570, (420, 728)),
    ((1920, 1080), 570, (728, 420)),
    ((360, 640), 768, (364, 644)),
    ((100, 100), 4, (336, 336)),
];

#[test]
fn halves_go_to_the_even_neighbour() {
    let free = PixelLimits { min: 1.0, max: 1e9 };
    for (side, expected) in [(14, 28), (42, 56), (70, 56), (71, 84), (98, 112), (126, 112), (2, 28)] {
        assert_eq!(fit(side, 280, free).unwrap(), (expected, 280), "{side}");
    }
}

#[test]
fn a_clip_shares_its_pixels() {
    let most = |frames, own| PixelLimits::video(28, frames, own).max;
    assert_eq!(most(1, None), 602_112.0);
    assert_eq!(most(300, None), 602_112.0);
    assert_eq!(most(570, None), 316_901.052_631_578_96);
    assert_eq!(most(768, None), 235_200.0);
    // Never below 1.05 times the least.
    assert_eq!(most(100_000, None), 105_369.0);
    assert_eq!(most(4, Some(200_000.0)), 200_000.0);
    assert_eq!(most(768, Some(1e9)), 235_200.0);
    assert_eq!(most(0, None), 602_112.0);
}

#[test]
fn refuses_by_name() {
    let image = PixelLimits::image(28);
    let error = |h, w, limits| fit(h, w, limits).unwrap_err().to_string();
    for (h, w) in [(0, 5), (5, 0), (usize::MAX, 5), (5, 65_537)] {
        assert!(error(h, w, image).starts_with("picture: expected sides of 1 ..= 65536"), "{h} {w}");
    }
    assert!(error(1, 201, image).contains("200 times apart, found 1 × 201"));
    assert!(error(201, 1, image).contains("200 times apart"));
    for (min, max) in
        [(0.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (1.0, f64::NAN), (1.0, f64::INFINITY), (-1.0, 5.0)]
    {
        assert!(error(50, 50, PixelLimits { min, max }).starts_with("pixel limits"), "{min} {max}");
    }
    for factor in [0, usize::MAX] {
        assert!(smart_resize(Size { height: 5, width: 5 }, factor, &image).is_err());
    }
}

/// Over random sizes: whole tokens, within bounds, and a picture on its side has the size on its side.
#[test]
fn sizes_keep_to_their_bounds() {
    let mut seed = 3u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + ((seed >> 33) % below) as usize
    };
    for _ in 0..2000 {
        let (height, width, frames) = (random(3000), random(3000), random(900));
        if height.max(width) > 50 * height.min(width) {
            continue;
        }
        for limits in [PixelLimits::image(28), PixelLimits::video(28, frames, None)] {
            let (new_height, new_width) = fit(height, width, limits).unwrap();
            assert!(new_height % 28 == 0 && new_width % 28 == 0 && new_height > 0 && new_width > 0);
            let pixels = (new_height * new_width) as f64;
            assert!(pixels >= limits.min.min(limits.max / 2.0) && pixels <= limits.max, "{height} {width}");
            assert_eq!(fit(width, height, limits).unwrap(), (new_width, new_height));
        }
    }
}
