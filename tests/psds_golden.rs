//! PSDS equals psds_eval's (tests/golden/psds.py).

use std::collections::BTreeMap;

use percept::evaluate::events::{PsdsParameters, psds};
use percept::event::Event;
use percept::labels::EventLists;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    scenarios: Vec<PsdsParameters>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    durations: BTreeMap<String, f64>,
    reference: Lists,
    points: Vec<Lists>,
    psds: Vec<f64>,
}

type Lists = BTreeMap<String, Vec<(f64, f64, String)>>;

fn lists(lists: &Lists) -> EventLists {
    let event = |(onset, offset, label): &(f64, f64, String)| Event {
        onset: *onset,
        offset: *offset,
        label: label.clone(),
    };
    lists.iter().map(|(name, events)| (name.clone(), events.iter().map(event).collect())).collect()
}

#[test]
fn psds_equals_that_of_psds_eval() {
    let golden: Golden = serde_json::from_str(include_str!("golden/psds.json")).unwrap();
    for (i, case) in golden.cases.iter().enumerate() {
        let points: Vec<EventLists> = case.points.iter().map(lists).collect();
        for (parameters, expected) in golden.scenarios.iter().zip(&case.psds) {
            let score = psds(&lists(&case.reference), &case.durations, &points, parameters).unwrap();
            assert!((score - expected).abs() < 1e-12, "case {i}, {parameters:?}: {score} {expected}");
        }
    }
}
