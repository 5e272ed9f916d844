//! Files as programs leave them: sizes that are not set, forgotten bytes, ends that are missing.

use super::bytes_of;
use super::files::wav_8_bit;
use crate::pipelines::sounds::Recording;

fn decoded(bytes: &[u8], name: &str) -> Recording {
    Recording::decode(bytes.to_vec(), name, None).unwrap()
}

fn refused(bytes: &[u8], name: &str) -> String {
    Recording::decode(bytes.to_vec(), name, None).unwrap_err().to_string()
}

/// A wav file of 16-bit stereo from its chunks, each with the size that it states.
fn wav(form: &[u8; 4], chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
    let body: Vec<u8> =
        chunks.iter().flat_map(|(id, size, body)| [&id[..], &size.to_le_bytes(), body].concat()).collect();
    [&form[..], &(4 + body.len() as u32).to_le_bytes(), b"WAVE", &body].concat()
}

/// The format chunk and the samples of the stereo file that all of these are made of.
fn parts() -> (Vec<u8>, Vec<u8>) {
    let file = bytes_of("click.wav");
    (file[20..36].to_vec(), file[44..].to_vec())
}

#[test]
fn sizes_of_a_wav_file_may_be_wrong() {
    let (format, samples) = parts();
    let whole = decoded(&bytes_of("click.wav"), "a.wav");
    let fmt = (b"fmt ", 16, &format[..]);
    let long = [2_000_000u64, samples.len() as u64, 4_000].map(u64::to_le_bytes).concat();
    let odd = [
        (b"LIST", 5, &b"INFO!"[..]),
        (b"LIST", 5, &b"INFO!\0"[..]),
        (b"abcd", 3, b"xyz"),
        (b"abcd", 3, b"xyz\0"),
    ];
    let mut files = Vec::new();
    for size in [0, u32::MAX, 0x7fff_f000, samples.len() as u32] {
        files.push(wav(b"RIFF", &[fmt, (b"data", size, &samples)]));
        // Of the whole file the size is nobody's concern.
        for riff in [0u32, 3, 99, u32::MAX] {
            let mut file = files.last().unwrap().clone();
            file[4..8].copy_from_slice(&riff.to_le_bytes());
            files.push(file);
        }
        files.extend(odd.map(|chunk| wav(b"RIFF", &[chunk, fmt, (b"data", size, &samples)])));
        files.extend(odd.map(|chunk| wav(b"RIFF", &[fmt, chunk, (b"data", size, &samples)])));
    }
    for form in [b"RF64", b"BW64"] {
        let ds64 = (b"ds64", 28, &[&long[..], &[0; 4]].concat()[..]);
        files.push(wav(form, &[ds64, fmt, (b"data", u32::MAX, &samples), (b"LIST", 5, b"INFO!\0")]));
    }
    // A chunk that states too little or too much, within the file and beyond it.
    for size in [1, 3, 6, 9, 14, 5_000, 60_000] {
        files.push(wav(
            b"RIFF",
            &[(b"LIST", size, b"INFOIART"), fmt, (b"data", samples.len() as u32, &samples)],
        ));
        files.push(wav(
            b"RIFF",
            &[fmt, (b"LIST", size, b"INFOIART"), (b"data", samples.len() as u32, &samples)],
        ));
    }
    // What follows the samples is no sound, and their format may follow them.
    let data = (b"data", samples.len() as u32, &samples[..]);
    files.push(wav(b"RIFF", &[fmt, data, (b"LIST", 8, b"INFOIART")]));
    files.push(wav(b"RIFF", &[data, fmt]));
    for (i, file) in files.iter().enumerate() {
        let found = decoded(file, "a.wav");
        assert_eq!(
            (&found.channels, found.warnings.len()),
            (&whole.channels, 0),
            "file {i}: {:?}",
            found.warnings
        );
    }
    // An empty one is empty, whatever follows.
    let empty = wav(b"RIFF", &[fmt, (b"data", 0, b""), (b"LIST", 8, b"INFOIART")]);
    assert!(refused(&empty, "a.wav").starts_with("a.wav: "), "{}", refused(&empty, "a.wav"));
}

#[test]
fn formats_of_every_length_say_the_same() {
    let (format, samples) = parts();
    let whole = decoded(&bytes_of("click.wav"), "a.wav");
    let guid = |tag: u16| {
        [&tag.to_le_bytes()[..], &[0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]].concat()
    };
    let extensible = |extra: u16, valid: u16, mask: u32| {
        let tail = [&extra.to_le_bytes()[..], &valid.to_le_bytes(), &mask.to_le_bytes(), &guid(1)].concat();
        let mut chunk = [&format[..], &tail].concat();
        chunk[..2].copy_from_slice(&[0xfe, 0xff]);
        chunk
    };
    let longer = |n: usize| [&format[..], &vec![0; n]].concat();
    let chunks = [
        longer(2),
        longer(4),
        longer(24),
        extensible(22, 16, 3),
        extensible(22, 16, 0),
        extensible(0, 0, 0x3f),
        longer(84),
    ];
    for chunk in chunks {
        let file =
            wav(b"RIFF", &[(b"fmt ", chunk.len() as u32, &chunk), (b"data", samples.len() as u32, &samples)]);
        assert_eq!(decoded(&file, "a.wav").channels, whole.channels, "{chunk:?}");
    }
    // A block size that nobody set does not matter for samples, and floating point may come in either length.
    for align in [0u16, 1, 2, 3] {
        let mut chunk = format.clone();
        chunk[12..14].copy_from_slice(&align.to_le_bytes());
        let file = wav(b"RIFF", &[(b"fmt ", 16, &chunk), (b"data", 0, &samples)]);
        assert_eq!(decoded(&file, "a.wav").channels, whole.channels, "blocks of {align}");
    }
    for name in ["f32.wav", "f64.wav", "alaw.wav", "mulaw.wav"] {
        let (file, plain) = (bytes_of(name), decoded(&bytes_of(name), name));
        let at = file.windows(4).position(|w| w == b"data").unwrap();
        for extra in [0usize, 2, 4, 24] {
            let mut chunk = [&file[20..36], &vec![0; extra]].concat();
            if name.starts_with('f') {
                chunk[..2].copy_from_slice(&[3, 0]);
            }
            let made =
                wav(b"RIFF", &[(b"fmt ", chunk.len() as u32, &chunk), (b"data", u32::MAX, &file[at + 8..])]);
            assert_eq!(decoded(&made, name).channels, plain.channels, "{name} with {extra} more bytes");
        }
    }
    for (at, value, reason) in
        [(14, 12u16, ""), (14, 64, "64-bit PCM is not read"), (2, 0, "no channels"), (0, 0x1234, "0x1234")]
    {
        let mut chunk = format.clone();
        chunk[at..at + 2].copy_from_slice(&value.to_le_bytes());
        let file = wav(b"RIFF", &[(b"fmt ", 16, &chunk), (b"data", 0, &samples)]);
        match reason {
            // Twelve bits have the room of sixteen.
            "" => assert_eq!(decoded(&file, "a.wav").channels, whole.channels),
            _ => assert!(refused(&file, "a.wav").contains(reason), "{}", refused(&file, "a.wav")),
        }
    }
    let short = wav(b"RIFF", &[(b"fmt ", 8, &format[..8]), (b"data", 4, &samples[..4])]);
    assert!(refused(&short, "a.wav").contains("16 or more"), "{}", refused(&short, "a.wav"));
    let none = wav(b"RIFF", &[(b"data", 4, &samples[..4])]);
    assert!(refused(&none, "a.wav").contains("does not state its format"), "{}", refused(&none, "a.wav"));
}

#[test]
fn what_lies_before_the_damage_is_kept() {
    for name in [
        "click.wav",
        "pipe_flac.flac",
        "click.ogg",
        "click.mp3",
        "adpcm_ima.wav",
        "adpcm_ms.wav",
        "aac.m4a",
        "alac.caf",
        "vorbis.mka",
        "s16.aiff",
        "mp3_inside.wav",
    ] {
        // All of that ogg file is one page.
        let file = bytes_of(name).repeat(if name == "click.ogg" { 4 } else { 1 });
        let whole = decoded(&file, name);
        let mut kept = 0;
        for share in 1..20 {
            let cut = file.len() * share / 20;
            match Recording::decode(file[..cut].to_vec(), name, None) {
                Ok(found) => {
                    assert!(found.seconds() <= whole.seconds() + 1e-9, "{name} cut to {cut}");
                    let same =
                        found.channels[0].iter().zip(&whole.channels[0]).all(|(a, b)| (a - b).abs() < 1e-2);
                    assert!(same || name.contains("adpcm") || name.contains("aac"), "{name} cut to {cut}");
                    // These state no length, and what is missing of others may be a last frame.
                    let silent = ["mp3", "pipe_flac", "ogg"].iter().any(|n| name.contains(n));
                    if whole.seconds() - found.seconds() > 0.12 && !silent {
                        assert!(
                            found.warnings.iter().any(|w| w.contains("breaks off")),
                            "{name} cut to {cut}: {:?}",
                            found.warnings
                        );
                    }
                    kept += 1;
                }
                Err(error) => assert!(error.to_string().starts_with(name), "{error}"),
            }
        }
        // What tells packets apart stands at the end of these.
        assert!(
            kept >= 3 || ["aac.m4a", "alac.caf", "vorbis.mka"].contains(&name),
            "{name}: {kept} of 19 cuts leave anything"
        );
    }
    let cut = decoded(&bytes_of("click.wav")[..8_044], "a.wav");
    assert_eq!(cut.channels[0].len(), 2_000);
    assert_eq!(cut.warnings, ["it breaks off: 8000 of 16000 bytes of samples are there"]);
}

#[test]
fn a_flac_file_may_state_another_length_or_none_and_carry_tags() {
    let file = bytes_of("pipe_flac.flac");
    let whole = decoded(&file, "a.flac");
    for (total, warned) in [(0u32, false), (1_000, false), (400_000, true)] {
        let mut file = file.clone();
        file[21] &= 0xf0;
        file[22..26].copy_from_slice(&total.to_be_bytes());
        let found = decoded(&file, "a.flac");
        assert_eq!(found.channels, whole.channels, "{total} stated");
        assert_eq!(
            found.warnings.iter().any(|w| w.contains("breaks off")),
            warned,
            "{total}: {:?}",
            found.warnings
        );
    }
    let before = [b"ID3\x03\0\0\0\0\0\x14", &[0; 20][..]].concat();
    let after = [b"TAG", &[b' '; 125][..]].concat();
    let ape = [b"APETAGEX", &2_000u32.to_le_bytes()[..], &32u32.to_le_bytes(), &[0; 16]].concat();
    let long_ape =
        [&[7; 40][..], b"APETAGEX", &2_000u32.to_le_bytes(), &72u32.to_le_bytes(), &[0; 16]].concat();
    for (name, extended) in [
        ("ID3 before", [&before, &file[..]].concat()),
        ("ID3 after", [&file[..], &after].concat()),
        ("ID3 around", [&before, &file[..], &after].concat()),
        ("APE after", [&file[..], &ape].concat()),
        ("both after", [&file[..], &long_ape, &after].concat()),
    ] {
        let found = decoded(&extended, "a.flac");
        assert_eq!(found.channels[0].len(), whole.channels[0].len(), "{name}: {:?}", found.warnings);
        assert!(
            found.channels == whole.channels && found.warnings.is_empty(),
            "{name}: {:?}",
            found.warnings
        );
    }
    let mp3 = bytes_of("click.mp3");
    let tagged = decoded(&[&before[..], &mp3, &after].concat(), "a.mp3");
    assert_eq!(tagged.channels, decoded(&mp3, "a.mp3").channels);
}

#[test]
fn streams_of_ogg_may_follow_each_other() {
    let file = bytes_of("click.ogg");
    let one = decoded(&file, "a.ogg");
    let two = decoded(&[&file[..], &file].concat(), "a.ogg");
    assert_eq!(two.channels[0].len(), 2 * one.channels[0].len());
    assert_eq!(two.channels[0][one.channels[0].len()..], one.channels[0]);
    assert!(two.warnings.is_empty(), "{:?}", two.warnings);
}

#[test]
fn a_damaged_packet_is_silence_and_said() {
    let whole = bytes_of("click.mp3");
    let good = decoded(&whole, "beat.mp3");
    // The header of one frame in the middle: joint stereo becomes mono, which the decoder refuses.
    let header = |&i: &usize| whole[i..i + 2] == [0xff, 0xe3] && whole[i + 3] == 0x64;
    let headers: Vec<usize> = (0..whole.len() - 4).filter(header).collect();
    let mut mixed = whole.clone();
    mixed[headers[headers.len() / 2] + 3] |= 0xc0;
    let found = decoded(&mixed, "beat.mp3");
    assert_eq!(found.channels[0].len(), good.channels[0].len());
    assert_ne!(found.channels, good.channels);
    assert!(
        found.warnings.iter().any(|w| w.contains("cannot be decoded: silence instead")),
        "{:?}",
        found.warnings
    );
}

#[test]
fn a_damaged_beginning_is_left_out_and_the_rest_keeps_its_time() {
    let whole = bytes_of("click.mp3");
    let header = |&i: &usize| whole[i..i + 2] == [0xff, 0xe3] && whole[i + 3] == 0x64;
    let headers: Vec<usize> = (0..whole.len() - 4).filter(header).collect();
    let good = Recording::decode(whole.clone(), "beat.mp3", Some(0.1..0.4)).unwrap();
    let mut undecodable = 0;
    for pair in headers.windows(2).take(3) {
        let mut damaged = whole.clone();
        damaged[pair[0] + 4..pair[1]].fill(0xff);
        let found = Recording::decode(damaged, "beat.mp3", Some(0.1..0.4)).unwrap();
        assert_eq!(found.channels[0].len(), good.channels[0].len(), "the frame at byte {}", pair[0]);
        undecodable += usize::from(found.channels != good.channels || found.warnings != good.warnings);
    }
    assert!(undecodable > 0);
}

#[test]
fn a_header_of_a_million_chunks_is_refused_at_once() {
    // Each states a size that passes the end, so that the next one is looked for.
    let file = [&b"RIFF\xff\xff\xff\xffWAVE"[..], &b"fmt ".repeat(1 << 20)].concat();
    refused(&file, "a.wav");
}

#[test]
fn as_many_channels_are_read_as_the_wav_decoder_takes() {
    // 26 channels of 8 bits: the wav decoder's most.
    let (rate, seconds) = (16_000u32, 2u32);
    let mut file = wav_8_bit(26, rate, 26 * rate * seconds);
    file.resize(file.len() + (26 * rate * seconds) as usize, 200);
    let found = decoded(&file, "a.wav");
    assert_eq!((found.channels.len(), found.seconds()), (26, 2.0));
    let more = wav_8_bit(27, rate, 27);
    assert!(refused(&[&more[..], &[0; 27]].concat(), "a.wav").starts_with("a.wav: "));
}
