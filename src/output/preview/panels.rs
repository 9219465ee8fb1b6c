//! A picture of what a network is given: panels one above the other, on one axis of time.

use std::path::Path;

use image::RgbImage;

use super::axis::{self, TimeAxis};
use super::canvas::{Canvas, Rect, SMALL, TITLE, shortened};
use super::colours::{FAINT_INK, INK, LABELS, LINE, TRACK, magma};
use super::{GAP, LEAST_GUTTER, MARGIN, RIGHT_MARGIN, Spectrogram, Strip, TICK_SPACE, WIDTH, write_png};
use crate::Result;

/// Pixels of an [`Area`] from top to bottom.
const AREA_HEIGHT: u32 = 72;
/// Pixels of the colours between the values that they stand for.
const SCALE: Rect = Rect { x: 0, y: 0, width: 120, height: 10 };
/// Letters of a value beside a panel.
const LONGEST_VALUE: usize = 9;

/// What the picture shows. Drawing the same gives the same bytes.
pub struct Panels<'a> {
    /// The first line. Shortened in its middle where it is too long.
    pub title: &'a str,
    /// Seconds at the left edge of the axis.
    pub start: f64,
    /// Seconds at the right edge.
    pub end: f64,
    /// From top to bottom.
    pub panels: Vec<&'a Panel>,
}

/// One thing over time, and what it is.
pub struct Panel {
    pub caption: String,
    pub view: View,
}

pub enum View {
    Strip(Strip),
    /// The unit of its values is written beside its colours.
    Spectrogram(Spectrogram, String),
    Area(Area),
}

/// One value a frame, 0 or more, as the edge of a filled area; where a pixel shows several frames, their maximum.
pub struct Area(Spectrogram);

impl Area {
    #[expect(
        clippy::new_without_default,
        reason = "an area without values is nothing to begin from elsewhere"
    )]
    pub fn new() -> Self {
        Self(Spectrogram::new(1, Vec::new()))
    }

    pub fn push(&mut self, value: f32) {
        self.0.push(&[value]);
    }

    fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        let area = Rect { x: axis.left, y, width: axis.width, height: AREA_HEIGHT };
        canvas.fill(area, TRACK, 1.0);
        let highest = self.0.highest().max(f32::MIN_POSITIVE);
        for x in 0..axis.width {
            let share = (self.0.loudest_at(x, axis.width) / highest).clamp(0.0, 1.0);
            let height = (share * AREA_HEIGHT as f32).round() as u32;
            let bar = Rect { x: axis.left + x, y: y + AREA_HEIGHT - height, width: 1, height };
            canvas.fill(bar, LABELS[0], 0.5);
        }
        let right = axis.left.saturating_sub(TICK_SPACE);
        canvas.text_before(right, y, &value(highest), SMALL, INK);
        canvas.text_before(right, y + AREA_HEIGHT - SMALL.height(), "0", SMALL, INK);
        canvas.outline(area, LINE);
    }
}

impl Panels<'_> {
    /// The picture, 1400 pixels wide.
    pub fn draw(&self) -> RgbImage {
        let left =
            MARGIN + self.panels.iter().map(|panel| panel.gutter()).max().unwrap_or(0).max(LEAST_GUTTER);
        let axis = TimeAxis::new(self.start, self.end, left, WIDTH - RIGHT_MARGIN - left);
        let top = MARGIN + TITLE.height() + GAP;
        let heights = self.panels.iter().map(|panel| panel.height(axis.width));
        let axis_y = top + heights.sum::<u32>();
        let mut canvas = Canvas::new(WIDTH, axis_y + axis::HEIGHT + MARGIN);
        canvas.text(MARGIN, MARGIN, &TITLE.fitted(self.title, WIDTH - 2 * MARGIN), TITLE, INK);
        let mut y = top;
        for panel in &self.panels {
            panel.draw(&mut canvas, y, &axis);
            y += panel.height(axis.width);
        }
        axis.draw(&mut canvas, axis_y, &self.reduction(axis.width));
        canvas.image
    }

    /// Writes the picture as PNG, whatever `path` is called.
    ///
    /// # Errors
    /// Those of [`crate::files::AtomicFile`].
    pub fn save(&self, path: &Path) -> Result<()> {
        write_png(&self.draw(), path)
    }

    /// What became of more frames than there are pixels.
    fn reduction(&self, width: u32) -> String {
        let frames = self.panels.iter().map(|panel| match &panel.view {
            View::Spectrogram(spectrogram, _) | View::Area(Area(spectrogram)) => spectrogram.num_frames(),
            View::Strip(_) => 0,
        });
        match frames.max().unwrap_or(0).div_ceil(u64::from(width)) {
            0 | 1 => String::new(),
            most => format!("a column of pixels: the maximum of up to {most} frames"),
        }
    }
}

impl Panel {
    fn gutter(&self) -> u32 {
        TICK_SPACE
            + match &self.view {
                View::Strip(_) => 0,
                View::Spectrogram(spectrogram, _) => spectrogram.tick_letters() as u32 * SMALL.width(" "),
                View::Area(area) => SMALL.width(&value(area.0.highest())),
            }
    }

    /// With its caption above and the space below it.
    fn height(&self, width: u32) -> u32 {
        let view = match &self.view {
            View::Strip(strip) => strip.height(width),
            View::Spectrogram(spectrogram, _) => spectrogram.height(),
            View::Area(_) => AREA_HEIGHT,
        };
        SMALL.height() + GAP / 2 + view + GAP + GAP / 2
    }

    fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        let below = y + SMALL.height() + GAP / 2;
        let mut room = axis.width;
        match &self.view {
            View::Strip(strip) => strip.draw(canvas, below, axis),
            View::Area(area) => area.draw(canvas, below, axis),
            View::Spectrogram(spectrogram, unit) => {
                spectrogram.draw(canvas, below, axis);
                room = draw_scale(canvas, y, axis, spectrogram.range(), unit).saturating_sub(axis.left);
            }
        }
        canvas.text(axis.left, y, &SMALL.fitted(&self.caption, room), SMALL, INK);
    }
}

/// The colours from the darkest to the brightest with their values, at the right of a caption; where that begins.
fn draw_scale(canvas: &mut Canvas, y: u32, axis: &TimeAxis, (low, high): (f32, f32), unit: &str) -> u32 {
    let space = SMALL.width(" ");
    let high = format!("{} {unit}", value(high));
    let right = axis.left + axis.width;
    canvas.text_before(right, y, &high, SMALL, FAINT_INK);
    let x = right.saturating_sub(SMALL.width(&high) + space + SCALE.width);
    let place = Rect { x, y: y + (SMALL.height() - SCALE.height) / 2, ..SCALE };
    for column in 0..SCALE.width {
        let colour = magma(column as f32 / (SCALE.width - 1) as f32);
        canvas.fill(Rect { x: x + column, width: 1, ..place }, colour, 1.0);
    }
    canvas.outline(place, LINE);
    let low = value(low);
    canvas.text_before(x.saturating_sub(space), y, &low, SMALL, FAINT_INK);
    x.saturating_sub(SMALL.width(&low) + 3 * space)
}

/// A value in three digits or so.
fn value(value: f32) -> String {
    let text = match value.abs() {
        0.0 => "0".to_string(),
        size if (1e-2..1e5).contains(&size) => {
            format!("{value:.0$}", (2.0 - size.log10().floor()).clamp(0.0, 4.0) as usize)
        }
        _ => format!("{value:.1e}"),
    };
    shortened(&text, LONGEST_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::VideoFrame;

    fn panels(frames: usize) -> Vec<Panel> {
        let mut spectrogram = Spectrogram::new(8, vec![(0.5, "1000".into())]);
        let (mut strip, mut area) = (Strip::pixelated(), Area::new());
        for t in 0..frames {
            spectrogram.push(&[t as f32; 8]);
            area.push(t as f32);
            strip.push(t as f64, &VideoFrame { width: 4, height: 4, pixels: vec![t as u8; 48], ticks: 0 });
        }
        let panel = |view| Panel { caption: "what it is".into(), view };
        vec![
            panel(View::Strip(strip)),
            panel(View::Area(area)),
            panel(View::Spectrogram(spectrogram, "dB".into())),
        ]
    }

    fn draw(panels: &[Panel], end: f64) -> RgbImage {
        Panels { title: "a.wav", start: 0.0, end, panels: panels.iter().collect() }.draw()
    }

    #[test]
    fn panels_stand_one_above_the_other() {
        let panels = panels(100);
        let (one, all) = (draw(&panels[2..], 100.0), draw(&panels, 100.0));
        assert_eq!((one.width(), all.width()), (WIDTH, WIDTH));
        assert!(all.height() > one.height() + AREA_HEIGHT + 88);
        assert_eq!(draw(&panels, 100.0), all);
    }

    #[test]
    fn what_is_reduced_says_so() {
        let said = |frames| {
            let panels = panels(frames);
            Panels { title: "", start: 0.0, end: 1.0, panels: panels.iter().collect() }.reduction(1000)
        };
        assert_eq!(said(1000), "");
        assert_eq!(said(2001), "a column of pixels: the maximum of up to 3 frames");
    }

    #[test]
    fn nothing_and_odd_values_are_drawn_too() {
        draw(&[], 0.0);
        draw(&panels(0), f64::NAN);
        let mut odd = panels(1);
        odd[1].view = View::Area(Area::new());
        if let View::Area(area) = &mut odd[1].view {
            [f32::NAN, f32::INFINITY, -1.0].into_iter().for_each(|value| area.push(value));
        }
        odd[2].caption = "long ".repeat(1000);
        draw(&odd, 1.0);
    }

    #[test]
    fn values_have_three_digits() {
        let written = [0.0, -1.234, 0.567, 98.76, -123.4, 1234.5, 1e-9, 1e30].map(value);
        assert_eq!(written, ["0", "-1.23", "0.567", "98.8", "-123", "1234", "1.0e-9", "1.0e30"]);
    }
}
