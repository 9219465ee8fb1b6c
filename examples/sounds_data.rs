//! Makes what the built-in classifier `sounds` was trained on: the clips of ESC-10, speech made of the Free Spoken Digit
//! Dataset, and silence.
//!
//! `cargo run --release --example sounds_data -- ../shared/data/esc10/manifest.csv ../shared/data/fsdd/manifest.csv sounds`
//!
//! Speech is digits of one speaker in a row, near or across a made room, sometimes over another one's, with noise. Silence is nothing at all,
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
/// Parts, and their clips of speech and of silence.
const PARTS: [(&str, usize, usize); 2] = [("train", 120, 60), ("test", 15, 15)];
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
    for (split, speeches, silences) in PARTS {
        let of_part: Vec<(&String, &Vec<Vec<f32>>)> =
            speakers.iter().filter(|(name, _)| (*name == TEST_SPEAKER) == (split == "test")).collect();
        for i in 0..speeches {
            let (name, clips) = of_part[rng.random_range(0..of_part.len())];
            let path = format!("speech-{split}-{i:03}.wav");
            let samples = speech(clips, &mut rng);
            write_wav(&out.join(&path), &Signal { samples, sample_rate: SPEECH_RATE })?;
            writeln!(manifest, "{path},speech,{split},{name}")?;
        }
        for i in 0..silences {
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

/// One to twelve digits in a row, near or across a room, sometimes with another one talking, loud or low, over noise.
fn speech(clips: &[Vec<f32>], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut samples = talk(clips, rng);
    if rng.random::<f32>() < 0.3 {
        let other = talk(clips, rng);
        let level = 10f32.powf(rng.random_range(-20.0..0.0) / 20.0);
        samples.iter_mut().zip(other).for_each(|(sample, other)| *sample += level * other);
    }
    if rng.random::<f32>() < 0.6 {
        samples = in_a_room(&samples, rng);
    }
    let peak = samples.iter().fold(0f32, |peak, s| peak.max(s.abs())).max(1e-4);
    let level = 0.7 * 10f32.powf(rng.random_range(-30.0..0.0) / 20.0);
    samples.iter_mut().for_each(|s| *s *= level / peak);
    add_noise(&mut samples, level * 10f32.powf(rng.random_range(-60.0..-15.0) / 20.0), rng);
    samples
}

fn talk(clips: &[Vec<f32>], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let second = SPEECH_RATE as f32;
    let mut samples = vec![0f32; (rng.random_range(0.0..0.8) * second) as usize];
    let longest_pause = rng.random_range(0.02..0.6);
    for _ in 0..rng.random_range(1..13) {
        let clip = &clips[rng.random_range(0..clips.len())];
        let peak = clip.iter().fold(0f32, |peak, s| peak.max(s.abs())).max(1e-4);
        let gain = 10f32.powf(rng.random_range(-6.0..6.0) / 20.0) / peak;
        samples.extend(clip.iter().map(|s| gain * s));
        samples.resize(samples.len() + (rng.random_range(0.0..longest_pause) * second) as usize, 0.0);
    }
    samples
}

/// The sound itself and what walls send back: noise that dies away, by 60 dB in 0.15 to 0.8 s (Polack 1988).
fn in_a_room(samples: &[f32], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let length = (rng.random_range(0.15..0.8) * SPEECH_RATE as f32) as usize;
    let strength = rng.random_range(0.02..0.25f32);
    let decay = |t: usize| 10f32.powf(-3.0 * t as f32 / length as f32);
    let echo: Vec<f32> = (0..length).map(|t| strength * decay(t) * rng.random_range(-1.0..1.0f32)).collect();
    let mut out = samples.to_vec();
    out.resize(samples.len() + length, 0.0);
    for (t, &sample) in samples.iter().enumerate().filter(|(_, sample)| **sample != 0.0) {
        out[t..].iter_mut().zip(&echo).for_each(|(out, echo)| *out += sample * echo);
    }
    out
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
