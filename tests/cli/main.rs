//! The command line as a user runs it.

mod bad_input;
mod batch;
mod batch_stopped;
mod classify;
mod events;
mod features;
mod feeding;
mod honest;
mod info;
mod long_training;
#[cfg(target_os = "linux")]
mod names;
mod probe;
mod replaced;
mod report;
mod schema;
mod tag;
mod tag_training;
mod terminal;
mod train;
mod vectors;
mod video;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use percept::decide::{Decisions, Exclusive, Rule};
use percept::features::{FeatureConfig, InputConfig, Normalize};
use percept::model::{Model, ModelHeader, Precision, Provenance, Task};
use percept::nn::{FrameShape, Network, NetworkConfig, Pooling};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a small model and a good recording in it, where the program is run.
struct Workplace {
    folder: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        tiny_model(Task::Classify).save(&place.path("tiny.safetensors")).unwrap();
        place.wav("tone.wav", 1, &tone(8000));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// 32-bit float WAV at 8 kHz.
    fn wav(&self, name: &str, channels: u16, samples: &[f32]) {
        let spec = hound::WavSpec {
            channels,
            sample_rate: 8000,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::create(self.path(name), spec).unwrap();
        samples.iter().for_each(|&x| writer.write_sample(x).unwrap());
        writer.finalize().unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("percept"));
        command.current_dir(self.folder.path()).args(args).timeout(std::time::Duration::from_secs(120));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        Run(self.command(args).output().unwrap())
    }

    /// `percept classify -m tiny.safetensors ARGS`
    fn classify(&self, args: &[&str]) -> Run {
        self.run(&[&["classify", "-m", "tiny.safetensors"], args].concat())
    }
}

/// What a run gave.
struct Run(Output);

impl Run {
    fn code(&self) -> i32 {
        self.0.status.code().expect("ended by a signal")
    }

    fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).unwrap()
    }

    fn stderr(&self) -> &str {
        let text = std::str::from_utf8(&self.0.stderr).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.stdout()).unwrap_or_else(|e| panic!("{e}: {}", self.stdout()))
    }

    /// The run failed as a whole, with this one line and no result.
    fn assert_fatal(&self, parts: &[&str]) {
        self.assert_one_error_line(parts);
        assert_eq!(self.code(), 2);
        assert_eq!(self.stdout(), "");
    }

    fn assert_one_error_line(&self, parts: &[&str]) {
        let stderr = self.stderr();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("percept: error: "), "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
        }
    }
}

/// Random weights: nothing it says is true, but it says the same each time.
fn tiny_model(task: Task) -> Model {
    tiny(task, true)
}

fn tiny(task: Task, bidirectional: bool) -> Model {
    tiny_network(task, NetworkConfig { bidirectional, ..NetworkConfig::default() })
}

fn tiny_network(task: Task, network: NetworkConfig) -> Model {
    tiny_features(task, network, FeatureConfig { normalize: Normalize::None, ..features() })
}

fn features() -> FeatureConfig {
    FeatureConfig { sample_rate: 8000, n_fft: 256, hop_length: 80, n_mels: 8, ..Default::default() }
}

fn tiny_features(task: Task, network: NetworkConfig, features: FeatureConfig) -> Model {
    let (pooling, decisions) = match task {
        Task::Classify => (Pooling::Attention, None),
        Task::Tag => (Pooling::None, Some(plain_decisions())),
    };
    let network = NetworkConfig { hidden_size: 4, num_layers: 1, pooling, ..network };
    let labels: Vec<String> = ["low", "middle", "high"].map(String::from).to_vec();
    let shape = FrameShape { channels: 1, height: features.num_features(), width: 1, rest: 0 };
    let weights: BTreeMap<_, _> = Network::init(&network, shape, labels.len(), 7)
        .unwrap()
        .into_iter()
        .map(|(name, var)| (name, var.as_tensor().clone()))
        .collect();
    let header = ModelHeader {
        format_version: 1,
        name: "tiny".into(),
        task,
        labels,
        input: InputConfig::Audio(features),
        network,
        decisions,
        provenance: Provenance::default(),
    };
    Model::new(header, None, weights, Precision::F32).unwrap()
}

/// Each frame's likeliest label; the first is the background.
fn plain_decisions() -> Decisions {
    let rule = Exclusive { background: Some(0), majority: false, min_length: 1, transition: None };
    Decisions { temperature: 1.0, rule: Rule::Exclusive(rule), tuned: None }
}

/// A 440 Hz tone at 8 kHz, full scale 0.5.
fn tone(num_samples: usize) -> Vec<f32> {
    (0..num_samples).map(|i| 0.5 * (i as f32 * 440.0 * std::f32::consts::TAU / 8000.0).sin()).collect()
}

/// The samples that come with the program.
fn number() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/number.wav"))
}

fn seven() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/seven.wav"))
}
