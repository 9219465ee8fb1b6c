//! Numbers that can be trusted: folds, seeds, baselines, near-duplicates, and two models on the same clips.

use super::*;

const SMALL: &str = "[features]\nsample_rate = 8000\nn_fft = 256\nhop_length = 80\nn_mels = 16\n\
                     [network]\nhidden_size = 8\nnum_layers = 1\n\
                     [training]\nepochs = 4\nbatch_size = 8\nlearning_rate = 0.02\n";

/// Numbers that look random and are always the same, in -1..1.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// 4 clips of each of two labels from each of 3 speakers: noise, dull or sharp.
fn clips(place: &Workplace) {
    let mut manifest = "path,label,speaker\n".to_string();
    for (s, speaker) in ["ann", "ben", "eva"].into_iter().enumerate() {
        for (l, label) in ["dull", "sharp"].into_iter().enumerate() {
            for i in 0..4 {
                let noise = noise((100 * s + 10 * l + i) as u32 + 1, 4000);
                let sign = if l == 0 { 0.9 } else { -0.9 };
                let mut before = 0.0;
                let samples: Vec<f32> = noise
                    .iter()
                    .map(|x| {
                        before = sign * before + 0.1 * x;
                        before
                    })
                    .collect();
                let name = format!("{speaker}-{label}-{i}.wav");
                place.wav(&name, 1, &samples);
                manifest += &format!("{name},{label},{speaker}\n");
            }
        }
    }
    place.write("clips.csv", manifest);
    place.write("small.toml", SMALL);
}

fn train(place: &Workplace, args: &[&str]) -> Run {
    place.run(&[&["train", "--config", "small.toml", "--manifest", "clips.csv"], args].concat())
}

#[test]
fn each_speaker_is_the_test_part_once() {
    let place = Workplace::new();
    clips(&place);
    let run = train(&place, &["--folds", "speaker", "-o", "m.safetensors"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.json();
    schema::assert_valid(&place, "train-runs", &report);
    let folds: Vec<&str> =
        report["runs"].as_array().unwrap().iter().map(|run| run["fold"].as_str().unwrap()).collect();
    assert_eq!(folds, ["ann", "ben", "eva"]);
    assert_eq!(report["runs"][0]["clips"], serde_json::json!({"train": 14, "validation": 2, "test": 8}));
    assert_eq!(report["pooled"]["clips"], 24);
    assert_eq!(report["pooled"]["logistic_regression_accuracy"], 1.0);
    assert_eq!(report["pooled"]["majority_accuracy"], 0.5);
    assert!(report["warnings"].as_array().unwrap().is_empty(), "{}", report["warnings"]);

    // One fold alone is the same training.
    let config = format!("{SMALL}[data]\nfolds = \"speaker\"\ntest_fold = \"ben\"\n");
    place.write("ben.toml", config);
    let args = ["train", "--config", "ben.toml", "--manifest", "clips.csv", "-o", "m.fold-ben2.safetensors"];
    let alone = place.run(&args);
    assert_eq!(alone.code(), 0, "{}", alone.stderr());
    assert_eq!(alone.json()["test"], report["runs"][1]["test"]);
    assert!(place.path("m.fold-ben.safetensors").exists());
}

#[test]
fn folds_are_dealt_where_the_data_has_none_and_no_model_is_written_unasked() {
    let place = Workplace::new();
    clips(&place);
    let run = train(&place, &["--folds", "4", "--epochs", "1"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.json();
    assert_eq!((&report["pooled"]["clips"], &report["test"]["accuracy"]["runs"]), (&24.into(), &4.into()));
    assert!(report["runs"].as_array().unwrap().iter().all(|run| run["model"].is_null()));
    assert!(run.stderr().contains("no model was written"), "{}", run.stderr());
}

#[test]
fn folds_that_cannot_be_are_errors() {
    let place = Workplace::new();
    clips(&place);
    train(&place, &["--folds", "speeker"]).assert_fatal(&["speeker", "did you mean \"speaker\"?"]);
    train(&place, &["--folds", "25"]).assert_fatal(&["25 folds", "only 24 clips"]);
    train(&place, &["--folds", "1"]).assert_fatal(&["folds is 1"]);
    train(&place, &[]).assert_fatal(&["--output"]);
}

#[test]
fn of_several_seeds_the_one_that_validates_best_is_kept() {
    let place = Workplace::new();
    clips(&place);
    let run = train(
        &place,
        &["--seeds", "3", "--seed", "5", "--validation-fraction", "0.3", "-o", "m.safetensors"],
    );
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.json();
    schema::assert_valid(&place, "train-runs", &report);
    assert_eq!(report["seeds"], serde_json::json!([5, 6, 7]));
    let runs = report["runs"].as_array().unwrap();
    let loss = |run: &Value| run["validation_loss"].as_f64().unwrap();
    let best = runs.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
    assert!(best["kept"].as_bool().unwrap());
    assert_eq!(runs.iter().filter(|run| run["kept"] == true).count(), 1);
    let model = Model::load(&place.path("m.safetensors")).unwrap();
    assert_eq!(model.sha256(), best["model"]["sha256"].as_str().unwrap());

    // The same model comes of its own settings alone.
    let provenance = &model.header().provenance;
    let parts = |run: &Value| run["clips"].clone();
    assert!(runs.iter().all(|run| parts(run) == parts(&runs[0])));
    assert!(provenance.seed == 5 || provenance.config.contains("split_seed = 5"), "{}", provenance.config);
}

#[test]
fn without_a_validation_part_the_first_seed_is_kept_which_is_said() {
    let place = Workplace::new();
    clips(&place);
    let args = ["--seeds", "2", "--epochs", "1", "--validation-fraction", "0", "-o", "m.safetensors"];
    let run = train(&place, &args);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert_eq!(run.json()["runs"][0]["kept"], true);
    assert!(run.stderr().contains("the first seed, as there is no validation part"), "{}", run.stderr());
}

#[test]
fn a_fold_that_fails_leaves_the_others_standing() {
    let place = Workplace::new();
    clips(&place);
    // Without eva nobody is left who says this.
    for speaker in ["ann", "ben"] {
        (0..4).for_each(|i| place.write(&format!("{speaker}-dull-{i}.wav"), "broken"));
    }
    let run = train(&place, &["--folds", "speaker", "--seeds", "2", "--epochs", "1", "-o", "m.safetensors"]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let report = run.json();
    let runs = report["runs"].as_array().unwrap();
    let folds: Vec<&str> = runs.iter().map(|run| run["fold"].as_str().unwrap()).collect();
    assert_eq!(folds, ["ann", "ann", "ben", "ben"]);
    let warnings = report["warnings"].to_string();
    for part in ["fold eva, seed 0: no clip of label `dull`", "only 4 of 6 trainings are complete"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    assert!(place.path("m.fold-ben.safetensors").exists() && !place.path("m.fold-eva.safetensors").exists());
}

#[test]
fn a_baseline_stands_beside_every_result_and_can_be_turned_off() {
    let place = Workplace::new();
    clips(&place);
    let run = train(&place, &["--test-fraction", "0.25", "-o", "m.safetensors"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    schema::assert_valid(&place, "train", &run.json());
    assert_eq!(run.json()["baselines"]["test"]["logistic_regression"]["accuracy"], 1.0);
    assert_eq!(run.json()["baselines"]["test"]["measured_on"], 6);
    let line = "majority 50.0 %, logistic regression 100.0 %, this network";
    assert!(run.stderr().contains(line), "{}", run.stderr());

    place.write("small.toml", format!("{SMALL}baseline = false\nnear_duplicates = false\n"));
    let run = train(&place, &["--test-fraction", "0.25", "-o", "n.safetensors"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.json()["baselines"].is_null());
}

#[test]
fn a_louder_trimmed_copy_on_the_other_side_is_a_warning() {
    let place = Workplace::new();
    clips(&place);
    let samples: Vec<f32> = hound::WavReader::open(place.path("ann-sharp-2.wav"))
        .unwrap()
        .samples::<f32>()
        .map(|x| x.unwrap())
        .collect();
    place.wav("copy.wav", 1, &samples[137..].iter().map(|x| 1.7 * x).collect::<Vec<_>>());
    let manifest = std::fs::read_to_string(place.path("clips.csv")).unwrap();
    place.write("clips.csv", manifest + "copy.wav,sharp,eva\n");
    let run = train(&place, &["--folds", "speaker", "--epochs", "1"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let warnings = run.json()["warnings"].to_string();
    for part in ["1 pairs of recordings", "ann-sharp-2.wav (fold ann) and copy.wav (fold eva)"] {
        assert!(warnings.contains(part), "{warnings}");
    }
}

#[test]
fn two_models_are_compared_clip_by_clip() {
    let place = Workplace::new();
    clips(&place);
    assert_eq!(train(&place, &["-o", "good.safetensors"]).code(), 0);
    assert_eq!(
        train(&place, &["-o", "bad.safetensors", "--epochs", "1", "--learning-rate", "0.000001"]).code(),
        0
    );
    let args =
        ["evaluate", "-m", "good.safetensors", "--against", "bad.safetensors", "--manifest", "clips.csv"];
    let run = place.run(&args);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.json();
    schema::assert_valid(&place, "evaluate", &report);
    let test = &report["against"]["comparison"];
    let count = |name: &str| test[name].as_u64().unwrap();
    assert_eq!(
        count("both_right") + count("only_model_right"),
        report["evaluation"]["correct"].as_u64().unwrap()
    );
    assert_eq!(
        count("both_right") + count("only_against_right"),
        report["against"]["evaluation"]["correct"].as_u64().unwrap()
    );
    assert!(run.stderr().contains("good is right where bad is wrong"), "{}", run.stderr());
}

#[test]
fn labels_in_time_are_no_use_to_a_classifier() {
    let place = Workplace::new();
    clips(&place);
    let args = ["evaluate", "-m", "tiny.safetensors", "--manifest", "clips.csv", "--labels", "x.csv"];
    place.run(&args).assert_fatal(&["`tiny` gives one label", "--labels"]);
}
