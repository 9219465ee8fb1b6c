//! NumPy's file format, versions 1 to 3. Written out here because the crates for it allocate what a header claims before
//! anything is checked.

use half::f16;

use super::limits::MAX_VECTOR_HEADER;
use super::vectors::{Vectors, check_shape, cut_off, damaged, shape_of, unsupported};
use crate::{Error, ErrorKind, Result};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// How one number is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Element {
    kind: Kind,
    /// In bytes.
    width: usize,
    big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Float,
    Signed,
    /// Booleans too.
    Unsigned,
}

/// What stands before the numbers.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Vectors> {
    let (text, data) = split(bytes)?;
    let header = Header::parse(text).ok_or_else(|| {
        let shown: String = text.trim().chars().take(80).collect();
        damaged(format!("its header is not understood: {shown}"))
    })?;
    let element = Element::parse(&header.descr).ok_or_else(|| {
        unsupported(format!(
            "its numbers are of type {}; floats, integers and booleans are read",
            header.descr.chars().take(80).collect::<String>()
        ))
    })?;
    let (frames, dim) = shape_of(&header.shape)?;
    let values = check_shape(frames, dim)?;
    let Some(data) = data.get(..values * element.width) else {
        return Err(cut_off(frames, data.len() / (dim * element.width)));
    };
    let numbers = data.chunks_exact(element.width).map(|number| element.value(number));
    let data = match header.fortran_order && dim > 1 {
        false => numbers.collect(),
        true => {
            let mut rows = vec![0.0; values];
            // Column by column.
            numbers.enumerate().for_each(|(i, number)| rows[i % frames * dim + i / frames] = number);
            rows
        }
    };
    Ok(Vectors { container: "npy", data, frames, dim })
}

/// The header's text, and the numbers.
fn split(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let ends_early = || damaged("it ends inside its header".into());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("it is no NumPy file".into()))?;
    let (&[major, _minor], rest) = rest.split_first_chunk().ok_or_else(ends_early)?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk().map(|(length, rest)| (u32::from(u16::from_le_bytes(*length)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length), rest)),
        _ => return Err(unsupported(format!("it is of NumPy's format {major}; 1 to 3 are known"))),
    }
    .ok_or_else(ends_early)?;
    if u64::from(length) > MAX_VECTOR_HEADER {
        let message = format!("its header claims {length} bytes; at most {MAX_VECTOR_HEADER} are read");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let (text, data) = rest.split_at_checked(length as usize).ok_or_else(ends_early)?;
    let text = std::str::from_utf8(text).map_err(|_| damaged("its header is no text".into()))?;
    Ok((text, data))
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`
    fn parse(text: &str) -> Option<Self> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = eaten(text, "{")?;
        while eaten(rest, "}").is_none() {
            let (key, behind) = quoted(rest)?;
            let behind = eaten(behind, ":")?;
            rest = match key {
                "descr" => match quoted(behind) {
                    Some((value, behind)) => keep(&mut descr, value.to_string(), behind),
                    // A list: records.
                    None => {
                        let end = behind.find(']')? + 1;
                        keep(&mut descr, behind[..end].trim().to_string(), &behind[end..])
                    }
                },
                "fortran_order" => match (eaten(behind, "False"), eaten(behind, "True")) {
                    (Some(behind), _) => keep(&mut fortran_order, false, behind),
                    (_, Some(behind)) => keep(&mut fortran_order, true, behind),
                    _ => return None,
                },
                "shape" => {
                    let (value, behind) = numbers(behind)?;
                    keep(&mut shape, value, behind)
                }
                _ => return None,
            };
            rest = eaten(rest, ",").unwrap_or(rest);
        }
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

fn keep<'a, T>(slot: &mut Option<T>, value: T, rest: &'a str) -> &'a str {
    *slot = Some(value);
    rest
}

fn eaten<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    text.trim_start().strip_prefix(token)
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// `(3, 2)`, `(3,)` or `()`; Python 2 wrote `3L`.
fn numbers(text: &str) -> Option<(Vec<u64>, &str)> {
    let (inner, rest) = eaten(text, "(")?.split_once(')')?;
    let inner = inner.trim();
    let parts = inner.strip_suffix(',').unwrap_or(inner).split(',').filter(|_| !inner.is_empty());
    let numbers = parts.map(|part| part.trim().trim_end_matches('L').parse().ok());
    Some((numbers.collect::<Option<_>>()?, rest))
}

impl Element {
    fn parse(descr: &str) -> Option<Self> {
        let mut letters = descr.chars();
        let big_endian = match letters.next()? {
            '<' | '|' => false,
            '>' => true,
            // The machine's own, which NumPy does not write.
            '=' => cfg!(target_endian = "big"),
            _ => return None,
        };
        let kind = match letters.next()? {
            'f' => Kind::Float,
            'i' => Kind::Signed,
            'u' | 'b' => Kind::Unsigned,
            _ => return None,
        };
        let width = letters.as_str().parse().ok()?;
        let known = match kind {
            Kind::Float => matches!(width, 2 | 4 | 8),
            Kind::Signed | Kind::Unsigned => matches!(width, 1 | 2 | 4 | 8),
        };
        known.then_some(Self { kind, width, big_endian })
    }

    /// Of so many bytes as the element is wide.
    fn value(self, number: &[u8]) -> f32 {
        let mut wide = [0; 8];
        for (i, &byte) in number.iter().enumerate() {
            wide[if self.big_endian { self.width - 1 - i } else { i }] = byte;
        }
        let bits = u64::from_le_bytes(wide);
        let unused = 64 - 8 * self.width;
        match (self.kind, self.width) {
            (Kind::Float, 2) => f16::from_bits(bits as u16).to_f32(),
            (Kind::Float, 4) => f32::from_bits(bits as u32),
            (Kind::Float, _) => f64::from_bits(bits) as f32,
            (Kind::Signed, _) => (bits << unused).cast_signed().wrapping_shr(unused as u32) as f32,
            (Kind::Unsigned, _) => bits as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = [MAGIC, &[1, 0]].concat();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_of_every_width_and_order_of_bytes_are_read() {
        let little: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let big: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
        let half: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        for (descr, data) in [("'<f4'", little), ("'>f8'", big), ("'<f2'", half)] {
            let vectors = read(&file(descr, "False", "(1, 2)", &data)).unwrap();
            assert_eq!((vectors.data, vectors.frames, vectors.dim), (vec![1.5, -2.0], 1, 2), "{descr}");
        }
        for (descr, data, values) in [
            ("'|i1'", vec![1, 255], vec![1.0, -1.0]),
            ("'|u1'", vec![1, 255], vec![1.0, 255.0]),
            ("'|b1'", vec![1, 0], vec![1.0, 0.0]),
            ("'>i2'", vec![255, 254, 1, 0], vec![-2.0, 256.0]),
            ("'<i8'", (-3i64).to_le_bytes().to_vec(), vec![-3.0]),
            ("\"<u4\"", vec![0, 0, 0, 128], vec![2_147_483_648.0]),
        ] {
            let shape = format!("({}L,)", values.len());
            let vectors = read(&file(descr, "False", &shape, &data)).unwrap();
            assert_eq!((vectors.data, vectors.dim), (values, 1), "{descr}");
        }
    }

    #[test]
    fn columns_become_rows() {
        let data: Vec<u8> = (1..=6).collect();
        let vectors = read(&file("'|u1'", "True", "(3, 2)", &data)).unwrap();
        assert_eq!((vectors.data, vectors.frames), (vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], 3));
    }

    #[test]
    fn what_is_no_matrix_of_numbers_is_refused_in_words() {
        for (bytes, kind, part) in [
            (file("'<c8'", "False", "(1,)", &[0; 8]), ErrorKind::UnsupportedCodec, "type <c8"),
            (file("[('a', '<f4')]", "False", "(1,)", &[0; 4]), ErrorKind::UnsupportedCodec, "type [('a'"),
            (file("'<f4'", "False", "(1, 1, 1)", &[0; 4]), ErrorKind::UnsupportedCodec, "1 x 1 x 1"),
            (file("'<f4'", "False", "()", &[0; 4]), ErrorKind::UnsupportedCodec, "one number"),
            (file("'<f4'", "False", "(0, 7)", &[]), ErrorKind::Empty, "no frames"),
            (file("'<f4'", "False", "(3, 1)", &[0; 9]), ErrorKind::Damaged, "cut off: 2 of 3 frames"),
            (file("'<f4'", "False", "(18446744073709551615, 9)", &[]), ErrorKind::Limit, "frames"),
            (file("'<f4'", "Maybe", "(3, 1)", &[]), ErrorKind::Damaged, "not understood"),
            ([MAGIC, &[2, 0, 255, 255, 255, 255]].concat(), ErrorKind::Limit, "claims 4294967295 bytes"),
            ([MAGIC, &[9, 0]].concat(), ErrorKind::UnsupportedCodec, "format 9"),
            (MAGIC.to_vec(), ErrorKind::Damaged, "ends inside"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn damaged_bytes_give_an_error_or_numbers_and_no_panic() {
        let whole = file("'<f4'", "True", "(3, 2)", &[7; 24]);
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                bytes[random(whole.len())] = random(256) as u8;
            }
            bytes.truncate(whole.len() - if round % 3 == 0 { random(whole.len()) } else { 0 });
            if let Ok(vectors) = read(&bytes) {
                assert_eq!(vectors.data.len(), vectors.frames * vectors.dim);
            }
        }
    }
}
