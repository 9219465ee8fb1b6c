//! `percept report`: the page that it writes. What a browser makes of it is tested in `tests/report`.

use serde_json::{Value, json};

use super::*;

/// The JSON in a page by its id.
fn part(page: &str, id: &str) -> Value {
    let begin = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {id}"));
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn rows(page: &str) -> Vec<Value> {
    part(page, "rows")["rows"].as_array().unwrap().clone()
}

fn record(path: &str, answer: Value) -> String {
    let mut record = json!({
        "schema_version": 1,
        "model": {"name": "m", "sha256": "0a", "task": "tag"},
        "input": {"path": path, "kind": "audio", "duration": 1.0},
        "status": "ok",
        "warnings": [],
    });
    record.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    format!("{record}\n")
}

fn event(label: &str, onset: f64, offset: f64) -> Value {
    json!({"label": label, "onset": onset, "offset": offset, "score": 0.5, "peak": 0.5, "frame_start": 0, "frame_end": 1})
}

impl Workplace {
    fn page(&self, args: &[&str]) -> (Run, String) {
        let run = self.run(&[&["report", "-o", "page.html"], args].concat());
        let page = std::fs::read_to_string(self.path("page.html")).unwrap_or_default();
        (run, page)
    }
}

#[test]
fn a_page_holds_what_each_command_says() {
    let place = Workplace::new();
    place.write("bad.wav", "no sound");
    tiny_model(Task::Tag).save(&place.path("tag.safetensors")).unwrap();
    let inputs = ["tone.wav", "bad.wav"];
    for (name, args) in [
        ("c.jsonl", vec!["classify", "-m", "tiny.safetensors", "--format", "jsonl"]),
        ("c.json", vec!["classify", "-m", "tiny.safetensors"]),
        ("t.jsonl", vec!["tag", "-m", "tag.safetensors", "--frames", "--format", "jsonl"]),
        ("b.jsonl", vec!["batch", "-m", "tag.safetensors", "--frames"]),
    ] {
        let run = place.run(&[&args[..], &["-o", name], &inputs].concat());
        assert_eq!(run.code(), 1, "{}", run.stderr());
        let (run, page) = place.page(&[name]);
        assert_eq!(run.code(), 0, "{name}: {}", run.stderr());
        assert!(run.stderr().contains("page.html: 2 files, 1 pictures"), "{}", run.stderr());
        let rows = rows(&page);
        let (good, failed) = (&rows[0], &rows[1]);
        assert_eq!((&good[0], &good[1], &good[4]), (&json!("tone.wav"), &json!("./tone.wav"), &json!(1.0)));
        assert_eq!((&failed[6], &failed[7][0]), (&json!(0), &json!("unknown_format")));
        let drawn = part(&page, "block-0");
        let picture = drawn[0][0].as_array().unwrap();
        assert_eq!(picture[..4], [json!(0), json!(0.0), json!(1.0), json!(4000.0)]);
        assert!(picture[4].as_str().unwrap().len() <= percept::report::MAX_PICTURE_BYTES);
        // The curves know the names of their labels.
        if name != "c.jsonl" && name != "c.json" {
            let labels = part(&page, "tail")["labels"].clone();
            let curve = drawn[0][1][2][0].as_u64().unwrap() as usize;
            assert!(["low", "middle", "high"].contains(&labels[curve].as_str().unwrap()), "{labels}");
        }
    }
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let place = Workplace::new();
    let results: String =
        (0..150).map(|_| record("tone.wav", json!({"events": [event("x", 0.1, 0.2)]}))).collect();
    place.write("r.jsonl", results);
    let (_, one) = place.page(&["r.jsonl", "-j", "1"]);
    let (_, two) = place.page(&["r.jsonl", "-j", "2"]);
    assert!(one == two && one.len() > 150_000);
    assert_eq!(part(&one, "block-2").as_array().unwrap().len(), 150 - 128);
}

#[test]
fn names_and_labels_of_any_kind_stand_in_the_page_as_json_only() {
    let place = Workplace::new();
    let evil = "</script><script>alert(1)</script><!--\"'\u{0}\u{1b}\u{202e}";
    place.write("r.jsonl", record(evil, json!({"events": [event(evil, 0.1, 0.2)], "warnings": [evil]})));
    let (run, page) = place.page(&["r.jsonl", "--title", "<b>title</b>"]);
    assert_eq!(run.code(), 0);
    let program = page.rsplit_once("<script>\"use strict\"").unwrap().0;
    let (head, body) = program.split_once("<script type=\"application/json\"").unwrap();
    assert!(!head.contains("alert") && !head.contains("<b>"));
    for line in body.lines() {
        let text =
            line.trim_start_matches("<script type=\"application/json\" id=").trim_end_matches("</script>");
        assert!(!text.contains('<'), "{line}");
    }
    assert_eq!(rows(&page)[0][0], "</script><script>alert(1)</script><!--\"'\\u{0}\\u{1b}\\u{202e}");
}

#[test]
fn a_file_cut_off_in_a_line_gives_what_is_whole_and_says_what_is_missing() {
    let place = Workplace::new();
    let good = record("tone.wav", json!({"predictions": [{"label": "x", "score": 0.5}]}));
    place.write("cut.jsonl", format!("{good}{}", &good[..60]));
    let (run, page) = place.page(&["cut.jsonl"]);
    assert_eq!(run.code(), 1);
    assert!(run.stderr().contains("cut.jsonl: line 2 is cut off in the middle"), "{}", run.stderr());
    assert_eq!(rows(&page).len(), 1);
    assert_eq!(part(&page, "rows")["messages"], json!(["Results: line 2 is cut off in the middle"]));
}

#[test]
fn what_is_no_file_of_results_is_an_error_and_leaves_no_page() {
    let place = Workplace::new();
    place.write("manifest.csv", "path,label\ntone.wav,x\n");
    for (name, parts) in [
        ("manifest.csv", ["manifest.csv: holds no result", "--format jsonl"]),
        ("tone.wav", ["tone.wav: holds no result", "line 1"]),
        ("none.jsonl", ["none.jsonl: no such file", ""]),
        (".", ["is a directory", ""]),
    ] {
        let (run, page) = place.page(&[name]);
        run.assert_fatal(&parts);
        assert_eq!(page, "");
    }
}

#[test]
fn nothing_that_is_read_is_overwritten() {
    let place = Workplace::new();
    let good = record("tone.wav", json!({"events": []}));
    place.write("r.jsonl", &good);
    place.run(&["report", "r.jsonl", "-o", "r.jsonl"]).assert_fatal(&["both read and to be written"]);
    assert_eq!(std::fs::read_to_string(place.path("r.jsonl")).unwrap(), good);
    place.run(&["report", "r.jsonl", "-o", "no/such/page.html"]).assert_fatal(&["no/such"]);
}

#[test]
fn a_file_that_gives_no_picture_is_said_and_is_no_success() {
    let place = Workplace::new();
    place.write("bad.wav", "no sound");
    // Since its result was made, it was damaged.
    place.write(
        "r.jsonl",
        &(record("bad.wav", json!({"events": []})) + &record("tone.wav", json!({"events": []}))),
    );
    let (run, page) = place.page(&["r.jsonl"]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("1 of 2 files could not be read for their picture"), "{}", run.stderr());
    assert_eq!(rows(&page).len(), 2);
    let (run, _) = place.page(&["r.jsonl", "--no-pictures"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
}

#[test]
fn an_empty_file_is_a_page_without_rows() {
    let place = Workplace::new();
    place.write("r.jsonl", "");
    let (run, page) = place.page(&["r.jsonl"]);
    assert_eq!((run.code(), rows(&page).len()), (0, 0));
    assert!(run.stderr().contains("holds no results"), "{}", run.stderr());
}

#[test]
fn media_are_found_where_they_are_said_to_be_and_linked_or_embedded() {
    let place = Workplace::new();
    std::fs::create_dir_all(place.path("moved/a b")).unwrap();
    std::fs::rename(place.path("tone.wav"), place.path("moved/a b/#1.wav")).unwrap();
    let events = json!({"events": []});
    place.write("r.jsonl", record("a b/#1.wav", events.clone()) + &record("gone.wav", events));
    let medium_and_code = |args: &[&str]| {
        let (run, page) = place.page(&[&["r.jsonl"], args].concat());
        (rows(&page)[0][1].clone(), page, run.code())
    };
    let medium = |args: &[&str]| {
        let (medium, page, code) = medium_and_code(args);
        assert_eq!(code, 0);
        (medium, page)
    };
    assert_eq!(medium(&[]).0, Value::Null);
    let (link, page) = medium(&["--root", "moved"]);
    assert_eq!(link, "./moved/a%20b/%231.wav");
    assert_eq!(
        part(&page, "tail")["notes"][0],
        "1 of 2 files are no longer where the results say: they cannot be seen or played"
    );
    assert!(part(&page, "block-0")[0][0].is_array() && part(&page, "block-0")[1][0].is_null());
    let (_, page) = medium(&["--root", "moved", "--no-pictures"]);
    assert!(part(&page, "block-0")[0][0].is_null());
    let (embedded, page) = medium(&["--root", "moved", "--embed"]);
    assert_eq!(embedded, json!(["application/octet-stream"]));
    assert!(part(&page, "media-0").as_str().unwrap().starts_with("UklGR")); // RIFF
    // What is no media does not leave this machine in a page.
    place.write("moved/a b/#1.wav", "a secret");
    let (link, _, code) = medium_and_code(&["--root", "moved", "--embed"]);
    assert_eq!((link, code), (json!("./moved/a%20b/%231.wav"), 1));
}

#[test]
fn what_is_true_is_marked_in_events_and_in_whole_recordings() {
    let place = Workplace::new();
    let found = json!({"events": [event("x", 0.1, 0.4), event("y", 0.5, 0.9)]});
    place.write("r.jsonl", record("tone.wav", found.clone()) + &record("other.wav", found));
    place.write("truth.csv", "file,onset,offset,label\ntone.wav,0.15,0.4,x\ntone.wav,0.5,0.6,z\n");
    let (run, page) = place.page(&["r.jsonl", "--reference", "truth.csv", "--collar", "0.1"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let rows_of = rows(&page);
    let marks = |row: &Value| [row[7][4].clone(), row[7][9].clone()];
    assert_eq!((marks(&rows_of[0]), marks(&rows_of[1])), ([json!(1), json!(0)], [json!(2), json!(2)]));
    assert_eq!((&rows_of[0][9][3], &rows_of[0][9][7], &rows_of[1][9]), (&json!(1), &json!(0), &Value::Null));

    place.write("other.csv", "file,onset,offset,label\nz.wav,0,1,x\n");
    let (run, _) = place.page(&["r.jsonl", "--reference", "other.csv"]);
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("says nothing of any file"), "{}", run.stderr());

    place.write("c.jsonl", record("tone.wav", json!({"predictions": [{"label": "x", "score": 0.5}]})));
    place.write("manifest.csv", "path,label\ntone.wav,y\n");
    let (run, page) = place.page(&["c.jsonl", "--reference", "manifest.csv"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let truth = rows(&page)[0][9][0].as_u64().unwrap() as usize;
    assert_eq!(part(&page, "tail")["labels"][truth], "y");
}

/// Twelve clips of two labels, and a model of them.
fn trained(args: &[&str]) -> (Workplace, Run) {
    let place = Workplace::new();
    for i in 0..12 {
        let label = ["low", "high"][i % 2];
        std::fs::create_dir_all(place.path(&format!("calls/{label}"))).unwrap();
        let samples: Vec<f32> = tone(4000 + 100 * i).iter().map(|x| x * (1 + i % 2) as f32 / 2.0).collect();
        place.wav(&format!("calls/{label}/{i}.wav"), 1, &samples);
    }
    let small = ["--epochs", "2", "--hidden-size", "4", "--num-layers", "1", "--test-fraction", "0.3"];
    let run = place.run(&[&["train", "calls", "-o", "calls.safetensors"], &small[..], args].concat());
    (place, run)
}

#[test]
fn a_training_and_an_evaluation_leave_a_page() {
    let (place, run) = trained(&["--report", "train.html"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let page = std::fs::read_to_string(place.path("train.html")).unwrap();
    let study = part(&page, "evaluation-data");
    let report = run.json();
    assert_eq!((&study["part"], &study["labels"]), (&json!("On the test part"), &json!(["high", "low"])));
    assert_eq!(study["history"].as_array().unwrap().len(), 2);
    let cells: Vec<Value> = (0..4)
        .map(|i| json!([i / 2, i % 2, report["test"]["confusion"][i / 2][i % 2]]))
        .filter(|cell| cell[2] != 0)
        .collect();
    assert_eq!(study["confusion"], json!(cells));
    let counts =
        |part: usize| study["counts"][part].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
    let clips = &report["data"]["clips"];
    assert_eq!(
        json!([counts(0), counts(1), counts(2)]),
        json!([clips["train"], clips["validation"], clips["test"]])
    );
    assert_eq!(rows(&page).len() as u64, counts(2));

    let evaluate = ["evaluate", "-m", "calls.safetensors", "calls", "--report", "e.html"];
    let run = place.run(&evaluate);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let page = std::fs::read_to_string(place.path("e.html")).unwrap();
    let study = part(&page, "evaluation-data");
    assert_eq!((&study["part"], &study["history"]), (&json!("On all of the data"), &Value::Null));
    // Wrong ones first, and among them those whose true label has the lowest score.
    let (labels, rows) = (part(&page, "tail")["labels"].clone(), rows(&page));
    let badness = |row: &Value| {
        let (said, truth) = (row[7].as_array().unwrap(), &row[9][0]);
        let score =
            said.chunks(2).find(|pair| pair[0] == *truth).map_or(0.0, |pair| pair[1].as_f64().unwrap());
        f64::from(u8::from(said[0] != *truth)) + 1.0 - score
    };
    assert!(
        rows.len() == 12 && rows.windows(2).all(|pair| badness(&pair[0]) >= badness(&pair[1]) - 1e-3),
        "{labels} {rows:?}"
    );
    // The same model and clips give the same page.
    assert_eq!(place.run(&evaluate).code(), 0);
    assert_eq!(std::fs::read_to_string(place.path("e.html")).unwrap(), page);
}

#[test]
fn what_is_no_page_is_not_replaced_by_one_and_several_trainings_have_none() {
    let (place, run) = trained(&["--report", "calls/low/0.wav"]);
    run.assert_fatal(&["calls/low/0.wav", "exists and is none of training's files of this kind"]);
    place
        .run(&["evaluate", "-m", "tiny.safetensors", "calls", "--report", "calls/low/0.wav"])
        .assert_fatal(&["calls/low/0.wav", "exists and is no page"]);
    place
        .run(&["evaluate", "-m", "tiny.safetensors", "calls", "--report", "nowhere/e.html"])
        .assert_fatal(&["nowhere"]);
    let (_, run) = trained(&["--report", "train.html", "--seeds", "2"]);
    run.assert_fatal(&["--report are for one training"]);
}

#[test]
fn of_very_many_clips_the_worst_are_shown_and_some_of_each_confusion() {
    let place = Workplace::new();
    let mut list = String::from("path,label\n");
    for i in 0..1100 {
        let name = format!("{i}.wav");
        place.wav(&name, 1, &tone(800 + i));
        list += &format!("{name},{}\n", ["a", "b"][usize::from(i % 10 == 0)]);
    }
    place.write("list.csv", list);
    let model = tiny_model(Task::Classify);
    let labels = model.header().labels.clone();
    let list = std::fs::read_to_string(place.path("list.csv")).unwrap();
    place.write(
        "list.csv",
        list.replace(",a\n", &format!(",{}\n", labels[0])).replace(",b\n", &format!(",{}\n", labels[1])),
    );
    let args = [
        "evaluate",
        "-m",
        "tiny.safetensors",
        "--manifest",
        "list.csv",
        "--split",
        "all",
        "--report",
        "e.html",
    ];
    let run = place.run(&[&args[..], &["--against", "tiny.safetensors"]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let page = std::fs::read_to_string(place.path("e.html")).unwrap();
    let (rows, study, tail) = (rows(&page), part(&page, "evaluation-data"), part(&page, "tail"));
    assert_eq!(rows.len(), 1000);
    let message = part(&page, "rows")["messages"][0].as_str().unwrap().to_string();
    assert!(
        message.starts_with("Shown are 1000 recordings") && message.ends_with("100 more are not"),
        "{message}"
    );
    let name = |label: &Value| tail["labels"][label.as_u64().unwrap() as usize].clone();
    for cell in study["confusion"].as_array().unwrap() {
        let pair = |row: &&Value| {
            let label = |i: usize| study["labels"][cell[i].as_u64().unwrap() as usize].clone();
            name(&row[9][0]) == label(0) && name(&row[7][0]) == label(1)
        };
        let shown = rows.iter().filter(pair).count() as u64;
        assert!(shown >= cell[2].as_u64().unwrap().min(20), "{cell}: {shown}");
    }
    // A sentence a line.
    let said = study["said"].as_array().unwrap();
    assert!(said.len() == 1 && !said[0].as_str().unwrap().contains('\\'), "{said:?}");
}

#[test]
fn a_page_that_cannot_be_written_costs_no_figures_and_a_page_of_others_stays() {
    let (place, _) = trained(&[]);
    place.write("home.html", "<!doctype html>\n<title>mine</title>");
    place
        .run(&["evaluate", "-m", "calls.safetensors", "calls", "--report", "home.html"])
        .assert_fatal(&["home.html", "exists and is no page"]);
    assert!(std::fs::read_to_string(place.path("home.html")).unwrap().contains("mine"));
}
