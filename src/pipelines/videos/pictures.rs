//! Pictures of a folder as the frames of a clip.

use super::animation::Animation;
use super::head::head;
use super::{Frame, MAX_PIXELS, VideoInfo, check_size};
use crate::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use std::cmp::Ordering;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Endings of the names that are taken for pictures.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "webp", "gif"];

/// Pictures of one size.
pub(super) struct Pictures {
    files: Vec<PathBuf>,
    rate: f64,
    frame: Frame,
    held: Option<usize>,
}

impl Pictures {
    /// The pictures of a folder in the natural order of their names.
    pub(super) fn folder(path: &Path, rate: f64) -> Result<(Self, VideoInfo)> {
        let io = |e| Error::io(path, e);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let file = entry.map_err(io)?.path();
            let ending = file.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
            let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if !hidden && ENDINGS.contains(&ending.as_str()) && file.is_file() {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(Error::file(path, format!("no picture in it ({})", ENDINGS.join(", "))));
        }
        files.sort_by(|a, b| {
            let name =
                |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            natural(&name(a), &name(b))
        });
        Self::of(files, rate)
    }

    /// Pictures in an order, each shown for as long as the rate says.
    pub(super) fn of(files: Vec<PathBuf>, rate: f64) -> Result<(Self, VideoInfo)> {
        let mut first: Option<(&PathBuf, (usize, usize))> = None;
        for file in &files {
            let size = size_of(file)?;
            match first {
                Some((other, expected)) if expected != size => {
                    let (wide, high) = expected;
                    return Err(Error::file(
                        file,
                        format!(
                            "{} × {} pixels, but {} has {wide} × {high}",
                            size.0,
                            size.1,
                            other.display()
                        ),
                    ));
                }
                Some(_) => {}
                None => first = Some((file, size)),
            }
        }
        let size = first.map(|(_, size)| size).unwrap_or_default();
        let times: Vec<f64> = (0..files.len()).map(|i| i as f64 / rate).collect();
        let info = VideoInfo::new(size, times, files.len() as f64 / rate);
        let frame = Frame { width: size.0, height: size.1, rgb: Vec::new(), time: 0.0 };
        Ok((Self { files, rate, frame, held: None }, info))
    }

    /// A picture by its number.
    pub(super) fn frame(&mut self, index: usize) -> Result<&Frame> {
        let file = self
            .files
            .get(index)
            .ok_or_else(|| Error::input("frames", format!("there is no frame {index}")))?;
        if self.held != Some(index) {
            self.held = None;
            let rgb = read(file)?;
            if rgb.len() != self.frame.width * self.frame.height * 3 {
                return Err(Error::file(file, "its size has changed since the folder was opened"));
            }
            self.frame.rgb = rgb;
            self.held = Some(index);
        }
        self.frame.time = index as f64 / self.rate;
        Ok(&self.frame)
    }
}

/// Digits compare as numbers, so that 9 comes before 10; names that are equal so, as text.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        let run = |text: &'_ str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (of_x, of_y) = (run(left), run(right));
        let order = if of_x > 0 && of_y > 0 {
            let number = |text: &str, length| {
                text.get(..length).unwrap_or_default().trim_start_matches('0').to_owned()
            };
            let (m, n) = (number(left, of_x), number(right, of_y));
            m.len().cmp(&n.len()).then_with(|| m.cmp(&n))
        } else {
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
        left = left.get(of_x.max(x.len_utf8())..).unwrap_or_default();
        right = right.get(of_y.max(y.len_utf8())..).unwrap_or_default();
    }
}

fn is_gif(path: &Path) -> Result<bool> {
    Ok(head(path)?.starts_with(b"GIF8"))
}

fn reader(path: &Path) -> Result<(impl ImageDecoder, Orientation)> {
    let refuse = |e: image::ImageError| match e {
        image::ImageError::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Error::io(path, e),
        other => Error::file(path, format!("as a picture: {other}")),
    };
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut reader =
        ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(|e| Error::io(path, e))?;
    let mut limits = Limits::default();
    // Of 16 bits and four channels.
    limits.max_alloc = Some(8 * MAX_PIXELS as u64);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refuse)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    check_size(path, (width as usize, height as usize))?;
    Ok((decoder, orientation))
}

fn size_of(path: &Path) -> Result<(usize, usize)> {
    if is_gif(path)? {
        let (_, info) = Animation::open(path)?;
        return Ok((info.width, info.height));
    }
    let (decoder, orientation) = reader(path)?;
    let (width, height) = decoder.dimensions();
    let size = (width as usize, height as usize);
    let swapped = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    Ok(if swapped { (size.1, size.0) } else { size })
}

/// A picture's RGB, upright and over black.
fn read(path: &Path) -> Result<Vec<u8>> {
    if is_gif(path)? {
        return Ok(Animation::open(path)?.0.frame(0)?.rgb.clone());
    }
    let (decoder, orientation) = reader(path)?;
    let image = DynamicImage::from_decoder(decoder);
    let mut image = image.map_err(|e| Error::file(path, format!("as a picture: {e}")))?;
    image.apply_orientation(orientation);
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8().into_raw());
    }
    let over_black = |v: u8, alpha: u8| ((u32::from(v) * u32::from(alpha) + 127) / 255) as u8;
    let pixels = image.into_rgba8();
    Ok(pixels.pixels().flat_map(|p| [0, 1, 2].map(|c| over_black(p.0[c], p.0[3]))).collect())
}
