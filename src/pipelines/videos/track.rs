//! The video track of a movie: what its index says of samples, times and pictures.

use super::boxes::{Fields, boxes, descend, find};
use super::colour::Colour;
use super::turn::Turn;

/// Frames of a file at most: 90 hours at 30 a second.
pub(super) const MAX_FRAMES: usize = 10_000_000;

/// A sample: the coded bytes of one picture, in the order of decoding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u32,
    /// When it is shown and for how long, in units of the track.
    pub(super) shown: i64,
    pub(super) duration: u32,
    /// Decoding may begin here, by the index's word.
    pub(super) sync: bool,
}

/// An edit: a part of the track that is shown, `None` for a pause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    pub(super) start: Option<i64>,
    /// In units of the movie.
    pub(super) duration: u64,
}

/// A video track.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) id: u32,
    /// Units a second.
    pub(super) scale: u32,
    /// Units a second of the movie, in which edits last.
    pub(super) movie_scale: u32,
    pub(super) edits: Vec<Edit>,
    pub(super) turn: Turn,
    /// Four characters of the coding.
    pub(super) codec: [u8; 4],
    /// Body of the box `avcC`.
    pub(super) avc: Option<Vec<u8>>,
    pub(super) colour: Option<Colour>,
    pub(super) samples: Vec<Sample>,
    /// A second description of pictures is used by some samples.
    pub(super) changes: bool,
}

impl Track {
    /// The first video track of a `moov` that is enabled, or else the first, of a file of so many bytes.
    pub(super) fn of(moov: &[u8], length: u64) -> Result<Self, String> {
        let mut movie = Fields(find(moov, b"mvhd").ok_or("its index has no header (mvhd)")?);
        let movie_scale = timescale(&mut movie).ok_or("the header of its index (mvhd) is cut off")?;
        // Preferred rate, volume and reserved bytes precede the matrix.
        let whole = movie.take(16).and_then(|_| Turn::of_matrix(&mut movie)).unwrap_or_default();
        let mut tracks = boxes(moov).filter(|(kind, _)| kind == b"trak").map(|(_, body)| body);
        let videos: Vec<&[u8]> = tracks
            .by_ref()
            .filter(|t| descend(t, &[b"mdia", b"hdlr"]).is_some_and(|h| h.get(8..12) == Some(&b"vide"[..])))
            .take(64)
            .collect();
        let enabled = |t: &&&[u8]| find(t, b"tkhd").and_then(|h| h.get(3)).is_some_and(|f| f & 1 == 1);
        let track = videos.iter().find(enabled).or_else(|| videos.first());
        let track = track.ok_or("there is no video track in it")?;
        Self::read(track, movie_scale, whole, length)
    }

    fn read(track: &[u8], movie_scale: u32, whole: Turn, length: u64) -> Result<Self, String> {
        let (id, turn) = header(find(track, b"tkhd").unwrap_or_default())
            .ok_or("the header of its video track (tkhd) is missing or cut off")?;
        let media = descend(track, &[b"mdia", b"mdhd"]).unwrap_or_default();
        let scale = timescale(&mut Fields(media))
            .ok_or("the header of its video track (mdhd) is missing or states no time unit")?;
        let table = descend(track, &[b"mdia", b"minf", b"stbl"])
            .ok_or("its video track has no table of samples (stbl)")?;
        let described = find(table, b"stsd").unwrap_or_default();
        let entry = described.get(8..).and_then(|b| boxes(b).next());
        let (mut codec, body) = entry.ok_or("its video track does not say how it is coded (stsd)")?;
        // What precedes the boxes of a description of pictures.
        let inner = body.get(78..).unwrap_or_default();
        if let (b"encv", Some(original)) = (&codec, descend(inner, &[b"sinf", b"frma"])) {
            codec = original.try_into().unwrap_or(codec);
            return Err(format!("its video ({}) is encrypted", name(codec)));
        }
        let mut made = Self {
            id,
            scale,
            movie_scale,
            edits: descend(track, &[b"edts", b"elst"]).map(edits).unwrap_or_default(),
            turn: turn.then(whole),
            codec,
            avc: find(inner, b"avcC").map(<[u8]>::to_vec),
            colour: find(inner, b"colr").and_then(Colour::of_box),
            samples: Vec::new(),
            changes: false,
        };
        made.fill(table, length)?;
        Ok(made)
    }

    /// Lists the samples of the table, of which a fragmented file has none.
    fn fill(&mut self, table: &[u8], length: u64) -> Result<(), String> {
        let sizes = Sizes::of(table, length)?;
        let mut durations = Runs::of(find(table, b"stts"));
        let mut offsets = Runs::of(find(table, b"ctts"));
        let reordered = offsets.rest.0.len() >= 8;
        let mut syncs = find(table, b"stss").and_then(|b| b.get(8..)).map(Fields);
        let mut next_sync = syncs.as_mut().and_then(Fields::u32);
        let mut chunks = Chunks::of(table);
        let (mut time, mut duration) = (0i64, 0u32);
        let mut place: Option<(u64, u32)> = None;
        for index in 0..sizes.count {
            let size = sizes.at(index).ok_or("the table of sizes (stsz) is cut off")?;
            while place.is_none_or(|(_, left)| left == 0) {
                let (at, count, description) =
                    chunks.next().ok_or("the table of chunks (stsc, stco) ends before the samples do")?;
                self.changes |= description != 1;
                place = Some((at, count));
            }
            let (offset, left) = place.unwrap_or_default();
            place = Some((offset.saturating_add(u64::from(size)), left.saturating_sub(1)));
            // Of more samples than there are durations, the rest last as long as the last one.
            duration = durations.next().unwrap_or(duration);
            let shift = if reordered { offsets.next().unwrap_or(0) } else { 0 };
            let number = index as u32 + 1;
            while next_sync.is_some_and(|s| s < number) {
                next_sync = syncs.as_mut().and_then(Fields::u32);
            }
            let sync = syncs.is_none() || next_sync == Some(number);
            // Writers state negative shifts in the version of the box that has no signs too.
            let shown = time.saturating_add(i64::from(shift as i32));
            self.samples.push(Sample { offset, size, shown, duration, sync });
            time = time.saturating_add(i64::from(duration));
        }
        Ok(())
    }
}

/// Four characters as text.
pub(super) fn name(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}

/// Reads times and the unit of a header of a movie or of media.
fn timescale(header: &mut Fields) -> Option<u32> {
    let (version, _) = header.version()?;
    header.by_version(version)?;
    header.by_version(version)?;
    let scale = header.u32().filter(|s| *s != 0)?;
    header.by_version(version)?;
    Some(scale)
}

/// Number and turn of a track.
fn header(bytes: &[u8]) -> Option<(u32, Turn)> {
    let mut fields = Fields(bytes);
    let (version, _) = fields.version()?;
    fields.by_version(version)?;
    fields.by_version(version)?;
    let id = fields.u32()?;
    fields.u32()?;
    fields.by_version(version)?;
    // Reserved bytes, layer, group and volume.
    fields.take(16)?;
    Some((id, Turn::of_matrix(&mut fields).unwrap_or_default()))
}

fn edits(bytes: &[u8]) -> Vec<Edit> {
    let mut fields = Fields(bytes);
    let Some((version, _)) = fields.version() else { return Vec::new() };
    let _count = fields.u32();
    let entry = move || {
        let duration = fields.by_version(version)?;
        let start = if version == 1 { fields.u64()? as i64 } else { i64::from(fields.i32()?) };
        // The rate, which players do not follow either.
        fields.u32()?;
        Some(Edit { start: (start >= 0).then_some(start), duration })
    };
    std::iter::from_fn(entry).collect()
}

/// Sizes of samples, one for all or one each.
struct Sizes<'a> {
    one: u32,
    each: &'a [u8],
    bits: usize,
    count: usize,
}

impl<'a> Sizes<'a> {
    fn of(table: &'a [u8], length: u64) -> Result<Self, String> {
        let plain = find(table, b"stsz");
        let bytes = plain.or_else(|| find(table, b"stz2"));
        let mut fields = Fields(bytes.unwrap_or_default());
        let read = |fields: &mut Fields<'a>| {
            fields.version()?;
            Some((fields.u32()?, fields.u32()? as usize))
        };
        let (first, count) =
            read(&mut fields).ok_or("its video track has no table of sizes (stsz), or a cut one")?;
        let (one, bits) = if plain.is_some() { (first, 32) } else { (0, (first & 0xff) as usize) };
        let stated = if one == 0 {
            fields.0.len().saturating_mul(8).checked_div(bits).unwrap_or(0) >= count
        } else {
            u64::from(one).saturating_mul(count as u64) <= length
        };
        if !stated || !matches!(bits, 4 | 8 | 16 | 32) {
            return Err(format!("its table of sizes (stsz) states {count} samples and does not hold them"));
        }
        if count > MAX_FRAMES {
            return Err(format!("{count} frames, at most {MAX_FRAMES} are read"));
        }
        Ok(Self { one, each: fields.0, bits, count })
    }

    fn at(&self, index: usize) -> Option<u32> {
        if self.one != 0 {
            return Some(self.one);
        }
        let byte = |at: usize| self.each.get(at).map(|b| u32::from(*b));
        match self.bits {
            4 => byte(index / 2).map(|b| if index.is_multiple_of(2) { b >> 4 } else { b & 15 }),
            8 => byte(index),
            16 => Fields(self.each.get(index * 2..)?).u16().map(u32::from),
            _ => Fields(self.each.get(index * 4..)?).u32(),
        }
    }
}

/// Values with how often each one comes.
struct Runs<'a> {
    rest: Fields<'a>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn of(bytes: Option<&'a [u8]>) -> Self {
        Self { rest: Fields(bytes.and_then(|b| b.get(8..)).unwrap_or_default()), left: 0, value: 0 }
    }

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            (self.left, self.value) = (self.rest.u32()?, self.rest.u32()?);
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// Chunks: where each begins, how many samples it has, and by which description they are coded.
struct Chunks<'a> {
    offsets: Fields<'a>,
    long: bool,
    runs: Fields<'a>,
    number: u32,
    now: (u32, u32),
    after: Option<u32>,
}

impl<'a> Chunks<'a> {
    fn of(table: &'a [u8]) -> Self {
        let body = |kind| find(table, kind).and_then(|b| b.get(8..)).map(Fields);
        let short = body(b"stco");
        let mut runs = body(b"stsc").unwrap_or(Fields(&[]));
        let after = runs.u32();
        let offsets = short.or_else(|| body(b"co64")).unwrap_or(Fields(&[]));
        Self { offsets, long: short.is_none(), runs, number: 0, now: (0, 1), after }
    }

    fn next(&mut self) -> Option<(u64, u32, u32)> {
        self.number = self.number.checked_add(1)?;
        while self.after.is_some_and(|first| first <= self.number) {
            self.now = (self.runs.u32()?, self.runs.u32()?);
            self.after = self.runs.u32();
        }
        let offset = if self.long { self.offsets.u64()? } else { u64::from(self.offsets.u32()?) };
        Some((offset, self.now.0, self.now.1))
    }
}
