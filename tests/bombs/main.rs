//! Files that ask for more than anyone has: each ends soon, in bounded memory, with an error that says what is wrong. They are
//! made here: some would be large.

#![cfg(target_os = "linux")]

mod make;

use std::path::Path;
use std::process::{Command, Output};

use make::{Animation, Mp4, Table};
use percept::ErrorKind;
use percept::nn::state_dict::{Selection, StateDict};
use serde_json::Value;

/// Most memory that the program may take, in KiB: of 1 GiB, with what its threads' stacks reserve.
const MOST_KIB: u32 = 1 << 20;
/// Seconds of a processor that it may take: a bomb takes hours.
const MOST_SECONDS: u32 = 60;

struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Within the limits, and without the ffmpeg program.
    fn percept(&self, args: &[&str]) -> Output {
        let limited =
            format!("ulimit -d {MOST_KIB}; ulimit -t {MOST_SECONDS}; ulimit -c 0; exec \"$0\" \"$@\"");
        Command::new("/bin/sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_percept")])
            .args(args)
            .env("PATH", "")
            .env("RAYON_NUM_THREADS", "2")
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    /// The command ends with `code`, and one line on stderr that holds `said`.
    #[track_caller]
    fn fails(&self, code: i32, args: &[&str], said: &str) {
        let output = self.percept(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {} {stderr}", output.status);
        assert!(stderr.contains(said) && stderr.lines().count() == 1, "{args:?}: {stderr}");
        assert!(stderr.len() < 10_000, "{} bytes are said", stderr.len());
    }

    /// The JSON of `percept probe`, whatever became of the file.
    #[track_caller]
    fn probe(&self, args: &[&str]) -> Value {
        let output = self.percept(&[&["probe"], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{args:?}: {} {stderr}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn a_picture_of_60000_x_60000_is_refused_before_it_is_unpacked() {
    let place = Workplace::new();
    place.write("claims.png", make::png(60_000, 60_000, 1));
    place.write("unpacks.png", make::png(60_000, 60_000, 450_000_000));
    for name in ["claims.png", "unpacks.png"] {
        place.fails(1, &["probe", name], "larger than 16384 x 16384 pixels");
        place.fails(1, &["classify", "-m", "gestures", name], "larger than 16384 x 16384 pixels");
    }
    // One of a directory is left out.
    std::fs::create_dir(place.path().join("pictures")).unwrap();
    place.write("pictures/1.png", make::png(60_000, 60_000, 450_000_000));
    place.write("pictures/2.png", make::png(8, 8, 16));
    let probe = place.probe(&["pictures"]);
    assert_eq!(probe["media"]["streams"][0]["num_frames"], 1);
    assert!(probe["media"]["warnings"].to_string().contains("16384"), "{probe}");
}

#[test]
fn a_picture_within_the_sides_may_still_be_too_large_for_memory() {
    let place = Workplace::new();
    // 16384 x 16384 in 16 bits of four channels would be 2 GiB.
    place.write("deep.png", make::deep_png(16_384, 16_384));
    place.fails(1, &["probe", "deep.png"], "512 MB in memory");
    // The data go on and on, the header says 8 x 8.
    place.write("behind.png", make::png(8, 8, 450_000_000));
    assert_eq!(place.probe(&["behind.png"])["media"]["streams"][0]["width"], 8);
    // A colour profile that unpacks to 450 MB is passed over, or the picture refused.
    place.write("profile.png", make::png_with_profile(450_000_000));
    place.probe(&["profile.png"]);
    place.fails(1, &["probe", "--max-pixels", "63", "behind.png"], "has 64 pixels, more than 63");
}

#[test]
fn an_animation_of_a_million_frames_is_refused_before_one_is_drawn() {
    let place = Workplace::new();
    for (format, name) in [(Animation::Gif, "a.gif"), (Animation::Png, "a.png"), (Animation::WebP, "a.webp")]
    {
        place.write(name, make::animation(format, 4000, 1_000_000));
        place.fails(1, &["probe", name], "more than 100000 frames");
        place.fails(1, &["tag", "-m", "gestures", name], "more than 100000 frames");
        place.write(name, make::animation(format, 4000, 90_000));
        place.fails(1, &["probe", name], "90000 frames of 4000 x 4000 are more than 100000000000 pixels");
    }
    place.write("small.gif", make::animation(Animation::Gif, 1, 200_000));
    let probe = place.probe(&["--max-frames", "200000", "small.gif"]);
    assert_eq!(probe["media"]["streams"][0]["num_frames"], 200_000);
    place.fails(1, &["probe", "--max-frames", "199999", "small.gif"], "more than 199999 frames");
    place.fails(
        1,
        &["probe", "--max-frames", "200000", "--max-duration", "9", "small.gif"],
        "longer than 9 seconds",
    );
}

#[test]
fn a_flac_that_claims_2_to_36_samples_gives_those_it_has() {
    let place = Workplace::new();
    place.write("none.flac", make::flac((1 << 36) - 1, 0));
    place.fails(1, &["probe", "none.flac"], "none.flac");
    place.write("some.flac", make::flac((1 << 36) - 1, 40));
    let probe = place.probe(&["some.flac"]);
    assert_eq!(probe["media"]["streams"][0]["num_samples"], 40 * 256, "{probe}");
    assert!(probe["media"]["warnings"].to_string().contains("68719476735"), "{probe}");
    let output = place.percept(&["classify", "-m", "digits", "some.flac"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    place.fails(
        1,
        &["classify", "-m", "digits", "--max-duration", "1", "some.flac"],
        "longer than 1 seconds",
    );
}

#[test]
fn a_wav_that_claims_4_gb_and_has_44_bytes_is_empty() {
    let place = Workplace::new();
    place.write("a.wav", make::wav_head(u32::MAX - 15));
    place.fails(1, &["probe", "a.wav"], "holds no sound");
    place.fails(1, &["classify", "-m", "sounds", "a.wav"], "holds no sound");
    place.write("b.wav", [make::wav_head(u32::MAX - 15), vec![1; 2000]].concat());
    let probe = place.probe(&["b.wav"]);
    assert_eq!(probe["media"]["streams"][0]["num_samples"], 1000);
    assert!(probe["media"]["warnings"].to_string().contains("4294967280"), "{probe}");
}

#[test]
fn an_mp4_whose_tables_claim_2_to_32_entries_is_refused() {
    let place = Workplace::new();
    place.write("good.mp4", make::mp4(Mp4::Video, None));
    // The bytes of its pictures are none.
    place.fails(1, &["classify", "-m", "gestures", "good.mp4"], "not one frame can be read");
    let tables = [
        Table::SampleSizes,
        Table::EqualSizes,
        Table::Times,
        Table::Chunks,
        Table::SamplesOfChunks,
        Table::Shifts,
    ];
    for kind in [Mp4::Video, Mp4::Sound] {
        for table in tables {
            place.write("a.mp4", make::mp4(kind, Some(table)));
            for args in [
                ["probe", "--frames", "a.mp4"].as_slice(),
                &["classify", "-m", "gestures", "a.mp4"],
                &["tag", "a.mp4"],
            ] {
                let output = place.percept(args);
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(
                    matches!(output.status.code(), Some(0 | 1)),
                    "{table:?} {args:?}: {} {stderr}",
                    output.status
                );
                assert!(!stderr.contains("stumbled"), "{table:?} {args:?}: {stderr}");
            }
        }
    }
}

#[test]
fn a_model_file_whose_header_claims_2_to_60_bytes_is_refused() {
    let place = Workplace::new();
    place.write("a.safetensors", [(1u64 << 60).to_le_bytes().as_slice(), b"{\"a\": 1}"].concat());
    place.write("a.wav", [make::wav_head(2000), vec![1; 2000]].concat());
    place.fails(2, &["classify", "-m", "a.safetensors", "a.wav"], "claims 1152921504606846976 bytes");
    place.fails(2, &["info", "a.safetensors"], "claims 1152921504606846976 bytes");
    place.fails(1, &["classify", "-m", "sounds", "a.safetensors"], "a.safetensors");
    let error = StateDict::load(&place.path().join("a.safetensors"), &Selection::default()).unwrap_err();
    assert!(error.message.contains("claims"), "{error}");
}

#[test]
fn tensors_that_claim_more_than_the_file_holds_are_refused() {
    let place = Workplace::new();
    let header = |tensor: &str| {
        let text = format!("{{\"rnn.weight_hh_l0\": {tensor}}}");
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    };
    let tensors = [
        r#"{"dtype": "F32", "shape": [4611686018427387904, 1], "data_offsets": [0, 18446744073709551615]}"#,
        r#"{"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}"#,
        r#"{"dtype": "F32", "shape": [18446744073709551615, 0], "data_offsets": [0, 0]}"#,
        r#"{"dtype": "F32", "shape": [1000000, 1000000], "data_offsets": [0, 4000000000000]}"#,
    ];
    for tensor in tensors {
        place.write("a.safetensors", header(tensor));
        let output = place.percept(&["info", "a.safetensors"]);
        assert_eq!(output.status.code(), Some(2), "{tensor}");
        assert!(
            StateDict::load(&place.path().join("a.safetensors"), &Selection::default()).is_err(),
            "{tensor}"
        );
    }
    // More of them than any network has.
    let many: Vec<String> = (0..200_000)
        .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let text = format!("{{{}}}", many.join(","));
    place.write("a.safetensors", [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat());
    place.fails(2, &["info", "a.safetensors"], "holds 200000 tensors where the limit is 65536");
}

#[test]
fn vectors_that_claim_more_than_the_file_holds_are_refused() {
    let place = Workplace::new();
    for (claim, said) in [
        ("(1000000, 1000000)", "more than 4 GiB"),
        ("(4294967295,)", "frames"),
        ("(9, 9)", "cut off: 0 of 9"),
    ] {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {claim}, }}\n");
        let head =
            [b"\x93NUMPY\x01\0".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
        place.write("a.npy", head);
        let error = percept::media::vectors::read_vectors(&place.path().join("a.npy")).unwrap_err();
        assert!(error.message.contains(said), "{claim}: {error}");
    }
    place.write("b.npy", b"\x93NUMPY\x02\0\xff\xff\xff\xff");
    let error = percept::media::vectors::read_vectors(&place.path().join("b.npy")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
}

#[test]
fn an_archive_that_claims_to_unpack_to_very_much_is_refused() {
    let place = Workplace::new();
    // NumPy's archives are not read at all; PyTorch's are never compressed.
    for (name, stored) in [("a/data.pkl", true), ("a/data.pkl", false), ("x.npy", false)] {
        let zip = make::zip(name, stored, u32::MAX - 1);
        let error = StateDict::from_bytes(&zip, &Selection::default()).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Model | ErrorKind::Limit), "{error}");
        place.write("a.npz", zip);
        place.fails(1, &["classify", "-m", "sounds", "a.npz"], "a.npz");
    }
}

#[test]
fn deeply_nested_json_is_refused() {
    let place = Workplace::new();
    let deep = "[".repeat(1_000_000);
    place.write("a.wav", [make::wav_head(2000), vec![1; 2000]].concat());

    // Results.
    let row = r#"{"schema_version": 1, "model": {"name": "m", "sha256": "0a", "task": "classify", "x": "#;
    for text in [deep.clone(), format!("{row}{deep}"), format!("{{\n\"a\": {deep}"), format!("[{row}{deep}")]
    {
        place.write("results.jsonl", text);
        place.fails(2, &["report", "results.jsonl", "-o", "page.html"], "holds no result");
    }

    // A model's header, and its entry.
    let file = |text: String| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let fields = "{\"a\":".repeat(500_000);
    for text in [
        format!("{{\"a\": {deep}"),
        fields,
        format!("{{\"__metadata__\": {{\"percept\": \"{deep}\"}}}}"),
        format!("{{\"__metadata__\": {{\"percept\": \"{{\\\"format_version\\\": 1, \\\"x\\\": {deep}\"}}}}"),
    ] {
        place.write("a.safetensors", file(text));
        place.fails(2, &["classify", "-m", "a.safetensors", "a.wav"], "a.safetensors");
    }

    // Labels, which are no JSON; what stands beside pictures.
    place.write("labels.json", &deep);
    place.fails(2, &["train", ".", "--labels", "labels.json", "-o", "m.safetensors"], "labels.json");
    place.fails(2, &["train", "--manifest", "labels.json", "-o", "m.safetensors"], "has no column");
    std::fs::create_dir(place.path().join("pictures")).unwrap();
    place.write("pictures/1.png", make::png(8, 8, 16));
    place.write("pictures/frames.json", format!("{{\"fps\": {deep}"));
    place.fails(1, &["probe", "pictures"], "is not understood");
}

#[test]
fn a_line_of_a_gigabyte_is_not_read() {
    let place = Workplace::new();
    place.write("a.wav", [make::wav_head(2000), vec![1; 2000]].concat());
    place.write("list.csv", "path,label\n");
    // Holes take no space on disk.
    let file = std::fs::File::options().write(true).open(place.path().join("list.csv")).unwrap();
    file.set_len(1 << 30).unwrap();
    let said = "a line is longer than 1048576 bytes";
    place.fails(2, &["train", "--manifest", "list.csv", "-o", "m.safetensors"], said);
    place.fails(2, &["train", ".", "--labels", "list.csv", "-o", "m.safetensors"], said);
    place.fails(2, &["train", "--config", "list.csv", "-o", "m.safetensors"], "list.csv");
    place.fails(2, &["report", "list.csv", "-o", "page.html"], "holds no result");
}

#[test]
fn texts_of_very_many_small_things_take_no_more_than_they_are_worth() {
    let place = Workplace::new();
    place.write("a.wav", [make::wav_head(2000), vec![1; 2000]].concat());
    // An array of numbers where results are due.
    place.write("results.json", format!("[0{}]", ",0".repeat(30_000_000)));
    place.fails(2, &["report", "results.json", "-o", "page.html"], "holds no result");
    // Rows of six bytes.
    place.write("a.txt", "0\t0\ta\n".repeat(5_000_001));
    place.fails(2, &["train", ".", "--labels", "a.txt", "-o", "m.safetensors"], "more than 5000000 lines");
    // Each of whose lines was once counted from the first on.
    let intervals = "0\n0\n\"x\"\n".repeat(1_000_000);
    let grid =
        format!("\"ooTextFile\"\n\"TextGrid\"\n0\n1\n1\n\"IntervalTier\"\n\"w\"\n0\n1\n1000001\n{intervals}");
    place.write("a.TextGrid", grid);
    place.fails(
        2,
        &["train", ".", "--labels", "a.TextGrid", "-o", "m.safetensors"],
        "ends too early (line 3000011)",
    );
    // A name of a megabyte is not said in full.
    let column = "x".repeat(1_000_000);
    place.write("list.csv", format!("{column},label\n"));
    place.fails(2, &["train", "--manifest", "list.csv", "-o", "m.safetensors"], "has no column \"path\"");
}
