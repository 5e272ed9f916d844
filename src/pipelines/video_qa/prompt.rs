//! A prompt's token ids with one placeholder for each image and video, as a chat template writes it, to ids with a token for each
//! place in them.

use super::tokens::VideoTokens;
use crate::models::qwen2_5_vl::{Grid, QwenVlConfig, VideoGrid, units};
use crate::{Error, Result};

/// An image or a video in a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Medium {
    /// Patches of an image along time, height and width; time is 1.
    Image(Grid),
    /// A video.
    Video {
        /// Its patches and seconds a temporal step.
        grid: VideoGrid,
        /// Ids of the text that states each step's time, one list a step, as in `<1.5 seconds>`; empty for a video without
        /// stated times.
        times: Vec<Vec<u32>>,
    },
}

/// A prompt as the model takes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Expanded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Images in their order, for [`mrope_positions`](crate::models::qwen2_5_vl::mrope_positions()).
    pub images: Vec<Grid>,
    /// Videos likewise; one with stated times is a block for each of its steps.
    pub videos: Vec<VideoGrid>,
    /// Where videos' tokens stand. Images are no video: selections keep them.
    pub tokens: VideoTokens,
}

/// Puts in place of each placeholder (one image or video token) as many as its medium has tokens, in the order of `media`. A video
/// with stated times becomes, within the placeholder's own vision start and end, its steps with the time before each: time,
/// start, tokens, end (as Qwen3-VL writes its prompts, transformers 4.57).
///
/// # Errors
/// [`Error::Input`] for another number of placeholders than media or one of another kind, grids that do not merge into tokens,
/// times of another number than steps, and stated times of a placeholder that stands between no vision start and end.
pub fn expand(config: &QwenVlConfig, ids: &[u32], media: &[Medium]) -> Result<Expanded> {
    let tokens = config.tokens;
    let merge = config.vision.merge_size;
    let placeholder = |id: u32| id == tokens.image || id == tokens.video;
    let places = ids.iter().filter(|&&id| placeholder(id)).count();
    if places != media.len() {
        let reason = format!("{} images and videos for {places} placeholders", media.len());
        return Err(Error::input("prompt", reason));
    }
    let mut out = Expanded {
        ids: Vec::new(),
        images: Vec::new(),
        videos: Vec::new(),
        tokens: VideoTokens { length: 0, groups: Vec::new(), videos: Vec::new() },
    };
    let mut media = media.iter().enumerate();
    let mut at = 0;
    while let Some(&id) = ids.get(at) {
        at += 1;
        if !placeholder(id) {
            out.ids.push(id);
            continue;
        }
        let Some((number, medium)) = media.next() else { break };
        let wrong = |reason: String| Err(Error::input(format!("medium {number} of the prompt"), reason));
        let (grid, is_video) = match medium {
            Medium::Image(grid) => (*grid, false),
            Medium::Video { grid, .. } => (grid.grid, true),
        };
        if is_video != (id == tokens.video) {
            let name = |video| if video { "a video" } else { "an image" };
            return wrong(format!("{} where the prompt has {}", name(is_video), name(!is_video)));
        }
        let [steps, rows, columns] = units(&format!("medium {number} of the prompt"), grid, merge)?;
        let per_step = rows * columns;
        let Medium::Video { grid, times } = medium else {
            out.ids.extend(std::iter::repeat_n(id, steps * per_step));
            out.images.push(grid);
            continue;
        };
        out.tokens.videos.push(steps);
        if times.is_empty() {
            for _ in 0..steps {
                out.step(id, per_step);
            }
            out.videos.push(*grid);
            continue;
        }
        if times.len() != steps {
            return wrong(format!("{} stated times for {steps} steps", times.len()));
        }
        if out.ids.last() != Some(&tokens.vision_start) || ids.get(at) != Some(&tokens.vision_end) {
            return wrong("times are stated of a video between a vision start and a vision end".into());
        }
        // The steps have starts and ends of their own.
        out.ids.pop();
        at += 1;
        for time in times {
            if time.iter().any(|&id| placeholder(id)) {
                return wrong("a stated time has a placeholder in it".into());
            }
            out.ids.extend(time);
            out.ids.push(tokens.vision_start);
            out.step(id, per_step);
            out.ids.push(tokens.vision_end);
            out.videos.push(VideoGrid { grid: [1, grid.grid[1], grid.grid[2]], ..*grid });
        }
    }
    out.tokens.length = out.ids.len();
    Ok(out)
}

impl Expanded {
    fn step(&mut self, id: u32, tokens: usize) {
        let first = self.ids.len();
        self.ids.extend(std::iter::repeat_n(id, tokens));
        self.tokens.groups.push(first..first + tokens);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::models::qwen2_5_vl::{MropeRule, mrope_positions};

    fn config() -> QwenVlConfig {
        let mut config = QwenVlConfig::qwen2_5_vl_3b();
        config.tokens.image = 90;
        config.tokens.video = 91;
        config.tokens.vision_start = 92;
        config.tokens.vision_end = 93;
        config
    }

    fn video(grid: Grid, times: &[&[u32]]) -> Medium {
        let grid = VideoGrid { grid, second_per_grid: 1.0 };
        Medium::Video { grid, times: times.iter().map(|t| t.to_vec()).collect() }
    }

    #[test]
    fn each_placeholder_becomes_as_many_as_there_are_tokens() {
        let c = config();
        let ids = [1, 92, 90, 93, 2, 92, 91, 93, 3];
        let out = expand(&c, &ids, &[Medium::Image([1, 2, 4]), video([2, 4, 2], &[])]).unwrap();
        assert_eq!(out.ids, [1, 92, 90, 90, 93, 2, 92, 91, 91, 91, 91, 93, 3]);
        assert_eq!(out.tokens, VideoTokens { length: 13, groups: vec![7..9, 9..11], videos: vec![2] });
        let positions = mrope_positions(&c, &out.ids, &out.images, &out.videos, MropeRule::V4_49).unwrap();
        assert_eq!(positions.rows[0].len(), 13);
    }

    #[test]
    fn stated_times_stand_before_their_steps() {
        let c = config();
        let out = expand(&c, &[1, 92, 91, 93, 3], &[video([2, 2, 4], &[&[7, 8], &[9]])]).unwrap();
        assert_eq!(out.ids, [1, 7, 8, 92, 91, 91, 93, 9, 92, 91, 91, 93, 3]);
        assert_eq!(out.tokens.groups, [4..6, 9..11]);
        let positions = mrope_positions(&c, &out.ids, &out.images, &out.videos, MropeRule::V4_49).unwrap();
        // A step's tokens share the time where it starts; text goes on behind them.
        assert_eq!(positions.rows[0][4..7], [4, 4, 6]);
        assert_eq!(positions.rows[2][4..7], [4, 5, 6]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let c = config();
        let refused = |ids: &[u32], media: &[Medium], words: &str| {
            let error = expand(&c, ids, media).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(&[1], &[video([1, 2, 2], &[])], "1 images and videos for 0 placeholders");
        refused(&[91, 91], &[video([1, 2, 2], &[])], "for 2 placeholders");
        refused(
            &[90],
            &[video([1, 2, 2], &[])],
            "medium 0 of the prompt: a video where the prompt has an image",
        );
        refused(&[91], &[video([1, 3, 2], &[])], "multiples of 2 patches, found 3 × 2");
        refused(&[91], &[video([0, 2, 2], &[])], "found 0 × 2 × 2");
        refused(&[92, 91, 93], &[video([2, 2, 2], &[&[7]])], "1 stated times for 2 steps");
        refused(&[91, 93], &[video([1, 2, 2], &[&[7]])], "between a vision start");
        refused(&[92, 91], &[video([1, 2, 2], &[&[7]])], "between a vision start");
        refused(&[92, 91, 93], &[video([1, 2, 2], &[&[91]])], "a placeholder in it");
    }
}
