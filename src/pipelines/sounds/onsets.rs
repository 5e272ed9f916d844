//! When something begins, and how loud it is.
//!
//! The power of a sound is measured in bands of its spectrum, every 3 ms in windows of 32 ms, over all channels together. At
//! a moment a band is *new* where its power in the 50 ms after it is well above all that the 60 ms before it had, its
//! neighbours included, so that a gliding tone is not. Something begins where what is new makes up three tenths or more of the
//! loudness that is heard. Steady noise stays below that, and so does a steady tone.
//!
//! Windows have a length in time and bands a place in hertz, so that the sample rate decides no more than which bands there
//! are; only ratios of powers are compared, so that the level decides nothing. A beat's measure is what it brings, taken in
//! powers before the loudness is, so that a beat over the tail of the one before is as strong as the first.

use super::Recording;
use super::bands::{Levels, levels};
use crate::Result;

/// Something begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Onset {
    /// When, from the beginning of the recording.
    pub seconds: f64,
    /// Loudness of what is new, as far as loudness is the fourth root of a power; positive, in a unit that is the recording's
    /// own.
    pub strength: f32,
}

/// Seconds after a moment in which what begins there is heard, and before it with which that is compared.
const AFTER: f64 = 0.050;
const BEFORE: f64 = 0.060;
/// Onsets nearer to each other are one.
const APART: f64 = 0.070;
/// Least share of the loudness that is new.
const NEW: f32 = 0.3;
/// Power below which nothing is heard beside the loudest band of the same moment.
const MASKED: f32 = 3e-5;
/// The same where the recording begins: a tone that is cut has a wide spectrum.
const MASKED_AT_START: f32 = 1e-2;
/// Power below which nothing is heard beside the loudest moment.
const SILENCE: f32 = 1e-6;
/// What a beginning of the recording is compared with is measured within so many seconds.
const START: f64 = 1.0;

/// What begins in a recording, in order of time, from 8 kHz on up to a few milliseconds after it does; a slow rise is found
/// when it is well under way.
///
/// The recording's own beginning counts only where what is heard there falls off again within a second: what lies before a
/// recording is not known. Silence and steady sounds have no onsets, and neither has a recording of less than a tenth of a
/// second.
///
/// # Errors
/// As [`Recording::check`].
pub fn onsets(recording: &Recording) -> Result<Vec<Onset>> {
    recording.check()?;
    let Some(levels) = levels(&recording.channels, f64::from(recording.rate)) else { return Ok(Vec::new()) };
    let new = novelty(&levels);
    let (apart, at) = (levels.frames_in(APART), |i: usize| new.get(i).copied().unwrap_or_default());
    let mut found = Vec::new();
    let mut i = 0;
    while i < new.len() {
        let around = new.get(i.saturating_sub(apart)..(i + apart).min(new.len())).unwrap_or_default();
        let strength = at(i);
        if strength > 0.0 && around.iter().all(|v| strength >= 0.999 * v) {
            // The measure stays high for as long as the onset lies ahead, and then falls off.
            let last = (i..i + apart).rev().find(|j| at(*j) >= 0.85 * strength).unwrap_or(i);
            // A window's ends weigh little, so that this is some milliseconds late and not early: a beat that falls on the
            // beginning of a frame is in it.
            found.push(Onset { seconds: last as f64 * levels.hop, strength });
            i = last + apart;
        } else {
            i += 1;
        }
    }
    Ok(found)
}

/// For every frame the loudness that begins there, 0 where that is too small a share of what is heard.
fn novelty(levels: &Levels) -> Vec<f32> {
    let (frames, reach) = (levels.frames(), levels.frames_in(levels.half));
    let (after, before) = (levels.frames_in(AFTER), levels.frames_in(BEFORE));
    // The last window that lies within the recording: a sudden end is no onset.
    let end = frames.saturating_sub(reach + 1).max(1);
    let silence = SILENCE * levels.powers.iter().copied().fold(0.0, f32::max);
    let power = |frame: usize, band: usize| {
        let value = levels.at(frame.min(end - 1), band);
        if value < silence { 0.0 } else { value }
    };
    let start: Vec<f32> = (0..levels.bands).map(|band| at_start(levels, end, |f| power(f, band))).collect();
    let loudest =
        |from: usize, to: usize, band: usize| (from..=to).map(|f| power(f, band)).fold(0.0, f32::max);
    let (mut now, mut past) = (vec![0.0; levels.bands], vec![0.0; levels.bands]);
    let measure = |frame: usize| {
        for (band, (now, past)) in now.iter_mut().zip(&mut past).enumerate() {
            *now = loudest(frame, frame + after, band);
            let known = frame.checked_sub(reach);
            let first = known.and_then(|k| k.checked_sub(before));
            let heard = known.map_or(0.0, |k| loudest(first.unwrap_or(0), k, band));
            *past = if first.is_some() { heard } else { heard.max(start.get(band).copied().unwrap_or(0.0)) };
        }
        // Loudness that is new, and all.
        let share = |masked: f32| {
            let masked = masked * now.iter().copied().fold(0.0, f32::max);
            let (mut new, mut all) = (0.0, 0.0);
            for (band, now) in now.iter().copied().enumerate().filter(|(_, now)| *now > masked) {
                let wide = levels.is_wide(band);
                let near = if wide { band..band + 1 } else { band.saturating_sub(1)..band + 2 };
                let beside = near.filter(|b| levels.is_wide(*b) == wide).filter_map(|b| past.get(b));
                let past = beside.copied().fold(masked, f32::max);
                // Low bands hold few periods of what they pass, and their power wavers.
                let (few, many) = if wide { (0.6, 0.85) } else { (0.3, 0.6) };
                let rise = (((now - past) / (now + past) - few) / (many - few)).clamp(0.0, 1.0);
                let loudness = now.sqrt().sqrt();
                new += loudness * rise * rise * (3.0 - 2.0 * rise);
                all += loudness;
            }
            (new, all)
        };
        let enough = |(new, all): (f32, f32)| new > NEW * all;
        let (new, all) = share(MASKED);
        let begins = enough((new, all)) && (frame >= reach + before || enough(share(MASKED_AT_START)));
        // Where most of what was heard stops and nothing louder begins, what is new is the spectrum of the end.
        let total = |powers: &[f32]| powers.iter().sum::<f32>();
        let then: f32 = (0..levels.bands).map(|band| power(frame + after + reach, band)).sum();
        let stops = then < 0.25 * total(&past) && total(&now) < 1.5 * total(&past);
        if begins && !stops { new } else { 0.0 }
    };
    (0..end).map(measure).collect()
}

/// Power that a band is taken to have had before the recording: what it falls below in two fifths of the first second. Where
/// the recording is shorter, silence follows.
fn at_start(levels: &Levels, end: usize, power: impl Fn(usize) -> f32) -> f32 {
    let second = levels.frames_in(START);
    let mut powers: Vec<f32> = (0..end.min(second)).map(power).collect();
    powers.sort_by(f32::total_cmp);
    let silent = second.saturating_sub(levels.frames());
    (2 * second / 5).checked_sub(silent).and_then(|i| powers.get(i)).copied().unwrap_or(0.0)
}
