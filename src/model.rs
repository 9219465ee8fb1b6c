//! The one self-describing file: weights, configuration, labels, statistics and provenance.
//!
//! It is a [safetensors](https://github.com/huggingface/safetensors) file. Its `__metadata__` has one entry,
//! `percept`: a [`ModelHeader`] as JSON. Its tensors are the network's weights under PyTorch's names
//! (`rnn.weight_ih_l0`, ..., `head.bias`), as f32 or f16, `normalization.mean` and `normalization.std`, and, of a model that
//! looks through a pretrained network, that network's weights behind `embedding.`, as f32.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::f16;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decide::Decisions;
use crate::features::video::Embedding;
use crate::features::{Features, InputConfig, Normalization, Normalize};
use crate::files::{AtomicFile, read_limited};
use crate::nn::state_dict::check_count;
use crate::nn::{FrameShape, MAX_WIDTH, Network, NetworkConfig, Pooling, Weights};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// The version of the file's layout that this program writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Longest model file, in bytes.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Longest safetensors header, in bytes: names, shapes and the `percept` entry.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Most memory that the network may take for one recording, in bytes.
pub const MAX_NETWORK_BYTES: usize = 4 << 30;

/// A model inside the program.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    pub name: &'static str,
    pub task: Task,
    pub kind: InputKind,
    /// What it is, for a person: `a demonstration that knows ...`.
    pub about: &'static str,
    bytes: &'static [u8],
}

const SOUNDS: &str = "a demonstration that knows ten sounds (dog_bark, rain, sea_waves, baby_cry, clock_tick, person_sneeze, \
                      helicopter, chainsaw, rooster, fire_crackling), speech and silence";
const DIGITS: &str = "a demonstration that knows spoken digits, zero to nine, at 8 kHz";
const GESTURES: &str =
    "a demonstration that knows four hand gestures: stop, clockwise, counter_clockwise and move";

/// The models inside the program. The first of a kind and task is used where none is named.
const BUILTIN: [Builtin; 5] = [
    Builtin {
        name: "sounds",
        task: Task::Classify,
        kind: InputKind::Audio,
        about: SOUNDS,
        bytes: include_bytes!("../assets/sounds.safetensors"),
    },
    Builtin {
        name: "digits",
        task: Task::Classify,
        kind: InputKind::Audio,
        about: DIGITS,
        bytes: include_bytes!("../assets/digits.safetensors"),
    },
    Builtin {
        name: "digits",
        task: Task::Tag,
        kind: InputKind::Audio,
        about: DIGITS,
        bytes: include_bytes!("../assets/digits-tag.safetensors"),
    },
    Builtin {
        name: "gestures",
        task: Task::Classify,
        kind: InputKind::Video,
        about: GESTURES,
        bytes: include_bytes!("../assets/gestures.safetensors"),
    },
    Builtin {
        name: "gestures",
        task: Task::Tag,
        kind: InputKind::Video,
        about: GESTURES,
        bytes: include_bytes!("../assets/gestures-tag.safetensors"),
    },
];

impl Builtin {
    /// All of them; the first of a kind and task is used where none is named.
    pub fn all() -> &'static [Self] {
        &BUILTIN
    }

    /// SHA-256 of its bytes, in hexadecimal: that of the model.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.bytes))
    }

    /// The model itself.
    pub fn load(&self) -> Result<Model> {
        Model::from_bytes(self.bytes)
    }
}

/// Longest label, in bytes of UTF-8.
pub const MAX_LABEL_BYTES: usize = 256;

const METADATA_KEY: &str = "percept";
const MEAN: &str = "normalization.mean";
const STD: &str = "normalization.std";
/// What stands before the names of a pretrained network's tensors.
const EMBEDDING: &str = "embedding.";

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Many-to-one: one set of scores for a clip.
    Classify,
    /// Many-to-many: a set of scores for every frame.
    Tag,
}

impl Task {
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Tag => "tag",
        }
    }
}

/// Everything about a model but its weights; the `percept` entry of the file's metadata, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelHeader {
    pub format_version: u32,
    /// Short name: the built-in's, or the file's stem at training time.
    pub name: String,
    pub task: Task,
    /// In the order of the logits.
    pub labels: Vec<String>,
    /// Under `features` (sound), `video` or `vectors`.
    #[serde(flatten)]
    pub input: InputConfig,
    pub network: NetworkConfig,
    /// How scores of frames become events; there for task `tag` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
    pub provenance: Provenance,
}

/// Where a model comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Provenance {
    /// `percept 0.1.0`
    pub tool: String,
    /// SHA-256 over the training files' contents and labels.
    pub data_sha256: String,
    pub seed: u64,
    /// Clips in each part: train, validation, test.
    pub split: std::collections::BTreeMap<String, usize>,
    /// Metrics reached, by name (`validation_accuracy`, `test_accuracy`, ...).
    pub metrics: std::collections::BTreeMap<String, f64>,
    /// The resolved training configuration, as TOML text.
    pub config: String,
    /// Free text: licence of the data, attribution.
    pub notes: String,
}

/// How weights are stored. In memory they are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    #[default]
    F32,
    /// Half the size; eleven significant bits.
    F16,
}

/// A model ready to answer.
#[derive(Debug, Clone)]
pub struct Model {
    header: ModelHeader,
    normalization: Option<Normalization>,
    /// The pretrained network that looks at frames, if it is of that kind.
    embedding: Option<Embedding>,
    weights: Weights,
    network: Network,
    precision: Precision,
    sha256: String,
}

impl Model {
    /// Puts a model together and checks that its parts fit. With [`Precision::F16`] the weights are rounded
    /// at once, so that the model answers as its file will.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where labels, statistics or weights do not fit the header.
    pub fn new(
        header: ModelHeader,
        normalization: Option<Normalization>,
        weights: Weights,
        precision: Precision,
    ) -> Result<Self> {
        Self::with_embedding(header, normalization, None, weights, precision)
    }

    /// As [`Model::new`], for one that looks through a pretrained network.
    pub fn with_embedding(
        header: ModelHeader,
        normalization: Option<Normalization>,
        embedding: Option<Embedding>,
        mut weights: Weights,
        precision: Precision,
    ) -> Result<Self> {
        check_header(&header, normalization.as_ref())?;
        if header.input.embedding() != embedding.as_ref().map(Embedding::kind) {
            return Err(bad("does not hold the pretrained network that it says it looks through"));
        }
        if precision == Precision::F16 {
            for tensor in weights.values_mut() {
                *tensor = tensor.to_dtype(candle_core::DType::F16)?.to_dtype(candle_core::DType::F32)?;
            }
        }
        check_finite(&weights)?;
        let network =
            Network::new(&header.network, frame_shape(&header.input), header.labels.len(), &weights)?;
        let mut model =
            Self { header, normalization, embedding, weights, network, precision, sha256: String::new() };
        model.sha256 = hex(&Sha256::digest(model.to_bytes()?));
        Ok(model)
    }

    /// Reads and checks a model file.
    pub fn load(path: &Path) -> Result<Self> {
        read_limited(path, "a model file is due", MAX_FILE_BYTES)
            .and_then(|bytes| Self::from_bytes(&bytes))
            .map_err(|e| e.with_path(path))
    }

    /// Reads and checks a model file's bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for what is no model, is damaged, of an unknown version, or does not fit together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        check_length(bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| match e {
            SafeTensorError::MetadataIncompleteBuffer => {
                damaged("is cut off: its tensors and its length do not agree".to_string())
            }
            e => damaged(format!("its header is damaged: {e}")),
        })?;
        check_count(metadata.tensors().len())?;
        let text = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY)).ok_or_else(|| {
            bad("is a safetensors file without a `percept` entry in its metadata, so not a Percept model; \
                 `percept train` makes one")
        })?;
        let header = parse_header(text)?;

        let file =
            SafeTensors::deserialize(bytes).map_err(|e| damaged(format!("its tensors are damaged: {e}")))?;
        let (mut weights, mut embedding, mut statistics) = (Weights::new(), Weights::new(), BTreeMap::new());
        let mut precision = Precision::F32;
        for (name, view) in file.iter() {
            let values = to_f32(name, view.dtype(), view.data())?;
            if name == MEAN || name == STD {
                statistics.insert(name.to_string(), values);
                continue;
            }
            let tensor = |values| Tensor::from_vec(values, view.shape(), &Device::Cpu);
            if let Some(name) = name.strip_prefix(EMBEDDING) {
                embedding.insert(name.to_string(), tensor(values)?);
                continue;
            }
            if view.dtype() == Dtype::F16 {
                precision = Precision::F16;
            }
            weights.insert(name.to_string(), tensor(values)?);
        }
        let normalization = match (statistics.remove(MEAN), statistics.remove(STD)) {
            (Some(mean), Some(std)) => Some(Normalization { mean, std }),
            (None, None) => None,
            (mean, _) => {
                let missing = if mean.is_none() { MEAN } else { STD };
                return Err(bad(format!("tensor `{missing}` is missing")));
            }
        };
        let embedding = match header.input.embedding() {
            Some(kind) => Some(Embedding::new(kind, embedding).map_err(as_model_error)?),
            None if embedding.is_empty() => None,
            None => return Err(bad("holds a pretrained network that it does not look through")),
        };
        let mut model = Self::with_embedding(header, normalization, embedding, weights, precision)?;
        model.sha256 = hex(&Sha256::digest(bytes));
        Ok(model)
    }

    /// Writes the model file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(&self.to_bytes()?).map_err(|e| Error::io(&e, path))?;
        file.commit()
    }

    /// The model file's bytes; the same for the same model.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.weights {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            tensors.insert(name.clone(), StoredTensor::new(&values, tensor.dims(), self.precision));
        }
        if let Some(Normalization { mean, std }) = &self.normalization {
            for (name, values) in [(MEAN, mean), (STD, std)] {
                tensors.insert(name.to_string(), StoredTensor::new(values, &[values.len()], Precision::F32));
            }
        }
        for (name, tensor) in self.embedding.iter().flat_map(Embedding::weights) {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let stored = StoredTensor::new(&values, tensor.dims(), Precision::F32);
            tensors.insert(format!("{EMBEDDING}{name}"), stored);
        }
        let header = serde_json::to_string(&self.header)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot write the model's header: {e}")))?;
        // One entry only: the map's order is random, and the same model must give the same bytes.
        let metadata = HashMap::from([(METADATA_KEY.to_string(), header)]);
        safetensors::serialize(tensors, Some(metadata))
            .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot write the model: {e}")))
    }

    /// The model that ships inside the program under this name for this task, if there is one.
    pub fn builtin(name: &str, task: Task) -> Option<Result<Self>> {
        BUILTIN.iter().find(|builtin| builtin.name == name && builtin.task == task).map(Builtin::load)
    }

    pub fn header(&self) -> &ModelHeader {
        &self.header
    }

    /// SHA-256 of the model file's bytes, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How the weights are stored in the file.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Weights that training has learned.
    pub fn num_parameters(&self) -> usize {
        self.weights.values().map(Tensor::elem_count).sum()
    }

    pub(crate) fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    pub(crate) fn normalization(&self) -> Option<&Normalization> {
        self.normalization.as_ref()
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Scales features `[T, D]` as the network takes them.
    pub(crate) fn normalize(&self, features: &mut Features) {
        self.header.input.normalize().apply(self.normalization.as_ref(), features);
    }

    /// The same model with another way from scores to events. What was measured with the old one is forgotten; `metrics` are
    /// what is known of the new one.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where they do not fit the model, or it makes no events.
    pub fn with_decisions(&self, decisions: Decisions, metrics: BTreeMap<String, f64>) -> Result<Self> {
        let mut header = ModelHeader { decisions: Some(decisions), ..self.header.clone() };
        header.provenance.metrics = metrics;
        let (normalization, embedding) = (self.normalization.clone(), self.embedding.clone());
        Self::with_embedding(header, normalization, embedding, self.weights.clone(), self.precision)
    }

    /// Whether so many frames can be classified at once.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where the network would need more than [`MAX_NETWORK_BYTES`].
    pub(crate) fn check_length(&self, frames: usize) -> Result<()> {
        let most = MAX_NETWORK_BYTES / self.header.network.bytes_per_frame(frame_shape(&self.header.input));
        if frames <= most {
            return Ok(());
        }
        let seconds = self.header.input.clock().seconds(most as u64).floor();
        let message = format!(
            "the recording is too long to be classified at once (more than {most} frames, {seconds} s, which this model \
             takes); cut it into parts"
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    /// Features `[T, D]` as the extractor gives them -> logits, one per label.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] where the network would need more than [`MAX_NETWORK_BYTES`].
    pub fn logits(&self, features: Features) -> Result<Vec<f32>> {
        Ok(self.logits_each(vec![features])?.swap_remove(0))
    }

    /// As [`Model::logits`] of several clips at once, which is faster for short ones; the bits of each are those of it alone.
    ///
    /// # Errors
    /// As [`Model::logits`], where they are too long together.
    pub fn logits_each(&self, clips: Vec<Features>) -> Result<Vec<Vec<f32>>> {
        let lengths: Vec<usize> = clips.iter().map(|clip| clip.frames).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        self.check_length(longest * clips.len())?;
        let dim = self.header.input.num_features();
        let mut x = Vec::with_capacity(clips.len() * longest * dim);
        for (i, mut clip) in clips.into_iter().enumerate() {
            self.normalize(&mut clip);
            x.extend_from_slice(&clip.data);
            x.resize((i + 1) * longest * dim, 0.0);
        }
        let x = Tensor::from_vec(x, (lengths.len(), longest, dim), &Device::Cpu)?;
        self.network.forward_each(&x, &lengths)
    }
}

/// A tensor's bytes on their way to a file.
struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl StoredTensor {
    fn new(values: &[f32], shape: &[usize], precision: Precision) -> Self {
        let (dtype, bytes) = match precision {
            Precision::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Precision::F16 => {
                (Dtype::F16, values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect())
            }
        };
        Self { dtype, shape: shape.to_vec(), bytes }
    }
}

impl View for StoredTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn to_f32(name: &str, dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    match dtype {
        Dtype::F32 => {
            Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Dtype::F16 => Ok(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
        other => Err(bad(format!("tensor `{name}` is of type {other:?}; a model has F32 or F16"))),
    }
}

/// The first eight bytes give the header's length: said here in plain words before the library looks.
fn check_length(bytes: &[u8]) -> Result<()> {
    let Some(length) = bytes.first_chunk::<8>() else {
        return Err(if bytes.is_empty() {
            bad("is empty, so no model; `percept train` makes one")
        } else {
            not_a_model()
        });
    };
    let header_length = u64::from_le_bytes(*length);
    if bytes.get(8) != Some(&b'{') {
        return Err(not_a_model());
    }
    if header_length > MAX_HEADER_BYTES {
        let message = format!(
            "its header claims {header_length} bytes where the limit is {MAX_HEADER_BYTES}: damaged, or no model"
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    if header_length > bytes.len() as u64 - 8 {
        return Err(damaged(format!(
            "is cut off: its header claims {header_length} bytes and {} are there",
            bytes.len() - 8
        )));
    }
    Ok(())
}

fn parse_header(text: &str) -> Result<ModelHeader> {
    /// Read first, because another version may have other fields.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let damaged = |e: serde_json::Error| bad(format!("its `percept` entry cannot be read: {e}"));
    let Version { format_version } = serde_json::from_str(text).map_err(damaged)?;
    if format_version != FORMAT_VERSION {
        return Err(bad(format!(
            "is of format version {format_version}; this program ({}) reads version {FORMAT_VERSION}: use the \
             program that wrote it, or train again",
            crate::TOOL
        )));
    }
    let header: ModelHeader = serde_json::from_str(text).map_err(damaged)?;
    check_complete(text, &header)?;
    Ok(header)
}

/// Settings that are left out would silently become today's defaults: a model says all of them.
fn check_complete(text: &str, header: &ModelHeader) -> Result<()> {
    let values = |e: serde_json::Error| bad(format!("its `percept` entry cannot be read: {e}"));
    let given: serde_json::Value = serde_json::from_str(text).map_err(values)?;
    let all = serde_json::to_value(header).map_err(values)?;
    if let Some(key) = keys_of(&given).find(|key| all.get(key).is_none()) {
        return Err(bad(format!("its `percept` entry has `{key}`, which this program does not know")));
    }
    for section in [header.input.section(), "network"] {
        let keys = all[section].as_object().into_iter().flat_map(|settings| settings.keys());
        if let Some(key) = keys.into_iter().find(|key| given[section].get(key).is_none()) {
            return Err(bad(format!("its `percept` entry has no `{section}.{key}`")));
        }
    }
    Ok(())
}

fn keys_of(value: &serde_json::Value) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flat_map(|fields| fields.keys())
}

/// What a frame holds, for the network.
pub(crate) fn frame_shape(input: &InputConfig) -> FrameShape {
    let [channels, height, width] = input.planes();
    FrameShape { channels, height, width, rest: input.num_features() - channels * height * width }
}

fn check_header(header: &ModelHeader, normalization: Option<&Normalization>) -> Result<()> {
    header.input.validate().map_err(as_model_error)?;
    if !header.input.is_complete() {
        let section = header.input.section();
        return Err(bad(format!("does not say how many numbers or frames there are in `{section}`")));
    }
    header.network.validate().map_err(as_model_error)?;

    check_task(header)?;

    let labels = &header.labels;
    if !(1..=MAX_WIDTH).contains(&labels.len()) {
        return Err(bad(format!("has {} labels; must be 1 to {MAX_WIDTH}", labels.len())));
    }
    let mut seen = HashSet::new();
    for label in labels.iter().chain([&header.name]) {
        check_label(label)?;
    }
    if let Some(label) = labels.iter().find(|label| !seen.insert(*label)) {
        return Err(bad(format!("label `{label}` stands twice")));
    }

    let wants_statistics = header.input.normalize() == Normalize::Training;
    match normalization {
        None if wants_statistics => Err(bad(format!("tensor `{MEAN}` is missing"))),
        Some(_) if !wants_statistics => Err(bad(format!("tensor `{MEAN}` has no place in this model"))),
        Some(normalization) => normalization.check(header.input.num_features()),
        None => Ok(()),
    }
}

/// A network that pools gives an answer for a clip; one that does not, for each frame, of which events are made.
fn check_task(header: &ModelHeader) -> Result<()> {
    let pools = header.network.pooling != Pooling::None;
    match (header.task, &header.decisions) {
        (Task::Classify, None) if pools => Ok(()),
        (Task::Tag, Some(decisions)) if !pools => {
            if !(decisions.temperature.is_normal() && decisions.temperature > 0.0) {
                return Err(bad(format!(
                    "has a temperature of {}; it must be above 0",
                    decisions.temperature
                )));
            }
            decisions.rule.check(header.labels.len())
        }
        (Task::Classify, _) => Err(bad("is of task `classify`, which needs pooling and no `decisions`")),
        (Task::Tag, _) => Err(bad("is of task `tag`, which needs `decisions` and pooling `none`")),
    }
}

/// What may name a class, or a model: a text of one line that fits on a screen.
///
/// # Errors
/// [`ErrorKind::Model`]
pub(crate) fn check_label(label: &str) -> Result<()> {
    if label.is_empty() {
        Err(bad("a label is empty"))
    } else if label.len() > MAX_LABEL_BYTES {
        Err(bad(format!("a label has {} bytes; at most {MAX_LABEL_BYTES} are allowed", label.len())))
    } else if label.chars().any(char::is_control) {
        Err(bad(format!("the label {label:?} holds a control character")))
    } else {
        Ok(())
    }
}

fn check_finite(weights: &Weights) -> Result<()> {
    for (name, tensor) in weights {
        if !tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite()) {
            return Err(bad(format!("tensor `{name}` holds values that are not finite: damaged")));
        }
    }
    Ok(())
}

fn as_model_error(error: Error) -> Error {
    bad(error.message)
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}

fn damaged(message: String) -> Error {
    bad(format!("{message}; copy or train the model again"))
}

fn not_a_model() -> Error {
    bad("is no Percept model (not a safetensors file); `percept train` makes one")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
