//! Tables with a row a segment: any names of columns, Raven's selection tables among them.

use std::collections::HashSet;

use super::{LabelOptions, Parsed, Row, TimedLabel, check_frame_hop, seconds, wrong};
use crate::Result;
use crate::error::{Position, some_of};
use crate::table::{Table, column};

/// Names that columns commonly have, in lower case.
const ONSET: &[&str] = &[
    "onset",
    "onset_s",
    "onset_seconds",
    "onset (s)",
    "start",
    "start_s",
    "start_time",
    "start_seconds",
    "start (s)",
    "begin",
    "begin_s",
    "begin_time",
    "begin time (s)",
    "time",
    "time_s",
    "time_seconds",
];
const OFFSET: &[&str] = &[
    "offset",
    "offset_s",
    "offset_seconds",
    "offset (s)",
    "end",
    "end_s",
    "end_time",
    "end_seconds",
    "end (s)",
    "end time (s)",
    "stop",
    "stop_s",
    "stop_time",
];
const FIRST_FRAME: &[&str] = &["frame_start", "start_frame", "onset_frame", "first_frame"];
const END_FRAME: &[&str] = &["frame_end", "end_frame", "offset_frame"];
const LABEL: &[&str] = &["label", "event_label", "class", "species", "annotation", "speaker"];
const FILE: &[&str] =
    &["path", "file", "filename", "file_name", "audio", "audio_file", "recording", "begin file"];
/// Where Raven says when a selection begins in its own file, and not in all files one after the other.
const FILE_OFFSET: &str = "File Offset (s)";

/// Whether a first line names the columns of a table of segments.
pub(super) fn is_header(line: &str, options: &LabelOptions) -> bool {
    let fields = line.split([',', '\t', ';']).map(|field| field.trim().trim_matches('"'));
    let has = |names: &[&str], asked: &str| {
        fields.clone().any(|f| f == asked && !asked.is_empty() || names.contains(&f.to_lowercase().as_str()))
    };
    has(ONSET, &options.onset_column) || has(FIRST_FRAME, &options.onset_column)
}

pub(super) fn parse(text: &str, options: &LabelOptions) -> Result<Parsed> {
    let mut table = Table::new(text)?;
    let columns = Columns::find(&table.header, options)?;
    let hop = if columns.in_frames { check_frame_hop(options.frame_hop)? } else { 0.0 };
    let mut parsed = Parsed { names_files: columns.file.is_some(), ..Parsed::default() };
    parsed.messages.extend(columns.ignored(&table.header));
    if columns.offset.is_none() {
        parsed.messages.push("there is no column with the end of a label: only onsets are known".to_string());
    }
    let mut selections = HashSet::new();
    let mut twins = 0;
    while let Some((line, record)) = table.next_row()? {
        let field = |column: usize| record.get(column).unwrap_or_default();
        let file = columns.file.map(field).map(str::to_string);
        if let Some([selection, _]) = columns.views
            && !selections.insert((file.clone(), field(selection).to_string()))
        {
            twins += 1;
            continue;
        }
        let label = columns.read(&field, hop, line).map_err(|error| error.at(Position::Line(line)))?;
        if file.as_ref().is_some_and(String::is_empty) {
            return Err(wrong("the row names no file".to_string()).at(Position::Line(line)));
        }
        parsed.rows.push(Row { file, label, line });
    }
    if twins > 0 {
        parsed
            .messages
            .push(format!("{twins} rows show a selection in another view and are not counted again"));
    }
    Ok(parsed)
}

struct Columns {
    file: Option<usize>,
    onset: usize,
    offset: Option<usize>,
    label: usize,
    /// Times are numbers of frames, the end behind the last.
    in_frames: bool,
    /// Raven's selection and view.
    views: Option<[usize; 2]>,
    /// Raven's onset in the file that the row names.
    file_offset: Option<usize>,
}

impl Columns {
    fn find(header: &[String], options: &LabelOptions) -> Result<Self> {
        let named = |name: &str| header.iter().position(|h| h == name);
        let find = |asked: &str, names: &[&str], what: &str, setting: &str| match asked {
            "" => guess(header, names, what, setting),
            asked => column(header, asked, setting).map(Some),
        };
        let is_frame =
            |column: usize, names: &[&str]| names.contains(&header[column].to_lowercase().as_str());
        let mut onset = find(&options.onset_column, ONSET, "the onset", "onset-column")?;
        let mut offset = find(&options.offset_column, OFFSET, "the offset", "offset-column")?;
        let mut in_frames = onset.is_some_and(|onset| is_frame(onset, FIRST_FRAME));
        if onset.is_none() {
            onset = guess(header, FIRST_FRAME, "the first frame", "onset-column")?;
            in_frames = onset.is_some();
        }
        if in_frames && options.offset_column.is_empty() {
            offset = guess(header, END_FRAME, "the last frame", "offset-column")?;
        }
        let missing = |what: &str, setting: &str| {
            let names: Vec<&str> = header.iter().map(String::as_str).collect();
            wrong(format!(
                "has no column that is plainly {what}; its columns are {}: name one with --{setting}",
                some_of(&names)
            ))
        };
        let file = find(&options.file_column, FILE, "the file", "file-column")?;
        Ok(Self {
            file,
            onset: onset.ok_or_else(|| missing("the onset", "onset-column"))?,
            offset,
            label: find(&options.label_column, LABEL, "the label", "label-column")?
                .ok_or_else(|| missing("the label", "label-column"))?,
            in_frames,
            views: named("Selection").zip(named("View")).map(|(selection, view)| [selection, view]),
            file_offset: file.and(named(FILE_OFFSET)),
        })
    }

    /// Nothing where the row only names its file.
    fn read<'a>(&self, field: &impl Fn(usize) -> &'a str, hop: f64, line: u64) -> Result<Option<TimedLabel>> {
        let end = self.offset.map(field);
        if field(self.onset).is_empty() && end.is_none_or(str::is_empty) && field(self.label).is_empty() {
            return Ok(None);
        }
        let time = |text: &str, what: &str| match self.in_frames {
            false => seconds(text, what),
            true => match text.parse::<u32>() {
                Ok(frame) => Ok(f64::from(frame) * hop),
                Err(_) => Err(wrong(format!("the {what} is {text:?}, not the number of a frame"))),
            },
        };
        let mut onset = time(field(self.onset), "onset")?;
        let mut offset = end.map_or(Ok(onset), |end| time(end, "offset"))?;
        if let Some(column) = self.file_offset {
            let start = seconds(field(column), "file offset")?;
            (onset, offset) = (start, start + (offset - onset));
        }
        TimedLabel::new(onset, offset, field(self.label), line).map(Some)
    }

    /// Names the columns that nothing looks at.
    fn ignored(&self, header: &[String]) -> Option<String> {
        let [selection, view] = self.views.map_or([None; 2], |views| views.map(Some));
        let used =
            [self.file, Some(self.onset), self.offset, Some(self.label), self.file_offset, selection, view];
        let unused = header.iter().enumerate().filter(|(k, _)| !used.contains(&Some(*k)));
        let names: Vec<&str> = unused.map(|(_, name)| name.as_str()).collect();
        (!names.is_empty()).then(|| format!("columns that are not used: {}", some_of(&names)))
    }
}

/// The only column with one of these names, if any.
fn guess(header: &[String], names: &[&str], what: &str, setting: &str) -> Result<Option<usize>> {
    let is_one = |name: &str| names.contains(&name.to_lowercase().as_str());
    let mut found = (0..header.len()).filter(|&k| is_one(&header[k]));
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(wrong(format!(
            "both \"{}\" and \"{}\" may be {what}; choose with --{setting}",
            header[first], header[second]
        ))),
        (first, _) => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::labels;
    use super::*;

    fn with(change: impl FnOnce(&mut LabelOptions)) -> LabelOptions {
        let mut options = LabelOptions::default();
        change(&mut options);
        options
    }

    fn message(text: &str, options: &LabelOptions) -> String {
        parse(text, options).unwrap_err().to_string()
    }

    #[test]
    fn common_names_of_columns_are_guessed_and_others_are_kept_out_of_the_way() {
        for header in [
            "path,onset_s,offset_s,label,score",
            "File;Start;End;Species;x",
            "filename\tbegin\tstop\tclass\ty",
        ] {
            let d = header.chars().find(|c| ",;\t".contains(*c)).unwrap().to_string();
            let row = ["a.wav", "0.5", "1.5", "dog", "7"].join(&d);
            let parsed = parse(&format!("{header}\n{row}\n"), &LabelOptions::default()).unwrap();
            assert_eq!(labels(&parsed), [(0.5, 1.5, "dog")]);
            assert_eq!(parsed.rows[0].file.as_deref(), Some("a.wav"));
            assert_eq!((parsed.messages.len(), parsed.rows[0].line), (1, 2), "{:?}", parsed.messages);
        }
    }

    #[test]
    fn frames_are_held_to_the_same_time_as_seconds() {
        let hop = with(|o| o.frame_hop = 0.01);
        assert!(parse("frame_start,frame_end,label\n0,100000000,a\n", &hop).is_ok());
        assert!(
            message("frame_start,frame_end,label\n0,100000001,a\n", &hop)
                .contains("must be 0 to 1000000 seconds")
        );
    }

    #[test]
    fn what_is_ambiguous_or_missing_is_asked_for() {
        let none = LabelOptions::default();
        let both = "onset,offset,label,species\n0,1,a,b\n";
        assert_eq!(
            message(both, &none),
            "both \"label\" and \"species\" may be the label; choose with --label-column"
        );
        let chosen = with(|o| o.label_column = "species".into());
        assert_eq!(labels(&parse(both, &chosen).unwrap()), [(0.0, 1.0, "b")]);
        assert!(message("begin,what\n0,a\n", &none).contains("--label-column"));
        assert!(message("x,label\n0,a\n", &none).contains("--onset-column"));
        let asked = with(|o| o.label_column = "specis".into());
        assert!(message(both, &asked).contains("did you mean \"species\"?"));
    }

    #[test]
    fn onsets_alone_and_ranges_of_frames_are_read() {
        let parsed = parse("path,time_s,label\na,0.25,KD\n", &LabelOptions::default()).unwrap();
        assert_eq!(labels(&parsed), [(0.25, 0.25, "KD")]);
        assert!(parsed.messages[0].contains("only onsets"));
        let hop = with(|o| o.frame_hop = 0.5);
        let frames = "frame_start,frame_end,label\n2,5,a\n";
        assert_eq!(labels(&parse(frames, &hop).unwrap()), [(1.0, 2.5, "a")]);
        assert!(message(frames, &LabelOptions::default()).contains("--label-hop"));
        assert!(
            message("frame_start,frame_end,label\n2.5,5,a\n", &hop).contains("not the number of a frame")
        );
    }

    #[test]
    fn views_of_raven_are_merged_and_times_are_those_in_the_file() {
        let text = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n\
                    1\tWaveform 1\t1\t0.5\t1.0\t0\t8000\tA\n\
                    1\tSpectrogram 1\t1\t0.5\t1.0\t100\t8000\tA\n\
                    2\tSpectrogram 1\t1\t2.0\t3.0\t100\t8000\tB\n";
        let parsed = parse(text, &LabelOptions::default()).unwrap();
        assert_eq!(labels(&parsed), [(0.5, 1.0, "A"), (2.0, 3.0, "B")]);
        assert!(parsed.messages[1].starts_with("1 rows show a selection"), "{:?}", parsed.messages);
        let several = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n\
                       1\tS\t100.5\t101\tb.wav\t0.5\tA\n";
        let parsed = parse(several, &LabelOptions::default()).unwrap();
        assert_eq!((labels(&parsed), parsed.names_files), (vec![(0.5, 1.0, "A")], true));
    }

    #[test]
    fn a_wrong_row_is_an_error_with_its_line() {
        for (row, part) in [
            ("a,1", "2 fields"),
            ("a,x,2,dog", "the onset is \"x\""),
            ("a,1,,dog", "the offset is \"\""),
            ("a,2,1,dog", "before it begins"),
            ("a,1,2,", "a label is empty"),
            (",1,2,dog", "names no file"),
        ] {
            let text = format!("path,onset,offset,label\na,0,1,dog\n{row}\n");
            let error = parse(&text, &LabelOptions::default()).unwrap_err();
            assert_eq!(error.position, Some(Position::Line(3)), "{row}");
            assert!(error.message.contains(part), "{row}: {error}");
        }
        let empty = parse("path,onset,offset,label\na,,,\n", &LabelOptions::default()).unwrap();
        assert_eq!((empty.rows.len(), &empty.rows[0].label), (1, &None));
    }
}
