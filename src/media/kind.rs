//! What is taken from a file where no model says it.

use std::path::Path;

use symphonia::core::codecs::CodecParameters;

use super::reader::open_regular;
use super::sniff::{Container, sniff};
use super::{ffmpeg, packets, vectors, video};
use crate::signal::InputKind;
use crate::{Error, ErrorKind};

/// Pictures where a file has them, otherwise sound; a file of vectors is one. What cannot be read counts as sound: reading
/// it says why.
pub fn kind_of(path: &Path) -> InputKind {
    if path.is_dir() || video::is_picture(path) {
        InputKind::Video
    } else if vectors::is_vectors(path) {
        InputKind::Vectors
    } else if has_pictures(path).unwrap_or(false) {
        InputKind::Video
    } else {
        InputKind::Audio
    }
}

fn has_pictures(path: &Path) -> crate::Result<bool> {
    let mut file = open_regular(path)?;
    let (container, start) = sniff(&mut file)?;
    match container {
        Container::Mp4 | Container::Matroska | Container::WebM => {
            match packets::open(file, start, container, path) {
                Ok(format) if packets::all_known(format.as_ref()) || !ffmpeg::is_available() => {
                    let mut tracks = format.tracks().iter();
                    Ok(tracks.any(|track| matches!(track.codec_params, Some(CodecParameters::Video(_)))))
                }
                _ => ffmpeg_sees_pictures(path),
            }
        }
        Container::Foreign(_) | Container::Unknown if ffmpeg::is_available() => ffmpeg_sees_pictures(path),
        _ => Ok(false),
    }
}

fn ffmpeg_sees_pictures(path: &Path) -> crate::Result<bool> {
    let report = ffmpeg::report(path, &Error::new(ErrorKind::UnknownFormat, "unknown"))?;
    Ok(report.streams.iter().any(|stream| stream.is_video()))
}
