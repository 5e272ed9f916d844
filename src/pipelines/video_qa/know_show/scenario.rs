//! The benchmark's five kinds of questions.

use serde::Serialize;
use std::path::Path;

/// What a question is about. In JSON it is its file's name without the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Scenario {
    /// Where is the person who does something, and when?
    #[serde(rename = "1_person_grounded_reasoning")]
    Person,
    /// Where is the object with which something is done, and when?
    #[serde(rename = "2_object_grounded_reasoning")]
    Object,
    /// Both of them.
    #[serde(rename = "3_person_object_cogrounded_reasoning")]
    PersonObject,
    /// Where are the hands and the objects that they handle, and when?
    #[serde(rename = "4_hand_object_cogrounded_reasoning")]
    HandObject,
    /// Which of some actions starts first, second or last, and when?
    #[serde(rename = "5_temporal_grounded_reasoning")]
    Temporal,
}

impl Scenario {
    /// All five, in the order of their files.
    pub const ALL: [Self; 5] =
        [Self::Person, Self::Object, Self::PersonObject, Self::HandObject, Self::Temporal];

    /// Name of its file, without `.jsonl`.
    pub fn file_stem(self) -> &'static str {
        match self {
            Self::Person => "1_person_grounded_reasoning",
            Self::Object => "2_object_grounded_reasoning",
            Self::PersonObject => "3_person_object_cogrounded_reasoning",
            Self::HandObject => "4_hand_object_cogrounded_reasoning",
            Self::Temporal => "5_temporal_grounded_reasoning",
        }
    }

    /// What the names of its files, ids and categories have in common. None is part of another.
    fn kind(self) -> &'static str {
        self.file_stem().split_once('_').map_or("", |(_, kind)| kind)
    }

    /// By a row's `question_category`. The published file 4 writes `reasoningg`.
    pub fn of_category(category: &str) -> Option<Self> {
        let kind = category.strip_prefix("action_conditioned_")?;
        Self::ALL
            .into_iter()
            .find(|s| kind.strip_prefix(s.kind()).is_some_and(|rest| matches!(rest, "" | "g")))
    }

    /// By a file's name, which rows without a category need.
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Self::ALL.into_iter().find(|s| name.contains(s.kind()))
    }
}
