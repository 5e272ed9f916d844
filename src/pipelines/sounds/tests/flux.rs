//! Envelopes against librosa 0.11.

use super::clicks;
use crate::pipelines::sounds::{Sound, onset_envelope};
use crate::pipelines::text_to_video::audio_mask::{AudioMaskOptions, audio_mask_in_time};
use crate::pipelines::text_to_video::curve::TimeAxis;

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
