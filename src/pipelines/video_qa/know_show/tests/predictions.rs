use super::super::{FrameSizes, Prediction, Predictions};
use super::*;

fn rows() -> Vec<Row> {
    vec![read(&person()), read(&temporal())]
}

fn read_all(bytes: &[u8]) -> Predictions {
    Predictions::parse(Path::new("answers.jsonl"), bytes, &rows()).unwrap()
}

fn refused(text: &str) -> String {
    Predictions::parse(Path::new("answers.jsonl"), text.as_bytes(), &rows()).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_again() {
    let sizes = FrameSizes::new([476.0, 364.0], [480.0, 360.5]).unwrap();
    let one =
        Prediction {
            question_id: "p1".into(), output: "a \"b\"\n\u{1}…\\ 🦉".into(), sizes: Some(sizes)
        };
    let two = Prediction { question_id: "t1".into(), output: String::new(), sizes: None };
    let text = one.to_line().unwrap() + &two.to_line().unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(text.lines().nth(1), Some(r#"{"question_id":"t1","output":""}"#));
    let read = read_all(text.as_bytes());
    assert_eq!((read.get("p1"), read.get("t1"), read.get("x")), (Some(&one), Some(&two), None));
    assert!(read.warnings.is_empty() && read.torn.is_none() && !read.open_end);
    assert_eq!(read.whole, text.len() as u64);
    assert!(Prediction { question_id: " ".into(), ..two }.to_line().is_err());
}

#[test]
fn a_second_answer_has_to_say_the_same() {
    let read = read_all(
        br#"{"question_id":"p1","output":"a","model":"x"}

            {"output":"a","question_id":"p1","model":"y"}
            {"question_id":"nobody asked","output":"b"}"#,
    );
    assert_eq!(read.all.len(), 2);
    assert_eq!(
        read.warnings,
        ["line 3: `p1` is answered as in line 1", "line 4: `nobody asked` is none of the questions"]
    );
    assert!(read.torn.is_none() && read.open_end, "a last line may lack its end");
    let different = [
        r#"{"question_id":"p1","output":"b"}"#,
        r#"{"question_id":"p1","output":"a","resized":[1,2],"orig":[3,4]}"#,
    ];
    for line in different {
        let error = refused(&format!("{{\"question_id\":\"p1\",\"output\":\"a\"}}\n{line}\n"));
        assert_eq!(error, "answers.jsonl: line 2: `question_id`: another answer to `p1` than that of line 1");
    }
}

#[test]
fn a_torn_line_is_skipped_at_the_end_only() {
    let whole = "{\"question_id\":\"p1\",\"output\":\"…\"}\n";
    for cut in 1..whole.len() - 1 {
        let bytes = [whole.as_bytes(), &whole.as_bytes()[..cut]].concat();
        let read = read_all(&bytes);
        let torn = read.torn.unwrap();
        assert_eq!((torn.line, torn.bytes, read.all.len()), (2, cut, 1));
        assert_eq!((read.whole, read.open_end), (whole.len() as u64, false));
        let error = Predictions::parse(Path::new("a"), &[&bytes[..], b"\n"].concat(), &rows()).unwrap_err();
        assert!(error.to_string().contains("line 2: no JSON"), "{error}");
    }
    // What a file system leaves of a line that was never written, and a file that is nothing else.
    assert_eq!(read_all(&[whole.as_bytes(), &[0; 40]].concat()).torn.unwrap().bytes, 40);
    let torn = read_all(b"\xef\xbb\xbf{\"quest");
    assert_eq!((torn.whole, torn.torn.unwrap().line, torn.open_end), (3, 1, true));
    // Complete and of another shape is not torn.
    assert!(refused("{\"question_id\":\"p1\"}").contains("line 1: `output`: it is missing"));
    assert!(refused("[]").contains("line 1: expected an object"));
}

#[test]
fn fields_are_named_where_they_are_wrong() {
    for (line, field) in [
        (r#"{"output":"a"}"#, "`question_id`: it is missing"),
        (r#"{"question_id":"","output":"a"}"#, "`question_id`: it is blank"),
        (r#"{"question_id":7,"output":"a"}"#, "`question_id`: expected a text, found a number"),
        (r#"{"question_id":"p1","output":null}"#, "`output`: it is missing"),
        (r#"{"question_id":"p1","output":["a"]}"#, "`output`: expected a text, found a list"),
        (r#"{"question_id":"p1","output":"a","resized":[1,2]}"#, "`orig`: it is missing beside `resized`"),
        (r#"{"question_id":"p1","output":"a","orig":[1,2]}"#, "`resized`: it is missing beside `orig`"),
        (
            r#"{"question_id":"p1","output":"a","resized":[1],"orig":[1,2]}"#,
            "`resized`: expected a list of two",
        ),
        (r#"{"question_id":"p1","output":"a","resized":[1,2],"orig":"x"}"#, "`orig`: expected a list of two"),
        (
            r#"{"question_id":"p1","output":"a","resized":[1,0],"orig":[1,2]}"#,
            "resized: [1.0, 0.0] is not a width",
        ),
        (r#"{"question_id":"p1","output":"a","resized":[1,2],"orig":[1e999,2]}"#, "no JSON"),
    ] {
        let error = refused(&format!("\n{line}\n"));
        assert!(error.starts_with("answers.jsonl: line 2: ") && error.contains(field), "{error}");
    }
    let none = read_all(br#"{"question_id":"p1","output":"a","resized":null,"orig":null}"#);
    assert_eq!(none.get("p1").unwrap().sizes, None);
}
