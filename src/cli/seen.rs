//! The picture of `percept features`: frames are sorted into panels on the way, and drawn at the end.

use std::ops::Range;
use std::path::Path;

use super::drawing::ticks;
use crate::Result;
use crate::features::video::{Color, VideoConfig, VideoFeature};
use crate::features::{FeatureConfig, FeatureKind, InputConfig, Normalize};
use crate::output::preview::{Area, Panel, Panels, Spectrogram, Strip, View};
use crate::signal::VideoFrame;
use crate::time::FrameClock;

/// Most numbers at the side of a panel, and the steps from one to the next.
const MOST_TICKS: usize = 12;
const STEPS: [usize; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
/// How much stronger differences are drawn than they are: most are small.
const CONTRAST: f32 = 4.0;

/// What a picture of the frames of one file is made of.
pub struct SeenFrames {
    clock: FrameClock,
    dim: usize,
    num_frames: usize,
    /// Seconds of the first picture.
    start: Option<f64>,
    /// The pictures as they were decoded.
    pictures: Panel,
    parts: Vec<Part>,
}

/// A panel, and what of a frame goes into it.
struct Part {
    range: Range<usize>,
    panel: Panel,
    draws: Draws,
    /// The numbers of the frame before, for [`Draws::Change`].
    before: Vec<f32>,
}

/// How numbers become what is seen.
#[derive(Clone, Copy)]
enum Draws {
    /// Each in its colour, as the network gets it.
    Numbers,
    /// As the planes of a picture `[planes, height, width]`, before they are scaled.
    Pixels { planes: usize, height: usize, width: usize, signed: bool },
    /// Their mean size, before they are scaled.
    Size,
    /// How much they differ from those of the frame before on average, before they are scaled.
    Change,
}

impl SeenFrames {
    /// `raw`: the numbers are shown before they are scaled.
    pub fn new(input: &InputConfig, raw: bool) -> Self {
        let scaled = if raw { Normalize::None } else { input.normalize() };
        let parts = match input {
            InputConfig::Audio(features) => sound(features, scaled),
            InputConfig::Video(video) => pictures(video, scaled),
            InputConfig::Vectors(vectors) => {
                let caption = format!("vectors of {} numbers", vectors.size);
                vec![numbers(0..vectors.size, caption, numbered(vectors.size), unit("", scaled))]
            }
        };
        Self {
            clock: input.clock(),
            dim: input.num_features(),
            num_frames: 0,
            start: None,
            pictures: Panel { caption: "pictures as decoded".into(), view: View::Strip(Strip::new()) },
            parts,
        }
    }

    /// The next picture, shown from `seconds` on.
    pub fn picture(&mut self, seconds: f64, frame: &VideoFrame) {
        self.start.get_or_insert(seconds);
        if let View::Strip(strip) = &mut self.pictures.view {
            strip.push(seconds, frame);
        }
    }

    /// The next frames, `[n, D]`, as they are made and as the network gets them.
    pub fn frames(&mut self, raw: &[f32], seen: &[f32]) {
        for (raw, seen) in raw.chunks_exact(self.dim).zip(seen.chunks_exact(self.dim)) {
            let seconds = self.seconds(self.num_frames);
            for part in &mut self.parts {
                part.push(seconds, &raw[part.range.clone()], &seen[part.range.clone()]);
            }
            self.num_frames += 1;
        }
    }

    pub fn num_frames(&self) -> usize {
        self.num_frames
    }

    pub fn save(&self, png: &Path, title: &str) -> Result<()> {
        let decoded = self.start.map(|_| &self.pictures);
        let panels = decoded.into_iter().chain(self.parts.iter().map(|part| &part.panel)).collect();
        Panels { title, start: self.seconds(0), end: self.seconds(self.num_frames), panels }.save(png)
    }

    /// When a frame begins.
    fn seconds(&self, frame: usize) -> f64 {
        self.start.unwrap_or(0.0) + self.clock.seconds(frame as u64)
    }
}

impl Part {
    fn push(&mut self, seconds: f64, raw: &[f32], seen: &[f32]) {
        match (self.draws, &mut self.panel.view) {
            (Draws::Numbers, View::Spectrogram(spectrogram, _)) => spectrogram.push(seen),
            (Draws::Pixels { planes, height, width, signed }, View::Strip(strip)) => {
                let area = height * width;
                let level = |x: f32| if signed { 0.5 + 0.5 * CONTRAST * x } else { x };
                let pixel = |i: usize| {
                    // A single plane is gray.
                    [0, 1, 2].map(|c| raw[(c % planes) * area + i]).map(|x| (level(x) * 255.0).round() as u8)
                };
                let pixels = (0..area).flat_map(pixel).collect();
                strip.push(
                    seconds,
                    &VideoFrame { width: width as u32, height: height as u32, pixels, ticks: 0 },
                );
            }
            (Draws::Size, View::Area(area)) => area.push(mean(raw.iter().map(|x| x.abs()))),
            (Draws::Change, View::Area(area)) => {
                area.push(mean(raw.iter().zip(&self.before).map(|(x, before)| (x - before).abs())));
                self.before = raw.to_vec();
            }
            _ => {}
        }
    }
}

/// 0 of nothing.
fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f32::max(count, 1.0)
}

/// A panel for the features, and one for each of their deltas.
fn sound(features: &FeatureConfig, scaled: Normalize) -> Vec<Part> {
    let dim = features.num_static_features();
    let highest = features.fmax.unwrap_or(features.sample_rate as f32 / 2.0);
    let (name, raw_unit) = match features.kind {
        FeatureKind::Power if features.power == 1.0 => ("spectrogram (magnitude), Hz", "magnitude"),
        FeatureKind::Power => ("spectrogram (power), Hz", "power"),
        FeatureKind::LogMel => ("mel spectrogram, Hz on the mel scale", "dB"),
        FeatureKind::Mfcc => ("mel-frequency cepstral coefficients, by number", ""),
    };
    let about = match features.kind {
        FeatureKind::Power => format!("{name}: {dim} bins"),
        FeatureKind::LogMel => format!("{name}: {dim} bands, {} to {highest} Hz", features.fmin),
        FeatureKind::Mfcc => {
            format!("{name}: {dim}, of {} mel bands, {} to {highest} Hz", features.n_mels, features.fmin)
        }
    };
    let side = match features.kind {
        FeatureKind::Mfcc => numbered(dim),
        FeatureKind::Power | FeatureKind::LogMel => {
            ticks(&InputConfig::Audio(FeatureConfig { delta: 0, ..features.clone() }))
        }
    };
    let unit = unit(raw_unit, scaled);
    let deltas = ["", "delta: ", "delta-delta: "].into_iter().take(1 + features.delta).enumerate();
    deltas
        .map(|(i, prefix)| {
            let caption = if i == 0 { about.clone() } else { format!("{prefix}{name}") };
            numbers(i * dim..(i + 1) * dim, caption, side.clone(), unit.clone())
        })
        .collect()
}

fn pictures(video: &VideoConfig, scaled: Normalize) -> Vec<Part> {
    let VideoConfig { width, height, .. } = *video;
    let color = match video.color {
        Color::Gray => "gray",
        Color::Rgb => "red, green, blue",
    };
    let mut parts = Vec::new();
    for (feature, range) in video.parts() {
        let planes = |signed| Draws::Pixels { planes: video.color.planes(), height, width, signed };
        let strip = || View::Strip(Strip::pixelated());
        let mut part = |caption: String, view, draws| {
            parts.push(Part {
                range: range.clone(),
                panel: Panel { caption, view },
                draws,
                before: Vec::new(),
            });
        };
        let unit = unit("", scaled);
        match feature {
            VideoFeature::Thumbnail => {
                part(format!("thumbnail: {width} x {height}, {color}"), strip(), planes(false));
                if !video.features.contains(&VideoFeature::Difference) {
                    let caption = "movement: mean size of the difference from the frame before";
                    part(caption.into(), View::Area(Area::new()), Draws::Change);
                }
            }
            VideoFeature::Difference => {
                let caption = format!(
                    "difference from the frame before: {width} x {height}, {color}; gray is none, drawn {CONTRAST} times as strong"
                );
                part(caption, strip(), planes(true));
                part("movement: mean size of the difference".into(), View::Area(Area::new()), Draws::Size);
            }
            VideoFeature::ColorHistogram => {
                let caption =
                    format!("color histogram: {} bins each of red, green, blue", video.histogram_bins);
                let side = ["red", "green", "blue"].into_iter().zip([1.0, 3.0, 5.0]);
                let side = side.map(|(name, sixth)| (sixth / 6.0, name.to_string())).collect();
                parts.push(numbers(range, caption, side, unit));
            }
            VideoFeature::Motion => {
                let caption = format!("motion of blocks of {} pixels", video.motion_block);
                let side = ["right", "down", "rest"].into_iter().zip([1.0, 3.0, 5.0]);
                let side = side.map(|(name, sixth)| (sixth / 6.0, name.to_string())).collect();
                parts.push(numbers(range, caption, side, unit));
            }
            VideoFeature::Hog => {
                let caption = format!("histograms of oriented gradients: {} numbers", range.len());
                let side = numbered(range.len());
                parts.push(numbers(range, caption, side, unit));
            }
            VideoFeature::Embedding => {
                let caption = format!("embedding: {} numbers of a pretrained network", range.len());
                let side = numbered(range.len());
                parts.push(numbers(range, caption, side, unit));
            }
        }
    }
    parts
}

fn numbers(range: Range<usize>, caption: String, side: Vec<(f32, String)>, unit: String) -> Part {
    let view = View::Spectrogram(Spectrogram::new(range.len(), side), unit);
    Part { range, panel: Panel { caption, view }, draws: Draws::Numbers, before: Vec::new() }
}

/// What stands behind the values of colours.
fn unit(raw: &str, scaled: Normalize) -> String {
    match scaled {
        Normalize::None => raw.to_string(),
        Normalize::Training => "standard deviations from the training mean".to_string(),
        Normalize::PerFile => "standard deviations from the file's mean".to_string(),
    }
}

/// Round numbers of `dim`, from 0 at the bottom.
fn numbered(dim: usize) -> Vec<(f32, String)> {
    let step = STEPS.into_iter().find(|step| dim <= step * MOST_TICKS).unwrap_or(10_000);
    (0..dim).step_by(step).map(|i| ((i as f32 + 0.5) / dim as f32, i.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captions(input: &InputConfig, raw: bool) -> Vec<(usize, String)> {
        let parts = SeenFrames::new(input, raw).parts;
        parts.into_iter().map(|part| (part.range.len(), part.panel.caption)).collect()
    }

    #[test]
    fn sound_has_a_panel_for_itself_and_each_delta() {
        let features = FeatureConfig { kind: FeatureKind::Mfcc, delta: 2, ..FeatureConfig::default() };
        let captions = captions(&InputConfig::Audio(features), false);
        assert_eq!(captions.iter().map(|(dim, _)| *dim).collect::<Vec<_>>(), [20; 3]);
        assert!(captions[0].1.contains("20, of 64 mel bands, 0 to 8000 Hz"), "{captions:?}");
        assert!(captions[2].1.starts_with("delta-delta: mel-frequency"), "{captions:?}");
    }

    #[test]
    fn pictures_are_put_together_from_their_planes() {
        let video = VideoConfig {
            width: 4,
            height: 4,
            color: Color::Rgb,
            frame_rate: 10.0,
            ..VideoConfig::default()
        };
        let mut seen = SeenFrames::new(&InputConfig::Video(video), false);
        assert_eq!(seen.parts.len(), 3);
        let frame: Vec<f32> = (0..96).map(|i| if i < 16 { 1.0 } else { 0.0 }).collect();
        let picture = VideoFrame { width: 8, height: 8, pixels: vec![9; 192], ticks: 0 };
        seen.picture(2.0, &picture);
        seen.frames(&frame.repeat(3), &frame.repeat(3));
        assert_eq!((seen.num_frames(), seen.seconds(0), seen.seconds(3)), (3, 2.0, 2.3));
        let folder = tempfile::tempdir().unwrap();
        seen.save(&folder.path().join("a.png"), "a").unwrap();
        let image = image::open(folder.path().join("a.png")).unwrap().to_rgb8();
        for colour in [[255, 0, 0], [128, 128, 128], [9, 9, 9]] {
            assert!(image.pixels().any(|pixel| pixel.0 == colour), "{colour:?}");
        }
    }

    #[test]
    fn movement_is_drawn_of_thumbnails_too() {
        assert_eq!((mean([1.0, 2.0].into_iter()), mean(std::iter::empty())), (1.5, 0.0));
        let features = vec![VideoFeature::Thumbnail];
        let video = VideoConfig { width: 4, height: 4, features, frame_rate: 10.0, ..VideoConfig::default() };
        let mut seen = SeenFrames::new(&InputConfig::Video(video), false);
        seen.frames(&[[0.5; 16], [0.75; 16]].concat(), &[0.0; 32]);
        assert_eq!(seen.parts[1].before, [0.75; 16]);
        assert!(seen.parts[1].panel.caption.starts_with("movement"));
    }

    #[test]
    fn numbers_at_the_side_are_round_and_few() {
        let written = |dim| numbered(dim).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(written(3), ["0", "1", "2"]);
        assert_eq!(written(20), ["0", "2", "4", "6", "8", "10", "12", "14", "16", "18"]);
        assert!(written(65_536).len() <= MOST_TICKS);
        assert!(written(0).is_empty());
    }
}
