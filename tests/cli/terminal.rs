//! `--format text`: plain in a file and for another program, drawn on a terminal.

use unicode_width::UnicodeWidthStr;

use super::*;

/// What `percept ARGS` shows on a terminal of `columns`, with these variables of the environment; `None` without util-linux's
/// `script`, which makes one.
fn shown(place: &Workplace, columns: u16, variables: &[(&str, &str)], args: &str) -> Option<String> {
    let version = std::process::Command::new("script").arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("util-linux") {
        return None;
    }
    let program = assert_cmd::cargo::cargo_bin!("percept").display();
    let line = format!("stty cols {columns} rows 24; '{program}' {args} 2>/dev/null");
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(place.folder.path());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LC_ALL", "LC_CTYPE", "CI"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").env("LANG", "C.UTF-8").envs(variables.iter().copied());
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n"))
}

fn skip() {
    eprintln!("skipped: there is no `script` of util-linux");
}

#[test]
fn bars_and_a_timeline_are_drawn_on_a_terminal_as_wide_as_it_is() {
    let place = Workplace::new();
    tiny(Task::Tag, true).save(&place.path("tag.safetensors")).unwrap();
    for columns in [40, 200] {
        let classify = "classify --format text -m tiny.safetensors tone.wav";
        let tag = &format!("tag --format text -m digits '{}'", number().display());
        let plain = [("NO_COLOR", "1")];
        let Some(text) = shown(&place, columns, &plain, classify) else { return skip() };
        assert!(text.starts_with("tone.wav\n  ") && text.contains('█'), "{text}");
        let events = shown(&place, columns, &plain, tag).unwrap();
        assert!(events.contains("  seven") && events.contains('│') && events.contains('└'), "{events}");
        for line in text.lines().chain(events.lines()) {
            assert!(line.width() <= usize::from(columns) && !line.contains('\u{1b}'), "{line:?}");
        }
        assert!(events.lines().any(|line| line.width() > usize::from(columns) * 8 / 10), "{events}");
    }
}

#[test]
fn colours_and_letters_follow_the_environment() {
    let place = Workplace::new();
    let args = "classify --format text -m tiny.safetensors tone.wav";
    let Some(coloured) = shown(&place, 80, &[], args) else { return skip() };
    assert!(coloured.contains("\u{1b}[36m█"), "{coloured:?}");
    for variable in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let text = shown(&place, 80, &[variable], args).unwrap();
        assert!(text.contains('█') && !text.contains('\u{1b}'), "{variable:?}: {text:?}");
    }
    for variable in [("LANG", "C"), ("LC_ALL", "POSIX")] {
        let text = shown(&place, 80, &[variable], args).unwrap();
        assert!(text.is_ascii() && text.contains('#'), "{variable:?}: {text:?}");
    }
}

#[test]
fn text_is_plain_where_there_is_no_terminal() {
    let place = Workplace::new();
    let plain = place.classify(&["--format", "text", "tone.wav"]);
    assert!(plain.stdout().is_ascii() && !plain.stdout().contains('#'), "{}", plain.stdout());
    let tagged = place.run(&["tag", "--format", "text", "-m", "digits", number().to_str().unwrap()]);
    assert!(tagged.stdout().lines().nth(1).unwrap().ends_with(" %"), "{}", tagged.stdout());
    assert!(tagged.stdout().is_ascii());
    assert_eq!(tagged.stdout().lines().count(), 8);
    // To a file from a terminal, and to a terminal too narrow to draw on.
    let Some(_) = shown(&place, 80, &[], "classify --format text -m tiny.safetensors -o a.txt tone.wav")
    else {
        return skip();
    };
    assert_eq!(std::fs::read_to_string(place.path("a.txt")).unwrap(), plain.stdout());
    assert_eq!(
        shown(&place, 10, &[], "classify --format text -m tiny.safetensors tone.wav").unwrap(),
        plain.stdout()
    );
    place
        .run(&["tag", "--format", "text", "--frames", "-m", "digits", "tone.wav"])
        .assert_fatal(&["--frames goes with json and jsonl"]);
}

#[cfg(unix)]
#[test]
fn results_in_any_format_cannot_steer_the_terminal_and_are_exact_elsewhere() {
    let place = Workplace::new();
    tiny(Task::Tag, true).save(&place.path("tag.safetensors")).unwrap();
    let name = "a\u{1b}[31m\u{9b}2J\u{202e}.wav";
    std::fs::copy(place.path("tone.wav"), place.path(name)).unwrap();
    for args in [
        "classify -m tiny.safetensors",
        "classify -m tiny.safetensors --format csv",
        "classify -m tiny.safetensors --format jsonl",
        "classify -m tiny.safetensors --format text",
        "tag -m tag.safetensors",
        "tag -m tag.safetensors --format csv",
        "tag -m tag.safetensors --format dcase",
        "tag -m tag.safetensors --format rttm",
        "probe",
    ] {
        let Some(text) = shown(&place, 80, &[("NO_COLOR", "1")], &format!("{args} '{name}'")) else {
            return skip();
        };
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{args}: {text:?}");
    }
    let json = place.classify(&[name]).json();
    assert_eq!(json["input"]["path"], name);
    let csv = place.classify(&["--format", "csv", name]);
    assert!(csv.stdout().contains(name), "{}", csv.stdout());
}
