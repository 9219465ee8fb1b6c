//! `percept evaluate --reference --estimated`

use super::*;

const TRUE: &str = "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.5\twren\na.wav\t3\t4\trobin\nb.wav\n";
const FOUND: &str = "a.wav\t0.6\t1.45\twren\na.wav\t3.05\t4.1\twren\nc.wav\t0\t1\twren\n";
const COMPARE: [&str; 5] = ["evaluate", "--reference", "true.tsv", "--estimated", "found.tsv"];

#[test]
fn two_event_lists_are_compared_without_a_model() {
    let place = Workplace::new();
    place.write("true.tsv", TRUE);
    place.write("found.tsv", FOUND);
    let run = place.run(&COMPARE);
    assert_eq!(run.code(), 0);
    assert!(run.stderr().contains("true.tsv does not name c.wav"), "{}", run.stderr());
    let report = run.json();
    schema::assert_valid(&place, "evaluate-events", &report);
    assert_eq!((&report["files"], &report["collar"]), (&3.into(), &0.2.into()));
    let events = &report["event_based"]["overall"];
    assert_eq!((&events["reference"], &events["estimated"]), (&2.into(), &3.into()));
    assert_eq!((&events["true_positives"], &events["substitution_rate"]), (&1.into(), &0.5.into()));
    assert_eq!(events["precision"].as_f64(), Some(1.0 / 3.0));
    assert!(report["event_based"]["class_wise"]["robin"]["precision"].is_null());

    // Of wren robin and wren wren, and nothing and wren: half wrong and all.
    assert_eq!((&report["label_error_rate"], &report["edit_score"]), (&1.0.into(), &0.25.into()));
    assert_eq!((&report["f1_at_50"], &report["psds"]), (&0.4.into(), &Value::Null));
    place.write("lengths.tsv", "filename\tduration\na.wav\t10\nb.wav\t10\nc.wav\t10\n");
    let with = place.run(&[&COMPARE[..], &["--durations", "lengths.tsv"]].concat()).json();
    schema::assert_valid(&place, "evaluate-events", &with);
    assert!(with["psds"]["scenario_1"].is_number());
    place.write("lengths.tsv", "a.wav\n");
    let run = place.run(&[&COMPARE[..], &["--durations", "lengths.tsv"]].concat());
    assert!(run.stderr().contains("lengths.tsv: filename and duration are due"), "{}", run.stderr());

    let narrow = place.run(&[&COMPARE[..], &["--collar", "0.01"]].concat()).json();
    assert_eq!(narrow["event_based"]["overall"]["true_positives"], 0);
    let text = place.run(&[&COMPARE[..], &["--format", "text"]].concat());
    assert_eq!(text.code(), 0);
    assert!(text.stdout().contains("events, 0.2 s         40.0 %    33.3 %    50.0 %"), "{}", text.stdout());
}

#[test]
fn lists_without_events_have_nothing_to_divide_by() {
    let place = Workplace::new();
    place.write("true.tsv", "a.wav\n");
    place.write("found.tsv", "");
    let report = place.run(&COMPARE).json();
    assert_eq!(report["files"], 1);
    for way in ["segment_based", "event_based", "onset_based"] {
        assert!(report[way]["overall"]["f_measure"].is_null(), "{way}");
    }
}

#[test]
fn bad_event_lists_are_named_with_the_line() {
    let place = Workplace::new();
    place.write("true.tsv", TRUE);
    place.write("found.tsv", "a.wav\t0\t1\twren\na.wav\t2\t1\twren\n");
    place.run(&COMPARE).assert_fatal(&["found.tsv", "line 2", "ends at 1 s, before it begins at 2 s"]);
    place.write("found.tsv", [0xff, 0xfe, 0x00]);
    place.run(&COMPARE).assert_fatal(&["found.tsv", "not UTF-8"]);
    std::fs::remove_file(place.path("found.tsv")).unwrap();
    place.run(&COMPARE).assert_fatal(&["found.tsv"]);
    place.write("found.tsv", FOUND);
    place.run(&[&COMPARE[..], &["--collar", "nan"]].concat()).assert_fatal(&["--collar is NaN"]);
    for args in [&COMPARE[..3], &[&COMPARE[..], &["-m", "tiny.safetensors"]].concat()] {
        let run = place.run(args);
        assert_eq!((run.code(), run.stdout()), (2, ""), "{}", run.stderr());
    }
}
