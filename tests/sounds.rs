//! The model inside that hears sounds, on the fold of ESC-10 that it has not learned from; and whether a band limit is what it
//! goes by: speech in its training data ends at 4 kHz.

use std::path::{Path, PathBuf};

use percept::evaluate::{Evaluation, evaluate_files};
use percept::media::{AudioOptions, MediaOptions, load_audio, write_wav};
use percept::model::{Model, Task};
use percept::pipeline::Classifier;
use percept::signal::Signal;

const TEST_FOLD: &str = "5";

fn data(folder: &str) -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(folder);
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("skipped: {} is not there", data.display());
    None
}

fn classifier() -> Classifier {
    Classifier::new(Model::builtin("sounds", Task::Classify).unwrap().unwrap()).unwrap()
}

/// Clips of the test fold and their labels.
fn test_clips(data: &Path) -> Vec<(PathBuf, String)> {
    let manifest = std::fs::read_to_string(data.join("manifest.csv")).unwrap();
    let rows = manifest.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let of_fold = rows.filter(|row| row[2] == TEST_FOLD);
    of_fold.map(|row| (data.join(row[0]), row[1].to_string())).collect()
}

fn evaluate(classifier: &Classifier, clips: &[(PathBuf, String)]) -> Evaluation {
    let labels = &classifier.model().header().labels;
    let number = |label: &String| labels.iter().position(|known| known == label).unwrap();
    let clips: Vec<_> = clips.iter().map(|(path, label)| (path.as_path(), number(label))).collect();
    let evaluation = evaluate_files(classifier, &clips, &MediaOptions::default(), &|_| {}).unwrap();
    assert!(evaluation.failures.is_empty(), "{:?}", evaluation.failures);
    evaluation
}

/// The same clips as a recorder at 8 kHz would have them.
fn band_limited(clips: &[(PathBuf, String)], folder: &Path) -> Vec<(PathBuf, String)> {
    let limited = clips.iter().map(|(path, label)| {
        let options = AudioOptions { sample_rate: Some(8_000), ..AudioOptions::default() };
        let signal = load_audio(path, &options).unwrap().signal;
        let to = folder.join(path.file_name().unwrap()).with_extension("wav");
        write_wav(&to, &signal).unwrap();
        (to, label.clone())
    });
    limited.collect()
}

/// Even between -1 and 1.
fn noise() -> impl FnMut() -> f32 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[test]
fn sounds_that_it_has_not_learned_from_are_known_and_a_band_limited_dog_is_still_a_dog() {
    let Some(data) = data("esc10") else { return };
    let (classifier, clips) = (classifier(), test_clips(&data));
    assert_eq!(clips.len(), 71);
    let whole = evaluate(&classifier, &clips);
    let folder = tempfile::tempdir().unwrap();
    let clips = band_limited(&clips, folder.path());
    let limited = evaluate(&classifier, &clips);
    eprintln!("{} of 71 are right, {} of them at 8 kHz", whole.correct, limited.correct);
    assert!(whole.accuracy >= 0.8, "{}", whole.accuracy);
    assert!(limited.accuracy >= 0.7, "{}", limited.accuracy);
    let labels = &classifier.model().header().labels;
    let speech = labels.iter().position(|label| label == "speech").unwrap();
    let heard_as_speech: usize = limited.confusion.iter().map(|row| row[speech]).sum();
    assert!(heard_as_speech <= 3, "{heard_as_speech} of 71");
    let dogs: Vec<_> = clips.into_iter().filter(|(_, label)| label == "dog_bark").collect();
    let dogs = evaluate(&classifier, &dogs);
    assert!(dogs.correct + 1 >= dogs.clips, "{} of {} dogs at 8 kHz", dogs.correct, dogs.clips);
}

#[test]
fn speech_of_a_person_that_it_has_never_heard_is_speech_at_any_rate() {
    let Some(data) = data("fsdd") else { return };
    let mut recordings: Vec<PathBuf> =
        std::fs::read_dir(data.join("recordings")).unwrap().flatten().map(|entry| entry.path()).collect();
    recordings.retain(|path| path.to_string_lossy().contains("_yweweler_"));
    recordings.sort();
    let folder = tempfile::tempdir().unwrap();
    for sample_rate in [8_000, 44_100] {
        // Eight different digits in a row with uneven pauses, over faint noise.
        let mut noise = noise();
        let clips = (0..20).map(|i| {
            let digits = (0..8).map(|k| &recordings[(37 * i + 53 * k) % recordings.len()]);
            let options = AudioOptions { sample_rate: Some(sample_rate), ..AudioOptions::default() };
            let mut samples = Vec::new();
            for digit in digits {
                samples.extend(load_audio(digit, &options).unwrap().signal.samples);
                let pause = (0.02 + 0.2 * noise().abs()) * sample_rate as f32;
                samples.resize(samples.len() + pause as usize, 0.0);
            }
            samples.iter_mut().for_each(|sample| *sample += 1e-3 * noise());
            let path = folder.path().join(format!("{sample_rate}-{i}.wav"));
            write_wav(&path, &Signal { samples, sample_rate }).unwrap();
            (path, "speech".to_string())
        });
        let heard = evaluate(&classifier(), &clips.collect::<Vec<_>>());
        eprintln!("{} of {} strings of digits are speech at {sample_rate} Hz", heard.correct, heard.clips);
        assert!(heard.correct + 4 >= heard.clips, "{:?}", heard.confusion);
    }
}

#[test]
fn nothing_and_faint_noise_are_silence() {
    let folder = tempfile::tempdir().unwrap();
    let mut noise = noise();
    for (name, level) in [("nothing.wav", 0.0), ("faint.wav", 1e-4)] {
        let samples: Vec<f32> = (0..3 * 22_050).map(|_| level * noise()).collect();
        let path = folder.path().join(name);
        write_wav(&path, &Signal { samples, sample_rate: 22_050 }).unwrap();
        let classifier = classifier();
        let scores = classifier.classify_file(&path, &MediaOptions::default()).unwrap().scores;
        let labels = &classifier.model().header().labels;
        let best = (0..labels.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        assert_eq!(labels[best], "silence", "{name}: {scores:?}");
    }
}
