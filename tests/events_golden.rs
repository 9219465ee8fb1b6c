//! Event lists are judged as sed_eval judges them, labels of frames as MS-TCN's script does. `tests/golden/events.py` and
//! `segmentation.py` made the values.

use percept::evaluate::events::{EventScores, compare};
use percept::evaluate::segmentation;
use percept::event::Event;
use percept::labels::EventLists;
use serde_json::Value;

fn lists(value: &Value) -> EventLists {
    let event = |value: &Value| Event {
        onset: value[0].as_f64().unwrap(),
        offset: value[1].as_f64().unwrap(),
        label: value[2].as_str().unwrap().to_string(),
    };
    let files = value.as_object().unwrap().iter();
    files
        .map(|(name, events)| (name.clone(), events.as_array().unwrap().iter().map(event).collect()))
        .collect()
}

/// Where sed_eval divides by a number of true events of 0 and its smallest float, we say nothing.
fn assert_same(actual: &Value, expected: &Value, reference: u64, what: &str) {
    for (name, expected) in expected.as_object().unwrap() {
        let actual = actual[name].as_f64();
        match expected.as_f64() {
            _ if reference == 0 && name.ends_with("_rate") => assert_eq!(actual, None, "{what}.{name}"),
            Some(expected) => {
                let actual = actual.unwrap_or_else(|| panic!("{what}.{name} is missing; {expected} is due"));
                assert!((actual - expected).abs() < 1e-12, "{what}.{name} is {actual}, not {expected}");
            }
            None => assert_eq!(actual, None, "{what}.{name}"),
        }
    }
}

#[test]
fn event_lists_are_judged_as_sed_eval_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/events.json")).unwrap();
    assert!(cases.len() > 40);
    for (i, case) in cases.iter().enumerate() {
        let (reference, estimated) = (lists(&case["reference"]), lists(&case["estimated"]));
        let report = compare(&reference, &estimated, case["collar"].as_f64().unwrap()).unwrap();
        let ways: [(&str, &EventScores); 3] = [
            ("segment_based", &report.segment_based),
            ("event_based", &report.event_based),
            ("onset_based", &report.onset_based),
        ];
        for (way, scores) in ways {
            let actual = serde_json::to_value(scores).unwrap();
            let expected = &case["expected"][way];
            let what = format!("case {i}, {way}");
            assert_same(&actual["overall"], &expected["overall"], scores.overall.reference, &what);
            for (label, expected) in expected["class_wise"].as_object().unwrap() {
                let reference = scores.class_wise[label].reference;
                assert_same(&actual["class_wise"][label], expected, reference, &format!("{what}, {label}"));
            }
            // Its mean over labels takes those absurd rates in.
            let every = scores.class_wise.values().all(|scores| scores.reference > 0);
            if every {
                assert_same(&actual["class_wise_average"], &expected["class_wise_average"], 1, &what);
            }
        }
    }
}

#[test]
fn stretches_of_frames_are_judged_as_ms_tcn_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/segmentation.json")).unwrap();
    let labels = |value: &Value| -> Vec<usize> {
        value.as_array().unwrap().iter().map(|label| label.as_u64().unwrap() as usize).collect()
    };
    for (i, case) in cases.iter().enumerate() {
        let recordings: Vec<(Vec<usize>, Vec<usize>)> = case["recordings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|both| (labels(&both[0]), labels(&both[1])))
            .collect();
        let pairs = recordings.iter().map(|(truth, found)| (&truth[..], &found[..]));
        let background = case["background"].as_u64().map(|label| label as usize);
        let actual = serde_json::to_value(segmentation(pairs, background)).unwrap();
        assert_same(&actual, &case["expected"], 1, &format!("case {i}"));
    }
}
