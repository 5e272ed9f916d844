#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use serde_json::Value;

use super::*;
use crate::models::qwen2_5_vl::QwenVlConfig;

fn vision() -> QwenVisionConfig {
    QwenVlConfig::qwen2_5_vl_3b().vision
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

/// Grids, single and joined, whose order was made by transformers 4.49.0, empty windows left out.
#[test]
fn agrees_with_transformers() {
    let cases: Value = serde_json::from_str(include_str!("grids.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let grids = case["grids"].as_array().unwrap().iter();
        let grids: Vec<Grid> =
            grids.map(|g| <[u32; 3]>::try_from(numbers(g)).unwrap().map(|n| n as usize)).collect();
        let order = WindowOrder::new(&vision(), &grids).unwrap();
        assert_eq!(order.index, numbers(&case["index"]));
        assert_eq!(order.windows, numbers(&case["windows"]));
        assert_eq!(order.slices, numbers(&case["slices"]));
    }
}

#[test]
fn windows_of_a_usual_clip() {
    let order = WindowOrder::new(&vision(), &[[2, 20, 34]]).unwrap();
    let sizes: Vec<u32> = order.windows.windows(2).map(|w| w[1] - w[0]).collect();
    let count = |size| sizes[..15].iter().filter(|s| **s == size).count();
    assert_eq!((sizes.len(), order.index.len()), (30, 340));
    assert_eq!([64, 32, 16, 8].map(count), [8, 4, 2, 1]);
    assert_eq!(order.slices, [0, 680, 1360]);
    // 4 × 10 × 6 patches: two windows a slice, the order is the raster.
    let order = WindowOrder::new(&vision(), &[[4, 10, 6]]).unwrap();
    assert_eq!(order.windows, [0, 48, 60, 108, 120, 168, 180, 228, 240]);
    assert_eq!(order.index, (0..60).collect::<Vec<_>>());
}

#[test]
fn patches_of_a_unit_lie_together() {
    let order = WindowOrder::new(&vision(), &[[1, 4, 4]]).unwrap();
    let first = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 0]];
    assert_eq!(order.positions[..9], first);
    // A portrait clip is not a landscape one.
    let order = WindowOrder::new(&vision(), &[[1, 4, 2]]).unwrap();
    assert_eq!(order.positions[7], [3, 1]);
    let order = WindowOrder::new(&vision(), &[[1, 2, 4]]).unwrap();
    assert_eq!(order.positions[7], [1, 3]);
}

#[test]
fn frequencies_start_at_one() {
    let angles = vision_frequencies(80);
    assert_eq!((angles.len(), angles[0]), (20, 1.0));
    assert!((angles[10] - 0.01).abs() < 1e-8 && (angles[19] - 1.584_893_2e-4).abs() < 1e-10);
}

/// Over random grids: every unit once, windows within slices and at most 16 units, positions a grid's.
#[test]
fn every_unit_has_one_place() {
    let mut seed = 7u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..100 {
        let grids: Vec<Grid> =
            (0..1 + random(3)).map(|_| [1 + random(3), 2 + 2 * random(15), 2 + 2 * random(15)]).collect();
        let order = WindowOrder::new(&vision(), &grids).unwrap();
        let rows: usize = grids.iter().map(|g| g.iter().product::<usize>()).sum();
        assert_eq!((order.rows(), order.index.len() * 4), (rows, rows));
        assert!(order.index.iter().enumerate().all(|(i, unit)| order.inverse[*unit as usize] as usize == i));
        assert!(order.windows.windows(2).all(|w| w[0] < w[1] && w[1] - w[0] <= 64));
        assert!(order.slices.iter().all(|start| order.windows.contains(start)));
        assert_eq!(order.windows.last().copied(), Some(rows as u32));
        // A window is a square of the picture.
        let moved = order.window_positions();
        for window in order.windows.windows(2) {
            let inside = &moved[window[0] as usize..window[1] as usize];
            for axis in 0..2 {
                let (least, most) =
                    (inside.iter().map(|p| p[axis]).min(), inside.iter().map(|p| p[axis]).max());
                assert!(least.unwrap() % 8 == 0 && most.unwrap() - least.unwrap() < 8);
            }
        }
        // Slices are alone: the order of one does not depend on the others.
        let alone = WindowOrder::new(&vision(), &[[1, grids[0][1], grids[0][2]]]).unwrap();
        assert!(order.index.starts_with(&alone.index) && order.positions.starts_with(&alone.positions));
    }
}

#[test]
fn refuses_by_name() {
    let error = |grids: &[Grid]| WindowOrder::new(&vision(), grids).unwrap_err().to_string();
    assert!(error(&[[1, 2, 2], [1, 0, 2]]).starts_with("grid 1: expected a grid of 1 ..="));
    assert!(error(&[[1, 2, 3]]).contains("multiples of 2 patches, found 2 × 3"));
    assert!(error(&[[usize::MAX, usize::MAX, 2]]).starts_with("grid 0"));
    assert!(error(&[[1, 4096, 2048], [1, 4096, 4096]]).starts_with("grid 1: expected up to"));
    let empty = WindowOrder::new(&vision(), &[]).unwrap();
    assert_eq!((empty.rows(), empty.windows), (0, vec![0]));
    for size in [0, 27] {
        let narrow = QwenVisionConfig { window_size: size, ..vision() };
        assert!(WindowOrder::new(&narrow, &[[1, 2, 2]]).unwrap_err().to_string().starts_with("window_size"));
    }
    let hollow = QwenVisionConfig { merge_size: 0, ..vision() };
    assert!(WindowOrder::new(&hollow, &[[1, 2, 2]]).is_err());
}
