//! NumPy's array files as candle tensors. (candle's own reader refuses arrays in Fortran order, as a transposed one is,
//! and trusts the shape.) Format: `numpy.lib.format`, versions 1 to 3.

use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use percept::files::AtomicFile;
use percept::{Error, ErrorKind, Result};

/// Longest header, in bytes; NumPy's own limit.
const MAX_HEADER_BYTES: usize = 10_000;

/// A float32 array, in either memory order.
pub fn read_f32(path: &Path) -> Result<Tensor> {
    let (shape, fortran, data) = read(path, "<f4", "np.float32")?;
    let values = data.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
    if !fortran {
        return Ok(Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    let reversed: Vec<usize> = shape.iter().copied().rev().collect();
    let axes: Vec<usize> = (0..shape.len()).rev().collect();
    Ok(Tensor::from_vec(values, reversed, &Device::Cpu)?.permute(axes)?.contiguous()?)
}

/// An int64 array of one dimension.
pub fn read_i64(path: &Path) -> Result<Vec<i64>> {
    let (shape, _, data) = read(path, "<i8", "np.int64")?;
    if shape.len() != 1 {
        return Err(wrong(path, format!("has shape {shape:?}; it must be of one dimension")));
    }
    Ok(data.as_chunks().0.iter().map(|&value| i64::from_le_bytes(value)).collect())
}

/// A float32 array of two dimensions or more.
pub fn write_f32(path: &Path, array: &Tensor) -> Result<()> {
    let dims: Vec<String> = array.dims().iter().map(usize::to_string).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.join(", "));
    // With the ten bytes before it and the line's end, a multiple of 64.
    let width = (header.len() + 11).next_multiple_of(64) - 11;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((width as u16 + 1).to_le_bytes());
    bytes.extend(format!("{header:width$}\n").bytes());
    bytes.extend(array.flatten_all()?.to_vec1::<f32>()?.iter().flat_map(|value| value.to_le_bytes()));

    let mut file = AtomicFile::create(path)?;
    file.write_all(&bytes).map_err(|e| Error::io(&e, path))?;
    file.commit()
}

/// Shape, whether in Fortran order, and the values' bytes: just as many as the shape says.
fn read(path: &Path, descr: &str, dtype: &str) -> Result<(Vec<usize>, bool, Vec<u8>)> {
    let mut bytes = std::fs::read(path).map_err(|e| Error::io(&e, path))?;
    let (header, start) =
        header(&bytes).ok_or_else(|| wrong(path, "is no NumPy array; write one with np.save".into()))?;
    let entry = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start());
    let (Some(found), Some(order), Some(dims)) = (entry("descr"), entry("fortran_order"), entry("shape"))
    else {
        return Err(wrong(path, "has a NumPy header without descr, fortran_order or shape".into()));
    };
    if !found.starts_with(&format!("'{descr}'")) {
        let found = found.split(',').next().unwrap_or_default();
        return Err(wrong(path, format!("holds {found} where '{descr}' is due; save x.astype({dtype})")));
    }
    let dims = dims.trim_start_matches('(').split(')').next().unwrap_or_default().split(',');
    let shape: Vec<usize> = dims
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(|n| n.parse().map_err(|_| wrong(path, format!("has a dimension of `{n}` in its NumPy header"))))
        .collect::<Result<_>>()?;

    let fortran = order.starts_with("True");
    let item = if descr == "<i8" { 8 } else { 4 };
    let due = shape.iter().try_fold(item, |total: usize, &n| total.checked_mul(n));
    let held = bytes.len() - start;
    if due != Some(held) {
        return Err(wrong(
            path,
            format!("has shape {shape:?} of {dtype}, but {held} bytes of values: cut off?"),
        ));
    }
    bytes.drain(..start);
    Ok((shape, fortran, bytes))
}

/// The header's text and where the values begin.
fn header(bytes: &[u8]) -> Option<(String, usize)> {
    let (start, length) = match *bytes.strip_prefix(b"\x93NUMPY")?.first_chunk::<6>()? {
        [1, _, a, b, ..] => (10, u16::from_le_bytes([a, b]).into()),
        [2 | 3, _, a, b, c, d] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return None,
    };
    if length > MAX_HEADER_BYTES {
        return None;
    }
    let text = std::str::from_utf8(bytes.get(start..start + length)?).ok()?;
    Some((text.to_string(), start + length))
}

fn wrong(path: &Path, message: String) -> Error {
    Error::new(ErrorKind::Dataset, message).with_path(path)
}
