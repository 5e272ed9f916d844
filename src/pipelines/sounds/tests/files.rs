//! Files of every format against what ffmpeg decodes of them; tools/sound_files makes both.

use super::{bytes_of, clicks, fixture};
use crate::pipelines::sounds::{Recording, Sound};

/// A line of `expected.txt`.
struct Expected {
    name: String,
    rate: u32,
    channels: usize,
    count: usize,
    /// Some samples of the channels' mean, evenly apart.
    values: Vec<f32>,
}

fn expected() -> Vec<Expected> {
    let text = String::from_utf8(bytes_of("expected.txt")).unwrap();
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap();
        let (name, rate) = (next().to_owned(), next().parse().unwrap());
        let (channels, count) = (next().parse().unwrap(), next().parse().unwrap());
        Expected { name, rate, channels, count, values: fields.map(|v| v.parse().unwrap()).collect() }
    };
    text.lines().map(line).collect()
}

#[test]
fn every_format_is_decoded_as_ffmpeg_does() {
    let files = expected();
    assert!(files.len() >= 28, "{} files", files.len());
    for file in files {
        let found = Recording::open(fixture(&file.name), None).unwrap();
        let name = &file.name;
        assert_eq!((found.rate, found.channels.len()), (file.rate, file.channels), "{name}");
        assert_eq!(found.warnings, Vec::<String>::new(), "{name}");
        // Compressed frames are whole, and what pads the last or leads in the first is kept or not.
        let exact = !["aac", "mp3", "ogg", "mka", "adpcm", "film"].iter().any(|lossy| name.contains(lossy));
        let samples = found.mono().samples;
        let most = if exact { 0 } else { 1200 };
        assert!(samples.len().abs_diff(file.count) <= most, "{name}: {} for {}", samples.len(), file.count);
        let step = (file.count / 40).max(1);
        let error = |shift: usize| {
            let pairs = file.values.iter().enumerate().map(|(i, v)| (samples.get(i * step + shift), v));
            pairs.map(|(found, v)| (found.copied().unwrap_or(0.0) - v).abs()).fold(0.0, f32::max)
        };
        // Both round to 16 bits or not, and decode by other transforms. Alignment is checked too.
        let off = error(0);
        assert!(off < if exact { 1e-3 } else { 5e-3 }, "{name}: off by {off}");
    }
}

/// The sources of the others: half a second at 8 kHz, a tone of 440 Hz that begins at 0.25 s, three times as loud on the
/// left.
#[test]
fn the_first_files_hold_what_was_put_in() {
    let expected = clicks(8_000, 0.5, &[(0.25, 440.0)]);
    for (name, tolerance) in
        [("click.wav", 1e-4), ("click.flac", 1e-4), ("click.ogg", 0.1), ("click.mp3", 0.1), ("aac.m4a", 0.1)]
    {
        let found = Sound::open(fixture(name)).unwrap();
        let error =
            found.samples.iter().zip(&expected.samples).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(error < tolerance && found.samples.len() >= 4_000, "{name}: off by {error}");
        let recording = Recording::open(fixture(name), None).unwrap();
        let peak = |c: usize| recording.channels[c].iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!((peak(0) / peak(1) - 3.0).abs() < 0.6, "{name}: {} and {}", peak(0), peak(1));
    }
}

#[test]
fn what_is_not_read_is_refused_by_its_name() {
    for (name, reason) in [
        ("opus.opus", "Opus is not read: convert it"),
        ("opus.webm", "Opus is not read: convert it"),
        ("gsm.wav", "a wav file of GSM 6.10 (format 0x0031) is not read"),
        ("wma.wav", "a wav file of Windows Media Audio (format 0x0161) is not read"),
        ("other_order.wav", "the other byte order (RIFX) is not read"),
    ] {
        let text = Sound::open(fixture(name)).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(reason), "{text}");
        assert!(text.ends_with("(wav, aiff, caf, mp3, flac, ogg Vorbis, m4a and mkv are read)"), "{text}");
    }
    let refused = |bytes: &[u8]| Sound::decode(bytes.to_vec(), "beat.wav").unwrap_err().to_string();
    let wav = bytes_of("click.wav");
    for bytes in
        [&b""[..], b"no sound", &wav[..20], &wav[..44], &[0; 4096], b"riff.w64........................"]
    {
        assert!(refused(bytes).starts_with("beat.wav: "), "{}", refused(bytes));
    }
    let missing = Sound::open("no/such/file.mp3").unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.mp3"), "{missing}");
    let folder = Sound::open(fixture("")).unwrap_err().to_string();
    assert!(folder.contains("not a regular file"), "{folder}");
}

#[test]
fn a_file_may_have_another_files_extension() {
    for (file, name) in
        [("click.mp3", "a.wav"), ("click.ogg", "a.mp3"), ("click.wav", "a.flac"), ("aac.m4a", "a")]
    {
        let found = Recording::decode(bytes_of(file), name, None).unwrap();
        assert!((0.49..0.7).contains(&found.seconds()), "{file} as {name}: {}", found.seconds());
    }
}

#[test]
fn a_part_is_what_the_whole_has_there() {
    for file in [
        "click.wav",
        "click.flac",
        "click.ogg",
        "click.mp3",
        "aac.m4a",
        "vorbis.mka",
        "adpcm_ms.wav",
        "s16.aiff",
    ] {
        let whole = Recording::open(fixture(file), None).unwrap();
        // The whole lasts as long as one of several seconds: it is repeated where a format allows that.
        for part in [0.0..0.03, 0.02..0.05, 0.04..9.0] {
            let found = Recording::open(fixture(file), Some(part.clone())).unwrap();
            let sample = |t: f64| ((t * 8_000.0).round() as usize).min(whole.channels[0].len());
            for (all, some) in whole.channels.iter().zip(&found.channels) {
                assert_eq!(&all[sample(part.start)..sample(part.end)], some, "{file} {part:?}");
            }
        }
        let text = Recording::open(fixture(file), Some(2.0..3.0)).unwrap_err().to_string();
        assert!(text.contains("it ends after 0.") && text.contains("2.00 s is wanted"), "{text}");
    }
    for wrong in [-1.0..1.0, 2.0..2.0, 3.0..2.0, f64::NAN..1.0, 0.0..f64::NAN, 0.0..601.0] {
        let text = Recording::open(fixture("click.wav"), Some(wrong)).unwrap_err().to_string();
        assert!(text.contains("expected a beginning") || text.contains("more than 600"), "{text}");
    }
}

/// Packets before what is wanted are not decoded: time and damage there do not matter.
#[test]
fn a_part_far_into_a_long_file_is_what_the_whole_has_there() {
    // mp3 frames may be put one behind another, and so may those of wav.
    let mp3 = bytes_of("click.mp3");
    let first = (0..mp3.len()).find(|i| mp3[*i..].starts_with(&[0xff, 0xe3])).unwrap();
    let mut long = mp3.clone();
    (0..20).for_each(|_| long.extend(&mp3[first..]));
    let whole = Recording::decode(long.clone(), "long.mp3", None).unwrap();
    assert!(whole.seconds() > 8.0, "{}", whole.seconds());
    let part = Recording::decode(long, "long.mp3", Some(6.0..7.0)).unwrap();
    assert_eq!(part.channels[0].len(), 8_000);
    let off = part.channels[0]
        .iter()
        .zip(&whole.channels[0][48_000..])
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(off < 1e-3, "off by {off}");
}

/// A wav header for so many bytes of 8-bit samples, without them.
pub(super) fn wav_8_bit(channels: u16, rate: u32, bytes: u32) -> Vec<u8> {
    let mut file = [&b"RIFF"[..], &(36 + bytes).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
    file.extend([1u16, channels].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([rate, rate * u32::from(channels)].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([channels, 8].iter().flat_map(|v| v.to_le_bytes()));
    [&file, &b"data"[..], &bytes.to_le_bytes()].concat()
}

#[test]
fn the_longest_sound_is_one_of_time() {
    let file = |rate: u32, seconds: u32| {
        let mut file = wav_8_bit(1, rate, rate * seconds);
        file.resize(file.len() + (rate * seconds) as usize, 128);
        file
    };
    for rate in [1_000, 16_000] {
        assert_eq!(Sound::decode(file(rate, 600), "long.wav").unwrap().seconds(), 600.0);
        let text = Sound::decode(file(rate, 601), "long.wav").unwrap_err().to_string();
        assert!(text.starts_with("long.wav: it is longer than 600 seconds: name the part"), "{text}");
    }
    for rate in [999, 192_001] {
        let text = Sound::decode(file(rate, 1), "long.wav").unwrap_err().to_string();
        assert!(text.contains(&format!("{rate} samples a second")), "{text}");
    }
    // Two hours, of which five seconds are wanted.
    let found = Recording::decode(file(1_000, 7_200), "podcast.wav", Some(7_100.0..7_105.0)).unwrap();
    assert_eq!((found.seconds(), found.warnings.len()), (5.0, 0));
}
