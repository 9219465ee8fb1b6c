use std::io::{Seek, SeekFrom, Write};

use super::*;

fn named(name: &str) -> Option<String> {
    recorded_at(Path::new("no/such/folder").join(name).as_path())
}

#[test]
fn names_of_many_recorders_tell_the_time() {
    for (name, expected) in [
        ("20240531_043000.WAV", "2024-05-31T04:30:00"),
        ("20240531_043000T.WAV", "2024-05-31T04:30:00"),
        ("SM4_20240531_043000.wav", "2024-05-31T04:30:00"),
        ("S4A01234_20240531$043000.wav", "2024-05-31T04:30:00"),
        ("2024-05-31T04-30-00.flac", "2024-05-31T04:30:00"),
        ("2024-05-31 04.30.00.ogg", "2024-05-31T04:30:00"),
        ("2024-05-31 04.30.00", "2024-05-31T04:30:00"),
        ("2024_05_31_04_30_00.wav", "2024-05-31T04:30:00"),
        ("Screen Recording 2024-05-31 at 04.30.00.mov", "2024-05-31T04:30:00"),
        ("cam-20240531043000.mkv", "2024-05-31T04:30:00"),
        ("20240531T043000Z.opus", "2024-05-31T04:30:00Z"),
        ("20240531_043000.123.wav", "2024-05-31T04:30:00.123"),
        ("2024-05-31T04:30:00.25Z.wav", "2024-05-31T04:30:00.25Z"),
        ("PXL_20240531_043000123.mp4", "2024-05-31T04:30:00.123"),
        ("20240531_043000+0200.wav", "2024-05-31T04:30:00+02:00"),
        ("SwiftOne_20240531_043000_-0330.wav", "2024-05-31T04:30:00-03:30"),
        ("20240531_043000+0000_x.wav", "2024-05-31T04:30:00Z"),
        ("20240531_043000-0001.wav", "2024-05-31T04:30:00"),
        ("20240531_043000 among birds.wav", "2024-05-31T04:30:00"),
        ("20240531T043000+1000_REC [-27.3 152.5].flac", "2024-05-31T04:30:00+10:00"),
        ("20240531_043000Zebra.wav", "2024-05-31T04:30:00"),
        ("12345678_20240229_235959_7.wav", "2024-02-29T23:59:59"),
        ("1234_19650717_080000.wav", "1965-07-17T08:00:00"),
        ("5CE1B2F0.WAV", "2019-05-19T19:48:00Z"),
    ] {
        assert_eq!(named(name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn what_is_no_time_of_the_calendar_is_none() {
    for name in [
        "20241331_043000.wav",
        "20240010_043000.wav",
        "20230229_043000.wav",
        "20240531_250000.wav",
        "20240531_046000.wav",
        "20240531_043060.wav",
        "20240531.wav",
        "12345678.wav",
        "20240531_0430.wav",
        "Screen Recording 2024-05-31 at 10.30.00\u{202f}PM.mov",
        "2024-05-31 10.30.00 am.wav",
        "20240531_04300012.wav",
        "20240531x043000.wav",
        "2024-0531_043000.wav",
        "2024-05_31_043000.wav",
        "12345678_123456.wav",
        "120240531_043000.wav",
        "0CE1B2F0.WAV",
        "FFFFFFFF.WAV",
        "x5CE1B2F0.WAV",
        "5CE1B2F.WAV",
        "5ce1b2f0-1.wav",
        "59041234.wav",
        "été_é2024.wav",
        "",
        "..",
    ] {
        assert_eq!(named(name), None, "{name}");
    }
}

// from datetime import datetime, timedelta   (CPython 3.11.7)
// for at, s in [("2024-05-31T04:30:00", 606.7), ("2024-02-28T23:59:59.900+00:00", 0.1), ("2023-12-31T23:59:00+02:00", 3600),
//               ("2024-05-31T04:30:00.125-03:30", 86400.0625), ("2024-05-31T04:30:00", -0.001)]:
//     print((datetime.fromisoformat(at) + timedelta(seconds=s)).isoformat())
// 2024-05-31T04:40:06.700000
// 2024-02-29T00:00:00+00:00
// 2024-01-01T00:59:00+02:00
// 2024-06-01T04:30:00.187500-03:30
// 2024-05-31T04:29:59.999000
#[test]
fn an_event_has_the_time_of_its_recording_and_its_own() {
    for (at, seconds, expected) in [
        ("2024-05-31T04:30:00", 606.7, "2024-05-31T04:40:06.7"),
        ("2024-02-28T23:59:59.9Z", 0.1, "2024-02-29T00:00:00Z"),
        ("2023-12-31T23:59:00+02:00", 3600.0, "2024-01-01T00:59:00+02:00"),
        ("2024-05-31T04:30:00.125-03:30", 86400.0625, "2024-06-01T04:30:00.188-03:30"),
        ("2024-05-31T04:30:00", -0.001, "2024-05-31T04:29:59.999"),
    ] {
        assert_eq!(later(at, seconds).as_deref(), Some(expected), "{at} {seconds}");
    }
    for millisecond in 0..10_000_u32 {
        let (second, fraction) = (millisecond / 1000, format!(".{:03}", millisecond % 1000));
        let expected =
            format!("2024-05-31T04:30:{second:02}{}", fraction.trim_end_matches('0').trim_end_matches('.'));
        assert_eq!(later("2024-05-31T04:30:00", f64::from(millisecond) / 1000.0), Some(expected));
    }
}

#[test]
fn what_leads_to_no_time_is_none() {
    for seconds in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
        assert_eq!(later("2024-05-31T04:30:00", seconds), None, "{seconds}");
    }
    assert_eq!(later("yesterday", 1.0), None);
}

fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [id.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

fn wav(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WAVE".to_vec(), chunk(b"fmt ", &[0; 16]), chunks.concat()].concat();
    chunk(b"RIFF", &body)
}

fn comment(text: &str) -> Vec<u8> {
    chunk(
        b"LIST",
        &[b"INFO".to_vec(), chunk(b"IART", b"AudioMoth 1"), chunk(b"ICMT", text.as_bytes())].concat(),
    )
}

fn bext(date: &str, time: &str) -> Vec<u8> {
    chunk(b"bext", &[&[b'x'; 320], date.as_bytes(), time.as_bytes(), &[0; 264]].concat())
}

fn guano(timestamp: &str) -> Vec<u8> {
    chunk(
        b"guan",
        format!("GUANO|Version: 1.0\nLoc Position: 1 2\nTimestamp: {timestamp}\nNote: x\n").as_bytes(),
    )
}

/// What a file of this name and content tells.
fn told(name: &str, bytes: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    recorded_at(&path)
}

#[test]
fn the_comment_of_an_audiomoth_tells_the_zone_in_most_firmwares() {
    for (text, expected) in [
        (
            "Recorded at 04:30:00 31/05/2024 (UTC) by AudioMoth 24F3190361BCDF34 at medium gain while battery was 4.2V \
             and temperature was 21.1C.",
            "2024-05-31T04:30:00Z",
        ),
        (
            "Recorded at 04:30:00 31/05/2024 (UTC+2) by AudioMoth 24F3190361BCDF34",
            "2024-05-31T04:30:00+02:00",
        ),
        (
            "Recorded at 04:30:00.250 31/05/2024 (UTC-3:30) during deployment 1",
            "2024-05-31T04:30:00.25-03:30",
        ),
        (
            "Recorded at 04:30:00 31/05/2024 (UTC+10) by AudioMoth 24F3190361BCDF34",
            "2024-05-31T04:30:00+10:00",
        ),
        (
            "Recorded at 19:17:30 19/01/2018 by AudioMoth 0FE081F80FE081F0 at gain setting 2",
            "2018-01-19T19:17:30",
        ),
        ("Recorded at 04:30:00 31/05/2024 (UTC+99) by AudioMoth", "2024-05-31T04:30:00"),
    ] {
        assert_eq!(told("x.WAV", &wav(&[comment(text)])).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "",
        "Recorded at",
        "Recorded at 04:30:00 31/13/2024 (UTC)",
        "Recorded at noon",
        "04:30:00 31/05/2024",
    ] {
        assert_eq!(told("x.wav", &wav(&[comment(text)])), None, "{text}");
    }
}

// Files of other programs were tried once:
//
// sound="-v error -f lavfi -i sine=d=0.1"; moth="by AudioMoth 24F3190361BCDF34 at medium gain"
// ffmpeg $sound -write_bext 1 -metadata origination_date=2024-05-31 -metadata origination_time=04:30:00 bext.wav
// ffmpeg $sound -metadata comment="Recorded at 04:30:00 31/05/2024 (UTC+2) $moth" icmt.wav
// ffmpeg $sound -rf64 always -metadata comment="Recorded at 04:30:00 31/05/2024 (UTC-3:30) $moth" rf64.wav
// ffmpeg $sound -metadata creation_time=2024-05-31T04:30:00Z a.m4a
// ffmpeg -v error -f lavfi -i testsrc=d=0.2 -metadata creation_time=2024-05-31T04:30:00Z a.mov
// ffmpeg -v error -f lavfi -i testsrc=d=0.2 none.mp4
// ffmpeg $sound guano.wav; python: g = guano.GuanoFile('guano.wav')   (ffmpeg 5.1, guano 1.0.16)
//     g['Timestamp'] = datetime.fromisoformat('2024-05-31T04:30:00.250-05:00'); g.write()
//
// bext.wav Some("2024-05-31T04:30:00")
// icmt.wav Some("2024-05-31T04:30:00+02:00")
// rf64.wav Some("2024-05-31T04:30:00-03:30")
// guano.wav Some("2024-05-31T04:30:00.25-05:00")
// a.m4a Some("2024-05-31T04:30:00Z")
// a.mov Some("2024-05-31T04:30:00Z")
// none.mp4 None
#[test]
fn broadcast_wave_and_guano_tell_the_time_before_or_behind_the_sound() {
    let data = chunk(b"data", &[7; 3001]);
    for (chunks, expected) in [
        (vec![bext("2024-05-31", "04:30:00"), data.clone()], "2024-05-31T04:30:00"),
        (vec![data.clone(), bext("2024_05_31", "04.30.00")], "2024-05-31T04:30:00"),
        (vec![data.clone(), guano("2024-05-31T04:30:00.123-05:00")], "2024-05-31T04:30:00.123-05:00"),
        (vec![guano("2024-05-31T04:30:00"), data.clone()], "2024-05-31T04:30:00"),
        // The first that tells the zone counts.
        (vec![bext("2024-05-31", "04:30:00"), data, guano("2024-05-31 04:30:00Z")], "2024-05-31T04:30:00Z"),
    ] {
        assert_eq!(told("x.wav", &wav(&chunks)).as_deref(), Some(expected));
    }
    assert_eq!(told("x.wav", &wav(&[bext("0000-00-00", "00:00:00")])), None);
    assert_eq!(told("x.wav", &wav(&[chunk(b"bext", b"short")])), None);
}

#[test]
fn rf64_tells_where_the_sound_ends_in_another_chunk() {
    let sizes = [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut bytes = wav(&[chunk(b"ds64", &sizes), chunk(b"data", &[0; 4]), guano("2024-05-31T04:30:00Z")]);
    bytes[..8].copy_from_slice(b"RF64\xff\xff\xff\xff");
    let data = bytes.windows(4).position(|window| window == b"data").unwrap();
    bytes[data + 4..data + 8].copy_from_slice(&[0xFF; 4]);
    assert_eq!(told("x.wav", &bytes).as_deref(), Some("2024-05-31T04:30:00Z"));
}

/// `creation` in seconds since 1904.
fn mp4(creation: u64, version: u8) -> Vec<u8> {
    let boxed = |name: &[u8; 4], body: &[u8]| {
        [&(8 + body.len() as u32).to_be_bytes(), name.as_slice(), body].concat()
    };
    let time = creation.to_be_bytes();
    let time = if version == 1 { &time[..] } else { &time[4..] };
    let mvhd = boxed(b"mvhd", &[&[version, 0, 0, 0], time, &[0; 80]].concat());
    [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[0; 99]), boxed(b"moov", &mvhd)].concat()
}

#[test]
fn a_video_tells_when_it_was_made_unless_its_clock_was_never_set() {
    let moment = MP4_EPOCH as u64 + 1_717_129_800;
    for version in [0, 1] {
        assert_eq!(told("x.mp4", &mp4(moment, version)).as_deref(), Some("2024-05-31T04:30:00Z"));
        assert_eq!(told("x.MOV", &mp4(0, version)), None);
        assert_eq!(told("x.mov", &mp4(1, version)), None);
        assert_eq!(told("x.mp4", &mp4(MP4_EPOCH as u64, version)), None);
    }
    assert_eq!(told("x.mp4", &mp4(u64::MAX, 1)), None);
}

#[test]
fn a_header_adds_a_zone_to_the_name_but_does_not_contradict_it() {
    let moth = wav(&[comment("Recorded at 04:30:00 31/05/2024 (UTC) by AudioMoth 1")]);
    assert_eq!(told("20240531_043000.WAV", &moth).as_deref(), Some("2024-05-31T04:30:00Z"));
    // The clock had another zone, and the name says so.
    assert_eq!(told("20240531_063000+0200.WAV", &moth).as_deref(), Some("2024-05-31T06:30:00+02:00"));
    // The clock was wrong, and somebody gave the file its true time.
    assert_eq!(told("20240604_043000.WAV", &moth).as_deref(), Some("2024-06-04T04:30:00"));
    let exported = wav(&[bext("2025-01-01", "12:00:00")]);
    assert_eq!(told("20240531_043000.wav", &exported).as_deref(), Some("2024-05-31T04:30:00"));
    let phone = mp4(MP4_EPOCH as u64 + 1_717_129_800, 0);
    assert_eq!(told("VID_20240531_063000.mp4", &phone).as_deref(), Some("2024-05-31T04:30:00Z"));
    // Early firmware does not name its zone, but its names are Unix time.
    let early = wav(&[comment("Recorded at 19:48:00 19/05/2019 by AudioMoth 1")]);
    assert_eq!(told("5CE1B2F0.WAV", &early).as_deref(), Some("2019-05-19T19:48:00Z"));
    assert_eq!(told("x.flac", &moth), None, "other endings are not opened");
}

#[test]
fn damaged_headers_tell_nothing_or_what_they_told_before_the_damage() {
    let zone = comment("Recorded at 04:30:00 31/05/2024 (UTC+2) by AudioMoth 1");
    let whole = wav(&[bext("2024-05-31", "04:30:00"), zone, chunk(b"data", &[0; 16])]);
    let folder = tempfile::tempdir().unwrap();
    let (sound, video) = (folder.path().join("x.wav"), folder.path().join("x.mp4"));
    let expected =
        [None, Some("2024-05-31T04:30:00".to_string()), Some("2024-05-31T04:30:00+02:00".to_string())];
    let mut before = 0;
    for length in 0..=whole.len() {
        std::fs::write(&sound, &whole[..length]).unwrap();
        let told = recorded_at(&sound);
        let now =
            expected.iter().position(|time| *time == told).unwrap_or_else(|| panic!("{length}: {told:?}"));
        assert!(now >= before, "{length}");
        before = now;
    }
    assert_eq!(before, 2);
    let film = mp4(MP4_EPOCH as u64 + 1_717_129_800, 0);
    for (path, bytes) in [(&sound, whole), (&video, film)] {
        std::fs::write(path, &bytes).unwrap();
        let mut file = File::options().write(true).open(path).unwrap();
        let mut put = |at: usize, bytes: &[u8]| {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(bytes).unwrap();
        };
        // Sizes that lead far beyond the end, into themselves and to nothing.
        for (at, two) in bytes.windows(2).enumerate() {
            for value in [0, 0x7F, 0xFF] {
                put(at, &[value; 2]);
                recorded_at(path);
            }
            put(at, two);
        }
    }
    assert_eq!(recorded_at(folder.path().join("missing.wav").as_path()), None);
    std::fs::create_dir(folder.path().join("folder.wav")).unwrap();
    assert_eq!(recorded_at(folder.path().join("folder.wav").as_path()), None);
}
