//! Training and evaluating, end to end, on tones that a small network learns in seconds.

use super::*;

const SMALL: [&str; 14] = [
    "--sample-rate",
    "8000",
    "--n-mels",
    "16",
    "--hidden-size",
    "8",
    "--num-layers",
    "1",
    "--epochs",
    "12",
    "--batch-size",
    "8",
    "--learning-rate",
    "0.02",
];

/// 16 clips of each of two labels, low tones and high ones, in one folder a label, and a manifest of them.
pub fn tones(place: &Workplace) {
    let mut manifest = "path,label,split,group,weather\n".to_string();
    for (label, frequency) in [("low", 300.0), ("high", 2000.0)] {
        std::fs::create_dir_all(place.path("clips").join(label)).unwrap();
        for i in 0..16 {
            let frequency = frequency * (1.0 + 0.02 * i as f32);
            let samples: Vec<f32> = (0..2000 + 150 * i)
                .map(|n| 0.3 * (n as f32 * frequency * std::f32::consts::TAU / 8000.0).sin())
                .collect();
            let name = format!("clips/{label}/{i}.wav");
            place.wav(&name, 1, &samples);
            let split = if i % 4 == 0 { "test" } else { "train" };
            manifest += &format!("{name},{label},{split},{},sunny\n", i / 4);
        }
    }
    place.write("clips.csv", manifest);
}

fn train(place: &Workplace, args: &[&str]) -> Run {
    place.run(&[&["train"], args, &SMALL].concat())
}

#[test]
fn a_folder_of_recordings_becomes_a_model_that_classifies() {
    let place = Workplace::new();
    tones(&place);
    let run = train(&place, &["clips", "-o", "tones.safetensors"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    schema::assert_valid(&place, "train", &run.json());
    assert_eq!(run.json()["model"]["labels"], serde_json::json!(["high", "low"]));

    let result = place.run(&["classify", "-m", "tones.safetensors", "clips/low/3.wav", "clips/high/5.wav"]);
    assert_eq!(result.code(), 0, "{}", result.stderr());
    assert_eq!(result.json()[0]["predictions"][0]["label"], "low");
    assert_eq!(result.json()[1]["predictions"][0]["label"], "high");
    assert_eq!(result.json()[0]["model"]["sha256"], run.json()["model"]["sha256"]);
}

#[test]
fn a_manifest_is_trained_on_and_its_test_part_evaluated() {
    let place = Workplace::new();
    tones(&place);
    let args = ["--manifest", "clips.csv", "--group-column", "", "-o", "tones.safetensors"];
    let run = train(&place, &args);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("weather"), "an ignored column is named: {}", run.stderr());
    assert_eq!(run.json()["test"]["clips"], 8);

    let evaluation = place.run(&["evaluate", "-m", "tones.safetensors", "--manifest", "clips.csv"]);
    assert_eq!(evaluation.code(), 0, "{}", evaluation.stderr());
    let report = evaluation.json();
    schema::assert_valid(&place, "evaluate", &report);
    assert_eq!(report["part"], "test");
    assert_eq!(report["evaluation"]["accuracy"], run.json()["test"]["accuracy"]);
    assert_eq!(report["evaluation"]["accuracy"], 1.0);
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let place = Workplace::new();
    tones(&place);
    // Into folders, because a model has its file's name.
    let bytes = |folder: &str, seed: &str, threads: &str| {
        std::fs::create_dir(place.path(folder)).unwrap();
        let output = format!("{folder}/m.safetensors");
        let mut command = place.command(&["train", "clips", "-o", &output, "--seed", seed, "--augment"]);
        command.args(["--epochs", "2", "--hidden-size", "8", "--num-layers", "2", "--batch-size", "40"]);
        let run = Run(command.env("RAYON_NUM_THREADS", threads).output().unwrap());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        std::fs::read(place.path(&output)).unwrap()
    };
    let first = bytes("a", "3", "1");
    assert!(first == bytes("b", "3", "1"), "a second run gave another model");
    assert!(first == bytes("c", "3", "3"), "three threads gave another model");
    assert!(first != bytes("d", "4", "1"), "another seed gave the same model");
}

#[test]
fn the_printed_configuration_can_be_read_back() {
    let place = Workplace::new();
    let printed = place.run(&["train", "clips", "--print-config", "--cell", "lstm"]);
    assert_eq!(printed.code(), 0);
    place.write("x.toml", printed.stdout());
    let again = place.run(&["train", "--config", "x.toml", "--print-config"]);
    assert_eq!(again.stdout(), printed.stdout());
    assert!(again.stdout().contains("cell = \"lstm\""));
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    let place = Workplace::new();
    place.write("x.toml", "[network]\nhiden_size = 3\n");
    let run = place.run(&["train", "clips", "--config", "x.toml", "-o", "m.safetensors"]);
    run.assert_fatal(&["x.toml", "hiden_size", "hidden_size"]);
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("none")).unwrap();
    for args in [&["none"][..], &["missing"], &["tone.wav"], &["--manifest", "missing.csv"], &[]] {
        let run = place.run(&[&["train", "-o", "m.safetensors"], args].concat());
        assert_eq!(run.code(), 2, "{args:?}");
        assert!(run.stderr().starts_with("percept: error: "), "{}", run.stderr());
        assert!(!place.path("m.safetensors").exists());
    }
}
