//! What a worker process does: reads requests, answers them, until nobody asks any more.

use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::protocol::{Answer, AnswerError, MAX_REQUEST_BYTES, Request, parse_requests, raw};
use crate::files::each_piece;
use crate::model::hex;
use crate::output::record::Outcome;
use crate::output::rows::BatchRecord;
use crate::{Error, ErrorKind, Result};

/// Answers for inputs that are worked on together.
pub trait Work {
    /// A row for each, and how many seconds it lasts where it could be read.
    fn answer(&self, paths: &[PathBuf]) -> Vec<(BatchRecord, Option<f64>)>;
}

/// Reads requests and writes answers, each line on its own, until `input` ends. A line that is no request is answered by an
/// error, without a row.
///
/// # Errors
/// Where `input` or `output` fail; [`ErrorKind::Limit`] for a line of more than [`MAX_REQUEST_BYTES`].
pub fn serve(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    work: &dyn Work,
    with_content: bool,
) -> Result<()> {
    let failed = |error: io::Error, what: &str| Error::io(&error, what);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.take(MAX_REQUEST_BYTES as u64 + 1).read_until(b'\n', &mut line);
        match read.map_err(|error| failed(error, "standard input"))? {
            0 => return Ok(()),
            read if read > MAX_REQUEST_BYTES => {
                let message = format!("a line of requests is longer than {MAX_REQUEST_BYTES} bytes");
                return Err(Error::new(ErrorKind::Limit, message));
            }
            _ if line.trim_ascii().is_empty() => continue,
            _ => {}
        }
        let mut text = Vec::new();
        for answer in answers(&line, work, with_content) {
            serde_json::to_writer(&mut text, &answer).map_err(|error| failed(error.into(), "answers"))?;
            text.push(b'\n');
        }
        match output.write_all(&text).and_then(|()| output.flush()) {
            // Nobody listens any more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| failed(error, "standard output"))?,
        }
    }
}

fn answers(line: &[u8], work: &dyn Work, with_content: bool) -> Vec<Answer> {
    let requests = match parse_requests(line) {
        Ok(requests) => requests,
        Err(error) => return vec![Answer::to_no_line(error)],
    };
    let paths: Vec<PathBuf> = requests.iter().flatten().map(Request::path).collect();
    // Before it is read: what changes meanwhile is seen to have changed.
    let contents: Vec<Option<String>> =
        paths.iter().map(|path| with_content.then(|| content_of(path).ok()).flatten()).collect();
    let mut rows = contents.into_iter().zip(work.answer(&paths));
    let mut answer = |id| {
        let (content, (row, seconds)) = rows.next()?;
        let error = match &row.outcome {
            Outcome::Ok(_) => None,
            Outcome::Error { error } => {
                Some(AnswerError { kind: error.kind, message: error.message.clone() })
            }
        };
        Some(Answer { id, seconds, error, content, row: raw(&row).ok() })
    };
    let answers = requests.into_iter().filter_map(|request| match request {
        Ok(request) => answer(request.id),
        Err(refused) => Some(*refused),
    });
    answers.collect()
}

/// Half of the SHA-256, in hexadecimal, of a file; of a directory that of its files' names and contents.
///
/// # Errors
/// Of a file that cannot be read.
pub fn content_of(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    if path.is_dir() {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.retain(|file| file.is_file());
        files.sort();
        for file in files {
            digest.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            digest.update(content_of(&file)?);
        }
    } else {
        // A pipe would hang.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        each_piece(std::fs::File::open(path)?, |piece| digest.update(piece))?;
    }
    Ok(hex(&digest.finalize()[..16]))
}
