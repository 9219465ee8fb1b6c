//! A picture of how training went: plots one above the other, epochs, or whatever is counted, from left to right.

use std::path::Path;

use image::{Rgb, RgbImage};

use super::axis::round_step;
use super::canvas::{Canvas, Rect, SMALL, TITLE, shortened};
use super::colours::{FAINT_INK, GRID, INK, LABELS, LINE, readable};
use super::{GAP, MARGIN, RIGHT_MARGIN, WIDTH, write_png};
use crate::Result;

/// Pixels of one plot from top to bottom.
const HEIGHT: u32 = 280;
/// Pixels at the left of the plots, for their numbers.
const GUTTER: u32 = 80;
/// Fewest pixels from one number of an axis to the next: of epochs, of values.
const APART: [f64; 2] = [90.0, 45.0];
/// Pixels that a line is wide.
const PEN: u32 = 3;

/// What the picture shows. Drawing the same gives the same bytes.
pub struct Curves<'a> {
    /// The first line. Shortened in its middle where it is too long.
    pub title: &'a str,
    /// From top to bottom.
    pub plots: &'a [Plot],
}

/// Lines on one axis of values that begins at 0.
pub struct Plot {
    /// What is measured, and in what.
    pub caption: &'static str,
    /// What is counted from left to right: `epoch`.
    pub axis: &'static str,
    /// What the axis of values reaches at least.
    pub highest: f64,
    pub lines: Vec<Line>,
}

/// One line.
pub struct Line {
    pub name: &'static str,
    /// For each epoch, or whatever is counted, from the first; there is none where nothing was measured.
    pub values: Vec<Option<f64>>,
}

impl Curves<'_> {
    /// The picture, 1400 pixels wide.
    pub fn draw(&self) -> RgbImage {
        let top = MARGIN + TITLE.height() + GAP;
        let step = HEIGHT + 3 * SMALL.height() + 4 * GAP;
        let mut canvas = Canvas::new(WIDTH, top + self.plots.len() as u32 * step + MARGIN);
        canvas.text(MARGIN, MARGIN, &TITLE.fitted(self.title, WIDTH - 2 * MARGIN), TITLE, INK);
        for (i, plot) in self.plots.iter().enumerate() {
            plot.draw(&mut canvas, top + i as u32 * step);
        }
        canvas.image
    }

    /// Writes the picture as PNG, whatever `path` is called.
    ///
    /// # Errors
    /// Those of [`crate::files::AtomicFile`].
    pub fn save(&self, path: &Path) -> Result<()> {
        write_png(&self.draw(), path)
    }
}

impl Plot {
    /// With the caption above and the epochs below.
    fn draw(&self, canvas: &mut Canvas, y: u32) {
        let area = Rect {
            x: MARGIN + GUTTER,
            y: y + SMALL.height() + GAP,
            width: WIDTH - MARGIN - GUTTER - RIGHT_MARGIN,
            height: HEIGHT,
        };
        let top = self.draw_values(canvas, &area);
        self.draw_epochs(canvas, &area);
        canvas.text(area.x, y, self.caption, SMALL, FAINT_INK);
        let mut right = area.x + area.width;
        let lines =
            || self.lines.iter().zip(LABELS).filter(|(line, _)| line.values.iter().any(Option::is_some));
        for (line, colour) in lines().collect::<Vec<_>>().into_iter().rev() {
            canvas.text_before(right, y, line.name, SMALL, readable(colour));
            right -= SMALL.width(line.name) + 2 * SMALL.width(" ");
        }
        for (line, colour) in lines() {
            let known = |(i, value): (usize, &Option<f64>)| {
                value
                    .filter(|value| value.is_finite())
                    .map(|value| (self.column(&area, i), row(&area, value / top)))
            };
            draw_line(canvas, &line.values.iter().enumerate().filter_map(known).collect::<Vec<_>>(), colour);
        }
    }

    /// Draws the axis of values; gives what it reaches.
    fn draw_values(&self, canvas: &mut Canvas, area: &Rect) -> f64 {
        let values = self.lines.iter().flat_map(|line| &line.values).flatten().copied();
        let highest = values.filter(|value| value.is_finite()).fold(self.highest, f64::max);
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let step = round_step(highest * APART[1] / f64::from(area.height));
        let top = (highest / step - 1e-9).ceil() * step;
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        for i in 0..=(top / step).round() as u32 {
            let value = f64::from(i) * step;
            let (y, colour) = (row(area, value / top), if i == 0 { LINE } else { GRID });
            canvas.fill(Rect { y, height: 1, ..*area }, colour, 1.0);
            let text = shortened(&format!("{value:.decimals$}"), 8);
            canvas.text_before(area.x - GAP, y - SMALL.height() / 2, &text, SMALL, INK);
        }
        top
    }

    fn draw_epochs(&self, canvas: &mut Canvas, area: &Rect) {
        let step = round_step(self.epochs() as f64 * APART[0] / f64::from(area.width)).max(1.0) as usize;
        let y = area.y + area.height + GAP / 2;
        for i in (0..self.epochs()).filter(|i| (i + 1) % step == 0) {
            canvas.text_around(self.column(area, i), y, &(i + 1).to_string(), SMALL, INK);
        }
        let y = y + SMALL.height();
        canvas.text_around(area.x + area.width / 2, y, self.axis, SMALL, FAINT_INK);
    }

    fn epochs(&self) -> usize {
        self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0)
    }

    /// Where the `i`-th epoch stands.
    fn column(&self, area: &Rect, i: usize) -> u32 {
        let last = self.epochs().saturating_sub(1).max(1) as f64;
        area.x + (i as f64 / last * f64::from(area.width - 1)).round() as u32
    }
}

/// Where a `share` of the way up stands, 0 to 1.
fn row(area: &Rect, share: f64) -> u32 {
    area.y + ((1.0 - share.clamp(0.0, 1.0)) * f64::from(area.height - 1)).round() as u32
}

/// From point to point, as wide as [`PEN`].
fn draw_line(canvas: &mut Canvas, points: &[(u32, u32)], colour: Rgb<u8>) {
    let mut dot = |x: f64, y: f64| {
        let corner = |v: f64| (v.round() as u32).saturating_sub(PEN / 2);
        canvas.fill(Rect { x: corner(x), y: corner(y), width: PEN, height: PEN }, colour, 1.0);
    };
    if let &[(x, y)] = points {
        dot(f64::from(x), f64::from(y));
    }
    for pair in points.windows(2) {
        let [(x0, y0), (x1, y1)] = [pair[0], pair[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1.0);
        for i in 0..=steps as u32 {
            let share = f64::from(i) / steps;
            dot(x0 + share * (x1 - x0), y0 + share * (y1 - y0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plots(epochs: usize, validation: bool) -> [Plot; 1] {
        let line = |name, factor: Option<f64>| Line {
            name,
            values: (1..=epochs).map(|epoch| factor.map(|factor| factor / epoch as f64)).collect(),
        };
        let lines = vec![line("training", Some(2.0)), line("validation", validation.then_some(2.2))];
        [Plot { caption: "loss", axis: "epoch", highest: 0.0, lines }]
    }

    fn draw(plots: &[Plot]) -> RgbImage {
        Curves { title: &"long ".repeat(100), plots }.draw()
    }

    fn count(image: &RgbImage, colour: Rgb<u8>) -> usize {
        image.pixels().filter(|pixel| **pixel == colour).count()
    }

    #[test]
    fn a_picture_has_a_line_for_each_part_that_was_measured() {
        let (with, without) = (draw(&plots(30, true)), draw(&plots(30, false)));
        assert!(count(&with, LABELS[1]) > 2000 && count(&without, LABELS[1]) == 0);
        assert!(count(&without, LABELS[0]) > 2000);
    }

    #[test]
    fn any_values_can_be_drawn() {
        let mut odd = plots(2, true);
        odd[0].lines[0].values = vec![Some(f64::NAN), Some(f64::INFINITY)];
        odd[0].lines[1].values[1] = Some(1e300);
        for plots in [plots(0, true), plots(1, true), plots(1000, false), odd] {
            draw(&plots);
        }
        draw(&[]);
    }
}
