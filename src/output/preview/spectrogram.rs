//! How loud each band is at each time, in colours.

use std::ops::Range;

use super::WIDTH;
use super::axis::TimeAxis;
use super::canvas::{Canvas, Rect, SMALL, shortened};
use super::colours::{INK, LINE, magma};

/// Most columns that are kept; even, as neighbours become one when they are so many.
const MOST_COLUMNS: usize = 2 * WIDTH as usize;
/// Pixels from top to bottom, about: each band gets the same number of rows where there are enough.
const HEIGHT: usize = 256;
/// Shares of the values below the darkest and the brightest colour.
const DARKEST: f64 = 0.05;
const BRIGHTEST: f64 = 0.998;
const TICK: u32 = 6;
const LONGEST_TICK: usize = 12;

/// Collects the columns of a spectrogram of unknown length, in bounded memory: at most two a pixel of the preview's width.
/// When they are so many each two neighbours become one that has the larger value of each band.
#[derive(Debug, Clone)]
pub struct Spectrogram {
    dim: usize,
    ticks: Vec<(f32, String)>,
    /// `[columns, dim]`
    columns: Vec<f32>,
    frames: u64,
    /// A column is the maximum of `2^halvings` frames, the last one of those that have come.
    halvings: u32,
}

impl Spectrogram {
    /// `dim`: values of a frame, from low frequencies to high. `ticks`: what is written at the left, each with its height
    /// from 0 (the lower edge of the lowest band) to 1 (the upper edge of the highest).
    pub fn new(dim: usize, ticks: Vec<(f32, String)>) -> Self {
        Self { dim, ticks, columns: Vec::new(), frames: 0, halvings: 0 }
    }

    /// The next frames, `[n, dim]`, of any unit in which more is louder and equal steps look equal (logarithms).
    pub fn push(&mut self, frames: &[f32]) {
        if self.dim == 0 {
            return;
        }
        for frame in frames.chunks_exact(self.dim) {
            self.push_frame(frame);
        }
    }

    fn push_frame(&mut self, frame: &[f32]) {
        if self.frames.is_multiple_of(1 << self.halvings) {
            if self.columns.len() == MOST_COLUMNS * self.dim {
                self.merge_neighbours();
            }
            self.columns.extend(frame);
        } else {
            let last = self.columns.len() - self.dim;
            louder(&mut self.columns[last..], frame);
        }
        self.frames += 1;
    }

    fn merge_neighbours(&mut self) {
        let dim = self.dim;
        for column in 0..MOST_COLUMNS / 2 {
            self.columns.copy_within(2 * column * dim..(2 * column + 1) * dim, column * dim);
            let (kept, later) = self.columns.split_at_mut((2 * column + 1) * dim);
            louder(&mut kept[column * dim..(column + 1) * dim], &later[..dim]);
        }
        self.columns.truncate(MOST_COLUMNS / 2 * dim);
        self.halvings += 1;
    }

    /// Letters of the longest tick.
    pub(super) fn tick_letters(&self) -> usize {
        self.ticks.iter().map(|(_, text)| text.chars().count().min(LONGEST_TICK)).max().unwrap_or(0)
    }

    /// Pixels from top to bottom; 0 where there is no frame.
    pub(super) fn height(&self) -> u32 {
        match self.dim {
            _ if self.frames == 0 => 0,
            dim if dim <= HEIGHT => (dim * ((HEIGHT + dim / 2) / dim)) as u32,
            _ => HEIGHT as u32,
        }
    }

    /// Draws the spectrogram across the whole axis, its upper edge at `y`.
    pub(super) fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        let height = self.height();
        if height == 0 {
            return;
        }
        let strengths = self.strengths(axis.width, height);
        for (row, strengths) in (y..).zip(strengths.chunks_exact(axis.width as usize)) {
            for (x, &strength) in (axis.left..).zip(strengths) {
                canvas.image.put_pixel(x, row, magma(strength));
            }
        }
        self.draw_ticks(canvas, y, axis.left);
        canvas.outline(Rect { x: axis.left, y, width: axis.width, height }, LINE);
    }

    /// How strong each pixel of a picture of that size is, `[height, width]`, high frequencies first: 0 for the darkest to 1
    /// for the brightest, a little below or above for what is beyond. Nothing where there is no frame.
    pub fn strengths(&self, width: u32, height: u32) -> Vec<f32> {
        if self.frames == 0 {
            return Vec::new();
        }
        let (darkest, brightest) = self.range();
        let scale = 1.0 / (brightest - darkest).max(f32::MIN_POSITIVE);
        let mut strengths = vec![0.0; (width * height) as usize];
        for x in 0..width {
            let loudest = self.loudest(self.columns_at(x, width));
            for row in 0..height {
                let bands = share(u64::from(row), u64::from(height), self.dim as u64);
                let value = loudest[bands].iter().copied().fold(f32::NAN, f32::max);
                strengths[((height - 1 - row) * width + x) as usize] = (value - darkest) * scale;
            }
        }
        strengths
    }

    /// Frames that were pushed.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ticks that would touch one below are left out.
    fn draw_ticks(&self, canvas: &mut Canvas, y: u32, left: u32) {
        let mut ticks: Vec<_> = self.ticks.iter().filter(|tick| (0.0..=1.0).contains(&tick.0)).collect();
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bottom = self.height() - 1;
        let mut free = y + bottom + SMALL.height();
        for (place, text) in ticks {
            let middle = y + bottom - (place * bottom as f32).round() as u32;
            if middle + SMALL.height() > free {
                continue;
            }
            free = middle;
            let text_top = middle.saturating_sub(SMALL.height() / 2);
            let text = shortened(text, LONGEST_TICK);
            canvas.fill(Rect { x: left.saturating_sub(TICK), y: middle, width: TICK, height: 1 }, LINE, 1.0);
            canvas.text_before(left.saturating_sub(TICK + 4), text_top, &text, SMALL, INK);
        }
    }

    /// The columns that the `x`th of `width` pixels shows.
    fn columns_at(&self, x: u32, width: u32) -> Range<usize> {
        let frames = share(u64::from(x), u64::from(width), self.frames);
        (frames.start >> self.halvings)..((frames.end - 1) >> self.halvings) + 1
    }

    /// `[dim]`
    fn loudest(&self, columns: Range<usize>) -> Vec<f32> {
        let mut columns =
            self.columns[columns.start * self.dim..columns.end * self.dim].chunks_exact(self.dim);
        let mut loudest = columns.next().expect("a pixel shows at least one column").to_vec();
        columns.for_each(|column| louder(&mut loudest, column));
        loudest
    }

    /// The highest value that the `x`th of `width` pixels shows.
    pub(super) fn loudest_at(&self, x: u32, width: u32) -> f32 {
        if self.frames == 0 {
            return 0.0;
        }
        self.loudest(self.columns_at(x, width)).into_iter().fold(f32::NAN, f32::max)
    }

    /// The highest finite value; 0 where there is none above.
    pub(super) fn highest(&self) -> f32 {
        self.columns.iter().copied().filter(|value| value.is_finite()).fold(0.0, f32::max)
    }

    pub(super) fn num_frames(&self) -> u64 {
        self.frames
    }

    /// The values that get the darkest and the brightest colour: not the extremes, so that one click does not darken all.
    pub(super) fn range(&self) -> (f32, f32) {
        let mut values: Vec<f32> = self.columns.iter().copied().filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return (0.0, 1.0);
        }
        let last = (values.len() - 1) as f64;
        let mut at = |share: f64| *values.select_nth_unstable_by((share * last) as usize, f32::total_cmp).1;
        (at(DARKEST), at(BRIGHTEST))
    }
}

/// What the `part`th of `parts` has of `whole` things: at least one.
fn share(part: u64, parts: u64, whole: u64) -> Range<usize> {
    let start = part * whole / parts;
    start as usize..((part + 1) * whole / parts).max(start + 1) as usize
}

fn louder(values: &mut [f32], others: &[f32]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value = value.max(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(spectrogram: &Spectrogram) -> Canvas {
        let mut canvas = Canvas::new(1300, 300);
        spectrogram.draw(&mut canvas, 10, &TimeAxis::new(0.0, 1.0, 100, 1000));
        canvas
    }

    #[test]
    fn memory_is_bounded_and_the_loudest_stays() {
        let mut spectrogram = Spectrogram::new(2, Vec::new());
        let frames = 50_001;
        for t in 0..frames {
            spectrogram.push(&[-(t as f32), if t == 33_333 { 7.0 } else { f32::NAN }]);
        }
        let columns = spectrogram.columns.len() / 2;
        assert!(columns <= MOST_COLUMNS && columns > MOST_COLUMNS / 2);
        for (i, column) in spectrogram.columns.chunks(2).enumerate() {
            assert_eq!(column[0], -((i << spectrogram.halvings) as f32));
            let loud = i == 33_333 >> spectrogram.halvings;
            assert_eq!(column[1] == 7.0, loud);
        }
        let x = 33_333 * 1000 / frames;
        assert!(spectrogram.loudest(spectrogram.columns_at(x, 1000))[1] == 7.0);
    }

    #[test]
    fn every_pixel_shows_its_frames() {
        let mut spectrogram = Spectrogram::new(1, Vec::new());
        spectrogram.push(&[0.0; 7]);
        let columns: Vec<_> = (0..14).map(|x| spectrogram.columns_at(x, 14).start).collect();
        assert_eq!(columns, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
        spectrogram.push(&[0.0; 21]);
        assert_eq!(spectrogram.columns_at(13, 14), 26..28);
    }

    #[test]
    fn low_bands_are_at_the_bottom_and_loud_ones_bright() {
        let mut spectrogram = Spectrogram::new(4, vec![(0.0, "0 Hz".into()), (1.0, "4 kHz".into())]);
        spectrogram.push(&[-80.0, -80.0, -80.0, -80.0, 0.0, -80.0, -80.0, -80.0]);
        let canvas = drawn(&spectrogram);
        assert_eq!(spectrogram.height(), 256);
        let pixel = |x, y| *canvas.image.get_pixel(x, y);
        assert_eq!(
            (pixel(1000, 255), pixel(200, 255), pixel(1000, 100)),
            (magma(1.0), magma(0.0), magma(0.0))
        );
        assert_eq!((pixel(97, 10), pixel(97, 265)), (LINE, LINE));
    }

    #[test]
    fn the_height_is_a_multiple_of_the_bands() {
        let height = |dim| {
            let mut spectrogram = Spectrogram::new(dim, Vec::new());
            spectrogram.push(&vec![0.0; dim]);
            spectrogram.height()
        };
        assert_eq!([1, 13, 40, 64, 80, 128, 257, 1025].map(height), [256, 260, 240, 256, 240, 256, 256, 256]);
    }

    #[test]
    fn odd_values_and_ticks_are_drawn_somehow() {
        let ticks = [f32::NAN, -1.0, 2.0, 0.5, 0.5001].map(|place| (place, "x".repeat(99)));
        for values in
            [vec![], vec![f32::NAN; 6], vec![f32::INFINITY; 6], vec![f32::MIN, f32::MAX], vec![0.0; 3]]
        {
            let mut spectrogram = Spectrogram::new(2, ticks.to_vec());
            spectrogram.push(&values);
            drawn(&spectrogram);
        }
        let mut empty = Spectrogram::new(0, Vec::new());
        empty.push(&[1.0]);
        assert_eq!(empty.height(), 0);
        drawn(&empty);
    }
}
