//! Makes what the built-in classifier `sounds` was trained on: the clips of ESC-10, speech made of the Free Spoken Digit
//! Dataset, and silence.
//!
//! `cargo run --release --example sounds_data -- ../shared/data/esc10/manifest.csv ../shared/data/fsdd/manifest.csv sounds`
//!
//! Speech is digits of one speaker in a row, with pauses and noise, alone or over a quiet room. Silence is nothing at all,
//! the noise of a quiet device, or mains hum. ESC-10's fifth fold is the test part; speech of one speaker is, too.

use std::collections::BTreeMap;
use std::error::Error;
use std::f32::consts::TAU;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use percept::media::{AudioOptions, load_audio, write_wav};
use percept::signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Of the recordings of digits.
const SPEECH_RATE: u32 = 8_000;
/// Of what is made from nothing.
const SILENCE_RATE: u32 = 22_050;
const TEST_FOLD: &str = "5";
const TEST_SPEAKER: &str = "yweweler";
/// Clips of speech and of silence: as many as other labels have, for each part.
const PARTS: [(&str, usize); 2] = [("train", 60), ("test", 15)];
const SEED: u64 = 1;

type Speakers = BTreeMap<String, Vec<Vec<f32>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(sounds), Some(digits), Some(out)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: sounds_data ESC10_MANIFEST FSDD_MANIFEST OUT_FOLDER".into());
    };
    std::fs::create_dir_all(&out)?;
    let mut manifest = String::from("path,label,split,group\n");
    let folder = sounds.canonicalize()?.parent().map(Path::to_path_buf).unwrap_or_default();
    // path,label,fold,freesound_id,...
    for row in rows(&sounds)? {
        let split = if row[2] == TEST_FOLD { "test" } else { "train" };
        writeln!(manifest, "{},{},{split},{}", folder.join(&row[0]).display(), row[1], row[3])?;
    }
    let speakers = load(&digits)?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for (split, count) in PARTS {
        let of_part: Vec<(&String, &Vec<Vec<f32>>)> =
            speakers.iter().filter(|(name, _)| (*name == TEST_SPEAKER) == (split == "test")).collect();
        for i in 0..count {
            let (name, clips) = of_part[rng.random_range(0..of_part.len())];
            let path = format!("speech-{split}-{i:03}.wav");
            let samples = speech(clips, &mut rng);
            write_wav(&out.join(&path), &Signal { samples, sample_rate: SPEECH_RATE })?;
            writeln!(manifest, "{path},speech,{split},{name}")?;
            let path = format!("silence-{split}-{i:03}.wav");
            let samples = silence(&mut rng);
            write_wav(&out.join(&path), &Signal { samples, sample_rate: SILENCE_RATE })?;
            writeln!(manifest, "{path},silence,{split},{path}")?;
        }
    }
    std::fs::write(out.join("manifest.csv"), manifest)?;
    Ok(())
}

fn rows(manifest: &Path) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let text = std::fs::read_to_string(manifest)?;
    Ok(text.lines().skip(1).map(|line| line.split(',').map(String::from).collect()).collect())
}

/// The recordings of each speaker.
fn load(manifest: &Path) -> Result<Speakers, Box<dyn Error>> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut speakers = Speakers::new();
    // path,label,split,speaker,...
    for row in rows(manifest)? {
        let audio = load_audio(&folder.join(&row[0]), &AudioOptions::default())?;
        speakers.entry(row[3].clone()).or_default().push(audio.signal.samples);
    }
    Ok(speakers)
}

/// One to eight digits with pauses, one to six seconds, and the noise of a room.
fn speech(clips: &[Vec<f32>], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let second = SPEECH_RATE as f32;
    let mut samples = vec![0f32; (rng.random_range(0.05..1.0) * second) as usize];
    for _ in 0..rng.random_range(1..9) {
        let clip = &clips[rng.random_range(0..clips.len())];
        let peak = clip.iter().fold(0f32, |peak, s| peak.max(s.abs())).max(1e-4);
        let gain = 0.4 * 10f32.powf(rng.random_range(-4.0..4.0) / 20.0) / peak;
        samples.extend(clip.iter().map(|s| gain * s));
        samples.resize(samples.len() + (rng.random_range(0.02..0.6) * second) as usize, 0.0);
    }
    let level = 0.4 * 10f32.powf(rng.random_range(-70.0..-25.0) / 20.0);
    add_noise(&mut samples, level, rng);
    samples
}

/// Two to six seconds of nothing, of faint noise, or of faint hum.
fn silence(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut samples = vec![0f32; (rng.random_range(2.0..6.0) * SILENCE_RATE as f32) as usize];
    match rng.random_range(0..4) {
        0 => {}
        1 => {
            let mains = if rng.random::<f32>() < 0.5 { 50.0 } else { 60.0 };
            let level = 10f32.powf(rng.random_range(-80.0..-55.0) / 20.0);
            for (n, sample) in samples.iter_mut().enumerate() {
                let t = n as f32 / SILENCE_RATE as f32;
                let partials = [(1.0, 1.0), (2.0, 0.4), (3.0, 0.3), (5.0, 0.1)];
                *sample = partials.iter().map(|(k, part)| level * part * (TAU * k * mains * t).sin()).sum();
            }
            add_noise(&mut samples, level * 0.2, rng);
        }
        _ => add_noise(&mut samples, 10f32.powf(rng.random_range(-90.0..-55.0) / 20.0), rng),
    }
    samples
}

/// Between white and brown, as rooms are.
fn add_noise(samples: &mut [f32], level: f32, rng: &mut ChaCha8Rng) {
    let colour = rng.random_range(0.0..0.95f32);
    let mut last = 0.0;
    for sample in samples {
        last = colour * last + (1.0 - colour) * rng.random_range(-1.0..1.0f32);
        *sample += level * last;
    }
}
