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
fn what_is_no_request_costs_no_other_and_is_answered_by_its_id() {
    let place = Workplace::new();
    let requests = "[{\"id\": 1, \"path\": \"tone.wav\"}, {\"id\": 2, \"path\": 7}, 3]\n{\"id\": 4}\n\
                    {\"id\": 5, \"path\": \"tone.wav\", \"path_bytes\": \"!\"}\n";
    let output = place.command(&["worker", "-m", "tiny.safetensors"]).write_stdin(requests).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [&1.into(), &2.into(), &Value::Null, &4.into(), &5.into()]);
    assert_eq!(answers[0]["row"]["status"], "ok");
    let many = format!("[{}1]\n", "1,".repeat(1024));
    let output = place.command(&["worker", "-m", "tiny.safetensors"]).write_stdin(many).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["error"]["kind"], "limit");
    for (answer, part) in
        answers[1..].iter().zip(["expected a string", "struct Request", "`path`", "no base64"])
    {
        assert_eq!(answer["error"]["kind"], "config");
        assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{answer}");
    }
}

#[cfg(unix)]
#[test]
fn a_worker_whose_reader_leaves_ends_well() {
    let place = Workplace::new();
    let program = assert_cmd::cargo::cargo_bin!("percept");
    // More than a pipe holds.
    let line = "yes '{\"id\": 1, \"path\": \"no.wav\"}' | head -5000 | { \"$0\" worker -m tiny.safetensors; echo $? >&2; } | head -1";
    let mut command = std::process::Command::new("sh");
    let output =
        command.current_dir(place.path("")).args(["-c", line, program.to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "0\n");
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn a_worker_without_a_model_says_why() {
    let place = Workplace::new();
    place.run(&["worker", "-m", "none.safetensors"]).assert_fatal(&["none.safetensors: "]);
    place.run(&["worker", "-m", "tiny.safetensors", "--task", "tag"]).assert_fatal(&["for another task"]);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_worker_tells_its_allocator_not_to_keep_what_each_thread_once_took() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    let place = Workplace::new();
    let environment = |own: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
        command.args(["worker", "-m", "tiny.safetensors"]).current_dir(place.path(""));
        for name in ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
            command.env_remove(name);
        }
        command.envs(own.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut worker = command.spawn().unwrap();
        let mut answer = String::new();
        let mut requests = worker.stdin.take().unwrap();
        requests.write_all(b"{\"id\": 1, \"path\": \"tone.wav\"}\n").unwrap();
        BufReader::new(worker.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        assert!(answer.contains("\"ok\""), "{answer}");
        let environment = std::fs::read(format!("/proc/{}/environ", worker.id())).unwrap();
        drop(requests);
        assert!(worker.wait().unwrap().success());
        String::from_utf8_lossy(&environment).into_owned()
    };
    assert!(environment(&[]).contains("MALLOC_ARENA_MAX=2"));
    // What a person has set stays.
    let own = environment(&[("MALLOC_ARENA_MAX", "7")]);
    assert!(own.contains("MALLOC_ARENA_MAX=7") && !own.contains("MALLOC_TRIM"), "{own}");
}
