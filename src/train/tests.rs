//! Whole runs, in this process: stopped and gone on with, on several threads, from a model.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Result;

const NETWORK: &str = "[vectors]\nnormalize = \"training\"\n[network]\nhidden_size = 6\nnum_layers = 2\n";

/// Two labels of vectors that differ in their first number, as clips of 3 to 9 frames, written as NumPy does.
fn clips(folder: &Path, labels: &[(&str, f32)]) {
    for &(label, value) in labels {
        std::fs::create_dir_all(folder.join(label)).unwrap();
        for i in 0..12usize {
            let frames = 3 + i % 7;
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({frames}, 2), }}");
            let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
            bytes.extend(format!("{header:<117}\n").as_bytes());
            for t in 0..frames {
                for number in [value + 0.01 * i as f32, (t as f32).sin()] {
                    bytes.extend(number.to_le_bytes());
                }
            }
            std::fs::write(folder.join(label).join(format!("{i}.npy")), bytes).unwrap();
        }
    }
}

fn config(folder: &Path, text: &str) -> TrainConfig {
    let mut config = TrainConfig::from_toml(&format!("{NETWORK}{text}")).unwrap();
    config.data.directory = Some(folder.to_path_buf());
    config
}

/// Runs on `threads`; stopped in the epoch after `stop_after`, where that is given.
fn run(
    config: &TrainConfig,
    options: &TrainOptions,
    threads: usize,
    stop_after: Option<usize>,
) -> Result<Outcome> {
    let stop = AtomicBool::new(false);
    let mut on_event = |event| {
        if let Event::Batch { epoch, .. } = event
            && stop_after.is_some_and(|last| epoch > last)
        {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train(config, "m", options, &mut on_event, &stop))
}

const EVERYTHING: &str = "[training]\nepochs = 6\nbatch_size = 5\nlearning_rate = 0.02\npatience = 0\n\
                          weight_averaging = 0.9\nsampling = \"balanced\"\nclass_weights = \"balanced\"\n\
                          focal_gamma = 2.0\nschedule = \"cosine\"\n[augment]\nenabled = true\nmixup = 0.4\n";

#[test]
fn a_run_that_is_stopped_goes_on_to_the_same_bytes_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("clips");
    clips(&data, &[("a", 0.0), ("b", 1.0)]);
    let config = config(&data, EVERYTHING);
    let bytes = |outcome: Outcome| outcome.model.to_bytes().unwrap();
    let straight = bytes(run(&config, &TrainOptions::default(), 1, None).unwrap());
    assert!(straight == bytes(run(&config, &TrainOptions::default(), 2, None).unwrap()), "two threads");

    let checkpoint = Some(folder.path().join("m.checkpoint"));
    let mut options = TrainOptions { checkpoint, ..TrainOptions::default() };
    for last in [1, 4] {
        let stopped = run(&config, &options, 2, Some(last)).unwrap();
        assert_eq!((stopped.stop_reason, stopped.history.len()), (StopReason::Interrupted, last));
        options.resume = true;
    }
    let resumed = run(&config, &options, 1, None).unwrap();
    assert_eq!((resumed.stop_reason, resumed.history.len()), (StopReason::Finished, 6));
    assert!(straight == bytes(resumed), "another model");
}

#[test]
fn clips_that_do_not_fit_into_memory_are_read_again_and_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &[("a", 0.0), ("b", 1.0)]);
    let mut messages = Vec::new();
    for text in [EVERYTHING, "[training]\nepochs = 3\nbatch_size = 5\n"] {
        let mut config = config(folder.path(), text);
        let bytes = |config: &TrainConfig, threads| {
            run(config, &TrainOptions::default(), threads, None).unwrap().model.to_bytes().unwrap()
        };
        let straight = bytes(&config, 2);
        // Some fit in, then none.
        for gigabytes in [500e-9, 0.0] {
            config.data.memory_gb = gigabytes;
            assert!(straight == bytes(&config, 1) && straight == bytes(&config, 2), "{gigabytes} GB");
            let mut on_event = |event| {
                if let Event::Message(message) = event {
                    messages.push(message);
                }
            };
            train(&config, "m", &TrainOptions::default(), &mut on_event, &AtomicBool::new(false)).unwrap();
        }
    }
    let left = |message: &&String| message.contains("training clips do not fit into memory");
    assert_eq!(messages.iter().filter(left).count(), 4, "{messages:?}");
}

#[test]
fn training_ends_early_while_the_next_clips_are_being_made() {
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &[("a", 0.0), ("b", 1.0)]);
    let text = "[training]\nepochs = 1000\nbatch_size = 2\n[augment]\nenabled = true\n";
    let stopped = run(&config(folder.path(), text), &TrainOptions::default(), 3, Some(2)).unwrap();
    assert_eq!((stopped.stop_reason, stopped.history.len()), (StopReason::Interrupted, 2));
    // A file that is gone when it is its turn again.
    let mut config = config(folder.path(), text);
    config.data.memory_gb = 0.0;
    let gone = folder.path().join("a/3.npy");
    let mut on_event = |event| {
        if let Event::Epoch { .. } = event {
            let _ = std::fs::remove_file(&gone);
        }
    };
    let stop = AtomicBool::new(false);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let options = TrainOptions::default();
    let error = pool.install(|| train(&config, "m", &options, &mut on_event, &stop)).err().unwrap();
    assert_eq!((error.kind, error.path), (crate::ErrorKind::NotFound, Some(gone.clone())));
}

#[test]
fn the_last_epoch_is_kept_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing tells the labels apart and the rate is far too high, so that some epoch before the last is the best.
    clips(folder.path(), &[("a", 0.5), ("b", 0.5)]);
    let text = "[training]\nepochs = 8\nlearning_rate = 0.3\nschedule = \"constant\"\npatience = 2\n";
    let best = run(&config(folder.path(), text), &TrainOptions::default(), 1, None).unwrap();
    assert_eq!((best.stop_reason, best.history.len()), (StopReason::EarlyStopping, best.best_epoch + 2));
    let text = format!("{text}keep = \"last\"\n");
    let last = run(&config(folder.path(), &text), &TrainOptions::default(), 1, None).unwrap();
    assert_eq!((last.stop_reason, last.best_epoch, last.history.len()), (StopReason::Finished, 8, 8));
    assert!(!last.history[7].best);
}

#[test]
fn a_run_from_a_model_goes_on_too_and_what_is_frozen_stays_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    clips(&old, &[("a", 0.0), ("b", 1.0)]);
    clips(&new, &[("x", 0.2), ("y", 0.5), ("z", 0.8)]);
    let base = run(&config(&old, "[training]\nepochs = 2\n"), &TrainOptions::default(), 1, None).unwrap();
    let base_file = folder.path().join("base.safetensors");
    base.model.save(&base_file).unwrap();

    let text =
        "[training]\nepochs = 4\nbatch_size = 6\nweight_averaging = 0.8\nfreeze = \"body\"\nfrom = \"F\"\n";
    let mut config = config(&new, text);
    config.training.from = base_file.to_str().unwrap().into();
    let straight = run(&config, &TrainOptions::default(), 1, None).unwrap();
    let values =
        |model: &Model, name: &str| model.weights()[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for name in base.model.weights().keys() {
        let same = values(&base.model, name) == values(&straight.model, name);
        assert_eq!(same, !name.starts_with("head."), "{name}");
    }
    assert_eq!(straight.model.normalization(), base.model.normalization());

    let checkpoint = Some(folder.path().join("m.checkpoint"));
    let mut options = TrainOptions { checkpoint, ..TrainOptions::default() };
    run(&config, &options, 1, Some(2)).unwrap();
    options.resume = true;
    let resumed = run(&config, &options, 1, None).unwrap();
    assert!(straight.model.to_bytes().unwrap() == resumed.model.to_bytes().unwrap(), "another model");

    // Another model under the same name is told from it.
    run(&config, &TrainOptions { resume: false, ..options.clone() }, 1, Some(2)).unwrap();
    straight.model.save(&base_file).unwrap();
    let error = run(&config, &options, 1, None).err().unwrap();
    assert!(error.message.contains("the model to start from differs"), "{error}");
}

#[test]
fn features_of_another_kind_than_the_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &[("a", 0.0), ("b", 1.0)]);
    let mut config = config(folder.path(), "");
    config.training.from = "digits".into();
    config.vectors = Default::default();
    config.network = Default::default();
    let error = run(&config, &TrainOptions::default(), 1, None).err().unwrap();
    assert!(error.message.contains("the files hold vectors, and audio is asked for"), "{error}");
    config.data.stream = Some(crate::signal::InputKind::Vectors);
    let error = run(&config, &TrainOptions::default(), 1, None).err().unwrap();
    assert!(error.message.contains("takes audio"), "{error}");
}
