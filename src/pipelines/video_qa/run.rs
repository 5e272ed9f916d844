//! From a question to an answer.

use super::look::{Look, Visual, look_at_image, look_at_video};
use super::model::VideoQa;
use super::progress::Event;
use super::prompt::{Expanded, Medium, expand};
use super::request::Question;
use super::result::{Answer, Finish, KeptToken};
use super::sampling::Sampler;
use super::session::{Prefill, Session};
use super::source::FrameSource;
use super::transcript::Transcript;
use crate::models::qwen2_5_vl::processor::RgbFrame;
use crate::models::qwen2_5_vl::{MropePositions, Seen, mrope_positions};
use crate::models::tokenizer::{ChatMessage, ChatPart};
use crate::pipelines::go_on;
use crate::{Error, Result, Tensor};
use std::ops::ControlFlow;

impl VideoQa {
    /// Encodes a video for any number of questions, see [`look_at_video`]. `self.defaults().look()` is how the folder has it.
    ///
    /// # Errors
    /// As [`look_at_video`].
    pub async fn look<S: FrameSource + ?Sized>(
        &self,
        source: &mut S,
        look: &Look,
        mut hook: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Visual> {
        look_at_video(&self.model, source, look, |steps, all| hook(&Event::Looked { steps, of: all })).await
    }

    /// Encodes an image, see [`look_at_image`].
    ///
    /// # Errors
    /// As [`look_at_image`].
    pub fn look_at_image(&self, image: &RgbFrame<'_>) -> Result<Visual> {
        look_at_image(&self.model, image, self.defaults.image_limits)
    }

    /// Answers a question about some videos and images, which stand before it in this order, telling `hook` of each event.
    ///
    /// # Errors
    /// As [`VideoQa::answer_watched`].
    pub async fn answer(
        &self,
        visuals: &[&Visual],
        question: &Question,
        hook: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Answer> {
        self.answer_watched(visuals, question, hook, |_| Ok(())).await
    }

    /// The same, and shows `watch` the queries and keys of every block, so that any reduction of its map can be read.
    ///
    /// # Errors
    /// [`Error::Input`] for a question with a special token in it, a prompt and answer that are longer than the model was made
    /// for, no tokens to answer with, and a selection without a video; [`Error::File`] for what the chat template refuses;
    /// [`Error::Cancelled`] where the hook breaks off; otherwise those of the kernels and of `watch`. The model may be asked again
    /// after any of them.
    pub async fn answer_watched(
        &self,
        visuals: &[&Visual],
        question: &Question,
        mut hook: impl FnMut(&Event) -> ControlFlow<()>,
        mut watch: impl FnMut(&Seen<'_>) -> Result<()>,
    ) -> Result<Answer> {
        if question.max_tokens == 0 {
            return Err(Error::input("max_tokens", "expected at least 1, found 0"));
        }
        let (prompt, positions) = self.prompt(visuals, question)?;
        let mut sampler = Sampler::new(question.sampling, &prompt.ids)?;
        let (length, video) = (prompt.ids.len(), prompt.tokens.count());
        go_on(hook(&Event::Laid { tokens: length, video }), || "laying out the prompt".into())?;
        let tokens: Vec<&Tensor> = visuals.iter().map(|visual| &visual.tokens).collect();
        let embeddings = self.model.embed(&prompt.ids, &tokens)?;
        let last_position = (positions.next as usize).saturating_add(question.max_tokens);
        let mut session =
            Session::new(&self.model.text, length.saturating_add(question.max_tokens), last_position)?;
        let prefill = Prefill {
            embeddings: &embeddings,
            positions: &positions,
            tokens: &prompt.tokens,
            selection: question.selection.as_ref(),
            chunk: question.chunk,
        };
        let done = session.prefill(&prefill, &mut watch).await?;
        drop(embeddings);
        let ids = match &done.kept {
            Some(kept) => Some(kept.ids.to_u32().await?),
            None => None,
        };
        let kept = ids.map(|ids| kept_tokens(&prompt, visuals, &ids));
        let scores = match done.scores.as_ref().filter(|_| question.scores) {
            Some(scores) => by_video(&prompt, visuals, &scores.to_vec().await?),
            None => Vec::new(),
        };
        // Read here, so that a prefill is over when it is said to be.
        let mut logits = session.last_logits(&done)?.to_vec().await?;
        drop(done);
        let cache = session.cache().bytes_in_use();
        let kept_video = kept.as_ref().map_or(video, Vec::len);
        let prefilled = Event::Prefilled { tokens: length - video + kept_video, video: kept_video, cache };
        go_on(hook(&prefilled), || "behind the prefill".into())?;

        let mut transcript = Transcript::new(&self.tokenizer, &question.stop);
        let finish = loop {
            let id = sampler.next(&logits)?;
            if self.ends.contains(&id) {
                break Finish::End;
            }
            let (text, stopped) = transcript.push(id)?;
            let place = || format!("behind token {} of the answer", transcript.ids().len());
            go_on(hook(&Event::Token { id, text }), place)?;
            if stopped {
                break Finish::Stop;
            }
            if transcript.ids().len() == question.max_tokens {
                break Finish::Length;
            }
            logits = session.step(id, &mut watch)?.to_vec().await?;
        };
        let (text, rest, ids) = transcript.finish()?;
        go_on(hook(&Event::Ended { rest }), || "at the end of the answer".into())?;
        Ok(Answer { text, ids, finish, prompt_tokens: length, video_tokens: video, kept, scores, cache })
    }

    /// The prompt of a question as the language model takes it, with its positions.
    ///
    /// # Errors
    /// As [`VideoQa::answer_watched`].
    pub fn prompt(&self, visuals: &[&Visual], question: &Question) -> Result<(Expanded, MropePositions)> {
        let given =
            [Some(("question", &question.text)), question.system.as_ref().map(|s| ("system prompt", s))];
        for (what, text) in given.into_iter().flatten() {
            if let Some(token) = self.tokenizer.special_token_in(text) {
                let reason = format!("it has the special token `{token}` in it, which would be read as such");
                return Err(Error::input(what, reason));
            }
        }
        let shown = |visual: &&Visual| match visual.second_per_grid {
            Some(_) => ChatPart::Video,
            None => ChatPart::Image,
        };
        let mut content: Vec<ChatPart<'_>> = visuals.iter().map(shown).collect();
        content.push(ChatPart::Text { text: &question.text });
        let mut messages = Vec::new();
        if let Some(text) = &question.system {
            messages.push(ChatMessage { role: "system", content: vec![ChatPart::Text { text }] });
        }
        messages.push(ChatMessage { role: "user", content });
        let ids = self.tokenizer.ids(&self.template.render(&messages)?)?;
        let media: Vec<Medium> =
            visuals.iter().map(|visual| self.medium(visual, question.timestamps)).collect::<Result<_>>()?;
        let config = self.model.config();
        let prompt = expand(config, &ids, &media)?;
        let positions = mrope_positions(config, &prompt.ids, &prompt.images, &prompt.videos, question.rule)?;
        let most = config.max_positions;
        let last = (positions.next as usize).max(prompt.ids.len()).saturating_add(question.max_tokens);
        if last > most {
            let reason = format!(
                "{} tokens, {} of them video, and an answer of up to {} reach position {last} of {most}: look at fewer frames or \
                 smaller ones, or allow a shorter answer",
                prompt.ids.len(),
                prompt.tokens.count(),
                question.max_tokens
            );
            return Err(Error::input("prompt", reason));
        }
        if question.selection.is_some() && prompt.tokens.count() == 0 {
            return Err(Error::input("selection", "there is no video to keep tokens of"));
        }
        Ok((prompt, positions))
    }

    fn medium(&self, visual: &Visual, timestamps: bool) -> Result<Medium> {
        let Some(grid) = visual.video_grid() else { return Ok(Medium::Image(visual.grid)) };
        let times = if timestamps { visual.step_times() } else { Vec::new() };
        let ids = |time: &f64| self.tokenizer.ids(&format!("<{time:.1} seconds>"));
        Ok(Medium::Video { grid, times: times.iter().map(ids).collect::<Result<_>>()? })
    }
}

/// Each video with the ranges of its steps in the prompt.
fn videos<'a>(
    prompt: &'a Expanded,
    visuals: &'a [&'a Visual],
) -> impl Iterator<Item = (&'a Visual, &'a [std::ops::Range<usize>])> {
    let videos = visuals.iter().filter(|visual| visual.second_per_grid.is_some()).copied();
    videos.zip(prompt.tokens.by_video())
}

fn kept_tokens(prompt: &Expanded, visuals: &[&Visual], ids: &[u32]) -> Vec<KeptToken> {
    let mut kept = Vec::new();
    let mut ids = ids.iter().map(|&id| id as usize).peekable();
    for (video, (visual, steps)) in videos(prompt, visuals).enumerate() {
        let times = visual.step_times();
        let columns = visual.units[2].max(1);
        for (step, range) in steps.iter().enumerate() {
            while ids.next_if(|&id| id < range.start).is_some() {}
            while let Some(place) = ids.next_if(|&id| id < range.end) {
                let unit = place - range.start;
                let time = times.get(step).copied().unwrap_or(0.0);
                kept.push(KeptToken {
                    place,
                    video,
                    step,
                    row: unit / columns,
                    column: unit % columns,
                    time,
                });
            }
        }
    }
    kept
}

fn by_video(prompt: &Expanded, visuals: &[&Visual], scores: &[f32]) -> Vec<Vec<f32>> {
    videos(prompt, visuals)
        .map(|(_, steps)| {
            steps.iter().flat_map(|range| scores.get(range.clone()).unwrap_or_default()).copied().collect()
        })
        .collect()
}
