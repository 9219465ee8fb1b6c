//! When a recording began: recorders put it into the name of a file, into its header, or both.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, Unit};

use super::limits::{MAX_DATE_CHUNK, MAX_DATE_CHUNKS};
use super::mp4;
use super::wav::{chunk_header, read_at};
use crate::files::open_regular;

/// Years of recordings, digitised ones too. A number that would be of another year is no date.
const YEARS: RangeInclusive<i16> = 1900..=2099;
/// Years of files that an `AudioMoth` named by eight hexadecimal digits.
const HEX_YEARS: RangeInclusive<i16> = 2015..=2040;
/// Years of MP4 and QuickTime files, the first of which is of 1991: what comes before is a clock that was never set.
const MP4_YEARS: RangeInclusive<i16> = 1991..=2099;
/// Seconds from the first moment of 1904, where the clock of MP4 begins, to that of 1970.
const MP4_EPOCH: i64 = 2_082_844_800;
/// How far the local time in a name can be from the universal time in a header, and that from the true one where it is
/// of a recording's end.
const SAME_RECORDING: SignedDuration = SignedDuration::from_hours(24);

const WAV_ENDINGS: [&str; 4] = ["wav", "wave", "bwf", "rf64"];
const MP4_ENDINGS: [&str; 6] = ["mp4", "m4v", "mov", "qt", "m4a", "3gp"];

/// When the recording began, by ISO 8601: `2024-05-31T04:30:00`, with a fraction of the second where it is told, and `Z` or
/// `+02:00` behind it where the zone is.
///
/// Told by the name: `20240531_043000`, `2024-05-31T04-30-00`, `2024-05-31 04.30.00`, `20240531$043000` and the like, with
/// words, a fraction (`.123`) and a zone (`Z`, `+0200`) around it; or by eight hexadecimal digits alone (`5CE1B2F0`), which
/// are Unix time. By the header: the comment of an `AudioMoth`, GUANO (bat recorders), Broadcast Wave, MP4 and QuickTime.
/// The header counts where the name tells no time, or no zone where the header does. Where they are more than a day apart
/// the name counts: files are cut and converted, which dates their headers anew, and clocks that were never set are put
/// right in names. The header of a video tells when the file was made, which some cameras do at the recording's end.
///
/// It is cheap: the file is opened only where its ending says WAV or MP4 and its name leaves something to tell, and a few
/// small reads are made. What cannot be read has no time.
pub fn recorded_at(path: &Path) -> Option<String> {
    let name = named(path);
    // Nothing is left that a header could add.
    let header = if name.is_some_and(|name| name.offset.is_some()) { None } else { header(path) };
    let told = match (header, name) {
        (Some(header), Some(name)) if header.offset.is_some() && header.is_near(name) => header,
        (header, name) => name.or(header)?,
    };
    Some(told.to_string())
}

/// What the clock shows `seconds` after `recorded_at`, to the nearest millisecond, written as [`recorded_at`] is. `None`
/// where `recorded_at` is no time, or `seconds` no number that leads to one.
pub fn later(recorded_at: &str, seconds: f64) -> Option<String> {
    let Moment { civil, offset } = scan(recorded_at)?;
    let nanoseconds = (1e9 * seconds).round();
    // What lies beyond is centuries away.
    let after = (nanoseconds.abs() < 9e18).then(|| SignedDuration::from_nanos(nanoseconds as i64))?;
    let civil = civil.checked_add(after).ok()?.round(Unit::Millisecond).ok()?;
    Some(Moment { civil, offset }.to_string())
}

/// What a clock shows, and how far it is ahead of universal time, where that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment {
    civil: DateTime,
    offset: Option<Offset>,
}

impl Moment {
    fn of_unix(seconds: i64, years: RangeInclusive<i16>) -> Option<Self> {
        let civil = Offset::UTC.to_datetime(Timestamp::from_second(seconds).ok()?);
        years.contains(&civil.year()).then_some(Self { civil, offset: Some(Offset::UTC) })
    }

    fn is_near(self, other: Self) -> bool {
        self.civil.duration_until(other.civil).abs() <= SAME_RECORDING
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.civil)?;
        match self.offset.map(|offset| offset.seconds() / 60) {
            None => Ok(()),
            Some(0) => write!(f, "Z"),
            Some(minutes) => {
                let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

fn named(path: &Path) -> Option<Moment> {
    let stem = path.file_stem()?.to_string_lossy();
    // A directory of pictures has no ending that could be taken off: `2024-05-31 04.30.00`.
    scan(&stem).or_else(|| of_hex(&stem)).or_else(|| scan(&path.file_name()?.to_string_lossy()))
}

/// With a letter, as eight digits alone are a date or a number.
fn of_hex(stem: &str) -> Option<Moment> {
    let is_hex = stem.len() == 8 && stem.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    if !is_hex || stem.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Moment::of_unix(i64::from_str_radix(stem, 16).ok()?, HEX_YEARS)
}

fn header(path: &Path) -> Option<Moment> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let is_one_of = |endings: &[&str]| endings.contains(&ending.as_str());
    if is_one_of(&WAV_ENDINGS) {
        return of_wav(&mut open_regular(path, "sound is due").ok()?);
    }
    if is_one_of(&MP4_ENDINGS) {
        open_regular(path, "a video is due").ok()?;
        let seconds = mp4::creation_time(path).ok()??;
        return Moment::of_unix(i64::try_from(seconds).ok()?.checked_sub(MP4_EPOCH)?, MP4_YEARS);
    }
    None
}

/// The first chunk with a zone, or else the first with a time.
fn of_wav(file: &mut File) -> Option<Moment> {
    let mut told = None;
    // Damage on the way takes nothing from what was found before it.
    let _: io::Result<()> = walk_wav(file, |moment| {
        told.get_or_insert(moment);
        if moment.offset.is_some() {
            told = Some(moment);
        }
        moment.offset.is_none()
    });
    told
}

/// `found` says whether to look on.
fn walk_wav(file: &mut File, mut found: impl FnMut(Moment) -> bool) -> io::Result<()> {
    let length = file.metadata()?.len();
    let head = read_at(file, 0, 12)?;
    let is_wav =
        [b"RIFF", b"RF64", b"BW64"].iter().any(|id| head.starts_with(*id)) && head.ends_with(b"WAVE");
    let (mut position, mut data_size) = (12, None);
    for _ in 0..if is_wav { MAX_DATE_CHUNKS } else { 0 } {
        let Some((id, mut size)) = chunk_header(file, position, length)? else { break };
        let mut body = |at_most: u64| read_at(file, position + 8, size.min(at_most));
        let moment = match &id {
            b"LIST" => of_info(&body(MAX_DATE_CHUNK)?),
            b"guan" => of_guano(&body(MAX_DATE_CHUNK)?),
            b"bext" => of_bext(&body(MAX_DATE_CHUNK)?),
            b"ds64" => {
                data_size = body(16)?.get(8..).and_then(|size| size.try_into().ok()).map(u64::from_le_bytes);
                None
            }
            _ => None,
        };
        if moment.is_some_and(|moment| !found(moment)) {
            break;
        }
        if &id == b"data" && size == 0xFFFF_FFFF {
            let Some(size_64) = data_size else { break };
            size = size_64;
        }
        // Chunks are padded to even lengths.
        position = position.saturating_add(8).saturating_add(size).saturating_add(size & 1);
    }
    Ok(())
}

/// The comment in a list of what is known of a file.
fn of_info(list: &[u8]) -> Option<Moment> {
    let mut rest = list.strip_prefix(b"INFO")?;
    while let Some((header, body)) = rest.split_at_checked(8) {
        let size = u32::from_le_bytes(header[4..].try_into().ok()?) as usize;
        if header.starts_with(b"ICMT") {
            return of_comment(&String::from_utf8_lossy(&body[..size.min(body.len())]));
        }
        rest = body.get(size.checked_add(size % 2)?..)?;
    }
    None
}

/// `Recorded at 04:30:00 31/05/2024 (UTC+2) by AudioMoth ...`. Early firmware says nothing of the zone.
fn of_comment(comment: &str) -> Option<Moment> {
    let mut text = Scanner(comment.strip_prefix("Recorded at ")?.as_bytes());
    let [hour, minute, second] = [text.digits(2)?, text.after(":")?.digits(2)?, text.after(":")?.digits(2)?];
    let nanosecond = text.fraction();
    let [day, month, year] =
        [text.after(" ")?.digits(2)?, text.after("/")?.digits(2)?, text.after("/")?.digits(4)?];
    let civil = civil([year, month, day], [hour, minute, second], nanosecond)?;
    Some(Moment { civil, offset: text.after(" (UTC").and_then(|text| text.audiomoth_offset()) })
}

/// Lines of `key: value`.
fn of_guano(text: &[u8]) -> Option<Moment> {
    let text = String::from_utf8_lossy(text);
    let value = text.lines().find_map(|line| line.trim_start().strip_prefix("Timestamp:"))?;
    scan(value)
}

/// Broadcast Wave: the date and the time stand behind texts of 320 bytes, separated by what the writer likes.
fn of_bext(chunk: &[u8]) -> Option<Moment> {
    let text = |range: std::ops::Range<usize>| std::str::from_utf8(chunk.get(range)?).ok();
    let number = |range| text(range)?.parse::<u32>().ok();
    let date = [number(320..324)?, number(325..327)?, number(328..330)?];
    let time = [number(330..332)?, number(333..335)?, number(336..338)?];
    Some(Moment { civil: civil(date, time, 0)?, offset: None })
}

/// A date and time that exist.
fn civil(
    [year, month, day]: [u32; 3],
    [hour, minute, second]: [u32; 3],
    nanosecond: i32,
) -> Option<DateTime> {
    let year = i16::try_from(year).ok().filter(|year| YEARS.contains(year))?;
    let short = |number: u32| i8::try_from(number).ok();
    let (month, day) = (short(month)?, short(day)?);
    DateTime::new(year, month, day, short(hour)?, short(minute)?, short(second)?, nanosecond).ok()
}

/// The first date with a time in a text.
fn scan(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let starts = (0..bytes.len()).filter(|&i| i == 0 || !bytes[i - 1].is_ascii_digit());
    starts.filter(|&i| bytes[i].is_ascii_digit()).find_map(|i| Scanner(&bytes[i..]).moment())
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    /// `20240531_043000`, `2024-05-31T04:30:00.123+02:00` and what lies between.
    fn moment(mut self) -> Option<Moment> {
        let year = self.digits(4)?;
        let separator = self.separator(b"-_.");
        let date = [year, self.digits(2)?, self.after(separator)?.digits(2)?];
        // Fourteen digits in a row are a date with a time as well.
        let joints = ["_", "T", "t", " at ", " ", "-", "$"];
        if !joints.iter().any(|joint| self.take(joint)) && !separator.is_empty() {
            return None;
        }
        let hour = self.digits(2)?;
        let separator = self.separator(b":-_.");
        let time = [hour, self.digits(2)?, self.after(separator)?.digits(2)?];
        let mut nanosecond = self.fraction();
        if nanosecond == 0 && separator.is_empty() {
            // Pixel phones write milliseconds right behind the seconds.
            let mut ahead = self;
            if let Some(milliseconds) = ahead.digits(3).filter(|_| !ahead.is_digit()) {
                (nanosecond, self) = (1_000_000 * milliseconds as i32, ahead);
            }
        }
        if self.is_digit() || self.is_half_day() {
            return None;
        }
        Some(Moment { civil: civil(date, time, nanosecond)?, offset: self.offset() })
    }

    fn is_digit(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }

    /// `10.30.00 PM` may be either half of the day to whoever does not read on.
    fn is_half_day(mut self) -> bool {
        let _ = self.take(" ") || self.take("\u{202f}");
        let mut halves = ["AM", "PM", "am", "pm"].iter();
        halves.any(|half| self.take(half)) && self.0.first().is_none_or(|byte| !byte.is_ascii_alphanumeric())
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text.as_bytes());
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Itself behind `text`, which must come next.
    fn after(&mut self, text: &str) -> Option<&mut Self> {
        self.take(text).then_some(self)
    }

    /// One of these characters, or nothing.
    fn separator(&mut self, of: &'static [u8]) -> &'static str {
        let found = of.iter().position(|byte| self.0.first() == Some(byte));
        let text = found.and_then(|i| std::str::from_utf8(&of[i..=i]).ok()).unwrap_or_default();
        self.take(text);
        text
    }

    /// Exactly `count` of them, or more of which the first `count`.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |number, digit| 10 * number + u32::from(digit - b'0')))
    }

    /// `.123` of a second in nanoseconds; 0 where none is told.
    fn fraction(&mut self) -> i32 {
        let Some((b'.' | b',', rest)) = self.0.split_first() else { return 0 };
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // `.3gp` is none.
        if !(1..=9).contains(&count)
            || rest.get(count).is_some_and(|&byte| byte.is_ascii_alphabetic() && byte != b'Z')
        {
            return 0;
        }
        self.0 = &rest[count..];
        rest[..count].iter().fold(0, |number, digit| 10 * number + i32::from(digit - b'0'))
            * 10_i32.pow(9 - count as u32)
    }

    /// `Z`, `+0200`, `+02:00`, `_-0330`. What counts parts of a recording (`-0001`) is none.
    fn offset(&mut self) -> Option<Offset> {
        if self.take("Z") {
            return self.0.first().is_none_or(|byte| !byte.is_ascii_alphanumeric()).then_some(Offset::UTC);
        }
        let _ = self.take("_") || self.take(" ");
        let sign = self.sign()?;
        let hours = self.digits(2)?;
        self.take(":");
        let minutes = self.digits(2).filter(|_| !self.is_digit())?;
        offset(sign, hours, minutes)
    }

    /// Behind `(UTC`: `)`, `+2)`, `-3:30)`.
    fn audiomoth_offset(&mut self) -> Option<Offset> {
        if self.take(")") {
            return Some(Offset::UTC);
        }
        let sign = self.sign()?;
        let hours = self.digits(2).or_else(|| self.digits(1))?;
        let minutes = if self.take(":") { self.digits(2)? } else { 0 };
        self.take(")").then(|| offset(sign, hours, minutes))?
    }

    fn sign(&mut self) -> Option<i32> {
        if self.take("+") { Some(1) } else { self.take("-").then_some(-1) }
    }
}

/// A zone that the world has: whole quarters of an hour.
fn offset(sign: i32, hours: u32, minutes: u32) -> Option<Offset> {
    let is_zone = hours <= 14 && minutes < 60 && minutes.is_multiple_of(15);
    is_zone.then(|| Offset::from_seconds(sign * 60 * (60 * hours + minutes) as i32).ok())?
}

#[cfg(test)]
mod tests;
