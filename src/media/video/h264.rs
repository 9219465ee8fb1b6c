//! H.264, by Cisco's OpenH264: packets in decoding order in, pictures in the order of time out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::check_size;
use crate::signal::VideoFrame;
use crate::{Error, ErrorKind, Result};

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What stands before the packets of a stream: `avcC` of MP4 and Matroska.
pub(super) struct Configuration {
    /// Bytes of the length before each NAL unit.
    pub length_size: usize,
    /// Sequence and picture parameter sets, without start codes.
    pub parameter_sets: Vec<Vec<u8>>,
}

pub(super) struct H264 {
    decoder: Decoder,
    length_size: usize,
    /// What the next packet starts with: the parameter sets, before the first.
    bytes: Vec<u8>,
    /// Times of the packets whose pictures have not come out.
    pending: BinaryHeap<Reverse<i64>>,
}

impl H264 {
    /// # Errors
    /// [`ErrorKind::UnsupportedCodec`] for what OpenH264 does not decode: more than 8 bits, other than 4:2:0, interlaced.
    pub fn new(configuration: &Configuration) -> Result<Self> {
        for set in &configuration.parameter_sets {
            if let Some(what) = unsupported(set) {
                let message = format!("this is H.264 {what}, which Percept does not decode");
                return Err(Error::new(ErrorKind::UnsupportedCodec, message));
            }
        }
        // The default flushes after each packet, and loses the pictures that are to be shown later.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("OpenH264 does not start: {error}")))?;
        let sets = configuration.parameter_sets.iter();
        let bytes = sets.flat_map(|set| START_CODE.iter().chain(set)).copied().collect();
        Ok(Self { decoder, length_size: configuration.length_size, bytes, pending: BinaryHeap::new() })
    }

    /// Takes a packet that is shown at `ticks`; gives a picture that is now complete.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`]: the packet gave no picture, what follows may.
    pub fn push(&mut self, packet: &[u8], ticks: i64) -> Result<Option<VideoFrame>> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let whole = annex_b(packet, self.length_size, &mut bytes);
        self.pending.push(Reverse(ticks));
        let decoded = match self.decoder.decode(&bytes) {
            Ok(Some(picture)) => Ok(Some(frame(&picture))),
            Ok(None) if whole => Ok(None),
            Ok(None) => Err("a NAL unit is longer than its packet".to_string()),
            Err(_) => Err("OpenH264 finds it damaged".to_string()),
        };
        bytes.clear();
        self.bytes = bytes;
        match decoded {
            Ok(None) => Ok(None),
            Ok(Some(picture)) => Ok(Some(self.timed(picture?, ticks))),
            Err(message) => {
                self.pending.retain(|&Reverse(pending)| pending != ticks);
                Err(Error::new(ErrorKind::Damaged, message))
            }
        }
    }

    /// The pictures that are still inside, at the end.
    pub fn finish(&mut self) -> Result<Vec<VideoFrame>> {
        let rest = self.decoder.flush_remaining();
        let rest = rest.map_err(|error| Error::new(ErrorKind::Damaged, error.to_string()))?;
        let frames = rest.iter().map(frame).collect::<Result<Vec<_>>>()?;
        Ok(frames.into_iter().map(|frame| self.timed(frame, 0)).collect())
    }

    /// Pictures come out in the order of time, so the earliest time that is open is this one's.
    fn timed(&mut self, frame: VideoFrame, otherwise: i64) -> VideoFrame {
        let ticks = self.pending.pop().map_or(otherwise, |Reverse(ticks)| ticks);
        VideoFrame { ticks, ..frame }
    }
}

fn frame(picture: &DecodedYUV) -> Result<VideoFrame> {
    let (width, height) = picture.dimensions();
    let (width, height) = (width as u32, height as u32);
    let mut pixels = vec![0; check_size(width, height)? as usize];
    picture.write_rgb8(&mut pixels);
    Ok(VideoFrame { width, height, pixels, ticks: 0 })
}

/// Appends a packet's NAL units with start codes instead of lengths; whether they fill the packet.
fn annex_b(mut packet: &[u8], length_size: usize, bytes: &mut Vec<u8>) -> bool {
    while let Some((length, rest)) = packet.split_at_checked(length_size) {
        let length = length.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
        let Some((unit, rest)) = rest.split_at_checked(length) else { return false };
        bytes.extend(START_CODE);
        bytes.extend(unit);
        packet = rest;
    }
    packet.is_empty()
}

/// What in a sequence parameter set (ITU-T H.264, 7.3.2.1.1) OpenH264 does not decode.
fn unsupported(set: &[u8]) -> Option<&'static str> {
    const SEQUENCE: u8 = 7;
    if set.first()? & 0x1F != SEQUENCE {
        return None;
    }
    let mut bits = Bits { bytes: without_emulation(set), position: 8 };
    let profile = bits.read(8)?;
    bits.read(16)?; // constraints, level
    bits.golomb()?; // id
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        if bits.golomb()? > 1 {
            return Some("of 4:2:2 or 4:4:4 colour");
        }
        if bits.golomb()? > 0 || bits.golomb()? > 0 {
            return Some("of more than 8 bits");
        }
        bits.read(1)?;
        if bits.read(1)? == 1 {
            // Scaling lists: what stands behind them is not looked at.
            return None;
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
    bits.golomb()?; // width
    bits.golomb()?; // height
    (bits.read(1)? == 0).then_some("that is interlaced")
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

    #[test]
    fn lengths_become_start_codes() {
        let mut bytes = Vec::new();
        assert!(annex_b(&[0, 2, 65, 66, 0, 1, 67], 2, &mut bytes));
        assert_eq!(bytes, [0, 0, 0, 1, 65, 66, 0, 0, 0, 1, 67]);
        assert!(!annex_b(&[0, 9, 65], 2, &mut bytes));
        assert!(!annex_b(&[7], 2, &mut bytes));
    }

    #[test]
    fn damaged_parameter_sets_are_left_to_the_decoder() {
        for length in 0..6 {
            assert_eq!(unsupported(&[0x67, 100, 0, 30, 0, 0][..length]), None);
        }
        assert_eq!(without_emulation(&[1, 0, 0, 3, 1, 0, 3]), [1, 0, 0, 1, 0, 3]);
    }
}
