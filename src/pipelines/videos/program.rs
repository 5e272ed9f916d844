//! Frames of files that only the program ffmpeg reads, where it is installed.

use super::{Frame, VideoInfo, check_size};
use crate::{Error, Result};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// Containers that are read: of playlists and scripts, which name further files, a hostile one would make the program open
/// those.
const CONTAINERS: &str =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,nut,ivf,apng,dv,gif";

/// Characters of the program's complaints that are kept.
const COMPLAINTS: u64 = 2_000;

/// The program that lists frames, and the one that decodes them.
pub(super) const PROGRAMS: [&str; 2] = ["ffprobe", "ffmpeg"];

/// A file that is decoded by ffmpeg.
pub(super) struct Program {
    programs: [&'static str; 2],
    path: PathBuf,
    times: Vec<f64>,
    frame: Frame,
    run: Option<Run>,
    /// The frame that comes next out of the run.
    next: usize,
}

/// A running program, which ends with this.
struct Run {
    child: Child,
    out: BufReader<ChildStdout>,
    complaints: Option<JoinHandle<String>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    /// Starts a program; `None` where it is not installed.
    fn start(program: &str, path: &Path, before: &[&str], after: &[&str]) -> Result<Option<Self>> {
        let io = |e| Error::io(path, e);
        // Neither a name that begins with a dash nor one like `http:` is taken for something else.
        let mut input = OsString::from("file:");
        input.push(std::path::absolute(path).map_err(io)?);
        let child = Command::new(program)
            .args([
                "-hide_banner",
                "-v",
                "error",
                "-protocol_whitelist",
                "file",
                "-format_whitelist",
                CONTAINERS,
            ])
            .args(before)
            .arg("-i")
            .arg(input)
            .args(after)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file(path, format!("{program} cannot be started: {error}"))),
        };
        let (out, complaints) = (child.stdout.take(), child.stderr.take());
        // Read on the side, since a full pipe would stop the program.
        let complaints = complaints.map(|mut stream| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stream.by_ref().take(COMPLAINTS).read_to_end(&mut text);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                String::from_utf8_lossy(&text).trim().to_owned()
            })
        });
        match out {
            Some(out) => Ok(Some(Self { child, out: BufReader::with_capacity(1 << 16, out), complaints })),
            None => Err(Error::file(path, format!("{program} gives nothing"))),
        }
    }

    /// Ends it and tells whether it failed, and of what it complained.
    fn end(mut self) -> (bool, String) {
        let _ = std::io::copy(&mut self.out, &mut std::io::sink());
        let failed = self.child.wait().is_ok_and(|status| !status.success());
        let text = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        (failed, text)
    }
}

/// The program's words without the file's name, which stands in the error already.
fn words(text: &str) -> String {
    let line = text.lines().last().unwrap_or("nothing");
    line.rsplit_once(": ").map_or(line, |(_, last)| last).to_owned()
}

impl Program {
    /// Asks ffprobe for the times of all frames, and ffmpeg for the first frame. `what` is what the file is, in a reader's
    /// words.
    pub(super) fn open(path: &Path, what: &str, programs: [&'static str; 2]) -> Result<(Self, VideoInfo)> {
        let missing = || {
            Error::file(
                path,
                format!(
                    "{what} is read by the programs ffmpeg and ffprobe, which are not on the PATH: install them, or \
                     convert the file on another machine by `ffmpeg -i in -c:v libx264 -pix_fmt yuv420p out.mp4`"
                ),
            )
        };
        // Frames and not packets: of hidden and of damaged ones there are other numbers.
        let entries = "frame=best_effort_timestamp_time,duration_time,pkt_duration_time:format=start_time";
        let probe =
            Run::start(programs[0], path, &["-select_streams", "V:0", "-show_entries", entries], &[])?;
        let (mut times, end) = times(path, what, probe.ok_or_else(missing)?)?;
        let first = times.first().copied().unwrap_or(0.0);
        // Where the clock stands that counts on, frames come one after the other.
        for index in 1..times.len() {
            let before = times.get(index - 1).copied().unwrap_or(first);
            if let Some(time) = times.get_mut(index) {
                *time = time.max(before);
            }
        }
        let frame = Frame { width: 0, height: 0, rgb: Vec::new(), time: 0.0 };
        let mut made = Self { programs, path: path.to_owned(), times, frame, run: None, next: 0 };
        if !made.begin("-fps_mode", "passthrough")? {
            return Err(missing());
        }
        made.read()?;
        made.rest();
        let size = (made.frame.width, made.frame.height);
        let info = VideoInfo::new(size, made.times.clone(), end);
        Ok((made, info))
    }

    /// Starts decoding at the first frame; false where ffmpeg is not installed.
    fn begin(&mut self, option: &str, value: &str) -> Result<bool> {
        let after = [
            "-map",
            "0:V:0",
            option,
            value,
            "-c:v",
            "ppm",
            "-pix_fmt",
            "rgb24",
            "-f",
            "image2pipe",
            "pipe:1",
        ];
        self.next = 0;
        self.run = Run::start(self.programs[1], &self.path, &["-nostdin"], &after)?;
        Ok(self.run.is_some())
    }

    /// Ends the program.
    pub(super) fn rest(&mut self) {
        self.run = None;
    }

    /// A frame by its number.
    pub(super) fn frame(&mut self, index: usize) -> Result<&Frame> {
        if self.run.is_none() || self.next > index + 1 {
            self.rest();
            if !self.begin("-fps_mode", "passthrough")? {
                return Err(Error::file(&self.path, "ffmpeg is gone"));
            }
        }
        while self.next <= index {
            self.read()?;
        }
        self.frame.time = self.times.get(index).copied().unwrap_or(0.0);
        Ok(&self.frame)
    }

    /// Reads the next frame.
    fn read(&mut self) -> Result<()> {
        let run = self.run.as_mut().ok_or_else(|| Error::file(&self.path, "ffmpeg is not running"))?;
        let size = picture(&mut run.out, &mut self.frame.rgb, |size| check_size(&self.path, size));
        let Some(size) = size? else {
            let text = self.run.take().map(|run| run.end().1).unwrap_or_default();
            // The option has another name before version 5.1.
            if self.next == 0 && text.contains("fps_mode") && self.begin("-vsync", "0")? {
                return self.read();
            }
            let place = self.times.get(self.next).map_or(String::new(), |t| format!(" (at {t:.3} s)"));
            let said = if text.is_empty() { String::new() } else { format!(": {}", words(&text)) };
            return Err(Error::file(&self.path, format!("ffmpeg gives no frame {}{place}{said}", self.next)));
        };
        let expected = (self.frame.width, self.frame.height);
        if self.next > 0 && size != expected {
            let (wide, high) = expected;
            let change = format!("{} × {} pixels, the clip {wide} × {high}", size.0, size.1);
            return Err(Error::file(&self.path, format!("frame {} has {change}", self.next)));
        }
        (self.frame.width, self.frame.height) = size;
        self.next += 1;
        Ok(())
    }
}

/// Times of frames from ffprobe's lines, in seconds from where the file begins, and where the last one ends.
fn times(path: &Path, what: &str, mut probe: Run) -> Result<(Vec<f64>, f64)> {
    let (mut times, mut durations, mut start) = (Vec::new(), Vec::new(), 0.0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = probe.out.by_ref().take(1 << 12).read_until(b'\n', &mut line);
        if read.map_err(|e| Error::io(path, e))? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let (key, value) = text.trim().split_once('=').unwrap_or((text.trim(), ""));
        let number: Option<f64> = value.parse().ok().filter(|v: &f64| v.is_finite());
        match (key, number) {
            ("[FRAME]", _) => {
                times.push(None);
                durations.push(None);
            }
            ("best_effort_timestamp_time", time) => times.last_mut().into_iter().for_each(|t| *t = time),
            ("duration_time" | "pkt_duration_time", Some(length)) => {
                durations.last_mut().into_iter().for_each(|d| *d = Some(length));
            }
            ("start_time", Some(time)) => start = time,
            _ => {}
        }
        if times.len() > super::track::MAX_FRAMES {
            return Err(Error::file(path, "it has too many frames"));
        }
    }
    let (_, text) = probe.end();
    if times.is_empty() {
        let said = if text.is_empty() { "there is no video in it".into() } else { words(&text) };
        return Err(Error::file(path, format!("{what}, and ffprobe says: {said}")));
    }
    let all: Option<Vec<f64>> = times.iter().map(|t| t.map(|t| t - start)).collect();
    let all =
        all.ok_or_else(|| Error::file(path, format!("{what}, and ffprobe finds frames without a time")))?;
    let (first, last) = (all.first().copied().unwrap_or(0.0), all.last().copied().unwrap_or(0.0));
    let mean = (last - first) / (all.len() - 1).max(1) as f64;
    let end = last + durations.last().copied().flatten().unwrap_or(mean);
    Ok((all, end))
}

/// Reads a picture in the format PPM; `None` at the end.
fn picture(
    from: &mut impl BufRead,
    rgb: &mut Vec<u8>,
    check: impl FnOnce((usize, usize)) -> Result<()>,
) -> Result<Option<(usize, usize)>> {
    let mut head = Vec::new();
    for _ in 0..3 {
        // Whatever fails, the program's own words tell why.
        if from.by_ref().take(64).read_until(b'\n', &mut head).is_err() {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut parts = text.split_ascii_whitespace();
    let (kind, width, height) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<usize>().ok());
    let (Some("P6"), Some(width), Some(height)) = (kind, number(width), number(height)) else {
        return Ok(None);
    };
    check((width, height))?;
    let size = width * height * 3;
    rgb.clear();
    let whole = from.take(size as u64).read_to_end(rgb).is_ok_and(|n| n == size);
    Ok(whole.then_some((width, height)))
}
