//! Prepares the hand gestures for training the built-in models `gestures`: what classifies also learns from stretches of the
//! training streams, what tags also from the training clips.
//!
//! `cargo run --release --example gesture_data -- ../shared/data/gestures gestures`
//!
//! Stretches of at least 18 frames become directories of pictures. The folder then holds `clips.csv` (a manifest of the clips
//! and stretches), `streams.csv` (a manifest of the streams and training clips) and `labels.csv` (what happens in those).
//! Validation and test parts are those of the data set, unchanged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use image::RgbImage;
use percept::media::video::{VideoOptions, VideoReader, frame_rate};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Frames of the shortest stretch that is learned from as a clip.
const SHORTEST: usize = 18;
/// Frames of a clip.
const CLIP: usize = 24;

/// A row of `streams.csv`: path, split, frame_start, frame_end, label.
type Stretch = (String, String, usize, usize, String);
/// A row of `manifest.csv`: path, label, split.
type Clip = (String, String, String);

fn main() -> Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [data, out] = args.as_slice() else {
        return Err("usage: gesture_data GESTURES OUT".into());
    };
    std::fs::create_dir_all(out)?;
    let (data, out) = (data.canonicalize()?, out.canonicalize()?);
    let clips: Vec<Clip> = rows(&data.join("manifest.csv"))?;
    let stretches: Vec<Stretch> = rows(&data.join("streams.csv"))?;
    std::fs::write(out.join("clips.csv"), clip_manifest(&data, &out, &clips, &stretches)?)?;
    let (manifest, labels) = streams(&data, &clips, &stretches)?;
    std::fs::write(out.join("streams.csv"), manifest)?;
    std::fs::write(out.join("labels.csv"), labels)?;
    Ok(())
}

fn rows<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    Ok(csv::Reader::from_path(path)?.deserialize().collect::<std::result::Result<_, _>>()?)
}

/// All clips, and the stretches of the training streams, which are cut here.
fn clip_manifest(data: &Path, out: &Path, clips: &[Clip], stretches: &[Stretch]) -> Result<String> {
    let mut manifest = String::from("path,label,split\n");
    for (path, label, split) in clips {
        writeln!(manifest, "{},{label},{split}", data.join(path).display())?;
    }
    let mut streams: BTreeMap<&str, Vec<&Stretch>> = BTreeMap::new();
    for stretch in stretches.iter().filter(|(_, split, ..)| split == "train") {
        streams.entry(&stretch.0).or_default().push(stretch);
    }
    for (path, stretches) in streams {
        let video = data.join(path);
        let pictures = decode(&video)?;
        let fps = frame_rate(&video, &VideoOptions::default())?.unwrap_or(25.0);
        for (_, _, start, end, label) in stretches {
            if end - start < SHORTEST {
                continue;
            }
            let name = Path::new(path).with_extension("").display().to_string().replace(['/', '\\'], "-");
            let folder = out.join("stretches").join(format!("{name}-{start:03}"));
            write(&folder, fps, &pictures[*start..*end])?;
            writeln!(manifest, "{},{label},train", folder.display())?;
        }
    }
    Ok(manifest)
}

/// The streams and the training clips with their labels.
fn streams(data: &Path, clips: &[Clip], stretches: &[Stretch]) -> Result<(String, String)> {
    let mut manifest = String::from("path,split\n");
    let mut labels = String::from("path,frame_start,frame_end,label\n");
    let mut before = "";
    for (path, split, start, end, label) in stretches {
        let video = data.join(path);
        if before != path {
            writeln!(manifest, "{},{split}", video.display())?;
        }
        before = path;
        writeln!(labels, "{},{start},{end},{label}", video.display())?;
    }
    for (path, label, split) in clips.iter().filter(|(_, _, split)| split == "train") {
        let video = data.join(path);
        writeln!(manifest, "{},{split}", video.display())?;
        writeln!(labels, "{},0,{CLIP},{label}", video.display())?;
    }
    Ok((manifest, labels))
}

fn decode(path: &Path) -> Result<Vec<RgbImage>> {
    let mut reader = VideoReader::open(path, &VideoOptions::default())?;
    let mut pictures = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        pictures.extend(RgbImage::from_raw(frame.width, frame.height, frame.pixels));
    }
    Ok(pictures)
}

fn write(folder: &Path, fps: f64, pictures: &[RgbImage]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (i, picture) in pictures.iter().enumerate() {
        picture.save(folder.join(format!("{i:03}.png")))?;
    }
    std::fs::write(folder.join("frames.json"), format!("{{\"fps\": {fps}}}\n"))?;
    Ok(())
}
