//! The model file: what is written comes back, and what is damaged says so.

use std::collections::HashMap;

use percept::features::{FeatureConfig, Features, InputConfig, Normalization};
use percept::model::{FORMAT_VERSION, Model, ModelHeader, Precision, Provenance, Task};
use percept::nn::{Network, NetworkConfig, Weights};
use percept::{Error, ErrorKind};
use safetensors::SafeTensors;

const DIM: usize = 8;

fn header() -> ModelHeader {
    ModelHeader {
        format_version: FORMAT_VERSION,
        name: "test".into(),
        task: Task::Classify,
        labels: vec!["no".into(), "yes".into()],
        input: InputConfig::Audio(FeatureConfig { n_mels: DIM, ..FeatureConfig::default() }),
        network: NetworkConfig { hidden_size: 4, num_layers: 1, ..NetworkConfig::default() },
        decisions: None,
        provenance: Provenance { tool: "test".into(), ..Provenance::default() },
    }
}

fn normalization() -> Normalization {
    Normalization { mean: vec![0.5; DIM], std: vec![2.0; DIM] }
}

fn weights() -> Weights {
    let vars = Network::init(&header().network, DIM, 2, 9).unwrap();
    vars.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
}

fn model(precision: Precision) -> Model {
    Model::new(header(), Some(normalization()), weights(), precision).unwrap()
}

fn features() -> Features {
    Features { data: (0..5 * DIM).map(|i| (i as f32).sin()).collect(), frames: 5, dim: DIM }
}

/// The file again with other metadata and some tensors left out.
fn rewrite(change: impl FnOnce(&mut HashMap<String, String>), keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let bytes = model(Precision::F32).to_bytes().unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut entries = metadata.metadata().clone().unwrap();
    change(&mut entries);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = file.iter().filter(|(name, _)| keep(name)).collect();
    safetensors::serialize(tensors, Some(entries)).unwrap()
}

fn edit_header(edit: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    rewrite(
        |entries| {
            let mut value = serde_json::from_str(&entries["percept"]).unwrap();
            edit(&mut value);
            entries.insert("percept".into(), value.to_string());
        },
        |_| true,
    )
}

fn error(bytes: &[u8]) -> Error {
    match Model::from_bytes(bytes) {
        Ok(_) => panic!("the file was taken for a good one"),
        Err(error) => error,
    }
}

#[test]
fn a_model_comes_back_as_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for precision in [Precision::F32, Precision::F16] {
        let saved = model(precision);
        saved.save(&path).unwrap();
        let loaded = Model::load(&path).unwrap();
        assert_eq!(loaded.header(), saved.header());
        assert_eq!(loaded.precision(), precision);
        assert_eq!(loaded.sha256(), saved.sha256());
        assert_eq!(loaded.num_parameters(), saved.num_parameters());
        assert_eq!(loaded.logits(features()).unwrap(), saved.logits(features()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), loaded.to_bytes().unwrap());
    }
}

#[test]
fn half_precision_changes_the_answer_little() {
    let full = model(Precision::F32).logits(features()).unwrap();
    let half = model(Precision::F16).logits(features()).unwrap();
    for (f, h) in full.iter().zip(half) {
        assert!((f - h).abs() < 5e-3, "{f} {h}");
    }
}

#[test]
fn an_unknown_version_is_named() {
    let error = error(&edit_header(|h| {
        h["format_version"] = 99.into();
        h["future_field"] = true.into();
    }));
    assert!(error.message.contains("format version 99"), "{error}");
    assert_eq!(error.kind, ErrorKind::Model);
}

#[test]
fn an_unknown_field_a_bad_setting_and_doubled_labels_are_errors() {
    type Edit = fn(&mut serde_json::Value);
    let edits: [(Edit, &str); 8] = [
        (|h| h["wings"] = 2.into(), "wings"),
        (|h| h["network"]["hidden_size"] = 1_000_000_000.into(), "hidden_size"),
        (|h| h["features"]["n_fft"] = 1_000_000_000.into(), "n_fft"),
        (|h| h["features"]["sample_rate"] = 0.into(), "sample_rate"),
        (|h| h["labels"] = serde_json::json!(["a", "a"]), "label `a`"),
        (|h| h["labels"] = serde_json::json!([]), "0 labels"),
        (|h| h["labels"][0] = "\u{1b}[31m".into(), "control character"),
        (|h| drop(h["features"].as_object_mut().unwrap().remove("hop_length")), "no `features.hop_length`"),
    ];
    for (edit, expected) in edits {
        let error = error(&edit_header(edit));
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(error.kind, ErrorKind::Model);
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for name in ["rnn.weight_hh_l0_reverse", "head.bias", "attention.weight", "normalization.std"] {
        let error = error(&rewrite(|_| {}, |n| n != name));
        assert!(error.message.contains(&format!("`{name}` is missing")), "{error}");
    }
    let error = error(&rewrite(|_| {}, |n| !n.starts_with("normalization")));
    assert!(error.message.contains("`normalization.mean` is missing"), "{error}");
}

#[test]
fn a_wrong_shape_says_both_shapes() {
    let error = error(&edit_header(|h| h["labels"] = serde_json::json!(["a", "b", "c"])));
    assert!(error.message.contains("shape [2] where the configuration asks for [3]"), "{error}");
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let bytes = model(Precision::F16).to_bytes().unwrap();
    for length in (0..bytes.len()).step_by(7).chain([1, 7, 8, 9, bytes.len() - 1]) {
        let error = error(&bytes[..length]);
        assert_eq!(error.kind, ErrorKind::Model, "{length}: {error}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(error(&longer).kind, ErrorKind::Model);
}

#[test]
fn an_absurd_header_length_allocates_nothing() {
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    bytes.extend(b"{}      ");
    let error = error(&bytes);
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(error.message.contains("18446744073709551615"), "{error}");
}

#[test]
fn what_is_no_model_is_told_apart() {
    assert!(error(b"").message.contains("empty"));
    assert!(error(b"RIFF....WAVEfmt ").message.contains("not a safetensors file"));
    assert!(error(&rewrite(HashMap::clear, |_| true)).message.contains("without a `percept` entry"));
    let missing = Model::load("no/such/model".as_ref()).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    let folder = Model::load(env!("CARGO_MANIFEST_DIR").as_ref()).unwrap_err();
    assert_eq!(folder.kind, ErrorKind::Path);
}

#[test]
fn weights_that_are_not_numbers_are_damage() {
    let mut weights = weights();
    let bias = candle_core::Tensor::new(&[f32::NAN, 0.0], &candle_core::Device::Cpu).unwrap();
    weights.insert("head.bias".into(), bias);
    let error = Model::new(header(), Some(normalization()), weights, Precision::F32).unwrap_err();
    assert!(error.message.contains("`head.bias` holds values that are not finite"), "{error}");
}

#[test]
fn task_network_and_decisions_must_fit_each_other() {
    let whole = serde_json::json!({
        "temperature": 1.0,
        "rule": {"thresholds": {"high": [0.5, 0.5], "low": 1.0, "median": 1, "max_gap": 0, "min_length": 1}}
    });
    let tagger = |change: fn(&mut serde_json::Value)| {
        let mut decisions = whole.clone();
        change(&mut decisions);
        edit_header(|header| {
            header["task"] = "tag".into();
            header["network"]["pooling"] = "none".into();
            header["decisions"] = decisions;
        })
    };
    // The weights are those of a network that pools, so that is what is wrong with it.
    assert!(error(&tagger(|_| ())).message.contains("attention.weight"));
    for (bytes, part) in [
        (edit_header(|header| header["task"] = "tag".into()), "is of task `tag`, which needs `decisions`"),
        (edit_header(|header| header["network"]["pooling"] = "none".into()), "which needs pooling"),
        (tagger(|d| d["temperature"] = 0.0.into()), "has a temperature of 0"),
        (tagger(|d| d["rule"]["thresholds"]["high"] = serde_json::json!([0.5])), "a finite threshold is due"),
        (tagger(|d| d["rule"]["thresholds"]["median"] = 2.into()), "`median` must be odd"),
        (tagger(|d| d["rule"]["thresholds"]["max_gap"] = 1_000_000_000.into()), "a length is too large"),
        (
            tagger(|d| d["rule"] = serde_json::json!({"onsets": {"threshold": [], "distance": 1}})),
            "a finite threshold",
        ),
        (
            tagger(|d| {
                d["rule"] = serde_json::json!({"exclusive": {
                    "background": 2, "majority": false, "min_length": 1, "transition": null
                }});
            }),
            "`background` is no label",
        ),
        (
            tagger(|d| {
                d["rule"] = serde_json::json!({"exclusive": {
                    "background": 0, "majority": true, "min_length": 1,
                    "transition": {"initial": [0.0, 0.0], "transition": [0.0, 0.0, 0.0]}
                }});
            }),
            "`transition` does not fit",
        ),
        (tagger(|d| d["rule"] = serde_json::json!({"guess": {}})), "cannot be read"),
    ] {
        let error = error(&bytes);
        assert_eq!(error.kind, ErrorKind::Model);
        assert!(error.message.contains(part), "{part} is not in {error}");
    }
}
