//! One row of bars a label.

use std::collections::HashMap;

use image::Rgb;

use super::axis::TimeAxis;
use super::canvas::{Canvas, NAME, Rect, SMALL, shortened};
use super::colours::{FAINT_INK, GRID, LABELS, TRACK, blend, readable};
use crate::event::ScoredEvent;

/// Most labels that get a row.
const MOST_TRACKS: usize = 24;
const LONGEST_NAME: usize = 24;
/// Pixels from one row to the next, and of its bars.
const ROW: u32 = 26;
const BAR: u32 = 20;
/// Pixels of the line that marks an onset, and that is all of an event without length.
const ONSET: u32 = 2;
/// Pixels between the names and the bars.
const NAME_GAP: u32 = 12;

/// What happens within the time of an axis, label by label.
pub(super) struct Tracks<'a> {
    tracks: Vec<Track<'a>>,
    /// Labels that occur and have no row.
    more: usize,
}

struct Track<'a> {
    label: &'a str,
    colour: Rgb<u8>,
    events: Vec<&'a ScoredEvent>,
}

impl<'a> Tracks<'a> {
    /// The labels that occur from `start` to `end`, in the order of `labels` and those that are not among them behind. Where
    /// they are too many, those are shown that last longest in all, and of those that last as long the most frequent.
    pub fn new(events: &'a [ScoredEvent], labels: &'a [String], start: f64, end: f64) -> Self {
        let mut tracks = occurring(events, labels, start, end);
        let more = tracks.len().saturating_sub(MOST_TRACKS);
        if more > 0 {
            keep_longest(&mut tracks, start, end);
        }
        // Few labels have the same colours in every picture, many have at least different ones within a picture.
        if labels.len() > LABELS.len() {
            for (place, track) in tracks.iter_mut().enumerate() {
                track.colour = LABELS[place % LABELS.len()];
            }
        }
        Self { tracks, more }
    }

    /// Pixels that the names and the space behind them take.
    pub fn gutter(&self) -> u32 {
        let names = self.tracks.iter().map(|track| NAME.width(&shortened(track.label, LONGEST_NAME)));
        names.max().unwrap_or(0) + NAME_GAP
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> u32 {
        self.rows() * ROW + if self.more > 0 { ROW } else { 0 }
    }

    /// What a person needs to know to read the bars.
    pub fn legend(&self) -> &'static str {
        if self.tracks.is_empty() { "" } else { "stronger colour: higher score" }
    }

    /// One at least: it says that there is no event.
    fn rows(&self) -> u32 {
        self.tracks.len().max(1) as u32
    }

    /// Draws the rows, the upper edge of the first at `y`.
    pub fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        for row in 0..self.rows() {
            let y = y + row * ROW + (ROW - BAR) / 2;
            canvas.fill(Rect { x: axis.left, y, width: axis.width, height: BAR }, TRACK, 1.0);
        }
        if self.tracks.is_empty() {
            let middle = axis.left + axis.width / 2;
            let y = y + (ROW - SMALL.height()) / 2;
            return canvas.text_around(middle, y, "no events", SMALL, FAINT_INK);
        }
        for (x, _) in axis.ticks() {
            canvas.fill(Rect { x, y, width: 1, height: self.rows() * ROW }, GRID, 1.0);
        }
        for (track, row) in self.tracks.iter().zip(0..) {
            track.draw(canvas, y + row * ROW + (ROW - BAR) / 2, axis);
        }
        if self.more > 0 {
            let text = format!("and {} more", self.more);
            let y = y + self.rows() * ROW + (ROW - NAME.height()) / 2;
            canvas.text_before(axis.left.saturating_sub(NAME_GAP), y, &text, NAME, FAINT_INK);
        }
    }
}

impl Track<'_> {
    fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        let name = shortened(self.label, LONGEST_NAME);
        let right = axis.left.saturating_sub(NAME_GAP);
        canvas.text_before(right, y + (BAR - NAME.height()) / 2, &name, NAME, readable(self.colour));
        for (x, opacity) in (axis.left..).zip(self.opacities(axis)) {
            if opacity > 0.0 {
                let colour = blend(TRACK, self.colour, opacity);
                canvas.fill(Rect { x, y, width: 1, height: BAR }, colour, 1.0);
            }
        }
    }

    /// Of each column of pixels, `[width]`: the stronger the higher the score, strongest at an onset. Where events overlap
    /// the strongest is seen.
    fn opacities(&self, axis: &TimeAxis) -> Vec<f32> {
        let mut opacities = vec![0.0f32; axis.width as usize];
        for event in &self.events {
            let score = if event.score.is_nan() { 0.0 } else { event.score.clamp(0.0, 1.0) };
            let onset = (axis.x(event.onset) - axis.left) as usize;
            let offset = axis.offset(event.offset).round() as usize;
            let mut cover = |columns: std::ops::Range<usize>, opacity: f32| {
                let end = columns.end.min(axis.width as usize);
                for column in &mut opacities[columns.start.min(end)..end] {
                    *column = column.max(opacity);
                }
            };
            cover(onset..offset, 0.2 + 0.55 * score);
            if event.onset >= axis.start {
                cover(onset..onset + ONSET as usize, 0.45 + 0.55 * score);
            }
        }
        opacities
    }
}

fn occurring<'a>(events: &'a [ScoredEvent], labels: &'a [String], start: f64, end: f64) -> Vec<Track<'a>> {
    let mut places: HashMap<&str, usize> = labels.iter().map(String::as_str).zip(0..).collect();
    let mut tracks: Vec<Track> = labels.iter().map(|label| Track::new(label)).collect();
    for event in events {
        if !(event.onset <= end && event.offset >= start && event.offset >= event.onset) {
            continue;
        }
        let place = *places.entry(&event.label).or_insert_with(|| {
            tracks.push(Track::new(&event.label));
            tracks.len() - 1
        });
        tracks[place].events.push(event);
    }
    for (place, track) in tracks.iter_mut().enumerate() {
        track.colour = LABELS[place % LABELS.len()];
    }
    tracks.retain(|track| !track.events.is_empty());
    tracks
}

impl<'a> Track<'a> {
    fn new(label: &'a str) -> Self {
        Self { label, colour: LABELS[0], events: Vec::new() }
    }

    /// Seconds of all events from `start` to `end`.
    fn seconds(&self, start: f64, end: f64) -> f64 {
        self.events.iter().map(|event| event.offset.min(end) - event.onset.max(start)).sum()
    }
}

/// Keeps as many as get a row, in their order.
fn keep_longest(tracks: &mut Vec<Track>, start: f64, end: f64) {
    let length = |track: &Track| (track.seconds(start, end), track.events.len());
    let mut ranks: Vec<usize> = (0..tracks.len()).collect();
    let lengths: Vec<(f64, usize)> = tracks.iter().map(length).collect();
    ranks.sort_by(|&a, &b| lengths[b].0.total_cmp(&lengths[a].0).then(lengths[b].1.cmp(&lengths[a].1)));
    let mut kept = ranks[..MOST_TRACKS].to_vec();
    kept.sort_unstable();
    let mut place = 0..;
    tracks.retain(|_| kept.binary_search(&place.next().expect("has no end")).is_ok());
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    fn labels(tracks: &Tracks) -> Vec<String> {
        tracks.tracks.iter().map(|track| track.label.to_string()).collect()
    }

    #[test]
    fn labels_that_occur_have_tracks_in_the_order_of_the_model() {
        let names = ["a", "b", "c"].map(str::to_string);
        let events = [event("c", 1.0, 2.0, 0.5), event("new", 3.0, 3.0, 0.5), event("a", 0.0, 9.0, 0.5)];
        let tracks = Tracks::new(&events, &names, 0.0, 10.0);
        assert_eq!(labels(&tracks), ["a", "c", "new"]);
        assert_eq!(tracks.tracks[1].colour, LABELS[2]);
        assert_eq!(labels(&Tracks::new(&events, &names, 2.5, 10.0)), ["a", "new"]);
    }

    #[test]
    fn of_too_many_labels_the_longest_are_shown_in_their_order() {
        let names: Vec<String> = (0..40).map(|i| format!("l{i}")).collect();
        let long = |i: usize| f64::from(u8::from(i.is_multiple_of(2))) + 0.01;
        let events: Vec<_> = (0..40).map(|i| event(&names[i], 0.0, long(i), 0.5)).collect();
        let tracks = Tracks::new(&events, &names, 0.0, 10.0);
        let expected: Vec<_> = (0..40).filter(|i| i % 2 == 0 || *i < 8).map(|i| names[i].clone()).collect();
        assert_eq!((labels(&tracks), tracks.more), (expected, 16));
        let colours: Vec<_> = tracks.tracks.iter().map(|track| track.colour).collect();
        assert_eq!(colours[..10], LABELS);
        assert_eq!(tracks.height(), 25 * ROW);
    }

    #[test]
    fn the_score_is_seen_and_the_onset_most() {
        let axis = TimeAxis::new(0.0, 10.0, 0, 1000);
        let events = [
            event("a", 1.0, 2.0, 0.2),
            event("a", 1.5, 3.0, 1.0),
            event("a", 5.0, 5.0, 1.0),
            event("a", 9.0, 99.0, 0.0),
        ];
        let names = ["a".to_string()];
        let opacities = Tracks::new(&events, &names, 0.0, 10.0).tracks[0].opacities(&axis);
        assert_eq!((opacities[50], opacities[99], opacities[300], opacities[502]), (0.0, 0.0, 0.0, 0.0));
        assert!(opacities[100] > opacities[120] && opacities[120] < opacities[160]);
        assert_eq!((opacities[150], opacities[500], opacities[501]), (1.0, 1.0, 1.0));
        assert!(opacities[999] > 0.0);
    }

    #[test]
    fn odd_events_are_left_out() {
        let nan = f64::NAN;
        let events = [event("a", nan, 1.0, 0.5), event("a", 0.0, nan, 0.5), event("a", 2.0, 1.0, 0.5)];
        assert!(Tracks::new(&events, &[], 0.0, 10.0).tracks.is_empty());
        let events = [event("a", f64::NEG_INFINITY, f64::INFINITY, f32::NAN)];
        let tracks = Tracks::new(&events, &[], 0.0, 10.0);
        let opacities = tracks.tracks[0].opacities(&TimeAxis::new(0.0, 10.0, 0, 100));
        assert!(opacities.iter().all(|&opacity| opacity > 0.0 && opacity < 0.5));
    }
}
