//! Results -> one page that a browser shows: what was found in each file, to look at and to listen to.
//!
//! [`rows`] reads results, [`reference`] what is true of them, [`pictures`] draws each file, [`page`] writes it all into
//! `page/page.html`, which holds `page.css` and the scripts beside it. [`evaluation`] makes such a page of a model's
//! evaluation. Nothing of it asks a network for anything.

mod curves;
mod evaluation;
mod page;
mod pictures;
mod place;
mod reference;
mod rows;

use std::fs::Metadata;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use curves::{Curves, MAX_CURVES, MAX_POINTS};
pub use evaluation::{EvaluatedPart, EvaluationPage, MAX_EVALUATED_ROWS, Training};
pub use pictures::{LEAST_PICTURE_BYTES, MAX_PICTURE_BYTES, MAX_PICTURES_BYTES};
pub use reference::{Reference, Truth};
pub use rows::{Answer, MAX_DOCUMENT_BYTES, MAX_EVENTS, MAX_LINE_BYTES, MAX_ROWS, ModelName, Results, Row};

use crate::files::read_limited;
use crate::guard::guard;
use crate::media::{MediaOptions, kind_of, known_kind_of};
use crate::signal::InputKind;
use crate::{Error, Result};
use evaluation::EvaluatedRow;
use page::{Drawn, Heading, Medium, PageWriter, ROWS_OF_BLOCK};
use pictures::{Picture, bytes_for_rows};
use place::{Roots, link};

/// Largest file that a page takes in itself, in bytes.
pub const MAX_EMBEDDED_FILE: u64 = 8 << 20;
/// Most bytes of all of them.
pub const MAX_EMBEDDED: u64 = 128 << 20;

/// What a page is made of.
pub struct ReportOptions<'a> {
    /// What it is called.
    pub title: &'a str,
    /// Where relative paths of results start from; `None`: here, and then in the folder of the results.
    pub root: Option<&'a Path>,
    /// What is true, and the seconds by which the ends of a found event may be off.
    pub reference: Option<(&'a Path, f64)>,
    /// What of the files is seen: channel, track, frames a second. `None`: they are not read, and there are no pictures.
    pub pictures: Option<&'a MediaOptions>,
    /// Whether media stand in the page itself, as far as they are small.
    pub embed: bool,
}

/// What became of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    pub rows: usize,
    pub pictures: usize,
    /// Files that were not where the results say.
    pub missing: usize,
    /// Files that were there and gave no picture.
    pub unseen: usize,
    pub embedded: usize,
    /// Messages about the reference.
    pub messages: Vec<String>,
}

/// Writes the page of `results`, which were read from `source`, for a place in the directory `folder`. `on_row` hears of
/// each row that is done, in any order. The same results and files give the same bytes.
///
/// # Errors
/// Those of [`Reference::read`] and of the sink, without a path.
pub fn write_report<W: Write>(
    results: &Results,
    source: &Path,
    out: W,
    folder: &Path,
    options: &ReportOptions,
    on_row: &(dyn Fn() + Sync),
) -> Result<(W, Summary)> {
    let rows = &results.rows;
    let roots = Roots::new(options.root, source);
    let files: Vec<Option<PathBuf>> = rows.par_iter().map(|row| roots.find(&row.input.path())).collect();
    let reference = match options.reference {
        Some((path, collar)) => Reference::read(path, rows, &files, collar)?,
        None => Reference::default(),
    };
    let name = options.reference.map(|(path, collar)| (path.to_string_lossy(), collar));
    let problems = match results.num_problems - results.problems.len() {
        0 => None,
        more => Some(format!("{more} more lines are missing")),
    };
    let problems = results.problems.iter().cloned().chain(problems);
    let heading = Heading {
        title: options.title,
        models: &results.models,
        messages: &problems.map(|problem| format!("Results: {problem}")).collect::<Vec<_>>(),
        reference: name.as_ref().map(|(name, collar)| (name.as_ref(), *collar)),
        study: None,
    };
    let content = Content { heading, rows, files: &files, truths: &reference.truths };
    let (out, summary) = write_page(&content, out, folder, options.pictures, options.embed, on_row)?;
    Ok((out, Summary { messages: reference.messages, ..summary }))
}

/// Writes the page of an evaluation, as [`write_report`] does that of results.
///
/// # Errors
/// Those of the sink, without a path.
pub fn write_evaluation<W: Write>(
    evaluation: &EvaluationPage,
    out: W,
    folder: &Path,
    on_row: &(dyn Fn() + Sync),
) -> Result<(W, Summary)> {
    let (evaluated, more) = evaluation.rows();
    let mut content = (Vec::new(), Vec::new(), Vec::new());
    for EvaluatedRow { row, truth, path, .. } in evaluated {
        content.0.push(row);
        content.1.push(path.exists().then_some(path));
        content.2.push(truth);
    }
    let (rows, files, truths) = content;
    let messages = match more {
        0 => Vec::new(),
        more => vec![format!("The {MAX_EVALUATED_ROWS} worst recordings are shown; {more} more are not")],
    };
    let reference = evaluation.reference();
    let heading = Heading {
        title: evaluation.title,
        models: &[evaluation.model_name()],
        messages: &messages,
        reference: reference.as_ref().map(|(name, collar)| (name.as_str(), *collar)),
        study: Some(evaluation.study()?),
    };
    let content = Content { heading, rows: &rows, files: &files, truths: &truths };
    write_page(&content, out, folder, Some(evaluation.media), evaluation.embed, on_row)
}

/// Rows, and what stands above them.
struct Content<'a> {
    heading: Heading<'a>,
    rows: &'a [Row],
    /// Where the file of each row is.
    files: &'a [Option<PathBuf>],
    truths: &'a [Option<Truth>],
}

fn write_page<W: Write>(
    content: &Content,
    out: W,
    folder: &Path,
    pictures: Option<&MediaOptions>,
    embed: bool,
    on_row: &(dyn Fn() + Sync),
) -> Result<(W, Summary)> {
    let Content { heading, rows, files, truths } = content;
    let media = media(rows, files, folder, embed);
    let mut summary = Summary {
        rows: rows.len(),
        missing: files.iter().filter(|file| file.is_none()).count(),
        embedded: media.iter().filter(|medium| matches!(medium, Medium::Embedded(_))).count(),
        ..Summary::default()
    };
    let mut page = PageWriter::new(out)?;
    page.rows(heading, rows, &media, truths)?;
    let limit = bytes_for_rows(rows.len());
    for (number, rows) in rows.chunks(ROWS_OF_BLOCK).enumerate() {
        let files = &files[number * ROWS_OF_BLOCK..][..rows.len()];
        let draw = |(row, file): (&Row, &Option<PathBuf>)| {
            let drawn = pictures.and_then(|media| draw(row, file.as_deref(), media, limit));
            on_row();
            drawn
        };
        let drawn: Vec<Option<Drawn>> = rows.par_iter().zip(files).map(draw).collect();
        summary.pictures += drawn.iter().flatten().filter(|drawn| drawn.is_ok()).count();
        summary.unseen += drawn.iter().flatten().filter(|drawn| drawn.is_err()).count();
        page.block(number, rows, &drawn)?;
    }
    for (row, (medium, file)) in media.iter().zip(*files).enumerate() {
        if let (Medium::Embedded(_), Some(file)) = (medium, file) {
            // One that has since changed or gone is as one that cannot be played.
            let bytes = read_limited(file, "a file is due", MAX_EMBEDDED_FILE).unwrap_or_default();
            page.medium(row, &bytes)?;
        }
    }
    let out = page.finish(&notes(&summary, pictures.is_some(), embed, &media))?;
    Ok((out, summary))
}

/// The picture of a row; nothing where it cannot have one.
fn draw(row: &Row, file: Option<&Path>, media: &MediaOptions, limit: usize) -> Option<Drawn> {
    if matches!(row.answer, Answer::Failed(_)) {
        return None;
    }
    let file = file?;
    let kind = row.input.kind.unwrap_or_else(|| kind_of(file));
    if kind == InputKind::Vectors {
        return None;
    }
    let picture = guard(|| Picture::of(file, kind, media, row.input.duration, limit));
    Some(match picture {
        Ok(Ok(picture)) => Ok(picture),
        Ok(Err(error)) => Err(Error { path: None, ..error }.to_string()),
        Err(panic) => Err(format!("percept stumbled over this file ({panic})")),
    })
}

/// How each file is played.
fn media(rows: &[Row], files: &[Option<PathBuf>], folder: &Path, embed: bool) -> Vec<Medium> {
    let mut left = MAX_EMBEDDED;
    let medium = |(row, file): (&Row, &Option<PathBuf>)| {
        let Some(file) = file else { return Medium::Missing };
        let Ok(real) = file.canonicalize() else { return Medium::Missing };
        if real.is_dir() || row.input.kind == Some(InputKind::Vectors) {
            return Medium::NotPlayed;
        }
        let size = real.metadata().ok().filter(Metadata::is_file).map_or(u64::MAX, |metadata| metadata.len());
        // Results may come from anywhere: what they name goes into a page to be mailed only where it is media.
        let is_small = embed && size <= MAX_EMBEDDED_FILE.min(left);
        if is_small && !matches!(row.answer, Answer::Failed(_)) && known_kind_of(&real).is_some() {
            left -= size;
            return Medium::Embedded(mime(row));
        }
        link(&real, folder).map_or(Medium::NotPlayed, Medium::Link)
    };
    rows.iter().zip(files).map(medium).collect()
}

/// What browsers call it.
fn mime(row: &Row) -> &'static str {
    let is_video = row.input.kind == Some(InputKind::Video);
    match row.input.container.as_deref().unwrap_or_default() {
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "mp4" | "mov" if is_video => "video/mp4",
        "mp4" | "mov" => "audio/mp4",
        "mkv" | "webm" if is_video => "video/webm",
        "mkv" | "webm" => "audio/webm",
        _ => "application/octet-stream",
    }
}

/// What a reader of the page should know of it.
fn notes(summary: &Summary, pictures: bool, embed: bool, media: &[Medium]) -> Vec<String> {
    let linked = media.iter().filter(|medium| matches!(medium, Medium::Link(_))).count();
    let mut notes = Vec::new();
    let mut note = |count: usize, text: &str| {
        if count > 0 {
            notes.push(format!("{count} of {} files {text}", summary.rows));
        }
    };
    note(summary.missing, "are no longer where the results say: they cannot be seen or played");
    note(summary.unseen, "could not be read for their picture");
    if embed {
        note(linked, "are too large to stand in this page, or no media: it links to them");
    }
    if !pictures {
        notes.push("made without pictures (--no-pictures)".to_string());
    }
    notes
}
