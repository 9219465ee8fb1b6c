//! Makes vectors that `percept train` learns from out of time series in sktime's `.ts` format.
//!
//! `cargo run --release --example time_series -- TRAIN.ts TEST.ts OUT`
//!
//! Each series becomes a `.npy` file `[T, D]`; `OUT/manifest.csv` has path, label and split. Values that are missing (`?`) are
//! refused.

use std::fmt::Write as _;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, out] = args.as_slice() else {
        return Err("usage: time_series TRAIN.ts TEST.ts OUT".into());
    };
    let out = Path::new(out);
    std::fs::create_dir_all(out)?;
    let mut manifest = String::from("path,label,split\n");
    for (split, file) in [("train", train), ("test", test)] {
        for (i, line) in data_lines(&std::fs::read_to_string(file)?).enumerate() {
            let (frames, label) = series(line).map_err(|e| format!("{file}, series {}: {e}", i + 1))?;
            let name = format!("{split}-{i:04}.npy");
            std::fs::write(out.join(&name), npy(&frames))?;
            writeln!(manifest, "{name},{label},{split}")?;
        }
    }
    std::fs::write(out.join("manifest.csv"), manifest)?;
    Ok(())
}

/// What follows `@data`.
fn data_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().skip_while(|line| !line.trim().eq_ignore_ascii_case("@data"));
    lines.skip(1).filter(|line| !line.trim().is_empty())
}

/// `a1,a2,...:b1,b2,...:label`, a channel at a time -> frames `[T][D]` and the label.
fn series(line: &str) -> Result<(Vec<Vec<f32>>, &str)> {
    let (channels, label) = line.rsplit_once(':').ok_or("there is no label")?;
    let numbers = |channel: &str| channel.split(',').map(|v| v.trim().parse()).collect();
    let channels: Vec<Vec<f32>> =
        channels.split(':').map(numbers).collect::<std::result::Result<_, std::num::ParseFloatError>>()?;
    let length = channels[0].len();
    if channels.iter().any(|channel| channel.len() != length) {
        return Err("its channels are not equally long".into());
    }
    Ok(((0..length).map(|t| channels.iter().map(|channel| channel[t]).collect()).collect(), label.trim()))
}

/// NumPy's format, version 1.0: little-endian f32 `[T, D]`.
fn npy(frames: &[Vec<f32>]) -> Vec<u8> {
    let shape = (frames.len(), frames.first().map_or(0, Vec::len));
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", shape.0, shape.1);
    // Magic, version, length, header and line end fill whole blocks of 64 bytes.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(frames.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}
