//! Which objects a generated frame shows, by a rule that neither a full-frame colour nor an object drawn twice passes.
//!
//! A pixel is background when it is dark, has a colour when it is close to that palette entry, and is stray
//! otherwise. Pixels of a colour that touch, by a side or a corner, are a piece; pieces of fewer than 4 pixels are specks.
//! An object is *present* in a frame when its colour is one piece of the size of one shape, specks left out, and at least
//! 60 % of the frame is background. It is *absent* when fewer than 4 pixels have its colour. What is neither, the object
//! twice or a part of it, is wrong whether the object is wanted or not.
//!
//! A piece has the size of one shape when it is at most a third larger than the shape, at most 2 pixels longer in either
//! direction, and at least half as large, or cut by the edge of the frame. The shape is the one asked for, or another that
//! overlaps the piece by three quarters (intersection over union, over all positions). A square that is stretched by one
//! step of the grid on which objects move still passes; a ring over itself, or two objects that touch, do not.
//!
//! A frame is *clean* when at least 60 % of it is background and at most 5 % is stray or of a colour that was not asked
//! for. Where several objects of one colour are asked for, a piece belongs to the one whose shape overlaps it best. The
//! same rule as `tools/train_tiny_wan/metrics.py`.

use super::pieces::{Piece, pieces};
use foveal::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Names the rule beside what was measured by it.
pub(crate) const RULE: &str = "an object is one piece of the size of one shape";

/// Pixels of a colour from which on something of it is there, and of a piece from which on it is no speck: one patch of
/// the model.
const LEAST: usize = 4;
/// Pixels that an object may be longer than its shape: one step of the grid on which objects move.
const STEP: usize = 2;
/// Overlap from which on a piece is clearly a shape. A square stretched by a step has it; a bar, which is half a cross, or
/// a ring over itself have not.
const CLEAR: f64 = 0.75;
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
    /// Rows and columns.
    size: (usize, usize),
}

/// Recognises the palette and the shapes of one model.
#[derive(Debug)]
pub(crate) struct Detector {
    /// Rows and columns of the frames that are read; at first those of the model.
    pub(crate) size: [usize; 2],
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

/// Why what is there of an object is not one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flaw {
    /// Two pieces or more: drawn twice, or torn.
    Doubled,
    /// One piece that is larger than one shape: two that touch, or one that is smeared.
    TooLarge,
    /// A part of a shape in the middle of the frame, or specks alone.
    Fragment,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Doubled => "drawn twice or torn",
            Self::TooLarge => "larger than one shape",
            Self::Fragment => "only a part of a shape",
        })
    }
}

/// What one frame shows of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighting {
    /// Pixels of its colour.
    pub(crate) pixels: usize,
    /// Pixels of each of its pieces, largest first, without specks.
    pub(crate) pieces: Vec<usize>,
    /// Where something of it is there: why that is not one object.
    pub(crate) flaw: Option<Flaw>,
    /// Present by the strict rule.
    pub(crate) present: bool,
    /// Where it is present: the best shape is the one asked for.
    pub(crate) shape_right: Option<bool>,
}

impl Sighting {
    /// Something of it is there, rightly or not.
    pub(crate) fn seen(&self) -> bool {
        self.pixels >= LEAST
    }
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
    /// The frame is clean and shows an object once where the value of its curve wants it, and nothing of it elsewhere. A
    /// frame that is not clean shows nothing rightly, whatever is in it; nor does one without such an object.
    pub(crate) fn right(&self, object: usize, wanted: f32) -> bool {
        let as_wanted = |s: &Sighting| if wanted >= WANTED { s.present } else { !s.seen() };
        self.clean && self.objects.get(object).is_some_and(as_wanted)
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
            size: [card.height, card.width],
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
            let rivals: Vec<usize> =
                asked.iter().filter(|o| o.colour == object.colour).map(|o| o.shape).collect();
            let ours = |piece: &Piece| {
                rivals.len() == 1
                    || self.best_shape(piece, |s| rivals.contains(&s)).is_some_and(|(s, _)| s == object.shape)
            };
            let all: Vec<Piece> = pieces(&mask, self.size[1]).into_iter().filter(ours).collect();
            let pixels = all.iter().map(Piece::len).sum();
            let large: Vec<&Piece> = all.iter().filter(|piece| piece.len() >= LEAST).collect();
            let flaw = match large.as_slice() {
                _ if pixels < LEAST => None,
                [] => Some(Flaw::Fragment),
                [piece] => self.flaw(piece, object.shape),
                _ => Some(Flaw::Doubled),
            };
            let present = calm && pixels >= LEAST && flaw.is_none();
            let shape = || large.first().and_then(|piece| self.best_shape(piece, |_| true));
            let shape_right = present.then(|| shape().is_some_and(|(s, _)| s == object.shape));
            let pieces = large.iter().map(|piece| piece.len()).collect();
            Sighting { pixels, pieces, flaw, present, shape_right }
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

    /// Why a piece cannot be one shape, where this one was asked for.
    fn flaw(&self, piece: &Piece, asked: usize) -> Option<Flaw> {
        let clearly = self.best_shape(piece, |_| true).filter(|(_, overlap)| *overlap >= CLEAR);
        let template = self.shapes.get(clearly.map_or(asked, |(shape, _)| shape))?;
        let (whole, found) = (template.pixels.len(), piece.len());
        let (rows, columns) = piece.size();
        if rows > template.size.0 + STEP || columns > template.size.1 + STEP || 3 * found > 4 * whole {
            return Some(Flaw::TooLarge);
        }
        (2 * found < whole && !piece.at_edge(self.size[0], self.size[1])).then_some(Flaw::Fragment)
    }

    /// The shape, of those that are let in, with the largest intersection over union with a piece, over all positions, and
    /// that overlap.
    fn best_shape(&self, piece: &Piece, let_in: impl Fn(usize) -> bool) -> Option<(usize, f64)> {
        let overlap = |template: &Template| {
            let (rows, columns) = template.size;
            let mut best = 0.0f64;
            for top in 0..(self.size[0] + 1).saturating_sub(rows) {
                for left in 0..(self.size[1] + 1).saturating_sub(columns) {
                    let both =
                        template.pixels.iter().filter(|(y, x)| piece.contains((top + y, left + x))).count();
                    let either = piece.len() + template.pixels.len() - both;
                    best = best.max(both as f64 / either.max(1) as f64);
                }
            }
            best
        };
        let scored = self.shapes.iter().map(overlap).enumerate().filter(|(index, _)| let_in(*index));
        // The first of equals, as NumPy's argmax would take.
        scored.reduce(|a, b| if b.1 > a.1 { b } else { a })
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
