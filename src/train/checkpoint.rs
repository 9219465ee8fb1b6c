//! What a run that was stopped goes on from.
//!
//! A checkpoint is a safetensors file. Its `__metadata__` has one entry, `percept_checkpoint`: the SHA-256 over a
//! [`CheckpointHeader`] as JSON and the tensors by name, and that header. Its tensors are F32, each under the name that it has in
//! the model behind what it is: `now.` as the network stands, `first_moment.` and `second_moment.` of AdamW, `mean.` the averaged
//! weights, `kept.` those of the epoch that would be the model; and `history`, F64, with a row an epoch.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::optimizer::{Moments, OptimizerState};
use super::{EpochMetrics, Event, TrainConfig};
use crate::error::some_of;
use crate::files::{AtomicFile, read_limited};
use crate::model::hex;
use crate::nn::Weights;
use crate::{Error, ErrorKind, Result};

const METADATA_KEY: &str = "percept_checkpoint";
/// Longest checkpoint, in bytes: five times the longest model.
const MAX_BYTES: u64 = 10 << 30;
const HISTORY: &str = "history";

/// Whether a file that begins so is a checkpoint.
pub fn is_checkpoint(head: &[u8]) -> bool {
    head.windows(METADATA_KEY.len()).any(|part| part == METADATA_KEY.as_bytes())
}

/// What a checkpoint is of: a run goes on only with all of it the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CheckpointHeader {
    /// `percept 0.1.0`
    pub tool: String,
    /// The resolved configuration as TOML, without folders and without what does not change what is learned.
    pub config: String,
    /// SHA-256 over the training files' contents and labels.
    pub data_sha256: String,
    /// SHA-256 of the model that training began from; empty where it began from nothing.
    pub from_sha256: String,
}

/// Where a run stands after an epoch: all that the next epochs depend on.
#[derive(Debug, Clone)]
pub(super) struct Checkpoint {
    pub header: CheckpointHeader,
    /// The tensors as they are.
    pub now: Weights,
    pub optimizer: OptimizerState,
    /// Their running mean, where weights are averaged.
    pub mean: Option<Weights>,
    /// Those that would be the model.
    pub kept: Weights,
    /// The epochs so far, at least one.
    pub history: Vec<EpochMetrics>,
}

impl CheckpointHeader {
    /// Says what of `self`, as the run is now, is not as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the settings that differ, the data or the model it began from.
    pub fn check(&self, was: &Self) -> Result<()> {
        let differs = |what: String| {
            let message = format!(
                "{what}, so this is not the run that its checkpoint is of: put it back as it was, or leave --resume out \
                 to start anew"
            );
            Err(Error::new(ErrorKind::Config, message))
        };
        let settings = differing(&was.config, &self.config);
        if !settings.is_empty() {
            return differs(format!("the configuration differs ({})", some_of(&settings)));
        }
        if self.data_sha256 != was.data_sha256 {
            return differs("the training files or their labels differ".into());
        }
        if self.from_sha256 != was.from_sha256 {
            return differs("the model to start from differs".into());
        }
        if self.tool != was.tool {
            return differs(format!("the checkpoint was written by {}, this is {}", was.tool, self.tool));
        }
        Ok(())
    }
}

/// A configuration in which only that is left which changes what is learned.
pub(super) fn comparable(config: &TrainConfig) -> Result<String> {
    let mut config = config.clone();
    let usual = TrainConfig::default().training;
    config.training.checkpoint_minutes = usual.checkpoint_minutes;
    config.training.baseline = usual.baseline;
    config.training.near_duplicates = usual.near_duplicates;
    config.to_toml()
}

/// The settings in which two configurations differ, as `[section] key: old, now new`.
fn differing(old: &str, new: &str) -> Vec<String> {
    let parse = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
    let (old, new) = (parse(old), parse(new));
    let none = toml::Table::new();
    let mut differences = Vec::new();
    for section in new.keys().chain(old.keys().filter(|key| !new.contains_key(*key))) {
        let table = |all: &toml::Table| all.get(section).and_then(|v| v.as_table()).cloned();
        let (old, new) = (table(&old).unwrap_or(none.clone()), table(&new).unwrap_or(none.clone()));
        for key in new.keys().chain(old.keys().filter(|key| !new.contains_key(*key))) {
            let (was, is) = (old.get(key), new.get(key));
            if was != is {
                let text = |v: Option<&toml::Value>| v.map_or("left out".into(), toml::Value::to_string);
                differences.push(format!("[{section}] {key}: {}, now {}", text(was), text(is)));
            }
        }
    }
    differences
}

impl Checkpoint {
    /// Reads a checkpoint file.
    ///
    /// # Errors
    /// Those of the file; [`ErrorKind::Training`] for one that is no checkpoint or is damaged.
    pub fn load(path: &Path) -> Result<Self> {
        read_limited(path, "a checkpoint is due", MAX_BYTES)
            .and_then(|bytes| Self::from_bytes(&bytes))
            .map_err(|error| error.with_path(path))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|_| damaged())?;
        let entry = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
        let (sum, header) = entry.and_then(|entry| entry.split_once(' ')).ok_or_else(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(|_| damaged())?;
        let tensors: BTreeMap<String, Vec<u8>> =
            file.iter().map(|(name, view)| (name.to_string(), view.data().to_vec())).collect();
        if sum != checksum(header, tensors.iter()) {
            return Err(damaged());
        }
        drop(tensors);
        let header = serde_json::from_str(header).map_err(|_| damaged())?;
        let mut kinds: HashMap<&str, Weights> = HashMap::new();
        let (mut history, mut step) = (Vec::new(), 0);
        for (name, view) in file.iter() {
            if name == HISTORY {
                history = rows(view.data())?;
                continue;
            }
            if name == "step" {
                step = view.data().first_chunk().map(|b| u64::from_le_bytes(*b)).ok_or_else(damaged)?;
                continue;
            }
            let (kind, name) = name.split_once('.').ok_or_else(damaged)?;
            if view.dtype() != Dtype::F32 {
                return Err(damaged());
            }
            let each = view.data().as_chunks::<4>().0.iter();
            let values: Vec<f32> = each.map(|&bytes| f32::from_le_bytes(bytes)).collect();
            let tensor = Tensor::from_vec(values, view.shape(), &Device::Cpu)?;
            kinds.entry(kind).or_default().insert(name.to_string(), tensor);
        }
        let mut take = |kind| kinds.remove(kind).unwrap_or_default();
        let (now, kept, mean) = (take("now"), take("kept"), take("mean"));
        let mut second = take("second_moment");
        let mut moments = BTreeMap::new();
        for (name, first) in take("first_moment") {
            let second = second.remove(&name).ok_or_else(damaged)?;
            let values = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            moments.insert(name, Moments { first: values(first)?, second: values(second)? });
        }
        if history.is_empty() || now.is_empty() || kept.is_empty() {
            return Err(damaged());
        }
        Ok(Self {
            header,
            now,
            optimizer: OptimizerState { step: step as usize, moments },
            mean: (!mean.is_empty()).then_some(mean),
            kept,
            history,
        })
    }

    /// Writes the file; one that is there is replaced only when this one is whole.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(&self.to_bytes()?).map_err(|error| Error::io(&error, path))?;
        file.commit()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut stored: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let weights = [("now", Some(&self.now)), ("mean", self.mean.as_ref()), ("kept", Some(&self.kept))];
        for (kind, weights) in weights {
            for (name, tensor) in weights.into_iter().flatten() {
                let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                stored.insert(format!("{kind}.{name}"), (Dtype::F32, tensor.dims().to_vec(), bytes(&values)));
            }
        }
        for (name, Moments { first, second }) in &self.optimizer.moments {
            for (kind, values) in [("first_moment", first), ("second_moment", second)] {
                stored.insert(format!("{kind}.{name}"), (Dtype::F32, vec![values.len()], bytes(values)));
            }
        }
        let numbers = self.history.iter().flat_map(|epoch| epoch.to_numbers());
        let shape = vec![self.history.len(), EpochMetrics::NUMBERS];
        let history = numbers.flat_map(f64::to_le_bytes).collect();
        stored.insert(HISTORY.into(), (Dtype::F64, shape, history));
        let step = (self.optimizer.step as u64).to_le_bytes().to_vec();
        stored.insert("step".into(), (Dtype::U64, vec![1], step));

        let failed = |what: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Internal, format!("cannot make a checkpoint: {what}"))
        };
        let views = stored
            .iter()
            .map(|(name, (dtype, shape, data))| {
                Ok((name, TensorView::new(*dtype, shape.clone(), data).map_err(|e| failed(&e))?))
            })
            .collect::<Result<Vec<_>>>()?;
        let header = serde_json::to_string(&self.header).map_err(|e| failed(&e))?;
        let checksum = checksum(&header, stored.iter().map(|(name, (_, _, data))| (name, data)));
        // One entry only: the map's order is random, and the same state must give the same bytes.
        let metadata = HashMap::from([(METADATA_KEY.to_string(), format!("{checksum} {header}"))]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| failed(&e))
    }
}

/// SHA-256 in hexadecimal. A flipped bit would not be seen otherwise, and the model would be another.
fn checksum<'a>(header: &str, tensors: impl Iterator<Item = (&'a String, &'a Vec<u8>)>) -> String {
    let mut hash = Sha256::new();
    hash.update(header);
    for (name, data) in tensors {
        hash.update(name);
        hash.update(data);
    }
    hex(&hash.finalize())
}

fn rows(bytes: &[u8]) -> Result<Vec<EpochMetrics>> {
    let numbers: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect();
    let (rows, rest) = numbers.as_chunks::<{ EpochMetrics::NUMBERS }>();
    match rest {
        [] => Ok(rows.iter().map(|&row| EpochMetrics::from_numbers(row)).collect()),
        _ => Err(damaged()),
    }
}

fn damaged() -> Error {
    let message = "is no checkpoint of Percept, or a damaged one; leave --resume out to start anew";
    Error::new(ErrorKind::Training, message)
}

/// Writes checkpoints after epochs, not too often.
pub(super) struct Keeper {
    /// `None` where none are wanted.
    place: Option<PathBuf>,
    /// Least time from one to the next.
    every: Duration,
    /// When the last one was written, or the run began.
    last: Instant,
    /// The latest that was not written.
    pending: Option<Checkpoint>,
    /// Whether the one before could not be written, which is said once.
    failed: bool,
}

impl Keeper {
    /// Writes to `place` every so many `minutes` at most; 0 writes nothing.
    pub fn new(place: Option<PathBuf>, minutes: f64) -> Self {
        let place = place.filter(|_| minutes > 0.0);
        Self {
            place,
            every: Duration::from_secs_f64(60.0 * minutes),
            last: Instant::now(),
            pending: None,
            failed: false,
        }
    }

    /// Whether it wants checkpoints at all.
    pub fn is_on(&self) -> bool {
        self.place.is_some()
    }

    /// Writes `checkpoint` where it is time to; one that cannot be written is said and costs nothing else.
    pub fn keep(&mut self, checkpoint: Checkpoint, on_event: &mut dyn FnMut(Event)) {
        self.pending = Some(checkpoint);
        if self.last.elapsed() >= self.every {
            self.write(on_event);
        }
    }

    /// Writes the latest, if that was not done.
    pub fn write(&mut self, on_event: &mut dyn FnMut(Event)) {
        let (Some(place), Some(checkpoint)) = (&self.place, self.pending.take()) else { return };
        self.last = Instant::now();
        let failed_before = self.failed;
        let saved = checkpoint.save(place);
        self.failed = saved.is_err();
        if let Err(error) = saved
            && !failed_before
        {
            on_event(Event::Warning(format!("no checkpoint was written, training goes on: {error}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let weights = |value: f32| Weights::from([("head.bias".to_string(), tensor(&[value, 0.1]))]);
        let moments = Moments { first: vec![0.3, f32::MIN_POSITIVE], second: vec![1e-30, 0.0] };
        let epoch = [1.0, 0.1 + 0.2, 0.5, f64::NAN, f64::NAN, 1e-3, 1.0, 2.0];
        Checkpoint {
            header: CheckpointHeader {
                tool: "percept 1".into(),
                config: "[training]\nepochs = 3\nseed = 1".into(),
                data_sha256: "aa".into(),
                from_sha256: String::new(),
            },
            now: weights(1.0),
            optimizer: OptimizerState { step: 7, moments: [("head.bias".to_string(), moments)].into() },
            mean: Some(weights(2.0)),
            kept: weights(3.0),
            history: vec![EpochMetrics::from_numbers(epoch)],
        }
    }

    #[test]
    fn a_checkpoint_is_read_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.checkpoint");
        let written = checkpoint();
        written.save(&path).unwrap();
        let read = Checkpoint::load(&path).unwrap();
        assert_eq!((&read.header, &read.optimizer), (&written.header, &written.optimizer));
        assert_eq!(read.history, written.history);
        let values = |weights: &Weights| weights["head.bias"].to_vec1::<f32>().unwrap();
        assert_eq!(values(&read.now), [1.0, 0.1]);
        assert_eq!(values(read.mean.as_ref().unwrap()), [2.0, 0.1]);
        assert_eq!(values(&read.kept), [3.0, 0.1]);
        assert_eq!(std::fs::read(&path).unwrap(), written.to_bytes().unwrap());
    }

    #[test]
    fn what_is_no_checkpoint_or_a_part_of_one_is_an_error() {
        let bytes = checkpoint().to_bytes().unwrap();
        for cut in [0, 4, 8, 100, bytes.len() - 1] {
            assert_eq!(Checkpoint::from_bytes(&bytes[..cut]).unwrap_err().kind, ErrorKind::Training, "{cut}");
        }
        let error = Checkpoint::from_bytes(include_bytes!("../../assets/gestures.safetensors")).unwrap_err();
        assert!(error.message.contains("no checkpoint"), "{error}");
    }

    #[test]
    fn what_differs_is_named() {
        let was = checkpoint().header;
        was.check(&was.clone()).unwrap();
        let now = CheckpointHeader {
            config: "[training]\nepochs = 4\n[augment]\nenabled = true".into(),
            ..was.clone()
        };
        let message = now.check(&was).unwrap_err().message;
        for part in ["[training] epochs: 3, now 4", "seed: 1, now left out", "enabled: left out, now true"] {
            assert!(message.contains(part), "{message}");
        }
        let now = CheckpointHeader { data_sha256: "bb".into(), ..was.clone() };
        assert!(now.check(&was).unwrap_err().message.contains("training files"));
        let now = CheckpointHeader { from_sha256: "cc".into(), ..was.clone() };
        assert!(now.check(&was).unwrap_err().message.contains("model to start from"));
    }
}
