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

#[test]
fn a_directory_of_pictures_is_a_video_with_the_time_of_each_frame() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("frames")).unwrap();
    // The smallest BMP: one pixel of 24 bits.
    let mut bmp = b"BM".to_vec();
    bmp.extend([58u32, 0, 54, 40, 1, 1].iter().flat_map(|value| value.to_le_bytes()));
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(54, 0);
    bmp.extend([1, 2, 3, 0]);
    for name in ["1.bmp", "2.bmp", "10.bmp"] {
        place.write(&format!("frames/{name}"), &bmp);
    }
    place.write("frames/2.bmp", "");
    let run = place.run(&["probe", "--frames", "--fps", "50", "frames"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let record = run.json();
    schema::assert_valid(&place, "probe", &record);
    let stream = &record["media"]["streams"][0];
    assert_eq!((&stream["kind"], &stream["num_frames"]), (&"video".into(), &2.into()));
    let expected = serde_json::json!({
        "pts": [0.0, 0.04], "ticks": [0, 2], "time_base": [1, 50], "files": ["1.bmp", "10.bmp"]
    });
    assert_eq!(stream["frames"], expected);
    let warnings = record["media"]["warnings"].to_string();
    assert!(warnings.contains("frame 2 (2.bmp) is left out") && warnings.contains("2 to 10"), "{warnings}");
    // Any other directory is none, and sound is not looked for in pictures.
    place.run(&["probe", "."]).assert_one_error_line(&["is a directory"]);
    place.classify(&["frames"]).assert_one_error_line(&["is a directory"]);
    place.run(&["probe", "--fps", "0", "frames"]).assert_one_error_line(&["0 frames a second"]);
}
