//! Requests in, answers out.

use super::schema::assert_valid;
use super::*;

#[test]
fn requests_are_answered_by_the_rows_of_a_batch() {
    let place = Workplace::new();
    let requests = "{\"id\": {\"any\": [1]}, \"path\": \"tone.wav\"}\n\nno request\n[{\"id\": 1, \"path\": \"no.wav\"}, {\"id\": \"b\", \"path\": \"tone.wav\"}]\n[]";
    let output = place.command(&["worker", "-m", "tiny.safetensors"]).write_stdin(requests).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [&serde_json::json!({"any": [1]}), &Value::Null, &1.into(), &"b".into()]);
    assert_eq!(answers[0]["seconds"], 1.0);
    assert_eq!(answers[1]["error"]["kind"], "config");
    assert_eq!(answers[2]["row"]["error"]["kind"], "not_found");
    assert_eq!(answers[0]["row"], answers[3]["row"]);
    assert_valid(&place, "batch", &answers[0]["row"]);
    assert_valid(&place, "batch", &answers[2]["row"]);
}

#[test]
fn a_worker_without_a_model_says_why() {
    let place = Workplace::new();
    place.run(&["worker", "-m", "none.safetensors"]).assert_fatal(&["none.safetensors: "]);
    place.run(&["worker", "-m", "tiny.safetensors", "--task", "tag"]).assert_fatal(&["for another task"]);
}
