use std::time::Instant;

use super::colours::{LABELS, PAPER};
use super::*;
use crate::signal::VideoFrame;

pub(super) fn event(label: &str, onset: f64, offset: f64, score: f32) -> ScoredEvent {
    ScoredEvent {
        label: label.into(),
        onset,
        offset,
        score,
        peak: score,
        frame_start: 0,
        frame_end: 0,
        video: None,
    }
}

fn spectrogram() -> Spectrogram {
    let mut spectrogram = Spectrogram::new(40, vec![(0.1, "100 Hz".into()), (0.9, "4 kHz".into())]);
    let values: Vec<f32> = (0..40 * 300).map(|i| ((i * i) % 977) as f32).collect();
    spectrogram.push(&values);
    spectrogram
}

fn strip() -> Strip {
    let mut strip = Strip::new();
    for i in 0..50u8 {
        let pixels = [i * 5, 100, 255 - i * 5].repeat(64 * 48);
        strip.push(f64::from(i) / 25.0, &VideoFrame { width: 64, height: 48, pixels, ticks: i.into() });
    }
    strip
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("label {i}")).collect()
}

/// Whether a colour is anywhere in the picture.
fn has(image: &RgbImage, colour: image::Rgb<u8>) -> bool {
    image.pixels().any(|pixel| *pixel == colour)
}

#[test]
fn bars_stand_below_the_top_each_in_its_colour() {
    let labels = names(3);
    let events = [event("label 0", 0.0, 1.0, 1.0), event("label 2", 2.0, 2.0, 1.0)];
    for (top, height) in [(Top::Strip(&strip()), 98), (Top::Spectrogram(&spectrogram()), 240)] {
        let preview = Preview { title: "a.wav", start: 0.0, end: 2.0, top, events: &events, labels: &labels };
        let image = preview.draw();
        assert_eq!((image.width(), image.get_pixel(0, 0)), (WIDTH, &PAPER));
        assert!(image.height() > height + 150 && image.height() < height + 250, "{}", image.height());
        assert!(has(&image, LABELS[0]) && has(&image, LABELS[2]) && !has(&image, LABELS[1]));
    }
}

#[test]
fn the_same_gives_the_same_bytes_and_a_png() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, events) = (names(3), [event("label 1", 0.5, 1.0, 0.5), event("new", 0.1, 0.3, 0.5)]);
    let saved = |name: &str| {
        let top = Top::Spectrogram(&spectrogram());
        let preview = Preview { title: "a.wav", start: 0.0, end: 2.0, top, events: &events, labels: &labels };
        preview.save(&folder.path().join(name)).unwrap();
        assert_eq!(image::open(folder.path().join("a.png")).unwrap().to_rgb8(), preview.draw());
        std::fs::read(folder.path().join(name)).unwrap()
    };
    assert_eq!(saved("a.png"), saved("b"));
}

#[test]
fn a_folder_that_is_missing_is_an_error_with_its_path() {
    let top = Top::Strip(&strip());
    let preview = Preview { title: "", start: 0.0, end: 1.0, top, events: &[], labels: &[] };
    let error = preview.save(Path::new("no/such/folder/a.png")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn nothing_and_odd_numbers_are_drawn_too() {
    let (empty_strip, empty_sound) = (Strip::new(), Spectrogram::new(0, Vec::new()));
    let (strip, spectrogram) = (strip(), spectrogram());
    let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 1e-320];
    let title = "\u{1b}[31m\n\u{202e}".repeat(500);
    for (start, end) in odd.iter().flat_map(|&start| odd.map(|end| (start, end))) {
        let events =
            [event("\n", start, end, 2.0), event("", end, end, f32::NAN), event("a", 0.0, 0.0, -1.0)];
        let tops = [
            Top::Strip(&empty_strip),
            Top::Spectrogram(&empty_sound),
            Top::Strip(&strip),
            Top::Spectrogram(&spectrogram),
        ];
        for top in tops {
            Preview { title: &title, start, end, top, events: &events, labels: &[] }.draw();
        }
    }
}

#[test]
fn a_picture_has_a_largest_height_whatever_occurs() {
    let labels = names(1000);
    let events: Vec<_> = labels.iter().map(|label| event(&label.repeat(1000), 0.0, 1.0, 0.9)).collect();
    let top = Top::Spectrogram(&spectrogram());
    let image = Preview { title: "a", start: 0.0, end: 1.0, top, events: &events, labels: &labels }.draw();
    assert!(image.height() < 1200, "{}", image.height());
}

#[test]
fn many_events_are_drawn_fast() {
    let labels = names(30);
    let events: Vec<_> = (0..100_000)
        .map(|i| event(&labels[i % 30], i as f64 * 0.001, i as f64 * 0.001 + 100.0, 0.5))
        .collect();
    let top = Top::Strip(&strip());
    let preview = Preview { title: "a", start: 0.0, end: 200.0, top, events: &events, labels: &labels };
    let begun = Instant::now();
    preview.draw();
    assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}", begun.elapsed());
}
