//! The demonstration's pictures: an animation, sheets of frames, and the sheet with everything.
//!
//! Time runs from left to right, frames stand under each other, and a word's bars have its colour: full height where it
//! is wanted, a flat track where it is not. Under a frame, a lit bar says that the word was measured there once, a
//! broken one that what is there of it is not one object.

use super::clips::{Demo, Shown, Take, Word};
use crate::shared::canvas::{Canvas, PAPER};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, ImageError, ImageFormat, RgbImage};
use std::io::Cursor;
use std::time::Duration;

const GAP: u32 = 8;
const BAR: u32 = 14;
/// Left of a sheet's first frame.
const MARGIN: u32 = 20;
/// Marks at the left edge of the uncontrolled and the controlled part.
const PLAIN: [u8; 3] = [140, 144, 158];
const STEERED: [u8; 3] = [255, 255, 255];

fn png(image: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    Ok(bytes)
}

/// Square pixels of a frame so that it is about `target` wide.
fn zoom(demo: &Demo, target: u32) -> u32 {
    (target / demo.size[2].max(1) as u32).max(1)
}

/// Both clips beside each other, looping (GIF); above them each word's curve with the frame's place marked.
pub(crate) fn animation(demo: &Demo) -> Result<Vec<u8>, ImageError> {
    let [frames, height, width] = demo.size;
    let zoom = zoom(demo, 192);
    let (w, h) = (width as u32 * zoom, height as u32 * zoom);
    let lanes = demo.words.len() as u32;
    let head = GAP + lanes * (BAR + 4);
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 1);
    encoder.set_repeat(Repeat::Infinite)?;
    for frame in 0..frames {
        let mut canvas = Canvas::new(3 * GAP + 2 * w, head + GAP / 2 + h + GAP);
        for (side, take) in (0u32..).zip([&demo.before, &demo.after]) {
            let left = GAP + side * (w + GAP);
            for (lane, word) in (0u32..).zip(&demo.words) {
                let top = GAP + lane * (BAR + 4);
                timeline(&mut canvas, [left, top, w], word, frame);
            }
            let rgb = take.film.frames.get(frame).map(Vec::as_slice).unwrap_or_default();
            canvas.frame(left, head + GAP / 2, zoom, rgb, width);
        }
        let shown = Duration::from_secs_f64(1.0 / demo.fps);
        let rgba = image::DynamicImage::ImageRgb8(canvas.into_image()).into_rgba8();
        encoder.encode_frame(Frame::from_parts(rgba, 0, 0, Delay::from_saturating_duration(shown)))?;
    }
    drop(encoder);
    Ok(bytes)
}

/// A curve as cells; the cell of the frame on show has a white line under it.
fn timeline(canvas: &mut Canvas, [left, top, width]: [u32; 3], word: &Word, now: usize) {
    let count = word.curve.len().max(1) as u32;
    let edge = |i: u32| left + i * width / count;
    for (i, value) in (0u32..).zip(&word.curve) {
        // A gap of two pixels, where a cell has room for it.
        let whole = edge(i + 1) - edge(i);
        let cell = if whole > 4 { whole - 2 } else { whole };
        canvas.bar([edge(i), top, cell, BAR - 4], *value, word.ink);
        if i as usize == now {
            canvas.fill([edge(i), top + BAR - 3, cell, 3], STEERED);
        }
    }
}

/// The frames of one clip in a row (PNG), each under its wanted bars and above its measured ones.
pub(crate) fn strip(demo: &Demo, take: &Take) -> Result<Vec<u8>, ImageError> {
    let sheet = Sheet::new(demo);
    let lanes = demo.words.len() as u32 * (BAR + 4);
    let mut canvas = Canvas::new(sheet.width(), GAP + lanes + sheet.frame_block() + GAP);
    let top = sheet.wanted(&mut canvas, GAP);
    sheet.frames(&mut canvas, top, take);
    png(&canvas.into_image())
}

/// Wanted curves, uncontrolled frames with their attention, controlled frames with theirs (PNG).
pub(crate) fn sheet(demo: &Demo) -> Result<Vec<u8>, ImageError> {
    let sheet = Sheet::new(demo);
    let words = demo.words.len() as u32;
    let lanes = words * (BAR + 4);
    let half = sheet.frame_block() + words * (sheet.cell.1 + GAP);
    let mut canvas = Canvas::new(sheet.width(), GAP + lanes + 2 * half + 3 * GAP);
    let mut top = sheet.wanted(&mut canvas, GAP);
    for (take, mark) in [(&demo.before, PLAIN), (&demo.after, STEERED)] {
        canvas.fill([GAP / 2, top, GAP / 2, half - GAP], mark);
        top = sheet.frames(&mut canvas, top, take);
        for (group, word) in demo.words.iter().enumerate() {
            // One scale for both clips.
            let scale = demo.before.heat.largest(group).max(demo.after.heat.largest(group));
            sheet.heat(&mut canvas, top, take, group, scale);
            canvas.fill([MARGIN - 6, top, 4, sheet.cell.1], word.ink);
            top += sheet.cell.1 + GAP;
        }
        top += GAP;
    }
    png(&canvas.into_image())
}

/// Sizes that the rows of a sheet share.
struct Sheet<'a> {
    demo: &'a Demo,
    zoom: u32,
    cell: (u32, u32),
}

impl<'a> Sheet<'a> {
    fn new(demo: &'a Demo) -> Self {
        let zoom = zoom(demo, 112);
        Self { demo, zoom, cell: (demo.size[2] as u32 * zoom, demo.size[1] as u32 * zoom) }
    }

    fn width(&self) -> u32 {
        MARGIN + self.demo.size[0] as u32 * (self.cell.0 + GAP)
    }

    fn left(&self, frame: u32) -> u32 {
        MARGIN + frame * (self.cell.0 + GAP)
    }

    fn measured(&self) -> impl Iterator<Item = &Word> {
        self.demo.words.iter().filter(|w| w.object.is_some())
    }

    /// Height of a row of frames with the bars under it.
    fn frame_block(&self) -> u32 {
        self.cell.1 + 4 + self.measured().count() as u32 * 8 + GAP
    }

    fn wanted(&self, canvas: &mut Canvas, top: u32) -> u32 {
        for (lane, word) in (0u32..).zip(&self.demo.words) {
            for (frame, value) in (0u32..).zip(&word.curve) {
                let place = [self.left(frame), top + lane * (BAR + 4), self.cell.0, BAR];
                canvas.bar(place, *value, word.ink);
            }
        }
        top + self.demo.words.len() as u32 * (BAR + 4)
    }

    fn frames(&self, canvas: &mut Canvas, top: u32, take: &Take) -> u32 {
        for (index, rgb) in take.film.frames.iter().enumerate() {
            let left = self.left(index as u32);
            canvas.frame(left, top, self.zoom, rgb, self.demo.size[2]);
            for (lane, word) in (0u32..).zip(self.measured()) {
                let place = [left, top + self.cell.1 + 4 + lane * 8, self.cell.0, 6];
                match take.shown(word, index) {
                    Some(Shown::Once) => canvas.bar(place, 1.0, word.ink),
                    Some(Shown::No) => canvas.bar(place, 0.0, word.ink),
                    Some(Shown::Wrongly) => {
                        canvas.bar(place, 0.0, word.ink);
                        let [x, y, width, height] = place;
                        for dash in (0..width).step_by(16) {
                            canvas.fill([x + dash, y, 8.min(width - dash), height], word.ink);
                        }
                    }
                    None => canvas.fill(place, PAPER),
                }
            }
        }
        top + self.frame_block()
    }

    fn heat(&self, canvas: &mut Canvas, top: u32, take: &Take, group: usize, scale: f32) {
        let width = self.demo.size[2];
        for (index, rgb) in take.film.frames.iter().enumerate() {
            let warm = take.heat.overlay(group, index, rgb, width, scale);
            canvas.frame(self.left(index as u32), top, self.zoom, &warm, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_may_have_more_frames_than_pixels() {
        for count in [0, 1, 20, 64, 1000] {
            let (phrase, spec) = (String::new(), String::new());
            let word = Word { phrase, curve: vec![1.0; count], spec, ink: [9; 3], object: None };
            let mut canvas = Canvas::new(80, 40);
            timeline(&mut canvas, [8, 8, 64], &word, 0);
            let empty = canvas.into_image().pixels().all(|pixel| pixel.0 != [9; 3]);
            assert_eq!(empty, count == 0, "{count} frames");
        }
    }
}
