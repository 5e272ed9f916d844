//! Which samples are shown, when, in the order of showing.

use super::track::{MAX_FRAMES, Track};

/// A frame that is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shown {
    /// In seconds.
    pub(super) time: f64,
    /// In seconds.
    pub(super) duration: f64,
    /// Place in the order of decoding.
    pub(super) sample: usize,
}

/// The frames of a track by its edits: a pause at the start delays what follows, a part that is cut away is not shown, and
/// one that comes twice is shown twice. A frame belongs to the edit within which it begins.
pub(super) fn shown(track: &Track) -> Result<Vec<Shown>, String> {
    let scale = f64::from(track.scale);
    let mut order: Vec<usize> = (0..track.samples.len()).collect();
    let begin = |sample: &usize| track.samples.get(*sample).map_or(0, |s| s.shown);
    order.sort_by_key(begin);
    let entry = |sample: usize, time: f64| {
        let duration = track.samples.get(sample).map_or(0, |s| s.duration);
        Shown { time, duration: f64::from(duration) / scale, sample }
    };
    if track.edits.iter().all(|edit| edit.start.is_none()) {
        return Ok(order.iter().map(|s| entry(*s, begin(s) as f64 / scale)).collect());
    }
    let mut frames = Vec::new();
    let mut before = 0.0;
    for edit in &track.edits {
        let seconds = edit.duration as f64 / f64::from(track.movie_scale.max(1));
        if let Some(start) = edit.start {
            let units = (seconds * scale).round();
            // A duration of 0 is what writers of fragments leave, who do not know it yet.
            let end = if edit.duration == 0 { i64::MAX } else { start.saturating_add(units as i64) };
            let first = order.partition_point(|s| begin(s) < start);
            let part = order.get(first..).unwrap_or_default();
            let part = part.get(..part.partition_point(|s| begin(s) < end)).unwrap_or_default();
            if frames.len().saturating_add(part.len()) > MAX_FRAMES {
                return Err(format!("its edits show more than {MAX_FRAMES} frames"));
            }
            frames.extend(
                part.iter().map(|s| entry(*s, before + begin(s).saturating_sub(start) as f64 / scale)),
            );
        }
        before += seconds;
    }
    // A frame of which an edit cuts away the beginning is not shown: the first that is takes its place, as in ffmpeg. Where no
    // edit states how long it lasts, the file is a fragmented one, and times are left as they are.
    let pauses = track.edits.iter().take_while(|e| e.start.is_none());
    let lead =
        pauses.map(|e| e.duration).fold(0, u64::saturating_add) as f64 / f64::from(track.movie_scale.max(1));
    let first = frames.iter().map(|f: &Shown| f.time).fold(f64::INFINITY, f64::min) - lead;
    if first > 0.0 && track.edits.iter().any(|e| e.start.is_some() && e.duration != 0) {
        frames.iter_mut().for_each(|f| f.time -= first);
    }
    Ok(frames)
}
