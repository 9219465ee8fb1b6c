//! The models inside that see hand gestures, on the test part of their data; and whether order is what they go by.
#![cfg(feature = "h264")]

use std::path::{Path, PathBuf};

use image::RgbImage;
use percept::evaluate::{DEFAULT_COLLAR, evaluate_files, evaluate_recordings};
use percept::features::InputConfig;
use percept::features::video::VideoFeature;
use percept::media::MediaOptions;
use percept::media::video::{VideoOptions, VideoReader};
use percept::model::{Model, Task};
use percept::pipeline::{Classifier, TagOptions, Tagger};
use percept::train::{DataConfig, Dataset, LabelsConfig, Part};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/gestures");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("skipped: {} is not there", data.display());
    None
}

/// Clips of the test part, each with the number that the model has for its label.
fn test_clips(data: &Path, labels: &[String]) -> Vec<(PathBuf, usize)> {
    let config = DataConfig { manifest: Some(data.join("manifest.csv")), ..DataConfig::default() };
    let dataset = Dataset::load(&config).unwrap();
    let items = dataset.items.iter().filter(|item| item.part == Some(Part::Test));
    let number = |label: &String| labels.iter().position(|known| known == label);
    items.filter_map(|item| Some((item.path.clone(), number(&dataset.labels[item.labels()[0]])?))).collect()
}

fn accuracy(classifier: &Classifier, clips: &[(PathBuf, usize)]) -> f64 {
    let clips: Vec<(&Path, usize)> = clips.iter().map(|(path, label)| (path.as_path(), *label)).collect();
    let evaluation = evaluate_files(classifier, &clips, &MediaOptions::default(), &|_| {}).unwrap();
    assert!(evaluation.failures.is_empty(), "{:?}", evaluation.failures);
    evaluation.accuracy
}

fn decoded(path: &Path) -> Vec<RgbImage> {
    let mut reader = VideoReader::open(path, &VideoOptions::default()).unwrap();
    let mut pictures = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        pictures.push(RgbImage::from_raw(frame.width, frame.height, frame.pixels).unwrap());
    }
    pictures
}

/// A directory of pictures at 15 frames a second.
fn write(folder: &Path, pictures: &[RgbImage]) {
    std::fs::create_dir_all(folder).unwrap();
    for (i, picture) in pictures.iter().enumerate() {
        picture.save(folder.join(format!("{i}.bmp"))).unwrap();
    }
    std::fs::write(folder.join("frames.json"), "{\"fps\": 15}").unwrap();
}

#[test]
fn the_model_inside_classifies_the_test_clips() {
    let Some(data) = data() else { return };
    let classifier = Classifier::new(Model::builtin("gestures", Task::Classify).unwrap().unwrap()).unwrap();
    let clips = test_clips(&data, &classifier.model().header().labels);
    assert_eq!(clips.len(), 87);
    let accuracy = accuracy(&classifier, &clips);
    assert!(accuracy >= 0.97, "{accuracy}");
}

#[test]
fn the_model_inside_tags_the_test_streams() {
    let Some(data) = data() else { return };
    let tagger = Tagger::new(Model::builtin("gestures", Task::Tag).unwrap().unwrap()).unwrap();
    let streams = data.join("streams.csv");
    let config = DataConfig { directory: Some(data.join("streams")), ..DataConfig::default() };
    let labels = LabelsConfig { source: Some(streams), exclusive: true, ..LabelsConfig::default() };
    let dataset = Dataset::load_timed(&config, &labels).unwrap();
    let items = dataset.items.iter().filter(|item| item.path.parent().unwrap().ends_with("test"));
    let references: Vec<_> = items.map(|item| item.reference(&dataset.labels)).collect();
    assert_eq!(references.len(), 16);
    let options = MediaOptions::default();
    let evaluation = evaluate_recordings(&tagger, &references, &options, DEFAULT_COLLAR, &|_| {}).unwrap();
    let frames = evaluation.frames.accuracy.unwrap();
    let f1 = evaluation.segmentation.unwrap().f1_at_50.unwrap();
    assert!(frames >= 0.92 && f1 >= 0.85, "frames {frames}, F1@50 {f1}");
}

#[test]
fn a_clip_and_the_directory_of_its_frames_get_the_same_scores() {
    let Some(data) = data() else { return };
    let classifier = Classifier::new(Model::builtin("gestures", Task::Classify).unwrap().unwrap()).unwrap();
    let tagger = Tagger::new(Model::builtin("gestures", Task::Tag).unwrap().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stream = data.join("streams/test/001.mp4");
    write(folder.path(), &decoded(&stream));
    let options = MediaOptions::default();
    let classified = |path: &Path| classifier.classify_file(path, &options).unwrap().scores;
    assert_eq!(classified(&stream), classified(folder.path()));
    let tagged = |path: &Path| {
        let mut scores: Vec<f32> = Vec::new();
        let mut keep = |piece: &[f32]| {
            scores.extend_from_slice(piece);
            Ok(())
        };
        let tagged = tagger.tag_file(path, &options, &TagOptions::default(), &mut keep).unwrap();
        (tagged.frame_events, scores)
    };
    assert_eq!(tagged(&stream), tagged(folder.path()));
}

/// Clockwise and counter-clockwise share every single frame, and the model inside sees pictures only, no differences: in
/// their order it tells one from the other, in any other order it must not.
#[test]
fn a_network_fed_with_single_pictures_goes_by_their_order() {
    let Some(data) = data() else { return };
    let classifier = Classifier::new(Model::builtin("gestures", Task::Classify).unwrap().unwrap()).unwrap();
    let header = classifier.model().header();
    let InputConfig::Video(video) = &header.input else { panic!("it takes {:?}", header.input) };
    assert_eq!(video.features, [VideoFeature::Thumbnail]);
    let number = |label: &str| header.labels.iter().position(|known| known == label).unwrap();
    let (one, other) = (number("clockwise"), number("counter_clockwise"));
    let clips: Vec<_> = test_clips(&data, &header.labels)
        .into_iter()
        .filter(|(_, label)| *label == one || *label == other)
        .collect();
    assert_eq!(clips.len(), 45);
    // Which of the two it takes a clip for.
    let is_right = |path: &Path, label: usize| {
        let scores = classifier.classify_file(path, &MediaOptions::default()).unwrap().scores;
        (scores[one] > scores[other]) == (label == one)
    };
    let in_order = clips.iter().filter(|(path, label)| is_right(path, *label)).count();

    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut out_of_order, mut shuffled) = (0, 0);
    for (i, (path, label)) in clips.iter().enumerate() {
        let mut pictures = decoded(path);
        for copy in 0..4 {
            pictures.shuffle(&mut rng);
            let clip = folder.path().join(format!("{i}-{copy}"));
            write(&clip, &pictures);
            out_of_order += usize::from(is_right(&clip, *label));
            shuffled += 1;
        }
    }
    assert!(in_order >= 42, "in order {in_order} of 45");
    // At chance 90 of 180; three deviations are 20.
    assert!(out_of_order.abs_diff(shuffled / 2) <= 20, "out of order {out_of_order} of {shuffled}");
}
