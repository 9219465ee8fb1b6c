//! The examples of the lecture learn, in their quick form, and say what is wrong with what they are given.

#![allow(clippy::duplicate_mod, reason = "each example is a program of its own, with what all share")]

#[path = "../examples/char_rnn/main.rs"]
mod char_rnn;
#[path = "../examples/long_range.rs"]
mod long_range;
#[path = "../examples/names.rs"]
mod names;
#[path = "../examples/series.rs"]
mod series;
#[path = "../examples/topologies.rs"]
mod topologies;
#[path = "../examples/translate/main.rs"]
mod translate;

use std::io::Write;

use clap::Parser;

#[test]
fn char_rnn_learns_a_rhyme_and_writes_on_from_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rhyme.safetensors");
    let path = path.to_str().unwrap();
    let run = |options: &[&str]| {
        let args = ["char_rnn"].into_iter().chain(options.iter().copied());
        char_rnn::run(&char_rnn::Args::try_parse_from(args).unwrap())
    };
    let learned = run(&["--quick", "--length", "120", "--save", path]).unwrap();
    let [before, after] = learned.losses.unwrap();
    assert!(before > 3.0 && after < 1.0, "{before} {after}");

    let written = |more: &[&str]| {
        let options = [&["--load", path, "--length", "60"][..], more].concat();
        run(&options).map(|figures| figures.text)
    };
    let likeliest = written(&["--prefix", "This is the cat", "--temperature", "0"]).unwrap();
    assert!(likeliest.contains("that "), "{likeliest}");
    assert_eq!(written(&["--seed", "3"]).unwrap(), written(&["--seed", "3"]).unwrap());
    assert_eq!(written(&["--prefix", "This is the cat", "--top-k", "1"]).unwrap(), likeliest);

    let refused = written(&["--prefix", "π"]).unwrap_err().message;
    assert!(refused.contains("'π'"), "{refused}");
    let no_model = run(&["--load", "Cargo.toml"]).unwrap_err().to_string();
    assert!(no_model.contains("--save"), "{no_model}");
    let short = folder.path().join("short.txt");
    std::fs::write(&short, "too short").unwrap();
    let short = run(&[short.to_str().unwrap()]).unwrap_err().message;
    assert!(short.contains("--quick"), "{short}");
}

#[test]
fn char_rnn_reads_a_text_that_gzip_has_packed_as_the_text_itself() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let args =
            ["char_rnn", path.to_str().unwrap(), "--steps", "1", "--hidden-size", "4", "--length", "1"];
        char_rnn::run(&char_rnn::Args::try_parse_from(args).unwrap()).map(|figures| figures.losses.unwrap())
    };
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let text = "All happy families\nare alike.\n".repeat(1000);
    let of_windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let packed = gzip(&of_windows);
    assert_eq!(losses("peace.txt.gz", &packed).unwrap(), losses("peace.txt", text.as_bytes()).unwrap());

    let broken = losses("broken.gz", &packed[..packed.len() / 2]).unwrap_err().to_string();
    assert!(broken.contains("unpacked") && broken.contains("broken.gz"), "{broken}");
}

#[test]
fn names_are_known_by_their_endings() {
    let run = |options: &[&str]| {
        let args = ["names"].into_iter().chain(options.iter().copied());
        names::run(&names::Args::try_parse_from(args).unwrap())
    };
    let figures = run(&["--quick", "--name", "Testelli"]).unwrap();
    assert!(figures.accuracy > 90.0 && figures.commonest < 40.0 && figures.balanced > 90.0, "{figures:?}");

    let empty = tempfile::tempdir().unwrap();
    let message = run(&[empty.path().to_str().unwrap()]).unwrap_err().to_string();
    assert!(message.contains("LANGUAGE.txt") && message.contains("--quick"), "{message}");
    assert!(run(&["--quick", "--name", "123"]).unwrap_err().message.contains("no letter"));
    assert!(names::Args::try_parse_from(["names"]).is_err());
}

#[test]
fn all_five_topologies_converge() {
    let all = topologies::run().unwrap();
    assert_eq!(all.len(), 5);
    for figures in all {
        assert!(figures.accuracy > 0.98, "{}: {}", figures.topology, figures.accuracy);
    }
}

#[test]
fn an_lstm_remembers_over_steps_at_which_the_vanilla_network_has_no_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("long_range.png");
    let run = |options: &[&str]| {
        let args = ["long_range"].into_iter().chain(options.iter().copied());
        long_range::run(&long_range::Args::try_parse_from(args).unwrap())
    };
    let all = run(&["--quick", "--picture", picture.to_str().unwrap()]).unwrap();
    let [vanilla, lstm] = all.as_slice() else { panic!("{}", all.len()) };
    assert!(lstm.error < 0.05 && lstm.error < vanilla.error / 2.0, "{} {}", vanilla.error, lstm.error);
    let left = |figures: &long_range::Figures| figures.gradients[0] / figures.gradients[59];
    assert!(left(vanilla) < 1e-6 && left(lstm) > 1e-4, "{} {}", left(vanilla), left(lstm));
    assert!(std::fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    assert!(run(&["--frames", "1"]).unwrap_err().message.contains("at least 2"));
}

#[test]
fn translate_learns_a_grammar() {
    let run = |options: &[&str]| {
        let args = ["translate"].into_iter().chain(options.iter().copied());
        translate::run(&translate::Args::try_parse_from(args).unwrap())
    };
    let figures = run(&["--quick", "--say", "We want a black car."]).unwrap();
    assert!(figures.bleu > 90.0 && figures.chrf > 90.0, "{figures:?}");
    assert_eq!(figures.said, ["nous voulons une voiture noire."]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.tsv");
    std::fs::write(&path, "Go.\tVa !\nno tab\n").unwrap();
    let message = run(&[path.to_str().unwrap()]).unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("--quick"), "{message}");
}

#[test]
fn a_forecast_is_better_than_what_was_a_season_ago() {
    let run = |options: &[&str]| {
        let args = ["series"].into_iter().chain(options.iter().copied());
        series::run(&series::Args::try_parse_from(args).unwrap())
    };
    let figures = run(&["--quick", "--season", "40", "--horizon", "8"]).unwrap();
    let better = |[network, last, season]: [f64; 3]| network < 0.8 * last && network < 0.8 * season;
    assert!(better(figures.one_step) && better(figures.multi_step), "{figures:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("series.csv");
    std::fs::write(&path, "month,value\n1,2\n2,?\n").unwrap();
    let message = run(&[path.to_str().unwrap()]).unwrap_err().to_string();
    assert!(message.contains("line 3") && message.contains("\"?\""), "{message}");
    std::fs::write(&path, "month,value\n1,2\n2,3\n").unwrap();
    assert!(run(&[path.to_str().unwrap()]).unwrap_err().message.contains("too few"));
}

#[test]
fn the_walk_through_the_lecture_names_the_lines_that_it_means() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    // `code` ([path:line](../path#Lline))
    let parts: Vec<&str> = include_str!("../examples/README.md").split("` ([").collect();
    assert!(parts.len() > 20);
    for pair in parts.windows(2) {
        let code = pair[0].rsplit('`').next().unwrap();
        let (place, rest) = pair[1].split_once("](../").unwrap();
        let (path, line) = place.split_once(':').unwrap();
        assert!(rest.starts_with(&format!("{path}#L{line})")), "{place}");
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        let found = text.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap_or_default();
        let now = text.lines().position(|line| line.contains(code)).map(|i| i + 1);
        assert!(found.contains(code), "{place} is {found:?}; {code:?} is on line {now:?}");
    }
}
