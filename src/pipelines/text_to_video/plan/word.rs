//! Words of a plan as they stand in a file.

use super::source::{AudioCurve, CurveSource};
use crate::models::tokenizer::WordMatch;
use crate::pipelines::text_to_video::curve::{Interpolation, Moment};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::fmt;

/// A word of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanWord {
    /// Words of the prompt, in order.
    pub phrase: String,
    /// Which of its occurrences.
    pub occurrence: WordMatch,
    /// When it should be seen.
    pub curve: CurveSource,
}

/// A word as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWord {
    phrase: String,
    occurrence: Option<usize>,
    curve: Option<Form>,
    keyframes: Option<Vec<(At, f32)>>,
    interpolation: Option<Interpolation>,
    audio: Option<AudioCurve>,
}

impl RawWord {
    /// The word, or a field with what is wrong with it.
    pub(super) fn into_word(self) -> Result<PlanWord, (&'static str, String)> {
        if self.interpolation.is_some() && self.keyframes.is_none() {
            return Err(("interpolation", "it belongs to keyframes, of which there are none".into()));
        }
        let interpolation = self.interpolation.unwrap_or_default();
        let curve = match (self.curve, self.keyframes, self.audio) {
            (Some(Form::Text(text)), None, None) => CurveSource::Text(text),
            (Some(Form::Values(values)), None, None) => CurveSource::Values(values),
            (None, Some(keys), None) => {
                let keys = keys.into_iter().map(|(At(at), value)| (at, value)).collect();
                CurveSource::Keyframes { keys, interpolation }
            }
            (None, None, Some(audio)) => CurveSource::Audio(audio),
            _ => return Err(("curve", "a word has exactly one of curve, keyframes and audio".into())),
        };
        let occurrence = self.occurrence.map_or(WordMatch::All, WordMatch::Nth);
        Ok(PlanWord { phrase: self.phrase, occurrence, curve })
    }
}

/// Text or a list of numbers. Not an untagged enum, whose errors say neither the place nor what was expected.
enum Form {
    Text(String),
    Values(Vec<f32>),
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Form;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a curve as text, such as \"4..8\", or a list with one value per latent frame")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Form, E> {
                Ok(Form::Text(text.into()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Form, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Form::Values(values))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

/// A keyframe's time: a latent frame as a number, anything as text.
struct At(Moment);

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Times;
        impl Visitor<'_> for Times {
            type Value = At;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a latent frame such as 3, or text such as \"1.5s\" or \"12f\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<At, E> {
                Moment::parse(text).map(At).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, frame: u64) -> Result<At, E> {
                usize::try_from(frame).map(|f| At(Moment::Latent(f))).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, frame: i64) -> Result<At, E> {
                usize::try_from(frame).map(|f| At(Moment::Latent(f))).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Times)
    }
}
