//! A picture of how training went: plots one above the other, epochs, or whatever is counted, from left to right.

use std::io::Write;
use std::path::Path;
use std::sync::Once;

use image::{Rgb, RgbImage};
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle, register_font};

use super::colours::{FAINT_INK, GRID, INK, LABELS, LINE, PAPER};
use super::{MARGIN, WIDTH, write_png};
use crate::error::one_line;
use crate::files::AtomicFile;
use crate::{Error, ErrorKind, Result};

/// Letters for Latin, Greek and Cyrillic; its licence is beside it.
const FONT: &[u8] = include_bytes!("font/DejaVuSans.ttf");
/// Pixels of one plot from top to bottom, with its numbers.
const HEIGHT: u32 = 360;
/// Pixels above the plots, for the title.
const HEAD: u32 = 60;
/// Pixels at the left and below a plot, for its numbers.
const GUTTERS: [u32; 2] = [80, 50];
/// Sizes of letters in pixels.
const SIZES: [u32; 2] = [26, 18];
/// Most letters of the title.
const TITLE_LETTERS: usize = 100;
/// What lies higher is drawn at this height: no axis reaches further.
const HIGHEST: f64 = 1e9;
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
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where it cannot be drawn.
    pub fn draw(&self) -> Result<RgbImage> {
        let (width, height) = self.size();
        let mut pixels = vec![0; (width * height * 3) as usize];
        self.draw_on(BitMapBackend::with_buffer(&mut pixels, (width, height)))?;
        RgbImage::from_raw(width, height, pixels)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a picture has other bytes than its size says"))
    }

    /// The picture as SVG.
    ///
    /// # Errors
    /// As [`Curves::draw`].
    pub fn svg(&self) -> Result<String> {
        let mut text = String::new();
        self.draw_on(SVGBackend::with_string(&mut text, self.size()))?;
        Ok(text)
    }

    /// Writes the picture: SVG where `path` ends so, otherwise PNG.
    ///
    /// # Errors
    /// Those of [`AtomicFile`]; as [`Curves::draw`].
    pub fn save(&self, path: &Path) -> Result<()> {
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("svg")) {
            return write_png(&self.draw()?, path);
        }
        let text = self.svg()?;
        let mut file = AtomicFile::create(path)?;
        file.write_all(text.as_bytes()).map_err(|error| Error::io(&error, path))?;
        file.commit()
    }

    fn size(&self) -> (u32, u32) {
        (WIDTH, HEAD + self.plots.len() as u32 * HEIGHT + MARGIN)
    }

    fn draw_on<B: DrawingBackend>(&self, backend: B) -> Result<()> {
        static LETTERS: Once = Once::new();
        // The one font that there is, so that no machine draws with another.
        LETTERS.call_once(|| {
            let _ = register_font("sans-serif", FontStyle::Normal, FONT);
        });
        let failed = |error: DrawingAreaErrorKind<B::ErrorType>| {
            Error::new(ErrorKind::Internal, format!("the picture cannot be drawn: {error}"))
        };
        let area = backend.into_drawing_area();
        area.fill(&colour(PAPER)).map_err(failed)?;
        let (head, plots) = area.split_vertically(HEAD);
        let title = super::canvas::shortened(&one_line(self.title), TITLE_LETTERS);
        let place = (MARGIN as i32, ((HEAD - SIZES[0]) / 2) as i32);
        head.draw_text(&title, &letters(SIZES[0], INK), place).map_err(failed)?;
        for (area, plot) in plots.split_evenly((self.plots.len().max(1), 1)).iter().zip(self.plots) {
            plot.draw(area).map_err(failed)?;
        }
        area.present().map_err(failed)
    }
}

impl Plot {
    /// With the caption above and what is counted below.
    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let mut chart = ChartBuilder::on(area)
            .margin_right(MARGIN)
            .margin_left(MARGIN)
            .x_label_area_size(GUTTERS[1])
            .y_label_area_size(GUTTERS[0])
            .caption(self.caption, letters(SIZES[1], FAINT_INK))
            .build_cartesian_2d(1..self.last(), 0.0..self.top())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(colour(PAPER))
            .bold_line_style(colour(GRID))
            .axis_style(colour(LINE))
            .x_labels(14)
            .y_labels(6)
            .x_desc(self.axis)
            .x_label_style(letters(SIZES[1], INK))
            .y_label_style(letters(SIZES[1], INK))
            .axis_desc_style(letters(SIZES[1], FAINT_INK))
            .draw()?;
        for (line, ink) in self.lines.iter().zip(LABELS) {
            let points = line.points();
            if points.is_empty() {
                continue;
            }
            let pen = colour(ink).stroke_width(PEN);
            if let &[point] = points.as_slice() {
                chart.draw_series([Circle::new(point, PEN, colour(ink).filled())])?;
            }
            chart
                .draw_series(LineSeries::new(points, pen))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], pen));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(colour(PAPER))
            .border_style(colour(GRID))
            .label_font(letters(SIZES[1], INK))
            .draw()
    }

    /// What the axis of values reaches.
    fn top(&self) -> f64 {
        let values = self.lines.iter().flat_map(Line::points).map(|(_, value)| value);
        let highest = values.fold(self.highest, f64::max);
        if highest > 0.0 { highest } else { 1.0 }
    }

    /// The last epoch, or whatever is counted; an axis has some length.
    fn last(&self) -> u32 {
        let longest = self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
        longest.clamp(2, u32::MAX as usize) as u32
    }
}

impl Line {
    /// What was measured, each with its number from 1.
    fn points(&self) -> Vec<(u32, f64)> {
        let known = |(i, value): (usize, &Option<f64>)| {
            value.filter(|value| value.is_finite()).map(|value| ((i + 1) as u32, value.clamp(0.0, HIGHEST)))
        };
        self.values.iter().enumerate().filter_map(known).collect()
    }
}

fn letters(size: u32, ink: Rgb<u8>) -> TextStyle<'static> {
    TextStyle { color: colour(ink).to_backend_color(), ..("sans-serif", size).into_font().into() }
}

fn colour(Rgb([red, green, blue]): Rgb<u8>) -> RGBColor {
    RGBColor(red, green, blue)
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
        Curves { title: &"long ".repeat(100), plots }.draw().unwrap()
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

    #[test]
    fn an_svg_shows_the_same_and_its_text_is_text() {
        let plots = plots(3, true);
        let svg = Curves { title: "<script>a & b", plots: &plots }.svg().unwrap();
        assert!(
            svg.starts_with("<svg") && svg.contains("&lt;script&gt;a &amp; b") && !svg.contains("<script")
        );
        assert!(svg.matches("<polyline").count() >= 2);
    }
}
