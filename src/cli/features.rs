//! `percept features`: what a network is given of a file, as a picture, as numbers or to listen to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::inputs::{check_replaced, refuse_overwriting};
use super::media_args::MediaArgs;
use super::model_choice::{load, takes_another};
use super::seen::SeenFrames;
use super::{exit_code, one_input, refuse_stdin, report, written};
use crate::features::{Features, InputConfig, MAX_VALUES, Normalize};
use crate::files::AtomicFile;
use crate::media::{self, AudioOptions, Media, MediaOptions, kind_of, write_wav};
use crate::model::{Model, Task};
use crate::output::features::{Contents, FeaturesFormat, FeaturesRecord, Written};
use crate::output::record::ModelInfo;
use crate::output::{Destination, JsonWriter, NpyWriter};
use crate::pipeline::{Source, Watched};
use crate::signal::{InputKind, Signal};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept features dog.ogg -o dog.png                 the spectrogram that the built-in model sees
  percept features dog.ogg -o dog.wav                 the sound that it is made from
  percept features -m birds.safetensors dawn.flac -o dawn.npy
  percept features -m birds.safetensors --raw dawn.flac -o dawn.npy
  percept features clip.mp4 -o clip.png               its pictures; --stream audio for its sound

A picture shows any length: where a column of pixels stands for several frames it has their maximum.";

/// Show what a network is given of a file: as a picture, as numbers, to listen to
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sound file, video, directory of pictures, or vectors
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// File to write: .png (a picture), .npy (the frames [T, D] in f32) or .wav (the mono sound that they are made from)
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Model file, or the name of a built-in model [default: the built-in one for what FILE is]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<OsString>,

    /// Of a built-in model the one that tags
    #[arg(long)]
    tag: bool,

    /// The numbers before they are scaled by mean and standard deviation
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    media: MediaArgs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    refuse_stdin(std::slice::from_ref(&args.file))?;
    let Some(format) = FeaturesFormat::from_path(&args.output) else {
        let message = "its ending says nothing of what to write; name a .png, .npy or .wav file";
        return Err(Error::new(ErrorKind::Config, message).with_path(&args.output));
    };
    let model_file = args.model.as_ref().map(Path::new);
    refuse_overwriting(Some(&args.output), [args.file.as_path()].into_iter().chain(model_file))?;
    let model = chosen(&args)?;
    check(&args, format, &model)?;
    check_replaced(&args.output, beginning(format))?;
    // What is wrong with its name is told before any work.
    drop(AtomicFile::create(&args.output)?);

    let info = ModelInfo::new(&model);
    let (record, failed) = match one_input(&args.file, || write(&args, format, &model)) {
        Ok((media, written)) => (FeaturesRecord::ok(info, &args.file, &media, written), 0),
        Err(error) => {
            report(&error);
            (FeaturesRecord::error(info, &args.file, &error), 1)
        }
    };
    let mut out = JsonWriter::new(Destination::new(None)?.harmless(), false);
    written(out.write(&record), None)?;
    drop(written(out.finish(), None)?);
    Ok(exit_code(failed))
}

/// Whether a file that begins so is of this format.
pub fn beginning(format: FeaturesFormat) -> fn(&[u8]) -> bool {
    match format {
        FeaturesFormat::Png => |head| head.starts_with(b"\x89PNG"),
        FeaturesFormat::Npy => |head| head.starts_with(b"\x93NUMPY"),
        FeaturesFormat::Wav => |head| head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE"),
    }
}

fn chosen(args: &Args) -> Result<Model> {
    let stream = args.media.stream;
    let task = if args.tag { Task::Tag } else { Task::Classify };
    let model = load(args.model.as_deref(), task, stream.unwrap_or_else(|| kind_of(&args.file)))?;
    let kind = model.header().input.kind();
    match stream.is_some_and(|stream| stream != kind) {
        true => Err(takes_another(&model.header().name, kind)),
        false => Ok(model),
    }
}

/// What cannot go together.
fn check(args: &Args, format: FeaturesFormat, model: &Model) -> Result<()> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
    let (name, kind) = (&model.header().name, model.header().input.kind());
    if format == FeaturesFormat::Wav && kind != InputKind::Audio {
        return wrong(format!(
            "a .wav file holds sound, and `{name}` takes {}; name a .png or .npy file",
            kind.name()
        ));
    }
    if format == FeaturesFormat::Wav && args.raw {
        return wrong("--raw is for numbers and pictures; a .wav file holds the sound itself".into());
    }
    Ok(())
}

fn write(args: &Args, format: FeaturesFormat, model: &Model) -> Result<(Media, Written)> {
    let options = args.media.options();
    match (format, &model.header().input) {
        (FeaturesFormat::Wav, InputConfig::Audio(features)) => {
            write_sound(&args.file, &args.output, features.sample_rate, &options.audio)
        }
        (FeaturesFormat::Png, _) => write_picture(args, model, &options),
        (FeaturesFormat::Npy | FeaturesFormat::Wav, _) => write_numbers(args, model, &options),
    }
}

/// The sound as features are made from it.
fn write_sound(
    path: &Path,
    out: &Path,
    sample_rate: u32,
    options: &AudioOptions,
) -> Result<(Media, Written)> {
    let options = AudioOptions { sample_rate: Some(sample_rate), ..options.clone() };
    let mut audio = media::load_audio(path, &options)?;
    write_wav(out, &audio.signal)?;
    let written = Written {
        path: out.to_string_lossy().into_owned(),
        format: FeaturesFormat::Wav,
        kind: Contents::Signal,
        frames: None,
        dim: None,
        normalize: None,
        hop: None,
        hop_length: None,
        sample_rate: Some(sample_rate),
        num_samples: Some(audio.signal.samples.len()),
    };
    audio.signal = Signal { samples: Vec::new(), sample_rate };
    Ok((Media::Audio(audio), written))
}

fn write_numbers(args: &Args, model: &Model, options: &MediaOptions) -> Result<(Media, Written)> {
    let out = &args.output;
    let npy = NpyWriter::new(AtomicFile::create(out)?, model.header().input.num_features());
    let mut npy = npy.map_err(|error| Error::io(&error, out))?;
    let mut frames = 0;
    let media = read(&args.file, options, model, args.raw, &mut |_| {}, &mut |piece| {
        frames += piece.seen.frames;
        npy.write(&piece.seen.data).map_err(|error| Error::io(&error, out))
    })?;
    npy.finish().map_err(|error| Error::io(&error, out))?.commit()?;
    Ok((media, frames_written(args, FeaturesFormat::Npy, model, frames)))
}

fn write_picture(args: &Args, model: &Model, options: &MediaOptions) -> Result<(Media, Written)> {
    let seen = std::cell::RefCell::new(SeenFrames::new(&model.header().input, args.raw));
    let mut watch = |watched: Watched<'_>| {
        if let Watched::Picture(seconds, frame) = watched {
            seen.borrow_mut().picture(seconds, frame);
        }
    };
    let media = read(&args.file, options, model, args.raw, &mut watch, &mut |piece| {
        seen.borrow_mut().frames(&piece.raw.data, &piece.seen.data);
        Ok(())
    })?;
    let seen = seen.into_inner();
    let name = args.file.file_name().unwrap_or(args.file.as_os_str()).to_string_lossy();
    seen.save(&args.output, &format!("{name}, as the model {} sees it", model.header().name))?;
    Ok((media, frames_written(args, FeaturesFormat::Png, model, seen.num_frames())))
}

fn frames_written(args: &Args, format: FeaturesFormat, model: &Model, frames: usize) -> Written {
    let input = &model.header().input;
    let (kind, audio) = match input {
        InputConfig::Audio(features) => (features.kind.into(), Some(features)),
        InputConfig::Video(_) => (Contents::Video, None),
        InputConfig::Vectors(_) => (Contents::Vectors, None),
    };
    Written {
        path: args.output.to_string_lossy().into_owned(),
        format,
        kind,
        frames: Some(frames),
        dim: Some(input.num_features()),
        normalize: Some(if args.raw { Normalize::None } else { input.normalize() }),
        hop: Some(input.clock().seconds(1)),
        hop_length: audio.map(|features| features.hop_length),
        sample_rate: audio.map(|features| features.sample_rate),
        num_samples: None,
    }
}

/// Frames as they are made, and as the network gets them.
struct Piece {
    raw: Features,
    /// The same as `raw` where they are asked for.
    seen: Features,
}

/// Reads a whole file piece by piece; all at once where its own statistics scale it.
///
/// # Errors
/// Those of the file and of `take`; [`ErrorKind::Limit`] where more than [`MAX_VALUES`] numbers would have to be kept.
fn read(
    path: &Path,
    options: &MediaOptions,
    model: &Model,
    raw: bool,
    watch: &mut dyn FnMut(Watched<'_>),
    take: &mut dyn FnMut(Piece) -> Result<()>,
) -> Result<Media> {
    let input = &model.header().input;
    let dim = input.num_features();
    let mut give = |data: Vec<f32>| {
        let raw_frames = Features { frames: data.len() / dim, data, dim };
        let mut seen = raw_frames.clone();
        if !raw {
            model.normalize(&mut seen);
        }
        take(Piece { raw: raw_frames, seen })
    };
    let at_once = !raw && input.normalize() == Normalize::PerFile;
    let mut whole = Vec::new();
    let mut keep = |frames: Vec<f32>| match at_once {
        false => give(frames),
        true if whole.len() + frames.len() > MAX_VALUES => {
            let message = format!(
                "`{}` scales a recording by its own mean, and this one has more than the {MAX_VALUES} numbers that are kept \
                 for that; cut it into parts, or ask for --raw",
                model.header().name
            );
            Err(Error::new(ErrorKind::Limit, message))
        }
        true => {
            whole.extend(frames);
            Ok(())
        }
    };
    let media = Source::new(input, model.embedding())?.read(path, options, watch, &mut keep)?;
    if at_once {
        give(whole)?;
    }
    Ok(media)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_what_is_written() {
        let format = |name: &str| FeaturesFormat::from_path(Path::new(name));
        assert_eq!(
            [format("a.PNG"), format("a.npy")],
            [Some(FeaturesFormat::Png), Some(FeaturesFormat::Npy)]
        );
        assert_eq!([format("a.jpg"), format("png"), format("a.")], [None; 3]);
    }
}
