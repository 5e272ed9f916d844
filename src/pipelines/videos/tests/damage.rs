//! What is no video, is cut off or has wrong bytes: an error in words, and never a panic.

use super::{Folder, Video, bytes_of, data, decoded, frames, refused};
use crate::Error;
use crate::pipelines::videos::Reader;
use crate::pipelines::videos::boxes::find;
use crate::pipelines::videos::program::Program;
use crate::pipelines::videos::track::Track;
use std::path::Path;

const FILES: [&str; 7] =
    ["first.mp4", "last.mp4", "fragments.mp4", "cut.mov", "turned.mp4", "moving.gif", "folder/p3.png"];

/// Asks for each frame by itself; the number of those that can be read.
fn readable(path: &Path) -> usize {
    match Video::open(path) {
        Ok(mut video) => {
            // Of what turns out to be another coding, each call starts ffmpeg.
            let most = if matches!(video.reader, Reader::Program(_)) { 1 } else { 60 };
            let count = video.info().frames().min(most);
            (0..count).filter(|i| checked(&frames(&mut video, &[*i]))).count()
        }
        other => usize::from(checked(&other)),
    }
}

/// Whether it is well; if not, it is an error of the file.
fn checked<T>(result: &crate::Result<T>) -> bool {
    if let Err(error) = result {
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
    result.is_ok()
}

#[test]
fn files_may_break_off_anywhere() {
    let folder = Folder::new("cut");
    for name in FILES {
        let bytes = bytes_of(name);
        let whole = decoded(&data(name)).unwrap().len();
        let mut before = 0;
        for part in 0..=50 {
            let path = folder.file("cut", &bytes[..bytes.len() * part / 50]);
            let count = readable(&path);
            // Where the index comes last, nothing is read before it is there.
            assert!(count >= before && count <= whole, "{name} {part}: {count} after {before}");
            before = count;
        }
        assert_eq!(before, whole, "{name}");
    }
}

#[test]
fn bytes_may_be_wrong() {
    let folder = Folder::new("wrong");
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for name in FILES {
        for _ in 0..25 {
            let mut bytes = bytes_of(name);
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            // What no longer looks like itself would be asked of ffmpeg.
            if bytes[..12] == bytes_of(name)[..12] {
                readable(&folder.file("wrong", &bytes));
            }
        }
    }
}

#[test]
fn damage_is_named_and_passed_by() {
    let folder = Folder::new("damage");
    let mut bytes = bytes_of("first.mp4");
    let track = Track::of(find(&bytes, b"moov").unwrap(), bytes.len() as u64).unwrap();
    // The second sample, of a part that begins at the first.
    let sample = track.samples[1];
    let place = sample.offset as usize..sample.offset as usize + sample.size as usize;
    bytes[place].iter_mut().skip(5).for_each(|b| *b = 0);
    let path = folder.file("damaged.mp4", &bytes);
    let mut video = Video::open(&path).unwrap();
    assert_eq!(frames(&mut video, &[0]).unwrap().len(), 1);
    let reason = refused(frames(&mut video, &[0, 1]));
    assert!(reason.starts_with("frame 1 (at 0.040 s): the decoder refuses it"), "{reason}");
    let reason = refused(frames(&mut video, &[5]));
    assert!(reason.contains("frame 5 (at 0.200 s): it is decoded by way of frame 1, and"), "{reason}");
    // The next part begins at frame 8.
    let whole = decoded(&data("first.mp4")).unwrap();
    assert!(frames(&mut video, &[0, 8, 23]).unwrap() == [0, 8, 23].map(|i| whole[i].clone()));
}

#[test]
fn what_is_no_video_is_refused_in_words() {
    let folder = Folder::new("refused");
    let mut wide = bytes_of("moving.gif");
    wide[6..8].copy_from_slice(&20_000u16.to_le_bytes());
    let empty = folder.0.join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (path, words) in [
        (folder.file("a.mp4", b""), "it is empty"),
        (folder.file("b.mp4", b"It was a dark and stormy night."), "neither a video nor a picture"),
        (folder.file("c.mp4", b"\0\0\0\x08ftyp"), "no index of a movie (moov)"),
        (folder.file("d.mp4", b"\0\0\0\x08moov"), "no header (mvhd)"),
        (folder.file("e.gif", &wide), "20000 × 31 pixels"),
        (folder.file("f.gif", &bytes_of("moving.gif")[..30]), "as a GIF"),
        (data("sound.mp4"), "there is no video track"),
        (empty, "no picture in it"),
    ] {
        let reason = refused(Video::open(&path));
        assert!(reason.contains(words), "{}: {reason}", path.display());
    }
    assert!(matches!(Video::open(folder.0.join("none.mp4")), Err(Error::Io { .. })));
    #[cfg(unix)]
    assert_eq!(refused(Video::open("/dev/zero")), "neither a regular file nor a folder");
}

#[test]
fn a_missing_program_is_named_with_what_to_do() {
    let reason = refused(
        Program::open(&data("h265.mp4"), "video coded as H.265 (hvc1)", ["no-such-probe", "no-such-program"])
            .map(|_| ()),
    );
    assert!(reason.starts_with("video coded as H.265 (hvc1) is read by the programs ffmpeg"), "{reason}");
    assert!(reason.contains("ffmpeg -i in -c:v libx264"), "{reason}");
}
