//! Sound in, as a user of the library meets it: files made by hand, byte for byte.

use std::path::{Path, PathBuf};

use percept::ErrorKind;
use percept::media::probe::{ProbeOptions, Stream, probe};
use percept::media::{AudioOptions, AudioReader, load_audio, write_wav};
use percept::signal::Signal;

/// A WAV file with the size fields as given.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8], data_size: u32) -> Vec<u8> {
    let align = channels * bits.div_ceil(8);
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate.wrapping_mul(u32::from(align))).to_le_bytes());
    bytes.extend(align.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data_size.to_le_bytes());
    bytes.extend(data);
    bytes
}

fn sized(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    wav(tag, channels, rate, bits, data, data.len() as u32)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    let folder = Folder::new();
    load_audio(&folder.file("x.wav", bytes), &AudioOptions::default()).unwrap().signal.samples
}

fn failure(name: &str, bytes: &[u8]) -> percept::Error {
    let folder = Folder::new();
    let path = folder.file(name, bytes);
    let error = load_audio(&path, &AudioOptions::default()).unwrap_err();
    assert_eq!(error.path.as_deref(), Some(path.as_path()), "the error names the file");
    assert!(!error.to_string().contains('\n'));
    error
}

#[test]
fn every_way_to_store_a_sample_is_read() {
    assert_eq!(samples(&sized(1, 1, 8_000, 8, &[0, 128, 192])), [-1.0, 0.0, 0.5]);
    assert_eq!(samples(&sized(1, 1, 8_000, 16, &[0, 0x80, 0, 0x40])), [-1.0, 0.5]);
    assert_eq!(samples(&sized(1, 1, 8_000, 24, &[0, 0, 0x80, 0, 0, 0x20])), [-1.0, 0.25]);
    assert_eq!(samples(&sized(1, 1, 8_000, 32, &[0, 0, 0, 0x80, 0, 0, 0, 0x40])), [-1.0, 0.5]);
    assert_eq!(samples(&sized(3, 1, 8_000, 32, &1.25f32.to_le_bytes())), [1.25]);
    assert_eq!(samples(&sized(3, 1, 8_000, 64, &(-0.375f64).to_le_bytes())), [-0.375]);
    // G.711: the smallest and largest steps, as in ITU-T G.191's tables (ffmpeg decodes a minute of music to the same).
    assert_eq!(
        samples(&sized(6, 1, 8_000, 8, &[0xD5, 0x55, 0xAA])),
        [8.0 / 32768.0, -8.0 / 32768.0, 32256.0 / 32768.0]
    );
    assert_eq!(
        samples(&sized(7, 1, 8_000, 8, &[0xFF, 0x80, 0x00])),
        [0.0, 32124.0 / 32768.0, -32124.0 / 32768.0]
    );
}

#[test]
fn wrong_and_unknown_sizes_are_no_reason_to_refuse() {
    let data = [0, 0x40].repeat(100);
    for size in [0, u32::MAX, 200, 0x7FFF_F000] {
        let folder = Folder::new();
        let audio =
            load_audio(&folder.file("a.wav", &wav(1, 1, 8_000, 16, &data, size)), &AudioOptions::default())
                .unwrap();
        assert_eq!((audio.num_samples, audio.signal.samples.len()), (100, 100), "size {size}");
        assert_eq!(audio.warnings.len(), usize::from(size == 0x7FFF_F000), "{:?}", audio.warnings);
    }
}

#[test]
fn a_file_cut_short_keeps_its_whole_frames_and_says_so() {
    let folder = Folder::new();
    let path = folder.file("cut.wav", &wav(1, 2, 8_000, 16, &[0; 4 * 10 + 3], 4_000));
    let audio = load_audio(&path, &AudioOptions::default()).unwrap();
    assert_eq!(audio.num_samples, 10);
    assert!(audio.warnings[0].contains("promises 4000 bytes"), "{:?}", audio.warnings);
}

#[test]
fn rf64_gives_its_size_in_its_own_chunk() {
    let mut bytes = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    bytes.extend([0u64, 8, 4].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([0; 4]);
    bytes.extend(
        &wav(1, 1, 8_000, 16, &[0, 0x40, 0, 0x40, 0, 0x40, 0, 0x40, b'L', b'I', b'S', b'T'], u32::MAX)[12..],
    );
    assert_eq!(samples(&bytes), [0.5; 4]);
}

#[test]
fn the_mix_is_named_and_a_channel_can_be_chosen() {
    let folder = Folder::new();
    let path = folder.file("stereo.wav", &sized(1, 2, 8_000, 16, &[0, 0x40, 0, 0, 0, 0x20, 0, 0x20]));
    let load = |channel| load_audio(&path, &AudioOptions { channel, ..Default::default() });
    let mean = load(None).unwrap();
    assert_eq!((mean.mix.as_str(), mean.signal.samples), ("mean of 2 channels", vec![0.25, 0.25]));
    let second = load(Some(1)).unwrap();
    assert_eq!((second.mix.as_str(), second.signal.samples), ("channel 2", vec![0.0, 0.25]));
    let error = load(Some(2)).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Config, "there is no channel 3; the sound has 2 channels")
    );
    let error = load_audio(&path, &AudioOptions { audio_track: Some(1), ..Default::default() }).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Config, "there is no audio track 2; the file has 1 audio track")
    );
}

#[test]
fn resampling_gives_the_stated_length_and_keeps_the_count_of_the_file() {
    let folder = Folder::new();
    let path = folder.file("a.wav", &sized(1, 1, 44_100, 16, &[0; 2 * 44_101]));
    let audio = load_audio(&path, &AudioOptions { sample_rate: Some(16_000), ..Default::default() }).unwrap();
    assert_eq!((audio.num_samples, audio.sample_rate), (44_101, 44_100));
    assert_eq!((audio.signal.samples.len(), audio.signal.sample_rate), (16_001, 16_000));
    let error = load_audio(&path, &AudioOptions { sample_rate: Some(0), ..Default::default() }).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
}

#[test]
fn samples_that_are_no_numbers_become_silence_with_one_warning() {
    let folder = Folder::new();
    let data: Vec<u8> =
        [0.5, f32::NAN, f32::INFINITY, -0.5].iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
    let audio = load_audio(&folder.file("nan.wav", &sized(3, 1, 8_000, 32, &data)), &AudioOptions::default())
        .unwrap();
    assert_eq!(audio.signal.samples, [0.5, 0.0, 0.0, -0.5]);
    assert_eq!(audio.warnings.len(), 1);
    assert!(audio.warnings[0].starts_with("2 samples replaced by 0"), "{:?}", audio.warnings);
    assert!(audio.warnings[0].contains("sample 1 (0.000 s)"), "{:?}", audio.warnings);

    let all: Vec<u8> = [f32::NAN; 5].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(failure("all.wav", &sized(3, 1, 8_000, 32, &all)).kind, ErrorKind::Damaged);
}

#[test]
fn bad_input_gives_one_clear_line_each() {
    assert_eq!(failure("empty.wav", b"").kind, ErrorKind::Empty);
    assert_eq!(failure("text.wav", b"this is a text\n").kind, ErrorKind::UnknownFormat);
    assert_eq!(failure("header.wav", &sized(1, 1, 8_000, 16, &[])).kind, ErrorKind::Empty);
    assert_eq!(failure("cut.wav", &sized(1, 1, 8_000, 16, &[0; 4])[..33]).kind, ErrorKind::Damaged);
    let rate = failure("rate.wav", &sized(1, 1, 0, 16, &[0; 4]));
    assert_eq!(rate.kind, ErrorKind::Damaged);
    assert!(rate.message.contains("sample rate of 0 Hz"), "{}", rate.message);
    assert_eq!(failure("channels.wav", &sized(1, 0, 8_000, 16, &[0; 4])).kind, ErrorKind::Damaged);
    assert_eq!(failure("picture.wav", b"\x89PNG\r\n\x1a\n0000").kind, ErrorKind::Empty);

    let folder = Folder::new();
    let error = load_audio(folder.0.path(), &AudioOptions::default()).unwrap_err();
    assert_eq!((error.kind, error.path.as_deref()), (ErrorKind::Path, Some(folder.0.path())));
    let missing = folder.0.path().join("missing.wav");
    let error = load_audio(&missing, &AudioOptions::default()).unwrap_err();
    assert_eq!((error.kind, error.path.as_deref()), (ErrorKind::NotFound, Some(missing.as_path())));
    assert_eq!(probe(&missing, &ProbeOptions::default()).unwrap_err().kind, ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn a_device_or_pipe_is_refused_at_once() {
    let error = load_audio(Path::new("/dev/zero"), &AudioOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Path);
    let folder = Folder::new();
    let pipe = folder.0.path().join("pipe.wav");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        assert_eq!(load_audio(&pipe, &AudioOptions::default()).unwrap_err().kind, ErrorKind::Path);
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_is_read_like_any_other() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let path = folder.0.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.wav"));
    std::fs::write(&path, sized(1, 1, 8_000, 16, &[0, 0x40])).unwrap();
    assert_eq!(load_audio(&path, &AudioOptions::default()).unwrap().signal.samples, [0.5]);
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.file("secret.wav", &sized(1, 1, 8_000, 16, &[0, 0x40]));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        eprintln!("skipped: run as root, who may read everything");
        return;
    }
    assert_eq!(load_audio(&path, &AudioOptions::default()).unwrap_err().kind, ErrorKind::PermissionDenied);
}

/// One byte changed in turn, in the header of a good file: an error or sound, no panic, no great allocation.
#[test]
fn no_byte_of_a_header_can_do_harm() {
    let good = sized(1, 2, 8_000, 16, &[1; 64]);
    let folder = Folder::new();
    for at in 0..44 {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut bytes = good.clone();
            bytes[at] = value;
            // What is no WAV file any more would go to ffmpeg.
            if bytes[..4] != good[..4] || bytes[8..12] != good[8..12] {
                continue;
            }
            if let Ok(mut reader) = AudioReader::open(&folder.file("x.wav", &bytes), None) {
                let mut block = Vec::new();
                while reader.next_block(&mut block).unwrap_or(false) {
                    assert!(block.len() <= 1 << 20);
                }
            }
        }
    }
}

#[test]
fn probe_tells_what_a_file_holds_and_counts_exactly() {
    let folder = Folder::new();
    let path = folder.0.path().join("out.bin");
    write_wav(&path, &Signal { samples: vec![0.25; 12_345], sample_rate: 22_050 }).unwrap();
    let found = probe(&path, &ProbeOptions::default()).unwrap();
    assert_eq!(found.container, "wav");
    let [Stream::Audio(audio)] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((audio.codec.as_str(), audio.sample_rate, audio.channels), ("pcm_f32le", 22_050, 1));
    assert_eq!((audio.num_samples, audio.duration), (Some(12_345), Some(12_345.0 / 22_050.0)));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["streams"][0]["kind"], "audio");
    assert!(json["streams"][0].get("language").is_none(), "what is not known is left out");
}

#[test]
fn bits_win_where_a_header_contradicts_itself() {
    let folder = Folder::new();
    let load = |bits: u16, align: u16, data: &[u8]| {
        let mut bytes = sized(1, 1, 8_000, bits, data);
        bytes[32..34].copy_from_slice(&align.to_le_bytes());
        load_audio(&folder.file("x.wav", &bytes), &AudioOptions::default()).unwrap()
    };
    // ffmpeg 5.1 reads the first two the same, by the bits.
    type Case<'a> = (u16, u16, &'a [u8], &'a str, &'a [f32]);
    let cases: [Case; 3] = [
        (16, 4, &[0, 0x40, 0, 0x20], "pcm_s16le", &[0.5, 0.25]),
        (8, 2, &[0xC0, 0x80], "pcm_u8", &[0.5, 0.0]),
        (16, 0, &[0, 0x40], "pcm_s16le", &[0.5]),
    ];
    for (bits, align, data, codec, samples) in cases {
        let audio = load(bits, align, data);
        assert_eq!((audio.codec.as_str(), audio.signal.samples.as_slice()), (codec, samples));
        let expected = format!(
            "the header contradicts itself: 1 channel of {bits} bits in {align} bytes; taken for {codec}"
        );
        assert_eq!(audio.warnings, [expected]);
    }
    // Recorders store 24 bits in 4 bytes, and 12 in 2: no contradiction.
    assert_eq!(load(24, 4, &[0, 0, 0x40, 0]).signal.samples, [0.5]);
    assert_eq!(load(12, 2, &[0, 0x40]).warnings, [""; 0]);
}

#[test]
fn probe_says_that_an_adpcm_block_is_cut_short_and_holds_no_samples() {
    let folder = Folder::new();
    let mut bytes = sized(0x11, 1, 8_000, 4, &[0; 800]);
    bytes[32..34].copy_from_slice(&u16::MAX.to_le_bytes());
    let found = probe(&folder.file("x.wav", &bytes), &ProbeOptions::default()).unwrap();
    let [Stream::Audio(audio)] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!(audio.num_samples, Some(0));
    assert_eq!(
        found.warnings,
        [
            "audio track 1: the last block is cut short (800 of 65535 bytes) and left out",
            "audio track 1: it holds no samples"
        ]
    );
}

/// MPEG 1 layer 3 at 32 kbit/s, 44.1 kHz, mono: frames of 1152 silent samples, or ones that cannot be decoded.
fn mp3(frames: impl IntoIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for good in frames {
        let mut frame = [0u8; 104];
        frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x10, 0xC4]);
        if !good {
            // More big values than there are frequency lines.
            frame[7] = 0x03;
            frame[8] = 0xFE;
        }
        bytes.extend(frame);
    }
    bytes
}

#[test]
fn silence_is_counted_where_it_was_given() {
    let folder = Folder::new();
    let load = |frames: Vec<bool>| {
        load_audio(&folder.file("x.mp3", &mp3(frames)), &AudioOptions::default()).unwrap()
    };
    let whole = load(vec![true; 17]).num_samples;
    let between = load([vec![true; 10], vec![false; 2], vec![true; 5]].concat());
    assert_eq!(between.num_samples, whole);
    assert!(
        between.warnings[0].starts_with("2 damaged or missing parts became 0.052 s of silence"),
        "{between:?}"
    );
    // Behind the last sound nothing needs its place kept.
    let end = load([vec![true; 10], vec![false; 2], vec![true; 5], vec![false; 9]].concat());
    assert_eq!(end.num_samples, whole);
    assert!(end.warnings[0].starts_with("11 damaged or missing parts became 0.052 s of silence"), "{end:?}");
}

#[test]
fn a_small_file_cannot_become_hours_of_silence() {
    let folder = Folder::new();
    // 11 minutes of damaged frames, in 2.6 MB.
    let frames = [vec![true; 10], vec![false; 25_300], vec![true; 10]].concat();
    let audio = load_audio(&folder.file("x.mp3", &mp3(frames)), &AudioOptions::default()).unwrap();
    assert!(audio.num_samples <= 10 * 1152, "{}", audio.num_samples);
    let said = audio.warnings.join("\n");
    assert!(
        said.contains("ends early") && said.contains("more than 600 s before this are damaged"),
        "{said}"
    );
}

/// An element of Matroska with its size in 8 bytes.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = (1u64 << 56 | body.len() as u64).to_be_bytes();
    [id, &size, body].concat()
}

/// Two tracks of mono 16-bit samples at 8 kHz, the first of a codec that only ffmpeg knows.
fn matroska_with_an_unknown_track(first: &[u8], second: &[u8]) -> Vec<u8> {
    let track = |number: u8, codec: &[u8], private: &[u8]| {
        let audio =
            [element(b"\xB5", &8_000f64.to_be_bytes()), element(b"\x9F", &[1]), element(b"\x62\x64", &[16])];
        let private = if private.is_empty() { Vec::new() } else { element(b"\x63\xA2", private) };
        let parts = [
            element(b"\xD7", &[number]),
            element(b"\x73\xC5", &[number]),
            element(b"\x83", &[2]),
            element(b"\x86", codec),
            private,
            element(b"\xE1", &audio.concat()),
        ];
        element(b"\xAE", &parts.concat())
    };
    let block = |number: u8, data: &[u8]| element(b"\xA3", &[&[0x80 | number, 0, 0, 0x80], data].concat());
    let wave_format = &sized(1, 1, 8_000, 16, &[])[20..36];
    let tracks = [track(1, b"A_MS/ACM", &[wave_format, &[0, 0]].concat()), track(2, b"A_PCM/INT/LIT", &[])];
    let cluster = [element(b"\xE7", &[0]), block(1, first), block(2, second)];
    let info = [
        element(b"\x2A\xD7\xB1", &1_000_000u32.to_be_bytes()),
        element(b"\x4D\x80", b"test"),
        element(b"\x57\x41", b"test"),
    ];
    let segment = [
        element(b"\x15\x49\xA9\x66", &info.concat()),
        element(b"\x16\x54\xAE\x6B", &tracks.concat()),
        element(b"\x1F\x43\xB6\x75", &cluster.concat()),
    ];
    [
        element(b"\x1A\x45\xDF\xA3", &element(b"\x42\x82", b"matroska")),
        element(b"\x18\x53\x80\x67", &segment.concat()),
    ]
    .concat()
}

#[test]
fn a_track_number_means_the_same_track_whoever_decodes() {
    let folder = Folder::new();
    let path =
        folder.file("x.mkv", &matroska_with_an_unknown_track(&[0, 0xE0, 0, 0xE0], &[0, 0x40, 0, 0x40]));
    let load = |audio_track| load_audio(&path, &AudioOptions { audio_track, ..Default::default() });
    let found = probe(&path, &ProbeOptions::default()).unwrap();
    if percept::media::ffmpeg::is_available() {
        assert_eq!(load(Some(0)).unwrap().signal.samples, [-0.25, -0.25]);
        assert_eq!(load(Some(1)).unwrap().signal.samples, [0.5, 0.5]);
        assert_eq!(found.streams.len(), 2);
        return;
    }
    for (track, name) in [(0, "track 1"), (1, "track 2"), (usize::MAX, "track 1")] {
        let error = load(Some(track)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnsupportedCodec);
        assert!(error.message.contains(name) && error.message.contains("ffmpeg"), "{error}");
    }
    assert_eq!(load(None).unwrap().signal.samples, [0.5, 0.5]);
    let [Stream::Other(_), Stream::Audio(audio)] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((audio.num_samples, audio.default), (Some(2), true));
    let [warning] = found.warnings.as_slice() else { panic!("{found:?}") };
    assert!(warning.starts_with("stream 0 is of a codec that Percept does not know; "), "{warning}");
    assert!(warning.contains("install ffmpeg"), "{warning}");
}

/// All tests here in a process that finds no ffmpeg.
#[test]
fn all_of_this_holds_without_ffmpeg() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--skip", "all_of_this_holds_without_ffmpeg"])
        .env("PERCEPT_FFMPEG", "/nonexistent/ffmpeg")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
