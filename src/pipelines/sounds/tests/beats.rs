//! Onsets of sounds whose beats are known.

use crate::pipelines::sounds::{Onset, Recording, onsets};
use std::f64::consts::TAU;

/// What begins at a beat: a sample for the seconds since then.
type Voice = fn(f64) -> f64;

/// A few partials that are gone after 20 ms.
fn click(t: f64) -> f64 {
    let partials = [(300.0, 1.0), (700.0, 2.0), (1500.0, 0.3), (2500.0, 2.2), (3500.0, 0.7)];
    partials.iter().map(|(hertz, phase)| (TAU * hertz * t + phase).sin()).sum::<f64>()
        * 0.2
        * (-200.0 * t).exp()
}

/// A sine that falls from 150 to 45 Hz while it fades.
fn kick(t: f64) -> f64 {
    let turns = 45.0 * t + 105.0 / 30.0 * (1.0 - (-30.0 * t).exp());
    (TAU * turns).sin() * (-8.0 * t).exp()
}

/// The same, still sounding when the next begins.
fn long_kick(t: f64) -> f64 {
    kick(t) * (3.0 * t).exp()
}

/// A voice at each of the times.
fn sound(rate: u32, seconds: f64, times: &[f64], voice: Voice) -> Vec<f32> {
    let mut samples = vec![0.0f64; (seconds * f64::from(rate)) as usize];
    for at in times {
        let first = (at * f64::from(rate)).ceil() as usize;
        for (i, sample) in samples.iter_mut().enumerate().skip(first).take(rate as usize) {
            *sample += voice(i as f64 / f64::from(rate) - at);
        }
    }
    samples.iter().map(|v| *v as f32).collect()
}

fn beats(bpm: f64, first: f64, seconds: f64) -> Vec<f64> {
    let count = ((seconds - first) * bpm / 60.0).ceil() as usize;
    (0..count).map(|k| first + k as f64 * 60.0 / bpm).collect()
}

fn recorded(channels: Vec<Vec<f32>>, rate: u32) -> Recording {
    Recording { channels, rate, warnings: Vec::new() }
}

fn mono(samples: Vec<f32>, rate: u32) -> Vec<Onset> {
    onsets(&recorded(vec![samples], rate)).unwrap()
}

/// Numbers that look like noise, the same every time: −1..1.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Fails unless the onsets are at the times, within milliseconds, and equally strong within 5 %.
fn equal(found: &[Onset], times: &[f64], what: &str) {
    nearly_equal(found, times, what, 0.05);
}

fn nearly_equal(found: &[Onset], times: &[f64], what: &str, spread: f32) {
    assert_eq!(found.len(), times.len(), "{what}: {found:?} for {times:?}");
    let off = found.iter().zip(times).map(|(f, t)| (f.seconds - t).abs()).fold(0.0, f64::max);
    assert!(off < 0.008, "{what}: off by {off} s: {found:?}");
    let strengths = || found.iter().map(|f| f.strength);
    let (low, high) = (strengths().fold(f32::INFINITY, f32::min), strengths().fold(0.0, f32::max));
    // The first may be stronger: there is nothing before it.
    let rest = strengths().skip(1).fold(0.0, f32::max);
    assert!(low >= (1.0 - spread) * rest && high <= 1.25 * low, "{what}: {low} to {high}: {found:?}");
}

#[test]
fn equal_beats_are_equal_at_every_tempo_and_rate() {
    let voices: [(&str, Voice); 3] = [("click", click), ("kick", kick), ("long kick", long_kick)];
    for rate in [8_000, 44_100, 48_000, 96_000] {
        for (name, voice) in voices {
            for bpm in [60.0, 120.0, 180.0] {
                for first in [0.0, 0.1234] {
                    let times = beats(bpm, first, 2.4);
                    let found = mono(sound(rate, 2.5, &times, voice), rate);
                    // Under a long one the next begins in what is left of it, and more of it is left each time.
                    let spread = if name == "long kick" { 0.15 } else { 0.05 };
                    nearly_equal(
                        &found,
                        &times,
                        &format!("{name}s at {bpm} and {rate} Hz from {first} s"),
                        spread,
                    );
                }
            }
        }
    }
}

#[test]
fn neither_level_nor_an_offset_decides() {
    let times = beats(120.0, 0.2, 3.0);
    let samples = sound(16_000, 3.0, &times, kick);
    let once = mono(samples.clone(), 16_000);
    for factor in [1e-20, 1e-3, 0.5, 1e6, 1e30] {
        let scaled = mono(samples.iter().map(|v| v * factor).collect(), 16_000);
        equal(&scaled, &times, &format!("times {factor}"));
        assert!(scaled.iter().zip(&once).all(|(a, b)| (a.strength / b.strength - 1.0).abs() < 1e-2));
    }
    equal(&mono(samples.iter().map(|v| v + 0.7).collect(), 16_000), &times, "on a constant");
    // As a file of 8 bits holds them, quiet and with what rounding makes of silence.
    let coarse = samples
        .iter()
        .zip(noise(samples.len()))
        .map(|(v, n)| ((12.0 * v + 0.5 * n).round()) / 128.0)
        .collect();
    assert_eq!(
        mono(coarse, 16_000).iter().filter(|o| o.strength > 0.5 * once[1].strength).count(),
        times.len()
    );
}

#[test]
fn no_layout_of_channels_hides_a_beat() {
    let times = beats(120.0, 0.2, 3.0);
    let (left, silent) = (sound(22_050, 3.0, &times, click), vec![0.0; 66_150]);
    let turned: Vec<f32> = left.iter().map(|v| -v).collect();
    let steady: Vec<f32> =
        (0..66_150).map(|i| 0.3 * (TAU * 3000.0 * f64::from(i) / 22_050.0).sin() as f32).collect();
    for (name, channels) in [
        ("stereo", vec![left.clone(), left.clone()]),
        ("one side", vec![silent.clone(), left.clone()]),
        ("one turned round", vec![left.clone(), turned]),
        ("5.1", vec![silent.clone(), silent.clone(), silent.clone(), silent.clone(), left.clone(), silent]),
        ("beside a tone", vec![steady.clone(), left.clone(), steady]),
    ] {
        let recording = recorded(channels, 22_050);
        equal(&onsets(&recording).unwrap(), &times, name);
        // What is mixed is no silence either.
        assert!(recording.mono().samples.iter().any(|v| v.abs() > 0.05), "{name}");
    }
    // A mean is a mean where nothing is turned round.
    let mixed = recorded(vec![vec![0.5, 1.0], vec![0.75, -0.5]], 8_000).mono();
    assert_eq!(mixed.samples, [0.625, 0.25]);
}

#[test]
fn what_is_steady_has_no_beats() {
    for rate in [8_000, 44_100] {
        let count = 6 * rate as usize;
        let tone = |hertz: f64, depth: f64| -> Vec<f32> {
            let turns = |t: f64| hertz * t + depth * (TAU * 6.0 * t).sin() / TAU;
            (0..count).map(|i| 0.5 * (TAU * turns(i as f64 / f64::from(rate))).sin() as f32).collect()
        };
        let white = noise(count);
        let mut level = 0.0;
        let mut brown: Vec<f32> = Vec::new();
        for v in &white {
            level = 0.995 * level + v;
            brown.push(level);
        }
        for (name, samples) in [
            ("silence", vec![0.0; count]),
            ("a constant", vec![0.3; count]),
            ("a low tone", tone(55.0, 0.0)),
            ("a tone", tone(440.0, 0.0)),
            ("a high tone", tone(3_100.0, 0.0)),
            ("vibrato", tone(440.0, 6.0)),
            ("white noise", white.clone()),
            ("brown noise", brown.clone()),
        ] {
            let found = mono(samples, rate);
            assert!(found.is_empty(), "{name} at {rate} Hz: {found:?}");
        }
    }
}

#[test]
fn beats_are_found_among_other_sounds() {
    let (rate, seconds) = (44_100, 4.0);
    let times = beats(120.0, 0.1, seconds);
    let chord = |t: f64| [110.0, 138.6, 164.8, 441.0].iter().map(|f| (TAU * f * t).sin()).sum::<f64>() / 4.0;
    let with = |beat: &[f32], level: f32, under: &dyn Fn(usize) -> f32| -> Vec<Onset> {
        mono(beat.iter().enumerate().map(|(i, v)| level * v + under(i)).collect(), rate)
    };
    let (clicks, kicks) = (sound(rate, seconds, &times, click), sound(rate, seconds, &times, kick));
    let held = |i: usize| chord(i as f64 / f64::from(rate)) as f32;
    for level in [1.0, 0.3] {
        nearly_equal(&with(&clicks, level, &held), &times, &format!("clicks by {level} over a chord"), 0.15);
    }
    let hiss = noise(clicks.len());
    let found = with(&kicks, 1.0, &|i| 0.1 * hiss[i]);
    assert_eq!(found.len(), times.len(), "kicks in hiss: {found:?}");
}

/// Pulses of a voice through three resonances, each syllable a rise of 30 ms and a fall.
#[test]
fn syllables_are_onsets() {
    let syllables = [0.2, 0.45, 0.8, 1.3, 1.55, 2.0, 2.6, 2.85, 3.4, 3.65, 4.2];
    for rate in [8_000u32, 44_100] {
        let (mut phase, mut voice) = (0.0, Vec::new());
        let mut memory = [[0.0f64; 2]; 3];
        for i in 0..5 * rate {
            let t = f64::from(i) / f64::from(rate);
            phase += (120.0 + 15.0 * (TAU * 0.7 * t).sin()) / f64::from(rate);
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase -= pulse;
            let mut sum = 0.0;
            for ((hertz, width), [one, two]) in
                [(600.0, 80.0), (1200.0, 100.0), (2500.0, 150.0)].iter().zip(&mut memory)
            {
                let radius = (-TAU / 2.0 * width / f64::from(rate)).exp();
                let next = pulse + 2.0 * radius * (TAU * hertz / f64::from(rate)).cos() * *one
                    - radius * radius * *two;
                (*one, *two) = (next, *one);
                sum += next / hertz;
            }
            let open = |at: &f64| {
                if t < *at {
                    0.0
                } else {
                    ((t - at) / 0.03).min(1.0) * (-12.0 * (t - at - 0.1).max(0.0)).exp()
                }
            };
            voice.push((sum * syllables.iter().map(open).fold(0.1, f64::max)) as f32);
        }
        let found = mono(voice, rate);
        assert_eq!(found.len(), syllables.len(), "{rate}: {found:?}");
        for (onset, at) in found.iter().zip(syllables) {
            assert!((-0.005..0.04).contains(&(onset.seconds - at)), "{rate}: {onset:?} for {at}");
        }
    }
}

#[test]
fn the_ends_of_a_recording_are_no_onsets() {
    let rate = 16_000;
    let tone = |seconds: f64| -> Vec<f32> {
        (0..(seconds * f64::from(rate)) as u32)
            .map(|i| (TAU * 440.0 * f64::from(i) / f64::from(rate)).sin() as f32)
            .collect()
    };
    // Two seconds may be the middle of something; what is over within half a second began.
    assert_eq!(mono(tone(2.0), rate), []);
    let short = mono(tone(0.4), rate);
    assert!(short.len() == 1 && short[0].seconds < 0.01, "{short:?}");
    // A tone within a recording begins, however long it lasts; where it stops nothing does.
    let within = [vec![0.0; 8_000], tone(2.0), vec![0.0; 8_000]].concat();
    equal(&mono(within, rate), &[0.5], "a tone after silence");
    for short in [vec![1.0], vec![0.5; 400]] {
        assert_eq!(mono(short, rate), []);
    }
}
