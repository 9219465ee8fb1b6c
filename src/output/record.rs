//! What a result is. JSON and its schema (`percept schema`) both come from these types.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SCHEMA_VERSION;
use crate::decide::Prediction;
use crate::event::ScoredEvent;
use crate::files::{path_bytes, path_from_json, path_to_json};
use crate::media::Media;
use crate::media::probe::Probe;
use crate::model::{Model, Task};
use crate::signal::InputKind;
use crate::{Error, ErrorKind};

/// What `percept classify` says of one input.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ClassifyRecord {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub model: ModelInfo,
    pub input: InputInfo,
    #[serde(flatten)]
    pub outcome: Outcome<Classified>,
}

/// What `percept tag` says of one input.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TagRecord {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub model: ModelInfo,
    pub input: InputInfo,
    #[serde(flatten)]
    pub outcome: Outcome<TaggedFile>,
}

/// What happens when.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TaggedFile {
    /// What a person should know: damage after good audio, replaced samples, a helper program used.
    pub warnings: Vec<String>,
    /// By onset, then in the order of the model's labels.
    pub events: Vec<ScoredEvent>,
    /// Only with `--frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<Frames>,
}

/// Every frame that the model looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Frames {
    #[serde(flatten)]
    pub times: FrameTimes,
    /// Each frame's label; a list where several may hold at once.
    pub labels: Vec<FrameLabels>,
    /// `scores[i][k]`: frame `i`'s score of the model's label `k`, 0 to 1.
    pub scores: Vec<Vec<f32>>,
}

/// When the frames are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FrameTimes {
    /// Of sound: frame `i` lasts from `start + i * hop` to `start + (i + 1) * hop` seconds.
    Steady {
        /// Seconds.
        start: f64,
        /// Seconds from one frame to the next.
        hop: f64,
    },
    /// Of a video: frame `i` is number `index[i]` of those that could be read, and is shown at `pts[i]` seconds.
    Listed {
        /// Counted from 0. A video of more frames a second than the model's is not looked at whole; of one with fewer,
        /// frames are looked at several times.
        index: Vec<usize>,
        /// In seconds: `ticks * time_base`.
        pts: Vec<f64>,
        ticks: Vec<i64>,
        /// Seconds that a tick lasts, as a fraction: `[numerator, denominator]`.
        time_base: [u32; 2],
        /// Names of the files, in a directory of pictures.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FrameLabels {
    One(String),
    Several(Vec<String>),
}

/// What `percept probe` says of one input.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProbeRecord {
    /// Version of this format.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    pub input: ProbeInput,
    #[serde(flatten)]
    pub outcome: Outcome<Probed>,
}

/// What is on stdout: one record for one input, an array for several.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "only its schema is used; the records are written one by one")]
pub enum Document<T> {
    One(T),
    Several(Vec<T>),
}

/// A result, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome<T> {
    Ok(T),
    Error { error: ErrorInfo },
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Classified {
    /// What a person should know: damage after good audio, replaced samples, a helper program used.
    pub warnings: Vec<String>,
    /// Best first, at most as many as `--top-k` asks for.
    pub predictions: Vec<Prediction>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Probed {
    pub media: Probe,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorInfo {
    pub kind: ErrorKind,
    /// One line: what is wrong and what to do.
    pub message: String,
}

/// Which model answered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelInfo {
    pub name: String,
    /// SHA-256 of the model file, in hexadecimal.
    pub sha256: String,
    pub task: Task,
    /// All labels the model knows.
    pub labels: Vec<String>,
}

/// What was read. All but `path` is absent where the file could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InputInfo {
    /// As it was given.
    pub path: String,
    /// Only where it is not UTF-8, so that `path` has marks in it: its bytes, in base64.
    #[serde(default, deserialize_with = "path_bytes", skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<InputKind>,
    /// Short container name: `wav`, `flac`, `ogg`, `mp4`, ...; `images` for a directory of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The codec's name in ffmpeg: `pcm_s16le`, `flac`, `mp3`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// In seconds: `num_samples / sample_rate`; of a video from its first frame to the end of its last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// The file's own, in Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// The file's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Samples per channel that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_samples: Option<u64>,
    /// How the channels became one: `mono`, `mean of 2 channels`, `channel 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<String>,
    /// Frames a second of a video, on average; absent for a single picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Frames of a video that could be read, or vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Size of a video's first frame, in pixels, the right way up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Seconds that a tick of a video lasts, as a fraction: `[numerator, denominator]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_base: Option<[u32; 2]>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ProbeInput {
    /// As it was given.
    pub path: String,
    /// Only where it is not UTF-8, so that `path` has marks in it: its bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
}

impl InputInfo {
    pub(crate) fn named(path: &Path) -> Self {
        let (path, path_bytes) = path_to_json(path);
        Self { path, path_bytes, ..Self::default() }
    }

    /// As it was given, whatever its bytes are.
    pub fn path(&self) -> PathBuf {
        path_from_json(&self.path, self.path_bytes.as_deref())
    }

    pub(crate) fn read(path: &Path, media: &Media) -> Self {
        let info = Self { duration: Some(media.duration()), ..Self::named(path) };
        match media {
            Media::Audio(audio) => Self {
                kind: Some(InputKind::Audio),
                container: Some(audio.container.clone()),
                codec: Some(audio.codec.clone()),
                sample_rate: Some(audio.sample_rate),
                channels: Some(audio.channels),
                num_samples: Some(audio.num_samples),
                mix: Some(audio.mix.clone()),
                ..info
            },
            Media::Video(video) => Self {
                kind: Some(InputKind::Video),
                container: Some(video.container.clone()),
                codec: Some(video.codec.clone()),
                fps: video.fps,
                frames: Some(video.num_frames),
                width: Some(video.width),
                height: Some(video.height),
                time_base: Some([video.time_base.numerator, video.time_base.denominator]),
                ..info
            },
            Media::Vectors(file) => Self {
                kind: Some(InputKind::Vectors),
                container: Some(file.container.clone()),
                frames: Some(file.frames),
                ..info
            },
        }
    }
}

impl TagRecord {
    pub fn ok(
        model: &ModelInfo,
        path: &Path,
        media: &Media,
        events: Vec<ScoredEvent>,
        frames: Option<Frames>,
    ) -> Self {
        let (input, warnings) = (InputInfo::read(path, media), media.warnings().to_vec());
        Self::new(model, input, Outcome::Ok(TaggedFile { warnings, events, frames }))
    }

    pub fn error(model: &ModelInfo, path: &Path, error: &Error) -> Self {
        Self::new(model, InputInfo::named(path), Outcome::Error { error: ErrorInfo::new(error, path) })
    }

    fn new(model: &ModelInfo, input: InputInfo, outcome: Outcome<TaggedFile>) -> Self {
        let tool = crate::TOOL.to_string();
        Self { schema_version: SCHEMA_VERSION, tool, model: model.clone(), input, outcome }
    }
}

impl ClassifyRecord {
    pub fn ok(model: &ModelInfo, path: &Path, media: &Media, predictions: Vec<Prediction>) -> Self {
        let (input, warnings) = (InputInfo::read(path, media), media.warnings().to_vec());
        Self::new(model, input, Outcome::Ok(Classified { warnings, predictions }))
    }

    pub fn error(model: &ModelInfo, path: &Path, error: &Error) -> Self {
        Self::new(model, InputInfo::named(path), Outcome::Error { error: ErrorInfo::new(error, path) })
    }

    fn new(model: &ModelInfo, input: InputInfo, outcome: Outcome<Classified>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: crate::TOOL.to_string(),
            model: model.clone(),
            input,
            outcome,
        }
    }
}

impl ProbeRecord {
    pub fn new(path: &Path, result: Result<Probe, Error>) -> Self {
        let outcome = match result {
            Ok(media) => Outcome::Ok(Probed { media }),
            Err(error) => Outcome::Error { error: ErrorInfo::new(&error, path) },
        };
        let (path, path_bytes) = path_to_json(path);
        let input = ProbeInput { path, path_bytes };
        Self { schema_version: SCHEMA_VERSION, tool: crate::TOOL.to_string(), input, outcome }
    }
}

impl<T> Outcome<T> {
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error { .. })
    }
}

impl ModelInfo {
    pub fn new(model: &Model) -> Self {
        Self {
            name: model.header().name.clone(),
            sha256: model.sha256().to_string(),
            task: model.header().task,
            labels: model.header().labels.clone(),
        }
    }
}

impl ErrorInfo {
    /// The record names its input already, so the message leaves it out unless it is about another file.
    pub(crate) fn new(error: &Error, input: &Path) -> Self {
        let mut error = error.clone();
        if error.path.as_deref() == Some(input) {
            error.path = None;
        }
        Self { kind: error.kind, message: error.to_string() }
    }
}
