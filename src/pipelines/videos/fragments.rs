//! Samples of fragmented files, which lie in runs behind the index.

use super::boxes::{Fields, MAX_INDEX, Outer, Source, boxes, descend, find};
use super::track::{MAX_FRAMES, Sample, Track};
use crate::Result;

/// What a track's samples are where a fragment does not say.
#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    description: u32,
    duration: u32,
    size: u32,
    flags: u32,
}

/// Flag of a sample at which decoding cannot begin.
const DEPENDS: u32 = 0x1_0000;

/// Reads the fragments from `from` on into the track. Of a file that breaks off within one, it is the last.
pub(super) fn read(source: &mut Source, moov: &[u8], from: u64, track: &mut Track) -> Result<()> {
    let Some(extends) = find(moov, b"mvex") else { return Ok(()) };
    let defaults = boxes(extends).filter(|(kind, _)| kind == b"trex");
    let defaults =
        defaults.filter_map(|(_, body)| extended(body)).find(|(id, _)| *id == track.id).map(|(_, d)| d);
    let mut bytes = Vec::new();
    let mut time = track.samples.last().map_or(0, |s| s.shown.saturating_add(i64::from(s.duration)));
    let mut start = from;
    while let Some(outer) = Outer::at(source, start, &mut bytes)? {
        if &outer.kind == b"moof" && outer.end <= source.length {
            let size = outer.end.saturating_sub(outer.body);
            if size > MAX_INDEX {
                return Err(source.refuse(format!("a fragment's index of {size} bytes")));
            }
            source.read(outer.body, size, &mut bytes)?;
            let mut fragment = Fragment { start: outer.start, length: source.length, time, end: outer.start };
            for (_, run) in boxes(&bytes).filter(|(kind, _)| kind == b"traf") {
                fragment.track(run, track, defaults.unwrap_or_default()).map_err(|e| source.refuse(e))?;
            }
            time = fragment.time;
        }
        start = outer.end;
    }
    Ok(())
}

fn extended(bytes: &[u8]) -> Option<(u32, Defaults)> {
    let mut fields = Fields(bytes);
    fields.version()?;
    let id = fields.u32()?;
    let (description, duration) = (fields.u32()?, fields.u32()?);
    Some((id, Defaults { description, duration, size: fields.u32()?, flags: fields.u32()? }))
}

/// Where reading of a fragment stands.
struct Fragment {
    start: u64,
    /// Of the file.
    length: u64,
    /// When the next sample is decoded, in units of the track.
    time: i64,
    /// Where the data end that were last spoken of.
    end: u64,
}

impl Fragment {
    fn track(&mut self, bytes: &[u8], track: &mut Track, defaults: Defaults) -> Result<(), String> {
        let cut = || "a fragment's header (tfhd) is missing or cut off".to_owned();
        let mut header = Fields(find(bytes, b"tfhd").unwrap_or_default());
        let (_, flags) = header.version().ok_or_else(cut)?;
        let id = header.u32().ok_or_else(cut)?;
        let base = if flags & 1 != 0 { Some(header.u64().ok_or_else(cut)?) } else { None };
        let mut value = |bit: u32, default: u32| {
            if flags & bit != 0 { header.u32().ok_or_else(cut) } else { Ok(default) }
        };
        let defaults = Defaults {
            description: value(0x02, defaults.description)?,
            duration: value(0x08, defaults.duration)?,
            size: value(0x10, defaults.size)?,
            flags: value(0x20, defaults.flags)?,
        };
        let of_fragment = flags & 0x2_0000 != 0;
        let base = base.unwrap_or(if of_fragment { self.start } else { self.end });
        if id != track.id {
            // Without a base of its own, a later track counts from this one's end.
            self.end = runs_end(bytes, base, defaults).unwrap_or(self.end);
            return Ok(());
        }
        track.changes |= defaults.description > 1;
        if let Some(body) = descend(bytes, &[b"tfdt"]) {
            let mut fields = Fields(body);
            let stated = fields.version().and_then(|(version, _)| fields.by_version(version));
            self.time = stated.and_then(|t| i64::try_from(t).ok()).unwrap_or(self.time);
        }
        self.end = base;
        for (_, run) in boxes(bytes).filter(|(kind, _)| kind == b"trun") {
            self.run(run, base, track, defaults)?;
        }
        Ok(())
    }

    fn run(&mut self, bytes: &[u8], base: u64, track: &mut Track, defaults: Defaults) -> Result<(), String> {
        let cut = || "a fragment's list of samples (trun) is cut off".to_owned();
        let mut fields = Fields(bytes);
        let run = Run::read(&mut fields).ok_or_else(cut)?;
        if let Some(offset) = run.offset {
            self.end = base.saturating_add_signed(i64::from(offset));
        }
        let size_of_all = u64::from(defaults.size).saturating_mul(u64::from(run.count));
        let stated = fields.0.len().checked_div(run.width).is_none_or(|n| n as u64 >= u64::from(run.count));
        if !stated || (run.flags & 0x200 == 0 && (defaults.size == 0 || size_of_all > self.length)) {
            return Err(format!("a fragment states {} samples and does not hold them", run.count));
        }
        if track.samples.len().saturating_add(run.count as usize) > MAX_FRAMES {
            return Err(format!("more than {MAX_FRAMES} frames are not read"));
        }
        for index in 0..run.count {
            let mut value = |bit: u32, default: u32| {
                if run.flags & bit != 0 { fields.u32().ok_or_else(cut) } else { Ok(default) }
            };
            let duration = value(0x100, defaults.duration)?;
            let size = value(0x200, defaults.size)?;
            let first = run.first.filter(|_| index == 0).unwrap_or(defaults.flags);
            let flags = value(0x400, first)?;
            let shift = value(0x800, 0)? as i32;
            track.samples.push(Sample {
                offset: self.end,
                size,
                shown: self.time.saturating_add(i64::from(shift)),
                duration,
                sync: flags & DEPENDS == 0,
            });
            self.end = self.end.saturating_add(u64::from(size));
            self.time = self.time.saturating_add(i64::from(duration));
        }
        Ok(())
    }
}

/// The head of a run of samples.
struct Run {
    flags: u32,
    count: u32,
    offset: Option<i32>,
    /// Flags of the first sample.
    first: Option<u32>,
    /// Bytes for each sample.
    width: usize,
}

impl Run {
    fn read(fields: &mut Fields) -> Option<Self> {
        let (_, flags) = fields.version()?;
        let count = fields.u32()?;
        let offset = if flags & 1 != 0 { Some(fields.i32()?) } else { None };
        let first = if flags & 4 != 0 { Some(fields.u32()?) } else { None };
        let width = 4 * (flags & 0xf00).count_ones() as usize;
        Some(Self { flags, count, offset, first, width })
    }
}

/// Where the data of a track's runs end.
fn runs_end(bytes: &[u8], base: u64, defaults: Defaults) -> Option<u64> {
    let mut end = base;
    for (_, body) in boxes(bytes).filter(|(kind, _)| kind == b"trun") {
        let mut fields = Fields(body);
        let run = Run::read(&mut fields)?;
        if let Some(offset) = run.offset {
            end = base.saturating_add_signed(i64::from(offset));
        }
        let size = if run.flags & 0x200 == 0 {
            u64::from(defaults.size).saturating_mul(u64::from(run.count))
        } else {
            let at = if run.flags & 0x100 != 0 { 4 } else { 0 };
            let samples = fields.0.chunks_exact(run.width).take(run.count as usize);
            samples.filter_map(|s| Fields(s.get(at..)?).u32()).map(u64::from).sum()
        };
        end = end.saturating_add(size);
    }
    Some(end)
}
