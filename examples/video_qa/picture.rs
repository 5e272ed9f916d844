//! What was kept, where the answer points and when: an animation and a sheet of frames.
//!
//! Tokens that were left out are dark. Kept ones have their colours, and a glow by their score. Boxes are drawn on the step that
//! the answer's time falls into, on all where it names none. Below a frame is the time line: a bar a step, as high as the share
//! of it that was kept, the frame's own bright, and a mark where the answer says.

use crate::canvas::{Canvas, PAPER};
use foveal::pipelines::video_qa::{Answer, FrameSource, Grounded, Visual};
use foveal::pipelines::videos::Video;
use foveal::weights::write_whole;
use foveal::{Error, Result};
use image::codecs::gif::{GifEncoder, Repeat};
use image::imageops::FilterType;
use image::{Delay, Frame, ImageFormat, RgbImage};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

const GAP: u32 = 6;
const LANE: u32 = 28;
const BOX_INKS: [[u8; 3]; 3] = [[64, 255, 120], [90, 190, 255], [255, 120, 220]];
const BAR: [u8; 3] = [130, 136, 155];
const OWN: [u8; 3] = [255, 225, 120];
/// Widest side of a frame in the pictures.
const SIDE: u32 = 336;
/// Frames of a sheet, at most, and a row of it.
const SHEET: usize = 16;
const ROW: u32 = 4;

/// All that the pictures show.
struct Scene<'a> {
    visual: &'a Visual,
    /// Share of each step that was kept.
    kept: Vec<f32>,
    /// Of each token: none where it was left out, else its glow, 0..1.
    glow: Vec<Option<f32>>,
    grounded: &'a Grounded,
    /// The step that the answer's first time falls into.
    answer_step: Option<usize>,
    size: [u32; 2],
}

/// Writes `overlay.gif` and `overlay.png` into a folder.
///
/// # Errors
/// Those of the video and of the files.
pub(crate) fn write(
    folder: &Path,
    video: &mut Video,
    visual: &Visual,
    answer: &Answer,
    grounded: &Grounded,
) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let scene = Scene::new(visual, answer, grounded);
    let mut steps = Vec::with_capacity(visual.units[0]);
    let firsts: Vec<usize> = visual.frames.iter().step_by(visual.frames_per_step.max(1)).copied().collect();
    FrameSource::frames(video, &firsts, &mut |_, _, frame| {
        let size = frame.size();
        let picture = RgbImage::from_raw(size.width as u32, size.height as u32, frame.pixels().to_vec());
        let picture = picture
            .ok_or_else(|| Error::input("frame", "it has another number of bytes than its size says"))?;
        let [width, height] = scene.size;
        let filter = if width > picture.width() { FilterType::Nearest } else { FilterType::Triangle };
        steps.push(scene.draw(steps.len(), image::imageops::resize(&picture, width, height, filter)));
        Ok(())
    })?;
    let (animation, sheet) = (folder.join("overlay.gif"), folder.join("overlay.png"));
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |e: image::ImageError| Error::file(path, e.to_string())
    };
    write_whole(&animation, &gif(&steps, visual).map_err(failed(&animation))?)?;
    write_whole(&sheet, &png(&steps, scene.answer_step).map_err(failed(&sheet))?)?;
    Ok(vec![animation, sheet])
}

impl<'a> Scene<'a> {
    fn new(visual: &'a Visual, answer: &Answer, grounded: &'a Grounded) -> Self {
        let [steps, rows, columns] = visual.units;
        let per_step = rows * columns;
        let scores = answer.scores.first().map(Vec::as_slice).unwrap_or_default();
        let largest =
            scores.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max).max(f32::MIN_POSITIVE);
        // Scores span decades: their root shows more than the few largest.
        let of = |at: usize| scores.get(at).map_or(0.0, |v| (v / largest).clamp(0.0, 1.0).sqrt());
        let mut glow = vec![if answer.kept.is_some() { None } else { Some(0.0) }; steps * per_step];
        for token in answer.kept.iter().flatten().filter(|token| token.video == 0) {
            let at = token.step * per_step + token.row * columns + token.column;
            if let Some(cell) = glow.get_mut(at) {
                *cell = Some(of(at));
            }
        }
        let kept = match &answer.kept {
            Some(_) => {
                let share = |count| count as f32 / per_step.max(1) as f32;
                answer.kept_per_step(0, steps).into_iter().map(share).collect()
            }
            None => vec![1.0; steps],
        };
        let answer_step = grounded.times.first().and_then(|time| nearest(&visual.step_times(), *time));
        let (width, height) = (visual.size.width.max(1) as u32, visual.size.height.max(1) as u32);
        let scale = f64::from(SIDE) / f64::from(width.max(height));
        let side = |v: u32| ((f64::from(v) * scale).round() as u32).max(1);
        Self { visual, kept, glow, grounded, answer_step, size: [side(width), side(height)] }
    }

    fn draw(&self, step: usize, mut picture: RgbImage) -> RgbImage {
        let [_, rows, columns] = self.visual.units;
        let [width, height] = self.size;
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let (row, column) = (y as usize * rows / height as usize, x as usize * columns / width as usize);
            let cell = self.glow.get((step * rows + row) * columns + column).copied().flatten();
            for (value, warm) in pixel.0.iter_mut().zip([255.0, 170.0, 40.0]) {
                let own = f32::from(*value);
                *value = match cell {
                    None => (own * 0.25) as u8,
                    Some(glow) => (own * (1.0 - 0.55 * glow) + warm * 0.55 * glow) as u8,
                };
            }
        }
        let mut canvas = Canvas::new(width + 2 * GAP, height + LANE + 3 * GAP);
        canvas.frame(GAP, GAP, 1, picture.as_raw(), width as usize);
        if self.answer_step.is_none_or(|at| at == step) {
            for (number, found) in self.grounded.boxes.iter().enumerate() {
                let ink = BOX_INKS.get(number % BOX_INKS.len()).copied().unwrap_or(OWN);
                self.outline(&mut canvas, self.visual.to_source(found.corners), ink);
            }
        }
        self.time_line(&mut canvas, step, GAP + height + GAP);
        canvas.into_image()
    }

    fn outline(&self, canvas: &mut Canvas, [x1, y1, x2, y2]: [f64; 4], ink: [u8; 3]) {
        let place =
            |v: f64, from: usize, to: u32| GAP + (v * f64::from(to) / from.max(1) as f64).round() as u32;
        let [width, height] = self.size;
        let x = |v| place(v, self.visual.size.width, width);
        let y = |v| place(v, self.visual.size.height, height);
        let (left, top, right, bottom) = (x(x1), y(y1), x(x2), y(y2));
        let (across, down) = (right.saturating_sub(left).max(2), bottom.saturating_sub(top).max(2));
        canvas.fill([left, top, across, 2], ink);
        canvas.fill([left, bottom.saturating_sub(2), across, 2], ink);
        canvas.fill([left, top, 2, down], ink);
        canvas.fill([right.saturating_sub(2), top, 2, down], ink);
    }

    fn time_line(&self, canvas: &mut Canvas, step: usize, top: u32) {
        let steps = self.kept.len().max(1) as u32;
        let width = self.size[0];
        for (number, share) in (0u32..).zip(&self.kept) {
            let (from, to) = (number * width / steps, (number + 1) * width / steps);
            let ink = if number as usize == step { OWN } else { BAR };
            let bar = [GAP + from, top, (to - from).saturating_sub(2).max(1), LANE - 6];
            canvas.bar(bar, *share, ink);
            if Some(number as usize) == self.answer_step {
                canvas.fill([bar[0], top + LANE - 4, bar[2], 4], BOX_INKS[0]);
            }
        }
    }
}

/// The step in whose middle a second falls best.
fn nearest(times: &[f64], second: f64) -> Option<usize> {
    let distance = |t: &f64| (t - second).abs();
    times.iter().enumerate().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map(|(step, _)| step)
}

fn gif(steps: &[RgbImage], visual: &Visual) -> std::result::Result<Vec<u8>, image::ImageError> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
    encoder.set_repeat(Repeat::Infinite)?;
    let seconds = f64::from(visual.second_per_grid.unwrap_or(1.0)).clamp(0.1, 1.0);
    for step in steps {
        let picture = image::DynamicImage::ImageRgb8(step.clone()).into_rgba8();
        let delay = Delay::from_saturating_duration(Duration::from_secs_f64(seconds));
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay))?;
    }
    drop(encoder);
    Ok(bytes)
}

fn png(steps: &[RgbImage], answer: Option<usize>) -> std::result::Result<Vec<u8>, image::ImageError> {
    let shown = shown(steps.len(), answer);
    let (width, height) = steps.first().map_or((1, 1), |step| step.dimensions());
    let columns = ROW.min(shown.len().max(1) as u32);
    let rows = (shown.len().max(1) as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(columns * width, rows * height, image::Rgb(PAPER));
    for (number, step) in (0u32..).zip(shown) {
        if let Some(step) = steps.get(step) {
            let (x, y) = (number % columns * width, number / columns * height);
            image::imageops::replace(&mut sheet, step, i64::from(x), i64::from(y));
        }
    }
    let mut bytes = Vec::new();
    sheet.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    Ok(bytes)
}

/// Steps of a sheet: all, or as many as it holds, evenly spread, the answer's among them.
fn shown(steps: usize, answer: Option<usize>) -> Vec<usize> {
    if steps <= SHEET {
        return (0..steps).collect();
    }
    let mut shown: Vec<usize> = (0..SHEET).map(|i| i * (steps - 1) / (SHEET - 1)).collect();
    if let Some(answer) = answer
        && let Some(place) = shown.iter_mut().min_by_key(|step| step.abs_diff(answer))
    {
        *place = answer;
    }
    shown
}
