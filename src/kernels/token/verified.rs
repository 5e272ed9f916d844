//! What proving the kernels of this family shares.

use super::{PatchOrder, Patches};
pub(super) use crate::kernels::verified::*;

impl Patches {
    /// Place in the tokens of a place in the video, both row-major.
    pub(super) fn token_place(&self, video_place: usize) -> usize {
        let [pt, ph, pw] = self.patch;
        let column = video_place % self.width;
        let row = video_place / self.width % self.height;
        let frame = video_place / (self.width * self.height) % self.frames;
        let channel = video_place / (self.width * self.height * self.frames);
        let token = (frame / pt * (self.height / ph) + row / ph) * (self.width / pw) + column / pw;
        let inner = (frame % pt * ph + row % ph) * pw + column % pw;
        let [_, features] = self.token_dims();
        token * features
            + match self.order {
                PatchOrder::ChannelFirst => channel * (pt * ph * pw) + inner,
                PatchOrder::ChannelLast => inner * self.channels + channel,
            }
    }

    /// Tokens of a video: the formula of both kernels.
    pub(super) fn cut(&self, video: &[f64]) -> Vec<f64> {
        let mut tokens = vec![0.0; video.len()];
        for (i, &v) in video.iter().enumerate() {
            tokens[self.token_place(i)] = v;
        }
        tokens
    }

    /// The video of tokens.
    pub(super) fn join(&self, tokens: &[f64]) -> Vec<f64> {
        (0..tokens.len()).map(|i| tokens[self.token_place(i)]).collect()
    }

    /// Sizes for tests: one, odd, several patches along every axis, several workgroups.
    pub(super) fn cases() -> Vec<Self> {
        use PatchOrder::{ChannelFirst, ChannelLast};
        let case = |[channels, frames, height, width]: [usize; 4], patch, order| Self {
            channels,
            frames,
            height,
            width,
            patch,
            order,
        };
        vec![
            case([1, 1, 1, 1], [1, 1, 1], ChannelFirst),
            case([3, 5, 7, 9], [1, 1, 1], ChannelLast),
            case([3, 2, 6, 10], [1, 2, 2], ChannelFirst),
            case([3, 2, 6, 10], [1, 2, 2], ChannelLast),
            case([2, 6, 9, 20], [2, 3, 5], ChannelFirst),
            case([2, 6, 9, 20], [2, 3, 5], ChannelLast),
        ]
    }

    /// Latents of 832 × 480 videos of 81 frames.
    pub(super) fn bench_cases() -> Vec<(&'static str, Self)> {
        let case = |order| Self { channels: 16, frames: 21, height: 60, width: 104, patch: [1, 2, 2], order };
        vec![
            ("wan-1.3b 480p, channel first", case(PatchOrder::ChannelFirst)),
            ("wan-1.3b 480p, channel last", case(PatchOrder::ChannelLast)),
        ]
    }
}
