//! What is taken from a file where no model says it.

use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::formats::Track;

use super::reader::open_regular;
use super::sniff::{Container, sniff};
use super::{ffmpeg, packets, vectors, video};
use crate::signal::InputKind;
use crate::{Error, ErrorKind};

/// Endings of files that are taken for videos where their content does not say what they are.
const VIDEO_ENDINGS: [&str; 11] =
    ["mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "mpg", "mpeg", "wmv"];

/// Pictures where a file has them, otherwise sound; a file of vectors is one. What cannot be read is what its ending says:
/// reading it says why it cannot be.
pub fn kind_of(path: &Path) -> InputKind {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    known_kind_of(path).unwrap_or(match VIDEO_ENDINGS.contains(&ending.as_str()) {
        true => InputKind::Video,
        false => InputKind::Audio,
    })
}

/// The same by content alone; `None` for what cannot be read.
pub(crate) fn known_kind_of(path: &Path) -> Option<InputKind> {
    if path.is_dir() || video::is_picture(path) {
        return Some(InputKind::Video);
    }
    if vectors::is_vectors(path) {
        return Some(InputKind::Vectors);
    }
    has_pictures(path).ok().flatten().map(|has| if has { InputKind::Video } else { InputKind::Audio })
}

/// `None` for what is no media.
fn has_pictures(path: &Path) -> crate::Result<Option<bool>> {
    let mut file = open_regular(path)?;
    let (container, start) = sniff(&mut file)?;
    match container {
        Container::Mp4 | Container::Matroska | Container::WebM => {
            match packets::open(file, start, container, path) {
                Ok(format) if packets::all_known(format.as_ref()) || !ffmpeg::is_available() => {
                    let mut tracks = format.tracks().iter();
                    let is_video =
                        |track: &Track| matches!(track.codec_params, Some(CodecParameters::Video(_)));
                    Ok(Some(tracks.any(is_video)))
                }
                _ => ffmpeg_sees_pictures(path),
            }
        }
        Container::Foreign(_) | Container::Unknown if ffmpeg::is_available() => ffmpeg_sees_pictures(path),
        Container::Unknown | Container::Text | Container::NoSound(_) => Ok(None),
        _ => Ok(Some(false)),
    }
}

fn ffmpeg_sees_pictures(path: &Path) -> crate::Result<Option<bool>> {
    let report = ffmpeg::report(path, &Error::new(ErrorKind::UnknownFormat, "unknown"))?;
    Ok(Some(report.streams.iter().any(|stream| stream.is_video())))
}
