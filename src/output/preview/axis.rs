//! The axis of time: which second stands where, and its numbers.

use super::canvas::{Canvas, Rect, SMALL, shortened};
use super::colours::{FAINT_INK, INK, LINE};

/// Pixels of the axis with its numbers and what they are.
pub(super) const HEIGHT: u32 = 48;

const TICK: u32 = 6;
/// Fewest pixels from one number to the next.
const APART: f64 = 90.0;
/// Steps of whole seconds that look round on a clock; beyond, hours in steps of 1-2-5.
const CLOCK_STEPS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0];
/// From here on times are read as on a clock, in seconds.
const CLOCK_FROM: f64 = 120.0;

/// Maps seconds to pixels.
#[derive(Clone, Copy)]
pub(in crate::output) struct TimeAxis {
    /// Seconds at the left edge.
    pub start: f64,
    /// Seconds from edge to edge; 0 where there is no time to show.
    pub span: f64,
    /// Of the left edge, in pixels.
    pub left: u32,
    /// In pixels.
    pub width: u32,
    /// Seconds from one number to the next.
    step: f64,
    /// Whether times are written as on a clock.
    clock: bool,
}

impl TimeAxis {
    /// Times that are no numbers, or that end before they start, leave an axis of one instant.
    pub fn new(start: f64, end: f64, left: u32, width: u32) -> Self {
        let start = if start.is_finite() { start } else { 0.0 };
        let span = end - start;
        let span = if span.is_finite() && span > 0.0 { span } else { 0.0 };
        let least = span * APART / f64::from(width.max(1));
        let clock = start + span >= CLOCK_FROM && least >= 0.5;
        let step = if clock { clock_step(least) } else { round_step(least) };
        Self { start, span, left, width, step, clock }
    }

    pub fn end(&self) -> f64 {
        self.start + self.span
    }

    /// Pixels right of the left edge, from 0 to the width.
    pub fn offset(&self, seconds: f64) -> f64 {
        if self.span == 0.0 {
            return 0.0;
        }
        ((seconds - self.start) / self.span).clamp(0.0, 1.0) * f64::from(self.width)
    }

    /// The column of pixels at `seconds`.
    pub fn x(&self, seconds: f64) -> u32 {
        self.left + (self.offset(seconds).round() as u32).min(self.width.saturating_sub(1))
    }

    /// Where the round times stand, in pixels, and how they are written.
    pub fn ticks(&self) -> Vec<(u32, String)> {
        if self.span == 0.0 {
            return vec![(self.left, self.written(self.start))];
        }
        let first = (self.start / self.step).ceil();
        let seconds = |i: u32| (first + f64::from(i)) * self.step;
        // A hair beyond the end is the end; their number is bounded, whatever rounding does to huge times.
        let within = |seconds: &f64| *seconds <= self.end() + self.step * 1e-6;
        let most = (f64::from(self.width) / APART) as u32 + 1;
        let times = (0..most).map(seconds).take_while(within);
        times.map(|time| (self.x(time), self.written(time))).collect()
    }

    fn written(&self, seconds: f64) -> String {
        if !self.clock {
            let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
            // Minus nothing is nothing.
            return shortened(&format!("{:.decimals$}", seconds + 0.0), 12);
        }
        let (sign, whole) = (if seconds < 0.0 { "-" } else { "" }, seconds.abs().round() as u64);
        let (minutes, seconds) = (whole / 60, whole % 60);
        match self.end() < 3600.0 {
            true => format!("{sign}{minutes}:{seconds:02}"),
            false => shortened(&format!("{sign}{}:{:02}:{seconds:02}", minutes / 60, minutes % 60), 12),
        }
    }

    /// What the numbers are.
    pub fn unit(&self) -> &'static str {
        match self.clock {
            true if self.end() < 3600.0 => "min:s",
            true => "h:min:s",
            false => "s",
        }
    }

    /// Draws the axis, its upper edge at `y`; `legend` stands at the right below its numbers.
    pub(super) fn draw(&self, canvas: &mut Canvas, y: u32, legend: &str) {
        canvas.fill(Rect { x: self.left, y, width: self.width, height: 1 }, LINE, 1.0);
        for (x, text) in self.ticks() {
            canvas.fill(Rect { x, y, width: 1, height: TICK }, LINE, 1.0);
            canvas.text_around(x, y + TICK + 2, &text, SMALL, INK);
        }
        let y = y + HEIGHT - SMALL.height();
        canvas.text_around(
            self.left + self.width / 2,
            y,
            &format!("time ({})", self.unit()),
            SMALL,
            FAINT_INK,
        );
        canvas.text_before(self.left + self.width, y, legend, SMALL, FAINT_INK);
    }
}

/// The least step on a clock that is not below `least`.
fn clock_step(least: f64) -> f64 {
    let fits = |step: &f64| *step >= least;
    CLOCK_STEPS.into_iter().find(fits).unwrap_or_else(|| 3600.0 * round_step(least / 3600.0).max(1.0))
}

/// The least of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is not below `least`; 1 where that is 0.
pub(super) fn round_step(least: f64) -> f64 {
    if least == 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(start: f64, end: f64) -> Vec<String> {
        TimeAxis::new(start, end, 100, 1000).ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn numbers_are_round() {
        assert_eq!(
            written(0.0, 1.0),
            ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
        );
        assert_eq!(written(0.3, 4.2), ["0.5", "1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0"]);
        assert_eq!(written(0.0, 60.0).last().unwrap(), "60");
        assert_eq!(written(0.0, 150.0)[..3], ["0:00", "0:20", "0:40"]);
        assert_eq!(written(0.0, 7200.0)[..3], ["0:00:00", "0:20:00", "0:40:00"]);
        assert_eq!(written(0.0, 86_400.0)[..2], ["0:00:00", "5:00:00"]);
        assert_eq!(written(3600.0, 3600.1)[..2], ["3600.00", "3600.01"]);
    }

    #[test]
    fn numbers_stand_at_their_times() {
        let axis = TimeAxis::new(10.0, 20.0, 100, 1000);
        assert_eq!(axis.ticks()[3], (400, "13".to_string()));
        assert_eq!((axis.x(-5.0), axis.x(15.0), axis.x(99.0)), (100, 600, 1099));
    }

    #[test]
    fn an_axis_takes_any_times() {
        let odd = [0.0, -0.0, -1.0, 1e-300, 1e-9, 1e17, 1e300, f64::MAX, f64::NAN, f64::INFINITY, f64::MIN];
        for (start, end) in odd.iter().flat_map(|&start| odd.map(|end| (start, end))) {
            let axis = TimeAxis::new(start, end, 100, 1000);
            let mut canvas = Canvas::new(1200, 60);
            axis.draw(&mut canvas, 5, "legend");
            assert!(axis.ticks().len() <= 12, "{start} {end}");
        }
        assert_eq!(written(f64::NAN, f64::NAN), ["0"]);
        assert_eq!(written(2.0, 2.0), ["2"]);
    }
}
