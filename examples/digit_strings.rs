//! Makes strings of spoken digits with pauses and noise out of the Free Spoken Digit Dataset: what the built-in tagger
//! `digits` was trained on. Made sequences of real recordings, that is; nobody spoke these strings in one breath.
//!
//! `cargo run --release --example digit_strings -- ../shared/data/fsdd/manifest.csv strings`
//!
//! A string has one speaker. Training strings are made of recordings 10 to 49 of each speaker and digit, validation strings
//! of 5 to 9, test strings of 0 to 4, the data set's official test part.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use percept::media::{AudioOptions, load_audio, write_wav};
use percept::signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SAMPLE_RATE: u32 = 8_000;
/// Strings of each part, and the recordings that they are made of.
const PARTS: [(&str, usize, std::ops::Range<u32>); 3] =
    [("train", 900, 10..50), ("validation", 80, 5..10), ("test", 100, 0..5)];
const SEED: u64 = 1;

/// A recording of one digit.
struct Clip {
    label: String,
    index: u32,
    samples: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(manifest), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: digit_strings MANIFEST OUT_FOLDER".into());
    };
    let speakers = load(&manifest)?;
    std::fs::create_dir_all(&out)?;
    let mut recordings = String::from("path,split,speaker\n");
    let mut segments = String::from("path,onset,offset,label\n");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let names: Vec<&String> = speakers.keys().collect();
    for (part, count, indices) in PARTS {
        for i in 0..count {
            let speaker = names[rng.random_range(0..names.len())];
            let clips: Vec<&Clip> = speakers[speaker].iter().filter(|c| indices.contains(&c.index)).collect();
            let path = format!("{part}-{i:04}.wav");
            let (samples, found) = string(&clips, &mut rng);
            write_wav(&out.join(&path), &Signal { samples, sample_rate: SAMPLE_RATE })?;
            writeln!(recordings, "{path},{part},{speaker}")?;
            for (start, end, label) in found {
                let seconds = |sample: usize| sample as f64 / f64::from(SAMPLE_RATE);
                writeln!(segments, "{path},{},{},{label}", seconds(start), seconds(end))?;
            }
        }
    }
    std::fs::write(out.join("manifest.csv"), recordings)?;
    std::fs::write(out.join("segments.csv"), segments)?;
    Ok(())
}

/// The clips of each speaker.
fn load(manifest: &Path) -> Result<BTreeMap<String, Vec<Clip>>, Box<dyn Error>> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut speakers: BTreeMap<String, Vec<Clip>> = BTreeMap::new();
    // path,label,split,speaker,index,...
    for line in std::fs::read_to_string(manifest)?.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let audio = load_audio(&folder.join(fields[0]), &AudioOptions::default())?;
        let clip = Clip { label: fields[1].into(), index: fields[4].parse()?, samples: audio.signal.samples };
        speakers.entry(fields[3].into()).or_default().push(clip);
    }
    Ok(speakers)
}

/// Two to nine digits with pauses, at one level of noise; and where each is.
fn string(clips: &[&Clip], rng: &mut ChaCha8Rng) -> (Vec<f32>, Vec<(usize, usize, String)>) {
    let mut samples = vec![0f32; pause(rng, 0.1, 1.0)];
    let mut found = Vec::new();
    let digits = rng.random_range(2..10);
    for digit in 0..digits {
        if digit > 0 {
            samples.resize(samples.len() + pause(rng, 0.04, 1.2), 0.0);
        }
        let clip = clips[rng.random_range(0..clips.len())];
        let peak = clip.samples.iter().fold(0f32, |peak, s| peak.max(s.abs())).max(1e-4);
        let gain = 0.3 * 10f32.powf(rng.random_range(-4.0..4.0) / 20.0) / peak;
        let start = samples.len();
        samples.extend(clip.samples.iter().map(|s| gain * s));
        found.push((start, samples.len(), clip.label.clone()));
    }
    samples.resize(samples.len() + pause(rng, 0.1, 1.0), 0.0);
    let noise = 0.3 * 10f32.powf(rng.random_range(-60.0..-24.0) / 20.0);
    // Between white and brown, as rooms are.
    let colour = rng.random_range(0.0..0.95f32);
    let mut last = 0.0;
    for sample in &mut samples {
        last = colour * last + (1.0 - colour) * rng.random_range(-1.0..1.0f32);
        *sample += noise * last;
    }
    (samples, found)
}

/// Samples; short pauses are commoner.
fn pause(rng: &mut ChaCha8Rng, shortest: f32, longest: f32) -> usize {
    let seconds = shortest * (longest / shortest).powf(rng.random::<f32>());
    (seconds * SAMPLE_RATE as f32) as usize
}
