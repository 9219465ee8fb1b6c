//! A frame at the size that the features are taken from.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::Color;
use crate::signal::VideoFrame;
use crate::{Error, ErrorKind, Result};

/// A frame, resized.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    pub height: usize,
    /// Red, green and blue of each pixel, row by row: `[height, width, 3]`.
    pub pixels: Vec<u8>,
    /// What a pretrained network sees in the frame; empty without one.
    pub embedding: Vec<f32>,
}

impl Picture {
    /// Stretches `frame` to a size.
    pub(super) fn of(frame: &VideoFrame, width: usize, height: usize) -> Result<Self> {
        let pixels = resized(frame, None, width, height)?;
        Ok(Self { width, height, pixels, embedding: Vec::new() })
    }

    /// `[C, height, width]`
    pub(super) fn planes(&self, color: Color) -> Vec<u8> {
        match color {
            Color::Gray => self.gray(),
            Color::Rgb => (0..3).flat_map(|c| self.pixels.iter().skip(c).step_by(3)).copied().collect(),
        }
    }

    /// Brightness of each pixel by ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`, rounded as PIL's `convert("L")` does:
    /// `(19595 R + 38470 G + 7471 B + 32768) >> 16`. (OpenCV, with fewer bits, may differ by one level.) Shape
    /// `[height, width]`.
    pub(super) fn gray(&self) -> Vec<u8> {
        let (pixels, _) = self.pixels.as_chunks::<3>();
        let luma = |pixel: &[u8; 3]| {
            let [r, g, b] = pixel.map(u32::from);
            ((19_595 * r + 38_470 * g + 7_471 * b + 32_768) >> 16) as u8
        };
        pixels.iter().map(luma).collect()
    }
}

/// The RGB pixels of `frame`, or of the part that starts at `left, top` and has `width, height`, stretched to a size, 1 or
/// more pixels each way: a triangle filter as wide as what becomes one pixel, as PIL's `Image.resize(size, BILINEAR)`,
/// within one level of it (PIL goes along the rows first, this along the columns, and both round in between). Integer
/// arithmetic, so the same on any processor.
pub(super) fn resized(
    frame: &VideoFrame,
    part: Option<[f64; 4]>,
    width: usize,
    height: usize,
) -> Result<Vec<u8>> {
    check(frame)?;
    resize(&mut Resizer::new(), frame, part, width, height)
}

/// # Errors
/// [`ErrorKind::Damaged`] without pixels, [`ErrorKind::Internal`] where their number is not that of the frame's size.
fn check(frame: &VideoFrame) -> Result<()> {
    let bytes = 3 * u128::from(frame.width) * u128::from(frame.height);
    if bytes == 0 {
        return Err(Error::new(ErrorKind::Damaged, "a frame has no pixels"));
    }
    if frame.pixels.len() as u128 != bytes {
        return Err(defect(format!(
            "a frame of {} x {} pixels holds {} bytes",
            frame.width,
            frame.height,
            frame.pixels.len()
        )));
    }
    Ok(())
}

fn resize(
    resizer: &mut Resizer,
    frame: &VideoFrame,
    part: Option<[f64; 4]>,
    width: usize,
    height: usize,
) -> Result<Vec<u8>> {
    let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    if let Some([left, top, width, height]) = part {
        options = options.crop(left, top, width, height);
    }
    let mut target = Image::new(width as u32, height as u32, PixelType::U8x3);
    ImageRef::new(frame.width, frame.height, &frame.pixels, PixelType::U8x3)
        .map_err(|error| error.to_string())
        .and_then(|source| resizer.resize(&source, &mut target, &options).map_err(|error| error.to_string()))
        .map_err(defect)?;
    Ok(target.into_vec())
}

fn defect(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("a frame cannot be resized: {what}; please report this"))
}

#[cfg(test)]
mod tests {
    use fast_image_resize::CpuExtensions;

    use super::*;

    fn noise(width: u32, height: u32) -> VideoFrame {
        let mut state = width * 31 + height;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let pixels = (0..3 * width * height).map(|_| next()).collect();
        VideoFrame { width, height, pixels, ticks: 0 }
    }

    const SIZES: [(u32, u32); 9] =
        [(1, 1), (1, 9), (7, 1), (2, 3), (5, 5), (33, 17), (64, 64), (101, 67), (640, 361)];

    #[test]
    fn vector_instructions_give_the_same_bits_as_plain_arithmetic() {
        let mut plain = Resizer::new();
        // Safe: the plain code asks nothing of the processor.
        unsafe { plain.set_cpu_extensions(CpuExtensions::None) };
        for (width, height) in SIZES {
            let frame = noise(width, height);
            for (w, h) in [(4, 4), (5, 7), (16, 33), (32, 32), (127, 50), (224, 224)] {
                let fast = resize(&mut Resizer::new(), &frame, None, w, h).unwrap();
                assert!(
                    fast == resize(&mut plain, &frame, None, w, h).unwrap(),
                    "{width} x {height} to {w} x {h}"
                );
            }
        }
    }

    #[test]
    fn one_color_stays_that_color_at_any_size() {
        for (width, height) in SIZES.into_iter().chain([(4000, 3), (3, 4000)]) {
            for level in [0, 1, 127, 255] {
                let pixels = vec![level; 3 * (width * height) as usize];
                let picture = Picture::of(&VideoFrame { width, height, pixels, ticks: 0 }, 5, 4).unwrap();
                assert!(picture.pixels.iter().all(|&x| x == level), "{width} x {height}, {level}");
            }
        }
    }

    #[test]
    fn a_frame_of_the_right_size_stays_as_it_is() {
        let frame = noise(33, 17);
        assert_eq!(Picture::of(&frame, 33, 17).unwrap().pixels, frame.pixels);
    }

    #[test]
    fn a_frame_that_is_not_its_size_is_an_error() {
        let mut frame = noise(5, 5);
        frame.pixels.pop();
        assert_eq!(Picture::of(&frame, 4, 4).unwrap_err().kind, ErrorKind::Internal);
        let none = VideoFrame { width: 0, height: 5, pixels: vec![], ticks: 0 };
        assert_eq!(Picture::of(&none, 4, 4).unwrap_err().kind, ErrorKind::Damaged);
        let huge = VideoFrame { width: u32::MAX, height: u32::MAX, pixels: vec![], ticks: 0 };
        assert!(Picture::of(&huge, 4, 4).is_err());
    }

    #[test]
    fn gray_is_pils() {
        let pixels = vec![255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 12, 34, 56, 200, 100, 1];
        let picture = Picture { width: 6, height: 1, pixels, embedding: vec![] };
        // PIL.Image.fromarray(pixels).convert("L")
        assert_eq!(picture.gray(), [255, 76, 150, 29, 30, 119]);
        assert_eq!(picture.planes(Color::Rgb)[..6], [255, 255, 0, 0, 12, 200]);
    }
}
