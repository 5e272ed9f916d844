//! Which objects a generated frame shows, by a rule that a full-frame colour does not pass.
//!
//! A pixel is background when it is dark, has a colour when it is close to that palette entry, and is stray
//! otherwise. A colour is *present* in a frame when 4 to 60 pixels have it and at least 60 % of the frame is
//! background. A frame is *clean* when at least 60 % of it is background and at most 5 % is stray or of a colour that
//! was not asked for. The shape of a colour is the rendered shape that overlaps its pixels best over all positions.
//! The same rule as `tools/train_tiny_wan/metrics.py`.

use foveal::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

const PIXELS: RangeInclusive<usize> = 4..=60;
const MIN_BACKGROUND: f64 = 0.60;
const MAX_STRAY: f64 = 0.05;
/// A pixel whose largest channel, 0..1, is at most this is background.
const DARK: f32 = 0.30;
/// Largest Euclidean distance to a palette colour, channels 0..1. A colour at half strength is at half its own length,
/// which is 0.43 for the darkest of the palette, and must not pass.
const COLOUR_DISTANCE: f32 = 0.40;

/// What a model folder says about the things its clips show (`foveal.json`).
#[derive(Debug, Deserialize)]
struct Card {
    height: usize,
    width: usize,
    palette: BTreeMap<String, [f32; 3]>,
    /// Rows of `#` and `.`.
    shapes: BTreeMap<String, Vec<String>>,
}

/// A drawn shape: its pixels as (row, column).
#[derive(Debug)]
struct Template {
    name: String,
    pixels: Vec<(usize, usize)>,
    size: (usize, usize),
}

/// Recognises the palette and the shapes of one model.
#[derive(Debug)]
pub(crate) struct Detector {
    height: usize,
    width: usize,
    colours: Vec<(String, [f32; 3])>,
    shapes: Vec<Template>,
}

/// A coloured shape that a prompt asks for, as indices into the palette and the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    colour: usize,
    shape: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Background,
    Stray,
    Colour(usize),
}

/// What one frame shows of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighting {
    /// Pixels of its colour.
    pub(crate) pixels: usize,
    /// Present by the strict rule.
    pub(crate) present: bool,
    /// Where it is present: the best shape is the one asked for.
    pub(crate) shape_right: Option<bool>,
}

/// What one frame shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FrameReport {
    /// Mostly background, with hardly a pixel that nobody asked for.
    pub(crate) clean: bool,
    /// One for each object asked for, in order.
    pub(crate) objects: Vec<Sighting>,
}

/// From here on a value of a curve means that the object is wanted.
pub(crate) const WANTED: f32 = 0.5;

impl FrameReport {
    /// The frame is clean and shows an object exactly if the value of its curve wants it. A frame that is not clean
    /// shows nothing rightly, whatever is in it; nor does one without such an object.
    pub(crate) fn right(&self, object: usize, wanted: f32) -> bool {
        self.clean && self.objects.get(object).is_some_and(|s| s.present == (wanted >= WANTED))
    }
}

impl Detector {
    /// Reads palette and shapes from a model folder; `None` where it states no palette.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("foveal.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| Error::file(&path, e.to_string()))?;
        if value.get("palette").is_none() || value.get("shapes").is_none() {
            return Ok(None);
        }
        let card: Card = serde_json::from_value(value).map_err(|e| Error::file(&path, e.to_string()))?;
        Ok(Some(Self::new(card)))
    }

    fn new(card: Card) -> Self {
        let template = |(name, rows): (String, Vec<String>)| {
            let cells = |(y, row): (usize, &String)| {
                row.chars()
                    .enumerate()
                    .filter(|(_, c)| *c == '#')
                    .map(move |(x, _)| (y, x))
                    .collect::<Vec<_>>()
            };
            let pixels: Vec<(usize, usize)> = rows.iter().enumerate().flat_map(cells).collect();
            let columns = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
            Template { name, pixels, size: (rows.len(), columns) }
        };
        Self {
            height: card.height,
            width: card.width,
            colours: card.palette.into_iter().collect(),
            shapes: card.shapes.into_iter().map(template).collect(),
        }
    }

    /// The objects that a text names as a colour followed by a shape, each once, in order.
    pub(crate) fn objects(&self, text: &str) -> Vec<Object> {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let mut found = Vec::new();
        for pair in words.windows(2) {
            let &[colour, shape] = pair else { continue };
            let colour = self.colours.iter().position(|(name, _)| name == colour);
            let shape = self.shapes.iter().position(|t| t.name == shape);
            if let (Some(colour), Some(shape)) = (colour, shape) {
                let object = Object { colour, shape };
                if !found.contains(&object) {
                    found.push(object);
                }
            }
        }
        found
    }

    /// The first palette colour that a text names, as 8-bit RGB.
    pub(crate) fn colour_in(&self, text: &str) -> Option<[u8; 3]> {
        let text = text.to_lowercase();
        let named = |word: &str| self.colours.iter().find(|(name, _)| name == word);
        let (_, rgb) = text.split(|c: char| !c.is_alphanumeric()).find_map(named)?;
        Some(rgb.map(|v| (v * 255.0).round() as u8))
    }

    /// Reads every frame of a clip: 8-bit RGB, row-major.
    pub(crate) fn read(&self, frames: &[Vec<u8>], asked: &[Object]) -> Vec<FrameReport> {
        frames.iter().map(|frame| self.read_frame(frame, asked)).collect()
    }

    fn read_frame(&self, rgb: &[u8], asked: &[Object]) -> FrameReport {
        let (pixels, _) = rgb.as_chunks::<3>();
        let labels: Vec<Label> = pixels.iter().map(|p| self.label(p)).collect();
        let share = |wanted: &dyn Fn(Label) -> bool| {
            labels.iter().filter(|l| wanted(**l)).count() as f64 / labels.len().max(1) as f64
        };
        let background = share(&|l| l == Label::Background);
        let unasked = share(&|l| match l {
            Label::Background => false,
            Label::Stray => true,
            Label::Colour(c) => asked.iter().all(|o| o.colour != c),
        });
        let calm = background >= MIN_BACKGROUND;
        let sighting = |object: &Object| {
            let mask: Vec<bool> = labels.iter().map(|l| *l == Label::Colour(object.colour)).collect();
            let pixels = mask.iter().filter(|m| **m).count();
            let present = calm && PIXELS.contains(&pixels);
            let shape_right = present.then(|| self.best_shape(&mask) == Some(object.shape));
            Sighting { pixels, present, shape_right }
        };
        FrameReport { clean: calm && unasked <= MAX_STRAY, objects: asked.iter().map(sighting).collect() }
    }

    fn label(&self, pixel: &[u8; 3]) -> Label {
        let rgb = pixel.map(|v| f32::from(v) / 255.0);
        if rgb.iter().all(|v| *v <= DARK) {
            return Label::Background;
        }
        let distance =
            |colour: &[f32; 3]| rgb.iter().zip(colour).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let nearest =
            self.colours.iter().map(|(_, c)| distance(c)).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        match nearest {
            Some((colour, distance)) if distance <= COLOUR_DISTANCE => Label::Colour(colour),
            _ => Label::Stray,
        }
    }

    /// The shape with the largest intersection over union with a mask, over all positions.
    fn best_shape(&self, mask: &[bool]) -> Option<usize> {
        let total = mask.iter().filter(|m| **m).count();
        let overlap = |template: &Template| {
            let (rows, columns) = template.size;
            let mut best = 0.0f64;
            for top in 0..(self.height + 1).saturating_sub(rows) {
                for left in 0..(self.width + 1).saturating_sub(columns) {
                    let at = |&(y, x): &(usize, usize)| mask.get((top + y) * self.width + left + x).copied();
                    let both = template.pixels.iter().filter(|p| at(p) == Some(true)).count();
                    let either = total + template.pixels.len() - both;
                    best = best.max(both as f64 / either.max(1) as f64);
                }
            }
            best
        };
        let scored = self.shapes.iter().map(overlap).enumerate();
        // The first of equals, as NumPy's argmax would take.
        scored.reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(index, _)| index)
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
