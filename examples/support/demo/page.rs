//! The demonstration's report: one page beside its pictures.

use super::clips::{Demo, Take, Word};
use crate::shared::detector::{Flaw, Sighting};
use std::fmt::Write;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #1b8a3f; --bad: #c0392b }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
img { max-width: 100%; height: auto; border-radius: 4px } img.pixels { image-rendering: pixelated }
figure { margin: 1rem 0 } figcaption { font-size: .9rem; opacity: .8 }
.halves { display: grid; grid-template-columns: 1fr 1fr; max-width: 416px; font-size: .9rem; text-align: center }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0 } th, td { padding: .25rem .7rem; border: 1px solid var(--line) }
th { background: var(--soft); font-weight: 600 } td.n { text-align: right } td.c { text-align: center }
.on { background: var(--key) } .good { color: var(--good); font-weight: 600 } .bad { color: var(--bad); font-weight: 600 }
.big { font-size: 1.15rem } .note { background: var(--soft); padding: .7rem 1rem; border-radius: 6px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .92rem } dt { font-weight: 600 } dd { margin: 0 }
";

/// Text as it may stand in a page.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page.
pub(crate) fn html(demo: &Demo) -> String {
    let mut page = String::with_capacity(16 << 10);
    // Writing to a string does not fail.
    let _ = write(&mut page, demo);
    page
}

fn write(page: &mut String, demo: &Demo) -> std::fmt::Result {
    let prompt = escape(&demo.prompt);
    write!(page, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n")?;
    write!(
        page,
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Temporal control: {prompt}</title>\n"
    )?;
    write!(page, "<style>{STYLE}</style>\n<h1>A word appears when its curve says so</h1>\n")?;
    writeln!(
        page,
        "<p class=\"big\">Prompt: <b>{prompt}</b>. It says nothing about time; the curve does.</p>\n<ul>"
    )?;
    for word in &demo.words {
        let (phrase, curve) = (escape(&word.phrase), escape(&word.spec));
        writeln!(page, "<li><b>{phrase}</b> is wanted at <code>{curve}</code>: {}.</li>", frames_of(word))?;
    }
    writeln!(page, "</ul>")?;
    verdict(page, demo)?;
    page.push_str(
        "<h2>Both clips</h2>\n<div class=\"halves\"><span>uncontrolled</span><span>controlled</span></div>\n\
         <img class=\"pixels\" src=\"clip.gif\" alt=\"Both clips beside each other, looping\">\n\
         <p>Same prompt, same noise. The bars above are the curve, the white mark is the frame on show.</p>\n\
         <h2>Frame by frame</h2>\n<figure><img src=\"sheet.png\" alt=\"Frames and attention maps of both clips\">\n\
         <figcaption>Time runs to the right. On top the wanted curve. Then twice, for the uncontrolled clip (grey mark at \
         the left) and the controlled one (white mark): the frames, a bar under each that is lit where the object was \
         measured as one object and broken where it is there otherwise, and the attention that each place of the frame paid \
         to the words while the clip was made, brighter being more, on one scale for both clips.</figcaption></figure>\n\
         <h2>The curve, the attention, the result</h2>\n<figure><img src=\"curves.svg\" alt=\"Wanted curve, attention over \
         time and measured presence\">\n<figcaption>Attention is averaged over each frame, over heads and layers, and over \
         the guided denoising steps after the first. A filled dot above the curve marks a frame where the object was \
         measured, a cross one where it is there but not as one object, an empty dot below one where it is not.\
         </figcaption></figure>\n",
    );
    for word in &demo.words {
        table(page, demo, word)?;
    }
    page.push_str("<h2>Settings and machine</h2>\n<dl>\n");
    for (name, value) in &demo.facts {
        writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value))?;
    }
    page.push_str(
        "</dl>\n<p class=\"note\">The model behind these clips is a tiny one, trained for this demonstration on synthetic \
         clips of coloured shapes that appear and disappear at random times. It shows that the mechanism works; it says \
         nothing about how well a large model follows a curve. One clip is an example and not a measurement; prompt, curves \
         and seed of the default one were chosen because they show the effect well. The example \
         <code>temporal_accuracy</code> measures many clips.</p>\n\
         <p>Files: <a href=\"clip.gif\">clip.gif</a>, <a href=\"sheet.png\">sheet.png</a>, \
         <a href=\"uncontrolled.png\">uncontrolled.png</a>, <a href=\"controlled.png\">controlled.png</a>, \
         <a href=\"curves.svg\">curves.svg</a>, <a href=\"result.json\">result.json</a></p>\n</html>\n",
    );
    Ok(())
}

/// `frames 4, 5, 6 and 7`, or the values where they are not 0 or 1.
fn frames_of(word: &Word) -> String {
    if word.curve.iter().any(|v| *v != 0.0 && *v != 1.0) {
        let values: Vec<String> = word.curve.iter().map(|v| format!("{v:.2}")).collect();
        return values.join(", ");
    }
    let on = word.curve.iter().enumerate().filter(|(_, v)| **v == 1.0);
    let on: Vec<String> = on.map(|(frame, _)| frame.to_string()).collect();
    match on.as_slice() {
        [] => "in no frame".into(),
        [one] => format!("frame {one} of 0 to {}", word.curve.len() - 1),
        [most @ .., last] => {
            format!("frames {} and {last} of 0 to {}", most.join(", "), word.curve.len() - 1)
        }
    }
}

/// `frame 7 (drawn twice or torn: pieces of 36 and 12 pixels)`, joined with commas.
fn flaws_of(take: &Take, word: &Word) -> String {
    let frame = |(frame, flaw, sighting): (usize, Flaw, &Sighting)| match sighting.pieces.as_slice() {
        [most @ .., last] if !most.is_empty() => {
            let most: Vec<String> = most.iter().map(usize::to_string).collect();
            format!("frame {frame} ({flaw}: pieces of {} and {last} pixels)", most.join(", "))
        }
        _ => format!("frame {frame} ({flaw}: {} pixels)", sighting.pixels),
    };
    take.flaws(word).map(frame).collect::<Vec<_>>().join(", ")
}

/// What was measured, in a sentence or two a word.
fn verdict(page: &mut String, demo: &Demo) -> std::fmt::Result {
    for (group, word) in demo.words.iter().enumerate() {
        let phrase = escape(&word.phrase);
        let count = word.curve.len();
        let right = |take: &Take| (0..count).filter(|f| take.right(word, *f) == Some(true)).count();
        if demo.before.accuracy(word).is_some() {
            write!(
                page,
                "<p class=\"big\"><b>{phrase}</b> is as wanted in {} of {count} frames without control and in {} of \
                 {count} with it.",
                right(&demo.before),
                right(&demo.after)
            )?;
        } else {
            write!(
                page,
                "<p class=\"big\"><b>{phrase}</b>: this model states no palette, so presence is not measured."
            )?;
        }
        let reached = |take: &Take| take.film.reached().get(group).copied();
        if let (Some(before), Some(after)) = (reached(&demo.before), reached(&demo.after)) {
            write!(
                page,
                " Its attention correlates with the curve by {before:.2} without and {after:.2} with control."
            )?;
        }
        for (how, take) in [("without", &demo.before), ("with", &demo.after)] {
            let flaws = flaws_of(take, word);
            if !flaws.is_empty() {
                write!(page, " <span class=\"bad\">Not right {how} control: {flaws}.</span>")?;
            }
        }
        writeln!(page, "</p>")?;
    }
    Ok(())
}

fn table(page: &mut String, demo: &Demo, word: &Word) -> std::fmt::Result {
    if demo.before.accuracy(word).is_none() || demo.after.accuracy(word).is_none() {
        return Ok(());
    }
    writeln!(page, "<h2>Measured: {}</h2>", escape(&word.phrase))?;
    page.push_str(
        "<p>Pieces: pixels of the colour that touch each other; fewer than 4 are left out. Present: one piece of the size of \
         one shape on a frame that is at least 60 % background. Clean: at most 5 % of the frame is of a colour that nobody \
         asked for. A frame is right when it is clean and the object is present if it is wanted, and fewer than 4 pixels of \
         it are there if it is not. Shape: the drawn shape that fits best is the one asked for.</p>\n<table>\n<tr>\
         <th rowspan=\"2\">frame</th>\
         <th rowspan=\"2\">wanted</th><th colspan=\"5\">uncontrolled</th><th colspan=\"5\">controlled</th></tr>\n<tr>",
    );
    page.push_str(&"<th>pieces</th><th>present</th><th>shape</th><th>clean</th><th>right</th>".repeat(2));
    page.push_str("</tr>\n");
    let [r, g, b] = word.ink;
    for (frame, wanted) in word.curve.iter().enumerate() {
        let lit = if *wanted >= 0.5 { " on" } else { "" };
        write!(
            page,
            "<tr style=\"--key: rgb({r} {g} {b} / {:.2})\"><td class=\"n\">{frame}</td>",
            0.45 * wanted
        )?;
        write!(page, "<td class=\"c{lit}\">{wanted}</td>")?;
        for take in [&demo.before, &demo.after] {
            let (Some(report), Some(seen)) = (take.reports.get(frame), take.sighting(word, frame)) else {
                continue;
            };
            let pieces: Vec<String> = seen.pieces.iter().map(usize::to_string).collect();
            let pieces = if pieces.is_empty() { "\u{2013}".into() } else { pieces.join(" + ") };
            let present =
                seen.flaw.map_or_else(|| yes_no(seen.present).to_owned(), |flaw| format!("no: {flaw}"));
            write!(page, "<td class=\"n\">{pieces}</td><td class=\"c\">{present}</td>")?;
            let shape = seen.shape_right.map_or("\u{2013}", yes_no);
            write!(page, "<td class=\"c\">{shape}</td><td class=\"c\">{}</td>", yes_no(report.clean))?;
            let right = take.right(word, frame) == Some(true);
            write!(page, "<td class=\"c {}\">{}</td>", if right { "good" } else { "bad" }, yes_no(right))?;
        }
        writeln!(page, "</tr>")?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
