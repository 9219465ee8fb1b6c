//! `percept features`: what a network is given, written down.

use percept::features::Extractor;
use percept::media::{AudioOptions, load_audio};
use safetensors::SafeTensors;

use super::*;

/// Shape and numbers of a NumPy file of ours.
fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let header = std::str::from_utf8(&bytes[10..128]).unwrap();
    let shape = header.split("'shape': ").nth(1).unwrap().split(", }").next().unwrap().to_string();
    let (values, _) = bytes[128..].as_chunks::<4>();
    (shape, values.iter().copied().map(f32::from_le_bytes).collect())
}

/// `percept features ARGS`, which went well; what it printed.
fn features_of(place: &Workplace, args: &[&str]) -> Value {
    let run = place.run(&[&["features"], args].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let record = run.json();
    schema::assert_valid(place, "features", &record);
    assert_eq!(record["status"], "ok");
    record
}

#[test]
fn a_picture_is_drawn_of_what_the_built_in_model_sees() {
    let place = Workplace::new();
    let record = features_of(&place, &["tone.wav", "-o", "tone.png"]);
    assert_eq!((&record["model"]["name"], &record["input"]["kind"]), (&"sounds".into(), &"audio".into()));
    let written = &record["written"];
    assert_eq!((&written["path"], &written["format"]), (&"tone.png".into(), &"png".into()));
    let hop = written["hop_length"].as_f64().unwrap() / written["sample_rate"].as_f64().unwrap();
    assert_eq!(written["hop"].as_f64().unwrap(), hop);
    let image = image::open(place.path("tone.png")).unwrap();
    assert!(image.width() == 1400 && image.height() > 300);
    let first = std::fs::read(place.path("tone.png")).unwrap();
    features_of(&place, &["tone.wav", "-o", "tone.png"]);
    assert!(std::fs::read(place.path("tone.png")).unwrap() == first);
}

#[test]
fn numbers_and_sound_are_bit_for_bit_those_that_the_network_gets() {
    let place = Workplace::new();
    // Two channels at twice the rate that the model takes.
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(place.path("stereo.wav"), spec).unwrap();
    tone(10_001).iter().for_each(|&x| {
        writer.write_sample(x).unwrap();
        writer.write_sample(0.3 * x).unwrap();
    });
    writer.finalize().unwrap();
    let options = AudioOptions { sample_rate: Some(8000), ..AudioOptions::default() };
    let signal = load_audio(&place.path("stereo.wav"), &options).unwrap().signal;

    let model = ["-m", "tiny.safetensors", "stereo.wav", "-o"];
    let written = &features_of(&place, &[&model[..], &["mono.wav"]].concat())["written"];
    assert_eq!((&written["kind"], &written["sample_rate"]), (&"signal".into(), &8000.into()));
    assert_eq!(written["num_samples"], signal.samples.len());
    let mut reader = hound::WavReader::open(place.path("mono.wav")).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 8000));
    assert_eq!(reader.samples::<f32>().map(Result::unwrap).collect::<Vec<_>>(), signal.samples);

    let frames = Extractor::new(&features()).unwrap().extract(&signal.samples).unwrap();
    let written = &features_of(&place, &[&model[..], &["frames.npy"]].concat())["written"];
    assert_eq!((&written["frames"], &written["dim"]), (&frames.frames.into(), &8.into()));
    assert_eq!((&written["kind"], &written["normalize"]), (&"log_mel".into(), &"none".into()));
    assert_eq!(npy(&place.path("frames.npy")), (format!("({}, 8)", frames.frames), frames.data));
}

#[test]
fn numbers_are_scaled_as_the_model_says_and_raw_ones_are_not() {
    let place = Workplace::new();
    let seven = seven().to_str().unwrap();
    let seen = features_of(&place, &["-m", "digits", seven, "-o", "seen.npy"]);
    let raw = features_of(&place, &["-m", "digits", "--raw", seven, "-o", "raw.npy"]);
    assert_eq!(seen["written"]["normalize"], "training");
    assert_eq!(raw["written"]["normalize"], "none");
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/digits.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let statistics = |name: &str| -> Vec<f32> {
        let (values, _) = file.tensor(name).unwrap().data().as_chunks::<4>();
        values.iter().copied().map(f32::from_le_bytes).collect()
    };
    let (mean, std) = (statistics("normalization.mean"), statistics("normalization.std"));
    let scaled = |(i, x): (usize, f32)| (x - mean[i % mean.len()]) / std[i % std.len()];
    let (shape, raw) = npy(&place.path("raw.npy"));
    let expected: Vec<f32> = raw.into_iter().enumerate().map(scaled).collect();
    assert_eq!(npy(&place.path("seen.npy")), (shape, expected));
}

#[test]
fn a_recording_that_is_scaled_by_itself_has_means_of_nothing() {
    let place = Workplace::new();
    tiny_features(
        Task::Classify,
        NetworkConfig::default(),
        FeatureConfig { normalize: Normalize::PerFile, ..features() },
    )
    .save(&place.path("own.safetensors"))
    .unwrap();
    let record = features_of(&place, &["-m", "own.safetensors", "tone.wav", "-o", "own.npy"]);
    assert_eq!(record["written"]["normalize"], "per_file");
    let (_, values) = npy(&place.path("own.npy"));
    for band in 0..8 {
        let mean = values.iter().skip(band).step_by(8).sum::<f32>() / (values.len() / 8) as f32;
        assert!(mean.abs() < 1e-4, "{mean}");
    }
    features_of(&place, &["-m", "own.safetensors", "tone.wav", "-o", "own.png"]);
    features_of(&place, &["-m", "own.safetensors", "--raw", "tone.wav", "-o", "raw.npy"]);
    features_of(&place, &["-m", "tiny.safetensors", "tone.wav", "-o", "tiny.npy"]);
    assert_eq!(npy(&place.path("raw.npy")), npy(&place.path("tiny.npy")));
}

#[test]
fn pictures_and_vectors_are_written_too() {
    let place = Workplace::new();
    place.frames("clip", &[0, 3, 6, 9, 12], 20, 10.0);
    let record = features_of(&place, &["clip", "-o", "clip.png"]);
    assert_eq!((&record["model"]["name"], &record["written"]["kind"]), (&"gestures".into(), &"video".into()));
    assert!(record["written"]["sample_rate"].is_null() && record["written"]["hop"].as_f64().unwrap() > 0.0);
    assert!(image::open(place.path("clip.png")).unwrap().height() > 400);
    let numbers = features_of(&place, &["clip", "-o", "clip.npy"]);
    let (frames, dim) = (&numbers["written"]["frames"], &numbers["written"]["dim"]);
    assert_eq!(npy(&place.path("clip.npy")).0, format!("({frames}, {dim})"));
    assert_eq!(frames, &record["written"]["frames"]);

    let run = place.run(&["features", "clip", "-o", "clip.wav"]);
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("a .wav file holds sound, and `gestures` takes video"), "{}", run.stderr());
    let run = place.run(&["features", "clip.npy", "-o", "a.png"]);
    assert!(run.stderr().contains("no built-in model for vectors; name one (-m)"), "{}", run.stderr());
}

#[test]
fn what_cannot_be_written_is_refused_before_any_work() {
    let place = Workplace::new();
    let before = std::fs::read(place.path("tone.wav")).unwrap();
    for (args, part) in [
        (&["tone.wav", "-o", "tone.jpg"][..], "name a .png, .npy or .wav file"),
        (&["tone.wav", "-o", "tone"], "name a .png, .npy or .wav file"),
        (&["tone.wav", "-o", "./tone.wav"], "both read and to be written"),
        (&["no.wav", "-o", "no/folder/a.png"], "no/folder"),
        (&["tone.wav", "--raw", "-o", "a.wav"], "--raw is for numbers and pictures"),
        (&["tone.wav", "--stream", "video", "-o", "a.npy"], "takes audio"),
        (&["-", "-o", "a.npy"], "standard input"),
    ] {
        place.run(&[&["features", "-m", "tiny.safetensors"], args].concat()).assert_fatal(&[part]);
    }
    assert_eq!(std::fs::read(place.path("tone.wav")).unwrap(), before);
    assert_eq!(place.run(&["features", "tone.wav"]).code(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_the_record_and_nothing_is_written() {
    let place = Workplace::new();
    place.write("text.wav", "no sound");
    place.write("old.png", b"\x89PNG, old");
    for (name, kind) in [("no.wav", "not_found"), ("text.wav", "unknown_format")] {
        for out in ["new.png", "new.npy", "new.wav", "old.png"] {
            let run = place.run(&["features", "-m", "tiny.safetensors", name, "-o", out]);
            assert_eq!(run.code(), 1);
            run.assert_one_error_line(&[name]);
            let record = run.json();
            schema::assert_valid(&place, "features", &record);
            assert_eq!((&record["status"], &record["error"]["kind"]), (&"error".into(), &kind.into()));
        }
    }
    assert_eq!(std::fs::read(place.path("old.png")).unwrap(), b"\x89PNG, old");
    assert!(["new.png", "new.npy", "new.wav"].iter().all(|name| !place.path(name).exists()));
}
