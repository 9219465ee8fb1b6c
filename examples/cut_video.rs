//! Cuts videos at their labels: each stretch becomes a directory of pictures, to be learned from as a clip.
//!
//! `cargo run --release --example cut_video -- LABELS.csv OUT [SPLIT] [SHORTEST]`
//!
//! `LABELS.csv` has the columns path, split, frame_start, frame_end and label; paths start from its own folder. Stretches of
//! SPLIT (`train`) with at least SHORTEST (18) frames are cut. Prints the rows of a manifest: path, label, split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::RgbImage;
use percept::media::video::{VideoOptions, VideoReader};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Stretch {
    frames: std::ops::Range<usize>,
    label: String,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [labels, out, rest @ ..] = args.as_slice() else {
        return Err("usage: cut_video LABELS.csv OUT [SPLIT] [SHORTEST]".into());
    };
    let split = rest.first().map_or("train", String::as_str);
    let shortest: usize = rest.get(1).map_or(Ok(18), |text| text.parse())?;
    let folder = Path::new(labels).parent().unwrap_or(Path::new(""));
    for (path, stretches) in read(labels, split)? {
        let frames = decode(&folder.join(&path))?;
        for stretch in stretches.iter().filter(|stretch| stretch.frames.len() >= shortest) {
            let (start, end) = (stretch.frames.start, stretch.frames.end);
            let stem = Path::new(&path).with_extension("").display().to_string().replace(['/', '\\'], "_");
            let clip = PathBuf::from(out).join(format!("{stem}_{start}-{end}"));
            write(&clip, frames.fps, &frames.pictures[start..end.min(frames.pictures.len())])?;
            println!("{},{},{split}", std::fs::canonicalize(&clip)?.display(), stretch.label);
        }
    }
    Ok(())
}

/// The stretches of each video of a split.
fn read(labels: &str, split: &str) -> Result<BTreeMap<String, Vec<Stretch>>> {
    let mut stretches: BTreeMap<String, Vec<Stretch>> = BTreeMap::new();
    let mut table = csv::Reader::from_path(labels)?;
    for row in table.deserialize() {
        let (path, part, start, end, label): (String, String, usize, usize, String) = row?;
        if part == split {
            stretches.entry(path).or_default().push(Stretch { frames: start..end, label });
        }
    }
    Ok(stretches)
}

struct Decoded {
    fps: f64,
    pictures: Vec<RgbImage>,
}

fn decode(path: &Path) -> Result<Decoded> {
    let options = VideoOptions::default();
    let fps = percept::media::video::frame_rate(path, &options)?.unwrap_or(25.0);
    let mut reader = VideoReader::open(path, &options)?;
    let mut pictures = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        pictures.extend(RgbImage::from_raw(frame.width, frame.height, frame.pixels));
    }
    Ok(Decoded { fps, pictures })
}

fn write(clip: &Path, fps: f64, pictures: &[RgbImage]) -> Result<()> {
    std::fs::create_dir_all(clip)?;
    for (i, picture) in pictures.iter().enumerate() {
        picture.save(clip.join(format!("{i:04}.png")))?;
    }
    std::fs::write(clip.join("frames.json"), format!("{{\"fps\": {fps}}}\n"))?;
    Ok(())
}
