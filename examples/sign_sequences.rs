//! Makes directories of frames out of the Sign Language Digits: its own sequences, and more of the training part.
//!
//! `cargo run --release --example sign_sequences -- ../shared/data/sign_digits signs [MORE]`
//!
//! A sequence holds each picture for 4 to 10 frames; the data set's show one student's digits, the MORE others (300) those of
//! several training students, in random order. The folder then holds `manifest.csv` and `labels.csv`, for `percept train`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SEED: u64 = 1;
/// Pictures in a sequence of the others.
const PICTURES: usize = 10;

/// A row of `sequences.csv`: sequence, split, frame_start, frame_end, path, label.
type Row = (String, String, usize, usize, String, String);
/// A row of `manifest.csv`: path, label, split, subject, width, height.
type Still = (String, String, String, String, u32, u32);

/// A picture that is held for some frames.
struct Held {
    picture: PathBuf,
    label: String,
    frames: usize,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [data, out, more @ ..] = args.as_slice() else {
        return Err("usage: sign_sequences SIGN_DIGITS OUT [MORE]".into());
    };
    let (data, out) = (Path::new(data), Path::new(out));
    let more: usize = more.first().map_or(Ok(300), |text| text.parse())?;
    let (mut manifest, mut labels) =
        (String::from("path,split\n"), String::from("path,frame_start,frame_end,label\n"));
    for ((name, split), held) in sequences(data)? {
        write(out, &name, &held, &mut labels)?;
        writeln!(manifest, "{name},{split}")?;
    }
    let stills: Vec<Still> = rows(&data.join("manifest.csv"))?;
    let stills: Vec<&Still> = stills.iter().filter(|(_, _, split, ..)| split == "train").collect();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for i in 0..more {
        let name = format!("mixed{i:03}");
        write(out, &name, &mixed(data, &stills, &mut rng), &mut labels)?;
        writeln!(manifest, "{name},train")?;
    }
    std::fs::write(out.join("manifest.csv"), manifest)?;
    std::fs::write(out.join("labels.csv"), labels)?;
    Ok(())
}

fn rows<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    Ok(csv::Reader::from_path(path)?.deserialize().collect::<std::result::Result<_, _>>()?)
}

/// The data set's own, by name and split.
fn sequences(data: &Path) -> Result<BTreeMap<(String, String), Vec<Held>>> {
    let mut sequences: BTreeMap<_, Vec<Held>> = BTreeMap::new();
    for (name, split, start, end, path, label) in rows::<Row>(&data.join("sequences.csv"))? {
        let held = Held { picture: data.join(path), label, frames: end - start };
        sequences.entry((name, split)).or_default().push(held);
    }
    Ok(sequences)
}

/// Pictures of different digits, whoever shows them.
fn mixed(data: &Path, stills: &[&Still], rng: &mut ChaCha8Rng) -> Vec<Held> {
    let mut digits: Vec<&str> = stills.iter().map(|still| still.1.as_str()).collect();
    digits.sort_unstable();
    digits.dedup();
    digits.shuffle(rng);
    let mut held = Vec::new();
    for digit in digits.into_iter().take(PICTURES) {
        let of_digit: Vec<&&Still> = stills.iter().filter(|still| still.1 == digit).collect();
        let still = of_digit[rng.random_range(0..of_digit.len())];
        held.push(Held {
            picture: data.join(&still.0),
            label: digit.into(),
            frames: rng.random_range(4..=10),
        });
    }
    held
}

/// Writes the frames of a sequence and appends its labels.
fn write(out: &Path, name: &str, sequence: &[Held], labels: &mut String) -> Result<()> {
    let folder = out.join(name);
    std::fs::create_dir_all(&folder)?;
    let mut frame = 0;
    for held in sequence {
        let end = frame + held.frames;
        writeln!(labels, "{name},{frame},{end},{}", held.label)?;
        for i in frame..end {
            std::fs::copy(&held.picture, folder.join(format!("{i:03}.jpg")))?;
        }
        frame = end;
    }
    std::fs::write(folder.join("frames.json"), "{\"fps\": 25}\n")?;
    Ok(())
}
