//! Files to samples.

use super::recording::{RATES, Recording};
use super::riff::{self, Wave};
use crate::error::without_panic;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP3, CODEC_ID_OPUS, CODEC_ID_SPEEX};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Refused;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::units::TimeBase;

/// Longest sound in seconds.
const MAX_SECONDS: f64 = 600.0;
/// Most samples in all channels together, 1 GiB: ten minutes of eight channels at 48 kHz. It bounds what a small compressed
/// file can grow to.
const MAX_SAMPLES: usize = 1 << 28;
/// Seconds before those that are wanted from which on packets are decoded: decoders lean on what came before.
const LEAD: f64 = 1.0;
/// Seconds that may be missing at the end without a word: encoders round to their blocks.
const MISSING: f64 = 0.1;

/// Samples of a channel that an MPEG encoder pads its last frames with at most.
const PADDING: usize = 4 * 1152;

const FORMATS: &str = "wav, aiff, caf, mp3, flac, ogg Vorbis, m4a and mkv are read";

/// Reads what is wanted of a file.
pub(super) fn read(file: Box<dyn MediaSource>, name: &Path, wanted: Option<Range<f64>>) -> Result<Recording> {
    if let Some(Range { start, end }) = wanted.clone().filter(|w| !(w.start >= 0.0 && w.start < w.end)) {
        return Err(Error::file(
            name,
            format!("seconds {start} to {end} of it: expected a beginning and a later end"),
        ));
    }
    if wanted.as_ref().is_some_and(|w| w.end - w.start > MAX_SECONDS) {
        return Err(Error::file(name, format!("more than {MAX_SECONDS} seconds of it are wanted")));
    }
    let mut reading = Reading {
        name,
        whole: wanted.is_none(),
        wanted: wanted.unwrap_or(0.0..MAX_SECONDS),
        recording: Recording { channels: Vec::new(), rate: 0, warnings: Vec::new() },
        at: 0,
        lead: 0,
        lost: None,
    };
    // The library asserts what it believes of some headers and packets.
    match without_panic(|| reading.file(file)) {
        Some(outcome) => outcome?,
        None if reading.kept() > 0 => reading.breaks_off("the decoder gave up"),
        None => return Err(Error::file(name, "its headers contradict themselves")),
    }
    reading.finish()
}

/// A file that is being read.
struct Reading<'a> {
    name: &'a Path,
    /// All of it is wanted, and more than fits is an error.
    whole: bool,
    wanted: Range<f64>,
    recording: Recording,
    /// Samples of a channel that lie behind.
    at: u64,
    /// Samples that the file says to leave out before the first.
    lead: u64,
    /// Packets that could not be decoded, and when the first began and the last ended.
    lost: Option<(usize, Range<f64>)>,
}

/// Why no more packets are taken.
enum End {
    /// Of the file, or of what is wanted.
    Here,
    /// Another stream follows.
    Chained,
}

impl Reading<'_> {
    fn refuse(&self, reason: impl AsRef<str>) -> Error {
        Error::file(self.name, format!("{} ({FORMATS})", reason.as_ref()))
    }

    fn kept(&self) -> usize {
        self.recording.samples()
    }

    fn seconds(&self, samples: u64) -> f64 {
        samples as f64 / f64::from(self.recording.rate.max(1))
    }

    fn breaks_off(&mut self, reason: &str) {
        let after = self.seconds(self.at);
        self.recording.warnings.push(format!("it breaks off after {after:.2} s: {reason}"));
    }

    fn file(&mut self, file: Box<dyn MediaSource>) -> Result<()> {
        let mut hint = Hint::new();
        let io = |e| Error::io(self.name, e);
        let walked = riff::wave(file, &mut self.recording.warnings).map_err(io)?;
        let (file, extension) = match walked {
            Ok(Wave::Plain(section)) => (Box::new(section) as Box<dyn MediaSource>, Some("wav")),
            Ok(Wave::Mpeg(section)) => (Box::new(section) as Box<dyn MediaSource>, Some("mp3")),
            Ok(Wave::Refused(reason)) => return Err(self.refuse(reason)),
            Err(mut file) => {
                self.lead = super::lead::lead(&mut file).map_err(io)?;
                let file = Box::new(super::section::untagged(file).map_err(io)?);
                let file = super::aiff::sized(file, &mut self.recording.warnings).map_err(io)?;
                (Box::new(file) as Box<dyn MediaSource>, self.name.extension().and_then(|e| e.to_str()))
            }
        };
        if let Some(extension) = extension {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(file, Default::default());
        let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
        let probed = symphonia::default::get_probe().probe(&hint, stream, format, metadata);
        let mut reader = probed.map_err(|error| self.refuse(error.to_string()))?;
        let lead = self.lead;
        loop {
            let stated = match self.track(reader.as_mut())? {
                (End::Chained, _) => continue,
                (End::Here, stated) => stated,
            };
            let missing = stated.map_or(0.0, |n| self.seconds(n) - self.seconds(self.at + lead));
            if missing > MISSING && self.seconds(self.at) < self.wanted.end {
                let stated = self.seconds(stated.unwrap_or(0));
                self.breaks_off(&format!("it states {stated:.2} s"));
            }
            return Ok(());
        }
    }

    /// Reads one stream; how it ended, and its stated length in samples where all of it should have come by.
    fn track(&mut self, reader: &mut dyn FormatReader) -> Result<(End, Option<u64>)> {
        let sounds =
            reader.tracks().iter().filter(|track| track.track_type() == Some(TrackType::Audio)).count();
        let track = reader.default_track(TrackType::Audio);
        let track = track.ok_or_else(|| self.refuse("there is no sound in it"))?;
        if sounds > 1 {
            self.recording.warnings.push(format!("{sounds} sounds in it: the one by default is read"));
        }
        let (id, base, frames) = (track.id, track.time_base, track.num_frames);
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio());
        let mut decoder = self.decoder(parameters)?;
        let rate = parameters.and_then(|p| p.sample_rate).unwrap_or(0);
        let before = self.at;
        self.lead = samples_of(self.lead, base, rate);
        let mpeg = parameters.is_some_and(is_mpeg);
        // What an MPEG file says to leave out at its end, as long as it may be the end.
        let (mut padding, mut believed) = (Vec::new(), mpeg);
        let mut interleaved = Vec::new();
        loop {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(Refused::ResetRequired) => return Ok((End::Chained, None)),
                // What there is has been read.
                Err(Refused::IoError(e))
                    if e.kind() == std::io::ErrorKind::UnexpectedEof && self.recording.rate != 0 =>
                {
                    break;
                }
                Err(error) if self.recording.rate != 0 => {
                    self.breaks_off(&error.to_string());
                    return Ok((End::Here, None));
                }
                Err(error) => return Err(self.refuse(error.to_string())),
            };
            if packet.track_id != id {
                continue;
            }
            let known = if self.recording.rate == 0 { rate } else { self.recording.rate };
            let trimmed = if mpeg { packet.trim_end.get() } else { 0 };
            let length = samples_of(packet.dur.get(), base, known);
            if mpeg && self.kept() == 0 && padding.is_empty() {
                // The length of what is left out at an end is not the packet's to say.
                self.at = u64::try_from(packet.pts.get()).map_or(0, |pts| samples_of(pts, base, known));
            }
            let start = self.at as f64 / f64::from(known.max(1));
            if known != 0 && start + length as f64 / f64::from(known) < self.wanted.start - LEAD {
                self.recording.rate = known;
                let led = self.lead.min(length);
                self.lead -= led;
                self.at += length - led;
                continue;
            }
            match decoder.decode(&packet) {
                Ok(decoded) => {
                    let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
                    if !RATES.contains(&rate) || channels == 0 {
                        let found = format!("{rate} samples a second of {channels} channels");
                        return Err(self.refuse(format!("{found}, expected {RATES:?} of at least one")));
                    }
                    if self.kept() == 0 {
                        // What lies behind was counted by the rate that the file states.
                        if known != 0 && known != rate {
                            let seconds = self.at as f64 / f64::from(known);
                            self.at = (seconds * f64::from(rate)).round() as u64;
                        }
                        self.recording.rate = rate;
                    } else if self.recording.rate != rate {
                        let change =
                            format!("its sample rate changes from {} to {rate}", self.recording.rate);
                        self.breaks_off(&change);
                        return Ok((End::Here, None));
                    }
                    decoded.copy_to_vec_interleaved(&mut interleaved);
                    let led = self.lead.min((interleaved.len() / channels) as u64);
                    self.lead -= led;
                    let started = if mpeg { packet.trim_start.get() } else { led };
                    let started = usize::try_from(started).unwrap_or(usize::MAX).saturating_mul(channels);
                    interleaved.drain(..started.min(interleaved.len()));
                    if believed && trimmed > 0 {
                        let trimmed = usize::try_from(trimmed).unwrap_or(usize::MAX).saturating_mul(channels);
                        let end = interleaved.len().saturating_sub(trimmed);
                        padding.extend(interleaved.drain(end..));
                    }
                    self.take(&interleaved, channels)?;
                    // More frames follow than the file states: it was added to.
                    if padding.len() > PADDING * channels {
                        believed = false;
                        self.take(&std::mem::take(&mut padding), channels)?;
                    }
                }
                Err(Refused::DecodeError(_)) => self.lose(length)?,
                Err(error) if self.recording.rate != 0 => {
                    self.breaks_off(&error.to_string());
                    return Ok((End::Here, None));
                }
                Err(error) => return Err(self.refuse(error.to_string())),
            }
            if self.recording.rate != 0 && self.seconds(self.at) >= self.wanted.end && !self.whole {
                return Ok((End::Here, None));
            }
        }
        Ok((End::Here, frames.filter(|_| before == 0)))
    }

    fn decoder(&self, parameters: Option<&AudioCodecParameters>) -> Result<Box<dyn AudioDecoder>> {
        let parameters = parameters.ok_or_else(|| self.refuse("its codec is not stated"))?;
        let unread = match parameters.codec {
            CODEC_ID_OPUS => Some("Opus"),
            CODEC_ID_SPEEX => Some("Speex"),
            _ => None,
        };
        if let Some(codec) = unread {
            let advice = "convert it, for example by `ffmpeg -i in out.flac`";
            return Err(self.refuse(format!("{codec} is not read: {advice}")));
        }
        if parameters.extra_data.as_deref().is_some_and(super::codebooks::too_large) {
            return Err(self.refuse("its codebooks are larger than any encoder's"));
        }
        symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default().gapless(!is_mpeg(parameters)))
            .map_err(|error| self.refuse(error.to_string()))
    }

    /// The samples of a channel from `at` on that are wanted, of so many.
    fn wanted_of(&self, count: u64) -> Range<usize> {
        let sample = |seconds: f64| (seconds * f64::from(self.recording.rate)).round() as u64;
        let (first, end) = (sample(self.wanted.start), sample(self.wanted.end));
        let end = if self.whole { u64::MAX } else { end };
        let within = |place: u64| place.clamp(self.at, self.at.saturating_add(count)) - self.at;
        within(first) as usize..within(end) as usize
    }

    /// Keeps what is wanted of a packet.
    fn take(&mut self, interleaved: &[f32], channels: usize) -> Result<()> {
        let count = interleaved.len() / channels;
        let wanted = self.wanted_of(count as u64);
        self.at += count as u64;
        let kept = self.kept();
        self.room(kept + wanted.len(), channels)?;
        // A channel that joins later was silent before.
        let all = self.recording.channels.len().max(channels);
        self.recording.channels.resize_with(all, || vec![0.0; kept]);
        let part = interleaved.get(wanted.start * channels..wanted.end * channels).unwrap_or_default();
        for (index, channel) in self.recording.channels.iter_mut().enumerate() {
            if index < channels {
                channel.extend(part.iter().skip(index).step_by(channels));
            } else {
                channel.resize(kept + wanted.len(), 0.0);
            }
        }
        Ok(())
    }

    /// Takes a packet that cannot be decoded for silence.
    fn lose(&mut self, count: u64) -> Result<()> {
        let wanted = self.wanted_of(count);
        let start = self.seconds(self.at);
        self.at = self.at.saturating_add(count);
        // Where decoding begins in the middle of a stream, a first packet may lack what came before.
        if self.recording.rate == 0 || wanted.is_empty() {
            return Ok(());
        }
        let kept = self.kept().saturating_add(wanted.len());
        self.room(kept, 1)?;
        self.recording.channels.iter_mut().for_each(|c| c.resize(kept, 0.0));
        let end = self.seconds(self.at);
        let (packets, span) = self.lost.get_or_insert((0, start..end));
        *packets += 1;
        span.end = end;
        Ok(())
    }

    /// Fails where there is no room for so many samples of a channel.
    fn room(&self, samples: usize, channels: usize) -> Result<()> {
        let channels = self.recording.channels.len().max(channels).max(1);
        let (rate, most) = (self.recording.rate, MAX_SAMPLES / channels);
        if samples as f64 > MAX_SECONDS * f64::from(rate) {
            return Err(self.refuse(format!(
                "it is longer than {MAX_SECONDS} seconds: name the part that is wanted, or cut it"
            )));
        }
        if samples > most {
            let seconds = self.seconds(most as u64);
            return Err(self.refuse(format!(
                "of {channels} channels at {rate} Hz at most {seconds:.0} seconds are read"
            )));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Recording> {
        if let Some((packets, Range { start, end })) = self.lost.take() {
            let what = if packets == 1 { "a packet".into() } else { format!("{packets} packets") };
            let place = format!("between {start:.2} s and {end:.2} s");
            self.recording.warnings.push(format!("{what} {place} cannot be decoded: silence instead"));
        }
        if self.recording.rate == 0 {
            return Err(self.refuse("nothing in it can be decoded"));
        }
        if self.kept() == 0 {
            let (length, start) = (self.seconds(self.at), self.wanted.start);
            return Err(if start > 0.0 {
                Error::file(
                    self.name,
                    format!("it ends after {length:.2} s, and what begins at {start:.2} s is wanted"),
                )
            } else {
                self.refuse("it holds no samples")
            });
        }
        let infinite = |c: &Vec<f32>| c.iter().position(|v| !v.is_finite());
        match self.recording.channels.iter().find_map(infinite) {
            Some(index) => Err(Error::NonFinite { what: format!("sound {}", self.name.display()), index }),
            None => Ok(self.recording),
        }
    }
}

fn is_mpeg(parameters: &AudioCodecParameters) -> bool {
    parameters.codec == CODEC_ID_MP3
}

/// Samples of a channel in a packet's length, which containers state in a unit of their own.
fn samples_of(length: u64, base: Option<TimeBase>, rate: u32) -> u64 {
    let Some(base) = base.filter(|_| rate != 0) else { return length };
    let (numer, denom) = (u128::from(base.numer.get()), u128::from(base.denom.get()));
    let samples = u128::from(length) * numer * u128::from(rate);
    u64::try_from((samples + denom / 2) / denom).unwrap_or(u64::MAX)
}
