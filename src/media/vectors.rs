//! Vectors that another program has computed, one a frame: NumPy's `.npy` and safetensors.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::Deserialize;

use super::limits::{MAX_FRAMES, MAX_VECTOR_BYTES, MAX_VECTOR_DIM, MAX_VECTOR_HEADER};
use super::npy;
use crate::error::some_of;
use crate::files::read_limited;
use crate::{Error, ErrorKind, Result};

/// The tensor that is taken where a safetensors file holds several.
const FEATURES: &str = "features";
/// The entry of safetensors' metadata that makes a file a model of Percept.
const MODEL: &str = "percept";

/// One vector a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// `npy` or `safetensors`.
    pub container: &'static str,
    /// `[frames, dim]`, row by row; always finite.
    pub data: Vec<f32>,
    /// At least 1.
    pub frames: usize,
    /// Numbers of one vector, at least 1.
    pub dim: usize,
}

/// Whether `path` is a file of NumPy or safetensors, by its first bytes, and no model of Percept.
pub fn is_vectors(path: &Path) -> bool {
    // A pipe would hang.
    if !path.is_file() {
        return false;
    }
    head(path).is_some_and(|head| head.starts_with(npy::MAGIC) || is_safetensors(&head) && !is_model(&head))
}

/// The first bytes, with the whole header of safetensors.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let mut head = Vec::new();
    (&mut file).take(9).read_to_end(&mut head).ok()?;
    if is_safetensors(&head) {
        let length = u64::from_le_bytes(*head.first_chunk()?);
        file.take(length - 1).read_to_end(&mut head).ok()?;
    }
    Some(head)
}

/// Reads a matrix of numbers with a row a frame, from a file that is recognised by its content:
///
/// - `.npy`: `[frames, dim]`, or `[frames]` for vectors of one number; floats of 16 to 64 bits, integers, booleans; in
///   either order of rows and of bytes;
/// - safetensors: its one tensor `[frames, dim]` or `[frames]` of floats; of several the one named `features`.
///
/// # Errors
/// Each with the path. Those of the system; [`ErrorKind::UnknownFormat`] for another file,
/// [`ErrorKind::UnsupportedCodec`] for other shapes and numbers, [`ErrorKind::Empty`], [`ErrorKind::Limit`], and
/// [`ErrorKind::Damaged`], also where a number is infinite or none at all, which names its frame, counted from 1.
pub fn read_vectors(path: &Path) -> Result<Vectors> {
    read_limited(path, "a file of vectors is due", MAX_VECTOR_BYTES)
        .and_then(|bytes| parse(&bytes))
        .map_err(|error| error.with_path(path))
}

fn parse(bytes: &[u8]) -> Result<Vectors> {
    let vectors = if bytes.starts_with(npy::MAGIC) {
        npy::read(bytes)?
    } else if is_safetensors(bytes) {
        from_safetensors(bytes)?
    } else if bytes.is_empty() {
        return Err(Error::new(ErrorKind::Empty, "the file is empty (0 bytes)"));
    } else {
        let message = "these are no vectors: neither a NumPy (.npy) nor a safetensors file";
        return Err(Error::new(ErrorKind::UnknownFormat, message));
    };
    match vectors.data.iter().position(|number| !number.is_finite()) {
        None => Ok(vectors),
        Some(at) => {
            let (frame, column) = (at / vectors.dim + 1, at % vectors.dim + 1);
            let number = vectors.data[at];
            Err(damaged(format!(
                "frame {frame} holds {number} in column {column}; only finite numbers count"
            )))
        }
    }
}

/// The length of the header in 8 bytes, and the header's first character.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
        && bytes
            .first_chunk()
            .is_some_and(|length| (2..=MAX_VECTOR_HEADER).contains(&u64::from_le_bytes(*length)))
}

/// Whether the header that is in `bytes` has the entry of a model.
fn is_model(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Header {
        #[serde(default, rename = "__metadata__")]
        metadata: HashMap<String, String>,
    }
    let header = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let text = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        serde_json::from_slice::<Header>(text).ok()
    };
    header().is_some_and(|header| header.metadata.contains_key(MODEL))
}

fn from_safetensors(bytes: &[u8]) -> Result<Vectors> {
    if is_model(bytes) {
        let message = "this is a model of Percept, where vectors are due; name it with -m";
        return Err(Error::new(ErrorKind::UnknownFormat, message));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            damaged("it is cut off: its tensors and its length do not agree".into())
        }
        error => damaged(format!("its header is damaged: {error}")),
    })?;
    let mut names = file.names();
    names.sort_unstable();
    let tensor = match names[..] {
        [] => return Err(Error::new(ErrorKind::Empty, "it holds no tensor")),
        [name] => file.tensor(name),
        _ => file.tensor(FEATURES),
    };
    let tensor = tensor.map_err(|_| {
        let names = some_of(&names);
        unsupported(format!("it holds several tensors ({names}); name the one that is meant `{FEATURES}`"))
    })?;
    let shape: Vec<u64> = tensor.shape().iter().map(|&side| side as u64).collect();
    let (frames, dim) = shape_of(&shape)?;
    check_shape(frames, dim)?;
    Ok(Vectors { container: "safetensors", data: floats(&tensor)?, frames, dim })
}

fn floats(tensor: &TensorView) -> Result<Vec<f32>> {
    fn of<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&number| value(number)).collect()
    }
    let bytes = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::F16 => of(bytes, |number| f16::from_le_bytes(number).to_f32()),
        Dtype::BF16 => of(bytes, |number| bf16::from_le_bytes(number).to_f32()),
        Dtype::F32 => of(bytes, f32::from_le_bytes),
        Dtype::F64 => of(bytes, |number| f64::from_le_bytes(number) as f32),
        other => {
            return Err(unsupported(format!(
                "its numbers are of type {other:?}; F16, BF16, F32 and F64 are read"
            )));
        }
    })
}

/// Frames and numbers of a frame.
pub(super) fn shape_of(shape: &[u64]) -> Result<(usize, usize)> {
    let side = |side: u64| usize::try_from(side).unwrap_or(usize::MAX);
    match *shape {
        [frames] => Ok((side(frames), 1)),
        [frames, dim] => Ok((side(frames), side(dim))),
        [] => Err(unsupported("it holds one number; a matrix [frames, numbers of a frame] is due".into())),
        _ => {
            let sides: Vec<String> = shape.iter().take(8).map(u64::to_string).collect();
            let sides = sides.join(" x ");
            Err(unsupported(format!("its shape is {sides}; a matrix [frames, numbers of a frame] is due")))
        }
    }
}

/// The number of numbers, where it is within the limits.
pub(super) fn check_shape(frames: usize, dim: usize) -> Result<usize> {
    if frames == 0 || dim == 0 {
        let what = if frames == 0 { "frames" } else { "numbers in its frames" };
        return Err(Error::new(ErrorKind::Empty, format!("it holds no {what}")));
    }
    if frames > MAX_FRAMES || dim > MAX_VECTOR_DIM {
        let message = format!(
            "it claims {frames} frames of {dim} numbers; at most {MAX_FRAMES} frames and {MAX_VECTOR_DIM} numbers are read"
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    // As they are held, whatever they are stored as.
    if 4 * (frames as u64) * (dim as u64) > MAX_VECTOR_BYTES {
        let message = format!("its numbers take more than {} GiB of memory", MAX_VECTOR_BYTES >> 30);
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(frames * dim)
}

pub(super) fn cut_off(frames: usize, there: usize) -> Error {
    damaged(format!("it is cut off: {there} of {frames} frames are there"))
}

pub(super) fn damaged(message: String) -> Error {
    Error::new(ErrorKind::Damaged, message)
}

pub(super) fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::UnsupportedCodec, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)], metadata: Option<&str>) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        });
        let metadata = metadata.map(|key| HashMap::from([(key.to_string(), "{}".to_string())]));
        safetensors::serialize(views, metadata).unwrap()
    }

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn the_one_tensor_or_the_one_named_features_is_read() {
        let rows = bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let one = ("x", Dtype::F32, &[3, 2][..], rows.clone());
        let vectors = parse(&tensors(std::slice::from_ref(&one), None)).unwrap();
        assert_eq!((vectors.frames, vectors.dim, vectors.data[2]), (3, 2, 3.0));
        let two = ("features", Dtype::BF16, &[2][..], vec![0x80, 0x3F, 0, 0x40]);
        let vectors = parse(&tensors(&[one.clone(), two], None)).unwrap();
        assert_eq!((vectors.data, vectors.dim), (vec![1.0, 2.0], 1));
        let other = ("y", Dtype::F32, &[1, 6][..], rows);
        let error = parse(&tensors(&[one, other], None)).unwrap_err();
        assert!(error.message.contains("several tensors (x, y)"), "{error}");
    }

    #[test]
    fn other_safetensors_files_are_refused_in_words() {
        let numbers = |dtype, shape: &'static [usize], data| tensors(&[("x", dtype, shape, data)], None);
        for (bytes, kind, part) in [
            (numbers(Dtype::I32, &[1, 1], vec![0; 4]), ErrorKind::UnsupportedCodec, "I32"),
            (numbers(Dtype::F32, &[1, 1, 1], vec![0; 4]), ErrorKind::UnsupportedCodec, "1 x 1 x 1"),
            (numbers(Dtype::F32, &[0, 4], vec![]), ErrorKind::Empty, "no frames"),
            (tensors(&[], None), ErrorKind::Empty, "no tensor"),
            (tensors(&[], Some("percept")), ErrorKind::UnknownFormat, "model of Percept"),
            (b"hello, I am a text".to_vec(), ErrorKind::UnknownFormat, "no vectors"),
            (vec![], ErrorKind::Empty, "empty"),
        ] {
            let error = parse(&bytes).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(part), "{error}");
        }
        let whole = numbers(Dtype::F32, &[3, 2], bytes(&[0.0; 6]));
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_named_with_its_frame() {
        for number in [f32::NAN, f32::INFINITY] {
            let data = bytes(&[1.0, 2.0, 3.0, number]);
            let error = parse(&tensors(&[("x", Dtype::F32, &[2, 2], data)], None)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged);
            assert!(error.message.starts_with(&format!("frame 2 holds {number} in column 2")), "{error}");
        }
    }

    #[test]
    fn vectors_are_told_from_models_and_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let is = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            is_vectors(&path)
        };
        assert!(is(b"\x93NUMPY\x01\x00") && is(&tensors(&[], None)) && is(&tensors(&[], Some("other"))));
        assert!(!is(&tensors(&[], Some("percept"))) && !is(b"{\"a\": 1}") && !is(b""));
        assert!(!is_vectors(folder.path()) && !is_vectors(Path::new("no/such/file")));
    }
}
