//! The video that was looked at last: neighbours in lists of questions often ask about one.

use crate::interrupt::Interrupt;
use crate::{Cli, ask, open};
use foveal::Result;
use foveal::pipelines::video_qa::{VideoQa, Visual};
use std::path::{Path, PathBuf};

/// Seconds that are looked at, from and to.
type Part = [Option<f64>; 2];

/// Looks at videos, and keeps the last.
pub(crate) struct Looking<'a> {
    cli: &'a Cli,
    model: &'a VideoQa,
    stop: &'a Interrupt,
    last: Option<(PathBuf, Part, Visual)>,
}

impl<'a> Looking<'a> {
    pub(crate) fn new(cli: &'a Cli, model: &'a VideoQa, stop: &'a Interrupt) -> Self {
        Self { cli, model, stop, last: None }
    }

    /// A video, or a part of it, as the model sees it.
    ///
    /// # Errors
    /// Those of the file and of the look.
    pub(crate) async fn at(&mut self, path: &Path, part: Part) -> Result<&Visual> {
        let known = self.last.take().filter(|(known, of, _)| known == path && *of == part);
        let visual = match known {
            Some((_, _, visual)) => visual,
            None => {
                let mut look = self.cli.frames.look(self.model.defaults());
                (look.start, look.end) = (part[0].or(look.start), part[1].or(look.end));
                let mut video = open::video(self.cli, path)?;
                self.model.look(&mut video, &look, |_| ask::flow(self.stop)).await?
            }
        };
        Ok(&self.last.insert((path.into(), part, visual)).2)
    }
}
