//! Parts by themselves: order of names, turns, colours, parameter sets, edits.

use crate::pipelines::videos::boxes::{Fields, boxes};
use crate::pipelines::videos::colour::{Colour, Planes};
use crate::pipelines::videos::pictures::natural;
use crate::pipelines::videos::sps::Sps;
use crate::pipelines::videos::timeline::shown;
use crate::pipelines::videos::track::{Edit, Sample, Track};
use crate::pipelines::videos::turn::Turn;

#[test]
fn names_are_in_natural_order() {
    let mut names = ["b1", "a10", "a9", "a09", "a", "a1b2", "a1b10", "ä2", "a99999999999999999999999", "A3"];
    names.sort_by(|a, b| natural(a, b));
    let expected = ["A3", "a", "a1b2", "a1b10", "a09", "a9", "a10", "a99999999999999999999999", "b1", "ä2"];
    assert_eq!(names, expected);
}

fn turn([a, b, c, d]: [i32; 4]) -> Option<Turn> {
    let bytes: Vec<u8> = [a, b, 0, c, d].iter().flat_map(|v| (v * 0x1_0000).to_be_bytes()).collect();
    Turn::of_matrix(&mut Fields(&bytes))
}

#[test]
fn pictures_turn_as_the_matrix_says() {
    // Two columns, three rows; each pixel is its number.
    let picture: Vec<u8> = (0..6).flat_map(|n| [n; 3]).collect();
    let turned = |matrix| {
        let turn = turn(matrix).unwrap();
        let (mut rgb, mut spare) = (picture.clone(), Vec::new());
        turn.apply((2, 3), &mut rgb, &mut spare);
        (turn.size((2, 3)), rgb.iter().step_by(3).copied().collect::<Vec<u8>>())
    };
    assert_eq!(turned([1, 0, 0, 1]), ((2, 3), vec![0, 1, 2, 3, 4, 5]));
    // Clockwise: the left column becomes the top row, from its lower end on.
    assert_eq!(turned([0, 1, -1, 0]), ((3, 2), vec![4, 2, 0, 5, 3, 1]));
    assert_eq!(turned([-1, 0, 0, -1]), ((2, 3), vec![5, 4, 3, 2, 1, 0]));
    assert_eq!(turned([0, -1, 1, 0]), ((3, 2), vec![1, 3, 5, 0, 2, 4]));
    assert_eq!(turned([-1, 0, 0, 1]), ((2, 3), vec![1, 0, 3, 2, 5, 4]));
    let quarter = turn([0, 1, -1, 0]).unwrap();
    assert_eq!(quarter.then(quarter), turn([-1, 0, 0, -1]).unwrap());
    assert_eq!(quarter.then(quarter).then(quarter).then(quarter), Turn::default());
    assert_eq!((turn([1, 1, -1, 1]), turn([0, 0, 0, 0])), (None, None));
}

#[test]
fn colours_follow_matrix_and_range() {
    let rgb = |colour: Colour, [y, u, v]: [u8; 3]| {
        let planes =
            Planes { width: 1, luma: &[y], luma_stride: 1, chroma: Some((&[u], &[v])), chroma_stride: 1 };
        let mut rgb = [0; 3];
        colour.convert(&planes, &mut rgb);
        rgb
    };
    let colour = |matrix, full| Colour { matrix, full };
    for matrix in [1, 2, 5, 6, 9] {
        assert_eq!(rgb(colour(matrix, false), [16, 128, 128]), [0; 3]);
        assert_eq!(rgb(colour(matrix, true), [255, 128, 128]), [255; 3]);
        assert!(rgb(colour(matrix, false), [235, 128, 128]).iter().all(|v| *v >= 254));
    }
    // Red of full strength in BT.601 and in BT.709.
    let near = |found: [u8; 3]| found[0] >= 252 && found[1] <= 2 && found[2] <= 2;
    assert!(near(rgb(colour(2, false), [81, 90, 240])) && near(rgb(colour(1, false), [63, 102, 240])));
    assert!(!near(rgb(colour(1, false), [81, 90, 240])));
}

/// A parameter set of x264 for 64 × 48 pixels, High profile.
const SPS: [u8; 24] = [
    0x67, 0x64, 0, 0x0a, 0xac, 0xd9, 0x44, 0x7b, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0x20, 0xf1, 0x22,
    0x59, 0x60,
];

#[test]
fn parameter_sets_are_read_or_refused() {
    let sps = Sps::read(&SPS).unwrap();
    assert_eq!((sps.size, sps.unread(), sps.is_grey()), ((64, 48), None, false));
    let mut ten = SPS;
    ten[1] = 110;
    assert_eq!(Sps::read(&ten).unwrap().unread(), Some("H.264 of profile 110".into()));
    for end in 0..8 {
        assert_eq!(Sps::read(&SPS[..end]), None);
    }
}

fn track(edits: Vec<Edit>) -> Track {
    let sample = |shown| Sample { offset: 0, size: 1, shown, duration: 10, sync: true };
    Track {
        id: 1,
        scale: 100,
        movie_scale: 1000,
        edits,
        turn: Turn::default(),
        codec: *b"avc1",
        avc: None,
        colour: None,
        // As a picture that two later ones refer to: 0, 3, 1, 2, and 20 units late.
        samples: [20, 50, 30, 40].map(sample).to_vec(),
        changes: false,
    }
}

#[test]
fn edits_say_what_is_shown_and_when() {
    let listed = |edits: Vec<Edit>| -> Vec<(usize, i64)> {
        let frames = shown(&track(edits)).unwrap();
        frames.iter().map(|f| (f.sample, (f.time * 1000.0).round() as i64)).collect()
    };
    let edit = |start, duration| Edit { start, duration };
    assert_eq!(listed(vec![]), [(0, 200), (2, 300), (3, 400), (1, 500)]);
    assert_eq!(listed(vec![edit(Some(20), 400)]), [(0, 0), (2, 100), (3, 200), (1, 300)]);
    // Until the end, where no duration is known.
    assert_eq!(listed(vec![edit(Some(20), 0)]), [(0, 0), (2, 100), (3, 200), (1, 300)]);
    // A pause before, and a part cut off on both sides.
    assert_eq!(listed(vec![edit(None, 500), edit(Some(30), 200)]), [(2, 500), (3, 600)]);
    // Within a frame.
    assert_eq!(listed(vec![edit(Some(25), 300)]), [(2, 0), (3, 100), (1, 200)]);
    // The end before the beginning, and twice.
    let parts = vec![edit(Some(40), 200), edit(Some(20), 100), edit(Some(20), 100)];
    assert_eq!(listed(parts), [(3, 0), (1, 100), (0, 200), (0, 300)]);
}

#[test]
fn boxes_end_where_they_no_longer_fit() {
    let bytes = [&[0, 0, 0, 9][..], b"abcd!", &[0, 0, 0, 99], b"efgh", b"rest"].concat();
    let found: Vec<_> = boxes(&bytes).collect();
    assert_eq!(found, [(*b"abcd", &b"!"[..])]);
    let whole = [&[0, 0, 0, 0][..], b"efgh", b"rest"].concat();
    assert_eq!(boxes(&whole).collect::<Vec<_>>(), [(*b"efgh", &b"rest"[..])]);
    let long = [&[0, 0, 0, 1][..], b"efgh", &18u64.to_be_bytes(), b"re"].concat();
    assert_eq!(boxes(&long).collect::<Vec<_>>(), [(*b"efgh", &b"re"[..])]);
    for size in [2u8, 7] {
        assert_eq!(boxes(&[0, 0, 0, size, 1, 2, 3, 4]).count(), 0);
    }
}
