//! Training that is stopped, goes on, starts from a model, or meets bad data.

use std::process::{Child, Stdio};
use std::time::Duration;

use safetensors::SafeTensors;

use super::train::tones;
use super::*;

/// Every kind of state that a checkpoint has to keep; an epoch takes long enough to be killed in.
const EVERYTHING: &str = "[features]\nsample_rate = 8000\nn_mels = 16\n\
                          [network]\nhidden_size = 48\nnum_layers = 2\n\
                          [training]\nepochs = 14\nbatch_size = 20\nlearning_rate = 0.01\npatience = 0\n\
                          weight_averaging = 0.9\nsampling = \"balanced\"\nclass_weights = \"balanced\"\n\
                          focal_gamma = 1.0\nlabel_smoothing = 0.1\nschedule = \"cosine\"\n\
                          checkpoint_minutes = 0.000001\n\
                          [augment]\nenabled = true\nmixup = 0.3\n";

const QUICK: &str = "[features]\nsample_rate = 8000\nn_mels = 16\n\
                     [network]\nhidden_size = 8\nnum_layers = 1\ndropout = 0.0\n\
                     [training]\nepochs = 4\nbatch_size = 8\nlearning_rate = 0.02\n";

/// `percept train clips --config CONFIG -o OUTPUT MORE`
fn arguments<'a>(config: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "clips", "--config", config, "-o", output], more].concat()
}

fn train(place: &Workplace, config: &str, output: &str, more: &[&str]) -> Run {
    if let Some(folder) = place.path(output).parent() {
        std::fs::create_dir_all(folder).unwrap();
    }
    place.run(&arguments(config, output, more))
}

fn model(place: &Workplace, name: &str) -> Vec<u8> {
    std::fs::read(place.path(name)).unwrap()
}

/// The tensors of a model file, as bytes.
fn tensors(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(file).unwrap();
    file.iter().map(|(name, view)| (name.to_string(), view.data().to_vec())).collect()
}

/// A run of its own that has finished some epochs, counted by the lines of `metrics`.
fn started(place: &Workplace, args: &[&str], metrics: &str, epochs: usize, threads: &str) -> Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("percept"));
    command.current_dir(place.path("")).args(args).env("RAYON_NUM_THREADS", threads);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read_to_string(place.path(metrics)).unwrap_or_default().lines().count();
    while lines() < epochs && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Metrics without the time they took.
fn timeless(place: &Workplace, metrics: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(place.path(metrics)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|mut line| {
            assert!(line["seconds"].take().as_f64().unwrap() > 0.0);
            line
        })
        .collect()
}

#[test]
fn a_run_that_is_killed_twice_goes_on_to_the_same_bytes() {
    let place = Workplace::new();
    tones(&place);
    place.write("all.toml", EVERYTHING);
    let straight = train(&place, "all.toml", "a/m.safetensors", &["--metrics", "a/m.jsonl"]);
    assert_eq!(straight.code(), 0, "{}", straight.stderr());
    assert!(!place.path("a/m.safetensors.checkpoint").exists(), "the checkpoint was left");

    std::fs::create_dir(place.path("b")).unwrap();
    let args = |more| arguments("all.toml", "b/m.safetensors", more);
    let first = args(&["--metrics", "b/m.jsonl"]);
    let mut child = started(&place, &first, "b/m.jsonl", 3, "1");
    child.kill().unwrap();
    child.wait().unwrap();
    if place.path("b/m.safetensors").exists() {
        return eprintln!("skipped: the run was over before it was killed");
    }

    // Another run is told from it, by what differs.
    for (more, part) in [
        (&["--resume", "--learning-rate", "0.5"][..], "[training] learning_rate: 0.01, now 0.5"),
        (&["--resume", "--seed", "3"], "[training] seed: 0, now 3"),
    ] {
        place.run(&args(more)).assert_fatal(&[part, "--resume"]);
    }
    std::fs::rename(place.path("clips/low/3.wav"), place.path("3.wav")).unwrap();
    let run = place.run(&args(&["--resume"]));
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("the training files or their labels differ"), "{}", run.stderr());
    std::fs::rename(place.path("3.wav"), place.path("clips/low/3.wav")).unwrap();

    let again = args(&["--resume", "--metrics", "b/m.jsonl"]);
    let mut child = started(&place, &again, "b/m.jsonl", 7, "2");
    child.kill().unwrap();
    child.wait().unwrap();
    if !place.path("b/m.safetensors").exists() {
        let run = place.run(&again);
        assert_eq!(run.code(), 0, "{}", run.stderr());
        assert!(run.stderr().contains("going on after epoch"), "{}", run.stderr());
        assert_eq!(run.json()["training"]["epochs"], 14);
    }
    assert!(model(&place, "a/m.safetensors") == model(&place, "b/m.safetensors"), "another model");
    assert_eq!(timeless(&place, "a/m.jsonl"), timeless(&place, "b/m.jsonl"));
    assert!(!place.path("b/m.safetensors.checkpoint").exists(), "the checkpoint was left");
}

#[test]
fn there_must_be_a_checkpoint_to_go_on_from() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", QUICK);
    let run = train(&place, "x.toml", "m.safetensors", &["--resume"]);
    run.assert_fatal(&["m.safetensors.checkpoint", "leave --resume out"]);
    place.write("m.safetensors.checkpoint", "nonsense");
    let run = train(&place, "x.toml", "m.safetensors", &["--resume"]);
    run.assert_fatal(&["m.safetensors.checkpoint", "no checkpoint of Percept"]);
    train(&place, "x.toml", "m.safetensors", &[])
        .assert_fatal(&["m.safetensors.checkpoint", "it is not replaced"]);
    std::fs::remove_file(place.path("m.safetensors.checkpoint")).unwrap();
    assert!(!train(&place, "x.toml", "m.safetensors", &["--resume", "--no-checkpoint"]).stderr().is_empty());
    let same = train(&place, "x.toml", "m.safetensors", &["--metrics", "m.safetensors"]);
    same.assert_fatal(&["named for two files"]);
}

#[test]
fn metrics_and_curves_are_written_where_they_are_asked_for() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", QUICK);
    let run = train(&place, "x.toml", "m.safetensors", &["--metrics", "m.jsonl", "--curves", "m.png"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let metrics = timeless(&place, "m.jsonl");
    assert_eq!(metrics.len(), 4);
    for (i, line) in metrics.iter().enumerate() {
        assert_eq!(line["epoch"], i + 1);
        assert!(line["train_loss"].is_f64() && line["validation_accuracy"].is_f64(), "{line}");
    }
    let png = std::fs::read(place.path("m.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn a_trained_body_learns_new_labels_and_what_is_frozen_stays() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", QUICK);
    let base = train(&place, "x.toml", "base.safetensors", &["--epochs", "8"]);
    assert_eq!(base.code(), 0, "{}", base.stderr());
    for i in 0..12 {
        for (label, frequency) in [("a", 500.0), ("b", 1200.0), ("c", 2600.0)] {
            std::fs::create_dir_all(place.path("new").join(label)).unwrap();
            let frequency = frequency + 10.0 * i as f32;
            let wave = |n| 0.3 * (n as f32 * frequency * std::f32::consts::TAU / 8000.0).sin();
            place.wav(&format!("new/{label}/{i}.wav"), 1, &(0..3000).map(wave).collect::<Vec<f32>>());
        }
    }
    let tune = |output: &str, more: &[&str]| {
        let args = ["train", "new", "--from", "base.safetensors", "-o", output];
        place.run(&[&args, more].concat())
    };
    let epochs = ["--epochs", "40", "--batch-size", "8", "--learning-rate", "0.05"];
    let run = tune("body.safetensors", &[&epochs[..], &["--freeze", "body"]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    schema::assert_valid(&place, "train", &run.json());
    let accuracy = run.json()["validation"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
    let (old, new) = (model(&place, "base.safetensors"), model(&place, "body.safetensors"));
    let (old, new) = (tensors(&old), tensors(&new));
    assert_eq!(old.len(), new.len());
    for (name, values) in &old {
        assert_eq!(*values == new[name], !name.starts_with("head."), "{name}");
    }
    assert_eq!(new["head.bias"].len(), 12);

    // Unfrozen, all of it learns; the normalisation stays.
    let run = tune("all.safetensors", &["--epochs", "1"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let all = model(&place, "all.safetensors");
    for (name, values) in tensors(&all) {
        assert_eq!(values == old[&name], name.starts_with("normalization."), "{name}");
    }

    // With the same labels the head is kept: one step at no rate to speak of changes nothing that can be heard.
    let args = ["train", "clips", "--from", "base.safetensors", "-o", "same.safetensors"];
    let run = place.run(&[&args[..], &["--epochs", "1", "--learning-rate", "1e-9"]].concat());
    assert!(run.stderr().contains("with its head, as the labels are the same"), "{}", run.stderr());
    assert_eq!(run.json()["validation"]["accuracy"], base.json()["validation"]["accuracy"]);

    tune("no.safetensors", &["--hidden-size", "99"]).assert_fatal(&["--hidden-size", "--from"]);
    tune("no.safetensors", &["--freeze", "front_end"]).assert_fatal(&["front_end", "no convolutions"]);
    place.write("y.toml", "[features]\nn_mels = 40\n");
    tune("no.safetensors", &["--config", "y.toml"]).assert_fatal(&["[features] n_mels is 40", "16"]);
    let run = place.run(&["train", "new", "--freeze", "body", "-o", "no.safetensors"]);
    run.assert_fatal(&["freeze", "--from"]);
    let run = place.run(&["train", "new", "--from", "nosuch", "-o", "no.safetensors"]);
    run.assert_fatal(&["nosuch"]);
}

#[test]
fn a_built_in_model_can_be_started_from() {
    let place = Workplace::new();
    tones(&place);
    let args = ["train", "clips", "--from", "digits", "--freeze", "body", "--epochs", "1"];
    let run = place.run(&[&args[..], &["-o", "m.safetensors"]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let info = place.run(&["info", "--format", "json", "m.safetensors"]);
    assert!(info.stdout().contains("from = \\\"digits\\\""), "{}", info.stdout());
}

#[test]
fn a_clip_that_cannot_be_read_is_listed_and_with_strict_stops_training() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", QUICK);
    place.write("clips/low/bad.wav", "no sound");
    let run = train(&place, "x.toml", "m.safetensors", &[]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("1 clips could not be read"), "{}", run.stderr());
    assert_eq!(run.json()["failures"].as_array().unwrap().len(), 1);

    let run = train(&place, "x.toml", "n.safetensors", &["--strict"]);
    assert_eq!((run.code(), run.stdout()), (2, ""));
    let last = run.stderr().lines().last().unwrap().to_string();
    assert!(last.starts_with("percept: error: clips/low/bad.wav: "), "{last}");
    assert!(!place.path("n.safetensors").exists());
}

/// Vectors as NumPy stores them, `[frames, 2]`.
fn npy(place: &Workplace, name: &str, values: &[f32]) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2), }}", values.len() / 2);
    let padded = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.as_bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    place.write(name, bytes);
}

#[test]
fn a_loss_that_is_no_number_stops_training_and_what_was_learned_before_is_kept() {
    let place = Workplace::new();
    for label in ["a", "b"] {
        std::fs::create_dir_all(place.path("clips").join(label)).unwrap();
    }
    for i in 0..7 {
        npy(&place, &format!("clips/a/{i}.npy"), &[0.1 * i as f32; 8]);
    }
    npy(&place, "clips/a/huge.npy", &[3e38, -3e38, 3e38, -3e38, 3e38, 3e38, 3e38, 3e38]);
    npy(&place, "clips/b/0.npy", &[-0.5; 8]);
    npy(&place, "clips/b/1.npy", &[-0.6; 8]);
    place.write(
        "x.toml",
        "[data]\nvalidation_fraction = 0\n[vectors]\nnormalize = \"none\"\n[network]\nhidden_size = 4\n\
         cell = \"rnn_relu\"\n\
         [training]\nepochs = 5\nbatch_size = 2\nsampling = \"balanced\"\n",
    );
    // Some seeds draw the clip that cannot be learned from in the first epoch, some later.
    let mut reasons = Vec::new();
    for seed in 0..4 {
        let seed = seed.to_string();
        let run = train(&place, "x.toml", "m.safetensors", &["--seed", &seed]);
        let stderr = run.stderr();
        if run.code() == 0 {
            continue;
        }
        assert!(stderr.contains("in epoch ") && stderr.contains(", batch "), "{stderr}");
        assert!(stderr.contains("huge.npy"), "{stderr}");
        match run.code() {
            1 => {
                assert_eq!(run.json()["training"]["stop_reason"], "diverged");
                let epochs = run.json()["training"]["epochs"].as_u64().unwrap();
                assert!((1..5).contains(&epochs));
                schema::assert_valid(&place, "train", &run.json());
                assert_eq!(place.run(&["info", "--format", "json", "m.safetensors"]).code(), 0);
            }
            code => assert_eq!((code, run.stdout()), (2, "")),
        }
        reasons.push(run.code());
    }
    assert!(reasons.contains(&1) && reasons.contains(&2), "{reasons:?}");
}

#[test]
fn a_class_with_one_example_is_learned_and_said() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", QUICK);
    std::fs::create_dir_all(place.path("clips/rare")).unwrap();
    place.wav("clips/rare/1.wav", 1, &tone(3000));
    let run = train(&place, "x.toml", "m.safetensors", &[]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("only one training clip: rare"), "{}", run.stderr());
    assert_eq!(run.json()["model"]["labels"], serde_json::json!(["high", "low", "rare"]));
}

#[test]
fn an_empty_folder_is_no_label_and_a_label_of_the_test_part_alone_is_an_error() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", QUICK);
    std::fs::create_dir_all(place.path("clips/empty")).unwrap();
    let run = train(&place, "x.toml", "m.safetensors", &[]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("empty"), "{}", run.stderr());
    assert_eq!(run.json()["model"]["labels"], serde_json::json!(["high", "low"]));

    let manifest = std::fs::read_to_string(place.path("clips.csv")).unwrap();
    place.write("clips.csv", manifest + "tone.wav,other,test,9,rain\n");
    let args = [
        "train",
        "--manifest",
        "clips.csv",
        "--group-column",
        "",
        "--config",
        "x.toml",
        "-o",
        "n.safetensors",
    ];
    let run = place.run(&args);
    assert_eq!((run.code(), run.stdout()), (2, ""));
    assert!(run.stderr().contains("\"other\""), "{}", run.stderr());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_costs_neither_the_old_model_nor_a_half_written_one() {
    let place = Workplace::new();
    tones(&place);
    place.write("x.toml", format!("{QUICK}checkpoint_minutes = 0.000001\n"));
    place.write(
        "big.toml",
        format!("{QUICK}checkpoint_minutes = 0.000001\n").replace("= 8\nnum", "= 300\nnum"),
    );
    let old = train(&place, "x.toml", "old.safetensors", &[]);
    assert_eq!(old.code(), 0, "{}", old.stderr());
    std::fs::create_dir(place.path("disk")).unwrap();
    let percept = assert_cmd::cargo::cargo_bin!("percept").display();
    let script = format!(
        "mount -t tmpfs -o size=200k tmpfs disk || exit 77
         cp old.safetensors disk/m.safetensors || exit 78
         {percept} train clips --config big.toml -o disk/m.safetensors > out.json 2> err.txt
         echo $? > code.txt
         cmp old.safetensors disk/m.safetensors && ls -A disk > left.txt"
    );
    let mut shell = std::process::Command::new("unshare");
    let output = shell.args(["-rm", "sh", "-c", &script]).current_dir(place.path("")).output();
    if !output
        .as_ref()
        .is_ok_and(|output| output.status.code() != Some(77) && place.path("code.txt").exists())
    {
        return eprintln!("skipped: no small disk can be mounted here ({output:?})");
    }
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    assert_eq!(read("code.txt").trim(), "2", "{}", read("err.txt"));
    assert!(read("err.txt").contains("no checkpoint was written, training goes on"), "{}", read("err.txt"));
    assert!(read("err.txt").lines().last().unwrap().starts_with("percept: error: disk/m.safetensors: "));
    assert_eq!(read("left.txt").trim(), "m.safetensors", "the old model and nothing else is there");
}
