//! Real output against the schema that the program prints.

use super::*;

pub fn assert_valid(place: &Workplace, command: &str, document: &Value) {
    let schema = place.run(&["schema", command]).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(document).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{document:#}");
}

#[test]
fn what_classify_prints_fits_its_schema() {
    let place = Workplace::new();
    assert_valid(&place, "classify", &place.classify(&["tone.wav"]).json());
    assert_valid(&place, "classify", &place.classify(&["no.wav"]).json());
    assert_valid(&place, "classify", &place.classify(&["tone.wav", "no.wav"]).json());
    for line in place.classify(&["--format", "jsonl", "tone.wav", "no.wav"]).stdout().lines() {
        assert_valid(&place, "classify", &serde_json::from_str(line).unwrap());
    }
}

#[test]
fn what_probe_prints_fits_its_schema() {
    let place = Workplace::new();
    assert_valid(&place, "probe", &place.run(&["probe", "tone.wav"]).json());
    assert_valid(&place, "probe", &place.run(&["probe", "tone.wav", "no.wav"]).json());
}

#[test]
fn the_schema_refuses_what_is_no_result() {
    let place = Workplace::new();
    let schema = place.run(&["schema"]).json();
    assert_eq!(schema, place.run(&["schema", "classify"]).json());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = place.classify(&["tone.wav"]).json();
    assert!(validator.is_valid(&good));
    let broken = |field: &str, value: Value| {
        let mut document = good.clone();
        document[field] = value;
        document
    };
    assert!(!validator.is_valid(&broken("schema_version", 2.into())));
    assert!(!validator.is_valid(&broken("status", "fine".into())));
    assert!(!validator.is_valid(&broken("status", "error".into())));
    assert!(!validator.is_valid(&broken("predictions", Value::Null)));
    assert!(!validator.is_valid(&broken("input", serde_json::json!({}))));
}
