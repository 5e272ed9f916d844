use super::super::*;
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::path::PathBuf;

const ROWS: &[u8] = br#"{"question_id": "a", "video_id": "va", "question": "Which action starts first, x or y?", "answer": {"action": "x", "time": "1s"}, "question_category": "action_conditioned_temporal_grounded_reasoning"}
{"question_id": "b", "video_id": "vb.mp4", "question": "Which action starts first, x or y?", "answer": {"action": "x", "time": "1s"}, "question_category": "action_conditioned_temporal_grounded_reasoning"}
{"question_id": "c", "video_id": "../vc", "question": "Which action starts first, x or y?", "answer": {"action": "x", "time": "1s"}, "question_category": "action_conditioned_temporal_grounded_reasoning"}"#;

struct Counting {
    asked: Vec<String>,
    refuse: Option<&'static str>,
}

impl Respondent for Counting {
    async fn respond(&mut self, row: &Row, prompt: &str) -> Result<Prediction> {
        assert!(prompt.contains("Time: Ns"));
        self.asked.push(row.question_id.clone());
        if self.refuse == Some(&row.question_id) {
            return Err(Error::input("video", "broken"));
        }
        Ok(Prediction { question_id: "another".into(), output: "Action: x\nTime: 1s".into(), sizes: None })
    }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("foveal-survey-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_survey_goes_on_where_it_was_killed() {
    let rows = rows::parse("5.jsonl".as_ref(), ROWS).unwrap();
    let folder = scratch("resume");
    let log = folder.join("answers.jsonl");
    let mut model = Counting { asked: Vec::new(), refuse: Some("b") };
    let mut failed = Vec::new();
    let found = pollster::block_on(survey(&rows, &mut model, &log, |event| {
        if let SurveyEvent::Failed { question_id, error } = event {
            failed.push(format!("{question_id}: {error}"));
        }
        ControlFlow::Continue(())
    }))
    .unwrap();
    assert_eq!((found.all.len(), failed.len()), (2, 1));
    assert!(failed[0].contains("broken"), "{failed:?}");
    // A line that was not finished is asked for anew, as is the one that failed.
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, &text[..text.len() - 5]).unwrap();
    let mut model = Counting { asked: Vec::new(), refuse: None };
    let mut last = (0, 0);
    let found = pollster::block_on(survey(&rows, &mut model, &log, |event| {
        if let SurveyEvent::Answered { done, of } = event {
            last = (done, of);
        }
        ControlFlow::Continue(())
    }))
    .unwrap();
    assert_eq!(
        (found.all.len(), last, model.asked.as_slice()),
        (3, (3, 3), ["b", "c"].map(String::from).as_slice())
    );
    assert_eq!(Report::of(&judge(&rows, &found).unwrap()).sections[&Scenario::Temporal].joint(), Some(1.0));
    let mut model = Counting { asked: Vec::new(), refuse: None };
    std::fs::remove_file(&log).unwrap();
    let stopped = pollster::block_on(survey(&rows, &mut model, &log, |_| ControlFlow::Break(())));
    assert!(matches!(stopped, Err(Error::Cancelled(_))) && model.asked.len() == 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn videos_are_found_in_their_folder_and_nowhere_else() {
    let rows = rows::parse("5.jsonl".as_ref(), ROWS).unwrap();
    let folder = scratch("videos");
    let inner = folder.join("in");
    std::fs::create_dir_all(&inner).unwrap();
    for name in ["va.webm", "vb.mp4", "../vc", "../vc.mp4"] {
        std::fs::write(inner.join(name), b"").unwrap();
    }
    let found: Vec<_> = rows.iter().map(|row| find_video(&inner, row)).collect();
    assert_eq!(found, [Some(inner.join("va.webm")), Some(inner.join("vb.mp4")), None]);
    std::fs::remove_dir_all(&folder).unwrap();
}
