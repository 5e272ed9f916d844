//! Envelopes against librosa 0.11, and files of every format.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::pipelines::text_to_video::audio_mask::{AudioMaskOptions, audio_mask_in_time};
use crate::pipelines::text_to_video::curve::TimeAxis;
use std::path::{Path, PathBuf};

/// Silence with decaying tones: (seconds, hertz).
fn clicks(rate: u32, seconds: f64, tones: &[(f64, f64)]) -> Sound {
    let sample = |i: usize| {
        let t = i as f64 / f64::from(rate);
        let tone = |(at, hertz): &(f64, f64)| {
            let since = t - at;
            if since < 0.0 {
                0.0
            } else {
                0.5 * (-30.0 * since).exp() * (std::f64::consts::TAU * hertz * since).sin()
            }
        };
        tones.iter().map(tone).sum::<f64>() as f32
    };
    Sound { samples: (0..(f64::from(rate) * seconds) as usize).map(sample).collect(), rate }
}

const TONES: [(f64, f64); 2] = [(0.3, 440.0), (0.7, 1500.0)];

#[test]
fn the_envelope_is_that_of_librosa() {
    let found = onset_envelope(&clicks(22_050, 1.0, &TONES)).unwrap();
    // librosa.onset.onset_strength of the same samples, where it is not 0.
    let expected = [
        (13, 0.71518),
        (14, 24.533),
        (15, 5.0666),
        (16, 0.0057952),
        (31, 29.059),
        (32, 8.2502),
        (33, 0.017026),
    ];
    assert_eq!(found.values.len(), 44);
    assert!((found.rate - 22_050.0 / 512.0).abs() < 1e-9);
    for (k, value) in found.values.iter().enumerate() {
        let wanted = expected.iter().find(|(at, _)| *at == k).map_or(0.0, |(_, v)| *v);
        // Both transforms work in f32; the floor 80 dB below the loudest band amplifies their rounding.
        assert!((value - wanted).abs() <= 2e-3 + 1e-3 * wanted, "{k}: {value}, librosa has {wanted}");
    }
}

#[test]
fn other_rates_find_the_same_onsets() {
    for rate in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let found = onset_envelope(&clicks(rate, 1.0, &TONES)).unwrap();
        for (at, _) in TONES {
            let near = |k: &usize| (*k as f64 / found.rate - at).abs() < 0.1;
            let best = (0..found.values.len())
                .filter(near)
                .max_by(|a, b| found.values[*a].total_cmp(&found.values[*b]));
            let best = best.unwrap();
            // A hop is 23 ms, and a window of four hops spreads an onset over some of them.
            assert!((best as f64 / found.rate - at).abs() < 0.06, "{rate} Hz: {best} for {at}s");
            assert!(found.values[best] > 10.0);
        }
    }
}

#[test]
fn a_click_in_a_file_becomes_a_word_at_its_time() {
    let envelope = onset_envelope(&clicks(22_050, 2.0, &[(1.2, 900.0)])).unwrap();
    // Eight frames, four a second: frame 4 is on screen from 1 s to 1.25 s.
    let axis = TimeAxis::new(8, 1, 4.0).unwrap();
    let options = AudioMaskOptions { frames: 8, ..AudioMaskOptions::default() };
    let mask = audio_mask_in_time(&envelope.values, envelope.rate, 0.0, &axis, &options).unwrap().mask;
    let loudest = (0..8).max_by(|a, b| mask[*a].total_cmp(&mask[*b]));
    assert_eq!(loudest, Some(4), "{mask:?}");
    assert_eq!(mask[4], 1.0);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines/sounds/fixtures").join(name)
}

/// Each fixture is half a second at 8 kHz: a tone of 440 Hz that begins at 0.25 s, three times as loud on the left.
#[test]
fn every_format_is_read_and_mixed() {
    let expected = clicks(8_000, 0.5, &[(0.25, 440.0)]);
    for (name, tolerance) in
        [("click.wav", 1e-4), ("click.flac", 1e-4), ("click.ogg", 0.1), ("click.mp3", 0.1)]
    {
        let found = Sound::open(fixture(name)).unwrap();
        assert_eq!(found.rate, 8_000, "{name}");
        // mp3 may keep the padding of its frames.
        assert!(found.samples.len() >= 4_000 && found.seconds() < 0.7, "{name}: {}", found.samples.len());
        let error = |shift: usize| {
            let pairs = found.samples.iter().skip(shift).zip(&expected.samples);
            pairs.map(|(f, e)| (f - e).abs()).fold(0.0, f32::max)
        };
        let best = (0..=found.samples.len() - 4_000).map(error).fold(f32::INFINITY, f32::min);
        assert!(best < tolerance, "{name}: off by {best}");
    }
}

#[test]
fn what_is_no_sound_is_refused_with_its_name() {
    let refused = |bytes: &[u8]| Sound::decode(bytes.to_vec(), "beat.wav").unwrap_err().to_string();
    let wav = std::fs::read(fixture("click.wav")).unwrap();
    for bytes in [&b""[..], b"no sound", &wav[..20], &wav[..44], &[0; 4096]] {
        assert!(refused(bytes).starts_with("beat.wav: "), "{}", refused(bytes));
    }
    let missing = Sound::open("no/such/file.mp3").unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.mp3"), "{missing}");
}

#[test]
fn sounds_without_use_are_refused() {
    let sound = |samples: Vec<f32>, rate| onset_envelope(&Sound { samples, rate });
    assert!(sound(vec![], 8_000).is_err());
    assert!(sound(vec![0.0; 9], 0).is_err());
    assert!(sound(vec![0.0, f32::NAN], 8_000).is_err());
    // Silence has an envelope, of nothing; one sample is short but has a beginning.
    assert!(sound(vec![0.0; 9_000], 8_000).unwrap().values.iter().all(|v| *v == 0.0));
    assert_eq!(sound(vec![1.0], 8_000).unwrap().values.len(), 1);
}

#[test]
fn what_cannot_be_decoded_is_silence_of_its_length() {
    let whole = std::fs::read(fixture("click.mp3")).unwrap();
    let good = Sound::decode(whole.clone(), "beat.mp3").unwrap();
    // The header of one frame in the middle: joint stereo becomes mono, which the decoder refuses.
    let header = |&i: &usize| whole[i..i + 2] == [0xff, 0xe3] && whole[i + 3] == 0x64;
    let headers: Vec<usize> = (0..whole.len() - 4).filter(header).collect();
    let mut mixed = whole.clone();
    mixed[headers[headers.len() / 2] + 3] |= 0xc0;
    let found = Sound::decode(mixed, "beat.mp3").unwrap();
    assert_eq!(found.samples.len(), good.samples.len());
    assert_ne!(found.samples, good.samples);
}

/// A wav header for `bytes` of 8-bit samples, without them.
fn wav_8_bit(channels: u16, rate: u32, bytes: u32) -> Vec<u8> {
    let mut file = [&b"RIFF"[..], &(36 + bytes).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
    file.extend([1u16, channels].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([rate, rate * u32::from(channels)].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([channels, 8].iter().flat_map(|v| v.to_le_bytes()));
    [&file, &b"data"[..], &bytes.to_le_bytes()].concat()
}

#[test]
fn the_longest_sound_is_one_of_time() {
    let decode = |rate: u32, seconds: u32| {
        let mut file = wav_8_bit(1, rate, rate * seconds);
        file.resize(file.len() + (rate * seconds) as usize, 128);
        Sound::decode(file, "long.wav")
    };
    for rate in [1_000, 16_000] {
        assert_eq!(decode(rate, 600).unwrap().seconds(), 600.0);
        let text = decode(rate, 601).unwrap_err().to_string();
        assert!(text.starts_with("long.wav: it is longer than 600 seconds"), "{text}");
    }
    for rate in [999, 192_001] {
        let text = decode(rate, 1).unwrap_err().to_string();
        assert!(text.contains(&format!("{rate} samples a second")), "{text}");
    }
}
