//! The parameter sets of H.264, as far as Percept must know what is in them.

use super::rgb::{Colour, Matrix};

/// Types of NAL units (ITU-T H.264, table 7-1).
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;

/// What stands before the packets of a stream: `avcC` of MP4 and Matroska (ISO/IEC 14496-15, 5.3.3.1).
#[derive(Debug, PartialEq)]
pub(super) struct Configuration {
    /// Bytes of the length before each NAL unit.
    pub length_size: usize,
    /// Sequence and picture parameter sets, without start codes; perhaps none, where the packets bring them (`avc3`).
    pub parameter_sets: Vec<Vec<u8>>,
}

impl Configuration {
    pub fn parse(avcc: &[u8]) -> Option<Self> {
        let (&[_version, _profile, _compatibility, _level, length, sequences], mut rest) =
            avcc.split_first_chunk()?;
        let mut parameter_sets = Vec::new();
        for _ in 0..sequences & 31 {
            parameter_sets.push(counted(&mut rest)?.to_vec());
        }
        if let Some((&pictures, behind)) = rest.split_first() {
            rest = behind;
            for _ in 0..pictures {
                parameter_sets.push(counted(&mut rest)?.to_vec());
            }
        }
        Some(Self { length_size: usize::from(length & 3) + 1, parameter_sets })
    }

    /// Takes the parameter sets that the first packet brings, where there are no others.
    pub fn complete(&mut self, packet: &[u8]) {
        if self.parameter_sets.is_empty() {
            let sets = units(packet, self.length_size).map_while(Result::ok);
            let sets = sets.filter(|unit| matches!(kind(unit), Some(SEQUENCE | PICTURE)));
            self.parameter_sets = sets.map(<[u8]>::to_vec).collect();
        }
    }
}

/// Bytes behind their number in two bytes.
fn counted<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (set, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *bytes = rest;
    Some(set)
}

fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|first| first & 31)
}

pub(super) fn is_sequence(unit: &[u8]) -> bool {
    kind(unit) == Some(SEQUENCE)
}

/// The NAL units of a packet; an error at the end where they do not fill it.
pub(super) fn units(mut packet: &[u8], length_size: usize) -> impl Iterator<Item = Result<&[u8], ()>> {
    std::iter::from_fn(move || {
        if packet.is_empty() {
            return None;
        }
        let split = packet.split_at_checked(length_size).and_then(|(length, rest)| {
            rest.split_at_checked(length.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)))
        });
        match split {
            Some((unit, rest)) => {
                packet = rest;
                Some(Ok(unit))
            }
            None => {
                packet = &[];
                Some(Err(()))
            }
        }
    })
}

/// What a sequence parameter set says (ITU-T H.264, 7.3.2.1.1).
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sequence {
    /// What OpenH264 does not decode.
    pub unsupported: Option<&'static str>,
    pub colour: Colour,
}

impl Sequence {
    /// `None` for another NAL unit, or a damaged one, which is left to the decoder.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        if !is_sequence(unit) {
            return None;
        }
        let mut bits = Bits { bytes: without_emulation(unit), position: 8 };
        let unsupported = skip_to_size(&mut bits)?;
        if unsupported.is_some() {
            return Some(Self { unsupported, ..Self::default() });
        }
        bits.golomb()?; // width
        bits.golomb()?; // height
        if bits.read(1)? == 0 {
            return Some(Self { unsupported: Some("that is interlaced"), ..Self::default() });
        }
        // What is damaged from here on is no reason to refuse the pictures.
        let colour = colour(&mut bits).unwrap_or_default();
        Some(Self { unsupported: None, colour })
    }
}

/// Reads what stands before the size; what of it OpenH264 does not decode.
fn skip_to_size(bits: &mut Bits) -> Option<Option<&'static str>> {
    let profile = bits.read(8)?;
    bits.read(16)?; // constraints, level
    bits.golomb()?; // id
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        if bits.golomb()? > 1 {
            return Some(Some("of 4:2:2 or 4:4:4 colour"));
        }
        if bits.golomb()? > 0 || bits.golomb()? > 0 {
            return Some(Some("of more than 8 bits"));
        }
        bits.read(1)?;
        if bits.read(1)? == 1 {
            for list in 0..8 {
                if bits.read(1)? == 1 {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?; // log2_max_frame_num
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.read(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?; // reference frames
    bits.read(1)?;
    Some(None)
}

fn skip_scaling_list(bits: &mut Bits, length: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..length {
        if next != 0 {
            // `se(v)`: 1, -1, 2, -2, ... in the order of their codes.
            let code = bits.golomb()?;
            let change = if code % 2 == 1 { code.div_ceil(2) } else { (code / 2).wrapping_neg() };
            next = u32::wrapping_add(last, change) % 256;
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// From behind the flag for frames to the colour in the usability information (annex E.1.1).
fn colour(bits: &mut Bits) -> Option<Colour> {
    const OWN_ASPECT_RATIO: u32 = 255;
    bits.read(1)?; // direct_8x8_inference
    if bits.read(1)? == 1 {
        for _side in 0..4 {
            bits.golomb()?;
        }
    }
    if bits.read(1)? == 0 {
        return None;
    }
    if bits.read(1)? == 1 && bits.read(8)? == OWN_ASPECT_RATIO {
        bits.read(32)?;
    }
    if bits.read(1)? == 1 {
        bits.read(1)?; // overscan
    }
    if bits.read(1)? == 0 {
        return None;
    }
    bits.read(3)?; // video format
    let full_range = bits.read(1)? == 1;
    let mut matrix = Matrix::Bt601;
    if bits.read(1)? == 1 {
        bits.read(16)?; // primaries, transfer
        matrix = Matrix::from_number(bits.read(8)?);
    }
    Some(Colour { matrix, full_range })
}

fn without_emulation(unit: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

struct Bits {
    bytes: Vec<u8>,
    position: usize,
}

impl Bits {
    fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }

    /// `ue(v)`: as many zeros as bits follow the first one.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.read(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(hex: &str) -> Option<Sequence> {
        let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
        Sequence::parse(&digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>())
    }

    #[test]
    fn a_configuration_gives_lengths_and_parameter_sets() {
        let avcc = [1, 100, 0, 30, 0xFD, 0xE1, 0, 2, 0x67, 9, 1, 0, 1, 0x68];
        let mut configuration = Configuration::parse(&avcc).unwrap();
        assert_eq!(configuration.length_size, 2);
        assert_eq!(configuration.parameter_sets, [vec![0x67, 9], vec![0x68]]);
        assert_eq!((5..11).find(|&length| Configuration::parse(&avcc[..length]).is_some()), Some(10));

        configuration.parameter_sets.clear();
        configuration.complete(&[0, 2, 0x67, 1, 0, 1, 0x65, 0, 1, 0x68]);
        assert_eq!(configuration.parameter_sets, [vec![0x67, 1], vec![0x68]]);
    }

    #[test]
    fn units_are_found_by_their_lengths() {
        let all = |packet, size| units(packet, size).collect::<Vec<_>>();
        assert_eq!(all(&[0, 2, 65, 66, 0, 1, 67], 2), [Ok(&[65, 66][..]), Ok(&[67])]);
        assert_eq!(all(&[0, 1, 65, 0, 9, 66], 2), [Ok(&[65][..]), Err(())]);
        assert_eq!(all(&[7], 2), [Err(())]);
    }

    #[test]
    fn the_colour_is_read_from_the_sequence() {
        for (hex, matrix, full_range) in [
            // By x264: -colorspace bt709 -color_range pc, smpte170m and bt2020nc in tv; with a scaling matrix and an aspect
            // ratio of its own.
            ("6742c00ada11ec05b810100a000003000200000300641e244d40", Matrix::Bt709, true),
            ("6742c00ada11ec05a8101032000003000200000300641e244d40", Matrix::Bt601, false),
            ("6742c00ada11ec05a810104a000003000200000300641e244d40", Matrix::Bt2020, false),
            ("6764000aacd945278888ffc000c001db810100a0000003002000000641e244b2c0", Matrix::Bt709, true),
            ("6764000aacd945278888c05a810103a0000003002000000641e244b2c0", Matrix::Smpte240, false),
        ] {
            let colour = Colour { matrix, full_range };
            assert_eq!(sequence(hex), Some(Sequence { unsupported: None, colour }), "{hex}");
            // Cut off within or before the colour.
            for length in (0..hex.len() / 2).map(|n| 2 * n) {
                let _ = sequence(&hex[..length]);
            }
        }
    }

    #[test]
    fn damaged_parameter_sets_are_left_to_the_decoder() {
        for length in 0..6 {
            assert_eq!(Sequence::parse(&[0x67, 100, 0, 30, 0, 0][..length]), None);
        }
        assert_eq!(without_emulation(&[1, 0, 0, 3, 1, 0, 3]), [1, 0, 0, 1, 0, 3]);
    }
}
