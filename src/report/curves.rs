//! Scores over time, reduced to what a page can draw.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::rows::is_time;

/// Most points of a curve.
pub const MAX_POINTS: usize = 240;
/// Most curves of a row: the labels with the highest peaks.
pub const MAX_CURVES: usize = 8;
/// Labels that never score as high have no curve.
const LEAST_PEAK: f32 = 0.05;

/// Every frame's scores, as results have them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RecordFrames {
    start: Option<f64>,
    hop: Option<f64>,
    #[serde(default)]
    pts: Vec<f64>,
    scores: Vec<Vec<f32>>,
}

/// Scores of several labels at even steps of time, each point the highest score of its step.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Seconds at which the first step begins.
    pub start: f64,
    /// Seconds.
    pub step: f64,
    /// Label and points, 0 to 255 for a score of 0 to 1.
    pub lines: Vec<(String, Vec<u8>)>,
}

impl Curves {
    /// `labels`: names of the scores' columns; where there are none, columns are numbered. `None` where there is nothing to
    /// draw.
    pub(super) fn of(frames: &RecordFrames, labels: &[String]) -> Option<Self> {
        let count = frames.scores.len();
        let width = frames.scores.first()?.len();
        if frames.scores.iter().any(|scores| scores.len() != width) {
            return None;
        }
        let (start, end) = frames.span()?;
        let points = count.min(MAX_POINTS);
        let step = (end - start) / points as f64;
        let point_of = |frame: usize| match frames.pts.get(frame) {
            None => frame * points / count,
            Some(pts) => (((pts - start) / step) as usize).min(points - 1),
        };
        let mut lines: Vec<(usize, f32, Vec<f32>)> =
            (0..width).map(|label| (label, 0.0, vec![f32::NAN; points])).collect();
        for (frame, scores) in frames.scores.iter().enumerate() {
            let point = point_of(frame);
            for ((_, peak, line), &score) in lines.iter_mut().zip(scores) {
                line[point] = line[point].max(score);
                *peak = peak.max(score);
            }
        }
        lines.retain(|(_, peak, _)| *peak >= LEAST_PEAK);
        lines.sort_by(|a, b| b.1.total_cmp(&a.1));
        lines.truncate(MAX_CURVES);
        lines.sort_by_key(|line| line.0);
        let name = |label: usize| labels.get(label).cloned().unwrap_or_else(|| format!("score {label}"));
        let lines = lines.into_iter().map(|(label, _, line)| (name(label), bytes(&line))).collect();
        Some(Self { start, step, lines })
    }

    /// Of frames that are `hop` seconds apart, the first of which begins at `start`; `rows` are their scores.
    pub(super) fn steady<'a>(
        start: f64,
        hop: f64,
        rows: impl Iterator<Item = &'a [f32]>,
        labels: &[String],
    ) -> Option<Self> {
        let scores = rows.map(<[f32]>::to_vec).collect();
        Self::of(
            &RecordFrames { start: Some(start), hop: Some(hop), scores, ..RecordFrames::default() },
            labels,
        )
    }

    /// The points as base64.
    pub(super) fn encoded(&self) -> impl Iterator<Item = (&str, String)> {
        self.lines.iter().map(|(label, points)| (label.as_str(), BASE64_STANDARD.encode(points)))
    }
}

impl RecordFrames {
    /// Seconds of the first frame's beginning and the last one's end; `None` where they are none.
    fn span(&self) -> Option<(f64, f64)> {
        let count = self.scores.len();
        let (start, end) = match (self.start, self.hop, &self.pts[..]) {
            (Some(start), Some(hop), []) => (start, start + hop * count as f64),
            (_, _, pts) if pts.len() == count && pts.windows(2).all(|pair| pair[0] <= pair[1]) => {
                let (first, last) = (*pts.first()?, *pts.last()?);
                // The last picture is shown as long as the others.
                (first, last + (last - first) / (count - 1).max(1) as f64)
            }
            _ => return None,
        };
        (is_time(start) && is_time(end) && start < end).then_some((start, end))
    }
}

/// A point without a frame is as the one before it: that picture is still shown.
fn bytes(line: &[f32]) -> Vec<u8> {
    let mut last = 0;
    let byte = |&score: &f32| {
        if !score.is_nan() {
            last = (255.0 * score.clamp(0.0, 1.0)).round() as u8;
        }
        last
    };
    line.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_peaks() {
        let mut scores = vec![vec![0.0, 0.01, 0.5]; 10_000];
        scores[7_777][0] = 1.0;
        let frames = RecordFrames { start: Some(1.0), hop: Some(0.01), scores, ..RecordFrames::default() };
        let curves = Curves::of(&frames, &["a".into(), "b".into()]).unwrap();
        assert_eq!((curves.start, curves.lines.len()), (1.0, 2));
        assert!((curves.step * 240.0 - 100.0).abs() < 1e-9);
        let (label, points) = &curves.lines[0];
        let peak = 7_777 * 240 / 10_000;
        assert!(label == "a" && points.iter().enumerate().all(|(i, &p)| p == 255 * u8::from(i == peak)));
        assert_eq!((curves.lines[1].0.as_str(), curves.lines[1].1[3]), ("score 2", 128));
    }

    #[test]
    fn pictures_of_a_video_stay_until_the_next() {
        let frames = RecordFrames {
            pts: vec![0.0, 1.0, 3.0],
            scores: vec![vec![0.2], vec![1.0], vec![0.0]],
            ..RecordFrames::default()
        };
        let curves = Curves::of(&frames, &["a".into()]).unwrap();
        assert_eq!(curves.step, 1.5);
        assert_eq!(curves.lines[0].1, [255, 255, 0]);
    }

    #[test]
    fn odd_frames_have_no_curves() {
        let of = |text: &str| Curves::of(&serde_json::from_str(text).unwrap(), &[]);
        for text in [
            r#"{"scores":[]}"#,
            r#"{"scores":[[1],[1,2]],"start":0,"hop":1}"#,
            r#"{"scores":[[1]],"start":0,"hop":0}"#,
            r#"{"scores":[[1]],"start":1e99,"hop":1}"#,
            r#"{"scores":[[1],[1]],"pts":[1,0]}"#,
            r#"{"scores":[[1]],"pts":[1]}"#,
            r#"{"scores":[[1]]}"#,
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
