//! Rectangles and enlarged frames on a picture.

use image::{Rgb, RgbImage};

/// Behind everything.
pub(crate) const PAPER: [u8; 3] = [24, 25, 30];
/// Where a bar could be but is not.
pub(crate) const TRACK: [u8; 3] = [58, 60, 70];

/// A picture to draw on; what falls outside is left out.
#[derive(Debug)]
pub(crate) struct Canvas(RgbImage);

impl Canvas {
    /// A picture of one colour.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self(RgbImage::from_pixel(width, height, Rgb(PAPER)))
    }

    /// Fills a rectangle.
    pub(crate) fn fill(&mut self, [x, y, width, height]: [u32; 4], ink: [u8; 3]) {
        let (right, bottom) = ((x + width).min(self.0.width()), (y + height).min(self.0.height()));
        for (x, y) in (y..bottom).flat_map(|y| (x..right).map(move |x| (x, y))) {
            self.0.put_pixel(x, y, Rgb(ink));
        }
    }

    /// Draws a frame of 8-bit RGB, `columns` pixels wide, each pixel as a square of `zoom`.
    pub(crate) fn frame(&mut self, x: u32, y: u32, zoom: u32, rgb: &[u8], columns: usize) {
        let (pixels, _) = rgb.as_chunks::<3>();
        for (row, line) in (0u32..).zip(pixels.chunks(columns.max(1))) {
            for (column, pixel) in (0u32..).zip(line) {
                self.fill([x + column * zoom, y + row * zoom, zoom, zoom], *pixel);
            }
        }
    }

    /// A bar that is filled from below up to `value`, 0..1.
    pub(crate) fn bar(&mut self, [x, y, width, height]: [u32; 4], value: f32, ink: [u8; 3]) {
        self.fill([x, y, width, height], TRACK);
        let full = (value.clamp(0.0, 1.0) * height as f32).round() as u32;
        self.fill([x, y + height - full, width, full], ink);
    }

    /// The picture.
    pub(crate) fn into_image(self) -> RgbImage {
        self.0
    }
}
