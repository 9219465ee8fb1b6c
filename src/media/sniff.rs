//! Which container a file is, by its content: names and extensions do not count.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::limits::{MAX_ID3_TAGS, MAX_JUNK};
use crate::Result;
use crate::error::Error;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Wav,
    Aiff,
    Caf,
    Flac,
    Ogg,
    Mp4,
    Matroska,
    /// The part of Matroska that browsers play.
    WebM,
    /// MPEG audio frames, layers 1 to 3.
    MpegAudio,
    /// AAC in ADTS frames.
    Adts,
    /// Sound or video of this kind, which Percept leaves to `ffmpeg`.
    Foreign(&'static str),
    /// Something well known that has no sound.
    NoSound(&'static str),
    /// Nothing but readable text.
    Text,
    /// None of these; perhaps `ffmpeg` knows it.
    Unknown,
}

/// The container, and the byte at which it starts (behind `ID3v2` tags and junk).
pub(super) fn sniff(file: &mut File) -> Result<(Container, u64)> {
    let io = |e: std::io::Error| Error::io(&e, "");
    let mut start = 0u64;
    let mut head = read_head(file, start).map_err(io)?;
    for _ in 0..MAX_ID3_TAGS {
        let Some(length) = id3v2_len(&head) else { break };
        start = start.saturating_add(length);
        head = read_head(file, start).map_err(io)?;
    }
    let found = match head.as_slice() {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..]
        | [b'R', b'F', b'6', b'4', _, _, _, _, b'W', b'A', b'V', b'E', ..]
        | [b'B', b'W', b'6', b'4', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Container::Wav,
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => Container::Aiff,
        [b'c', b'a', b'f', b'f', ..] => Container::Caf,
        [b'f', b'L', b'a', b'C', ..] => Container::Flac,
        // The first packet of the first page starts behind the one-segment page header.
        [b'O', b'g', b'g', b'S', rest @ ..]
            if rest.get(24..).is_some_and(|packet| packet.starts_with(b"Speex   ")) =>
        {
            Container::Foreign("Speex in Ogg (speex)")
        }
        [b'O', b'g', b'g', b'S', ..] => Container::Ogg,
        [0x1A, 0x45, 0xDF, 0xA3, ..] => {
            // The document type is in the first element.
            let webm = head[..head.len().min(64)].windows(4).any(|name| name == b"webm");
            if webm { Container::WebM } else { Container::Matroska }
        }
        [_, _, _, _, kind @ ..] if MP4_BOXES.iter().any(|name| kind.starts_with(name)) => Container::Mp4,
        _ => Container::Unknown,
    };
    if found != Container::Unknown {
        return Ok((found, start));
    }
    if let Some((_, container)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok((*container, start));
    }
    // An MPEG transport stream is known by its rhythm.
    if [0, 188, 376, 564].iter().all(|&at| head.get(at) == Some(&0x47)) {
        return Ok((Container::Foreign("an MPEG transport stream"), start));
    }
    if let Some((container, offset)) = find_frames(&head) {
        return Ok((container, start + offset as u64));
    }
    Ok((if is_text(&head) { Container::Text } else { Container::Unknown }, start))
}

/// What a file holds, for people, where its first bytes are no text.
pub(crate) fn held_by(path: &Path) -> Option<&'static str> {
    // A pipe would hang.
    let mut file = path.is_file().then(|| File::open(path).ok())??;
    let head = read_head(&mut file, 0).ok()?;
    // By all of it: a text may begin with any letters.
    if as_text(&head).is_some_and(|text| !text.contains('\0')) {
        return None;
    }
    match sniff(&mut file).ok()?.0 {
        Container::NoSound(what) => Some(what),
        Container::Text | Container::Unknown => Some("no text"),
        _ => Some("a recording or a picture"),
    }
}

const MP4_BOXES: [&[u8]; 6] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"];

/// Known to others by how they start. Their bytes may hold what looks like MPEG frames.
const OTHERS: [(&[u8], Container); 25] = [
    (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", Container::Foreign("Windows Media (asf, wma, wmv)")),
    (b"\x0B\x77", Container::Foreign("AC-3 (ac3, eac3)")),
    (b"wvPK", Container::Foreign("WavPack (wavpack)")),
    (b"MAC ", Container::Foreign("Monkey's Audio (ape)")),
    (b"TTA1", Container::Foreign("True Audio (tta)")),
    (b"tBaK", Container::Foreign("TAK (tak)")),
    (b"DSD ", Container::Foreign("DSD (dsf)")),
    (b"FRM8", Container::Foreign("DSD (dff)")),
    (b"#!AMR", Container::Foreign("AMR (amr_nb, amr_wb)")),
    (b"MPCK", Container::Foreign("Musepack (mpc)")),
    (b"MP+", Container::Foreign("Musepack (mpc)")),
    (b".snd", Container::Foreign("Sun audio (au)")),
    (b"FLV\x01", Container::Foreign("Flash video (flv)")),
    (b".RMF", Container::Foreign("RealMedia (rm)")),
    (b"\0\0\x01\xBA", Container::Foreign("an MPEG program stream")),
    (b"RIFX", Container::Foreign("big-endian RIFF")),
    (b"RIFF", Container::Foreign("RIFF other than WAV (avi, webp)")),
    (b"\x89PNG", Container::NoSound("a PNG picture")),
    (b"\xFF\xD8\xFF", Container::NoSound("a JPEG picture")),
    (b"GIF8", Container::NoSound("a GIF picture")),
    (b"II*\0", Container::NoSound("a TIFF picture")),
    (b"MM\0*", Container::NoSound("a TIFF picture")),
    (b"%PDF", Container::NoSound("a PDF document")),
    (b"PK\x03\x04", Container::NoSound("a ZIP archive")),
    (b"MThd", Container::NoSound("a MIDI score")),
];

fn read_head(file: &mut File, start: u64) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(MAX_JUNK as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Length of the `ID3v2` tag at the start of `head`, with its header and footer.
fn id3v2_len(head: &[u8]) -> Option<u64> {
    let [b'I', b'D', b'3', version, _, flags, a, b, c, d, ..] = *head else { return None };
    if version == 0xFF || [a, b, c, d].iter().any(|byte| byte & 0x80 != 0) {
        return None;
    }
    let size = u64::from(a) << 21 | u64::from(b) << 14 | u64::from(c) << 7 | u64::from(d);
    Some(10 + size + if flags & 0x10 != 0 { 10 } else { 0 })
}

/// The first place where a frame header is followed by another where the first says it ends, or where a
/// frame at the very start runs to the end of a short file.
fn find_frames(head: &[u8]) -> Option<(Container, usize)> {
    for offset in 0..head.len().saturating_sub(4) {
        if head[offset] != 0xFF {
            continue;
        }
        let Some((container, length)) = frame_len(&head[offset..]) else { continue };
        let next = offset + length;
        let follows = match head.get(next..) {
            Some(rest) if rest.len() >= 7 => frame_len(rest).is_some_and(|(c, _)| c == container),
            _ => offset == 0 && head.len() < MAX_JUNK,
        };
        if follows {
            return Some((container, offset));
        }
    }
    None
}

/// Kind and length in bytes of the MPEG audio or ADTS frame whose header starts `bytes`.
fn frame_len(bytes: &[u8]) -> Option<(Container, usize)> {
    let [0xFF, b1, b2, b3, rest @ ..] = bytes else { return None };
    if b1 & 0xE0 != 0xE0 {
        return None;
    }
    let layer = (b1 >> 1) & 3;
    if layer == 0 {
        let rate_index = (b2 >> 2) & 15;
        let [b4, b5, ..] = *rest else { return None };
        let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        return (b1 & 0xF0 == 0xF0 && rate_index < 13 && length >= 7).then_some((Container::Adts, length));
    }
    let version = (b1 >> 3) & 3; // 0: 2.5, 2: 2, 3: 1
    let (bitrate_index, rate_index) = (usize::from(b2 >> 4), usize::from((b2 >> 2) & 3));
    if version == 1 || bitrate_index == 0 || bitrate_index == 15 || rate_index == 3 || b3 & 3 == 2 {
        return None;
    }
    let rate = [44_100, 48_000, 32_000][rate_index] >> [2, 0, 1, 0][usize::from(version)];
    let padding = usize::from((b2 >> 1) & 1);
    let kbps = match (version, layer) {
        (3, 3) => BITRATES[0],
        (3, 2) => BITRATES[1],
        (3, _) => BITRATES[2],
        (_, 3) => BITRATES[3],
        _ => BITRATES[4],
    }[bitrate_index - 1];
    let length = match (layer, version) {
        (3, _) => (12 * kbps * 1000 / rate + padding) * 4,
        (1, 0 | 2) => 72 * kbps * 1000 / rate + padding,
        _ => 144 * kbps * 1000 / rate + padding,
    };
    Some((Container::MpegAudio, length))
}

/// kbit/s by bit rate index (from 1): MPEG 1 layers 1, 2, 3; MPEG 2 and 2.5 layer 1; layers 2 and 3.
const BITRATES: [[usize; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// UTF-8, of which the window may cut the last character.
fn as_text(head: &[u8]) -> Option<&str> {
    match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// UTF-8 without control characters: a text, a playlist, a program, but no media.
fn is_text(head: &[u8]) -> bool {
    let text = as_text(head).unwrap_or_default();
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(bytes: &[u8]) -> (Container, u64) {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        sniff(&mut file).unwrap()
    }

    #[test]
    fn the_content_decides() {
        assert_eq!(sniffed(b"RIFF\0\0\0\0WAVEfmt ").0, Container::Wav);
        assert_eq!(sniffed(b"RF64\xff\xff\xff\xffWAVE").0, Container::Wav);
        assert_eq!(sniffed(b"\0\0\0\x18ftypisom").0, Container::Mp4);
        assert_eq!(sniffed(b"hello, I am a text\n").0, Container::Text);
        assert!(matches!(sniffed(b"RIFF\0\0\0\0AVI ").0, Container::Foreign(_)));
        assert_eq!(sniffed(b"GIF89a").0, Container::NoSound("a GIF picture"));
        assert_eq!(sniffed(b"").0, Container::Unknown);
    }

    #[test]
    fn id3_tags_are_stepped_over() {
        let mut bytes = b"ID3\x04\0\0\0\0\0\x05.....ID3\x03\0\0\0\0\0\x01.".to_vec();
        let tags = bytes.len() as u64;
        bytes.extend(b"fLaC");
        assert_eq!(sniffed(&bytes), (Container::Flac, tags));
    }

    #[test]
    fn mpeg_frames_are_found_behind_junk_only_in_a_chain() {
        // MPEG 1 layer 3, 32 kbit/s at 44.1 kHz: 104 bytes a frame.
        let mut frame = vec![0u8; 104];
        frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x10, 0xC4]);
        let chain = [b"junk".to_vec(), frame.clone(), frame.clone()].concat();
        assert_eq!(sniffed(&chain), (Container::MpegAudio, 4));
        let alone = [b"junk".to_vec(), frame, vec![0x80; 200]].concat();
        assert_eq!(sniffed(&alone).0, Container::Unknown);
    }
}
