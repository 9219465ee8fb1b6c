//! Files are worked on as they are added.

use super::*;

fn watch(place: &Workplace) -> Run {
    watch_settled(place, "300ms")
}

fn watch_settled(place: &Workplace, settle: &str) -> Run {
    let args = ["watch", "-m", "tiny.safetensors", "in", "-o", "out.jsonl", "--once", "--settle", settle];
    place.run(&args)
}

fn paths(place: &Workplace) -> Vec<String> {
    let text = std::fs::read_to_string(place.path("out.jsonl")).unwrap();
    let path = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["input"]["path"].as_str().unwrap().to_string()
    };
    text.lines().map(path).collect()
}

#[test]
fn new_files_are_added_and_nothing_is_done_twice() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("in")).unwrap();
    place.wav("in/a.wav", 1, &tone(1000));
    assert_eq!(watch(&place).code(), 0);
    assert_eq!(paths(&place), ["in/a.wav"]);
    place.write("in/b.wav", "no sound");
    assert_eq!(watch(&place).code(), 1);
    assert_eq!(paths(&place), ["in/a.wav", "in/b.wav"]);
    // What a kill leaves behind the last row that is known.
    let mut rows = std::fs::read(place.path("out.jsonl")).unwrap();
    rows.extend(b"{\"half\":");
    place.write("out.jsonl", rows);
    place.wav("in/b.wav", 1, &tone(2000));
    assert_eq!(watch(&place).code(), 0);
    assert_eq!(paths(&place), ["in/a.wav", "in/b.wav", "in/b.wav"]);
    assert_eq!(watch(&place).code(), 0);
    assert_eq!(paths(&place).len(), 3);
    place
        .run(&["watch", "-m", "tiny.safetensors", "--top-k", "1", "in", "-o", "out.jsonl", "--once"])
        .assert_fatal(&["was begun with top_k=5"]);
}

#[test]
fn a_file_is_read_when_it_is_completely_written() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("in")).unwrap();
    place.wav("whole.wav", 1, &tone(8000));
    let bytes = std::fs::read(place.path("whole.wav")).unwrap();
    let target = place.path("in/slow.wav");
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let mut file = std::fs::File::create(target).unwrap();
        for piece in bytes.chunks(bytes.len() / 10) {
            file.write_all(piece).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    while !place.path("in/slow.wav").exists() {
        std::thread::yield_now();
    }
    // Far longer than the writer pauses, however busy the machine is.
    assert_eq!(watch_settled(&place, "3s").code(), 0);
    writer.join().unwrap();
    let row: Value = serde_json::from_slice(&std::fs::read(place.path("out.jsonl")).unwrap()).unwrap();
    assert_eq!(row["input"]["num_samples"], 8000);
}
