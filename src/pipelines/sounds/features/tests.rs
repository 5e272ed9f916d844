//! Sounds whose numbers are known. What a real sentence gives is compared with librosa and Praat in `kernels-tests`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use std::f64::consts::TAU;
use std::path::Path;

fn sound(rate: u32, seconds: f64, at: impl Fn(f64) -> f64) -> Sound {
    let count = (f64::from(rate) * seconds).round() as usize;
    Sound { samples: (0..count).map(|i| at(i as f64 / f64::from(rate)) as f32).collect(), rate }
}

fn column(sound: &Sound, name: &str) -> Vec<f32> {
    speech_features(sound).unwrap().column(name).unwrap()
}

/// Rows away from both ends, where the window is full.
fn inner(values: &[f32]) -> &[f32] {
    &values[2..values.len() - 2]
}

/// A voice that glides from 120 to 180 Hz, hiss between 0.6 and 0.9 s, and nothing after; all below 3,600 Hz.
fn speech(t: f64) -> f64 {
    let phase = TAU * (120.0 * t + 50.0 * t * t);
    let fade = |from: f64, to: f64| {
        let x = ((t - from) / 0.03).min((to - t) / 0.03).clamp(0.0, 1.0);
        0.5 - 0.5 * (TAU / 2.0 * x).cos()
    };
    let voice = |k: f64| (phase * k).sin() * 0.3 / k * (1.0 + 0.8 * (k - 5.0).cos());
    let hiss = |k: f64| (TAU * (300.0 + 3_250.0 * (k * 0.618_034).fract()) * t + k * k).sin() * 0.008;
    let voiced: f64 = (1..=18).map(|k| voice(f64::from(k))).sum();
    let unvoiced: f64 = (1..=40).map(|k| hiss(f64::from(k))).sum();
    fade(0.0, 0.6) * voiced + fade(0.6, 0.9) * unvoiced
}

/// −0.5 to 0.5 by a congruential generator, without a period in these lengths.
fn white(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32 - 0.5
    };
    (0..count).map(next).collect()
}

#[test]
fn a_sound_has_the_same_numbers_at_every_rate() {
    let expected = speech_features(&sound(16_000, 1.2, speech)).unwrap();
    assert_eq!(expected.rows(), 31);
    let all = columns();
    // Windows and hops are whole samples: where 64 ms are not, bins lie up to 0.06 % and rows up to 63 µs apart.
    let tolerance = |column: &Column| match column.name.as_str() {
        // Two of the crossings of 32 ms, or of slightly more.
        "zero_crossings" => 70.0,
        "rolloff" => 16.0,
        "centroid" | "spread" => 2.0,
        "voicing" | "pitch" | "pitch_relative" | "pitch_change" => 0.01,
        _ => 0.3,
    };
    for rate in [8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, 44_099] {
        let found = speech_features(&sound(rate, 1.2, speech)).unwrap();
        assert_eq!(found.rows(), expected.rows(), "{rate} Hz");
        let pairs = found.values.iter().zip(&expected.values).enumerate();
        for (i, (found, expected)) in pairs {
            let column = &all[i % WIDTH];
            let apart = (found - expected).abs();
            let row = i / WIDTH;
            assert!(
                apart <= tolerance(column),
                "{rate} Hz, row {row}, {}: {found}, not {expected}",
                column.name
            );
        }
    }
}

#[test]
fn a_tone_has_the_numbers_that_it_should() {
    for hertz in [80.0, 220.0, 480.0] {
        let tone = sound(16_000, 1.0, |t| (TAU * hertz * t).sin());
        let near = |name: &str, expected: f64, tolerance: f64| {
            for value in inner(&column(&tone, name)) {
                assert!((f64::from(*value) - expected).abs() <= tolerance, "{hertz} Hz, {name}: {value}");
            }
        };
        near("level", 10.0 * 0.5f64.log10(), 0.01);
        near("pitch", 12.0 * (hertz / 27.5).log2(), 0.01);
        near("pitch_relative", 0.0, 0.01);
        near("pitch_change", 0.0, 0.01);
        near("voicing", 1.0, 0.001);
        near("harmonicity", 30.0, 0.01);
        near("zero_crossings", 2.0 * hertz, 32.0);
        near("centroid", hertz, 3.0);
        near("spread", 10.0, 10.0);
        near("rolloff", hertz, 16.0);
        // In bands where only the tone's own leakage is heard it comes and goes with the phase.
        near("flux", 0.0, 1.5);
    }
    let two = sound(16_000, 1.0, |t| 0.4 * (TAU * 200.0 * t).sin() + 0.2 * (TAU * 400.0 * t).sin());
    // A bin lies up to 4 Hz from a harmonic, where its peak is up to 0.4 dB lower.
    assert!(inner(&column(&two, "h1_h2")).iter().all(|v| (v - 6.02).abs() < 0.4));
    // What is missing is heard: harmonics two to five of 100 Hz.
    let missing = |t: f64| (2..=5).map(|k| 0.1 * (TAU * 100.0 * f64::from(k) * t).sin()).sum::<f64>();
    let pitch = column(&sound(16_000, 1.0, missing), "pitch");
    assert!(inner(&pitch).iter().all(|v| (f64::from(*v) - 12.0 * (100.0f64 / 27.5).log2()).abs() < 0.02));
}

#[test]
fn a_moving_pitch_is_followed_and_noise_has_none() {
    let glide = sound(16_000, 0.6, |t| speech(t).min(0.9));
    let (pitch, change) = (column(&glide, "pitch"), column(&glide, "pitch_change"));
    let relative = column(&glide, "pitch_relative");
    for (row, value) in pitch.iter().enumerate().take(13).skip(2) {
        let hertz = 120.0 + 100.0 * row as f64 / 25.0;
        assert!((f64::from(*value) - 12.0 * (hertz / 27.5).log2()).abs() < 0.1, "row {row}: {value}");
        assert!((change[row] - (pitch[row] - pitch[row - 1]).abs()).abs() < 1e-4 && change[row] > 0.2);
    }
    let mut sorted: Vec<f32> = relative.iter().zip(&pitch).filter(|p| *p.1 > 0.0).map(|p| *p.0).collect();
    sorted.sort_by(f32::total_cmp);
    assert!(sorted[sorted.len() / 2].abs() < 0.4 && sorted[0] < -1.0);

    let noise = Sound { samples: white(16_000), rate: 16_000 };
    let features = speech_features(&noise).unwrap();
    assert!(features.column("pitch").unwrap().iter().all(|pitch| *pitch == 0.0));
    assert!(features.column("voicing").unwrap().iter().all(|v| (0.0..0.45).contains(v)));
    // Even over the band: its middle, and a slope of nothing.
    let centroid = features.column("centroid").unwrap();
    assert!(inner(&centroid).iter().all(|v| (v - 1_875.0).abs() < 250.0), "{centroid:?}");
    let tilt = features.column("tilt").unwrap();
    assert!(inner(&tilt).iter().sum::<f32>().abs() / inner(&tilt).len() as f32 <= 0.5, "{tilt:?}");
}

#[test]
fn loudness_and_offset_change_levels_only() {
    // Everywhere far above the noise that is added.
    let mut voice = sound(16_000, 1.2, speech);
    voice.samples.iter_mut().zip(white(19_200)).for_each(|(sample, noise)| *sample += 0.05 * noise);
    let edited = |edit: fn(f32) -> f32| {
        let samples = voice.samples.iter().map(|&sample| edit(sample)).collect();
        speech_features(&Sound { samples, rate: voice.rate }).unwrap()
    };
    let (loud, quiet, moved) = (edited(|v| v), edited(|v| 0.1 * v), edited(|v| v + 0.02));
    let all = columns();
    // Where windows are full: an offset that begins is a click.
    for (i, value) in loud.values.iter().enumerate().take(28 * WIDTH).skip(2 * WIDTH) {
        let name = &all[i % WIDTH].name;
        let level = name == "level" || name.starts_with("mel_");
        let expected = if level { value - 20.0 } else { *value };
        let row = i / WIDTH;
        // Two bins; pairs of crossings that hardly leave zero, of some 4,000, go under in the noise.
        let step = match name.as_str() {
            "zero_crossings" => 250.0,
            "rolloff" => 16.0,
            _ => 0.5,
        };
        let apart = (quiet.values[i] - expected).abs();
        assert!(apart < step + 2e-3 * expected.abs(), "{name}, row {row}: {apart}");
        let apart = (moved.values[i] - value).abs();
        assert!(apart < step + 2e-3 * value.abs(), "{name}, row {row} moved: {apart}");
    }
}

#[test]
fn silence_and_the_shortest_sounds_have_numbers() {
    let silence = speech_features(&sound(16_000, 1.0, |_| 0.0)).unwrap();
    assert_eq!(silence.rows(), 26);
    let first = &silence.values[..WIDTH];
    assert!(first.iter().all(|v| v.is_finite()));
    for row in silence.values.chunks(WIDTH) {
        assert_eq!(row, first);
    }
    let names = ["level", "level_relative", "pitch", "pitch_change", "h1_h2", "zero_crossings", "flux"];
    let expected = [-90.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    for (name, expected) in names.iter().zip(expected) {
        assert!((column(&sound(16_000, 1.0, |_| 0.0), name)[0] - expected).abs() < 1e-3, "{name}");
    }
    // The last bit of a quiet recording is below the noise.
    let bit = sound(16_000, 1.0, |t| if (t * 1_234.5).fract() < 0.5 { 0.0 } else { 3.0e-6 });
    assert!(column(&bit, "level").iter().all(|v| (v + 90.0).abs() < 0.1));
    // A sound that ends between two rows, and one of a single sample.
    for (rate, count, rows) in [
        (16_000, 1, 1),
        (16_000, 639, 1),
        (16_000, 640, 2),
        (8_000, 319, 1),
        (44_100, 1_764, 2),
        (11_025, 440, 1),
    ] {
        for value in [0.0, 1.0, -1.0] {
            let found = speech_features(&Sound { samples: vec![value; count], rate }).unwrap();
            assert_eq!(found.rows(), rows, "{count} samples at {rate}");
            assert!(found.values.iter().all(|v| v.is_finite()), "{count} samples of {value}");
        }
    }
    // As loud as numbers go, and clipped.
    for sample in [f32::MAX, f32::MIN_POSITIVE, 1e-30] {
        let found =
            speech_features(&sound(16_000, 0.3, |t| f64::from(sample) * (TAU * 200.0 * t).sin().signum()));
        assert!(found.unwrap().values.iter().all(|v| v.is_finite()), "{sample}");
    }
}

#[test]
fn sounds_without_use_and_columns_that_are_none_are_refused() {
    let refused =
        |samples: Vec<f32>, rate| speech_features(&Sound { samples, rate }).unwrap_err().to_string();
    assert!(refused(vec![], 16_000).contains("no samples"));
    for rate in [0, 7_999, 192_001] {
        assert!(refused(vec![0.0; 9], rate).contains("speech features want 8000..=192000"));
    }
    assert!(refused(vec![0.0, f32::NAN], 16_000).contains("element 1"));
    let found = speech_features(&sound(16_000, 0.1, |_| 0.0)).unwrap();
    let error = found.column("f0").unwrap_err().to_string();
    assert_eq!(error, "f0: foveal-speech 1 has no such column");
    let all = columns();
    assert_eq!(all.len(), WIDTH);
    assert_eq!(
        (all[0].name.as_str(), all[15].name.as_str(), all[46].name.as_str()),
        ("level", "mel_01", "mfcc_12")
    );
}

#[test]
fn of_films_the_sound_is_read_or_the_error_says_how_to_take_it_out() {
    let folder = std::env::temp_dir().join(format!("foveal_films_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let fixture =
        |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipelines/sounds/fixtures").join(name);
    // The sound of a film is that of the file of sound alone that the same encoder wrote, whatever it is called.
    let alone = open_speech(fixture("aac.m4a")).unwrap();
    assert_eq!(open_speech(fixture("film.mp4")).unwrap(), alone);
    for name in ["film.MOV", "film.wav", "film"] {
        std::fs::copy(fixture("film.mp4"), folder.join(name)).unwrap();
        assert_eq!(open_speech(folder.join(name)).unwrap(), alone, "{name}");
    }
    // As a telephone brands its recordings; one that is broken is no film either.
    let mut recorded = std::fs::read(fixture("aac.m4a")).unwrap();
    recorded[8..12].copy_from_slice(b"mp42");
    let path = folder.join("recorded.m4a");
    std::fs::write(&path, &recorded).unwrap();
    assert_eq!(open_speech(&path).unwrap(), alone);
    std::fs::write(&path, &recorded[..40]).unwrap();
    assert!(!open_speech(&path).unwrap_err().to_string().contains("a film"));
    let two = open_speech(fixture("two_sounds.mkv")).unwrap();
    assert!(two.warnings.len() == 1 && two.warnings[0].contains("2 sounds in it"), "{:?}", two.warnings);
    let one = open_speech(fixture("vorbis.mka")).unwrap();
    assert_eq!((two.channels, two.rate), (one.channels, one.rate));
    let wav = std::fs::read(fixture("click.wav")).unwrap();
    assert_eq!(open_speech(fixture("click.wav")).unwrap().mono(), Sound::open(fixture("click.wav")).unwrap());
    std::fs::write(folder.join("sound.mp4"), &wav).unwrap();
    assert_eq!(
        open_speech(folder.join("sound.mp4")).unwrap().channels,
        open_speech(fixture("click.wav")).unwrap().channels
    );
    let silent = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/clips/clip000.mp4");
    let error = open_speech(&silent).unwrap_err().to_string();
    assert!(error.contains("no sound") && error.contains("ffmpeg -i"), "{error}");
    let heads: [&[u8]; 4] = [
        b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2",
        b"RIFF\0\0\0\0AVI LIST",
        b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f",
        b"\0\0\x01\xba\x44\0\x04\0\x04\x01",
    ];
    let opus = std::fs::read(fixture("opus.webm")).unwrap();
    let films = [("a.webm", opus.as_slice()), ("a.MOV", &wav[..20]), ("a.avi", heads[1])];
    for (name, bytes) in films.into_iter().chain(heads.map(|head| ("clip.wav", head))) {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = open_speech(&path).unwrap_err().to_string();
        assert!(error.contains("a film") && error.contains("ffmpeg -i") && error.contains(name), "{error}");
        // Which does not write over what it reads.
        assert_eq!(error.matches(&format!("{name}\"")).count(), 1, "{error}");
    }
    // What is neither is for the decoder to name.
    std::fs::write(folder.join("x.wav"), b"no sound").unwrap();
    assert!(open_speech(folder.join("x.wav")).unwrap_err().to_string().contains("x.wav"));
    assert!(open_speech(folder.join("gone.mp4")).unwrap_err().to_string().contains("gone.mp4"));
    assert!(open_speech(&folder).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
