//! Whole files: sizes, times and colours as ffmpeg has them, and frames in any order.

use super::{Folder, Video, VideoOptions, bytes_of, data, decoded, frames, has_ffmpeg, refused};
use crate::Error;
use crate::pipelines::videos::Frame;

/// Files that are read without other programs.
const OWN: [&str; 7] =
    ["first.mp4", "last.mp4", "fragments.mp4", "cut.mov", "turned.mp4", "moving.gif", "folder"];

/// Files that are read by ffmpeg.
const FOREIGN: [&str; 3] = ["other.mkv", "h265.mp4", "interlaced.mp4"];

/// Means of red, green and blue in the quarters of a picture.
fn quarters(frame: &Frame) -> Vec<f64> {
    let (width, height) = (frame.width, frame.height);
    let mut means = Vec::new();
    for rows in [0..height / 2, height / 2..height] {
        for columns in [0..width / 2, width / 2..width] {
            for channel in 0..3 {
                let pixels = rows.clone().flat_map(|y| columns.clone().map(move |x| y * width + x));
                let sum: f64 = pixels.map(|p| f64::from(frame.rgb[p * 3 + channel])).sum();
                means.push(sum / (rows.len() * columns.len()) as f64);
            }
        }
    }
    means
}

#[test]
fn frames_are_those_of_ffmpeg() {
    let sums = String::from_utf8(bytes_of("sums.txt")).unwrap();
    let foreign = if has_ffmpeg() { &FOREIGN[..] } else { &[] };
    for name in OWN.iter().chain(foreign) {
        let frames = decoded(&data(name)).unwrap();
        let expected: Vec<Vec<&str>> = sums
            .lines()
            .map(|line| line.split(' ').collect())
            .filter(|l: &Vec<&str>| l[0] == *name)
            .collect();
        assert_eq!(frames.len(), expected.len(), "{name}");
        for ((index, frame), line) in frames.iter().zip(expected) {
            let numbers: Vec<f64> = line[1..].iter().map(|v| v.parse().unwrap()).collect();
            assert_eq!(*index as f64, numbers[0], "{name}");
            assert!((frame.time - numbers[1]).abs() < 1e-5, "{name} {index}: {} s", frame.time);
            assert_eq!([frame.width as f64, frame.height as f64], numbers[2..4], "{name} {index}");
            for (found, expected) in quarters(frame).iter().zip(&numbers[4..]) {
                assert!((found - expected).abs() < 0.3, "{name} {index}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn what_is_known_before_a_frame_is_decoded() {
    for (name, count, rate, duration) in [
        ("first.mp4", 24, 25.0, 0.96),
        ("last.mp4", 24, 25.0, 0.96),
        ("fragments.mp4", 12, 10.0, 1.4),
        ("cut.mov", 17, 16.97, 1.0017),
        ("moving.gif", 6, 10.0, 0.6),
        ("folder", 12, 25.0, 0.48),
    ] {
        let video = Video::open(data(name)).unwrap();
        let info = video.info();
        assert_eq!((info.frames(), info.warnings.len()), (count, 0), "{name}");
        assert!(
            (info.rate - rate).abs() < 0.01 && (info.duration - duration).abs() < 0.001,
            "{name}: {info:?}"
        );
        assert!(info.times.is_sorted(), "{name}");
    }
}

#[test]
fn frames_are_found_from_anywhere() {
    let foreign = if has_ffmpeg() { &FOREIGN[..1] } else { &[] };
    for name in OWN.iter().chain(foreign) {
        let all = decoded(&data(name)).unwrap();
        let mut video = Video::open(data(name)).unwrap();
        let last = all.len() - 1;
        for wanted in [
            vec![last],
            vec![0],
            vec![0, 0, last / 2, last / 2, last],
            vec![1, last],
            vec![],
            vec![last / 2],
            vec![2],
        ] {
            let expected: Vec<_> = wanted.iter().map(|i| all[*i].clone()).collect();
            assert!(frames(&mut video, &wanted).unwrap() == expected, "{name} {wanted:?}");
        }
    }
}

#[test]
fn numbers_ascend_and_end_with_the_clip() {
    let mut video = Video::open(data("first.mp4")).unwrap();
    let mut called = false;
    for (wanted, words) in
        [(vec![3, 24], "frame 24 is past the end of a clip of 24"), (vec![4, 3], "3 comes after 4")]
    {
        let result = video.frames(&wanted, &mut |_, _| {
            called = true;
            Ok(())
        });
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Input { .. }) && error.to_string().contains(words), "{error}");
    }
    assert!(!called);
    let stopped = video.frames(&[0, 1, 2], &mut |index, _| match index {
        1 => Err(Error::input("test", "enough")),
        _ => Ok(()),
    });
    assert_eq!(refused(stopped), "enough");
    assert_eq!(frames(&mut video, &[2]).unwrap().len(), 1);
}

#[test]
fn pictures_of_a_folder_go_by_their_numbers() {
    let folder = Folder::new("pictures");
    let png = |n: usize| bytes_of(&format!("folder/p{n}.png"));
    // p10 and p9 in the natural order, and what is no picture.
    for (name, bytes) in
        [("p10.PNG", png(10)), ("p9.png", png(9)), ("notes.txt", b"9".to_vec()), (".p1.png", png(1))]
    {
        folder.file(name, &bytes);
    }
    let mut video = Video::open_with(&folder.0, &VideoOptions { picture_rate: 4.0 }).unwrap();
    assert_eq!((video.info().times.clone(), video.info().duration), (vec![0.0, 0.25], 0.5));
    let found = frames(&mut video, &[0, 1]).unwrap();
    let expected = decoded(&data("folder")).unwrap();
    assert!(found[0].1.rgb == expected[8].1.rgb && found[1].1.rgb == expected[9].1.rgb);
    let one = decoded(&data("folder/p3.png")).unwrap();
    assert!(one.len() == 1 && one[0].1.rgb == expected[2].1.rgb && one[0].1.time == 0.0);
    folder.file("q.gif", &bytes_of("moving.gif"));
    let reason = refused(Video::open(&folder.0));
    assert!(
        reason.contains("40 × 31") && reason.contains("21 × 13") && reason.contains("p9.png"),
        "{reason}"
    );
    let rate = Video::open_with(&folder.0, &VideoOptions { picture_rate: 0.0 });
    assert!(matches!(rate, Err(Error::Input { .. })));
}

#[test]
fn a_clip_may_be_read_on_another_thread() {
    let mut video = Video::open(data("last.mp4")).unwrap();
    let count = std::thread::spawn(move || frames(&mut video, &[0, 23]).map(|f| f.len())).join().unwrap();
    assert_eq!(count.unwrap(), 2);
}

#[test]
fn names_are_names_and_not_options() {
    if !has_ffmpeg() {
        return;
    }
    let folder = Folder::new("names");
    for name in ["-y.mkv", "http:%03d.mkv", "a b'\"$(x).mkv", "concat:a|b.mkv"] {
        let path = folder.file(name, &bytes_of("other.mkv"));
        assert_eq!(decoded(&path).unwrap().len(), 5, "{name}");
    }
}
