//! The picture of `percept tag --preview`: what is seen or heard is collected on the way, and drawn at the end.

use std::path::Path;

use crate::Result;
use crate::features::InputConfig;
use crate::media::Media;
use crate::output::preview::{Preview, Spectrogram, Strip, Top};
use crate::pipeline::{Tagged, Tagger, Watched};

/// What a picture is made of.
pub enum Drawing {
    Pictures(Box<Strip>),
    Frames(Box<Spectrogram>),
}

impl Drawing {
    pub fn new(input: &InputConfig) -> Self {
        match input {
            InputConfig::Video(_) => Self::Pictures(Box::new(Strip::new())),
            _ => Self::Frames(Box::new(Spectrogram::new(input.num_features(), ticks(input)))),
        }
    }

    pub fn take(&mut self, watched: Watched<'_>) {
        match (self, watched) {
            (Self::Pictures(strip), Watched::Picture(seconds, frame)) => strip.push(seconds, frame),
            (Self::Frames(spectrogram), Watched::Frames(frames)) => spectrogram.push(frames),
            _ => {}
        }
    }

    /// Writes the picture of what `tagger` found in `path`.
    pub fn save(&self, png: &Path, path: &Path, tagger: &Tagger, tagged: &Tagged) -> Result<()> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let (start, end) = match &tagged.media {
            Media::Video(video) => {
                (video.time_base.seconds(video.first), video.time_base.seconds(video.end()))
            }
            Media::Audio(_) | Media::Vectors(_) => (0.0, tagged.media.duration()),
        };
        let preview = Preview {
            title: &format!("{name}, tagged by {}", tagger.model().header().name),
            start,
            end,
            top: match self {
                Self::Pictures(strip) => Top::Strip(strip),
                Self::Frames(spectrogram) => Top::Spectrogram(spectrogram),
            },
            events: &tagged.events,
            labels: &tagger.event_labels(),
        };
        preview.save(png)
    }
}

/// Where round frequencies lie among the mel bands, 0 at the bottom to 1.
pub(super) fn ticks(input: &InputConfig) -> Vec<(f32, String)> {
    let InputConfig::Audio(features) = input else { return Vec::new() };
    let hz = [100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0, 32_000.0, 64_000.0, 128_000.0];
    hz.into_iter().filter_map(|hz| Some((features.place_of(hz)?, format!("{hz}")))).collect()
}
