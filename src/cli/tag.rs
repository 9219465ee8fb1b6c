//! `percept tag`: recordings in, what happens when out.

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::drawing::Drawing;
use super::features::beginning;
use super::inputs::{Inputs, check_replaced, in_order, refuse_overwriting, say_odd_ending};
use super::media_args::MediaArgs;
use super::model_choice::Models;
use super::terminal::terminal;
use super::work::WindowArgs;
use super::{Jobs, exit_code, one_input, report, say, seconds, written};
use crate::decide::Rule;
use crate::files::AtomicFile;
use crate::media::{AudioOptions, AudioStream, Media, MediaOptions, RawEncoding, RawFormat};
use crate::model::Task;
use crate::output::events::{EventFile, EventFormat};
use crate::output::features::FeaturesFormat;
use crate::output::record::{FrameLabels, FrameTimes, Frames, ModelInfo};
use crate::output::{Destination, JsonWriter, JsonlWriter, NpyWriter, TagRecord, TextWriter};
use crate::pipeline::{LiveTagger, TagOptions, Tagged, Tagger, Watched};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept tag number.wav
  percept tag --format text number.wav                bars and a timeline on a terminal
  percept tag -m song.safetensors --format audacity -o night.txt night.flac
  percept tag -m song.safetensors --frames-out scores.npy night.flac
  percept tag -m song.safetensors --format csv -o events.csv nights/*.flac
  arecord -f S16_LE -r 16000 | percept tag -m song.safetensors --lookahead 0.5s -

A file that cannot be read is reported and the others go on; the exit code is then 1.";

/// Say what happens when in recordings
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sound files, videos, directories of pictures; other directories are gone through. - is standard input, tagged as it comes (WAV, or bare samples with --raw-rate)
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Model file, or the name of a built-in model [default: the built-in one for what the input is]
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

    /// Also draw the answer: thumbnails or a spectrogram over the labels, as a PNG; of one input
    #[arg(long, value_name = "PNG")]
    preview: Option<PathBuf>,

    #[command(flatten)]
    windows: WindowArgs,

    /// For - and a bidirectional model: how far it sees ahead; the result is then an approximation
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    lookahead: Option<f64>,

    #[command(flatten)]
    raw: RawArgs,

    #[command(flatten)]
    media: MediaArgs,

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
    /// One row an event, for spreadsheets; a text that one would run as a formula begins with '
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
    /// For people
    Text,
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

    /// `None` for JSON and text.
    fn events(self) -> Option<EventFormat> {
        match self {
            Self::Json | Self::Jsonl | Self::Text => None,
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

pub fn run(args: Args) -> Result<ExitCode> {
    let is_live = args.inputs.iter().any(|input| input.as_os_str() == "-");
    let out = args.output.as_deref();
    let format = args.format.or_else(|| out.and_then(Format::from_path));
    let inputs =
        if is_live { Inputs { files: args.inputs.clone(), walked: false } } else { Inputs::of(&args.inputs) };
    check(&args, &inputs, is_live, format.unwrap_or(Format::Json))?;
    let model_file = args.model.as_ref().map(Path::new);
    for written in [out, args.frames_out.as_deref(), args.preview.as_deref()] {
        refuse_overwriting(written, inputs.files.iter().map(PathBuf::as_path).chain(model_file))?;
    }
    for (path, format) in [(&args.frames_out, FeaturesFormat::Npy), (&args.preview, FeaturesFormat::Png)] {
        if let Some(path) = path {
            check_replaced(path, beginning(format))?;
            // What is wrong with its name is told before any work.
            drop(AtomicFile::create(path)?);
        }
    }
    let stream = if is_live { Some(InputKind::Audio) } else { args.media.stream };
    let models = Models::new(args.model.as_deref(), Task::Tag, stream, Tagger::new)?;
    let media = args.media.options();
    if is_live {
        return live(&args, &*models.usual()?, &media.audio);
    }
    let mut writer =
        Writer::new(format.unwrap_or(Format::Json), inputs.several(), Destination::new(out)?, &args)
            .map_err(|error| Error::io(&error, out.unwrap_or(Path::new("standard output"))))?;
    if let (None, Some(out)) = (format, out) {
        say_odd_ending(out, "JSON");
    }
    let mut failed = 0;
    let tag = |path: &Path| one_input(path, || tag_one(&args, models.of(path)?, path, &media));
    in_order(&inputs.files, args.jobs.threads(inputs.files.len()), tag, |path, result| {
        finish_one(&mut writer, &models, path, result, &mut failed, out)
    })?;
    written(writer.finish(), out)?.commit()?;
    Ok(exit_code(failed))
}

/// What was found in one file, by which model; the scores only where they are asked for.
struct Answer {
    tagger: Arc<Tagger>,
    tagged: Tagged,
    /// `[T, K]`
    scores: Vec<f32>,
    /// What became of the files beside it: that they cannot be written is no fault of the input.
    beside: Result<()>,
}

/// One file. If it is the only one, its scores may go to a file of their own as they come, and it may be drawn.
fn tag_one(args: &Args, tagger: Arc<Tagger>, path: &Path, media: &MediaOptions) -> Result<Answer> {
    let options = TagOptions { windows: args.windows.of(&tagger)? };
    let mut npy = FrameScores::new(args.frames_out.as_deref(), &tagger)?;
    let mut drawing = args.preview.as_ref().map(|_| Drawing::new(&tagger.model().header().input));
    let mut scores = Vec::new();
    let mut beside = Ok(());
    let mut keep = |piece: &[f32]| {
        if args.frames {
            scores.extend_from_slice(piece);
        }
        if beside.is_ok() {
            beside = npy.write(piece);
        }
        Ok(())
    };
    let mut watch = |watched: Watched<'_>| {
        if let Some(drawing) = &mut drawing {
            drawing.take(watched);
        }
    };
    let tagged = tagger.tag_file_watched(path, media, &options, &mut keep, &mut watch)?;
    beside = beside.and_then(|()| npy.commit());
    if let Some((drawing, png)) = drawing.zip(args.preview.as_deref()).filter(|_| beside.is_ok()) {
        beside = drawing.save(png, path, &tagger, &tagged);
    }
    Ok(Answer { tagger, tagged, scores, beside })
}

/// What cannot go together.
fn check(args: &Args, inputs: &Inputs, is_live: bool, format: Format) -> Result<()> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
    let several = inputs.files.len() > 1;
    if is_live && several {
        return wrong("standard input (-) is tagged alone; leave out the other inputs");
    }
    if is_live
        && (args.frames
            || args.frames_out.is_some()
            || args.preview.is_some()
            || args.windows.is_given()
            || args.output.is_some())
    {
        return wrong(
            "standard input (-) gives events as they close, an object a line on stdout: --frames, --frames-out, \
             --preview, --window and -o are for files",
        );
    }
    if is_live && args.format.is_some_and(|format| format != Format::Jsonl) {
        return wrong("standard input (-) gives an event a line: --format jsonl");
    }
    if !is_live && (args.lookahead.is_some() || args.raw.raw_rate.is_some()) {
        return wrong("--lookahead and --raw-rate are for standard input (-); a file is read whole");
    }
    let written = [&args.output, &args.frames_out, &args.preview].map(|path| path.as_deref());
    let twice = (0..3).any(|i| written[i].is_some() && written[i + 1..].contains(&written[i]));
    if twice {
        return wrong("-o, --frames-out and --preview need files of their own");
    }
    if several && (args.frames_out.is_some() || args.preview.is_some()) {
        return wrong("--frames-out and --preview are for one input; tag them one by one");
    }
    if several && format.events().is_some_and(|format| !format.takes_several()) {
        return wrong(
            "this format holds one recording; tag them one by one, or choose csv, dcase, rttm, text, json or jsonl",
        );
    }
    args.windows.check()?;
    if args.frames && !matches!(format, Format::Json | Format::Jsonl) {
        return wrong("--frames goes with json and jsonl; for other formats use --frames-out");
    }
    Ok(())
}

fn finish_one(
    writer: &mut Writer,
    models: &Models<Tagger>,
    path: &Path,
    result: Result<Answer>,
    failed: &mut usize,
    out: Option<&Path>,
) -> Result<()> {
    match result {
        Ok(Answer { beside: Err(error), .. }) => Err(error),
        Ok(answer) => written(writer.good(path, answer), out),
        Err(error) => {
            *failed += 1;
            report(&error);
            let tagger = models.of(path).or_else(|_| models.usual())?;
            written(writer.bad(&ModelInfo::new(tagger.model()), path, &error), out)
        }
    }
}

struct Writer {
    with_frames: bool,
    kind: Kind,
}

enum Kind {
    Json(JsonWriter<Destination>),
    Jsonl(JsonlWriter<Destination>),
    Text(TextWriter<Destination>),
    Events(EventFormat, Destination),
}

impl Writer {
    fn new(format: Format, several: bool, out: Destination, args: &Args) -> io::Result<Self> {
        let mut out = if format == Format::Text { out } else { out.harmless() };
        let kind = match (format, format.events()) {
            (_, Some(format)) => {
                format.begin(&mut out)?;
                Kind::Events(format, out)
            }
            (Format::Text, None) => Kind::Text(TextWriter::new(out, terminal(args.output.as_deref()))),
            (Format::Jsonl, None) => Kind::Jsonl(JsonlWriter::new(out)),
            (_, None) => Kind::Json(JsonWriter::new(out, several)),
        };
        Ok(Self { with_frames: args.frames, kind })
    }

    fn good(&mut self, path: &Path, answer: Answer) -> io::Result<()> {
        let Answer { tagger, tagged, scores, .. } = answer;
        let frames = self.with_frames.then(|| frames(&tagger, &tagged, &scores));
        if let Kind::Events(format, out) = &mut self.kind {
            for warning in tagged.media.warnings() {
                say(format_args!("warning: {}: {warning}", path.display()));
            }
            let file = EventFile {
                path,
                duration: end_of(&tagged.media),
                sample_rate: match &tagged.media {
                    Media::Audio(audio) => audio.sample_rate,
                    Media::Video(_) | Media::Vectors(_) => 0,
                },
                labels: &tagger.event_labels(),
                events: &tagged.events,
                clock: tagger.clock(),
            };
            format.write(out, &file)?;
            return out.flush();
        }
        let model = ModelInfo::new(tagger.model());
        self.record(&TagRecord::ok(&model, path, &tagged.media, tagged.events, frames))
    }

    fn bad(&mut self, model: &ModelInfo, path: &Path, error: &Error) -> io::Result<()> {
        self.record(&TagRecord::error(model, path, error))
    }

    /// Formats of events have no place for it.
    fn record(&mut self, record: &TagRecord) -> io::Result<()> {
        match &mut self.kind {
            Kind::Events(..) => Ok(()),
            Kind::Json(writer) => writer.write(record),
            Kind::Jsonl(writer) => writer.write(record),
            Kind::Text(writer) => writer.write_events(record),
        }
    }

    fn finish(self) -> io::Result<Destination> {
        match self.kind {
            Kind::Events(_, out) => Ok(out),
            Kind::Json(writer) => writer.finish(),
            Kind::Jsonl(writer) => writer.finish(),
            Kind::Text(writer) => writer.finish(),
        }
    }
}

/// When a file is over, in seconds of its own time.
fn end_of(media: &Media) -> f64 {
    match media {
        Media::Video(video) => video.time_base.seconds(video.end()),
        Media::Audio(_) | Media::Vectors(_) => media.duration(),
    }
}

/// Every frame's labels, which are those of the events, and its scores.
pub(super) fn frames(tagger: &Tagger, tagged: &Tagged, scores: &[f32]) -> Frames {
    let labels = &tagger.model().header().labels;
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); tagged.num_frames];
    for event in &tagged.frame_events {
        // An onset is in the frame where it is.
        let end = event.end.max(event.start + 1).min(tagged.num_frames);
        held[event.start..end].iter_mut().for_each(|frame| frame.push(event.label));
    }
    let named = |held: Vec<usize>| match tagger.rule() {
        Rule::Exclusive(rule) => {
            let label = held.first().copied().or(rule.background).unwrap_or(0);
            FrameLabels::One(labels[label].clone())
        }
        _ => FrameLabels::Several(held.into_iter().map(|label| labels[label].clone()).collect()),
    };
    Frames {
        times: frame_times(tagger, &tagged.media),
        labels: held.into_iter().map(named).collect(),
        scores: scores.chunks_exact(labels.len()).map(<[f32]>::to_vec).collect(),
    }
}

fn frame_times(tagger: &Tagger, media: &Media) -> FrameTimes {
    let Media::Video(video) = media else {
        return FrameTimes::Steady { start: 0.0, hop: tagger.clock().seconds(1) };
    };
    FrameTimes::Listed {
        index: video.seen.iter().map(|seen| seen.index).collect(),
        pts: video.seen.iter().map(|seen| video.time_base.seconds(seen.ticks)).collect(),
        ticks: video.seen.iter().map(|seen| seen.ticks).collect(),
        time_base: [video.time_base.numerator, video.time_base.denominator],
        files: video.files.iter().map(ToString::to_string).collect(),
    }
}

/// The file of `--frames-out`, if it is asked for.
struct FrameScores<'a> {
    file: Option<(&'a Path, NpyWriter<AtomicFile>)>,
}

impl<'a> FrameScores<'a> {
    fn new(path: Option<&'a Path>, tagger: &Tagger) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None }) };
        let file = AtomicFile::create(path)?;
        let width = tagger.model().header().labels.len();
        let npy = NpyWriter::new(file, width).map_err(|error| Error::io(&error, path))?;
        Ok(Self { file: Some((path, npy)) })
    }

    fn write(&mut self, scores: &[f32]) -> Result<()> {
        match &mut self.file {
            None => Ok(()),
            Some((path, npy)) => written(npy.write(scores), Some(path)),
        }
    }

    fn commit(self) -> Result<()> {
        match self.file {
            None => Ok(()),
            Some((path, npy)) => written(npy.finish(), Some(path))?.commit(),
        }
    }
}

/// Standard input as it comes: an event a line as soon as it is over.
fn live(args: &Args, tagger: &Tagger, options: &AudioOptions) -> Result<ExitCode> {
    let raw = args.raw.raw_rate.map(|sample_rate| RawFormat {
        sample_rate,
        channels: args.raw.raw_channels.get(),
        encoding: args.raw.raw_encoding,
    });
    let mut live = LiveTagger::new(tagger, args.lookahead)?;
    let options = AudioOptions { sample_rate: Some(live.sample_rate()), ..options.clone() };
    if let Some(lookahead) = args.lookahead {
        say(format_args!(
            "the model reads in both directions and sees {lookahead} s ahead: an approximation of what it would say of \
             the whole recording"
        ));
    }
    let named = |error: Error| error.with_path("standard input");
    let mut stream = AudioStream::from_pipe(io::stdin(), raw, &options).map_err(named)?;
    let mut out = JsonlWriter::new(Destination::new(None)?.harmless());
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
    fn the_extension_of_the_output_names_the_format() {
        assert_eq!(Format::from_path(Path::new("a.TextGrid")), Some(Format::Textgrid));
        assert_eq!(Format::from_path(Path::new("a.txt")), None);
    }
}
