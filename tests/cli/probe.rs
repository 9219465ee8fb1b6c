use super::*;

#[test]
fn a_probe_says_what_a_file_holds() {
    let place = Workplace::new();
    let run = place.run(&["probe", "tone.wav"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    let result = run.json();
    assert_eq!(result["status"], "ok");
    assert_eq!(result["media"]["container"], "wav");
    let stream = &result["media"]["streams"][0];
    assert_eq!(stream["kind"], "audio");
    assert_eq!(stream["codec"], "pcm_f32le");
    assert_eq!(stream["sample_rate"], 8000);
    assert_eq!(stream["channels"], 1);
    assert_eq!(stream["num_samples"], 8000);
    assert_eq!(stream["duration"], 1.0);
}

#[test]
fn several_files_give_an_array() {
    let place = Workplace::new();
    let run = place.run(&["probe", "tone.wav", "no.wav"]);
    assert_eq!(run.code(), 1);
    assert_eq!(run.json().as_array().unwrap().len(), 2);
}
