//! From luma and chroma to RGB.

use super::boxes::Fields;

/// How a stream describes its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    /// The number of the matrix in ITU-T H.273; 2 is unspecified.
    pub(super) matrix: u16,
    /// All of 0..=255 is used, not 16..=235 of luma and 16..=240 of chroma.
    pub(super) full: bool,
}

impl Default for Colour {
    fn default() -> Self {
        Self { matrix: 2, full: false }
    }
}

/// Planes of a picture whose chroma is halved in both directions; without chroma it is grey.
pub(super) struct Planes<'a> {
    pub(super) width: usize,
    pub(super) luma: &'a [u8],
    pub(super) luma_stride: usize,
    pub(super) chroma: Option<(&'a [u8], &'a [u8])>,
    pub(super) chroma_stride: usize,
}

/// Bits behind the point of the factors below. With so many, and each product rounded down by itself, levels are those of
/// swscale on x86-64; rounding the sums would be 1 level brighter in the mean.
const POINT: u32 = 13;

/// Factors of a conversion.
struct Factors {
    black: i32,
    luma: i32,
    red_of_v: i32,
    green_of_u: i32,
    green_of_v: i32,
    blue_of_u: i32,
}

impl Colour {
    /// The description in a box `colr`, of mp4 or of QuickTime.
    pub(super) fn of_box(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let kind = fields.kind()?;
        let (_, _, matrix) = (fields.u16()?, fields.u16()?, fields.u16()?);
        match &kind {
            b"nclx" => Some(Self { matrix, full: fields.u8()? >> 7 == 1 }),
            b"nclc" => Some(Self { matrix, full: false }),
            _ => None,
        }
    }

    fn factors(self) -> Factors {
        // Shares of red and blue in luma; what states no matrix is taken for BT.601, whatever its size.
        let (red, blue) = match self.matrix {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let green = 1.0 - red - blue;
        let (black, luma, chroma) =
            if self.full { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
        let fixed = |factor: f64| (factor * f64::from(1u32 << POINT)).round() as i32;
        Factors {
            black,
            luma: fixed(luma),
            red_of_v: fixed(2.0 * (1.0 - red) * chroma),
            green_of_u: fixed(-2.0 * (1.0 - blue) * blue / green * chroma),
            green_of_v: fixed(-2.0 * (1.0 - red) * red / green * chroma),
            blue_of_u: fixed(2.0 * (1.0 - blue) * chroma),
        }
    }

    /// Converts a picture. Each value of chroma stands for its four pixels, as swscale has it by default.
    pub(super) fn convert(self, planes: &Planes, rgb: &mut [u8]) {
        let Factors { black, luma, red_of_v, green_of_u, green_of_v, blue_of_u } = self.factors();
        let level = |sum: i32| sum.clamp(0, 255) as u8;
        let row = |plane: &'_ [u8], stride: usize, y: usize| -> std::ops::Range<usize> {
            (y * stride).min(plane.len())..plane.len()
        };
        let width = planes.width.max(1);
        for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
            let lumas = planes.luma.get(row(planes.luma, planes.luma_stride, y)).unwrap_or_default();
            let (us, vs) = planes.chroma.map_or((&[][..], &[][..]), |(u, v)| {
                let part = row(u, planes.chroma_stride, y / 2);
                (u.get(part.clone()).unwrap_or_default(), v.get(part).unwrap_or_default())
            });
            for (x, (pair, lumas)) in out.chunks_mut(6).zip(lumas.chunks(2)).enumerate() {
                let chroma = |plane: &[u8]| i32::from(plane.get(x).copied().unwrap_or(128)) - 128;
                let (u, v) = (chroma(us), chroma(vs));
                let red = (red_of_v * v) >> POINT;
                let green = ((green_of_u * u) >> POINT) + ((green_of_v * v) >> POINT);
                let blue = (blue_of_u * u) >> POINT;
                for (pixel, value) in pair.chunks_exact_mut(3).zip(lumas) {
                    let grey = ((i32::from(*value) - black) * luma) >> POINT;
                    pixel.copy_from_slice(&[level(grey + red), level(grey + green), level(grey + blue)]);
                }
            }
        }
    }
}
