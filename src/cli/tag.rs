//! `percept tag`: recordings in, what happens when out.

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::inputs::{in_order, refuse_overwriting};
use super::{Jobs, exit_code, model_choice, one_input, report, say, written};
use crate::decide::{FrameEvent, Rule};
use crate::event::ScoredEvent;
use crate::media::{Audio, AudioOptions, AudioStream, RawEncoding, RawFormat};
use crate::model::Task;
use crate::output::events::{EventFile, EventFormat};
use crate::output::record::{FrameLabels, Frames, ModelInfo};
use crate::output::{Destination, JsonWriter, JsonlWriter, NpyWriter, TagRecord};
use crate::pipeline::{LiveTagger, TagOptions, Tagged, Tagger, Windows};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept tag number.wav
  percept tag -m song.safetensors --format audacity -o night.txt night.flac
  percept tag -m song.safetensors --frames-out scores.npy night.flac
  percept tag -m song.safetensors --format csv -o events.csv nights/*.flac
  arecord -f S16_LE -r 16000 | percept tag -m song.safetensors --lookahead 0.5s -

A file that cannot be read is reported and the others go on; the exit code is then 1.";

/// Say what happens when in recordings
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sound files, or videos with sound; - is standard input, tagged as it comes (WAV, or bare samples with --raw-rate)
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Model file, or the name of a built-in model [default: the built-in `digits`]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<OsString>,

    /// How to write the result [default: by the extension of OUT, otherwise json; for - always jsonl, an event a line]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,

    /// File to write to instead of stdout
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Also give every frame's label and scores (json, jsonl)
    #[arg(long)]
    frames: bool,

    /// Write the scores of all frames, [T, K] in f32, to a NumPy file; of one input
    #[arg(long, value_name = "NPY")]
    frames_out: Option<PathBuf>,

    /// Tag in windows of this length that know nothing of each other, as 10s or 500ms, for a model that was trained on such
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    window: Option<f64>,

    /// Time that two windows share; their scores are averaged [default: half a window]
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "window")]
    overlap: Option<f64>,

    /// For - and a bidirectional model: how far it sees ahead; the result is then an approximation
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    lookahead: Option<f64>,

    #[command(flatten)]
    raw: RawArgs,

    /// Take this channel, counted from 1, instead of the mean of all
    #[arg(long, value_name = "N")]
    channel: Option<NonZeroUsize>,

    /// Take this audio track of a video, counted from 1, instead of its default
    #[arg(long, value_name = "N")]
    audio_track: Option<NonZeroUsize>,

    #[command(flatten)]
    jobs: Jobs,
}

/// Standard input without a header.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Bare samples on standard input")]
struct RawArgs {
    /// Samples a second, in Hz
    #[arg(long, value_name = "HZ")]
    raw_rate: Option<u32>,

    /// How a sample is stored
    #[arg(long, value_name = "ENCODING", value_enum, default_value = "s16le", requires = "raw_rate")]
    raw_encoding: RawEncoding,

    /// Channels, interleaved
    #[arg(long, value_name = "N", default_value = "1", requires = "raw_rate")]
    raw_channels: NonZeroUsize,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One object for one input, an array for several
    Json,
    /// One object a line
    Jsonl,
    /// One row an event, for spreadsheets
    Csv,
    /// filename, onset, offset, event_label: what `percept evaluate --estimated` reads
    Dcase,
    /// Audacity's label track; of one input
    Audacity,
    /// Raven's selection table; of one input
    Raven,
    /// NIST's rich transcription time marks
    Rttm,
    /// Praat's TextGrid; of one input
    Textgrid,
    /// Captions for a web page; of one input
    Webvtt,
}

impl Format {
    fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Dcase),
            "rttm" => Some(Self::Rttm),
            "textgrid" => Some(Self::Textgrid),
            "vtt" => Some(Self::Webvtt),
            _ => None,
        }
    }

    /// `None` for JSON.
    fn events(self) -> Option<EventFormat> {
        match self {
            Self::Json | Self::Jsonl => None,
            Self::Csv => Some(EventFormat::Csv),
            Self::Dcase => Some(EventFormat::Dcase),
            Self::Audacity => Some(EventFormat::Audacity),
            Self::Raven => Some(EventFormat::Raven),
            Self::Rttm => Some(EventFormat::Rttm),
            Self::Textgrid => Some(EventFormat::Textgrid),
            Self::Webvtt => Some(EventFormat::Webvtt),
        }
    }
}

/// A length of time in seconds: `2`, `2s`, `500ms`.
fn seconds(text: &str) -> std::result::Result<f64, String> {
    let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e-3),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value * scale),
        _ => Err("a time from 0 to a day is due, such as 10s or 500ms".to_string()),
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    let out = args.output.as_deref();
    let model_file = args.model.as_ref().map(Path::new);
    let sources = || args.inputs.iter().map(PathBuf::as_path).chain(model_file);
    refuse_overwriting(out, sources())?;
    refuse_overwriting(args.frames_out.as_deref(), sources())?;
    let is_live = args.inputs.iter().any(|input| input.as_os_str() == "-");
    let format = args.format.or_else(|| out.and_then(Format::from_path));
    check(&args, is_live, format.unwrap_or(Format::Json))?;
    let tagger = Tagger::new(model_choice::load(args.model.as_deref(), Task::Tag)?)?;
    let audio = AudioOptions {
        channel: args.channel.map(|n| n.get() - 1),
        audio_track: args.audio_track.map(|n| n.get() - 1),
        ..AudioOptions::default()
    };
    if is_live {
        return live(&args, &tagger, &audio);
    }
    let options = TagOptions { windows: windows(&args, &tagger)? };
    let mut writer = Writer::new(format.unwrap_or(Format::Json), &tagger, Destination::new(out)?, &args)
        .map_err(|error| Error::io(&error, out.unwrap_or(Path::new("standard output"))))?;
    let mut scores = FrameScores::new(&args, &tagger)?;
    let mut failed = 0;
    let with_frames = args.frames;
    if let Some(npy) = &mut scores.npy {
        // One input: its scores go to the file as they come.
        let path = &args.inputs[0];
        let mut keep = |piece: &[f32]| written(npy.write(piece), args.frames_out.as_deref());
        let result = one_input(path, || tagger.tag_file(path, &audio, &options, &mut keep));
        finish_one(&mut writer, &tagger, path, result.map(|tagged| (tagged, vec![])), &mut failed, out)?;
        if failed == 0 {
            scores.commit(args.frames_out.as_deref())?;
        }
    } else {
        let tag = |path: &Path| {
            one_input(path, || {
                let mut scores = Vec::new();
                let mut keep = |piece: &[f32]| {
                    if with_frames {
                        scores.extend_from_slice(piece);
                    }
                    Ok(())
                };
                let tagged = tagger.tag_file(path, &audio, &options, &mut keep)?;
                Ok((tagged, scores))
            })
        };
        in_order(&args.inputs, args.jobs.threads(args.inputs.len()), tag, |path, result| {
            finish_one(&mut writer, &tagger, path, result, &mut failed, out)
        })?;
    }
    written(writer.finish(), out)?.commit()?;
    Ok(exit_code(failed))
}

/// What cannot go together.
fn check(args: &Args, is_live: bool, format: Format) -> Result<()> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
    let several = args.inputs.len() > 1;
    if is_live && several {
        return wrong("standard input (-) is tagged alone; leave out the other inputs");
    }
    if is_live && (args.frames || args.frames_out.is_some() || args.window.is_some() || args.output.is_some())
    {
        return wrong(
            "standard input (-) gives events as they close, an object a line on stdout: --frames, --frames-out, \
                      --window and -o are for files",
        );
    }
    if is_live && args.format.is_some_and(|format| format != Format::Jsonl) {
        return wrong("standard input (-) gives an event a line: --format jsonl");
    }
    if !is_live && (args.lookahead.is_some() || args.raw.raw_rate.is_some()) {
        return wrong("--lookahead and --raw-rate are for standard input (-); a file is read whole");
    }
    if several && args.frames_out.is_some() {
        return wrong("--frames-out is for one input; tag them one by one");
    }
    if several && format.events().is_some_and(|format| !format.takes_several()) {
        return wrong(
            "this format holds one recording; tag them one by one, or choose csv, dcase, rttm, json or jsonl",
        );
    }
    if args.frames && format.events().is_some() {
        return wrong("--frames goes with json and jsonl; for other formats use --frames-out");
    }
    Ok(())
}

fn windows(args: &Args, tagger: &Tagger) -> Result<Option<Windows>> {
    let Some(window) = args.window else { return Ok(None) };
    let length = tagger.clock().frames(window);
    let overlap = args.overlap.map_or(length / 2, |overlap| tagger.clock().frames(overlap));
    if length == 0 || overlap >= length {
        let message = format!(
            "a window of {length} frames with an overlap of {overlap}: the overlap must be shorter than the window"
        );
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(Some(Windows { length, overlap }))
}

fn finish_one(
    writer: &mut Writer,
    tagger: &Tagger,
    path: &Path,
    result: Result<(Tagged, Vec<f32>)>,
    failed: &mut usize,
    out: Option<&Path>,
) -> Result<()> {
    match result {
        Ok((tagged, scores)) => written(writer.good(tagger, path, tagged, &scores), out),
        Err(error) => {
            *failed += 1;
            report(&error);
            written(writer.bad(path, &error), out)
        }
    }
}

struct Writer {
    model: ModelInfo,
    with_frames: bool,
    kind: Kind,
}

enum Kind {
    Json(JsonWriter<Destination>),
    Jsonl(JsonlWriter<Destination>),
    Events(EventFormat, Destination),
}

impl Writer {
    fn new(format: Format, tagger: &Tagger, mut out: Destination, args: &Args) -> io::Result<Self> {
        let kind = match (format, format.events()) {
            (_, Some(format)) => {
                format.begin(&mut out)?;
                Kind::Events(format, out)
            }
            (Format::Jsonl, None) => Kind::Jsonl(JsonlWriter::new(out)),
            (_, None) => Kind::Json(JsonWriter::new(out, args.inputs.len() > 1)),
        };
        Ok(Self { model: ModelInfo::new(tagger.model()), with_frames: args.frames, kind })
    }

    fn good(&mut self, tagger: &Tagger, path: &Path, tagged: Tagged, scores: &[f32]) -> io::Result<()> {
        let frames = self.with_frames.then(|| frames(tagger, &tagged, scores));
        match &mut self.kind {
            Kind::Events(format, out) => {
                let Audio { num_samples, sample_rate, warnings, .. } = &tagged.audio;
                for warning in warnings {
                    say(format_args!("warning: {}: {warning}", path.display()));
                }
                let labels: Vec<String> = found_labels(tagger);
                let file = EventFile {
                    path,
                    duration: *num_samples as f64 / f64::from(*sample_rate),
                    sample_rate: *sample_rate,
                    labels: &labels,
                    events: &tagged.events,
                    clock: tagger.clock(),
                };
                format.write(out, &file)?;
                out.flush()
            }
            Kind::Json(writer) => {
                writer.write(&TagRecord::ok(&self.model, path, tagged.audio, tagged.events, frames))
            }
            Kind::Jsonl(writer) => {
                writer.write(&TagRecord::ok(&self.model, path, tagged.audio, tagged.events, frames))
            }
        }
    }

    fn bad(&mut self, path: &Path, error: &Error) -> io::Result<()> {
        match &mut self.kind {
            Kind::Events(..) => Ok(()),
            Kind::Json(writer) => writer.write(&TagRecord::error(&self.model, path, error)),
            Kind::Jsonl(writer) => writer.write(&TagRecord::error(&self.model, path, error)),
        }
    }

    fn finish(self) -> io::Result<Destination> {
        match self.kind {
            Kind::Events(_, out) => Ok(out),
            Kind::Json(writer) => writer.finish(),
            Kind::Jsonl(writer) => writer.finish(),
        }
    }
}

/// The labels that events may have.
fn found_labels(tagger: &Tagger) -> Vec<String> {
    let background = match tagger.rule() {
        Rule::Exclusive(rule) => rule.background,
        _ => None,
    };
    let labels = tagger.model().header().labels.iter().enumerate();
    labels.filter(|(k, _)| Some(*k) != background).map(|(_, label)| label.clone()).collect()
}

/// Every frame's labels, which are those of the events, and its scores.
fn frames(tagger: &Tagger, tagged: &Tagged, scores: &[f32]) -> Frames {
    let labels = &tagger.model().header().labels;
    let number = |event: &ScoredEvent| labels.iter().position(|label| *label == event.label).unwrap_or(0);
    let events = tagged.events.iter().map(|event| FrameEvent {
        label: number(event),
        start: event.frame_start as usize,
        // An onset is in the frame where it is.
        end: event.frame_end.max(event.frame_start + 1) as usize,
        score: event.score,
        peak: event.peak,
    });
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); tagged.num_frames];
    for event in events {
        held[event.start..event.end.min(tagged.num_frames)]
            .iter_mut()
            .for_each(|frame| frame.push(event.label));
    }
    let named = |held: Vec<usize>| match tagger.rule() {
        Rule::Exclusive(rule) => {
            let label = held.first().copied().or(rule.background).unwrap_or(0);
            FrameLabels::One(labels[label].clone())
        }
        _ => FrameLabels::Several(held.into_iter().map(|label| labels[label].clone()).collect()),
    };
    Frames {
        start: 0.0,
        hop: tagger.clock().seconds(1),
        labels: held.into_iter().map(named).collect(),
        scores: scores.chunks_exact(labels.len()).map(<[f32]>::to_vec).collect(),
    }
}

/// The file of `--frames-out`.
struct FrameScores {
    npy: Option<NpyWriter<crate::files::AtomicFile>>,
}

impl FrameScores {
    fn new(args: &Args, tagger: &Tagger) -> Result<Self> {
        let npy = match &args.frames_out {
            None => None,
            Some(path) => {
                let file = crate::files::AtomicFile::create(path)?;
                let width = tagger.model().header().labels.len();
                Some(NpyWriter::new(file, width).map_err(|error| Error::io(&error, path))?)
            }
        };
        Ok(Self { npy })
    }

    fn commit(self, path: Option<&Path>) -> Result<()> {
        match self.npy {
            None => Ok(()),
            Some(npy) => written(npy.finish(), path)?.commit(),
        }
    }
}

/// Standard input as it comes: an event a line as soon as it is over.
fn live(args: &Args, tagger: &Tagger, options: &AudioOptions) -> Result<ExitCode> {
    let features = &tagger.model().header().features;
    let options = AudioOptions { sample_rate: Some(features.sample_rate), ..options.clone() };
    let raw = args.raw.raw_rate.map(|sample_rate| RawFormat {
        sample_rate,
        channels: args.raw.raw_channels.get(),
        encoding: args.raw.raw_encoding,
    });
    let mut live = LiveTagger::new(tagger, args.lookahead)?;
    if let Some(lookahead) = args.lookahead {
        say(format_args!(
            "the model reads in both directions and sees {lookahead} s ahead: an approximation of what it would say of \
             the whole recording"
        ));
    }
    let named = |error: Error| error.with_path("standard input");
    let mut stream = AudioStream::from_pipe(io::stdin(), raw, &options).map_err(named)?;
    let mut out = JsonlWriter::new(io::stdout().lock());
    let mut samples = Vec::new();
    while stream.next_block(&mut samples).map_err(named)? {
        for event in live.push(&samples).map_err(named)? {
            written(out.write(&event), None)?;
        }
    }
    for warning in stream.finish().map_err(named)?.warnings {
        say(format_args!("warning: {warning}"));
    }
    let (events, _) = live.finish().map_err(named)?;
    for event in events {
        written(out.write(&event), None)?;
    }
    drop(written(out.finish(), None)?);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_milliseconds() {
        assert_eq!(seconds("2"), Ok(2.0));
        assert_eq!(seconds("0.5s"), Ok(0.5));
        assert_eq!(seconds("500ms"), Ok(0.5));
        for wrong in ["", "s", "-1", "nan", "1e9", "2m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_extension_of_the_output_names_the_format() {
        assert_eq!(Format::from_path(Path::new("a.TextGrid")), Some(Format::Textgrid));
        assert_eq!(Format::from_path(Path::new("a.txt")), None);
    }
}
