//! Pictures along the axis of time.

use image::imageops::{FilterType, overlay, resize, thumbnail};
use image::{ImageBuffer, Rgb, RgbImage};

use super::axis::TimeAxis;
use super::canvas::{Canvas, Rect};
use super::colours::LINE;
use crate::signal::VideoFrame;

/// Most pictures that are kept; even, as every second one goes when they are so many. What is shown for a time is then less
/// than a 64th of the video older than it.
const MOST_KEPT: usize = 128;
/// Most pixels of one that is kept.
const KEPT_WIDTH: u32 = 320;
const KEPT_HEIGHT: u32 = 160;

/// Most pictures that are drawn.
const MOST_DRAWN: u32 = 12;
/// They are as many as leave each this height, in pixels.
const LEAST_HEIGHT: f64 = 88.0;
const MOST_HEIGHT: f64 = 160.0;
/// Pixels from one to the next.
const GAP: u32 = 6;
/// Below each a tick shows the time it stands for.
const TICK: u32 = 7;

/// Collects pictures evenly along a video of unknown length, in bounded memory: at most 128, reduced to at most 320 x 160
/// pixels. When they are so many every second one goes, and from then on half as many frames are taken.
#[derive(Debug, Clone, Default)]
pub struct Strip {
    kept: Vec<Thumbnail>,
    frames: u64,
    /// One frame in `2^halvings` is kept.
    halvings: u32,
    /// Whether each pixel is drawn as a square.
    pixelated: bool,
}

#[derive(Debug, Clone)]
struct Thumbnail {
    seconds: f64,
    image: RgbImage,
}

impl Strip {
    pub fn new() -> Self {
        Self::default()
    }

    /// For small pictures of which each pixel is to be seen.
    pub fn pixelated() -> Self {
        Self { pixelated: true, ..Self::default() }
    }

    /// The next frame of the video, shown from `seconds` on. One without pixels or time is passed over.
    pub fn push(&mut self, seconds: f64, frame: &VideoFrame) {
        let pixels = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(frame.width, frame.height, &frame.pixels);
        let Some(pixels) = pixels.filter(|pixels| pixels.width().min(pixels.height()) > 0) else { return };
        if !seconds.is_finite() {
            return;
        }
        let number = self.frames;
        self.frames += 1;
        if !number.is_multiple_of(1 << self.halvings) {
            return;
        }
        if self.kept.len() == MOST_KEPT {
            self.drop_every_second();
        }
        self.kept.push(Thumbnail { seconds, image: reduced(&pixels) });
    }

    fn drop_every_second(&mut self) {
        let mut keep = [true, false].into_iter().cycle();
        self.kept.retain(|_| keep.next() == Some(true));
        self.halvings += 1;
    }

    /// Pixels from top to bottom when drawn `width` pixels wide; 0 where there is no picture.
    pub(super) fn height(&self, width: u32) -> u32 {
        self.cells(width).map_or(0, |cells| cells.height + TICK)
    }

    /// Draws the pictures, their upper edge at `y`: the one shown at the middle of each cell.
    pub(super) fn draw(&self, canvas: &mut Canvas, y: u32, axis: &TimeAxis) {
        let Some(cells) = self.cells(axis.width) else { return };
        for cell in 0..cells.count {
            let middle = (f64::from(cell) + 0.5) / f64::from(cells.count);
            let x = axis.left + (middle * f64::from(axis.width)).round() as u32;
            let shown = self.shown_at(axis.start + middle * axis.span);
            let filter = if self.pixelated { FilterType::Nearest } else { FilterType::CatmullRom };
            let image = fitted(shown, cells.width, cells.height, filter);
            let place = Rect {
                x: x.saturating_sub(image.width() / 2),
                y: y + cells.height - image.height(),
                width: image.width(),
                height: image.height(),
            };
            overlay(&mut canvas.image, &image, i64::from(place.x), i64::from(place.y));
            canvas.outline(place, LINE);
            canvas.fill(Rect { x, y: y + cells.height, width: 1, height: TICK }, LINE, 1.0);
        }
    }

    /// `count` pictures side by side, each the one shown at the middle of its part of the time from `start` to `end`, as high
    /// as `height` pixels at most. `None` where there is no picture, or no place for one.
    pub fn sheet(&self, start: f64, end: f64, count: u32, height: u32) -> Option<RgbImage> {
        let (width, height) = within(self.kept.first()?.image.dimensions(), 2 * height, height);
        if count == 0 {
            return None;
        }
        let mut sheet = RgbImage::new(count * width, height);
        for cell in 0..count {
            let middle = start + (f64::from(cell) + 0.5) / f64::from(count) * (end - start);
            let image = fitted(self.shown_at(middle), width, height, FilterType::CatmullRom);
            let (x, y) = (cell * width + (width - image.width()) / 2, (height - image.height()) / 2);
            overlay(&mut sheet, &image, i64::from(x), i64::from(y));
        }
        Some(sheet)
    }

    /// The last picture that began by then; the first before there is one.
    fn shown_at(&self, seconds: f64) -> &RgbImage {
        let begun = self.kept.partition_point(|thumbnail| thumbnail.seconds <= seconds);
        &self.kept[begun.saturating_sub(1)].image
    }

    fn cells(&self, width: u32) -> Option<Cells> {
        let first = &self.kept.first()?.image;
        let aspect = f64::from(first.width()) / f64::from(first.height());
        let fit = f64::from(width) / (LEAST_HEIGHT * aspect + f64::from(GAP));
        let count = (fit as u32).clamp(1, MOST_DRAWN);
        let widest = f64::from((width / count).saturating_sub(GAP).max(1));
        let height = (widest / aspect).clamp(1.0, MOST_HEIGHT);
        let width = (height * aspect).clamp(1.0, widest);
        Some(Cells { count, width: width.round() as u32, height: height.round() as u32 })
    }
}

/// Room for pictures side by side.
struct Cells {
    count: u32,
    /// Of each, in pixels.
    width: u32,
    height: u32,
}

fn reduced(pixels: &ImageBuffer<Rgb<u8>, &[u8]>) -> RgbImage {
    let (width, height) = within(pixels.dimensions(), KEPT_WIDTH, KEPT_HEIGHT);
    // Small ones stay as they are.
    match width < pixels.width() || height < pixels.height() {
        true => thumbnail(pixels, width, height),
        false => RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| *pixels.get_pixel(x, y)),
    }
}

fn fitted(image: &RgbImage, width: u32, height: u32, filter: FilterType) -> RgbImage {
    let (width, height) = within(image.dimensions(), width, height);
    resize(image, width, height, filter)
}

/// The largest size of the same proportions within `most_width` x `most_height`; at least one pixel.
fn within((width, height): (u32, u32), most_width: u32, most_height: u32) -> (u32, u32) {
    let scale =
        f64::min(f64::from(most_width) / f64::from(width), f64::from(most_height) / f64::from(height));
    let scaled = |side: u32| (f64::from(side) * scale).round().max(1.0) as u32;
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32, grey: u8) -> VideoFrame {
        VideoFrame { width, height, pixels: vec![grey; (3 * width * height) as usize], ticks: 0 }
    }

    fn strip(frames: u32) -> Strip {
        let mut strip = Strip::new();
        for i in 0..frames {
            strip.push(f64::from(i), &frame(8, 8, (i * 255 / frames) as u8));
        }
        strip
    }

    #[test]
    fn pictures_stay_few_and_even() {
        for frames in [1, 127, 128, 129, 1000, 10_007] {
            let strip = strip(frames);
            let times: Vec<f64> = strip.kept.iter().map(|thumbnail| thumbnail.seconds).collect();
            assert!(times.len() <= MOST_KEPT && times.len() >= (frames as usize).min(MOST_KEPT / 2));
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == f64::from(1 << strip.halvings)));
            assert_eq!(times[0], 0.0);
        }
    }

    #[test]
    fn a_large_picture_is_kept_small_and_a_small_one_as_it_is() {
        let mut strip = Strip::new();
        strip.push(0.0, &frame(1920, 1080, 9));
        strip.push(1.0, &frame(20, 10, 9));
        let sizes: Vec<_> = strip.kept.iter().map(|thumbnail| thumbnail.image.dimensions()).collect();
        assert_eq!(sizes, [(284, 160), (20, 10)]);
    }

    #[test]
    fn each_picture_stands_at_its_time() {
        let axis = TimeAxis::new(0.0, 1000.0, 100, 1200);
        let mut canvas = Canvas::new(1400, 200);
        strip(1000).draw(&mut canvas, 0, &axis);
        for cell in 0..12 {
            let middle = 100 + 50 + 100 * cell;
            let expected = 255 * (middle - 100) / 1200;
            let grey = u32::from(canvas.image.get_pixel(middle, 40).0[0]);
            assert!(grey.abs_diff(expected) <= 4, "{cell}: {grey} {expected}");
        }
    }

    #[test]
    fn any_proportions_are_kept() {
        for (width, height) in [(8, 8), (1920, 1080), (1080, 1920), (4000, 1), (1, 4000), (1, 1)] {
            let mut strip = Strip::new();
            strip.push(0.0, &frame(width, height, 9));
            let cells = strip.cells(1200).unwrap();
            assert!((1..=12).contains(&cells.count) && cells.count * cells.width <= 1200);
            assert!((1..=160).contains(&cells.height));
            strip.draw(&mut Canvas::new(1400, 200), 0, &TimeAxis::new(0.0, 1.0, 100, 1200));
        }
        assert_eq!(within((1920, 1080), 320, 160), (284, 160));
        assert_eq!(within((10, 20), 100, 100), (50, 100));
    }

    #[test]
    fn odd_frames_are_passed_over() {
        let mut strip = Strip::new();
        strip.push(0.0, &frame(0, 0, 0));
        strip.push(0.0, &VideoFrame { width: 9, height: 9, pixels: vec![0; 5], ticks: 0 });
        strip.push(f64::NAN, &frame(8, 8, 0));
        assert_eq!((strip.frames, strip.height(1200)), (0, 0));
        strip.draw(&mut Canvas::new(10, 10), 0, &TimeAxis::new(0.0, 1.0, 0, 10));
    }
}
