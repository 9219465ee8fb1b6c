//! What a worker is told and what it says: a JSON value a line each way.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::files::{path_bytes, path_from_json, path_to_json};
use crate::output::rows::BatchRecord;
use crate::{Error, ErrorKind, Result};

/// Longest line of requests, in bytes.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;
/// Most requests in one line.
pub const MAX_GROUP: usize = 1024;

/// One input to work on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Whatever the asker knows it by; it stands in the answer.
    pub id: Box<RawValue>,
    pub path: String,
    /// Where it is not UTF-8: its bytes, in base64, which count then.
    #[serde(default, deserialize_with = "path_bytes", skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
}

impl Request {
    pub fn new(id: Box<RawValue>, path: &Path) -> Self {
        let (path, path_bytes) = path_to_json(path);
        Self { id, path, path_bytes }
    }

    pub fn path(&self) -> PathBuf {
        path_from_json(&self.path, self.path_bytes.as_deref())
    }
}

/// What a worker says of one input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub id: Box<RawValue>,
    /// Of the recording; `null` where it could not be read.
    pub seconds: Option<f64>,
    /// Why there is no result, as in the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AnswerError>,
    /// Half of the SHA-256 of the file, in hexadecimal; only where it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The [`BatchRecord`]; absent where the line was no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnswerError {
    pub kind: ErrorKind,
    pub message: String,
}

/// What an answer to something that is no request may still name.
#[derive(Deserialize)]
struct Named {
    id: Box<RawValue>,
}

impl Answer {
    /// Where there is no row.
    fn refused(id: Box<RawValue>, error: Error) -> Self {
        let error = Some(AnswerError { kind: error.kind, message: error.message });
        Self { id, seconds: None, error, content: None, row: None }
    }

    /// To a line that is none of requests.
    pub fn to_no_line(error: Error) -> Self {
        Self::refused(RawValue::NULL.to_owned(), error)
    }
}

/// A line of requests: one, or an array of several that are worked on together; the answer where one of them is none.
///
/// # Errors
/// [`ErrorKind::Config`] where the line is no JSON; [`ErrorKind::Limit`] for more than [`MAX_GROUP`].
pub fn parse_requests(line: &[u8]) -> Result<Vec<std::result::Result<Request, Box<Answer>>>> {
    let wrong = |error: serde_json::Error| {
        let form = "{\"id\": 1, \"path\": \"a.wav\"} or an array of such is due";
        Error::new(ErrorKind::Config, format!("this is no request ({error}): {form}"))
    };
    let parts: Vec<&RawValue> = match line.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(line),
        _ => serde_json::from_slice(line).map(|part| vec![part]),
    }
    .map_err(wrong)?;
    if parts.len() > MAX_GROUP {
        let message = format!("{} requests in a line; at most {MAX_GROUP} may be", parts.len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let request = |part: &RawValue| {
        serde_json::from_str::<Request>(part.get()).map_err(|error| {
            let named = serde_json::from_str(part.get());
            let id = named.map_or_else(|_| RawValue::NULL.to_owned(), |named: Named| named.id);
            Box::new(Answer::refused(id, wrong(error)))
        })
    };
    Ok(parts.into_iter().map(request).collect())
}

/// A row as it stands in a file.
///
/// # Errors
/// [`ErrorKind::Internal`]: there is no row that cannot be written.
pub fn raw(row: &BatchRecord) -> Result<Box<RawValue>> {
    to_raw_value(row)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("a row cannot be written: {error}")))
}
