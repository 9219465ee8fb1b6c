//! Every odd, broken and unusual file of `media_zoo`, beside what ffmpeg found in it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use percept::ErrorKind;
use percept::media::AudioReader;
use percept::media::probe::{ProbeOptions, Stream, probe};
use percept::media::video::VideoOptions;
use symphonia::core::checksum::Md5;
use symphonia::core::io::Monitor;

/// A row of `ffmpeg_reference.csv`.
#[derive(Debug, Clone, Default)]
struct Reference {
    path: String,
    codec: String,
    sample_rate: u32,
    channels: usize,
    num_samples: u64,
    md5: String,
}

/// What Percept found.
#[derive(Debug, Clone)]
enum Found {
    Sound {
        codec: String,
        sample_rate: u32,
        channels: usize,
        num_samples: u64,
        md5: String,
        warnings: Vec<String>,
        ffmpeg: bool,
    },
    Error(ErrorKind, String),
}

fn zoo() -> Option<PathBuf> {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/media_zoo");
    if !zoo.join("ffmpeg_reference.csv").is_file() {
        eprintln!("skipped: {} is not there", zoo.display());
        return None;
    }
    Some(zoo)
}

fn references(zoo: &Path) -> Vec<Reference> {
    let mut csv = csv::Reader::from_path(zoo.join("ffmpeg_reference.csv")).unwrap();
    let rows = csv.records().map(|row| {
        let row = row.unwrap();
        Reference {
            path: row[0].into(),
            codec: row[3].into(),
            sample_rate: row[4].parse().unwrap_or(0),
            channels: row[5].parse().unwrap_or(0),
            num_samples: row[6].parse().unwrap_or(0),
            md5: row[7].into(),
        }
    });
    rows.collect()
}

/// Reads all, in a thread, so that a hang is a failure with a name.
fn read(path: PathBuf) -> Found {
    let (sender, receiver) = channel();
    let name = path.display().to_string();
    std::thread::spawn(move || {
        let _ = sender.send(read_all(&path));
    });
    receiver
        .recv_timeout(Duration::from_secs(60))
        .unwrap_or_else(|e| panic!("{name}: {e:?} (a hang, or a panic)"))
}

fn read_all(path: &Path) -> Found {
    let mut reader = match AudioReader::open(path, None) {
        Ok(reader) => reader,
        Err(error) => {
            assert_eq!(error.path.as_deref(), Some(path), "the error names the file");
            return Found::Error(error.kind, error.message);
        }
    };
    let mut md5 = Md5::default();
    let mut block = Vec::new();
    loop {
        match reader.next_block(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Found::Error(error.kind, error.message),
        }
        assert!(block.iter().all(|x| x.is_finite()));
        assert_eq!(block.len() % reader.info().channels, 0);
        let bytes: Vec<u8> =
            block.iter().flat_map(|x| ((f64::from(*x) * 2_147_483_648.0) as i32).to_le_bytes()).collect();
        md5.process_buf_bytes(&bytes);
    }
    let info = reader.info().clone();
    Found::Sound {
        codec: info.codec,
        sample_rate: info.sample_rate,
        channels: info.channels,
        num_samples: reader.num_samples(),
        md5: md5.md5().iter().map(|byte| format!("{byte:02x}")).collect(),
        warnings: reader.warnings().to_vec(),
        ffmpeg: reader.uses_ffmpeg(),
    }
}

/// One packet of any codec met here: encoders' delay and padding are trimmed differently by ffmpeg 5.1, and a
/// last frame cut short is kept by some decoders.
const PACKET: u64 = 1152;

/// Where Percept and ffmpeg differ by more, and why.
const KNOWN: &[(&str, u64, &str)] = &[
    (
        "flac453sStereo.flac",
        20_000_000,
        "the reference stops at 120 s; the header promises what Percept finds",
    ),
    (
        "d44b4144fc29194848ba4d973a3caca51164578b.flac",
        32_768,
        "the reference stops at 120 s; ffmpeg decodes it here too",
    ),
    (
        "bitflips.flac",
        206_429,
        "Percept fills lost frames with silence, to the length that the header promises",
    ),
    (
        "02 - increasing number of channels.flac",
        147_456,
        "the channels change: Percept stops there and says so",
    ),
    (
        "no-tags.3g2",
        330_750,
        "15 s by the sample table (323 packets of 1024) and the edit list; ffmpeg gives 16.3 s",
    ),
    ("tinytag_mit/106-short-picture-block-size.flac", 162_496, "ffmpeg is lost in a picture of a wrong size"),
    ("07 - other metadata blocks preceding streaminfo metadata block.flac", 106_031, "ffmpeg refuses it"),
];

/// Files that need ffmpeg although Percept knows the codec: too damaged for Symphonia.
const DAMAGED_WITHOUT_FFMPEG: &[&str] = &[
    "02947f56c6c14d3d3d756dbeecc06352e66bd18a.flac",
    "5b004788ba05db06d0f6cc8a7a43e334c9d31c44.flac",
    "04 - wrong number of channels.flac",
    "vbr_xing_header_short.mp3",
    "bad-xing.mp3",
    "bitflips.ogg",
];

fn lossless(codec: &str) -> bool {
    codec.starts_with("pcm_")
        || ["flac", "alac", "tta", "wavpack", "ape", "tak", "wmalossless"].contains(&codec)
}

/// `Err` says what is wrong.
fn judge(reference: &Reference, found: &Found, ffmpeg: bool) -> Result<(), String> {
    let known = KNOWN.iter().find(|(name, ..)| reference.path.ends_with(name));
    match found {
        Found::Error(_, message) if message.is_empty() => Err("an error without a message".into()),
        Found::Error(..) if reference.num_samples == 0 => Ok(()),
        Found::Error(kind, message) if !ffmpeg => match kind {
            ErrorKind::UnsupportedCodec | ErrorKind::UnknownFormat if message.contains("install ffmpeg") => {
                Ok(())
            }
            _ if DAMAGED_WITHOUT_FFMPEG.iter().any(|name| reference.path.ends_with(name)) => Ok(()),
            _ => Err(format!("{kind:?}: {message}")),
        },
        Found::Error(kind, message) => Err(format!("{kind:?}: {message}")),
        Found::Sound { num_samples, .. } if known.is_some_and(|(_, expected, _)| expected == num_samples) => {
            Ok(())
        }
        Found::Sound { num_samples, .. } if reference.num_samples == 0 => {
            Err(format!("{num_samples} samples"))
        }
        Found::Sound { sample_rate, channels, .. }
            if (*sample_rate, *channels) != (reference.sample_rate, reference.channels) =>
        {
            Err(format!("{sample_rate} Hz, {channels} channels"))
        }
        Found::Sound { codec, num_samples, md5, .. } if lossless(&reference.codec) => {
            // f32 holds 24 bits: samples of 32 bits are rounded. ffmpeg takes integers of 24 bits in 4 bytes
            // for floats, and gives no sum.
            let sum = !reference.md5.is_empty() && reference.codec != "pcm_s32le";
            if *num_samples != reference.num_samples {
                Err(format!("{num_samples} samples, not exactly as many"))
            } else if sum && *md5 != reference.md5 {
                Err("other samples".into())
            } else if *codec != reference.codec && reference.codec != "pcm_f24le" {
                Err(format!("codec {codec}"))
            } else {
                Ok(())
            }
        }
        Found::Sound { codec, num_samples, .. } => match num_samples.abs_diff(reference.num_samples) {
            _ if *codec != reference.codec => Err(format!("codec {codec}")),
            difference if difference > PACKET => Err(format!("{num_samples} samples")),
            _ => Ok(()),
        },
    }
}

#[test]
fn every_file_gives_what_ffmpeg_found_or_a_clear_error() {
    let Some(zoo) = zoo() else { return };
    let ffmpeg = percept::media::ffmpeg::is_available();
    let references = references(&zoo);
    let mut wrong = Vec::new();
    let mut exact = 0;
    let mut by_ffmpeg = 0;
    let mut slowest = (Duration::ZERO, String::new());
    for reference in &references {
        let start = std::time::Instant::now();
        let found = read(zoo.join(&reference.path));
        slowest = slowest.max((start.elapsed(), reference.path.clone()));
        if let Err(what) = judge(reference, &found, ffmpeg) {
            wrong.push(format!("{}: {what}\n    {reference:?}\n    {found:?}", reference.path));
        }
        match found {
            Found::Sound { num_samples, ffmpeg, .. } => {
                exact += usize::from(num_samples == reference.num_samples);
                by_ffmpeg += usize::from(ffmpeg);
            }
            Found::Error(..) => exact += usize::from(reference.num_samples == 0),
        }
    }
    println!(
        "{} files, {exact} with exactly the samples of the reference (none in both counts), {by_ffmpeg} decoded by \
         ffmpeg (present: {ffmpeg}); slowest {:?}",
        references.len(),
        slowest
    );
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), references.len(), wrong.join("\n"));
}

/// The same in a process that finds no ffmpeg.
#[test]
fn without_ffmpeg_the_error_says_which_codec_is_not_supported() {
    let name = "every_file_gives_what_ffmpeg_found_or_a_clear_error";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("PERCEPT_FFMPEG", "/nonexistent/ffmpeg")
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn probe_agrees_with_reading() {
    let Some(zoo) = zoo() else { return };
    for reference in references(&zoo).iter().step_by(4) {
        let path = zoo.join(&reference.path);
        let first = |probe: percept::media::probe::Probe| {
            probe.streams.into_iter().find_map(|stream| match stream {
                Stream::Audio(audio) if audio.default => audio.num_samples,
                _ => None,
            })
        };
        let probed = probe(&path, &ProbeOptions::default()).ok().and_then(first);
        let expected = match read(path) {
            Found::Sound { num_samples, .. } => Some(num_samples),
            Found::Error(..) => None,
        };
        assert_eq!(probed, expected, "{}", reference.path);
    }
}

#[test]
fn frames_of_pictures_have_the_times_that_ffprobe_gives() {
    let Some(zoo) = zoo() else { return };
    let found = |path: &str| {
        let options =
            ProbeOptions { frames: true, video: VideoOptions { fps: Some(10.0), ..VideoOptions::default() } };
        let probe = probe(&zoo.join(path), &options).unwrap();
        match probe.streams.into_iter().next() {
            Some(Stream::Video(stream)) => (stream.frames.unwrap(), probe.warnings),
            other => panic!("{path}: {other:?}"),
        }
    };
    // ffprobe -select_streams v:0 -show_entries frame=pts_time -of csv=p=0 FILE
    for (name, count, first) in [
        ("gifplayer-muybridge.gif", 380, &[0.0, 0.36, 0.4, 0.44, 0.48, 0.52][..]),
        ("moon_impact.gif", 14, &[0.0, 0.15, 0.3, 0.45, 0.6, 0.75]),
        ("beacon.gif", 2, &[0.0, 0.1]),
        ("interlaced.gif", 1, &[0.0]),
    ] {
        let (frames, warnings) = found(&format!("gif_mit_apache2/samples/{name}"));
        assert_eq!(
            (frames.pts.len(), &frames.pts[..first.len()], warnings.len()),
            (count, first, 0),
            "{name}"
        );
    }
    for (name, ticks, warning) in [
        ("empty_frame", &[0, 1, 2, 4, 5, 6, 7][..], "frame 4 (004.jpg) is left out"),
        ("not_an_image", &[0, 1, 2, 4, 5, 6, 7], "frame 4 (004.jpg) is left out"),
        ("truncated_frame", &[0, 1, 2, 3, 4, 5, 6, 7], "frame 4 (004.jpg) is cut off"),
        ("missing_frame", &[0, 1, 2, 3, 4, 5, 6], "5 to 7"),
        ("mixed_sizes", &[0, 1, 2, 3, 4, 5, 6, 7], "1 frames have another size"),
    ] {
        let (frames, warnings) = found(&format!("made_corrupt_frames/{name}"));
        assert_eq!(frames.ticks, ticks, "{name}");
        assert!(warnings.join("; ").contains(warning), "{name}: {warnings:?}");
    }
}

#[test]
fn damage_is_said() {
    let Some(zoo) = zoo() else { return };
    for (file, words) in [
        ("made_corrupt/truncated_data.wav", "the header promises"),
        ("made_corrupt/truncated_frame.flac", "the header promises"),
        ("made_corrupt/bitflips.flac", "silence, the first at sample 53248 (3.328 s)"),
        ("made_corrupt/float_nan_inf.wav", "3 samples replaced by 0"),
        ("flac_testbench_cc0/uncommon/02 - increasing number of channels.flac", "could not be decoded"),
    ] {
        let Found::Sound { warnings, .. } = read(zoo.join(file)) else { panic!("{file}") };
        assert!(warnings.iter().any(|warning| warning.contains(words)), "{file}: {warnings:?}");
    }
}
