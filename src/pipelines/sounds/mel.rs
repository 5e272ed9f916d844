//! Triangular bands that are even to the ear.

/// A band: the first spectral bin it reaches, and the weights of it and the ones after.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) weights: Vec<f32>,
}

/// A Hann window of so many samples, which repeats itself behind them.
pub(super) fn hann(window: usize) -> Vec<f64> {
    (0..window).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / window as f64).cos()).collect()
}

/// Frequency of a place on Slaney's mel scale: linear up to 1000 Hz (15 mel), logarithmic above.
pub(super) fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * (6.4f64.ln() / 27.0 * (mel - 15.0)).exp() }
}

/// The inverse of [`hertz`].
pub(super) fn mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln() }
}

/// `count` triangles from 0 to `top` hertz, each of area 1 in hertz, over the bins of a real transform of
/// `window` samples at `rate`.
pub(super) fn bands(count: usize, window: usize, rate: f64, top: f64) -> Vec<Band> {
    let edge = |i: usize| hertz(mel(top) * i as f64 / (count + 1) as f64);
    let band = |i: usize| {
        let (low, peak, high) = (edge(i), edge(i + 1), edge(i + 2));
        let weight = |bin: usize| {
            let f = bin as f64 * rate / window as f64;
            ((f - low) / (peak - low)).min((high - f) / (high - peak)).max(0.0) * 2.0 / (high - low)
        };
        let first = (low * window as f64 / rate).floor() as usize;
        let last = ((high * window as f64 / rate).ceil() as usize).min(window / 2);
        Band { first, weights: (first..=last.max(first)).map(|bin| weight(bin) as f32).collect() }
    };
    (0..count).map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_its_published_points() {
        for (m, f) in [(0.0, 0.0), (3.0, 200.0), (15.0, 1000.0), (42.0, 6400.0)] {
            assert!((hertz(m) - f).abs() < 1e-9 * (1.0 + f) && (mel(f) - m).abs() < 1e-9, "{m} mel, {f} Hz");
        }
    }
}
