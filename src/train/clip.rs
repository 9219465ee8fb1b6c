//! Labelled clips, and the frames that the network learns from.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::augment::Background;
use super::augment_video::Exchanges;
use super::cache::{Cache, Facts, Key};
use super::dataset::Item;
use super::material::Material;
use super::{Dataset, TrainConfig};
use crate::features::video::{Embedding, Picture};
use crate::features::{Features, InputConfig};
use crate::media::{AudioOptions, MediaOptions, known_kind_of, load_audio, vectors, video};
use crate::model::{Task, frame_shape, hex};
use crate::pipeline::{Source, look_at, read_vector_file};
use crate::signal::{InputKind, Signal};
use crate::{Error, ErrorKind, Result};

/// Memory that one clip may take in training, in bytes.
const MAX_CLIP_BYTES: usize = 4 << 30;

/// A labelled clip: a recording, or a piece of one.
pub(super) struct Clip {
    held: Held,
    /// Names what the cache has of its recording.
    key: Option<Key>,
    /// Its place in the data set.
    pub index: usize,
    /// Where it begins in its recording, in samples of sound or in frames.
    pub start: usize,
    /// Samples or frames.
    pub len: usize,
    /// Names its random numbers.
    pub id: usize,
}

/// What of a clip is in memory.
enum Held {
    /// Of a clip that will be changed at random.
    Material(Material),
    /// Frames of one that will not; not normalised.
    Features(Features),
    /// There was no room: it is read again each time.
    Nothing,
}

impl Clip {
    pub fn is_held(&self) -> bool {
        !matches!(self.held, Held::Nothing)
    }
}

/// A file that has been read.
pub(super) struct Loaded {
    /// Its pieces; they have no `id` yet.
    pub clips: Vec<Clip>,
    /// In seconds.
    pub duration: f64,
    pub warnings: Vec<String>,
    /// Whether the cache had it.
    pub cached: bool,
}

/// A whole file in memory.
struct Whole {
    material: Material,
    duration: f64,
    warnings: Vec<String>,
}

/// The file that was read last, by its place in the data set: for its next clip it need not be read again.
#[derive(Default)]
pub(super) struct LastRead(Option<(usize, Material)>);

/// Memory that is left for clips, in bytes. Taken by whoever comes first: what is learned does not depend on it.
struct Room(AtomicUsize);

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
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
    num_labels: usize,
    room: Room,
    cache: Option<Cache>,
    /// The input in words, and the weights of its pretrained network: they name what is in the cache.
    input_text: String,
    embedding_hash: String,
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
        let cache = match &config.data.cache {
            Some(directory) => Some(Cache::open(directory, bytes(config.data.cache_gb))?),
            None => None,
        };
        let embedding_hash = match (embedding, &cache) {
            (Some(embedding), Some(_)) => hash_of(embedding)?,
            _ => String::new(),
        };
        let input_text = serde_json::to_string(&input)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the input cannot be named: {e}")))?;
        let room = Room(AtomicUsize::new(bytes(config.data.memory_gb) as usize));
        let num_labels = labels.len();
        Ok(Self {
            config,
            input,
            source,
            exchanges,
            background,
            num_labels,
            room,
            cache,
            input_text,
            embedding_hash,
        })
    }

    /// Whether clips are kept from one run to the next.
    pub fn has_cache(&self) -> bool {
        self.cache.is_some()
    }

    /// What a person should know of the sounds that are mixed in.
    pub fn background_warnings(&self) -> &[String] {
        self.background.as_ref().map_or(&[], |background| &background.warnings)
    }

    /// What a person should know of the cache, when all has been read.
    pub fn cache_warnings(&self) -> Vec<String> {
        self.cache.as_ref().map_or_else(Vec::new, Cache::warnings)
    }

    /// Reads a file and cuts it into clips: whole ones, or pieces of recordings for tagging. What of them stays in memory, as
    /// far as there is room, are the signals or pictures where they are to be `changing`, otherwise frames.
    ///
    /// # Errors
    /// With its path: those of the file; [`ErrorKind::Empty`] and [`ErrorKind::Limit`] where it is too short or too long to
    /// be learned from.
    pub fn load(&self, item: &Item, index: usize, changing: bool) -> Result<Loaded> {
        let load = || {
            let key = self.key(item)?;
            let found = key.and_then(|key| self.cached(&key, None));
            let cached = found.is_some();
            let whole = match found {
                Some(whole) => whole,
                None => self.read(item)?,
            };
            self.check(&whole)?;
            if let (Some(key), false) = (&key, cached) {
                self.keep(key, &whole);
            }
            let cut = |(start, len)| {
                let mut clip = Clip { held: Held::Nothing, key, index, start, len, id: 0 };
                let part = whole.material.part(start, len);
                clip.held = self.hold(part, &clip, changing)?;
                Ok(clip)
            };
            let clips = self.pieces(whole.material.len()).into_iter().map(cut).collect::<Result<_>>()?;
            Ok(Loaded { clips, duration: whole.duration, warnings: whole.warnings, cached })
        };
        load().map_err(|error: Error| error.with_path(&item.path))
    }

    fn hold(&self, part: Material, clip: &Clip, changing: bool) -> Result<Held> {
        if changing {
            return Ok(if self.room.take(part.size()) { Held::Material(part) } else { Held::Nothing });
        }
        let features = self.frames_of(clip, || Ok(Cow::Owned(part)))?;
        let truths = match self.config.task() {
            Task::Classify => 0,
            Task::Tag => features.frames * (self.num_labels + 1),
        };
        let room = self.room.take(4 * (features.data.len() + truths));
        Ok(if room { Held::Features(features) } else { Held::Nothing })
    }

    /// What a clip is made of, from memory or read again.
    ///
    /// # Errors
    /// With its path: those of the file, which may have changed since it was read first.
    pub fn material<'c>(
        &self,
        clip: &'c Clip,
        item: &Item,
        last: &mut LastRead,
    ) -> Result<Cow<'c, Material>> {
        if let Held::Material(material) = &clip.held {
            return Ok(Cow::Borrowed(material));
        }
        let mut again = || {
            if let Some(part) = clip.key.and_then(|key| self.cached(&key, Some((clip.start, clip.len)))) {
                return Ok(part.material);
            }
            let whole = match last.0.take() {
                Some((index, whole)) if index == clip.index => whole,
                _ => self.read(item)?.material,
            };
            let (_, whole) = last.0.insert((clip.index, whole));
            match clip.start + clip.len <= whole.len() {
                true => Ok(whole.part(clip.start, clip.len)),
                false => Err(Error::new(ErrorKind::Damaged, "has become shorter since training began")),
            }
        };
        again().map(Cow::Owned).map_err(|error: Error| error.with_path(&item.path))
    }

    /// Frames of a clip as it is, not normalised, from memory or made again.
    ///
    /// # Errors
    /// As [`Self::material`].
    pub fn unchanged<'c>(
        &self,
        clip: &'c Clip,
        item: &Item,
        last: &mut LastRead,
    ) -> Result<Cow<'c, Features>> {
        match &clip.held {
            Held::Features(features) => Ok(Cow::Borrowed(features)),
            _ => self.frames_of(clip, || self.material(clip, item, last)).map(Cow::Owned),
        }
    }

    /// The same of a clip that will not be needed again: what is held of it goes.
    pub fn take_unchanged(&self, clip: &mut Clip, item: &Item, last: &mut LastRead) -> Result<Features> {
        match std::mem::replace(&mut clip.held, Held::Nothing) {
            Held::Features(features) => Ok(features),
            _ => self.unchanged(clip, item, last).map(Cow::into_owned),
        }
    }

    /// Frames of a clip, from the cache or from its `material`.
    fn frames_of<'m>(
        &self,
        clip: &Clip,
        material: impl FnOnce() -> Result<Cow<'m, Material>>,
    ) -> Result<Features> {
        let key = clip.key.map(|key| {
            key.derived(&format!("frames of {} from {} as {}", clip.len, clip.start, self.input_text))
        });
        if let Some(Whole { material: Material::Vectors(features), .. }) =
            key.and_then(|key| self.cached(&key, None))
        {
            return Ok(features);
        }
        let features = self.features(&*material()?)?;
        let Some(key) = key else { return Ok(features) };
        let whole = Whole { material: Material::Vectors(features), duration: 0.0, warnings: Vec::new() };
        self.keep(&key, &whole);
        match whole.material {
            Material::Vectors(features) => Ok(features),
            _ => Err(Error::new(ErrorKind::Internal, "frames have become something else")),
        }
    }

    /// `None` without a cache, and for vectors, which are what they are.
    fn key(&self, item: &Item) -> Result<Option<Key>> {
        let settings = match (&self.input, &self.cache) {
            (_, None) | (InputConfig::Vectors(_), _) => return Ok(None),
            (InputConfig::Audio(features), _) => format!("mean of channels at {} Hz", features.sample_rate),
            (InputConfig::Video(_), _) => {
                let fps = self.config.data.fps;
                format!("{} fps {fps:?} embedding {}", self.input_text, self.embedding_hash)
            }
        };
        Key::of_file(&item.path, &settings).map(Some)
    }

    /// What the cache has, all or `part` of it: its first sample or frame, and how many.
    fn cached(&self, key: &Key, part: Option<(usize, usize)>) -> Option<Whole> {
        let mut entry = self.cache.as_ref()?.get(key)?;
        let (start, len) = part.unwrap_or((0, entry.facts.len));
        let bytes = entry.read(start, len)?;
        let Facts { layout, duration, warnings, .. } = entry.facts;
        Some(Whole { material: Material::from_bytes(layout, &bytes), duration, warnings })
    }

    fn keep(&self, key: &Key, whole: &Whole) {
        if let (Some(cache), Some(layout)) = (&self.cache, whole.material.layout()) {
            let Whole { material, duration, warnings } = whole;
            let facts =
                Facts { layout, len: material.len(), duration: *duration, warnings: warnings.clone() };
            cache.put(key, &facts, &material.to_bytes());
        }
    }

    fn read(&self, item: &Item) -> Result<Whole> {
        let MediaOptions { video: options, .. } = self.config.data.media();
        match &self.source {
            Source::Audio(extractor) => {
                let sample_rate = Some(extractor.config().sample_rate);
                let audio = load_audio(&item.path, &AudioOptions { sample_rate, ..AudioOptions::default() })?;
                let duration = audio.signal.duration();
                Ok(Whole { material: Material::Sound(audio.signal), duration, warnings: audio.warnings })
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
                Ok(Whole { material: Material::Pictures(pictures), duration, warnings })
            }
            Source::Vectors(config) => {
                let (file, data) = read_vector_file(&item.path, config)?;
                let vectors = Features { data, frames: file.frames, dim: config.size };
                let duration = file.duration;
                Ok(Whole { material: Material::Vectors(vectors), duration, warnings: file.warnings })
            }
        }
    }

    fn check(&self, whole: &Whole) -> Result<()> {
        let mut length = whole.material.len();
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
            let seconds = whole.duration * length as f64 / whole.material.len() as f64;
            let message = format!(
                "is too long to be learned from in one piece: {seconds:.0} s, where {:.0} s fit into memory; {}",
                seconds * most as f64 / frames as f64,
                if self.config.task() == Task::Tag { "set a shorter window" } else { "cut it into parts" }
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    /// Where clips begin in a file of `total` samples or frames, and how long they are. For tagging these are pieces of about
    /// `window` seconds; a rest of less than half of that stays with the piece before.
    fn pieces(&self, total: usize) -> Vec<(usize, usize)> {
        if self.config.task() == Task::Classify {
            return vec![(0, total)];
        }
        let length = self.window();
        let pieces = (total + length / 2).checked_div(length).unwrap_or(1).max(1);
        let piece = |piece| {
            let start = piece * length;
            (start, if piece + 1 == pieces { total - start } else { length })
        };
        (0..pieces).map(piece).collect()
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
    fn features(&self, material: &Material) -> Result<Features> {
        match (&self.source, material) {
            (Source::Audio(extractor), Material::Sound(signal)) => {
                (**extractor).clone().extract(&signal.samples)
            }
            (Source::Video(extractor), Material::Pictures(pictures)) => Ok(extractor.extract(pictures)),
            (_, Material::Vectors(vectors)) => Ok(vectors.clone()),
            _ => Err(Error::new(ErrorKind::Internal, "a clip is of another kind than the model")),
        }
    }

    /// Frames of what a clip is made of, changed at random.
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

/// Of its weights, in hexadecimal.
fn hash_of(embedding: &Embedding) -> Result<String> {
    let mut hasher = Sha256::new();
    for (name, weight) in embedding.weights() {
        hasher.update(name);
        for value in weight.flatten_all()?.to_vec1::<f32>()? {
            hasher.update(value.to_le_bytes());
        }
    }
    Ok(hex(&hasher.finalize()))
}

fn bytes(gigabytes: f64) -> u64 {
    (gigabytes * 1e9) as u64
}

/// Memory that training takes for a frame.
pub(super) fn bytes_per_frame(config: &TrainConfig) -> usize {
    config.network.training_bytes_per_frame(frame_shape(&config.input()))
}

/// Files whose kind is looked at before something else is asked of all of them.
const KINDS_LOOKED_AT: usize = 8;

/// Fills in what the configuration leaves to the data: what is taken from the files, a video's frame rate, the size of
/// vectors. The first file that can be read tells, so that a bad one does not decide for all; what was found is said.
pub(super) fn resolve(config: &mut TrainConfig, dataset: &Dataset) -> Result<Vec<String>> {
    let paths = || dataset.items.iter().map(|item| item.path.as_path());
    let kind = paths().find_map(known_kind_of).unwrap_or(InputKind::Audio);
    let asked = config.data.stream;
    let kind = *config.data.stream.get_or_insert(kind);
    // A video may hold sound, but sound holds no pictures, and vectors are neither.
    let kinds: Vec<InputKind> = paths().filter_map(known_kind_of).take(KINDS_LOOKED_AT).collect();
    let fits = |found: InputKind| found == kind || (kind, found) == (InputKind::Audio, InputKind::Video);
    if asked.is_some() && !kinds.is_empty() && !kinds.iter().any(|&found| fits(found)) {
        let message = format!(
            "the files hold {}, and {} is asked for (stream, --stream, or the preset or the model to start from)",
            kinds[0].name(),
            kind.name()
        );
        return Err(Error::new(ErrorKind::Dataset, message));
    }
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
