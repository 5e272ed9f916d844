//! Where videos stand in a prompt.

use crate::{Error, Result};
use std::ops::Range;

/// Where the tokens of videos stand in a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTokens {
    /// Tokens of the prompt.
    pub length: usize,
    /// Tokens of each temporal step of each video, ascending.
    pub groups: Vec<Range<usize>>,
    /// Temporal steps of each video; where empty, all are one video's.
    pub videos: Vec<usize>,
}

impl VideoTokens {
    /// One video of equal steps.
    pub fn of_one(length: usize, first: usize, steps: usize, tokens_per_step: usize) -> Self {
        let step = |i: usize| first + i * tokens_per_step..first + (i + 1) * tokens_per_step;
        Self { length, groups: (0..steps).map(step).collect(), videos: vec![steps] }
    }

    /// Video tokens.
    pub fn count(&self) -> usize {
        self.groups.iter().map(Range::len).sum()
    }

    /// Behind the last video token; 0 where there is none.
    pub fn end(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut end = 0;
        for group in &self.groups {
            if group.is_empty() || group.start < end || group.end > self.length {
                let reason = format!("step {group:?} of a prompt of {} tokens, behind {end}", self.length);
                return Err(Error::input("video tokens", reason));
            }
            end = group.end;
        }
        let steps: usize = self.videos.iter().sum();
        if !self.videos.is_empty() && steps != self.groups.len() {
            let reason = format!("{} steps, and videos of {:?}", self.groups.len(), self.videos);
            return Err(Error::input("video tokens", reason));
        }
        if self.groups.is_empty() {
            return Err(Error::input("video tokens", "a selection needs some"));
        }
        Ok(())
    }

    /// The steps of each video.
    pub(super) fn by_video(&self) -> Vec<&[Range<usize>]> {
        if self.videos.is_empty() {
            return vec![&self.groups];
        }
        let mut rest = self.groups.as_slice();
        let video = |steps: &usize| {
            let (own, left) = rest.split_at((*steps).min(rest.len()));
            rest = left;
            own
        };
        self.videos.iter().map(video).collect()
    }

    /// Places of all video tokens.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.groups.iter().flat_map(|group| group.start as u32..group.end as u32).collect()
    }

    pub(super) fn is_video(&self) -> Vec<bool> {
        let mut video = vec![false; self.length];
        self.groups.iter().for_each(|group| video.get_mut(group.clone()).unwrap_or_default().fill(true));
        video
    }
}
