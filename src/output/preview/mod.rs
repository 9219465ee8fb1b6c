//! A picture of what happens when: the pictures or the sound above, a row of bars for each label below, on one axis of time.

mod axis;
mod canvas;
mod colours;
#[cfg(not(target_arch = "wasm32"))]
mod curves;
mod panels;
mod spectrogram;
mod strip;
mod tracks;

use std::path::Path;

use image::{ImageError, ImageFormat, RgbImage};

use crate::event::ScoredEvent;
use crate::files::AtomicFile;
use crate::{Error, ErrorKind, Result};
pub(super) use axis::TimeAxis;
use canvas::{Canvas, SMALL, TITLE};
pub(crate) use colours::magma;
use colours::{FAINT_INK, INK};
#[cfg(not(target_arch = "wasm32"))]
pub use curves::{Curves, Line, Plot};
pub use panels::{Area, Panel, Panels, View};
pub use spectrogram::Spectrogram;
pub use strip::Strip;
use tracks::Tracks;

/// Pixels from left to right.
const WIDTH: u32 = 1400;
/// Pixels around all; more at the right, where half of the last number stands out.
const MARGIN: u32 = 24;
const RIGHT_MARGIN: u32 = 44;
/// Pixels between what stands one above the other.
const GAP: u32 = 10;
/// Pixels at the left of the axis at least: half of its first number.
const LEAST_GUTTER: u32 = 28;
/// Pixels of a spectrogram's ticks and the space around their letters.
const TICK_SPACE: u32 = 12;

/// What a picture shows. Drawing the same gives the same bytes.
pub struct Preview<'a> {
    /// The first line: what file, what model, how long. Shortened in its middle where it is too long.
    pub title: &'a str,
    /// Seconds at the left edge of the axis.
    pub start: f64,
    /// Seconds at the right edge. Where it is not behind `start` there is no time to show: everything stands at the left.
    pub end: f64,
    pub top: Top<'a>,
    /// In any order; what lies outside of `start..=end` is not shown.
    pub events: &'a [ScoredEvent],
    /// In the order of their tracks and colours; those that do not occur get no track.
    pub labels: &'a [String],
}

/// What is above the labels.
pub enum Top<'a> {
    Strip(&'a Strip),
    Spectrogram(&'a Spectrogram),
}

impl Preview<'_> {
    /// The picture, 1400 pixels wide and as high as its labels need, at most some 1200.
    pub fn draw(&self) -> RgbImage {
        let whole = TimeAxis::new(self.start, self.end, 0, 0);
        let tracks = Tracks::new(self.events, self.labels, whole.start, whole.end());
        let gutter = tracks.gutter().max(self.top.gutter()).max(LEAST_GUTTER);
        let left = MARGIN + gutter;
        let axis = TimeAxis::new(self.start, self.end, left, WIDTH - RIGHT_MARGIN - left);

        let top_y = MARGIN + TITLE.height() + GAP + GAP / 2;
        let tracks_y = top_y + self.top.height(axis.width) + GAP;
        let axis_y = tracks_y + tracks.height() + GAP / 2;
        let mut canvas = Canvas::new(WIDTH, axis_y + axis::HEIGHT + MARGIN);
        let title = TITLE.fitted(self.title, WIDTH - 2 * MARGIN);
        canvas.text(MARGIN, MARGIN, &title, TITLE, INK);
        self.top.draw(&mut canvas, top_y, &axis);
        tracks.draw(&mut canvas, tracks_y, &axis);
        axis.draw(&mut canvas, axis_y, tracks.legend());
        canvas.image
    }

    /// Writes the picture as PNG, whatever `path` is called.
    ///
    /// # Errors
    /// Those of [`AtomicFile`]: there is no such folder, it cannot be written to, the disk is full, ...
    pub fn save(&self, path: &Path) -> Result<()> {
        write_png(&self.draw(), path)
    }
}

fn write_png(image: &RgbImage, path: &Path) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    image.write_to(&mut file, ImageFormat::Png).map_err(|error| match error {
        ImageError::IoError(error) => Error::io(&error, path),
        error => Error::new(ErrorKind::Internal, error.to_string()).with_path(path),
    })?;
    file.commit()
}

impl Top<'_> {
    /// Pixels that it needs at the left of the axis.
    fn gutter(&self) -> u32 {
        match self {
            Self::Strip(_) => 0,
            Self::Spectrogram(spectrogram) => {
                spectrogram.tick_letters() as u32 * SMALL.width(" ") + TICK_SPACE
            }
        }
    }

    /// Pixels from top to bottom on an axis of that `width`: room for a line of text at least.
    fn height(&self, width: u32) -> u32 {
        match self.drawn_height(width) {
            0 => SMALL.height(),
            height => height,
        }
    }

    fn drawn_height(&self, width: u32) -> u32 {
        match self {
            Self::Strip(strip) => strip.height(width),
            Self::Spectrogram(spectrogram) => spectrogram.height(),
        }
    }

    fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        if self.drawn_height(axis.width) == 0 {
            let nothing = match self {
                Self::Strip(_) => "no pictures",
                Self::Spectrogram(_) => "no sound",
            };
            return canvas.text_around(axis.left + axis.width / 2, y, nothing, SMALL, FAINT_INK);
        }
        match self {
            Self::Strip(strip) => strip.draw(canvas, y, axis),
            Self::Spectrogram(spectrogram) => spectrogram.draw(canvas, y, axis),
        }
    }
}

#[cfg(test)]
mod tests;
