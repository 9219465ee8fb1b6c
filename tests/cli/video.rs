//! Pictures: trained on, classified, tagged, drawn, as sound is.

use image::{Rgb, RgbImage};

use super::*;

/// A bright square of 4 x 4 at column `x` of a dark picture of 24 x 16.
fn picture(x: usize, shade: u8) -> RgbImage {
    RgbImage::from_fn(24, 16, |column, row| {
        let inside = (x..x + 4).contains(&(column as usize)) && (6..10).contains(&row);
        if inside { Rgb([250, 220, 200]) } else { Rgb([shade, 20, 30]) }
    })
}

impl Workplace {
    /// A directory with a picture for each column; `fps` goes into its frames.json.
    pub fn frames(&self, name: &str, columns: &[usize], shade: u8, fps: f64) {
        std::fs::create_dir_all(self.path(name)).unwrap();
        for (i, &x) in columns.iter().enumerate() {
            picture(x, shade).save(self.path(&format!("{name}/{}.bmp", i + 1))).unwrap();
        }
        self.write(&format!("{name}/frames.json"), format!("{{\"fps\": {fps}}}"));
    }
}

/// Columns of a square that goes to the right, then of one that goes to the left.
fn right(from: usize) -> Vec<usize> {
    (0..10).map(|i| from + i).collect()
}

fn left(from: usize) -> Vec<usize> {
    right(from).into_iter().rev().collect()
}

/// Twelve clips each of squares that go right and left, at 25 frames a second, as one folder a label.
fn clips(place: &Workplace) {
    for i in 0..12 {
        place.frames(&format!("clips/right/{i}"), &right(i % 8), 10 + 5 * i as u8, 25.0);
        place.frames(&format!("clips/left/{i}"), &left(i % 8), 10 + 5 * i as u8, 25.0);
    }
}

const SMALL: &str = "[video]\nwidth = 12\nheight = 8\n\
                     [network]\nhidden_size = 12\nnum_layers = 1\ndropout = 0.0\n\
                     [training]\nepochs = 25\nbatch_size = 6\nlearning_rate = 0.02\npatience = 0\n";

fn train(place: &Workplace, args: &[&str]) -> Run {
    place.write("small.toml", SMALL);
    let run = place.run(&[&["train", "--config", "small.toml"], args].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    run
}

#[test]
fn a_model_learns_directions_and_is_right_at_any_rate() {
    let place = Workplace::new();
    clips(&place);
    let run = train(&place, &["clips", "-o", "way.safetensors", "--validation-fraction", "0"]);
    assert!(run.stderr().contains("videos are looked at 25 times a second"), "{}", run.stderr());
    let run = place.run(&["evaluate", "-m", "way.safetensors", "clips"]);
    assert_eq!(run.json()["evaluation"]["accuracy"], 1.0, "{}", run.stderr());

    // The same movement with twice and half as many pictures.
    let twice: Vec<usize> = left(5).into_iter().flat_map(|x| [x, x]).collect();
    place.frames("fast", &twice, 12, 50.0);
    place.frames("slow", &[12, 10, 8, 6, 4], 12, 12.5);
    for (name, fps) in [("fast", 50.0), ("slow", 12.5)] {
        let run = place.run(&["classify", "-m", "way.safetensors", name]);
        let record = run.json();
        schema::assert_valid(&place, "classify", &record);
        assert_eq!(record["predictions"][0]["label"], "left", "{name}: {record}");
        assert_eq!((&record["input"]["kind"], &record["input"]["fps"]), (&"video".into(), &fps.into()));
        assert_eq!((&record["input"]["width"], &record["input"]["height"]), (&24.into(), &16.into()));
        assert_eq!(record["warnings"], serde_json::json!([]));
    }
}

/// Four recordings of squares that go right for 10 frames, then left, with the frames of each.
fn recordings(place: &Workplace) {
    let mut labels = "path,frame_start,frame_end,label\n".to_string();
    let mut manifest = "path,split\n".to_string();
    for i in 0..8 {
        let name = format!("r{i}");
        let columns: Vec<usize> =
            [right(i), left(i + 1), right(i + 2), left(i % 3)].concat().into_iter().map(|x| x % 20).collect();
        place.frames(&name, &columns, 10 + 4 * i as u8, 10.0);
        manifest += &format!("{name},{}\n", if i == 7 { "test" } else { "train" });
        for part in 0..4 {
            let label = if part % 2 == 0 { "right" } else { "left" };
            labels += &format!("{name},{},{},{label}\n", 10 * part, 10 * part + 10);
        }
    }
    place.write("labels.csv", labels);
    place.write("manifest.csv", manifest);
}

const DATA: [&str; 4] = ["--manifest", "manifest.csv", "--labels", "labels.csv"];

#[test]
fn a_model_tags_frames_with_their_numbers_times_and_names() {
    let place = Workplace::new();
    recordings(&place);
    let run = train(&place, &[&DATA[..], &["-o", "way.safetensors", "--exclusive"]].concat());
    let report = run.json();
    assert!(report["test"]["frames"]["accuracy"].as_f64().unwrap() > 0.85, "{}", report["test"]["frames"]);

    let run = place.run(&["tag", "-m", "way.safetensors", "--frames", "--preview", "strip.png", "r7"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let record = run.json();
    schema::assert_valid(&place, "tag", &record);
    let frames = &record["frames"];
    assert_eq!(frames["index"][39], 39);
    assert_eq!((&frames["ticks"][7], &frames["pts"][7]), (&7.into(), &0.7.into()));
    assert_eq!((&frames["time_base"], &frames["files"][9]), (&serde_json::json!([1, 10]), &"10.bmp".into()));
    assert_eq!(frames["scores"].as_array().unwrap().len(), 40);
    let event = &record["events"][0];
    let tick = event["tick_start"].as_i64().unwrap();
    assert_eq!(event["frame_start"], tick);
    assert_eq!(event["onset"].as_f64().unwrap(), tick as f64 / 10.0);
    assert_eq!(event["file_start"], format!("{}.bmp", tick + 1));
    assert_eq!(record["events"].as_array().unwrap().last().unwrap()["frame_end"], 40);
    let strip = image::open(place.path("strip.png")).unwrap();
    assert!(strip.width() >= 800 && strip.height() > 100);

    // Twice as many pictures: every second one is looked at, and the events lie at the same times.
    let columns: Vec<usize> =
        (0..80).map(|i| [right(7), left(8), right(9), left(1)].concat()[i / 2] % 20).collect();
    place.frames("twice", &columns, 38, 20.0);
    let twice = place.run(&["tag", "-m", "way.safetensors", "--frames", "twice"]).json();
    assert_eq!(twice["frames"]["index"][3], 6);
    assert_eq!(twice["input"]["frames"], 80);
    let onsets = |record: &Value| -> Vec<Value> {
        record["events"].as_array().unwrap().iter().map(|event| event["onset"].clone()).collect()
    };
    assert_eq!(onsets(&twice), onsets(&record));

    let run = place.run(
        &[&["tune", "-m", "way.safetensors", "-o", "t.safetensors", "--split", "all"], &DATA[..]].concat(),
    );
    assert_eq!(run.code(), 0, "{}", run.stderr());
    for format in ["csv", "audacity", "webvtt", "textgrid", "raven"] {
        let run = place.run(&["tag", "-m", "t.safetensors", "--format", format, "r7"]);
        assert_eq!(run.code(), 0, "{format}: {}", run.stderr());
        assert!(run.stdout().contains("right"), "{format}: {}", run.stdout());
    }
}

#[test]
fn training_on_pictures_gives_the_same_bytes_on_any_number_of_threads() {
    let place = Workplace::new();
    clips(&place);
    place.write(
        "aug.toml",
        format!("{}[augment]\nenabled = true\n", SMALL.replace("epochs = 25", "epochs = 2")),
    );
    let train = |out: &str, threads: &str| {
        let args = ["train", "--config", "aug.toml", "clips", "-o", out];
        let run = Run(place.command(&args).env("RAYON_NUM_THREADS", threads).output().unwrap());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        std::fs::read(place.path(out)).unwrap()
    };
    // The name is that of the file.
    std::fs::create_dir_all(place.path("1")).unwrap();
    std::fs::create_dir_all(place.path("3")).unwrap();
    assert!(train("1/m.safetensors", "1") == train("3/m.safetensors", "3"));
}

#[test]
fn a_directory_is_gone_through_and_what_is_no_media_is_counted() {
    let place = Workplace::new();
    std::fs::create_dir_all(place.path("night/deep")).unwrap();
    std::fs::copy(place.path("tone.wav"), place.path("night/deep/a.wav")).unwrap();
    std::fs::copy(place.path("tone.wav"), place.path("night/b.wav")).unwrap();
    place.write("night/notes.txt", "windy");
    place.write("night/table.csv", "a,b\n");
    let run = place.classify(&["night"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let paths: Vec<Value> =
        run.json().as_array().unwrap().iter().map(|r| r["input"]["path"].clone()).collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(run.stderr().contains("2 files are no media and are passed over"), "{}", run.stderr());
    std::fs::create_dir_all(place.path("empty")).unwrap();
    let run = place.classify(&["empty"]);
    assert_eq!(run.code(), 1);
    run.assert_one_error_line(&["empty", "is a directory without sound, video or pictures"]);
}

#[test]
fn sound_for_a_model_of_pictures_and_the_reverse_say_so() {
    let place = Workplace::new();
    clips(&place);
    train(&place, &["clips", "-o", "way.safetensors", "--epochs", "1"]);
    let run = place.run(&["classify", "-m", "way.safetensors", "tone.wav"]);
    assert_eq!(run.code(), 1);
    run.assert_one_error_line(&["tone.wav"]);
    let run = place.classify(&["clips/left/1"]);
    assert_eq!(run.code(), 1);
    run.assert_one_error_line(&["clips/left/1"]);
    place.run(&["classify", "-m", "way.safetensors", "--stream", "audio", "clips/left/1"]).assert_fatal(&[
        "--stream",
        "way",
        "takes video",
    ]);
}

#[test]
fn pictures_that_are_damaged_are_left_out_with_a_warning() {
    let place = Workplace::new();
    clips(&place);
    train(&place, &["clips", "-o", "way.safetensors", "--epochs", "2"]);
    place.frames("bad", &right(4), 20, 25.0);
    place.write("bad/3.bmp", "");
    place.write("bad/5.bmp", "no picture");
    std::fs::remove_file(place.path("bad/8.bmp")).unwrap();
    let run = place.run(&["classify", "-m", "way.safetensors", "bad"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let warnings = run.json()["warnings"].to_string();
    for part in ["3.bmp", "5.bmp", "7 to 9"] {
        assert!(warnings.contains(part), "{part} is not in {warnings}");
    }
    assert_eq!(run.json()["input"]["frames"], 7);
}

#[test]
fn a_bad_first_file_does_not_decide_for_all() {
    let place = Workplace::new();
    clips(&place);
    place.write("clips/left/00.mp4", "");
    place.write("small.toml", SMALL);
    let run =
        place.run(&["train", "--config", "small.toml", "--epochs", "1", "clips", "-o", "m.safetensors"]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("left out: clips/left/00.mp4: the file is empty"), "{}", run.stderr());
    assert!(run.stderr().contains("25 times a second"), "{}", run.stderr());
}

#[test]
fn pictures_that_lie_in_their_labels_folder_are_clips_of_one_frame_which_is_said() {
    let place = Workplace::new();
    for (label, x) in [("a", 2), ("b", 12)] {
        place.frames(&format!("flat/{label}"), &[x, x + 1, x + 2, x + 3], 20, 25.0);
    }
    let run = train(&place, &["flat", "-o", "m.safetensors", "--epochs", "1"]);
    assert!(run.stderr().contains("every training clip is a single picture"), "{}", run.stderr());
}
