//! Labelled clips in memory, and the frames that the network learns from.

use rand_chacha::ChaCha8Rng;

use super::augment::Background;
use super::augment_video::Exchanges;
use super::dataset::Item;
use super::{Dataset, TrainConfig};
use crate::features::video::{Embedding, Picture};
use crate::features::{Features, InputConfig};
use crate::media::{AudioOptions, MediaOptions, known_kind_of, load_audio, vectors, video};
use crate::model::{Task, frame_shape};
use crate::pipeline::{Source, look_at, read_vector_file};
use crate::signal::{InputKind, Signal};
use crate::{Error, ErrorKind, Result};

/// Memory that one clip may take in training, in bytes.
const MAX_CLIP_BYTES: usize = 4 << 30;

/// A labelled clip in memory: a recording, or a piece of one.
pub(super) struct Clip {
    pub material: Material,
    /// Its place in the data set.
    pub index: usize,
    /// Where it begins in its recording, in samples of sound or in frames.
    pub start: usize,
    /// Names its random numbers.
    pub id: usize,
}

/// What a clip is made of.
#[derive(Clone)]
pub(super) enum Material {
    Sound(Signal),
    /// As the model looks at them, at its frame rate.
    Pictures(Vec<Picture>),
    /// `[T, D]`
    Vectors(Features),
}

impl Material {
    /// Samples of sound, or frames.
    pub fn len(&self) -> usize {
        match self {
            Self::Sound(signal) => signal.samples.len(),
            Self::Pictures(pictures) => pictures.len(),
            Self::Vectors(vectors) => vectors.frames,
        }
    }

    /// What it takes in memory, in numbers of four bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Sound(signal) => signal.samples.len(),
            Self::Pictures(pictures) => pictures.iter().map(|p| p.pixels.len() / 4 + p.embedding.len()).sum(),
            Self::Vectors(vectors) => vectors.data.len(),
        }
    }

    fn part(&self, start: usize, end: usize) -> Self {
        match self {
            Self::Sound(Signal { samples, sample_rate }) => {
                Self::Sound(Signal { samples: samples[start..end].to_vec(), sample_rate: *sample_rate })
            }
            Self::Pictures(pictures) => Self::Pictures(pictures[start..end].to_vec()),
            Self::Vectors(Features { data, dim, .. }) => Self::Vectors(Features {
                data: data[start * dim..end * dim].to_vec(),
                frames: end - start,
                dim: *dim,
            }),
        }
    }
}

/// A file in memory.
pub(super) struct Loaded {
    pub material: Material,
    /// In seconds.
    pub duration: f64,
    pub warnings: Vec<String>,
}

/// Frames of a clip that may have been changed, and where its times have gone: they were multiplied by `stretch`, then
/// moved by `delay` (in samples, or in frames).
pub(super) struct Frames {
    pub features: Features,
    pub stretch: f64,
    pub delay: f64,
    /// Whether it then runs backwards.
    pub reversed: bool,
    /// What each label has become; `None` for what it was.
    pub becomes: Option<Vec<usize>>,
}

impl Frames {
    /// Of a clip that was not changed.
    pub fn unchanged(features: Features) -> Self {
        Self { features, stretch: 1.0, delay: 0.0, reversed: false, becomes: None }
    }
}

/// Reads clips and makes frames of them.
pub(super) struct ClipMaker<'a> {
    config: &'a TrainConfig,
    input: InputConfig,
    source: Source,
    exchanges: Exchanges,
    /// Sounds that are mixed in.
    background: Option<Background>,
}

impl<'a> ClipMaker<'a> {
    /// For a configuration that leaves nothing open, and the labels of the data.
    pub fn new(config: &'a TrainConfig, labels: &[String], embedding: Option<&Embedding>) -> Result<Self> {
        let input = config.input();
        let source = Source::new(&input, embedding)?;
        let exchanges = Exchanges::new(&config.augment_video, labels)?;
        let flips = config.augment_video.flip || config.augment_video.flip_vertical;
        if config.augment.enabled && flips && input.embedding().is_some() {
            let message = "[augment_video] flip and flip_vertical do not go with an embedding, which is that of the \
                           unchanged picture: turn them off";
            return Err(Error::new(ErrorKind::Config, message));
        }
        if config.augment.enabled && config.augment.time_shift > 0.0 && config.task() == Task::Tag {
            let message =
                "[augment] time_shift rolls clips around, which labels in time cannot follow: set it to 0";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let background = match (&input, &config.augment.noise_folder) {
            (InputConfig::Audio(features), Some(folder)) if config.augment.enabled => {
                Some(Background::load(folder, features.sample_rate)?)
            }
            _ => None,
        };
        Ok(Self { config, input, source, exchanges, background })
    }

    /// What a person should know of the sounds that are mixed in.
    pub fn warnings(&self) -> &[String] {
        self.background.as_ref().map_or(&[], |background| &background.warnings)
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// With its path: those of the file; [`ErrorKind::Empty`] and [`ErrorKind::Limit`] where it is too short or too long to
    /// be learned from.
    pub fn load(&self, item: &Item) -> Result<Loaded> {
        let load = || {
            let loaded = self.read(item)?;
            self.check(&loaded)?;
            Ok(loaded)
        };
        load().map_err(|error: Error| error.with_path(&item.path))
    }

    fn read(&self, item: &Item) -> Result<Loaded> {
        let MediaOptions { video: options, .. } = self.config.data.media();
        match &self.source {
            Source::Audio(extractor) => {
                let sample_rate = Some(extractor.config().sample_rate);
                let audio = load_audio(&item.path, &AudioOptions { sample_rate, ..AudioOptions::default() })?;
                let duration = audio.signal.duration();
                Ok(Loaded { material: Material::Sound(audio.signal), duration, warnings: audio.warnings })
            }
            Source::Video(extractor) => {
                let (mut pictures, mut bytes) = (Vec::new(), 0);
                let mut take = |part: Vec<Picture>| {
                    bytes += part.iter().map(|p| p.pixels.len() + 4 * p.embedding.len()).sum::<usize>();
                    pictures.extend(part);
                    match bytes > MAX_CLIP_BYTES {
                        true => Err(Error::new(
                            ErrorKind::Limit,
                            "is too long to be held in memory; cut it into parts, or use smaller pictures",
                        )),
                        false => Ok(()),
                    }
                };
                let video = look_at(&item.path, &options, extractor, &mut |_, _| {}, &mut take)?;
                let (duration, first) = (video.duration(), video.time_base.seconds(video.first));
                let mut warnings = video.warnings;
                if first != 0.0 && self.config.task() == Task::Tag {
                    warnings
                        .push(format!("its first frame is shown at {first} s: labels in time count from it"));
                }
                Ok(Loaded { material: Material::Pictures(pictures), duration, warnings })
            }
            Source::Vectors(config) => {
                let (file, data) = read_vector_file(&item.path, config)?;
                let vectors = Features { data, frames: file.frames, dim: config.size };
                let duration = file.duration;
                Ok(Loaded { material: Material::Vectors(vectors), duration, warnings: file.warnings })
            }
        }
    }

    fn check(&self, loaded: &Loaded) -> Result<()> {
        let mut length = loaded.material.len();
        if self.config.task() == Task::Tag && self.config.labels.window > 0.0 {
            // The longest piece is longer by half.
            let window = self.window();
            length = length.min(window + window.div_ceil(2));
        }
        let frames = match &self.input {
            InputConfig::Audio(features) => {
                let augment = &self.config.augment;
                let (shortest, longest) = augment.length_range(length, features.sample_rate);
                if features.num_frames(shortest) == 0 {
                    let message = format!(
                        "is too short for one frame: {length} samples; leave it out, or set center = true"
                    );
                    return Err(Error::new(ErrorKind::Empty, message));
                }
                (features.num_frames(longest) as f32 * augment.longest_stretch()).ceil() as usize
            }
            InputConfig::Video(_) if self.config.augment.enabled => self.config.augment_video.longest(length),
            InputConfig::Vectors(_) => {
                (length as f32 * self.config.augment.longest_stretch()).ceil() as usize
            }
            InputConfig::Video(_) => length,
        };
        let most = MAX_CLIP_BYTES / bytes_per_frame(self.config);
        if frames > most {
            let seconds = loaded.duration * length as f64 / loaded.material.len() as f64;
            let message = format!(
                "is too long to be learned from in one piece: {seconds:.0} s, where {:.0} s fit into memory; {}",
                seconds * most as f64 / frames as f64,
                if self.config.task() == Task::Tag { "set a shorter window" } else { "cut it into parts" }
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    /// Pieces of about `window` seconds; a rest of less than half of that stays with the piece before.
    pub fn cut(&self, material: &Material, index: usize, clips: &mut Vec<Clip>) {
        let (total, length) = (material.len(), self.window());
        let pieces = (total + length / 2).checked_div(length).unwrap_or(1).max(1);
        for piece in 0..pieces {
            let start = piece * length;
            let end = if piece + 1 == pieces { total } else { start + length };
            clips.push(Clip { material: material.part(start, end), index, start, id: clips.len() });
        }
    }

    /// A piece of a recording, in samples or frames; 0 for the whole.
    fn window(&self) -> usize {
        let window = self.config.labels.window;
        match &self.input {
            InputConfig::Audio(features) => (window * f64::from(features.sample_rate)).round() as usize,
            other if window > 0.0 => other.clock().frames(window).max(1),
            _ => 0,
        }
    }

    /// Samples, or frames, from one frame to the next.
    pub fn hop(&self) -> f64 {
        match &self.input {
            InputConfig::Audio(features) => features.hop_length as f64,
            InputConfig::Video(_) | InputConfig::Vectors(_) => 1.0,
        }
    }

    /// Frames of a clip of so many samples, or frames, as it is.
    pub fn num_frames(&self, length: usize) -> usize {
        match &self.input {
            InputConfig::Audio(features) => features.num_frames(length),
            InputConfig::Video(_) | InputConfig::Vectors(_) => length,
        }
    }

    /// Frames as they are, not normalised.
    pub fn features(&self, material: &Material) -> Result<Features> {
        match (&self.source, material) {
            (Source::Audio(extractor), Material::Sound(signal)) => {
                (**extractor).clone().extract(&signal.samples)
            }
            (Source::Video(extractor), Material::Pictures(pictures)) => Ok(extractor.extract(pictures)),
            (_, Material::Vectors(vectors)) => Ok(vectors.clone()),
            _ => Err(Error::new(ErrorKind::Internal, "a clip is of another kind than the model")),
        }
    }

    /// Frames of a clip, changed at random.
    pub fn augmented(&self, material: &Material, rng: &mut ChaCha8Rng) -> Result<Frames> {
        match material {
            Material::Sound(signal) => {
                let augment = &self.config.augment;
                let (sample_rate, background) = (signal.sample_rate, self.background.as_ref());
                let changed = augment.signal(&signal.samples, sample_rate, background, rng)?;
                let extracted =
                    self.features(&Material::Sound(Signal { samples: changed.samples, sample_rate }))?;
                let frames = extracted.frames as f64;
                let features = augment.features(extracted, &self.config.features, rng);
                let stretch = features.frames as f64 / frames;
                Ok(Frames {
                    stretch: stretch / changed.speed,
                    delay: (changed.silence as f64 - changed.cropped as f64 / changed.speed) * stretch,
                    ..Frames::unchanged(features)
                })
            }
            Material::Pictures(pictures) => {
                let changed = self.config.augment_video.pictures(pictures, rng);
                let becomes = Some(self.exchanges.of(&changed));
                let (stretch, reversed) = (changed.stretch, changed.reversed);
                let delay = -(changed.cropped as f64) * stretch;
                let features = self.features(&Material::Pictures(changed.pictures))?;
                Ok(Frames { features, stretch, delay, reversed, becomes })
            }
            Material::Vectors(vectors) => {
                let frames = vectors.frames as f64;
                let changed = self.config.augment.vectors(vectors.clone(), rng);
                Ok(Frames { stretch: changed.frames as f64 / frames, ..Frames::unchanged(changed) })
            }
        }
    }
}

/// The pretrained network that the configuration asks for.
///
/// # Errors
/// [`ErrorKind::Config`] where its weights are not named, and those of the file.
pub(super) fn load_embedding(config: &TrainConfig) -> Result<Option<Embedding>> {
    let Some(kind) = config.input().embedding() else { return Ok(None) };
    match &config.data.embedding_weights {
        Some(path) => Embedding::load(kind, path).map(Some),
        None => {
            let message = format!(
                "[video] embedding is {}, whose weights are not named ([data] embedding_weights, --embedding-weights)",
                kind.name()
            );
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}

/// Memory that training takes for a frame.
pub(super) fn bytes_per_frame(config: &TrainConfig) -> usize {
    config.network.training_bytes_per_frame(frame_shape(&config.input()))
}

/// Fills in what the configuration leaves to the data: what is taken from the files, a video's frame rate, the size of
/// vectors. The first file that can be read tells, so that a bad one does not decide for all; what was found is said.
pub(super) fn resolve(config: &mut TrainConfig, dataset: &Dataset) -> Result<Vec<String>> {
    let paths = || dataset.items.iter().map(|item| item.path.as_path());
    let kind = paths().find_map(known_kind_of).unwrap_or(InputKind::Audio);
    let kind = *config.data.stream.get_or_insert(kind);
    let mut said = Vec::new();
    match kind {
        // Left out, as it always was.
        InputKind::Audio => config.data.stream = None,
        InputKind::Video if config.video.frame_rate == 0.0 => {
            let options = config.data.media().video;
            let rate = paths().find_map(|path| video::frame_rate(path, &options).ok());
            config.video.frame_rate = rate.flatten().unwrap_or(video::USUAL_FPS);
            let rate = config.video.frame_rate;
            said.push(format!("videos are looked at {rate} times a second, as the first one is"));
        }
        InputKind::Vectors if config.vectors.size == 0 => {
            let size = paths().find_map(|path| vectors::read_vectors(path).ok().map(|vectors| vectors.dim));
            config.vectors.size = size
                .ok_or_else(|| Error::new(ErrorKind::Dataset, "none of the files of vectors can be read"))?;
        }
        InputKind::Video | InputKind::Vectors => {}
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::super::random::{Use, stream};
    use super::super::{AugmentConfig, LabelsConfig};
    use super::*;

    #[test]
    fn times_follow_a_clip_that_is_cropped_sped_up_delayed_and_stretched() {
        let augment = AugmentConfig {
            enabled: true,
            probability: 1.0,
            random_crop: 1.5,
            speed: 0.3,
            silence: 0.4,
            stretch: 0.4,
            noise_snr_db: None,
            mel_warp: 0.0,
            eq_db: 0.0,
            time_mask: 0.0,
            frequency_mask: 0.0,
            ..AugmentConfig::default()
        };
        let config = TrainConfig { augment, ..TrainConfig::default() };
        let maker = ClipMaker::new(&config, &[], None).unwrap();
        // A click, 1 s after the beginning of 2 s.
        let mut samples = vec![0.0; 32_000];
        samples[16_000..16_020].fill(0.9);
        let material = Material::Sound(Signal { samples, sample_rate: 16_000 });
        let mut heard = 0;
        for epoch in 0..40 {
            let mut rng = stream(1, Use::Augment { epoch, clip: 0 });
            let frames = maker.augmented(&material, &mut rng).unwrap();
            let Features { data, frames: count, dim } = frames.features;
            let loudness = |t: usize| data[t * dim..][..dim].iter().sum::<f32>();
            let loudest = (0..count).max_by(|&a, &b| loudness(a).total_cmp(&loudness(b))).unwrap();
            let due = (16_000.0 * frames.stretch + frames.delay) / maker.hop();
            if (2.0..count as f64 - 2.0).contains(&due) {
                // An onset of the signal is in the frames whose window it lies in, 512 samples long.
                assert!((loudest as f64 - due).abs() < 2.5, "epoch {epoch}: {loudest}, not {due}");
                heard += 1;
            }
        }
        assert!(heard > 20);
    }

    #[test]
    fn labels_in_time_cannot_be_rolled_around() {
        let augment = AugmentConfig { enabled: true, time_shift: 0.1, ..AugmentConfig::default() };
        let clips = TrainConfig { augment, ..TrainConfig::default() };
        assert!(ClipMaker::new(&clips, &[], None).is_ok());
        let labels = LabelsConfig { source: Some("labels.csv".into()), ..LabelsConfig::default() };
        let error = ClipMaker::new(&TrainConfig { labels, ..clips }, &[], None).err().unwrap();
        assert!(error.message.starts_with("[augment] time_shift"), "{error}");
    }
}
