//! Colours of labels, of loudness, and of what stands around them.

use image::Rgb;

pub(super) const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
pub(super) const INK: Rgb<u8> = Rgb([30, 30, 30]);
/// What is said beside the matter.
pub(super) const FAINT_INK: Rgb<u8> = Rgb([110, 110, 110]);
/// Frames and the ticks of axes.
pub(super) const LINE: Rgb<u8> = Rgb([130, 130, 130]);
pub(super) const GRID: Rgb<u8> = Rgb([222, 222, 222]);
/// Behind the bars of a track.
pub(super) const TRACK: Rgb<u8> = Rgb([246, 246, 246]);

/// Paul Tol's scheme `muted` with a darker grey, the vivid ones first: people who see few colours tell them apart.
pub(super) const LABELS: [Rgb<u8>; 10] = [
    Rgb([0x33, 0x22, 0x88]), // indigo
    Rgb([0xcc, 0x66, 0x77]), // rose
    Rgb([0x11, 0x77, 0x33]), // green
    Rgb([0x88, 0xcc, 0xee]), // cyan
    Rgb([0x88, 0x22, 0x55]), // wine
    Rgb([0xdd, 0xcc, 0x77]), // sand
    Rgb([0x44, 0xaa, 0x99]), // teal
    Rgb([0xaa, 0x44, 0x99]), // purple
    Rgb([0x99, 0x99, 0x33]), // olive
    Rgb([0x77, 0x77, 0x77]), // grey
];

/// Matplotlib's `magma` at every 16th of its length; equal steps look equal.
const MAGMA: [[u8; 3]; 17] = [
    [0, 0, 4],
    [10, 8, 34],
    [29, 17, 71],
    [54, 16, 107],
    [81, 18, 124],
    [106, 28, 129],
    [131, 38, 129],
    [156, 46, 127],
    [183, 55, 121],
    [208, 65, 111],
    [231, 82, 99],
    [245, 107, 92],
    [252, 137, 97],
    [254, 167, 114],
    [254, 196, 136],
    [253, 226, 163],
    [252, 253, 191],
];

/// The colour of a strength from 0 to 1; what lies beyond gets that of the end, what is no number that of 0.
pub(crate) fn magma(strength: f32) -> Rgb<u8> {
    let last = MAGMA.len() - 1;
    let position = if strength.is_nan() { 0.0 } else { strength.clamp(0.0, 1.0) * last as f32 };
    let below = (position as usize).min(last - 1);
    blend(Rgb(MAGMA[below]), Rgb(MAGMA[below + 1]), position - below as f32)
}

/// `under` covered by `over`, from 0 (not at all) to 1.
pub(super) fn blend(under: Rgb<u8>, over: Rgb<u8>, opacity: f32) -> Rgb<u8> {
    let mixed = |i: usize| f32::from(under.0[i]) * (1.0 - opacity) + f32::from(over.0[i]) * opacity;
    Rgb([0, 1, 2].map(|i| mixed(i).round() as u8))
}

/// A colour darkened until letters in it can be read on [`PAPER`]: WCAG's contrast of 4.5 for text.
pub(super) fn readable(colour: Rgb<u8>) -> Rgb<u8> {
    let mut darker = colour;
    while contrast_with_paper(darker) < 4.5 {
        darker = blend(darker, Rgb([0, 0, 0]), 0.05);
    }
    darker
}

fn contrast_with_paper(colour: Rgb<u8>) -> f64 {
    let linear = |value: u8| match f64::from(value) / 255.0 {
        v if v <= 0.04045 => v / 12.92,
        v => ((v + 0.055) / 1.055).powf(2.4),
    };
    let [r, g, b] = colour.0.map(linear);
    1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colour_map_rises_in_brightness_and_takes_any_number() {
        let brightness = |strength: f32| magma(strength).0.iter().map(|&v| u32::from(v)).sum::<u32>();
        assert!((1..=100).all(|i| brightness(i as f32 / 100.0) >= brightness((i - 1) as f32 / 100.0)));
        assert_eq!((magma(-1.0), magma(f32::NAN)), (Rgb(MAGMA[0]), Rgb(MAGMA[0])));
        assert_eq!((magma(0.5), magma(f32::INFINITY)), (Rgb(MAGMA[8]), Rgb(MAGMA[16])));
    }

    #[test]
    fn every_label_can_be_read_in_its_colour() {
        assert!(LABELS.iter().all(|&colour| contrast_with_paper(readable(colour)) >= 4.5));
        assert_eq!(readable(LABELS[0]), LABELS[0]);
        assert!((contrast_with_paper(Rgb([0, 0, 0])) - 21.0).abs() < 1e-9);
    }
}
