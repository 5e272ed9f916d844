#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use serde_json::Value;

use super::*;

const RULES: [MropeRule; 3] = [MropeRule::V4_49, MropeRule::V4_57, MropeRule::V5_23];
const START: u32 = 151_652;
const END: u32 = 151_653;
const IMAGE: u32 = 151_655;
const VIDEO: u32 = 151_656;

fn config() -> QwenVlConfig {
    QwenVlConfig::qwen2_5_vl_3b()
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

/// `text` tokens, then a video between its marks, then `behind` tokens.
fn prompt(text: usize, grid: Grid, behind: usize) -> Vec<u32> {
    let tokens = grid.iter().product::<usize>() / 4;
    [vec![9; text], vec![START], vec![VIDEO; tokens], vec![END], vec![9; behind]].concat()
}

/// Twelve prompts whose positions were made by `get_rope_index` of each release, on random layouts.
#[test]
fn agrees_with_each_release() {
    let layouts: Value = serde_json::from_str(include_str!("layouts.json")).unwrap();
    let grids = |value: &Value| -> Vec<Grid> {
        value.as_array().unwrap().iter().map(|g| numbers(g).try_into().unwrap()).collect()
    };
    for layout in layouts.as_array().unwrap() {
        let ids: Vec<u32> = numbers(&layout["ids"]).into_iter().map(|id| id as u32).collect();
        let seconds = layout["seconds"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap() as f32);
        let video = |(grid, second_per_grid)| VideoGrid { grid, second_per_grid };
        let videos: Vec<_> = grids(&layout["videos"]).into_iter().zip(seconds).map(video).collect();
        for (i, (rule, key)) in RULES.into_iter().zip(["v4_49", "v4_57", "v5_23"]).enumerate() {
            let found = mrope_positions(&config(), &ids, &grids(&layout["images"]), &videos, rule).unwrap();
            for (row, expected) in found.rows.iter().zip(layout[key].as_array().unwrap()) {
                assert_eq!(
                    row.iter().map(|p| *p as usize).collect::<Vec<_>>(),
                    numbers(expected),
                    "{rule:?}"
                );
            }
            assert_eq!(Some(found.rope_delta()), layout["deltas"][i].as_i64());
        }
    }
}

/// 6 tokens, a video of 4 × 10 × 6 patches at 1.3 seconds a step, 10 tokens: made by each release.
#[test]
fn releases_differ_where_they_do() {
    let grid = [4, 10, 6];
    let videos = [VideoGrid { grid, second_per_grid: 1.3 }];
    for (rule, times, text, delta) in [
        (MropeRule::V4_49, [7, 9, 12, 14], 15, -52),
        (MropeRule::V4_57, [7, 9, 11, 13], 14, -53),
        (MropeRule::V5_23, [7, 9, 12, 14], 12, -55),
    ] {
        let found = mrope_positions(&config(), &prompt(6, grid, 9), &[], &videos, rule).unwrap();
        assert_eq!([7, 22, 37, 52].map(|i| found.rows[0][i]), times, "{rule:?}");
        assert!(found.rows.iter().all(|row| row.len() == 77 && row[67] == text && row[6] == 6));
        assert_eq!(found.rope_delta(), delta);
        assert_eq!(
            [7, 8, 9, 10, 21].map(|i| (found.rows[1][i], found.rows[2][i])),
            [(7, 7), (7, 8), (7, 9), (8, 7), (11, 9)]
        );
    }
    assert_eq!(MropeRule::default(), MropeRule::V4_49);
}

#[test]
fn slow_and_fast_clips() {
    // 38 minutes at a frame each 4 seconds: 570 frames, 285 steps of 8 seconds, none of them lost or joined.
    let times = temporal_ids(285, 8.0, 2, MropeRule::V4_49).unwrap();
    assert_eq!((times[1], times[284]), (16, 4544));
    // Five frames a second are 0.4 seconds a step, 0.8 positions: two steps share one.
    assert_eq!(temporal_ids(6, 0.4, 2, MropeRule::V4_49).unwrap(), [0, 0, 1, 2, 3, 4]);
    // Above two frames a second, 4.57 loses all time.
    assert_eq!(temporal_ids(3, 0.99, 2, MropeRule::V4_57).unwrap(), [0, 0, 0]);
    assert!(temporal_ids(0, 1.0, 2, MropeRule::V4_49).unwrap().is_empty());
    for rule in RULES {
        for seconds in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e30] {
            let error = temporal_ids(3, seconds, 2, rule).unwrap_err().to_string();
            assert!(error.starts_with("second_per_grid: "), "{error}");
        }
    }
}

#[test]
fn text_alone_counts() {
    let found = mrope_positions(&config(), &[5, 6, START, 7], &[], &[], MropeRule::V5_23).unwrap();
    assert!(found.rows.iter().all(|row| *row == [0, 1, 2, 3]));
    assert_eq!((found.next, found.rope_delta()), (4, 0));
    assert_eq!(mrope_positions(&config(), &[], &[], &[], MropeRule::V4_49).unwrap().next, 0);
}

#[test]
fn timestamps_as_text_make_a_block_of_each_step() {
    let videos = [VideoGrid { grid: [3, 4, 2], second_per_grid: 8.0 }];
    let blocks = timestamped(&videos);
    assert_eq!(blocks, [VideoGrid { grid: [1, 4, 2], second_per_grid: 8.0 }; 3]);
    // Two tokens of time, start, two of the step, end: each block starts where the text before it ends.
    let ids = [9, 9, START, VIDEO, VIDEO, END].repeat(3);
    for rule in RULES {
        let found = mrope_positions(&config(), &ids, &[], &blocks, rule).unwrap();
        assert_eq!(found.rows[0], [0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 9, 11, 12, 13, 14, 15, 15, 17]);
        assert_eq!((found.rows[1][4], found.rows[2][4], found.next), (4, 3, 18));
    }
}

#[test]
fn counts_that_differ_are_named() {
    let config = config();
    let video = |grid| VideoGrid { grid, second_per_grid: 1.0 };
    let ask = |ids: &[u32], images: &[Grid], videos: &[VideoGrid]| {
        mrope_positions(&config, ids, images, videos, MropeRule::V4_49).unwrap_err().to_string()
    };
    let ids = prompt(3, [2, 4, 4], 1);
    assert_eq!(ask(&ids, &[], &[]), "video grids: expected 1, one for each run of token 151656, found 0");
    let error = ask(&ids, &[[1, 2, 2]], &[video([2, 4, 4])]);
    assert_eq!(error, "image grids: expected 0, one for each run of token 151655, found 1");
    let error = ask(&ids, &[], &[video([3, 4, 4])]);
    assert_eq!(error, "video 0: expected 12 placeholder tokens, of a grid of 3 × 4 × 4 patches, found 8");
    // A prompt cut at the front: the second block is whole, the first is not.
    let joined = [prompt(0, [2, 4, 4], 0), prompt(0, [1, 2, 2], 0)].concat();
    let error = ask(&joined[4..], &[], &[video([2, 4, 4]), video([1, 2, 2])]);
    assert!(error.starts_with("video 0: expected 8 placeholder tokens"), "{error}");
    assert!(ask(&ids, &[], &[video([0, 4, 4])]).contains("found 0 × 4 × 4"));
    assert!(ask(&ids, &[], &[video([2, 3, 4])]).contains("multiples of 2 patches, found 3 × 4"));
    assert!(ask(&ids, &[], &[video([usize::MAX, 4, 4])]).starts_with("video 0: expected a grid of 1 ..="));
    // Two images without a mark between them are one run.
    assert!(
        ask(&[IMAGE, IMAGE], &[[1, 2, 2]; 2], &[]).contains("expected 1, one for each run of token 151655")
    );
    let apart =
        mrope_positions(&config, &[IMAGE, VIDEO], &[[1, 2, 2]], &[video([1, 2, 2])], MropeRule::V4_49);
    assert_eq!(apart.unwrap().rows[0], [0, 1]);
}

/// Over random layouts: rows as long as the prompt, text equal on all axes and growing, `next` above all.
#[test]
fn positions_grow() {
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..200 {
        let (mut ids, mut images, mut videos) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..random(5) {
            let grid = [1 + random(6) as usize, 2 + 2 * random(5) as usize, 2 + 2 * random(5) as usize];
            ids.extend(std::iter::repeat_n(9, random(6) as usize));
            let video = random(2) == 0;
            let grid = if video { grid } else { [1, grid[1], grid[2]] };
            let tokens = grid.iter().product::<usize>() / 4;
            ids.push(START);
            ids.extend(std::iter::repeat_n(if video { VIDEO } else { IMAGE }, tokens));
            ids.push(END);
            if video {
                videos.push(VideoGrid { grid, second_per_grid: 0.4 + random(80) as f32 / 10.0 });
            } else {
                images.push(grid);
            }
        }
        for rule in RULES {
            let found = mrope_positions(&config(), &ids, &images, &videos, rule).unwrap();
            assert!(found.rows.iter().all(|row| row.len() == ids.len()));
            let largest = found.rows.iter().flatten().max().map_or(0, |p| p + 1);
            assert_eq!(found.next, largest);
            let text = |i: &usize| ids[*i] != IMAGE && ids[*i] != VIDEO;
            let places: Vec<_> = (0..ids.len()).filter(text).collect();
            assert!(places.iter().all(|i| found.rows.iter().all(|row| row[*i] == found.rows[0][*i])));
            assert!(places.windows(2).all(|w| found.rows[0][w[0]] < found.rows[0][w[1]]));
        }
    }
}
