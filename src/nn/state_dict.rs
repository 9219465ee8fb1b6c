//! Recurrent layers trained elsewhere: a PyTorch state dict, as safetensors or as PyTorch's own `.pt`.
//!
//! The tensors have PyTorch's names (`weight_ih_l0`, `bias_hh_l1_reverse`, ...; `weight_ch_l0` for peepholes), all
//! behind one prefix such as `encoder.lstm.` or behind none. Their shapes tell sizes, layers and directions.

mod torch;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::rnn::Rnn;
use super::{CellKind, MAX_NUM_LAYERS, MAX_WIDTH, NetworkConfig, Weights};
use crate::files::read_limited;
use crate::{Error, ErrorKind, Result};

/// Longest file, in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 30;
/// Longest safetensors header, in bytes.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Most tensors of one file.
pub const MAX_TENSORS: usize = 65_536;

/// First part of a recurrent tensor's name; PyTorch has `weight_hr` with `proj_size`.
const KINDS: [&str; 6] = ["weight_ih", "weight_hh", "weight_ch", "weight_hr", "bias_ih", "bias_hh"];

/// What is meant, where a file leaves a choice.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What stands before `weight_ih_l0`, with or without the dot at its end; needed where a file has several.
    pub prefix: Option<String>,
    /// Without it the number of gates decides: 4 `lstm` (with `weight_ch` a peephole one), 3 `gru`, 1 `rnn_tanh`.
    pub cell: Option<CellKind>,
}

/// The recurrent layers of a state dict, checked.
#[derive(Debug, Clone)]
pub struct StateDict {
    /// What stands before the names in the file, with the dot at its end.
    pub prefix: String,
    /// Cell, sizes, layers and directions; there is no dropout, and what concerns the head means nothing here.
    pub config: NetworkConfig,
    /// Features a frame, `D`.
    pub input_size: usize,
    /// `false`: the file has no biases (PyTorch's `bias=False`), and zeros stand for them.
    pub has_bias: bool,
    /// By PyTorch's names without the prefix; always f32.
    pub weights: Weights,
}

impl StateDict {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// As [`StateDict::from_bytes`], with the path; and where the file cannot be read or is too long.
    pub fn load(path: &Path, selection: &Selection) -> Result<Self> {
        read_limited(path, "a state dict is due", MAX_FILE_BYTES)
            .and_then(|bytes| Self::from_bytes(&bytes, selection))
            .map_err(|e| e.with_path(path))
    }

    /// Reads and checks a file's bytes; what they are is seen from them. f64, f16 and bf16 become f32.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for what is damaged or neither format, and for a tensor that is missing, superfluous, of a
    /// wrong shape or type, or not finite; [`ErrorKind::Config`] where the selection is needed or does not fit.
    pub fn from_bytes(bytes: &[u8], selection: &Selection) -> Result<Self> {
        let mut file = File::open(bytes)?;
        let shapes = file.shapes();
        check_count(shapes.len())?;
        let prefix = choose_prefix(&shapes, selection.prefix.as_deref())?;
        let module = Module::new(prefix.clone(), &shapes);
        let (config, input_size) = module.infer(selection.cell)?;
        let has_bias = module.shapes.keys().any(|name| name.starts_with("bias_"));
        let expected = Rnn::shapes(&config, input_size);
        module.check(&expected, has_bias, &config)?;

        let mut weights = Weights::new();
        for (name, shape) in expected {
            let values = if module.shapes.contains_key(name.as_str()) {
                finite_values(&mut file, &format!("{prefix}{name}"))?
            } else {
                vec![0.0; shape.iter().product()]
            };
            weights.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        Ok(Self { prefix, config, input_size, has_bias, weights })
    }

    /// The network of these weights.
    pub fn rnn(&self) -> Result<Rnn> {
        Rnn::new(&self.config, |name| Ok(self.weights[name].clone()))
    }
}

/// A file of named tensors.
enum File<'a> {
    Safetensors(SafeTensors<'a>),
    Torch(torch::Archive<'a>),
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        if bytes.starts_with(b"PK") {
            return torch::Archive::open(bytes).map(Self::Torch);
        }
        if bytes.starts_with(b"\x80\x02") {
            return Err(bad("is in PyTorch's format from before version 1.6; load and save it again there"));
        }
        let (Some(length), Some(b'{')) = (bytes.first_chunk::<8>(), bytes.get(8)) else {
            return Err(bad("is neither a safetensors file nor a PyTorch one (.pt)"));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER_BYTES {
            let message = format!("its header claims {length} bytes where the limit is {MAX_HEADER_BYTES}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        SafeTensors::deserialize(bytes)
            .map(Self::Safetensors)
            .map_err(|e| bad(format!("is a damaged safetensors file ({e}); save or copy it again")))
    }

    /// Names and shapes of all tensors.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        match self {
            Self::Safetensors(file) => {
                file.iter().map(|(name, view)| (name.to_string(), view.shape().to_vec())).collect()
            }
            Self::Torch(file) => file.shapes(),
        }
    }

    fn values(&mut self, name: &str) -> Result<Vec<f32>> {
        match self {
            Self::Safetensors(file) => {
                let view = file.tensor(name).map_err(|e| bad(format!("tensor `{name}`: {e}")))?;
                let dtype = view.dtype();
                to_f32(dtype, view.data()).ok_or_else(|| wrong_type(name, dtype))
            }
            Self::Torch(file) => file.values(name),
        }
    }
}

/// The tensors of one module of a model, without those of modules inside it; at least one is recurrent.
struct Module<'a> {
    prefix: String,
    /// By name without the prefix.
    shapes: BTreeMap<&'a str, &'a [usize]>,
}

impl<'a> Module<'a> {
    fn new(prefix: String, shapes: &'a BTreeMap<String, Vec<usize>>) -> Self {
        let shapes = shapes
            .iter()
            .filter_map(|(name, shape)| Some((name.strip_prefix(&prefix)?, &shape[..])))
            .filter(|(name, _)| !name.contains('.'))
            .collect();
        Self { prefix, shapes }
    }

    /// Configuration and input size, from the first layer's matrices and from the names.
    fn infer(&self, cell: Option<CellKind>) -> Result<(NetworkConfig, usize)> {
        if let Some(name) = self.shapes.keys().find(|name| name.starts_with("weight_hr_")) {
            let what = format!("tensor `{}{name}` is a projection (proj_size)", self.prefix);
            return Err(bad(format!("{what}, which no cell here has")));
        }
        let places = || self.shapes.keys().filter_map(|name| place(name));
        let num_layers = places().map(|(layer, _)| layer).max().unwrap_or(0).saturating_add(1);
        if num_layers > MAX_NUM_LAYERS {
            return Err(bad(format!("has {num_layers} recurrent layers; the limit is {MAX_NUM_LAYERS}")));
        }

        let [rows, hidden_size] = self.matrix("weight_hh_l0", "gates·H, H")?;
        let [_, input_size] = self.matrix("weight_ih_l0", "gates·H, D")?;
        if hidden_size == 0 || !(1..=MAX_WIDTH).contains(&input_size) {
            return Err(bad(format!("has {input_size} features a frame and {hidden_size} units")));
        }
        let name = format!("{}weight_hh_l0", self.prefix);
        let shape = format!("tensor `{name}` has shape {:?}", [rows, hidden_size]);
        let (gates, rest) = (rows / hidden_size, rows % hidden_size);
        let by_gates = match (gates, self.shapes.get("weight_ch_l0")) {
            _ if rest != 0 => None,
            (4, Some(&[3, _])) => Some(CellKind::LstmPeepholeDiagonal),
            (4, Some(_)) => Some(CellKind::LstmPeephole),
            (4, None) => Some(CellKind::Lstm),
            (3, _) => Some(CellKind::Gru),
            (1, _) => Some(CellKind::RnnTanh),
            _ => None,
        };
        let by_gates = by_gates.ok_or_else(|| {
            bad(format!("{shape}; it must be [gates·H, H], with 4 gates (lstm), 3 (gru) or 1 (rnn)"))
        })?;
        let cell = cell.unwrap_or(by_gates);
        if cell.num_gates() != gates {
            let due = [cell.num_gates() * hidden_size, hidden_size];
            return Err(bad(format!("{shape}; as {} it would have {due:?}", cell_name(cell))));
        }

        let bidirectional = places().any(|(_, reverse)| reverse);
        let sizes =
            NetworkConfig { cell, hidden_size, num_layers, bidirectional, ..NetworkConfig::default() };
        let config = NetworkConfig { dropout: 0.0, ..sizes };
        config.validate().map_err(|e| bad(e.message))?;
        Ok((config, input_size))
    }

    fn matrix(&self, name: &str, due: &str) -> Result<[usize; 2]> {
        match self.shapes.get(name) {
            Some(&&[rows, columns]) => Ok([rows, columns]),
            Some(shape) => {
                Err(bad(format!("tensor `{}{name}` has shape {shape:?}; it must be [{due}]", self.prefix)))
            }
            None => Err(bad(format!("tensor `{}{name}` [{due}] is missing", self.prefix))),
        }
    }

    /// Every tensor that is due is there, in its shape, and no other.
    fn check(&self, due: &[(String, Vec<usize>)], has_bias: bool, config: &NetworkConfig) -> Result<()> {
        for (name, due) in due {
            match self.shapes.get(name.as_str()) {
                None if !has_bias && name.starts_with("bias_") => {}
                None => return Err(bad(format!("tensor `{}{name}` {due:?} is missing", self.prefix))),
                Some(shape) if shape != due => {
                    let name = format!("{}{name}", self.prefix);
                    return Err(bad(format!("tensor `{name}` has shape {shape:?} where {due:?} is due")));
                }
                Some(_) => {}
            }
        }
        match self.shapes.iter().find(|(name, _)| due.iter().all(|(due, _)| due != *name)) {
            Some((name, shape)) => {
                let directions = if config.bidirectional { "both directions" } else { "one direction" };
                let network =
                    format!("{}, {} layers, {directions}", cell_name(config.cell), config.num_layers);
                Err(bad(format!("tensor `{}{name}` {shape:?} has no place here ({network})", self.prefix)))
            }
            None => Ok(()),
        }
    }
}

/// # Errors
/// [`ErrorKind::Limit`] for more than [`MAX_TENSORS`].
pub(crate) fn check_count(tensors: usize) -> Result<()> {
    if tensors <= MAX_TENSORS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Limit, format!("holds {tensors} tensors where the limit is {MAX_TENSORS}")))
}

/// The prefix that is asked for, or the only one there is.
fn choose_prefix(shapes: &BTreeMap<String, Vec<usize>>, wanted: Option<&str>) -> Result<String> {
    let mut prefixes: Vec<&str> = shapes
        .keys()
        .map(|name| name.split_at(name.rfind('.').map_or(0, |dot| dot + 1)))
        .filter(|(_, leaf)| place(leaf).is_some())
        .map(|(prefix, _)| prefix)
        .collect();
    prefixes.dedup();
    let list = || prefixes.iter().map(|prefix| format!("`{prefix}`")).collect::<Vec<_>>().join(", ");
    match (wanted, &prefixes[..]) {
        (_, []) => Err(bad(format!(
            "holds no recurrent layer: none of its {} tensors is named as `weight_ih_l0` is in PyTorch",
            shapes.len()
        ))),
        (Some(wanted), all) => {
            let found =
                all.iter().find(|prefix| prefix.trim_end_matches('.') == wanted.trim_end_matches('.'));
            found.map(|prefix| prefix.to_string()).ok_or_else(|| {
                let message = format!("has no recurrent layer of prefix `{wanted}`; there are: {}", list());
                Error::new(ErrorKind::Config, message)
            })
        }
        (None, [only]) => Ok(only.to_string()),
        (None, _) => {
            let message = format!("has several recurrent networks; choose one by its prefix: {}", list());
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}

/// Layer and whether reverse, of a recurrent tensor's name without prefix.
fn place(name: &str) -> Option<(usize, bool)> {
    let (kind, place) = name.rsplit_once("_l")?;
    let (layer, reverse) = match place.strip_suffix("_reverse") {
        Some(layer) => (layer, true),
        None => (place, false),
    };
    KINDS.contains(&kind).then_some((layer.parse().ok()?, reverse))
}

fn finite_values(file: &mut File, name: &str) -> Result<Vec<f32>> {
    let values = file.values(name)?;
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(bad(format!("tensor `{name}` is not finite: its value {i} is {} as f32", values[i]))),
        None => Ok(values),
    }
}

/// `None` for a type that has no place among weights.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], convert: fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&chunk| convert(chunk)).collect()
    }
    match dtype {
        Dtype::F64 => Some(each(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F32 => Some(each(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(each(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(each(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

fn wrong_type(name: &str, dtype: impl std::fmt::Debug) -> Error {
    bad(format!("tensor `{name}` is of type {dtype:?}; weights are F32, F64, F16 or BF16"))
}

fn cell_name(cell: CellKind) -> String {
    serde_json::to_value(cell).ok().and_then(|name| Some(name.as_str()?.to_string())).unwrap_or_default()
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}
