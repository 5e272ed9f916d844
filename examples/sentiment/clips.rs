//! From sounds to data sets and scores: `features` and `score` on a sound file.

use crate::list::{self, Listed};
use crate::scores::model;
use crate::{Ended, bar};
use clap::Args;
use foveal::pipelines::sentiment::data::{Clip, DESCRIPTION, Dataset, FEATURES};
use foveal::pipelines::sentiment::{DatasetBuilder, FeatureSet, NewClip};
use foveal::pipelines::sounds::Sound;
use foveal::pipelines::sounds::features::{SpeechFeatures, open_speech, speech_features};
use foveal::weights::require_writable;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Decibels below full scale from which on a sound is as good as silent.
const SILENT: f32 = -60.0;

#[derive(Debug, Args)]
pub(crate) struct Features {
    /// A list of clips (.csv, .tsv or .jsonl with id and text, and if you have them label, split and file), or a folder of
    /// sounds with clips.csv or clips.jsonl
    list: PathBuf,
    /// Folder for the data set
    #[arg(long)]
    out: PathBuf,
    /// What the data set calls itself; the list's folder by default
    #[arg(long)]
    name: Option<String>,
    /// Lowest and highest label
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], default_values_t = [-3.0, 3.0], allow_negative_numbers = true)]
    label_range: Vec<f32>,
    /// Data set whose vision is taken for clips of the same id
    #[arg(long)]
    vision: Option<PathBuf>,
    /// Leave out clips whose sound cannot be read, and say which
    #[arg(long)]
    skip_broken: bool,
    /// Replace a data set that is there
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneClip {
    /// What is said in the sound file that is scored
    #[arg(long, conflicts_with_all = ["split", "compat"])]
    pub(crate) text: Option<String>,
    /// Seconds at which the clip begins in its file
    #[arg(long, requires = "text")]
    start: Option<f64>,
    /// Seconds that the clip lasts, to the file's end by default
    #[arg(long, requires = "text")]
    seconds: Option<f64>,
}

/// Reads sounds and writes a data set of their features.
pub(crate) fn features(args: &Features) -> Ended {
    let &[low, high] = &args.label_range[..] else { return Err("--label-range takes two numbers".into()) };
    let path = list::place(&args.list)?;
    let list = list::read(&path, [low, high])?;
    if !list.unread.is_empty() {
        eprintln!("{}: not read: {}", path.display(), list.unread.join(", "));
    }
    if args.out.join(DESCRIPTION).exists() && !args.replace {
        let place = args.out.display();
        return Err(format!("{place} holds a data set: give another folder, or --replace").into());
    }
    std::fs::create_dir_all(&args.out).map_err(|e| foveal::Error::io(&args.out, e))?;
    for name in [DESCRIPTION, FEATURES] {
        require_writable(args.out.join(name))?;
    }
    let seen = args.vision.as_deref().map(Dataset::open).transpose()?;
    let vision: BTreeMap<&str, &Clip> =
        seen.iter().flat_map(|data| data.splits.values().flatten()).map(|c| (c.id.as_str(), c)).collect();
    let width = seen.as_ref().map_or(1, |data| data.vision_width);
    let folder = path
        .canonicalize()
        .map_err(|e| foveal::Error::io(&path, e))?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args.name.clone().or(name).unwrap_or_else(|| "clips".into());
    let mut builder = DatasetBuilder::new(name, [low, high], FeatureSet::speech(), width)?;
    let bar = bar(list.clips.len() as u64, "clips");
    let (mut broken, mut silent) = (0, Vec::new());
    for clip in &list.clips {
        let audio = match sound_of(clip) {
            Ok(found) => found,
            Err(error) if args.skip_broken => {
                broken += 1;
                bar.suspend(|| eprintln!("left out: {error}"));
                continue;
            }
            Err(error) => return Err(format!("{error} (--skip-broken leaves such clips out)").into()),
        };
        if audio.as_ref().is_some_and(is_silent) {
            silent.push(clip.id.as_str());
        }
        let values = audio.as_ref().map(|found| found.values.as_slice()).unwrap_or_default();
        let vision = seen.as_ref().zip(vision.get(clip.id.as_str()));
        let vision = vision.map(|(data, clip)| data.vision(clip)).unwrap_or_default();
        let new = NewClip { id: &clip.id, text: &clip.text, label: clip.label, audio: values, vision };
        builder.add(&clip.split, &new)?;
        bar.inc(1);
    }
    bar.finish();
    if !silent.is_empty() {
        let some = silent.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        eprintln!("{} clips are silent, such as {some}", silent.len());
    }
    let data = builder.build();
    if data.splits.is_empty() {
        return Err("no clip is left".into());
    }
    data.save(&args.out)?;
    let splits: Vec<String> = data.splits.iter().map(|(name, c)| format!("{} {name}", c.len())).collect();
    let [audio, frames] = data.longest();
    eprintln!(
        "{}: {} clips, {broken} left out; audio {}, at most {audio} rows; vision at most {frames} rows",
        args.out.display(),
        splits.join(", "),
        FeatureSet::speech(),
    );
    Ok(true)
}

fn sound_of(clip: &Listed) -> Result<Option<SpeechFeatures>, String> {
    let of = |error: foveal::Error| format!("clip `{}`: {error}", clip.id.escape_debug());
    let Some(file) = &clip.file else { return Ok(None) };
    let sound = recording(file).map_err(of)?;
    let named = |error: foveal::Error| of(foveal::Error::file(file, error.to_string()));
    speech_features(&sound).map(Some).map_err(named)
}

/// What a file holds; what was damaged in it is told.
fn recording(file: &Path) -> foveal::Result<Sound> {
    let found = open_speech(file)?;
    found.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", file.display()));
    Ok(found.mono())
}

/// Whether no row is above what a quiet room has.
fn is_silent(features: &SpeechFeatures) -> bool {
    features.column("level").is_ok_and(|level| level.iter().all(|level| *level < SILENT))
}

/// Scores a sound file, its score a line of JSON on stdout.
pub(crate) async fn score(path: &Path, clip: &OneClip, model_folder: &Path) -> Ended {
    let Some(text) = &clip.text else {
        return Err(format!("{}: what is said in it? Give --text", path.display()).into());
    };
    if path.is_dir() {
        return Err(
            format!("{}: a data set brings its texts; --text is for a sound file", path.display()).into()
        );
    }
    let sound = part(recording(path)?, clip).map_err(|e| format!("{}: {e}", path.display()))?;
    let features = speech_features(&sound).map_err(|e| format!("{}: {e}", path.display()))?;
    if is_silent(&features) {
        eprintln!("{}: it is silent; the score is that of the words", path.display());
    }
    let model = model(model_folder, false).await?;
    let id = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
    let score = model.score_sound(&id, text, &sound).await?;
    let pitch = features.column("pitch")?;
    let voiced = pitch.iter().filter(|pitch| **pitch > 0.0).count();
    eprintln!("{id}: {:.2} s, voiced in {voiced} of {} rows", sound.seconds(), pitch.len());
    println!("{}", serde_json::to_string(&score)?);
    Ok(true)
}

/// What --start and --seconds leave of a sound.
fn part(sound: Sound, clip: &OneClip) -> Result<Sound, String> {
    let (whole, rate) = (sound.seconds(), f64::from(sound.rate));
    let start = clip.start.unwrap_or(0.0);
    if !(0.0..whole).contains(&start) {
        return Err(format!("--start {start} lies outside its {whole:.2} s"));
    }
    let seconds = clip.seconds.unwrap_or(whole - start);
    if !(seconds > 0.0 && seconds.is_finite()) {
        return Err(format!("--seconds {seconds}: more than 0 are needed"));
    }
    let (first, count) = ((start * rate) as usize, (seconds * rate).ceil() as usize);
    let samples: Vec<f32> = sound.samples.into_iter().skip(first).take(count).collect();
    Ok(Sound { samples, rate: sound.rate })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_sound_is_cut_by_time() {
        let sound = || Sound { samples: (0..8_000).map(|i| i as f32).collect(), rate: 8_000 };
        let cut = |start, seconds| {
            part(sound(), &OneClip { text: None, start, seconds }).map(|s| (s.samples[0], s.samples.len()))
        };
        assert_eq!(cut(None, None).unwrap(), (0.0, 8_000));
        assert_eq!(cut(Some(0.25), None).unwrap(), (2_000.0, 6_000));
        assert_eq!(cut(Some(0.25), Some(0.5)).unwrap(), (2_000.0, 4_000));
        assert_eq!(cut(Some(0.5), Some(9.0)).unwrap(), (4_000.0, 4_000));
        assert!(cut(Some(1.0), None).unwrap_err().contains("--start 1 lies outside its 1.00 s"));
        assert!(cut(Some(f64::NAN), None).is_err());
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(cut(None, Some(seconds)).unwrap_err().contains("--seconds"), "{seconds}");
        }
    }
}
