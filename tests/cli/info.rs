use super::*;

#[test]
fn the_built_in_model_says_what_it_is() {
    let place = Workplace::new();
    let run = place.run(&["info"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    assert!(run.stdout().contains("sounds") && run.stdout().contains("dog_bark"), "{}", run.stdout());
    let run = place.run(&["info", "digits"]);
    for part in ["digits", "zero", "nine", "8000", "CC BY-SA 4.0"] {
        assert!(run.stdout().contains(part), "`{part}` is not in: {}", run.stdout());
    }
}

#[test]
fn the_header_is_printed_as_json() {
    let place = Workplace::new();
    let run = place.run(&["info", "tiny.safetensors", "--format", "json"]);
    assert_eq!(run.code(), 0);
    let header = run.json();
    assert_eq!(header["name"], "tiny");
    assert_eq!(header["task"], "classify");
    assert_eq!(header["features"]["sample_rate"], 8000);
    assert_eq!(header["network"]["hidden_size"], 4);
    assert_eq!(header["sha256"], place.classify(&["tone.wav"]).json()["model"]["sha256"]);
}
