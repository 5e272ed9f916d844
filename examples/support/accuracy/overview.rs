//! Every clip of an evaluation on one picture: a row a prompt, a block of frames a mode.

use crate::shared::canvas::Canvas;
use foveal::weights::write_whole;
use foveal::{Error, Result};
use image::{ImageFormat, RgbImage};
use std::io::Cursor;
use std::path::Path;

const ZOOM: u32 = 3;
const GAP: u32 = 2;
const BAR: u32 = 3;
const BLOCK: u32 = 10;

/// One clip in the picture.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// 8-bit RGB frames.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Of the timed word.
    pub(crate) curve: Vec<f32>,
    pub(crate) ink: [u8; 3],
    /// Frames in which it is right.
    pub(crate) right: Vec<bool>,
}

const RIGHT: [u8; 3] = [40, 160, 80];
const WRONG: [u8; 3] = [190, 60, 50];

/// Draws the clips over an earlier picture of the same layout, if there is one; over each frame the wanted curve, under it green or red for right or wrong.
///
/// # Errors
/// Those of the file, [`Error::File`] for a picture that no PNG holds.
pub(crate) fn write(
    cells: &[Cell],
    [frames, height, width]: [usize; 3],
    earlier: Option<&RgbImage>,
    path: &Path,
) -> Result<()> {
    let (w, h) = (width as u32 * ZOOM, height as u32 * ZOOM);
    let block = frames as u32 * (w + GAP) + BLOCK;
    let line = h + 2 * BAR + 2 + 8;
    let count = |of: fn(&Cell) -> usize| cells.iter().map(of).max().map_or(0, |m| m as u32 + 1);
    let mut canvas = {
        let (right, bottom) = (BLOCK + count(|c| c.column) * block, 8 + count(|c| c.row) * line);
        let (width, height) = earlier.map_or((0, 0), RgbImage::dimensions);
        Canvas::new(right.max(width), bottom.max(height))
    };
    if let Some(earlier) = earlier {
        canvas.frame(0, 0, 1, earlier.as_raw(), earlier.width() as usize);
    }
    for cell in cells {
        let (left, top) = (BLOCK + cell.column as u32 * block, 8 + cell.row as u32 * line);
        for (index, frame) in cell.frames.iter().enumerate() {
            let x = left + index as u32 * (w + GAP);
            canvas.bar([x, top, w, BAR], cell.curve.get(index).copied().unwrap_or(0.0), cell.ink);
            canvas.frame(x, top + BAR + 1, ZOOM, frame, width);
            let verdict = if cell.right.get(index) == Some(&true) { RIGHT } else { WRONG };
            canvas.fill([x, top + BAR + h + 2, w, BAR], verdict);
        }
    }
    let mut bytes = Vec::new();
    let written = canvas.into_image().write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png);
    written.map_err(|e| Error::file(path, e.to_string()))?;
    write_whole(path, &bytes)
}

/// The bytes are a PNG's.
pub(crate) fn is_png(bytes: &[u8]) -> bool {
    image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::Png)
}
