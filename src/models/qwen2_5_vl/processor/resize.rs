//! Bicubic resampling that widens its kernel where a picture shrinks (antialiasing), in two passes.
//!
//! Each new sample is a weighted mean of the old ones around it, by Keys' cubic kernel with a = -1/2 (Keys
//! 1981, IEEE ASSP 29(6), equation 15), stretched by how much the picture shrinks, first along rows, then
//! along columns. Programs differ in arithmetic and in rounding, see [`Resampling`].

use super::sizes::Size;
use crate::{Error, Result};

/// A picture: rows from the top, pixels from the left, red, green and blue of each.
#[derive(Debug, Clone, Copy)]
pub struct RgbFrame<'a> {
    size: Size,
    pixels: &'a [u8],
}

impl<'a> RgbFrame<'a> {
    /// Wraps `height * width * 3` bytes.
    ///
    /// # Errors
    /// [`Error::Input`] for sides of zero or above 65536, or another number of bytes.
    pub fn new(height: usize, width: usize, pixels: &'a [u8]) -> Result<Self> {
        let size = Size { height, width };
        size.check("frame")?;
        let bytes = height as u64 * width as u64 * 3;
        if pixels.len() as u64 != bytes {
            let reason =
                format!("expected {bytes} bytes for {height} × {width} of RGB, found {}", pixels.len());
            return Err(Error::input("frame", reason));
        }
        Ok(Self { size, pixels })
    }

    /// Height and width.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The bytes.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }
}

/// Whose arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resampling {
    /// Pillow's for 8-bit pictures, up to 12.1: weights in fixed point with 22 bits, rows first, and a byte
    /// between the passes. What qwen-vl-utils and transformers up to 4.49 do to images. Pillow 12.2 takes
    /// columns first in pictures over 100 times as high as wide, 13 in more that shrink in height, which
    /// changes some bytes.
    Pillow,
    /// torchvision's `functional.resize` of byte tensors: f32 throughout, rounded at the end. What
    /// qwen-vl-utils does to videos.
    Float,
}

/// Weights of one axis: for each new sample, the first old one that counts and a slice of weights.
struct Taps<W> {
    first: Vec<usize>,
    ends: Vec<usize>,
    weights: Vec<W>,
}

impl<W> Taps<W> {
    fn iter(&self) -> impl Iterator<Item = (usize, &[W])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let slices = starts.zip(&self.ends).map(|(a, b)| self.weights.get(a..*b).unwrap_or_default());
        self.first.iter().copied().zip(slices)
    }
}

/// The number type that weights are computed in; each program's results hang on it.
trait Real: Copy {
    fn taps(old: usize, new: usize) -> Taps<Self>
    where
        Self: Sized;
}

macro_rules! real {
    ($float:ty) => {
        impl Real for $float {
            fn taps(old: usize, new: usize) -> Taps<Self> {
                let scale = old as $float / new as $float;
                let stretch = scale.max(1.0);
                let (reach, squeeze) = (2.0 * stretch, 1.0 / stretch);
                let cubic = |x: $float| {
                    let x = x.abs();
                    if x < 1.0 {
                        (1.5 * x - 2.5) * x * x + 1.0
                    } else if x < 2.0 {
                        (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
                    } else {
                        0.0
                    }
                };
                let mut taps = Taps { first: Vec::new(), ends: Vec::new(), weights: Vec::new() };
                for i in 0..new {
                    let centre = scale * (i as $float + 0.5);
                    // A negative number becomes 0.
                    let first = (centre - reach + 0.5) as usize;
                    let end = ((centre + reach + 0.5) as usize).min(old);
                    let start = taps.weights.len();
                    let mut sum: $float = 0.0;
                    for j in 0..end.saturating_sub(first) {
                        let weight = cubic(((j + first) as $float - centre + 0.5) * squeeze);
                        taps.weights.push(weight);
                        sum += weight;
                    }
                    if sum != 0.0 {
                        taps.weights.iter_mut().skip(start).for_each(|w| *w /= sum);
                    }
                    taps.first.push(first);
                    taps.ends.push(taps.weights.len());
                }
                taps
            }
        }
    };
}
real!(f32);
real!(f64);

/// Bits behind the point of Pillow's weights: a byte, two bits for sums that overshoot, and these fill an
/// i32.
const BITS: u32 = 22;

/// A picture at another size, `height * width * 3` bytes.
///
/// # Errors
/// [`Error::Input`] for sides of zero or above 65536.
pub fn resize(frame: &RgbFrame<'_>, to: Size, how: Resampling) -> Result<Vec<u8>> {
    to.check("size to resize to")?;
    let from = frame.size;
    if from == to {
        return Ok(frame.pixels.to_vec());
    }
    Ok(match how {
        Resampling::Pillow => {
            let fixed = |old, new| {
                let taps = f64::taps(old, new);
                let weights =
                    taps.weights.iter().map(|w| (w * f64::from(1u32 << BITS)).round() as i32).collect();
                Taps { first: taps.first, ends: taps.ends, weights }
            };
            let byte = |sum: i32| (sum >> BITS).clamp(0, 255) as u8;
            let start = 1i32 << (BITS - 1);
            let add = |sum: i32, value: u8, weight: i32| sum.wrapping_add(i32::from(value) * weight);
            let wide = (from.width != to.width).then(|| {
                along_rows(frame.pixels, from.width, &fixed(from.width, to.width), start, add, byte)
            });
            let wide = wide.as_deref().unwrap_or(frame.pixels);
            if from.height == to.height {
                return Ok(wide.to_vec());
            }
            along_columns(wide, to.width, &fixed(from.height, to.height), start, add, byte)
        }
        Resampling::Float => {
            let add = |sum: f32, value: f32, weight: f32| sum + value * weight;
            let taps = f32::taps(from.width, to.width);
            let from_byte = |sum: f32, value: u8, weight: f32| add(sum, f32::from(value), weight);
            let wide = along_rows(frame.pixels, from.width, &taps, 0.0, from_byte, |sum| sum);
            let byte = |sum: f32| sum.clamp(0.0, 255.0).round_ties_even() as u8;
            along_columns(&wide, to.width, &f32::taps(from.height, to.height), 0.0, add, byte)
        }
    })
}

/// Resamples each row of `width` pixels.
fn along_rows<T: Copy, W: Copy, S: Copy, O>(
    pixels: &[T],
    width: usize,
    taps: &Taps<W>,
    start: S,
    add: impl Fn(S, T, W) -> S,
    finish: impl Fn(S) -> O,
) -> Vec<O> {
    let (rows, _) = pixels.as_chunks::<3>();
    let mut out = Vec::with_capacity(rows.len() / width.max(1) * taps.first.len() * 3);
    for row in rows.chunks_exact(width.max(1)) {
        for (first, weights) in taps.iter() {
            let mut sums = [start; 3];
            for (pixel, weight) in row.iter().skip(first).zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum = add(*sum, *value, *weight);
                }
            }
            out.extend(sums.map(&finish));
        }
    }
    out
}

/// Resamples the columns of a picture of `width` pixels: whole rows are added up, so that memory is read in
/// order.
fn along_columns<T: Copy, W: Copy, S: Copy>(
    pixels: &[T],
    width: usize,
    taps: &Taps<W>,
    start: S,
    add: impl Fn(S, T, W) -> S,
    finish: impl Fn(S) -> u8,
) -> Vec<u8> {
    let row = (width * 3).max(1);
    let mut out = Vec::with_capacity(row * taps.first.len());
    let mut sums = vec![start; row];
    for (first, weights) in taps.iter() {
        sums.fill(start);
        for (values, weight) in pixels.chunks_exact(row).skip(first).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = add(*sum, *value, *weight);
            }
        }
        out.extend(sums.iter().map(|sum| finish(*sum)));
    }
    out
}

#[cfg(test)]
mod tests;
