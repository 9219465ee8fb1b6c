//! A directory of pictures as a video: in the natural order of their names, at a steady rate.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use image::{ImageFormat, ImageReader, RgbImage};
use rayon::prelude::*;
use serde::Deserialize;

use super::super::limits::{MAX_BYTES_AHEAD, MAX_FRAME_BYTES, MAX_FRAMES, MAX_FRAMES_JSON};
use super::super::natural::natural;
use super::count::check_webp_exif;
use super::{VideoInfo, VideoOptions, check_fps, codec_name, decoded, limits, open_picture, picture_error};
use crate::error::some_of;
use crate::files::read_text;
use crate::guard::guard;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

/// The container's name of a directory of pictures.
pub(super) const IMAGES: &str = "images";
pub const USUAL_FPS: f64 = 25.0;
/// What may stand beside the pictures.
const FRAMES_JSON: &str = "frames.json";

/// Endings of pictures. What a file is is told by its content when it is read; which files are meant, by their names.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"];
/// Endings of media that make a directory no video of its own.
const OTHER_MEDIA: [&str; 26] = [
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "aif", "aiff", "caf", "wma", "mp4", "m4v",
    "mov", "mkv", "webm", "avi", "ts", "mts", "mpg", "mpeg", "flv", "wmv", "3gp", "gif",
];

pub(super) struct Images {
    files: Vec<PathBuf>,
    max_pixels: u64,
    next: usize,
    /// Those from `next` on, decoded ahead.
    ahead: VecDeque<Result<Picture>>,
    /// Name of the file last read.
    name: Option<String>,
}

struct Picture {
    rgb: RgbImage,
    /// Whether all of it is there.
    whole: bool,
}

/// `frames.json`
#[derive(Deserialize)]
struct FramesJson {
    fps: f64,
}

impl Images {
    pub fn open(
        folder: &Path,
        options: &VideoOptions,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, VideoInfo)> {
        let files = pictures(folder)?;
        if files.is_empty() {
            let message = format!("holds no pictures ({})", ENDINGS.join(", "));
            return Err(Error::new(ErrorKind::Empty, message));
        }
        if let Some(warning) = missing_numbers(&files) {
            warnings.push(warning);
        }
        let fps = match options.fps {
            Some(fps) => fps,
            None => said_beside(folder)?.unwrap_or_else(|| {
                warnings.push(format!(
                    "taken for {USUAL_FPS} frames a second; say otherwise with --fps, or in {FRAMES_JSON}: {{\"fps\": 30}}"
                ));
                USUAL_FPS
            }),
        };
        let mut codecs: Vec<&str> = files.iter().filter_map(|file| codec_by_ending(file)).collect();
        codecs.sort_unstable();
        codecs.dedup();
        let codec = if let [codec] = codecs[..] { codec } else { "mixed" };
        let info =
            VideoInfo { container: IMAGES.into(), codec: codec.into(), time_base: TimeBase::of_rate(fps) };
        let max_pixels = options.max_pixels();
        Ok((Self { files, max_pixels, next: 0, ahead: VecDeque::new(), name: None }, info))
    }

    /// Those that are damaged are passed over with a warning.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the system cannot read one: it may be as good as the others.
    pub fn next_frame(&mut self, warnings: &mut Vec<String>) -> Result<Option<VideoFrame>> {
        loop {
            if self.ahead.is_empty() {
                let max_pixels = self.max_pixels;
                self.ahead = self.soon().par_iter().map(|file| read(file, max_pixels)).collect();
            }
            let Some(picture) = self.ahead.pop_front() else { return Ok(None) };
            let ticks = self.next as i64;
            let name = name(&self.files[self.next]);
            self.next += 1;
            let number = ticks + 1;
            match picture {
                Ok(Picture { rgb, whole }) => {
                    if !whole {
                        warnings
                            .push(format!("frame {number} ({name}) is cut off: what is there of it is used"));
                    }
                    self.name = Some(name);
                    let (width, height) = rgb.dimensions();
                    return Ok(Some(VideoFrame { width, height, pixels: rgb.into_raw(), ticks }));
                }
                Err(error) if error.kind == ErrorKind::Io => return Err(error),
                Err(error) => {
                    warnings.push(format!("frame {number} ({name}) is left out: {}", error.message));
                }
            }
        }
    }

    /// The files to decode next, all at once: enough for all cores, and no more than memory allows.
    fn soon(&self) -> &[PathBuf] {
        const FILES_A_CORE: usize = 4;
        let rest = &self.files[self.next..];
        // Within a worker of rayon the cores are busy with other videos, and waiting for them here would begin yet
        // another of those, within this one.
        let most = match rayon::current_thread_index() {
            Some(_) => 1,
            None => FILES_A_CORE * rayon::current_num_threads(),
        };
        let mut bytes = 0;
        let fits = |file: &&PathBuf| {
            bytes += bytes_in_memory(file);
            bytes <= MAX_BYTES_AHEAD
        };
        let count = rest.iter().take(most).take_while(fits).count();
        &rest[..count.max(1).min(rest.len())]
    }

    pub fn file_name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// A decoder that panics has met a damaged picture.
fn read(path: &Path, max_pixels: u64) -> Result<Picture> {
    guard(|| decode(path, max_pixels)).unwrap_or_else(|what| {
        Err(Error::new(ErrorKind::Damaged, format!("its decoder stumbled over it ({what})")))
    })
}

fn decode(path: &Path, max_pixels: u64) -> Result<Picture> {
    let mut bytes = Vec::new();
    let length = open_picture(path)?.take(MAX_FRAME_BYTES).read_to_end(&mut bytes);
    length.map_err(|error| Error::io(&error, path))?;
    let mut reader = ImageReader::new(Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(|error| Error::io(&error, path))?;
    if reader.format().is_none_or(|format| codec_name(format).is_none()) {
        return Err(Error::new(ErrorKind::UnknownFormat, "this is no picture that Percept reads"));
    }
    if reader.format() == Some(ImageFormat::WebP) {
        check_webp_exif(&mut Cursor::new(&bytes))?;
    }
    reader.limits(limits());
    let decoder = reader.into_decoder().map_err(|error| picture_error(&error))?;
    let picture = decoded(decoder, max_pixels)?;
    let whole = !bytes.starts_with(&[0xFF, 0xD8]) || has_end(&bytes);
    Ok(Picture { rgb: picture.into_rgb8(), whole })
}

/// About what [`read`] takes for a file, by its header: the file and two copies of the picture. What cannot be read
/// takes nothing.
fn bytes_in_memory(path: &Path) -> u64 {
    let size = || {
        let file = open_picture(path).ok()?;
        let length = file.get_ref().metadata().ok()?.len();
        let (width, height) = ImageReader::new(file).with_guessed_format().ok()?.into_dimensions().ok()?;
        Some(length.saturating_add(6 * u64::from(width) * u64::from(height)))
    };
    size().unwrap_or(0)
}

/// Whether a JPEG has its end marker behind the last scan: its decoder fills up in grey what is missing.
fn has_end(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|bytes| bytes == [0xFF, marker]);
    last(0xD9) > last(0xDA)
}

/// Files with the endings of pictures, in natural order.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(&e, folder))? {
        let path = entry.map_err(|e| Error::io(&e, folder))?.path();
        if is_picture_name(&path) && !path.is_dir() {
            files.push(path);
        }
        if files.len() > MAX_FRAMES {
            return Err(Error::new(ErrorKind::Limit, format!("holds more than {MAX_FRAMES} pictures")));
        }
    }
    files.sort_by(|a, b| natural(&name(a), &name(b)));
    Ok(files)
}

/// Whether a file is meant as a picture: by its ending, unless it is hidden, as what macOS leaves beside each file is.
fn is_picture_name(path: &Path) -> bool {
    !name(path).starts_with('.') && ending(path).is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

pub(super) fn has_media_ending(path: &Path) -> bool {
    ending(path).is_some_and(|ending| OTHER_MEDIA.contains(&ending.as_str()))
}

pub(super) fn holds_only_images(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut pictures = 0;
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        match ending(&path) {
            _ if has_media_ending(&path) => return false,
            Some(_) if is_picture_name(&path) => pictures += usize::from(!path.is_dir()),
            _ => {}
        }
    }
    pictures > 0
}

fn said_beside(folder: &Path) -> Result<Option<f64>> {
    let path = folder.join(FRAMES_JSON);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_text(&path, "frames a second are due", MAX_FRAMES_JSON, ErrorKind::Config)?;
    let said = serde_json::from_str::<FramesJson>(&text).map_err(|error| {
        let message = format!("is not understood ({error}); it must be {{\"fps\": 30}}");
        Error::new(ErrorKind::Config, message).with_path(&path)
    })?;
    check_fps(said.fps).map_err(|error| error.with_path(&path))?;
    Ok(Some(said.fps))
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn codec_by_ending(path: &Path) -> Option<&'static str> {
    codec_name(image::ImageFormat::from_extension(ending(path)?)?)
}

/// Where names differ by their last number only and steps between them are not all alike, something may be lost.
fn missing_numbers(files: &[PathBuf]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut frame: Option<(String, String)> = None;
    for file in files {
        let name = name(file);
        let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
        let start = name[..end].trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let around = (name[..start].to_string(), name[end..].to_string());
        if *frame.get_or_insert_with(|| around.clone()) != around {
            return None;
        }
        numbers.push(name[start..end].parse::<u64>().ok()?);
    }
    let step =
        numbers.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().filter(|step| *step > 0)?;
    let gaps: Vec<String> = numbers
        .windows(2)
        .filter(|pair| pair[1] - pair[0] != step)
        .map(|pair| format!("{} to {}", pair[0], pair[1]))
        .collect();
    (!gaps.is_empty()).then(|| {
        format!("the numbers of the frames jump ({}): what is missing there takes no time", some_of(&gaps))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{VideoOptions, VideoReader, is_directory_of_images, is_picture};
    use super::*;
    use image::{Rgb, RgbImage};

    fn picture(folder: &Path, name: &str, size: u32, value: u8) {
        RgbImage::from_pixel(size, size, Rgb([value, 0, 0])).save(folder.join(name)).unwrap();
    }

    fn read_all(folder: &Path, fps: Option<f64>) -> Result<(Vec<(i64, u8)>, VideoReader)> {
        let mut reader = VideoReader::open(folder, &VideoOptions { fps, ..VideoOptions::default() })?;
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            assert_eq!(frame.pixels.len(), 3 * (frame.width * frame.height) as usize);
            frames.push((frame.ticks, frame.pixels[0]));
        }
        Ok((frames, reader))
    }

    #[test]
    fn pictures_come_in_natural_order_at_a_steady_rate() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("10.png", 30), ("2.png", 20), ("001.bmp", 10)] {
            picture(folder.path(), name, 4, value);
        }
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        std::fs::write(folder.path().join("._2.png"), "left by macOS").unwrap();
        let (frames, reader) = read_all(folder.path(), Some(12.5)).unwrap();
        assert_eq!(frames, [(0, 10), (1, 20), (2, 30)]);
        assert_eq!(reader.info().time_base.seconds(2), 0.16);
        assert_eq!((reader.info().codec.as_str(), reader.file_name()), ("mixed", Some("10.png")));
        assert!(is_directory_of_images(folder.path()));
        assert!(is_picture(&folder.path().join("10.png")) && !is_picture(&folder.path().join("notes.txt")));
        std::fs::write(folder.path().join("sound.wav"), "x").unwrap();
        assert!(!is_directory_of_images(folder.path()));
    }

    #[test]
    fn the_rate_is_told_beside_the_pictures_or_is_25_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        picture(folder.path(), "a.png", 4, 1);
        let (_, reader) = read_all(folder.path(), None).unwrap();
        assert_eq!(reader.info().time_base.seconds(1), 0.04);
        assert!(reader.warnings()[0].contains("taken for 25 frames a second"));
        std::fs::write(folder.path().join("frames.json"), "{\"fps\": 50}").unwrap();
        let (_, reader) = read_all(folder.path(), None).unwrap();
        assert_eq!((reader.info().time_base.seconds(1), reader.warnings().len()), (0.02, 0));
        for (text, part) in [("{\"fps\": 0}", "0 frames a second"), ("[]", "is not understood")] {
            std::fs::write(folder.path().join("frames.json"), text).unwrap();
            let error = read_all(folder.path(), None).err().unwrap();
            assert!(error.to_string().contains("frames.json") && error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn frames_that_cannot_be_read_are_left_out_and_the_others_keep_their_times() {
        let folder = tempfile::tempdir().unwrap();
        (1..=6).for_each(|i| picture(folder.path(), &format!("{i}.png"), 4, i));
        picture(folder.path(), "6.png", 5, 6);
        std::fs::write(folder.path().join("2.png"), "").unwrap();
        std::fs::write(folder.path().join("3.png"), "hello").unwrap();
        let whole = std::fs::read(folder.path().join("4.png")).unwrap();
        std::fs::write(folder.path().join("4.png"), &whole[..whole.len() / 2]).unwrap();
        let (frames, reader) = read_all(folder.path(), Some(10.0)).unwrap();
        assert_eq!(frames, [(0, 1), (4, 5), (5, 6)]);
        let warnings = reader.warnings().join("\n");
        for part in [
            "frame 2 (2.png) is left out: the file is empty",
            "frame 3 (3.png)",
            "frame 4 (4.png)",
            "1 frames have another size",
        ] {
            assert!(warnings.contains(part), "{part} is not in {warnings}");
        }
    }

    #[test]
    fn a_jpeg_that_is_cut_off_is_used_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let noise = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, 9]));
        noise.save(folder.path().join("1.jpg")).unwrap();
        let whole = std::fs::read(folder.path().join("1.jpg")).unwrap();
        std::fs::write(folder.path().join("2.jpg"), &whole[..whole.len() * 3 / 4]).unwrap();
        let (frames, reader) = read_all(folder.path(), Some(5.0)).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(reader.warnings(), ["frame 2 (2.jpg) is cut off: what is there of it is used"]);
    }

    #[test]
    fn a_gap_in_the_numbers_is_said_and_an_even_step_is_none() {
        let names = |names: &[&str]| missing_numbers(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert!(names(&["f005.jpg", "f007.jpg", "f008.jpg"]).unwrap().contains("5 to 7"));
        assert_eq!(names(&["f000.jpg", "f005.jpg", "f010.jpg"]), None);
        assert_eq!(names(&["a.jpg", "b.jpg"]), None);
        assert_eq!(names(&["a1.jpg", "b5.jpg", "b6.jpg"]), None);
        assert!(names(&["é1.png", "é2.png", "é5.png"]).unwrap().contains("2 to 5"));
    }

    #[test]
    fn what_is_no_video_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_all(folder.path(), None).err().unwrap().message.contains("holds no pictures"));
        std::fs::write(folder.path().join("1.jpg"), "not one").unwrap();
        let error = read_all(folder.path(), Some(5.0)).err().unwrap();
        assert!(error.message.contains("not one frame can be read; frame 1 (1.jpg)"), "{error}");
        assert!(read_all(folder.path(), Some(0.0)).err().unwrap().message.contains("0 frames a second"));
    }

    #[test]
    fn a_head_that_promises_a_huge_picture_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut bmp = b"BM".to_vec();
        bmp.extend([54, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]);
        bmp.extend([60_000u32, 60_000].iter().flat_map(|side| side.to_le_bytes()));
        bmp.extend([1, 0, 24, 0]);
        bmp.resize(54, 0);
        picture(folder.path(), "1.jpg", 8, 1);
        let mut jpeg = std::fs::read(folder.path().join("1.jpg")).unwrap();
        // SOF0: length, precision, height, width.
        let at = jpeg.windows(2).position(|bytes| bytes == [0xFF, 0xC0]).unwrap() + 5;
        jpeg[at..at + 4].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
        picture(folder.path(), "1.png", 8, 1);
        let mut png = std::fs::read(folder.path().join("1.png")).unwrap();
        std::fs::remove_file(folder.path().join("1.png")).unwrap();
        png[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        // The checksum of `IHDR`, by zlib.crc32.
        png[29..33].copy_from_slice(&0x0FB0_E215_u32.to_be_bytes());
        for (kind, bytes) in [("bmp", bmp), ("jpeg", jpeg), ("png", png)] {
            std::fs::write(folder.path().join("1.jpg"), bytes).unwrap();
            let error = read_all(folder.path(), Some(5.0)).err().unwrap();
            assert!(error.message.contains("larger than 16384 x 16384"), "{kind}: {error}");
        }
    }

    #[test]
    fn within_a_worker_of_rayon_the_frames_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        (0..40).for_each(|i| picture(folder.path(), &format!("{i}.png"), 4, i));
        std::fs::write(folder.path().join("7.png"), "hello").unwrap();
        let read = || {
            let (frames, reader) = read_all(folder.path(), Some(10.0)).unwrap();
            (frames, reader.warnings())
        };
        let outside = read();
        assert_eq!((outside.0.len(), outside.1.len()), (39, 1));
        let inside: Vec<_> = (0..8).into_par_iter().map(|_| read()).collect();
        assert!(inside.iter().all(|inside| *inside == outside));
    }
}
