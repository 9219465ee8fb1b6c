//! Each bad input gives one line that says what is wrong, an error record, and the others go on.

use super::*;

/// The file fails with `kind` in `percept classify` and `percept probe`; a good one beside it does not.
fn assert_fails(place: &Workplace, name: &str, kind: &str) {
    let alone = place.classify(&[name]);
    assert_eq!(alone.code(), 1, "{}", alone.stdout());
    alone.assert_one_error_line(&[&format!("error: {name}: ")]);
    assert_eq!(alone.json()["status"], "error");
    assert_eq!(alone.json()["input"]["path"], name);
    assert_eq!(alone.json()["error"]["kind"], kind, "{}", alone.stdout());
    let message = alone.json()["error"]["message"].as_str().unwrap().to_string();
    assert!(!message.is_empty() && !message.contains('\n'));

    let beside = place.classify(&["tone.wav", name, "tone.wav"]);
    assert_eq!(beside.code(), 1);
    let statuses: Vec<Value> =
        beside.json().as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses, ["ok", "error", "ok"]);

    let probe = place.run(&["probe", name]);
    assert_eq!(probe.code(), 1, "{}", probe.stdout());
    probe.assert_one_error_line(&[&format!("error: {name}: ")]);
    assert_eq!(probe.json()["error"]["kind"], kind);
}

/// PCM WAV with the header fields given.
fn pcm_wav(sample_rate: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(1u16.to_le_bytes()); // PCM
    bytes.extend(1u16.to_le_bytes()); // mono
    bytes.extend(sample_rate.to_le_bytes());
    bytes.extend((sample_rate * 2).to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(16u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn a_missing_file_is_an_error() {
    assert_fails(&Workplace::new(), "no.wav", "not_found");
}

#[test]
fn an_empty_file_is_an_error() {
    let place = Workplace::new();
    place.write("empty.wav", "");
    assert_fails(&place, "empty.wav", "empty");
}

#[test]
fn a_text_named_wav_is_an_error() {
    let place = Workplace::new();
    place.write("text.wav", "This is not sound at all, but a text that goes on for a while.\n".repeat(100));
    assert_fails(&place, "text.wav", "unknown_format");
}

#[test]
fn a_header_without_samples_is_an_error() {
    let place = Workplace::new();
    place.write("header.wav", &pcm_wav(8000, &[0; 100])[..44]);
    assert_fails(&place, "header.wav", "empty");
}

#[test]
fn audio_of_zero_length_is_an_error() {
    let place = Workplace::new();
    place.wav("zero.wav", 1, &[]);
    assert_fails(&place, "zero.wav", "empty");
}

#[test]
fn a_sample_rate_of_zero_is_an_error() {
    let place = Workplace::new();
    place.write("rate.wav", pcm_wav(0, &[0; 2000]));
    assert_fails(&place, "rate.wav", "damaged");
}

#[test]
fn a_directory_without_media_is_an_error() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("night")).unwrap();
    assert_fails(&place, "night", "path");
    place.classify(&["night"]).assert_one_error_line(&["night", "without sound, video or pictures"]);
}

#[test]
fn some_samples_that_are_no_numbers_are_replaced_with_a_warning() {
    let place = Workplace::new();
    let mut samples = tone(4000);
    samples[100] = f32::NAN;
    samples[2000] = f32::INFINITY;
    place.wav("nan.wav", 1, &samples);
    let run = place.classify(&["nan.wav"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let result = run.json();
    assert_eq!(result["status"], "ok");
    assert_eq!(result["warnings"].as_array().unwrap().len(), 1, "{result}");
    assert!(result["predictions"].as_array().unwrap().iter().all(|p| p["score"].is_number()));
}

#[test]
fn nothing_but_samples_that_are_no_numbers_is_an_error() {
    let place = Workplace::new();
    place.wav("nan.wav", 1, &[f32::NAN; 4000]);
    let run = place.classify(&["nan.wav"]);
    assert_eq!(run.code(), 1);
    run.assert_one_error_line(&["nan.wav: "]);
    assert_eq!(run.json()["error"]["kind"], "damaged");
}

#[cfg(unix)]
#[test]
fn a_file_that_must_not_be_read_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let place = Workplace::new();
    place.wav("secret.wav", 1, &tone(4000));
    std::fs::set_permissions(place.path("secret.wav"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(place.path("secret.wav")).is_ok() {
        eprintln!("skipped: root may read everything");
        return;
    }
    assert_fails(&place, "secret.wav", "permission_denied");
}

#[test]
fn a_name_with_control_characters_stays_on_one_line() {
    let place = Workplace::new();
    let run = place.classify(&["a\n\u{1b}[31mb.wav"]);
    assert_eq!(run.code(), 1);
    run.assert_one_error_line(&["a\\n"]);
    assert!(!run.stderr().contains('\u{1b}'));
}

#[test]
fn standard_input_is_refused() {
    let place = Workplace::new();
    place.classify(&["-"]).assert_fatal(&["standard input", "not supported"]);
    place.run(&["probe", "-"]).assert_fatal(&["standard input"]);
}

#[test]
fn a_channel_or_track_that_is_not_there_is_an_error() {
    let place = Workplace::new();
    for option in ["--channel", "--audio-track"] {
        let run = place.classify(&[option, "3", "tone.wav"]);
        assert_eq!(run.code(), 1, "{}", run.stdout());
        run.assert_one_error_line(&["tone.wav: ", "3"]);
    }
}

#[test]
fn a_model_of_another_task_is_refused() {
    let place = Workplace::new();
    tiny_model(Task::Tag).save(&place.path("tag.safetensors")).unwrap();
    place.run(&["classify", "-m", "tag.safetensors", "tone.wav"]).assert_fatal(&["tag"]);
}

#[test]
fn an_unknown_model_lists_the_built_in_ones() {
    let place = Workplace::new();
    place.run(&["classify", "-m", "digit", "tone.wav"]).assert_fatal(&["digit: ", "built-in", "digits"]);
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let place = Workplace::new();
    place.write("empty.safetensors", "");
    place.write("huge.safetensors", [&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    place.write("other.safetensors", [&8u64.to_le_bytes()[..], b"{}      "].concat());
    let whole = std::fs::read(place.path("tiny.safetensors")).unwrap();
    place.write("half.safetensors", &whole[..whole.len() / 2]);
    let newer = String::from_utf8_lossy(&whole).contains("format_version");
    assert!(newer);
    let at = whole.windows(19).position(|w| w == b"format_version\\\":1,").unwrap();
    let mut newer = whole.clone();
    newer[at + 17] = b'9';
    place.write("newer.safetensors", newer);
    for name in ["tone.wav", "empty.safetensors", "huge.safetensors", "other.safetensors", "half.safetensors"]
    {
        place.run(&["classify", "-m", name, "tone.wav"]).assert_fatal(&[&format!("error: {name}: ")]);
        place.run(&["info", name]).assert_fatal(&[&format!("error: {name}: ")]);
    }
    place.run(&["info", "newer.safetensors"]).assert_fatal(&["newer.safetensors: ", "version 9"]);
    place.run(&["info", "missing.safetensors"]).assert_fatal(&["missing.safetensors: ", "no such file"]);
    place.run(&["info", "."]).assert_fatal(&["directory"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_configuration_or_a_manifest_that_never_ends_is_refused() {
    let place = Workplace::new();
    for flag in ["--config", "--manifest"] {
        let run = place.run(&["train", flag, "/dev/zero", "-o", "m.safetensors"]);
        run.assert_fatal(&["/dev/zero: ", "no regular file"]);
    }
}

#[test]
fn the_number_of_jobs_has_bounds() {
    let place = Workplace::new();
    for command in [&["classify", "tone.wav"][..], &["evaluate", "--manifest", "no.csv"]] {
        for jobs in ["0", "1025", "99999999999999999999", "x"] {
            let run = place.run(&[command, &["--jobs", jobs]].concat());
            assert_eq!(run.code(), 2, "{command:?} {jobs}");
            assert!(run.stderr().contains("--jobs"), "{}", run.stderr());
        }
    }
}

#[test]
fn names_from_data_cannot_steer_the_terminal() {
    let place = Workplace::new();
    place.write("m.csv", "path,label,\u{1b}[31mx\u{202e}\ntone.wav,low,1\n");
    let run =
        place.run(&["evaluate", "-m", "tiny.safetensors", "--manifest", "m.csv", "--where", "label=low"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("columns that are not used: \\u{1b}[31mx\\u{202e}\n"), "{}", run.stderr());
    assert!(!run.stderr().contains(['\u{1b}', '\u{202e}']));
    let run = place.run(&["evaluate", "--manifest", "m.csv", "--where", "a\u{1b}=b"]);
    run.assert_fatal(&["a\\u{1b}"]);
}

#[test]
fn a_list_of_other_files_is_no_recording() {
    let place = Workplace::new();
    // A control character in them: otherwise they are taken for texts, which they are.
    let tone = place.path("tone.wav");
    let tone = tone.display();
    place.write("list.wav", "ffconcat version 1.0\n#\u{1}\nfile tone.wav\n");
    place.write(
        "list.m3u8",
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#\u{1}\n#EXTINF:10,\nfile://{tone}\n#EXT-X-ENDLIST\n"),
    );
    for name in ["list.wav", "list.m3u8"] {
        let run = place.classify(&[name]);
        assert_eq!(run.code(), 1, "{}", run.stderr());
        assert_eq!(run.json()["error"]["kind"], "unknown_format", "{name}");
    }
}

/// What a program by the name of ffmpeg says before it is killed.
#[cfg(unix)]
#[test]
fn an_ffmpeg_that_is_killed_is_told_whatever_it_said_before() {
    use std::os::unix::fs::PermissionsExt;
    let place = Workplace::new();
    let report = r#"{"streams":[{"codec_type":"audio","codec_name":"x","sample_rate":"8000","channels":1}]}"#;
    place.write("ffprobe", format!("#!/bin/sh\necho '{report}'\n"));
    place.write("ffmpeg", "#!/bin/sh\nhead -c 64000 /dev/zero\necho odd packet >&2\nkill -9 $$\n");
    for program in ["ffprobe", "ffmpeg"] {
        std::fs::set_permissions(place.path(program), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    place.write("x.weird", [0u8, 1, 2, 3].repeat(1000));
    let mut command = place.command(&["classify", "-m", "tiny.safetensors", "x.weird"]);
    let run = Run(command.env("PERCEPT_FFMPEG", place.path("ffmpeg")).output().unwrap());
    let warnings = run.json()["warnings"].to_string();
    assert!(warnings.contains("ffmpeg said: odd packet; it stopped with an error"), "{warnings}");
}
