//! PyTorch's own file: a ZIP archive of a pickle, which names the tensors, and of one file for each storage.
//!
//! candle reads the pickle, operation by operation, and knows no code to run; what it builds is weighed after each, as
//! a few bytes can be made to unfold without end. Layout: `torch/serialization.py`, `torch/_utils.py`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use candle_core::pickle::{Object, Stack};
use safetensors::Dtype;
use zip::ZipArchive;

use super::{bad, to_f32, wrong_type};
use crate::{Error, ErrorKind, Result};

/// Longest pickle, in bytes; one of ten thousand tensors has two million.
const MAX_PICKLE_BYTES: u64 = 8 << 20;
/// What all objects that a pickle makes may take up together, copies included.
const MAX_UNPICKLED_BYTES: usize = 256 << 20;
/// Deepest nesting of objects.
const MAX_DEPTH: usize = 64;

pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// What stands before all names in the archive.
    folder: String,
    tensors: BTreeMap<String, Place>,
}

/// Where a tensor's values lie; sizes in elements.
struct Place {
    /// PyTorch's class for the type: `FloatStorage`.
    storage_type: String,
    /// Name of the storage's file.
    storage: String,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        let names: Vec<_> = zip.file_names().filter_map(|name| name.ok().map(String::from)).collect();
        let folder = names
            .iter()
            .filter_map(|name| name.strip_suffix("data.pkl"))
            .find(|folder| folder.is_empty() || folder.ends_with('/'))
            .ok_or_else(|| bad("is a ZIP archive without a data.pkl, so no PyTorch file"))?
            .to_string();
        let byte_order = format!("{folder}byteorder");
        if names.contains(&byte_order) && read(&mut zip, &byte_order, 16)? != b"little" {
            return Err(bad("was saved on a big-endian machine; load and save it again on another"));
        }
        let pickle = read(&mut zip, &format!("{folder}data.pkl"), MAX_PICKLE_BYTES)?;
        let Object::Dict(root) = unpickle(&pickle)? else {
            return Err(bad("holds no state dict; save one: torch.save(model.state_dict(), path)"));
        };
        let mut tensors = BTreeMap::new();
        collect(&root, "", &mut tensors)?;
        Ok(Self { zip, folder, tensors })
    }

    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, place)| (name.clone(), place.shape.clone())).collect()
    }

    pub fn values(&mut self, name: &str) -> Result<Vec<f32>> {
        let place = self.tensors.get(name).ok_or_else(|| bad(format!("tensor `{name}` is missing")))?;
        let (dtype, size) = match place.storage_type.as_str() {
            "DoubleStorage" => (Dtype::F64, 8),
            "FloatStorage" => (Dtype::F32, 4),
            "HalfStorage" => (Dtype::F16, 2),
            "BFloat16Storage" => (Dtype::BF16, 2),
            other => return Err(wrong_type(name, other)),
        };
        let bytes = read(&mut self.zip, &format!("{}data/{}", self.folder, place.storage), u64::MAX)?;
        let places = place.elements(bytes.len() / size).ok_or_else(|| {
            bad(format!("tensor `{name}` {:?} reaches beyond its {} bytes", place.shape, bytes.len()))
        })?;
        let gathered: Vec<u8> = places.flat_map(|at| &bytes[at * size..][..size]).copied().collect();
        to_f32(dtype, &gathered).ok_or_else(|| wrong_type(name, dtype))
    }
}

impl Place {
    /// Where the tensor's elements lie, in row-major order; `None` if not all of them in a storage of `count`, or if
    /// there are more of them.
    fn elements(&self, count: usize) -> Option<impl Iterator<Item = usize>> {
        let dims = || self.shape.iter().zip(&self.stride).rev();
        let total = self.shape.iter().try_fold(1usize, |total, &n| total.checked_mul(n))?;
        let last = dims().try_fold(self.offset, |last, (&n, &stride)| {
            last.checked_add(n.saturating_sub(1).checked_mul(stride)?)
        })?;
        if total > count || last >= count {
            return None;
        }
        Some((0..total).map(move |index| {
            let (_, at) = dims().fold((index, self.offset), |(index, at), (&n, &stride)| {
                (index / n, at + index % n * stride)
            });
            at
        }))
    }
}

fn read(zip: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: u64) -> Result<Vec<u8>> {
    let file = zip.by_name(name).map_err(damaged)?;
    if file.size() > limit {
        let message = format!("`{name}` in it is {} bytes long; the limit is {limit}", file.size());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(damaged)?;
    Ok(bytes)
}

fn unpickle(bytes: &[u8]) -> Result<Object> {
    let cut_off = || bad("is damaged: its pickle is cut off");
    let (mut rest, mut stack, mut total) = (bytes, Stack::empty(), 0usize);
    loop {
        // Lengths that candle takes as they are.
        match rest {
            [b'X', a, b, c, d, text @ ..] if u32::from_le_bytes([*a, *b, *c, *d]) as usize > text.len() => {
                return Err(cut_off());
            }
            [0x8a, length, ..] if *length > 8 => {
                return Err(bad("holds a whole number of more than 64 bits"));
            }
            [] => return Err(cut_off()),
            _ => {}
        }
        let end = stack.read(&mut rest).map_err(|e| {
            let text = e.to_string();
            bad(format!(
                "its pickle cannot be read ({}); save a state dict",
                text.lines().next().unwrap_or("")
            ))
        })?;
        if end {
            return stack.finalize().map_err(|_| bad("its pickle is empty; save a state dict"));
        }
        if let Some(top) = stack.stack().last() {
            total = weigh(top, 0)
                .and_then(|weight| total.checked_add(weight))
                .filter(|&total| total <= MAX_UNPICKLED_BYTES)
                .ok_or_else(|| {
                    let message =
                        "its pickle unfolds beyond the limit of 256 MiB or 64 levels; save a state dict";
                    Error::new(ErrorKind::Limit, message)
                })?;
        }
    }
}

/// Bytes that an object takes up, about; `None` if it is too deep.
fn weigh(object: &Object, depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let both = |a, b| Some(weigh(a, depth + 1)? + weigh(b, depth + 1)?);
    let inside = match object {
        Object::Unicode(text) => text.len(),
        Object::Class { module_name, class_name } => module_name.len() + class_name.len(),
        Object::Tuple(items) | Object::List(items) => {
            items.iter().try_fold(0, |sum, item| Some(sum + weigh(item, depth + 1)?))?
        }
        Object::Dict(items) => items.iter().try_fold(0, |sum, (key, value)| Some(sum + both(key, value)?))?,
        Object::Reduce { callable, args } | Object::Build { callable, args } => both(callable, args)?,
        Object::PersistentLoad(id) => weigh(id, depth + 1)?,
        Object::Int(_)
        | Object::Long(_)
        | Object::Float(_)
        | Object::Bool(_)
        | Object::None
        | Object::Mark => 0,
    };
    Some(size_of::<Object>() + inside)
}

/// All tensors of a dict and of dicts inside it, by their keys with dots between them.
fn collect(dict: &[(Object, Object)], prefix: &str, tensors: &mut BTreeMap<String, Place>) -> Result<()> {
    for (key, value) in dict {
        let Object::Unicode(key) = key else { continue };
        let name = format!("{prefix}{key}");
        match value {
            Object::Dict(inside) => collect(inside, &format!("{name}."), tensors)?,
            Object::Reduce { callable, args } => {
                if let Some(args) = tensor_args(callable, args) {
                    let place = place(args).ok_or_else(|| {
                        bad(format!("tensor `{name}` is stored in a way that is not known"))
                    })?;
                    tensors.insert(name, place);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The arguments of `_rebuild_tensor_v2`, also where a parameter or a tensor of another class is built from it.
fn tensor_args<'a>(callable: &Object, args: &'a Object) -> Option<&'a [Object]> {
    let (Object::Class { module_name, class_name }, Object::Tuple(args)) = (callable, args) else {
        return None;
    };
    match (module_name.as_str(), class_name.as_str(), &args[..]) {
        ("torch._utils", "_rebuild_tensor_v2", args) => Some(args),
        ("torch._utils", "_rebuild_parameter", [Object::Reduce { callable, args }, ..]) => {
            tensor_args(callable, args)
        }
        ("torch._tensor", "_rebuild_from_type_v2", [callable, _, args, ..]) => tensor_args(callable, args),
        _ => None,
    }
}

/// Storage, offset, size, stride, and what does not matter here.
fn place(args: &[Object]) -> Option<Place> {
    let [Object::PersistentLoad(storage), offset, size, stride, ..] = args else { return None };
    let Object::Tuple(storage) = &**storage else { return None };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = &storage[..] else { return None };
    let (shape, stride) = (sizes(size)?, sizes(stride)?);
    (shape.len() == stride.len()).then_some(Place {
        storage_type: class_name.clone(),
        storage: key.clone(),
        offset: whole(offset)?,
        shape,
        stride,
    })
}

fn sizes(object: &Object) -> Option<Vec<usize>> {
    match object {
        Object::Tuple(items) => items.iter().map(whole).collect(),
        _ => None,
    }
}

fn whole(object: &Object) -> Option<usize> {
    match *object {
        Object::Int(value) => value.try_into().ok(),
        Object::Long(value) => value.try_into().ok(),
        _ => None,
    }
}

fn damaged(error: impl std::fmt::Display) -> Error {
    bad(format!("is a damaged PyTorch file ({error}); save or copy it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRU: &[u8] = include_bytes!("../../../tests/golden/run_rnn/gru.pt");

    fn tensors(pickle: &[u8]) -> Result<BTreeMap<String, Place>> {
        let mut tensors = BTreeMap::new();
        if let Object::Dict(root) = unpickle(pickle)? {
            collect(&root, "", &mut tensors)?;
        }
        Ok(tensors)
    }

    #[test]
    fn no_change_in_a_pickle_makes_it_panic() {
        let mut zip = ZipArchive::new(Cursor::new(GRU)).unwrap();
        let whole = read(&mut zip, "gru/data.pkl", MAX_PICKLE_BYTES).unwrap();
        assert_eq!(tensors(&whole).unwrap().len(), 9);
        for place in 0..whole.len() {
            assert!(unpickle(&whole[..place]).is_err(), "cut to {place} bytes");
            for byte in *b"\x00\x01\xff)]}(.0QRXbehjqrstu\x85\x86\x87\x8a" {
                let mut pickle = whole.clone();
                pickle[place] = byte;
                for (name, tensor) in tensors(&pickle).unwrap_or_default() {
                    if let Some(elements) = tensor.elements(100) {
                        assert!(elements.take(200).all(|at| at < 100), "{name} at byte {place}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pickle_that_unfolds_without_end_is_refused() {
        // A pair of itself and itself, over and over.
        let pairs = [b"\x80\x02K\x01".to_vec(), b"q\x00h\x00\x86".repeat(100), b".".to_vec()].concat();
        assert_eq!(unpickle(&pairs).unwrap_err().kind, ErrorKind::Limit);
        let deep = [b"\x80\x02K\x01".to_vec(), b"\x85".repeat(1_000_000), b".".to_vec()].concat();
        assert_eq!(unpickle(&deep).unwrap_err().kind, ErrorKind::Limit);
        let long_text = b"\x80\x02X\xff\xff\xff\xffabc.";
        assert_eq!(unpickle(long_text).unwrap_err().kind, ErrorKind::Model);
    }

    #[test]
    fn a_tensor_beyond_its_storage_is_refused() {
        let place = |offset, shape: &[usize], stride: &[usize]| Place {
            storage_type: "FloatStorage".into(),
            storage: "0".into(),
            offset,
            shape: shape.to_vec(),
            stride: stride.to_vec(),
        };
        let elements = |place: Place| place.elements(6).map(|elements| elements.collect::<Vec<_>>());
        assert_eq!(elements(place(0, &[2, 3], &[3, 1])), Some(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(elements(place(0, &[3, 2], &[1, 3])), Some(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(elements(place(4, &[2], &[1])), Some(vec![4, 5]));
        assert_eq!(elements(place(5, &[2], &[1])), None);
        assert_eq!(elements(place(0, &[usize::MAX, 2], &[0, 0])), None);
        assert_eq!(elements(place(usize::MAX, &[2], &[usize::MAX])), None);
        assert_eq!(elements(place(0, &[100], &[0])), None);
    }
}
