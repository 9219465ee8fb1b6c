//! Rectangles and letters on a picture.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::colours::{PAPER, blend};

/// A way to write; every letter takes the same width.
#[derive(Clone, Copy)]
pub(super) struct Font {
    weight: FontWeight,
    size: RasterHeight,
}

/// The line above all.
pub(super) const TITLE: Font = Font { weight: FontWeight::Bold, size: RasterHeight::Size20 };
/// Names of labels.
pub(super) const NAME: Font = Font { weight: FontWeight::Regular, size: RasterHeight::Size20 };
/// Numbers at axes.
pub(super) const SMALL: Font = Font { weight: FontWeight::Regular, size: RasterHeight::Size16 };

impl Font {
    /// Pixels that `text` takes from left to right.
    pub fn width(self, text: &str) -> u32 {
        (text.chars().count() * get_raster_width(self.weight, self.size)) as u32
    }

    /// Pixels of a line, with the space above and below its letters.
    pub fn height(self) -> u32 {
        self.size.val() as u32
    }

    /// `text` cut to `width` pixels.
    pub fn fitted(self, text: &str, width: u32) -> String {
        shortened(text, (width / self.width(" ")) as usize)
    }
}

/// `text` in at most `most` letters: what is left out is left out in the middle, as names differ at both ends.
pub(super) fn shortened(text: &str, most: usize) -> String {
    const GAP: &str = "...";
    let letters = text.chars().count();
    if letters <= most {
        return text.to_string();
    }
    let kept = most.saturating_sub(GAP.len());
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(letters - tail).collect();
    format!("{start}{GAP}{end}")
}

/// Where something stands, in pixels from the left and the top.
#[derive(Clone, Copy)]
pub(super) struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A picture that is drawn on; what lies outside of it is not drawn.
pub(super) struct Canvas {
    pub image: RgbImage,
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Self {
        Self { image: RgbImage::from_pixel(width, height, PAPER) }
    }

    /// Covers `rect`; `opacity` from 0 to 1.
    pub fn fill(&mut self, rect: Rect, colour: Rgb<u8>, opacity: f32) {
        let right = (rect.x + rect.width).min(self.image.width());
        let bottom = (rect.y + rect.height).min(self.image.height());
        for y in rect.y..bottom {
            for x in rect.x..right {
                let pixel = self.image.get_pixel_mut(x, y);
                *pixel = blend(*pixel, colour, opacity);
            }
        }
    }

    /// The edge of `rect`, one pixel wide, inside of it.
    pub fn outline(&mut self, rect: Rect, colour: Rgb<u8>) {
        let Rect { x, y, width, height } = rect;
        let (right, bottom) = ((x + width).saturating_sub(1), (y + height).saturating_sub(1));
        for edge in [Rect { height: 1, ..rect }, Rect { y: bottom, height: 1, ..rect }] {
            self.fill(edge, colour, 1.0);
        }
        for edge in [Rect { x, width: 1, ..rect }, Rect { x: right, width: 1, ..rect }] {
            self.fill(edge, colour, 1.0);
        }
    }

    /// One line of text with its upper left corner at `x`, `y`.
    pub fn text(&mut self, x: u32, y: u32, text: &str, font: Font, colour: Rgb<u8>) {
        for (place, letter) in text.chars().enumerate() {
            let x = x + place as u32 * font.width(" ");
            self.letter(x, y, letter, font, colour);
        }
    }

    /// One line of text that ends at `right`.
    pub fn text_before(&mut self, right: u32, y: u32, text: &str, font: Font, colour: Rgb<u8>) {
        self.text(right.saturating_sub(font.width(text)), y, text, font, colour);
    }

    /// One line of text with its middle at `x`.
    pub fn text_around(&mut self, x: u32, y: u32, text: &str, font: Font, colour: Rgb<u8>) {
        self.text(x.saturating_sub(font.width(text) / 2), y, text, font, colour);
    }

    fn letter(&mut self, x: u32, y: u32, letter: char, font: Font, colour: Rgb<u8>) {
        // The font has Latin letters; control characters are none of them.
        let raster = |c| get_raster(c, font.weight, font.size);
        let Some(raster) = raster(letter).or_else(|| raster('?')) else { return };
        for (row, y) in raster.rows().zip(y..self.image.height()) {
            for (&opacity, x) in row.iter().zip(x..self.image.width()) {
                let pixel = self.image.get_pixel_mut(x, y);
                *pixel = blend(*pixel, colour, f32::from(opacity) / 255.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> RgbImage {
        let mut canvas = Canvas::new(100, 20);
        canvas.text(0, 0, text, NAME, Rgb([0, 0, 0]));
        canvas.image
    }

    #[test]
    fn letters_have_their_marks_and_what_the_font_lacks_is_a_question_mark() {
        assert_ne!(written("e"), written("é"));
        assert_ne!(written("u"), written("ü"));
        assert_ne!(written("ł"), written("?"));
        assert_eq!(written("a\u{1b}\n\u{202e}鳥b"), written("a????b"));
        assert_eq!(written(" "), RgbImage::from_pixel(100, 20, PAPER));
    }

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut canvas = Canvas::new(10, 10);
        canvas.text(5, 5, &"x".repeat(1000), TITLE, Rgb([0, 0, 0]));
        canvas.fill(Rect { x: 9, y: 9, width: 50, height: 50 }, Rgb([1, 2, 3]), 1.0);
        canvas.outline(Rect { x: 20, y: 20, width: 0, height: 0 }, Rgb([1, 2, 3]));
        assert_eq!(canvas.image.get_pixel(9, 9), &Rgb([1, 2, 3]));
        assert_eq!(canvas.image.get_pixel(0, 0), &PAPER);
    }

    #[test]
    fn a_long_text_keeps_both_ends() {
        assert_eq!(shortened("chaffinch", 9), "chaffinch");
        assert_eq!(shortened("chaffinch song", 10), "chaf...ong");
        assert_eq!(shortened("äöüäöü", 5), "ä...ü");
        assert_eq!(shortened("chaffinch", 0), "...");
        assert_eq!(SMALL.fitted("chaffinch", 4 * SMALL.width("x") + 1), "c...");
    }
}
