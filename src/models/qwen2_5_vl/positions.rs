//! Three rotary positions of every token (M-RoPE: Wang et al. 2024, arXiv 2409.12191, section 2.1; time in
//! seconds: Bai et al. 2025, arXiv 2502.13923, section 2.1.3).
//!
//! A text token has one position on all three axes. A token of an image or video has the position where its
//! block starts plus its time, row and column in it, so that two tokens of a video are as far apart as they
//! were filmed. Transformers' releases differ in how seconds become whole positions and in where text goes on
//! behind a block; see [`MropeRule`].

use super::{Grid, QwenVlConfig, units};
use crate::{Error, Result};

/// A video in a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoGrid {
    /// Patches along time, height and width.
    pub grid: Grid,
    /// Seconds from one temporal step of the grid to the next: frames of a patch by frames a second, 1.0 at 2
    /// fps.
    pub second_per_grid: f32,
}

/// How seconds become positions, and where text goes on. The name says which transformers release does it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MropeRule {
    /// 4.49.0, the first release with the model, and what the checkpoints were published with:
    /// `t = trunc(i * second_per_grid * tokens_per_second)` in f32; text goes on behind the largest position.
    #[default]
    V4_49,
    /// 4.57.1: `second_per_grid` loses its fraction first, so that above 2 fps all frames of a video have one
    /// time. For comparison with results that were made so.
    V4_57,
    /// 5.23.0: `t = trunc(i * (tokens_per_second * second_per_grid))` in f32, and text goes on behind the
    /// block's rows or columns, whichever are more. Text behind a long video then has positions that the
    /// video has too.
    V5_23,
}

/// Positions of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MropePositions {
    /// Time, height and width; each as long as the sequence.
    pub rows: [Vec<u32>; 3],
    /// Position, on all three axes, of the first token that is generated: the largest position and one.
    pub next: u32,
}

impl MropePositions {
    /// Positions that are known; text goes on behind the largest.
    ///
    /// # Errors
    /// [`Error::Input`] for axes of different lengths.
    pub fn new(rows: [Vec<u32>; 3]) -> Result<Self> {
        let lengths = rows.each_ref().map(Vec::len);
        if lengths.iter().any(|&n| n != lengths[0]) {
            return Err(Error::input("positions", format!("axes of {lengths:?} tokens, not as many each")));
        }
        let largest = rows.iter().flatten().max().map_or(0, |&p| p as usize + 1);
        Ok(Self { rows, next: shifted(0, largest)? })
    }

    /// What transformers calls `rope_delta`: how far [`next`](Self::next) is ahead of the number of tokens.
    pub fn rope_delta(&self) -> i64 {
        i64::from(self.next) - self.rows[0].len() as i64
    }
}

/// Times of the temporal steps of a video, in positions from its start.
///
/// At 2 positions a second and two frames a step, videos above 4 fps have steps that share a position: the
/// model sees those as simultaneous. Compare neighbours of the result to know.
///
/// # Errors
/// [`Error::Input`] where `second_per_grid` is not a positive finite number, or a time is beyond 2^31.
pub fn temporal_ids(
    steps: usize,
    second_per_grid: f32,
    tokens_per_second: usize,
    rule: MropeRule,
) -> Result<Vec<u32>> {
    if !(second_per_grid > 0.0 && second_per_grid.is_finite()) {
        let reason = format!("expected a positive number of seconds, found {second_per_grid}");
        return Err(Error::input("second_per_grid", reason));
    }
    let rate = tokens_per_second as f32;
    // The order of the products is each release's own: in f32 it can decide about a whole position.
    let time = |step: usize| match rule {
        MropeRule::V4_49 => f64::from(step as f32 * second_per_grid * rate),
        MropeRule::V4_57 => step as f64 * f64::from(second_per_grid.trunc()) * tokens_per_second as f64,
        MropeRule::V5_23 => f64::from(step as f32 * (rate * second_per_grid)),
    };
    // Times only grow, so the last one bounds them all.
    let last = time(steps.saturating_sub(1));
    if !(last <= f64::from(i32::MAX)) {
        let reason = format!("expected times up to {} positions, found {last}", i32::MAX);
        return Err(Error::input("second_per_grid", reason));
    }
    Ok((0..steps).map(|step| time(step) as u32).collect())
}

/// Positions of a sequence of token ids with images and videos in any order.
///
/// Every run of equal placeholder tokens is one image or video; the grids come in the order of the runs. One
/// prompt's ids, without padding.
///
/// # Errors
/// [`Error::Input`] where the numbers of runs and grids differ, a run is not as long as its grid has tokens,
/// a grid does not merge into tokens, or as [`temporal_ids`].
pub fn mrope_positions(
    config: &QwenVlConfig,
    ids: &[u32],
    images: &[Grid],
    videos: &[VideoGrid],
    rule: MropeRule,
) -> Result<MropePositions> {
    let tokens = config.tokens;
    let visual = |id: u32| id == tokens.image || id == tokens.video;
    let runs = || ids.chunk_by(|a, b| a == b || !visual(*a) && !visual(*b));
    for (what, id, grids) in
        [("image grids", tokens.image, images.len()), ("video grids", tokens.video, videos.len())]
    {
        let count = runs().filter(|run| run.first() == Some(&id)).count();
        if count != grids {
            let reason = format!("expected {count}, one for each run of token {id}, found {grids}");
            return Err(Error::input(what, reason));
        }
    }
    let mut rows = [(); 3].map(|()| Vec::with_capacity(ids.len()));
    let (mut images, mut videos) = (images.iter().enumerate(), videos.iter().enumerate());
    // Where the next token stands, and behind the largest position so far.
    let (mut start, mut next) = (0u32, 0u32);
    for run in runs() {
        let image = run.first() == Some(&tokens.image);
        let block = if image {
            images.next().map(|(i, grid)| (format!("image {i}"), *grid, None))
        } else if run.first() == Some(&tokens.video) {
            videos.next().map(|(i, video)| (format!("video {i}"), video.grid, Some(video.second_per_grid)))
        } else {
            None
        };
        let Some((what, grid, seconds)) = block else {
            let end = shifted(start, run.len())?;
            rows.iter_mut().for_each(|row| row.extend(start..end));
            (start, next) = (end, next.max(end));
            continue;
        };
        let [steps, height, width] = units(&what, grid, config.vision.merge_size)?;
        if run.len() != steps * height * width {
            return Err(Error::input(
                what,
                format!(
                    "expected {} placeholder tokens, of a grid of {} × {} × {} patches, found {}",
                    steps * height * width,
                    grid[0],
                    grid[1],
                    grid[2],
                    run.len()
                ),
            ));
        }
        let times = match (seconds, rule) {
            (Some(seconds), _) => temporal_ids(steps, seconds, config.vision.tokens_per_second, rule)?,
            // A still image has one step; what the releases do with more of them is kept.
            (None, MropeRule::V5_23) => (0..steps as u32).collect(),
            (None, _) => vec![0; steps],
        };
        let furthest = times.last().copied().unwrap_or(0) as usize;
        let end = shifted(start, furthest.max(height - 1).max(width - 1) + 1)?;
        for time in times {
            for row in 0..height as u32 {
                rows[0].extend(std::iter::repeat_n(start + time, width));
                rows[1].extend(std::iter::repeat_n(start + row, width));
                rows[2].extend(start..start + width as u32);
            }
        }
        next = next.max(end);
        start = if rule == MropeRule::V5_23 { shifted(start, height.max(width))? } else { end };
    }
    Ok(MropePositions { rows, next })
}

/// The videos with every temporal step as a block of its own, for prompts that state the time of each step as
/// text.
///
/// A prompt then has, for each step, its time in words and the step's placeholders between a vision start and
/// end (Qwen3-VL, transformers 4.57: the grid is repeated with one step each). All tokens of a step have the
/// time where their block starts, so positions grow by the text between blocks and `second_per_grid` plays no
/// part.
pub fn timestamped(videos: &[VideoGrid]) -> Vec<VideoGrid> {
    let steps = |video: &VideoGrid| {
        let [steps, height, width] = video.grid;
        std::iter::repeat_n(VideoGrid { grid: [1, height, width], ..*video }, steps)
    };
    videos.iter().flat_map(steps).collect()
}

fn shifted(start: u32, by: usize) -> Result<u32> {
    let end = u32::try_from(by).ok().and_then(|by| start.checked_add(by)).filter(|end| *end <= 1 << 31);
    end.ok_or_else(|| Error::input("positions", format!("expected up to 2^31, found {start} and {by} more")))
}

#[cfg(test)]
mod tests;
