//! Files made by tools/video_files/make.sh, and what ffmpeg decodes of them.

mod damage;
mod files;
mod parts;

use super::{Frame, Video, VideoOptions};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines/videos/tests/data").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

/// Whether files can be read that ask for it.
fn has_ffmpeg() -> bool {
    ["ffmpeg", "ffprobe"].iter().all(|program| {
        Command::new(program)
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    })
}

/// Frames by their numbers.
fn frames(video: &mut Video, wanted: &[usize]) -> Result<Vec<(usize, Frame)>> {
    let mut all = Vec::new();
    video.frames(wanted, &mut |index, frame| {
        all.push((index, frame.clone()));
        Ok(())
    })?;
    Ok(all)
}

/// All frames of a file.
fn decoded(path: &Path) -> Result<Vec<(usize, Frame)>> {
    let mut video = Video::open(path)?;
    let all: Vec<usize> = (0..video.info().frames()).collect();
    frames(&mut video, &all)
}

/// A folder of its own, which goes with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("videos-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The words of an error of a file.
fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::File { reason, .. } | Error::Input { reason, .. }) => reason,
        other => unreachable!("{other:?}"),
    }
}
