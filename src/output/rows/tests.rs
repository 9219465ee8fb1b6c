use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;

use super::flat::{Cell, Row};
use super::*;
use crate::media::Audio;
use crate::output::record::{FrameLabels, FrameTimes};
use crate::signal::Signal;
use crate::time::FrameClock;

const CLOCK: FrameClock = FrameClock { hop_length: 160, sample_rate: 16_000 };

fn model(task: Task) -> BatchModel {
    BatchModel { name: "m".into(), sha256: "0a".into(), task, labels: Vec::new() }
}

fn media(warnings: &[&str]) -> Media {
    Media::Audio(Audio {
        signal: Signal { samples: Vec::new(), sample_rate: 48_000 },
        container: "wav".into(),
        codec: "pcm_s16le".into(),
        sample_rate: 48_000,
        channels: 2,
        num_samples: 46_000,
        mix: "mean of 2 channels".into(),
        warnings: warnings.iter().map(|warning| warning.to_string()).collect(),
    })
}

fn event(label: &str, start: u64, end: u64) -> ScoredEvent {
    ScoredEvent {
        label: label.into(),
        onset: CLOCK.seconds(start),
        offset: CLOCK.seconds(end),
        score: 0.1,
        peak: 0.9,
        frame_start: start,
        frame_end: end,
        video: None,
    }
}

fn line(record: &BatchRecord) -> Vec<u8> {
    serde_json::to_vec(record).unwrap()
}

fn labels(path: &str) -> Vec<u8> {
    let prediction = |label: &str, score| Prediction { label: label.into(), score };
    let found = Found::Labels { predictions: vec![prediction("=1+1", 0.7), prediction("b, \"c\"", 1e-7)] };
    let recorded_at = Some("2024-05-31T04:30:00Z".into());
    let warnings = media(&["cut off", "-x"]);
    line(&BatchRecord::ok(&model(Task::Classify), "top_k=2", path.as_ref(), &warnings, recorded_at, found))
}

fn events(path: &str, events: Vec<ScoredEvent>, recorded_at: Option<&str>) -> Vec<u8> {
    let frames = Frames {
        times: FrameTimes::Steady { start: 0.0, hop: 0.01 },
        labels: vec![FrameLabels::One("dog".into())],
        scores: vec![vec![0.1, 0.2]],
    };
    let found = Found::Events { events, frames: Some(frames) };
    let recorded_at = recorded_at.map(str::to_string);
    line(&BatchRecord::ok(&model(Task::Tag), "", path.as_ref(), &media(&[]), recorded_at, found))
}

fn failed(path: &str) -> Vec<u8> {
    let error = Error::new(ErrorKind::Damaged, "is, damaged").with_path(path);
    line(&BatchRecord::error(&model(Task::Tag), "", path.as_ref(), &error))
}

fn all() -> Vec<Vec<u8>> {
    let two = vec![event("dog", 10, 30), event("cat", 20, 97)];
    vec![
        labels("+a.wav"),
        events("night/b.wav", two, Some("2024-05-31T23:59:59.9")),
        events("c\nd.wav", Vec::new(), None),
        failed("e.wav"),
    ]
}

fn written(format: RowFormat, rows: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = RowWriter::new(format, Vec::new()).unwrap();
    for row in rows {
        writer.write(row).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn json_lines_are_the_rows_as_they_are() {
    let odd = vec![b" {\"a\" : 1.50}".to_vec(), b"no JSON".to_vec()];
    assert_eq!(written(RowFormat::Jsonl, &odd), b" {\"a\" : 1.50}\nno JSON\n");
    assert_eq!(written(RowFormat::Jsonl, &[]), b"");
}

#[test]
fn csv_has_a_row_for_a_label_an_event_an_input_without_events_and_one_that_failed() {
    let expected = "path,status,rank,label,score,peak,onset,offset,event_at,recorded_at,duration,sample_rate,channels,\
         warnings,error_kind,error_message,task,model,model_sha256,settings,tool\n\
         '+a.wav,ok,1,'=1+1,0.7,,0,0.9583333333333334,2024-05-31T04:30:00Z,2024-05-31T04:30:00Z,0.9583333333333334,\
         48000,2,cut off; -x,,,classify,m,0a,top_k=2,TOOL\n\
         '+a.wav,ok,2,\"b, \"\"c\"\"\",0.0000001,,0,0.9583333333333334,2024-05-31T04:30:00Z,2024-05-31T04:30:00Z,\
         0.9583333333333334,48000,2,cut off; -x,,,classify,m,0a,top_k=2,TOOL\n\
         night/b.wav,ok,,dog,0.1,0.9,0.1,0.3,2024-06-01T00:00:00,2024-05-31T23:59:59.9,0.9583333333333334,48000,2,,,,\
         tag,m,0a,,TOOL\n\
         night/b.wav,ok,,cat,0.1,0.9,0.2,0.97,2024-06-01T00:00:00.1,2024-05-31T23:59:59.9,0.9583333333333334,48000,2,\
         ,,,tag,m,0a,,TOOL\n\
         \"c\nd.wav\",ok,,,,,,,,,0.9583333333333334,48000,2,,,,tag,m,0a,,TOOL\n\
         e.wav,error,,,,,,,,,,,,,damaged,\"is, damaged\",tag,m,0a,,TOOL\n";
    let text = String::from_utf8(written(RowFormat::Csv, &all())).unwrap();
    assert_eq!(text, expected.replace("TOOL", crate::TOOL));
    assert_eq!(
        String::from_utf8(written(RowFormat::Csv, &[])).unwrap(),
        expected.split_inclusive('\n').next().unwrap()
    );
}

fn reader(bytes: &[u8]) -> SerializedFileReader<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    SerializedFileReader::new(file).unwrap()
}

/// Rows as the reader of the parquet crate sees them.
fn parquet_rows(bytes: Vec<u8>) -> Vec<Vec<(String, Field)>> {
    let reader = reader(&bytes);
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns()).collect()
}

// The bytes of this test were read by others once:
//
// import pandas, pyarrow.parquet, duckdb   (pandas 3.1.1, pyarrow 26.0.1, duckdb 2.0.1)
// f = pyarrow.parquet.ParquetFile("rows.parquet")
// print(f.metadata.created_by, f.metadata.num_rows, f.metadata.num_row_groups)
// d = pandas.read_parquet("rows.parquet")
// print(d[["path", "status", "rank", "label", "score", "peak", "onset", "event_at", "error_kind"]].to_string())
// print(d.duration.tolist(), d.score.tolist())
// print(duckdb.sql("select label, count(*), max(score) from 'rows.parquet' where status = 'ok' group by label order by label")
//       .fetchall())
//
// percept 0.1.0 6 1
//           path status  rank   label         score  peak  onset               event_at error_kind
// 0       +a.wav     ok   1.0    =1+1  7.000000e-01   NaN    0.0   2024-05-31T04:30:00Z        NaN
// 1       +a.wav     ok   2.0  b, "c"  1.000000e-07   NaN    0.0   2024-05-31T04:30:00Z        NaN
// 2  night/b.wav     ok   NaN     dog  1.000000e-01   0.9    0.1    2024-06-01T00:00:00        NaN
// 3  night/b.wav     ok   NaN     cat  1.000000e-01   0.9    0.2  2024-06-01T00:00:00.1        NaN
// 4     c\nd.wav     ok   NaN     NaN           NaN   NaN    NaN                    NaN        NaN
// 5        e.wav  error   NaN     NaN           NaN   NaN    NaN                    NaN    damaged
// [0.9583333333333334, 0.9583333333333334, 0.9583333333333334, 0.9583333333333334, 0.9583333333333334, nan]
//   [0.7, 1e-07, 0.1, 0.1, nan, nan]
// [('=1+1', 1, 0.7), ('b, "c"', 1, 1e-07), ('cat', 1, 0.1), ('dog', 1, 0.1), (None, 1, None)]
#[test]
fn parquet_has_the_cells_of_csv_with_their_types_and_absent_ones() {
    let read = parquet_rows(written(RowFormat::Parquet, &all()));
    let lines: Vec<Row> = all().iter().map(|line| Row::read(line).unwrap()).collect();
    let flat: Vec<_> = lines.iter().flat_map(Row::flat).collect();
    assert_eq!((read.len(), flat.len()), (6, 6));
    for (read, flat) in read.iter().zip(&flat) {
        let expected = flat.cells().map(|(name, cell)| {
            let field = match cell {
                Cell::Text(text) => text.map(|text| Field::Str(text.into())),
                Cell::Integer(value) => value.map(Field::Long),
                Cell::Double(value) => value.map(Field::Double),
            };
            (name.to_string(), field.unwrap_or(Field::Null))
        });
        assert_eq!(read, &expected);
    }
    assert_eq!(read[0][3].1, Field::Str("=1+1".into()), "no spreadsheet runs it");
    assert_eq!(read[0][4].1, Field::Double(0.7), "as JSON has it");
    assert_eq!(parquet_rows(written(RowFormat::Parquet, &[])).len(), 0);
}

#[test]
fn the_same_rows_are_the_same_bytes_of_parquet() {
    let bytes = written(RowFormat::Parquet, &all());
    assert_eq!(written(RowFormat::Parquet, &all()), bytes);
    let reader = reader(&bytes);
    assert_eq!(reader.metadata().file_metadata().created_by(), Some(crate::TOOL));
}

#[test]
fn however_many_rows_there_are_few_are_held() {
    let many = vec![event("dog", 10, 30); 1000];
    let rows = vec![events("a.wav", many, Some("2024-05-31T04:30:00")); 140];
    let long = vec![failed(&"x".repeat(6 << 20)), failed(&"y".repeat(6 << 20)), failed(&"z".repeat(6 << 20))];
    for (rows, groups) in [(rows, &[65_536, 65_536, 8928][..]), ([long, vec![failed("a")]].concat(), &[3, 1])]
    {
        let reader = reader(&written(RowFormat::Parquet, &rows));
        let sizes: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(sizes, groups);
        let labels = reader.get_row_iter(None).unwrap().filter(|row| row.as_ref().unwrap().len() == 21);
        assert_eq!(labels.count() as i64, groups.iter().sum::<i64>());
    }
}

#[test]
fn numbers_are_those_of_json_to_the_last_bit() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for _ in 0..20_000 {
        let onset = f64::from_bits(random.random_range(0x3E00_0000_0000_0000..0x4200_0000_0000_0000));
        let score = f32::from_bits(random.random_range(0x2000_0000..0x3F80_0000));
        let sent = ScoredEvent { onset, score, ..event("dog", 0, 1) };
        let row = Row::read(&events("a.wav", vec![sent], None)).unwrap();
        assert_eq!((row.events[0].onset, row.events[0].score), (onset, score));
        let flat = row.flat().next().unwrap();
        let cells: BTreeMap<_, _> = flat.cells().into_iter().collect();
        let json = serde_json::to_string(&score).unwrap().parse().unwrap();
        assert_eq!(
            (&cells["onset"], &cells["score"]),
            (&Cell::Double(Some(onset)), &Cell::Double(Some(json)))
        );
    }
}

#[test]
fn a_row_that_is_none_is_an_error() {
    for row in ["", "{}", "[1]", "{\"tool\":1}", "\u{0}"] {
        for format in [RowFormat::Csv, RowFormat::Parquet] {
            let error = RowWriter::new(format, Vec::new()).unwrap().write(row.as_bytes()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged, "{row}: {error}");
        }
    }
    let whole = labels("a.wav");
    for length in 0..whole.len() {
        assert!(Row::read(&whole[..length]).is_err());
    }
}

/// A disk with room for so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_of_the_system() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    // More than a buffer holds and Snappy makes small.
    let long: String = (0..50_000).map(|_| random.random_range('a'..='z')).collect();
    let rows = [all(), vec![failed(&long)]].concat();
    for format in [RowFormat::Jsonl, RowFormat::Csv, RowFormat::Parquet] {
        let whole = written(format, &rows).len();
        for room in [0, 1, 100, 20_000, whole - 5000, whole - 1, whole] {
            let write = || {
                let mut writer = RowWriter::new(format, Disk(room))?;
                rows.iter().try_for_each(|row| writer.write(row))?;
                writer.finish()
            };
            match write() {
                Ok(disk) => assert_eq!((disk.0, room), (0, whole)),
                Err(error) => {
                    assert!(room < whole && error.kind == ErrorKind::Io, "{format:?} {room}: {error}");
                    assert_eq!(error.path, None);
                }
            }
        }
    }
}

#[test]
fn the_extension_of_the_output_names_the_format() {
    for (name, format) in [
        ("x.jsonl", Some(RowFormat::Jsonl)),
        ("x.NDJSON", Some(RowFormat::Jsonl)),
        ("x.csv", Some(RowFormat::Csv)),
        ("x.parquet", Some(RowFormat::Parquet)),
        ("x.txt", None),
        ("x", None),
    ] {
        assert_eq!(RowFormat::from_path(name.as_ref()), format, "{name}");
    }
    assert!(RowFormat::Raven.is_tree() && !RowFormat::Csv.is_tree());
    let error = RowWriter::new(RowFormat::Raven, Vec::new()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Config);
}

fn tree(directory: &Path, format: RowFormat) -> Tree {
    let model = EventModel { labels: vec!["dog".into(), "cat".into()], clock: CLOCK };
    Tree::new(directory, format.events().unwrap(), BTreeMap::from([("0a".to_string(), model)]))
}

#[test]
fn a_tree_has_a_file_for_each_input_where_the_input_is() {
    let row = events("in/night/b.wav", vec![event("dog", 10, 30), event("cat", 20, 97)], None);
    for (format, name, expected) in [
        (RowFormat::Audacity, "night/b.wav.txt", "0.1\t0.3\tdog\n0.2\t0.9583333333333334\tcat\n"),
        (RowFormat::Raven, "night/b.wav.selections.txt", "\t0.1\t0.3\t0.0\t24000.0\tb.wav\tdog\t0.1\n"),
        (RowFormat::Textgrid, "night/b.wav.TextGrid", "xmax = 0.9583333333333334\n"),
        (RowFormat::Rttm, "night/b.wav.rttm", "SPEAKER b 1 0.2 0.77 <NA> <NA> cat <NA> <NA>\n"),
        (RowFormat::Webvtt, "night/b.wav.vtt", "WEBVTT\n\n00:00:00.100 --> 00:00:00.300\ndog (0.10)\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let tree = tree(folder.path(), format);
        for _ in 0..2 {
            let path = tree.write(&row, "./night/b.wav".as_ref()).unwrap().unwrap();
            assert_eq!(path, folder.path().join(name));
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(std::fs::read_dir(folder.path().join("night")).unwrap().count(), 1);
    }
}

#[test]
fn an_input_without_events_has_a_file_and_one_that_failed_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path(), RowFormat::Audacity);
    let path = tree.write(&events("a.wav", Vec::new(), None), "a.wav".as_ref()).unwrap().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"");
    assert_eq!(tree.write(&failed("x/b.wav"), "x/b.wav".as_ref()).unwrap(), None);
    assert!(!folder.path().join("x").exists());
}

#[test]
fn the_events_of_a_video_may_lie_behind_its_duration_as_its_clock_may_not_begin_at_0() {
    let row = String::from_utf8(events("a.mp4", vec![event("dog", 100, 130)], None)).unwrap();
    let row = row.replace("\"kind\":\"audio\"", "\"kind\":\"video\"");
    let folder = tempfile::tempdir().unwrap();
    let path =
        tree(folder.path(), RowFormat::Audacity).write(row.as_bytes(), "a.mp4".as_ref()).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "1\t1.3\tdog\n");
}

#[test]
fn nothing_is_written_outside_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    let tree = tree(&inner, RowFormat::Audacity);
    let row = events("a.wav", Vec::new(), None);
    for place in ["", ".", "..", "../a.wav", "x/../../a.wav", "x/../a.wav", "/a.wav"] {
        let error = tree.write(&row, place.as_ref()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Path, "{place}: {error}");
    }
    let left: Vec<PathBuf> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_row_of_another_model_or_task_is_refused_by_a_tree() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path(), RowFormat::Audacity);
    let other = String::from_utf8(events("a.wav", Vec::new(), None)).unwrap().replace("\"0a\"", "\"0b\"");
    for row in [other.as_bytes(), &labels("a.wav")] {
        assert_eq!(tree.write(row, "a.wav".as_ref()).unwrap_err().kind, ErrorKind::Model);
    }
}
