//! Y'CbCr 4:2:0 to RGB, in the colours that the stream says it has, as ffmpeg's swscale does: each four pixels share their
//! colour difference.

/// What the numbers of a picture mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colour {
    pub matrix: Matrix,
    /// Numbers from 0 to 255, not from 16 to 235 (240).
    pub full_range: bool,
}

impl Default for Colour {
    /// What is taken where a stream says nothing.
    fn default() -> Self {
        Self { matrix: Matrix::Bt601, full_range: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Matrix {
    Bt709,
    Fcc,
    Bt601,
    Smpte240,
    Bt2020,
}

impl Matrix {
    /// By its number in ITU-T H.273 (table 4). Those that ffmpeg does not know either are BT.601.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Bt709,
            4 => Self::Fcc,
            7 => Self::Smpte240,
            9 | 10 => Self::Bt2020,
            _ => Self::Bt601,
        }
    }

    /// The shares of red and of blue in the brightness.
    fn shares(self) -> (f64, f64) {
        match self {
            Self::Bt709 => (0.2126, 0.0722),
            Self::Fcc => (0.30, 0.11),
            Self::Bt601 => (0.299, 0.114),
            Self::Smpte240 => (0.212, 0.087),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// The three planes of a picture, and the bytes from row to row of the first and of the other two, which have half as many
/// rows and columns.
pub(super) struct Planes<'a> {
    pub y: &'a [u8],
    pub u: &'a [u8],
    pub v: &'a [u8],
    pub strides: (usize, usize),
}

/// What is multiplied, in units of 2⁻¹³.
#[derive(Debug, Clone, Copy)]
struct Factors {
    /// Black.
    black: i16,
    luma: i16,
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
}

impl Factors {
    fn new(colour: Colour) -> Self {
        let (red, blue) = colour.matrix.shares();
        let green = 1.0 - red - blue;
        let (black, luma, difference) =
            if colour.full_range { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
        let fixed = |factor: f64| (factor * f64::from(1 << 13)).round() as i16;
        Self {
            black,
            luma: fixed(luma),
            red_v: fixed(2.0 * (1.0 - red) * difference),
            green_u: fixed(-2.0 * (1.0 - blue) * blue / green * difference),
            green_v: fixed(-2.0 * (1.0 - red) * red / green * difference),
            blue_u: fixed(2.0 * (1.0 - blue) * difference),
        }
    }
}

/// Pixels that are worked on at once.
const BLOCK: usize = 16;
/// Added before eighths are cut off: their half, and what the products lost when they were cut off.
const HALF: i16 = 5;
type Luma = [u8; BLOCK];
type Chroma = [u8; BLOCK / 2];
type Packed = [u8; 3 * BLOCK];

/// Fills `pixels`, `[height, width, 3]`.
pub(super) fn write(planes: &Planes, width: usize, colour: Colour, pixels: &mut [u8]) {
    let factors = Factors::new(colour);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        return unsafe { x86::write(planes, width, factors, pixels) };
    }
    rows(planes, width, pixels, |y, u, v| block(y, u, v, factors));
}

#[inline(always)]
fn rows(planes: &Planes, width: usize, pixels: &mut [u8], block: impl Fn(&Luma, &Chroma, &Chroma) -> Packed) {
    let (luma, chroma) = planes.strides;
    let half = width.div_ceil(2);
    // An odd last row has the colour of the one before it where the planes end with that.
    let last = (planes.u.len().min(planes.v.len()) / chroma.max(1)).saturating_sub(1);
    for (number, row) in pixels.chunks_exact_mut(3 * width.max(1)).enumerate() {
        let y = planes.y[number * luma..][..width].as_chunks();
        let at = (number / 2).min(last) * chroma;
        let u = planes.u[at..][..half].as_chunks();
        let v = planes.v[at..][..half].as_chunks();
        let (out, rest) = row.as_chunks_mut();
        for (((out, y), u), v) in out.iter_mut().zip(y.0).zip(u.0).zip(v.0) {
            *out = block(y, u, v);
        }
        // The last pixels; an odd one makes a whole block of the half ones behind the others.
        if !rest.is_empty() {
            let at = width / BLOCK;
            let u = u.0.get(at).copied().unwrap_or_else(|| filled(u.1));
            let v = v.0.get(at).copied().unwrap_or_else(|| filled(v.1));
            rest.copy_from_slice(&block(&filled(y.1), &u, &v)[..rest.len()]);
        }
    }
}

fn filled<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0))
}

/// Red, green and blue, pixel after pixel. A number times 2⁶, times a factor times 2¹³, without the lower 16 bits, is their
/// product in eighths.
fn block(y: &Luma, u: &Chroma, v: &Chroma, factors: Factors) -> Packed {
    let times = |number: i16, factor: i16| ((i32::from(number << 6) * i32::from(factor)) >> 16) as i16;
    let byte = |eighths: i16| ((eighths + HALF) >> 3).clamp(0, 255) as u8;
    let mut out = [0; 3 * BLOCK];
    for (i, pixel) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let light = times(i16::from(y[i]) - factors.black, factors.luma);
        let (u, v) = (i16::from(u[i / 2]) - 128, i16::from(v[i / 2]) - 128);
        let red = byte(light + times(v, factors.red_v));
        let green = byte(light + (times(u, factors.green_u) + times(v, factors.green_v)));
        let blue = byte(light + times(u, factors.blue_u));
        *pixel = [red, green, blue];
    }
    out
}

/// The same, to the bit, a block at once.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BLOCK, Chroma, Factors, HALF, Luma, Packed, Planes};

    #[target_feature(enable = "avx2")]
    pub(super) fn write(planes: &Planes, width: usize, factors: Factors, pixels: &mut [u8]) {
        super::rows(planes, width, pixels, |y, u, v| block(y, u, v, factors));
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn block(y: &Luma, u: &Chroma, v: &Chroma, factors: Factors) -> Packed {
        let Factors { black, luma, red_v, green_u, green_v, blue_u } = factors;
        let y = _mm256_sub_epi16(_mm256_cvtepu8_epi16(register(*y)), _mm256_set1_epi16(black));
        let light = _mm256_mulhi_epi16(_mm256_slli_epi16::<6>(y), _mm256_set1_epi16(luma));
        let light = _mm256_add_epi16(light, _mm256_set1_epi16(HALF));
        let (u, v) = (difference(u), difference(v));
        let times = |number, factor| _mm_mulhi_epi16(number, _mm_set1_epi16(factor));
        let green = _mm_add_epi16(times(u, green_u), times(v, green_v));
        let colour = |difference| {
            let twice = _mm256_set_m128i(
                _mm_unpackhi_epi16(difference, difference),
                _mm_unpacklo_epi16(difference, difference),
            );
            let sum = _mm256_srai_epi16::<3>(_mm256_add_epi16(light, twice));
            _mm_packus_epi16(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum))
        };
        packed([colour(times(v, red_v)), colour(green), colour(times(u, blue_u))])
    }

    /// From 128, times 2⁶.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn difference(bytes: &Chroma) -> __m128i {
        let numbers = _mm_cvtepu8_epi16(_mm_cvtsi64_si128(i64::from_le_bytes(*bytes)));
        _mm_slli_epi16::<6>(_mm_sub_epi16(numbers, _mm_set1_epi16(128)))
    }

    /// Each register of the result takes its bytes from all three colours.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn packed([red, green, blue]: [__m128i; 3]) -> Packed {
        const MASKS: [[Luma; 3]; 3] = masks();
        let mut out = [0; 3 * BLOCK];
        for (to, masks) in out.as_chunks_mut().0.iter_mut().zip(&MASKS) {
            let red = _mm_shuffle_epi8(red, register(masks[0]));
            let green = _mm_shuffle_epi8(green, register(masks[1]));
            let blue = _mm_shuffle_epi8(blue, register(masks[2]));
            *to = bytes(_mm_or_si128(_mm_or_si128(red, green), blue));
        }
        out
    }

    /// For each register of the result and each colour: which of the colour's bytes stands at each place; 128 for none.
    const fn masks() -> [[Luma; 3]; 3] {
        let mut masks = [[[128; BLOCK]; 3]; 3];
        let mut place = 0;
        while place < 3 * BLOCK {
            masks[place / BLOCK][place % 3][place % BLOCK] = (place / 3) as u8;
            place += 1;
        }
        masks
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn register(bytes: Luma) -> __m128i {
        let both = u128::from_le_bytes(bytes);
        _mm_set_epi64x((both >> 64) as i64, both as i64)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn bytes(register: __m128i) -> Luma {
        let (low, high) = (_mm_cvtsi128_si64(register), _mm_extract_epi64::<1>(register));
        (u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned())).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(y: &[u8], u: &[u8], v: &[u8], width: usize, colour: Colour) -> Vec<u8> {
        let mut pixels = vec![0; 3 * y.len()];
        let planes = Planes { y, u, v, strides: (width, width.div_ceil(2)) };
        write(&planes, width, colour, &mut pixels);
        pixels
    }

    #[test]
    fn colours_are_those_of_the_matrix_and_the_range() {
        let pixel = |y, u, v, matrix, full_range| {
            let rgb = converted(&[y], &[u], &[v], 1, Colour { matrix, full_range });
            [rgb[0], rgb[1], rgb[2]]
        };
        for (y, u, v, matrix, full_range, expected) in [
            (235, 128, 128, Matrix::Bt601, false, [255, 255, 255]),
            (16, 128, 128, Matrix::Bt709, false, [0, 0, 0]),
            (100, 128, 128, Matrix::Bt709, true, [100, 100, 100]),
            (81, 90, 240, Matrix::Bt601, false, [254, 0, 0]),
            (63, 102, 240, Matrix::Bt709, false, [255, 1, 0]),
            (54, 99, 255, Matrix::Bt709, true, [254, 0, 0]),
        ] {
            let found = pixel(y, u, v, matrix, full_range);
            let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1);
            assert!(near, "{y} {u} {v}: {found:?}, not {expected:?}");
        }
    }

    #[test]
    fn wide_registers_give_what_single_pixels_give() {
        let bytes =
            |count: usize, step: usize| (0..count).map(|i| ((i * step) >> 3) as u8).collect::<Vec<_>>();
        for width in [1_usize, 2, 15, 16, 18, 31, 33, 64] {
            let half = width.div_ceil(2);
            let (y, u, v) = (bytes(4 * width, 7919), bytes(2 * half, 10_473), bytes(2 * half, 12_997));
            for matrix in [Matrix::Bt601, Matrix::Bt2020] {
                for full_range in [false, true] {
                    let colour = Colour { matrix, full_range };
                    let factors = Factors::new(colour);
                    let mut single = vec![0; 12 * width];
                    let planes = Planes { y: &y, u: &u, v: &v, strides: (width, half) };
                    rows(&planes, width, &mut single, |y, u, v| block(y, u, v, factors));
                    assert_eq!(converted(&y, &u, &v, width, colour), single, "{width} {colour:?}");
                    let exact = |i: usize| {
                        let (x, line) = (i % width, i / width);
                        let at = line / 2 * half + x / 2;
                        (f64::from(y[i]), f64::from(u[at]) - 128.0, f64::from(v[at]) - 128.0)
                    };
                    let (red, _) = matrix.shares();
                    for i in 0..4 * width {
                        let (y, _, v) = exact(i);
                        let (y, v) = match full_range {
                            true => (y, v),
                            false => ((y - 16.0) * 255.0 / 219.0, v * 255.0 / 224.0),
                        };
                        let expected = (y + 2.0 * (1.0 - red) * v).clamp(0.0, 255.0);
                        assert!((expected - f64::from(single[3 * i])).abs() <= 1.0, "{width} {i}");
                    }
                }
            }
        }
    }
}
