//! Bytes of files that claim too much.

/// Bits from the lowest of a byte on, as deflate has them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// The lowest `count` bits of `value`, the highest first: Huffman codes.
    fn code(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) << (self.used % 8)) as u8;
            self.used += 1;
        }
    }
}

/// A zlib stream of `length` zeros or some more, in a 150th of them.
fn zeros(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, of fixed codes; a zero; repetitions of 258 bytes; the end.
    bits.code(0b1, 1);
    bits.code(0b10, 2);
    bits.code(0b0011_0000, 8);
    for _ in 0..length.saturating_sub(1).div_ceil(258) {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    // No checksum: what is before it is enough.
    [b"\x78\x01".as_slice(), &bits.bytes].concat()
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let named = [kind.as_slice(), content].concat();
    [&(content.len() as u32).to_be_bytes(), named.as_slice(), &crc32fast::hash(&named).to_be_bytes()].concat()
}

fn png_of(width: u32, height: u32, depth: u8, colour: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = chunk(b"IHDR", &[size.as_slice(), &[depth, colour, 0, 0, 0]].concat());
    [b"\x89PNG\r\n\x1a\n".as_slice(), &header, &chunks.concat(), &chunk(b"IEND", b"")].concat()
}

/// In black and white; `unpacked` bytes of data.
pub fn png(width: u32, height: u32, unpacked: usize) -> Vec<u8> {
    png_of(width, height, 1, 0, &[chunk(b"IDAT", &zeros(unpacked))])
}

/// With a colour profile of so many bytes.
pub fn png_with_profile(unpacked: usize) -> Vec<u8> {
    let profile = [b"p\0\0".as_slice(), &zeros(unpacked)].concat();
    let text = [b"t\0\0".as_slice(), &zeros(unpacked)].concat();
    png_of(8, 8, 1, 0, &[chunk(b"iCCP", &profile), chunk(b"zTXt", &text), chunk(b"IDAT", &zeros(16))])
}

/// Of 8 bytes a pixel.
pub fn deep_png(width: u32, height: u32) -> Vec<u8> {
    let unpacked = (8 * width as usize + 1) * height as usize;
    png_of(width, height, 16, 6, &[chunk(b"IDAT", &zeros(unpacked))])
}

#[derive(Debug, Clone, Copy)]
pub enum Animation {
    Gif,
    /// Its header alone has the number.
    Png,
    WebP,
}

/// A square canvas, of which each frame draws one point at most.
pub fn animation(format: Animation, side: u16, frames: u32) -> Vec<u8> {
    match format {
        Animation::Gif => {
            let side = side.to_le_bytes();
            let head = [b"GIF89a", side.as_slice(), &side, b"\x80\0\0\0\0\0\xff\xff\xff"].concat();
            let frame = b"!\xf9\x04\0\x04\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0";
            [head, frame.repeat(frames as usize), b";".to_vec()].concat()
        }
        Animation::Png => {
            let side = u32::from(side);
            let animation = chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
            let rest = [0u32, side, side, 0, 0].map(u32::to_be_bytes).concat();
            let control = chunk(b"fcTL", &[rest.as_slice(), &[0, 1, 0, 25, 0, 0]].concat());
            png_of(side, side, 1, 0, &[animation, control, chunk(b"IDAT", &zeros(1000))])
        }
        Animation::WebP => {
            let [a, b, _, _] = (u32::from(side) - 1).to_le_bytes();
            let canvas = [b"VP8X\x0a\0\0\0\x02\0\0\0".as_slice(), &[a, b, 0, a, b, 0]].concat();
            // Where and how large: at 0, 0, of 1 x 1; for 40 ms; and a picture of no bytes.
            let frame = [b"ANMF\x18\0\0\0".as_slice(), &[0; 12], b"\x28\0\0\0VP8L\0\0\0\0"].concat();
            let content = [
                b"WEBP".to_vec(),
                canvas,
                b"ANIM\x06\0\0\0\0\0\0\0\0\0".to_vec(),
                frame.repeat(frames as usize),
            ]
            .concat();
            [b"RIFF".as_slice(), &(content.len() as u32).to_le_bytes(), &content].concat()
        }
    }
}

/// Claims `samples` and has `frames` of 256 zeros, mono, 16 bits at 8 kHz.
pub fn flac(samples: u64, frames: u8) -> Vec<u8> {
    let layout: u64 = 8000 << 44 | 15 << 36 | samples;
    let info = [b"\x01\0\x01\0\0\0\0\0\0\0".as_slice(), &layout.to_be_bytes(), &[0; 16]].concat();
    let mut bytes = [b"fLaC\x80\0\0\x22".as_slice(), &info].concat();
    for number in 0..frames {
        let mut frame = vec![0xff, 0xf8, 0x60, 0x00, number, 0xff];
        frame.push(crc(&frame, 8, 0x07) as u8);
        // A constant.
        frame.extend([0, 0, 0]);
        let check = crc(&frame, 16, 0x8005);
        frame.extend(check.to_be_bytes());
        bytes.extend(frame);
    }
    bytes
}

fn crc(bytes: &[u8], width: u32, polynomial: u16) -> u16 {
    let top = 1 << (width - 1);
    let mask = (top - 1) << 1 | 1;
    bytes.iter().fold(0, |crc: u16, &byte| {
        let start = crc ^ u16::from(byte) << (width - 8);
        (0..8).fold(
            start,
            |crc, _| if crc & top != 0 { (crc << 1 ^ polynomial) & mask } else { crc << 1 & mask },
        )
    })
}

/// The 44 bytes before the sound, mono, 16 bits at 8 kHz, that claim so many bytes of it.
pub fn wav_head(length: u32) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend(length.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    bytes.extend(length.to_le_bytes());
    bytes
}

/// An archive of one member that claims to be `size` bytes when unpacked, stored or deflated.
pub fn zip(name: &str, stored: bool, size: u32) -> Vec<u8> {
    let content = if stored { vec![0; 100] } else { zeros(1_000_000)[2..].to_vec() };
    let packed = if stored { size } else { content.len() as u32 };
    let method = if stored { 0u16 } else { 8 };
    let about = [
        20u16.to_le_bytes().as_slice(),
        &[0; 2],
        &method.to_le_bytes(),
        &[0; 8],
        &packed.to_le_bytes(),
        &size.to_le_bytes(),
        &(name.len() as u16).to_le_bytes(),
        &[0; 2],
    ]
    .concat();
    let local = [b"PK\x03\x04".as_slice(), &about, name.as_bytes(), &content].concat();
    let central = [b"PK\x01\x02\x14\0".as_slice(), &about, &[0; 14], name.as_bytes()].concat();
    let places = [central.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &places, &[0; 2]].concat();
    [local, central, end].concat()
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mp4 {
    Video,
    Sound,
}

/// The table that claims 2^32 - 1 entries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Table {
    SampleSizes,
    /// All alike, which takes no bytes.
    EqualSizes,
    Times,
    Chunks,
    SamplesOfChunks,
    Shifts,
}

fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(8 + content.len() as u32).to_be_bytes(), kind.as_slice(), content].concat()
}

/// With version and flags.
fn full_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    mp4_box(kind, &[[0; 4].as_slice(), content].concat())
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// One track of four samples.
pub fn mp4(kind: Mp4, bomb: Option<Table>) -> Vec<u8> {
    const MOST: u32 = u32::MAX;
    let count = |table: Table, honest: u32| if bomb == Some(table) { MOST } else { honest };
    let entry = match kind {
        Mp4::Video => {
            // Baseline, 16 x 16.
            let sps = b"\x67\x42\xc0\x0a\xd9\x1e\x84\0\0\x03\0\x04\0\0\x03\0\xf0\x3c\x48\x99\x20";
            let lengths = [(sps.len() as u16).to_be_bytes(), 4u16.to_be_bytes()];
            let avcc = [
                b"\x01\x42\xc0\x0a\xff\xe1".as_slice(),
                &lengths[0],
                sps,
                b"\x01",
                &lengths[1],
                b"\x68\xce\x38\x80",
            ]
            .concat();
            let fixed = [b"\0\0\0\0\0\0\0\x01".as_slice(), &[0; 16], b"\0\x10\0\x10", &[0; 50]].concat();
            mp4_box(b"avc1", &[fixed, mp4_box(b"avcC", &avcc)].concat())
        }
        Mp4::Sound => {
            let fixed = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\x01\0\x10\0\0\0\0\x1f\x40\0\0";
            mp4_box(b"sowt", fixed)
        }
    };
    let sizes = match bomb {
        Some(Table::EqualSizes) => numbers(&[2, MOST]),
        Some(Table::SampleSizes) => numbers(&[0, MOST, 2, 2]),
        _ => numbers(&[2, 4]),
    };
    let tables = [
        full_box(b"stsd", &[numbers(&[1]), entry].concat()),
        full_box(b"stts", &numbers(&[count(Table::Times, 1), 4, 1])),
        full_box(b"ctts", &numbers(&[count(Table::Shifts, 1), 4, 0])),
        full_box(b"stsc", &numbers(&[count(Table::SamplesOfChunks, 1), 1, 4, 1])),
        full_box(b"stsz", &sizes),
        full_box(b"stco", &numbers(&[count(Table::Chunks, 1), 8])),
    ];
    let (handler, head) = match kind {
        Mp4::Video => (b"vide", full_box(b"vmhd", &[0; 8])),
        Mp4::Sound => (b"soun", full_box(b"smhd", &[0; 4])),
    };
    let here =
        mp4_box(b"dinf", &full_box(b"dref", &[numbers(&[1]), mp4_box(b"url ", b"\0\0\0\x01")].concat()));
    let information = mp4_box(b"minf", &[head, here, mp4_box(b"stbl", &tables.concat())].concat());
    let media = mp4_box(
        b"mdia",
        &[
            full_box(b"mdhd", &[numbers(&[0, 0, 8000, 4]), b"\x55\xc4\0\0".to_vec()].concat()),
            full_box(b"hdlr", &[[0; 4].as_slice(), handler, &[0; 13]].concat()),
            information,
        ]
        .concat(),
    );
    let matrix = numbers(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]);
    let track_head =
        [b"\0\0\0\x03".to_vec(), numbers(&[0, 0, 1, 0, 4]), vec![0; 16], matrix.clone(), vec![0; 8]];
    let movie_head = [
        numbers(&[0, 0, 8000, 4, 0x1_0000]),
        b"\x01\0".to_vec(),
        vec![0; 10],
        matrix,
        vec![0; 24],
        numbers(&[2]),
    ];
    let track = mp4_box(b"trak", &[mp4_box(b"tkhd", &track_head.concat()), media].concat());
    let movie = mp4_box(b"moov", &[full_box(b"mvhd", &movie_head.concat()), track].concat());
    [mp4_box(b"ftyp", b"isom\0\0\x02\0isomavc1"), movie, mp4_box(b"mdat", &[0; 64])].concat()
}
