//! Training, tuning and evaluating a model that tags.

use super::*;

/// Recordings of beeps, low and high, with pauses; `path,onset,offset,label` of each.
pub(super) fn beeps(place: &Workplace, recordings: usize) -> String {
    let mut table = String::from("path,onset,offset,label,note\n");
    let mut manifest = String::from("path,split\n");
    for recording in 0..recordings {
        let mut samples = vec![0f32; 800];
        let name = format!("r{recording}.wav");
        for beep in 0..5 {
            let is_high = (recording * 7 + beep * 3) % 4 < 2;
            let frequency = if is_high { 1_800.0 } else { 500.0 };
            let (start, length) = (samples.len(), 1_600 + 300 * ((recording + beep) % 3));
            samples.extend(
                (0..length).map(|i| 0.3 * (i as f32 * frequency * std::f32::consts::TAU / 8_000.0).sin()),
            );
            let seconds = |sample: usize| sample as f64 / 8_000.0;
            let label = if is_high { "high" } else { "low" };
            table += &format!("{name},{},{},{label},x\n", seconds(start), seconds(samples.len()));
            samples.resize(samples.len() + 800 + 200 * (beep % 3), 0.0);
        }
        place.wav(&name, 1, &samples);
        let split = if recording % 4 == 0 { "test" } else { "train" };
        manifest += &format!("{name},{split}\n");
    }
    place.write("labels.csv", &table);
    place.write("manifest.csv", manifest);
    table
}

const SMALL: &str = "[features]\nsample_rate = 8000\nn_fft = 256\nhop_length = 80\nn_mels = 16\n\
                     [network]\nhidden_size = 16\nnum_layers = 1\ndropout = 0.0\n\
                     [training]\nepochs = 30\nbatch_size = 4\nlearning_rate = 0.02\npatience = 0\n";

fn train(place: &Workplace, out: &str, more: &[&str]) -> Run {
    place.write("small.toml", SMALL);
    let args = [
        "train",
        "--config",
        "small.toml",
        "--manifest",
        "manifest.csv",
        "--labels",
        "labels.csv",
        "-o",
        out,
    ];
    place.run(&[&args[..], more].concat())
}

#[test]
fn a_model_learns_to_tag_is_tuned_and_is_evaluated() {
    let place = Workplace::new();
    beeps(&place, 24);
    let run = train(&place, "beeps.safetensors", &[]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    for part in
        ["columns that are not used: note", "24 recordings have labels in labels.csv: high 60, low 60"]
    {
        assert!(run.stderr().contains(part), "{}", run.stderr());
    }
    let report = run.json();
    schema::assert_valid(&place, "train", &report);
    assert_eq!(report["model"]["labels"], serde_json::json!(["high", "low"]));
    assert!(report["test"]["frames"]["f1"].as_f64().unwrap() > 0.9, "{}", report["test"]["frames"]);

    let data = ["--manifest", "manifest.csv", "--labels", "labels.csv"];
    let tuned =
        place.run(&[&["tune", "-m", "beeps.safetensors", "-o", "tuned.safetensors"], &data[..]].concat());
    assert_eq!(tuned.code(), 0, "{}", tuned.stderr());
    schema::assert_valid(&place, "tune", &tuned.json());
    assert!(tuned.json()["after"].as_f64().unwrap() >= tuned.json()["before"].as_f64().unwrap());

    let run = place.run(&[&["evaluate", "-m", "tuned.safetensors"], &data[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.json();
    schema::assert_valid(&place, "evaluate", &report);
    assert_eq!((&report["part"], &report["evaluation"]["recordings"]), (&"test".into(), &6.into()));
    let f1 = &report["evaluation"]["events"]["event_based"]["overall"]["f_measure"];
    assert!(f1.as_f64().unwrap() > 0.8, "{f1}");
    assert!(report["evaluation"]["segmentation"].is_null());
    assert!(report["evaluation"]["events"]["psds"]["scenario_1"].as_f64().unwrap() > 0.3);

    // What it finds is what was there, in a file it knows nothing of.
    let found = place.run(&["tag", "-m", "tuned.safetensors", "r0.wav"]).json();
    assert_eq!(found["events"].as_array().unwrap().len(), 5);
}

#[test]
fn a_model_of_a_cross_validation_is_evaluated_on_its_fold_and_on_other_data() {
    let place = Workplace::new();
    beeps(&place, 12);
    let rows: String = (0..12).map(|i| format!("r{i}.wav,day{}\n", i % 3)).collect();
    place.write("days.csv", format!("path,day\n{rows}"));
    place.write("small.toml", SMALL);
    let args = ["train", "--config", "small.toml", "--epochs", "1", "--labels", "labels.csv"];
    let train = |folds: &str| {
        let more = ["--manifest", "days.csv", "--folds", folds, "-o", "m.safetensors"];
        let run = place.run(&[&args[..], &more].concat());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        run.json()
    };
    let evaluate = |model: &str, manifest: &str, more: &[&str]| {
        let args = ["evaluate", "-m", model, "--manifest", manifest, "--labels", "labels.csv"];
        let run = place.run(&[&args[..], more].concat());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        let report = run.json();
        (report["part"].as_str().unwrap().to_string(), report["evaluation"]["recordings"].as_u64().unwrap())
    };
    let report = train("day");
    let clips = report["runs"][1]["clips"]["test"].as_u64().unwrap();
    assert_eq!(evaluate("m.fold-day1.safetensors", "days.csv", &[]), ("test".into(), clips));
    assert_eq!(evaluate("m.fold-day1.safetensors", "days.csv", &["--split", "all"]), ("all".into(), 12));
    // Its parts are the manifest's own: there are no days.
    assert_eq!(evaluate("m.fold-day1.safetensors", "manifest.csv", &[]), ("test".into(), 3));

    let report = train("4");
    let clips = report["runs"][1]["clips"]["test"].as_u64().unwrap();
    assert!(clips < 12);
    assert_eq!(evaluate("m.fold-2.safetensors", "days.csv", &[]), ("test".into(), clips));
    assert_eq!(evaluate("m.fold-2.safetensors", "days.csv", &["--split", "all"]), ("all".into(), 12));
}

#[test]
fn exclusive_labels_have_a_background_and_the_same_seed_gives_the_same_model() {
    let place = Workplace::new();
    beeps(&place, 12);
    let more = ["--exclusive", "--epochs", "6", "--window", "1"];
    assert_eq!(train(&place, "a.safetensors", &more).code(), 0);
    let run = train(&place, "b.safetensors", &more);
    let report = run.json();
    assert_eq!(report["model"]["labels"], serde_json::json!(["background", "high", "low"]));
    assert!(
        report["test"]["events"]["label_error_rate"].is_number()
            && report["test"]["segmentation"].is_object()
    );
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    // They are called a and b.
    let weights = |bytes: Vec<u8>| bytes[bytes.len() - 4_000..].to_vec();
    assert_eq!(weights(bytes("a.safetensors")), weights(bytes("b.safetensors")));
}

#[test]
fn label_files_beside_the_recordings_pair_by_name() {
    let place = Workplace::new();
    let table = beeps(&place, 8);
    std::fs::create_dir(place.path("recordings")).unwrap();
    for recording in 0..8 {
        let name = format!("r{recording}");
        std::fs::rename(place.path(&format!("{name}.wav")), place.path(&format!("recordings/{name}.wav")))
            .unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix(&format!("{name}.wav,")));
        let text: String =
            rows.map(|row| row.split(',').take(3).collect::<Vec<_>>().join("\t") + "\n").collect();
        // The last one is not labelled.
        if recording < 7 {
            place.write(&format!("recordings/{name}.txt"), text);
        }
    }
    place.write("small.toml", SMALL);
    let run = place.run(&[
        "train",
        "--config",
        "small.toml",
        "--epochs",
        "2",
        "recordings",
        "--labels",
        "recordings",
        "-o",
        "m.safetensors",
    ]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("1 recordings without labels are left out"), "{}", run.stderr());
    assert!(run.stderr().contains("7 recordings have labels"), "{}", run.stderr());
}

#[test]
fn labels_that_cannot_be_learned_from_are_errors_with_file_and_line() {
    let place = Workplace::new();
    beeps(&place, 4);
    let fails = |labels: &str, more: &[&str], parts: &[&str]| {
        place.write("labels.csv", format!("path,onset,offset,label\n{labels}"));
        let run = train(&place, "m.safetensors", more);
        assert_eq!((run.code(), run.stdout()), (2, ""));
        for part in parts {
            assert!(run.stderr().contains(part), "`{part}` is not in: {}", run.stderr());
        }
    };
    fails("r1.wav,0,1,a\nr1.wav,100,101,a\n", &[], &["labels.csv", "behind the end of r1.wav", "(line 3)"]);
    fails(
        "r1.wav,0,1,a\nr1.wav,0.5,2,b\n",
        &["--exclusive"],
        &["labels.csv", "labels are exclusive", "(line 3)"],
    );
    fails("r1.wav,2,1,a\n", &[], &["labels.csv", "before it begins", "(line 2)"]);
    fails("z.wav,0,1,a\n", &[], &["none of the recordings"]);
    fails("r1.wav,,,\n", &[], &["no label at all"]);
    place.write("labels.csv", "path,onset,offset,label,species\nr1.wav,0,1,a,b\n");
    let run = train(&place, "m.safetensors", &[]);
    assert!(run.stderr().contains("choose with --label-column"), "{}", run.stderr());
}

#[test]
fn frames_are_mixed_weighed_and_drawn_as_clips_are() {
    let place = Workplace::new();
    beeps(&place, 16);
    let balanced = "class_weights = \"balanced\"\nsampling = \"balanced\"\nfocal_gamma = 1.0\n";
    place.write("mixed.toml", format!("{SMALL}{balanced}[augment]\nenabled = true\nmixup = 0.4\n"));
    for more in [&[][..], &["--exclusive"]] {
        let args =
            ["train", "--config", "mixed.toml", "--manifest", "manifest.csv", "--labels", "labels.csv"];
        let run = place.run(&[&args[..], &["-o", "mixed.safetensors"], more].concat());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        assert!(run.stderr().contains("rare labels count twice over"), "{}", run.stderr());
        assert!(run.json()["test"]["frames"]["f1"].as_f64().unwrap() > 0.85, "{}", run.json()["test"]);
    }
}

#[test]
fn a_preset_with_convolutions_learns_to_tag_travels_in_the_model_and_tags_live() {
    let place = Workplace::new();
    beeps(&place, 16);
    let settings = "[network]\nconv_channels = [6, 8]\nconv_output_size = 8\nhidden_size = 16\nbidirectional = false\n\
                    [training]\nepochs = 40\nbatch_size = 4\nlearning_rate = 0.01\nweight_averaging = 0.9\n\
                    [features]\nsample_rate = 8000\nn_fft = 256\nhop_length = 80\nn_mels = 16\n";
    place.write("crnn.toml", settings);
    let args = ["train", "--preset", "crnn", "--config", "crnn.toml", "--manifest", "manifest.csv"];
    let run = place.run(&[&args[..], &["--labels", "labels.csv", "-o", "crnn.safetensors"]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.json();
    assert!(report["test"]["frames"]["f1"].as_f64().unwrap() > 0.8, "{}", report["test"]["frames"]);
    let info = place.run(&["info", "crnn.safetensors"]);
    for part in ["conv_channels [6,8]", "conv_pool [[1,2],[1,2]]"] {
        assert!(info.stdout().contains(part), "{}", info.stdout());
    }

    let whole = place.run(&["tag", "-m", "crnn.safetensors", "r0.wav"]).json();
    assert!(!whole["events"].as_array().unwrap().is_empty());
    let wav = std::fs::read(place.path("r0.wav")).unwrap();
    let mut live = tag::lines(&tag::piped(&place, &["tag", "-m", "crnn.safetensors", "-"], &wav));
    live.sort_by_key(|event| (event["frame_start"].as_u64(), event["label"].to_string()));
    let mut events = whole["events"].as_array().unwrap().clone();
    events.sort_by_key(|event| (event["frame_start"].as_u64(), event["label"].to_string()));
    assert_eq!(events, live);
}
