//! Everything about a training run, in one TOML file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AugmentConfig, ClassWeights, Freeze, Keep, Sampling, Schedule, VideoAugmentConfig};
use crate::features::video::VideoConfig;
use crate::features::{FeatureConfig, InputConfig, VectorConfig};
use crate::labels::{LabelFormat, LabelOptions};
use crate::media::MediaOptions;
use crate::media::video::VideoOptions;
use crate::model::{Precision, Task};
use crate::nn::{NetworkConfig, OutputKind, Pooling};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// A training run: what is learned from, how it is heard, what learns, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Which recordings, with which labels, in which parts.
    pub data: DataConfig,
    /// What happens when: makes a model that tags frames.
    #[serde(skip_serializing_if = "LabelsConfig::is_absent")]
    pub labels: LabelsConfig,
    /// How sound becomes frames.
    pub features: FeatureConfig,
    /// How a video becomes frames.
    #[serde(skip_serializing_if = "is_default")]
    pub video: VideoConfig,
    /// Vectors that another program computed (.npy, safetensors).
    #[serde(skip_serializing_if = "is_default")]
    pub vectors: VectorConfig,
    /// The network's shape.
    pub network: NetworkConfig,
    /// How it learns.
    pub training: TrainingConfig,
    /// Random changes to the training clips.
    pub augment: AugmentConfig,
    /// Random changes to training videos, where [augment] is enabled.
    #[serde(skip_serializing_if = "is_default")]
    pub augment_video: VideoAugmentConfig,
}

/// `folds = 5` as well as `folds = "speaker"`.
fn text_or_number<'de, D: serde::Deserializer<'de>>(value: D) -> std::result::Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber {
        Text(String),
        Number(u64),
    }
    Ok(match TextOrNumber::deserialize(value)? {
        TextOrNumber::Text(text) => text,
        TextOrNumber::Number(number) => number.to_string(),
    })
}

fn is_true(value: &bool) -> bool {
    *value
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Which recordings, with which labels, in which parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Directory with one folder a label; with labels in time, of recordings. Either this or `manifest`. A relative path starts from this file.
    pub directory: Option<PathBuf>,
    /// CSV file with one row a clip; the paths in it start from its own folder. Either this or `directory`.
    pub manifest: Option<PathBuf>,
    /// What is taken from the files: audio, video or vectors; left out, what the first of them holds: pictures before
    /// sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<InputKind>,
    /// Frames a second of directories of pictures, over what their frames.json says (above 0 to 100000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Safetensors file with the weights of the pretrained network that [video] embedding names, as torchvision has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_weights: Option<PathBuf>,
    /// Manifest column with the clip's path.
    pub path_column: String,
    /// Manifest column with the clip's label.
    pub label_column: String,
    /// Manifest column with the clip's part (train, validation, test), if it is there; "" uses none.
    pub split_column: String,
    /// Manifest column with what must stay in one part (speaker, site, recording), if it is there; "" uses none.
    pub group_column: String,
    /// Rows of the manifest to use, as "column=value" or "column!=value"; all must hold.
    #[serde(rename = "where")]
    pub filters: Vec<String>,
    /// Share of the training part that is kept aside to choose the best epoch, where the data has no validation
    /// part of its own. 0 to 0.9; 0 keeps none.
    pub validation_fraction: f64,
    /// Share of the data that is kept aside to be read once, at the end, where the data has no split of its own.
    /// 0 to 0.9; 0 keeps none.
    pub test_fraction: f64,
    /// Folds of a cross-validation: a manifest column, each of whose values is the test part once, or a number of folds (2
    /// to 1000) that are dealt by seed, group and label. The data's own split is not used then.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "text_or_number")]
    pub folds: String,
    /// The one fold that is the test part: a value of the column, or a number from 1; left out, each is, one after the other.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "text_or_number")]
    pub test_fold: String,
    /// Seed that the parts and folds are dealt by, where it is not that of [training].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// Directory in which decoded clips and their features are kept for the next training; left out, none are. A relative
    /// path starts from this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Most that `cache` may take, in GB; what was not used for longest goes. 0.001 to 1000000.
    #[serde(skip_serializing_if = "is_usual_cache_gb")]
    pub cache_gb: f64,
    /// Memory for clips, in GB; those that do not fit in are read again each time. 0 to 1000000.
    #[serde(skip_serializing_if = "is_usual_memory_gb")]
    pub memory_gb: f64,
}

const USUAL_CACHE_GB: f64 = 20.0;
const USUAL_MEMORY_GB: f64 = 4.0;

fn is_usual_cache_gb(value: &f64) -> bool {
    *value == USUAL_CACHE_GB
}

fn is_usual_memory_gb(value: &f64) -> bool {
    *value == USUAL_MEMORY_GB
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            directory: None,
            manifest: None,
            stream: None,
            fps: None,
            embedding_weights: None,
            path_column: "path".into(),
            label_column: "label".into(),
            split_column: "split".into(),
            group_column: "group".into(),
            filters: Vec::new(),
            validation_fraction: 0.1,
            test_fraction: 0.0,
            folds: String::new(),
            test_fold: String::new(),
            split_seed: None,
            cache: None,
            cache_gb: USUAL_CACHE_GB,
            memory_gb: USUAL_MEMORY_GB,
        }
    }
}

/// What happens when: makes a model that tags frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LabelsConfig {
    /// Table with a row a segment, or folder with a file of labels for each recording. Without it the model gives one
    /// label for a whole clip. A relative path starts from this file.
    pub source: Option<PathBuf>,
    /// How labels are written; told by the content if left out.
    pub format: Option<LabelFormat>,
    /// Column that names the recording; "" is guessed, as are the next three.
    pub file_column: String,
    /// Column with the time at which a label begins, in seconds, or its first frame.
    pub onset_column: String,
    /// Column with the time at which it ends, in seconds, or the frame behind its last.
    pub offset_column: String,
    /// Column with the label.
    pub label_column: String,
    /// Tier of a TextGrid; "" takes the only one.
    pub tier: String,
    /// Seconds from one frame to the next, where labels are given by frames.
    pub frame_hop: f64,
    /// Exactly one label holds at a time, or none: softmax with a label for the background. Otherwise several labels may
    /// hold at once: sigmoid.
    pub exclusive: bool,
    /// Label of frames that have none, where labels are exclusive.
    pub background: String,
    /// Labels that are not learned: what they mark counts as unmarked.
    pub ignore: Vec<String>,
    /// The one label that stands for all others (any speaker is speech); "" keeps them.
    pub merge: String,
    /// The label that holds where two or more segments of a recording do; "" adds none.
    pub overlap: String,
    /// What lies between the labels of a labelled recording.
    pub gaps: Unmarked,
    /// What recordings without labels are.
    pub unlabelled: Unmarked,
    /// Seconds that a label holds of which only the onset is known, half of them before it. 0 is one frame.
    pub onset_width: f64,
    /// Seconds of background that are learned between two segments of one label that abut, so that they stay two. 0 to 1.
    pub separation: f64,
    /// Longest piece that is learned from at once, in seconds; 0 takes whole recordings.
    pub window: f64,
}

/// What stretches without a label mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unmarked {
    /// Nothing of what is to be tagged happens there.
    Background,
    /// Nobody looked: nothing is learned from it.
    LeaveOut,
}

impl Default for LabelsConfig {
    fn default() -> Self {
        Self {
            source: None,
            format: None,
            file_column: String::new(),
            onset_column: String::new(),
            offset_column: String::new(),
            label_column: String::new(),
            tier: String::new(),
            frame_hop: 0.0,
            exclusive: false,
            background: "background".into(),
            ignore: Vec::new(),
            merge: String::new(),
            overlap: String::new(),
            gaps: Unmarked::Background,
            unlabelled: Unmarked::LeaveOut,
            onset_width: 0.0,
            separation: 0.0,
            window: 10.0,
        }
    }
}

/// How the network learns: by AdamW (Loshchilov & Hutter 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Times that every training clip is seen, at most.
    pub epochs: usize,
    /// Clips in one step.
    pub batch_size: usize,
    /// Highest learning rate, reached at the end of the warm-up.
    pub learning_rate: f64,
    /// Share of all steps in which the learning rate rises, before it falls to nearly nothing. 0 to 1.
    pub warmup_fraction: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// Largest norm of all gradients together; longer ones are shortened to it. 0 turns clipping off.
    pub clip_norm: f64,
    /// Share of the target that is spread over all labels. 0 to 0.5.
    pub label_smoothing: f64,
    /// How much of a running mean of the weights each step keeps; the mean is what is validated and stored, and is steadier
    /// than the weights themselves (Polyak & Juditsky 1992). 0 to 0.9999; 0 takes the weights as they are.
    #[serde(skip_serializing_if = "is_default")]
    pub weight_averaging: f64,
    /// Epochs without a better validation before training stops; 0 never stops early.
    pub patience: usize,
    /// Seed of everything random: split, first weights, order, dropout, augmentation.
    pub seed: u64,
    /// How the model file stores its weights: "f32", or "f16" at half the size.
    pub precision: Precision,
    /// Free text that goes into the model: the data's licence, whom to credit.
    pub notes: String,
    /// How the learning rate goes over the steps; left out, one_cycle.
    #[serde(skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// How much clips, or frames, of each label count in training; left out, none: all the same. "balanced": n / (K · n_k), as
    /// in scikit-learn. Validation counts all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub class_weights: ClassWeights,
    /// Which clips an epoch is made of; left out, shuffled: each once.
    #[serde(skip_serializing_if = "is_default")]
    pub sampling: Sampling,
    /// Focal loss (Lin et al. 2017): what is nearly right counts less, by (1 - p)^this. 0 to 10; 0 turns it off.
    #[serde(skip_serializing_if = "is_default")]
    pub focal_gamma: f64,
    /// Which epoch's weights are the model; left out, best: those with the lowest validation loss.
    #[serde(skip_serializing_if = "is_default")]
    pub keep: Keep,
    /// The model that training begins from, a file or a built-in's name: its features, network and their settings stay, its
    /// head only where the labels are the same. A relative path starts from this file. Left out, training begins from nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub from: String,
    /// What of that model stays as it is; left out, none.
    #[serde(skip_serializing_if = "is_default")]
    pub freeze: Freeze,
    /// Least time from one checkpoint to the next, in minutes: what a crash costs at most. 0 to 10000; 0 writes none; left
    /// out, 1.
    #[serde(skip_serializing_if = "is_usual_interval")]
    pub checkpoint_minutes: f64,
    /// Whether the report says what simple means reach on the same data: always the commonest label, and a logistic
    /// regression on each clip's mean features.
    #[serde(skip_serializing_if = "is_true")]
    pub baseline: bool,
    /// Whether training looks for clips of different parts that are nearly the same sound, and warns of them.
    #[serde(skip_serializing_if = "is_true")]
    pub near_duplicates: bool,
}

fn is_usual_interval(minutes: &f64) -> bool {
    *minutes == TrainingConfig::default().checkpoint_minutes
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_size: 32,
            learning_rate: 2e-3,
            warmup_fraction: 0.2,
            weight_decay: 0.01,
            clip_norm: 1.0,
            label_smoothing: 0.0,
            weight_averaging: 0.0,
            patience: 15,
            seed: 0,
            precision: Precision::F32,
            notes: String::new(),
            schedule: Schedule::OneCycle,
            class_weights: ClassWeights::None,
            sampling: Sampling::Shuffled,
            focal_gamma: 0.0,
            keep: Keep::Best,
            from: String::new(),
            freeze: Freeze::None,
            checkpoint_minutes: 1.0,
            baseline: true,
            near_duplicates: true,
        }
    }
}

impl TrainConfig {
    /// What the model is to answer.
    pub fn task(&self) -> Task {
        match self.labels.source {
            None => Task::Classify,
            Some(_) => Task::Tag,
        }
    }

    /// What is taken in and how it becomes frames.
    pub fn input(&self) -> InputConfig {
        match self.data.stream.unwrap_or(InputKind::Audio) {
            InputKind::Audio => InputConfig::Audio(self.features.clone()),
            InputKind::Video => InputConfig::Video(self.video.clone()),
            InputKind::Vectors => InputConfig::Vectors(self.vectors.clone()),
        }
    }

    /// The network as the task asks for it: a tagger gives every frame scores of its own, and convolutions over a
    /// spectrogram halve its bands where nothing is said of their pooling, and where frames are not tagged, them too.
    pub fn resolved_network(&self) -> NetworkConfig {
        let mut network = self.network.clone();
        if self.task() == Task::Tag {
            network.pooling = Pooling::None;
            network.output = if self.labels.exclusive { OutputKind::Softmax } else { OutputKind::Sigmoid };
        }
        let is_sound = self.data.stream.is_none_or(|stream| stream == InputKind::Audio);
        if is_sound && network.conv_pool.is_empty() {
            let frames = if network.pooling == Pooling::None { 1 } else { 2 };
            network.conv_pool = vec![[frames, 2]; network.conv_channels.len()];
        }
        network
    }

    /// All settings that are paths.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let data = &mut self.data;
        let data = [&mut data.directory, &mut data.manifest, &mut data.embedding_weights, &mut data.cache];
        data.into_iter().chain([&mut self.labels.source, &mut self.augment.noise_folder]).flatten()
    }

    /// Checks every section; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.task() == Task::Classify && self.network.pooling == Pooling::None {
            let message = "[network] pooling is none, which gives each frame labels of its own: name labels in time \
                           ([labels] source, --labels), or another pooling";
            return Err(Error::new(ErrorKind::Config, message));
        }
        if self.training.freeze != Freeze::None && self.training.from.is_empty() {
            let message = "[training] freeze keeps parts of a model as they are, and none is named to start from (from, \
                           --from)";
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.validate_sections()
    }

    /// Checks each section for itself.
    pub(super) fn validate_sections(&self) -> Result<()> {
        self.validations().into_iter().try_for_each(|(section, result)| {
            result.map_err(|e| Error { message: format!("[{section}] {}", e.message), ..e })
        })
    }

    /// Each section's name and verdict.
    pub(super) fn validations(&self) -> [(&'static str, Result<()>); 9] {
        [
            ("data", self.data.validate()),
            ("labels", self.labels.validate()),
            ("features", self.features.validate()),
            ("video", self.video.validate()),
            ("vectors", self.vectors.validate()),
            ("network", self.network.validate()),
            ("training", self.training.validate()),
            ("augment", self.augment.validate()),
            ("augment_video", self.augment_video.validate()),
        ]
    }
}

/// `value` must satisfy `ok`, else an error that names the setting and its range.
fn check(ok: bool, name: &str, value: impl std::fmt::Display, range: &str) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, format!("{name} is {value}; it must be {range}")))
}

impl DataConfig {
    /// How the files are to be read.
    pub fn media(&self) -> MediaOptions {
        let video = VideoOptions { fps: self.fps, ..VideoOptions::default() };
        MediaOptions { video, ..MediaOptions::default() }
    }

    /// Whether a training is one of several, each with another fold as the test part.
    pub fn is_cross_validation(&self) -> bool {
        !self.folds.is_empty() && self.test_fold.is_empty()
    }

    /// Checks ranges and contradictions; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.directory.is_some() && self.manifest.is_some() {
            return Err(Error::new(
                ErrorKind::Config,
                "directory and manifest are both given; use one of them",
            ));
        }
        for (name, column) in [("path_column", &self.path_column), ("label_column", &self.label_column)] {
            check(!column.is_empty(), name, "empty", "the name of a column")?;
        }
        let fraction = |v: f64| (0.0..=0.9).contains(&v);
        check(
            fraction(self.validation_fraction),
            "validation_fraction",
            self.validation_fraction,
            "0 to 0.9",
        )?;
        check(fraction(self.test_fraction), "test_fraction", self.test_fraction, "0 to 0.9")?;
        check((0.001..=1e6).contains(&self.cache_gb), "cache_gb", self.cache_gb, "0.001 to 1000000")?;
        check((0.0..=1e6).contains(&self.memory_gb), "memory_gb", self.memory_gb, "0 to 1000000")?;
        // TOML's integers are signed 64 bits.
        let seed = self.split_seed.unwrap_or(0);
        check(seed <= i64::MAX as u64, "split_seed", seed, "0 to 9223372036854775807")?;
        self.check_folds()
    }
}

impl LabelsConfig {
    /// Whether nothing is said of labels in time.
    fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    /// How the labels are to be read.
    pub fn options(&self) -> LabelOptions {
        LabelOptions {
            format: self.format,
            file_column: self.file_column.clone(),
            onset_column: self.onset_column.clone(),
            offset_column: self.offset_column.clone(),
            label_column: self.label_column.clone(),
            tier: self.tier.clone(),
            frame_hop: self.frame_hop,
        }
    }

    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        for (name, value, highest) in [
            ("frame_hop", self.frame_hop, 10.0),
            ("onset_width", self.onset_width, 10.0),
            ("separation", self.separation, 1.0),
            ("window", self.window, 86_400.0),
        ] {
            check((0.0..=highest).contains(&value), name, value, &format!("0 to {highest}"))?;
        }
        check(!self.exclusive || !self.background.is_empty(), "background", "empty", "a label")?;
        let contradicts = self.exclusive && !self.overlap.is_empty();
        check(!contradicts, "overlap", &self.overlap, "empty where labels are exclusive")
    }
}

impl TrainingConfig {
    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        check((1..=100_000).contains(&self.epochs), "epochs", self.epochs, "1 to 100000")?;
        check((1..=65_536).contains(&self.batch_size), "batch_size", self.batch_size, "1 to 65536")?;
        check(
            self.learning_rate > 0.0 && self.learning_rate <= 1.0,
            "learning_rate",
            self.learning_rate,
            "above 0 and at most 1",
        )?;
        check(
            (0.0..=1.0).contains(&self.warmup_fraction),
            "warmup_fraction",
            self.warmup_fraction,
            "0 to 1",
        )?;
        check((0.0..=1.0).contains(&self.weight_decay), "weight_decay", self.weight_decay, "0 to 1")?;
        check((0.0..=1e6).contains(&self.clip_norm), "clip_norm", self.clip_norm, "0 to 1000000")?;
        check(
            (0.0..=0.5).contains(&self.label_smoothing),
            "label_smoothing",
            self.label_smoothing,
            "0 to 0.5",
        )?;
        check(
            (0.0..=0.9999).contains(&self.weight_averaging),
            "weight_averaging",
            self.weight_averaging,
            "0 to 0.9999",
        )?;
        check((0.0..=10.0).contains(&self.focal_gamma), "focal_gamma", self.focal_gamma, "0 to 10")?;
        check(
            (0.0..=10_000.0).contains(&self.checkpoint_minutes),
            "checkpoint_minutes",
            self.checkpoint_minutes,
            "0 to 10000",
        )?;
        // TOML's integers are signed 64 bits: a larger seed could not be written back.
        check(self.seed <= i64::MAX as u64, "seed", self.seed, "0 to 9223372036854775807")
    }
}
