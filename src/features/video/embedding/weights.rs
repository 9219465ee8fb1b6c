//! Weights by torchvision's names, checked, with each batch normalisation folded into its convolution.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::EmbeddingKind;
use super::layers::{Convolution, Depthwise};
use crate::error::some_of;
use crate::files::read_limited;
use crate::{Error, ErrorKind, Result};

/// Longest file of weights, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Longest safetensors header, in bytes.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// PyTorch's `BatchNorm2d.eps`.
const EPSILON: f64 = 1e-5;

/// Reads a safetensors file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = read_limited(path, "the weights of a network are due", MAX_FILE_BYTES)?;
    let wrong = |why: &str| {
        let message = format!("is no file of weights: {why}; save the network's state_dict() as safetensors");
        Error::new(ErrorKind::Model, message)
    };
    let Some(length) = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length)) else {
        return Err(wrong("it is too short for a safetensors file"));
    };
    if length > MAX_HEADER_BYTES {
        return Err(wrong("it is no safetensors file"));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
    Ok(tensors.map_err(|_| wrong("it is damaged or no safetensors file"))?.into_iter().collect())
}

/// Gives a network its tensors, and keeps account of which.
pub(super) struct Source {
    kind: EmbeddingKind,
    given: BTreeMap<String, Tensor>,
    taken: BTreeMap<String, Tensor>,
}

/// A batch normalisation as a factor and a summand, each `[channels]`.
struct Affine {
    factor: Vec<f64>,
    summand: Vec<f64>,
}

impl Source {
    pub(super) fn new(kind: EmbeddingKind, mut given: BTreeMap<String, Tensor>) -> Self {
        let needless = |name: &str| {
            name.starts_with("fc.")
                || name.starts_with("classifier.")
                || name.ends_with(".num_batches_tracked")
        };
        given.retain(|name, _| !needless(name));
        Self { kind, given, taken: BTreeMap::new() }
    }

    /// `shape` is `[out, in, kernel]`.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        norm: &str,
        [out, inputs, kernel]: [usize; 3],
        stride: usize,
    ) -> Result<Convolution> {
        let shape = [out, inputs, kernel, kernel];
        let (weight, bias) = self.folded(name, norm, &shape)?;
        Ok(Convolution {
            weight: Tensor::from_vec(weight, &shape, &Device::Cpu)?,
            bias: Tensor::from_vec(bias, (1, out, 1, 1), &Device::Cpu)?,
            stride,
        })
    }

    pub(super) fn depthwise(
        &mut self,
        name: &str,
        norm: &str,
        channels: usize,
        stride: usize,
    ) -> Result<Depthwise> {
        let (weight, bias) = self.folded(name, norm, &[channels, 1, 3, 3])?;
        Ok(Depthwise { weight, bias, stride })
    }

    /// The tensors that were taken.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where others are left.
    pub(super) fn finish(self) -> Result<BTreeMap<String, Tensor>> {
        if self.given.is_empty() {
            return Ok(self.taken);
        }
        let names: Vec<&String> = self.given.keys().collect();
        Err(self.wrong(&format!("they hold {}, which it does not have", some_of(&names))))
    }

    /// The convolution `name` with the batch normalisation `norm` that follows it: weight `shape` and bias `[out]`.
    fn folded(&mut self, name: &str, norm: &str, shape: &[usize; 4]) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = self.take(&format!("{name}.weight"), shape)?;
        let Affine { factor, summand } = self.affine(norm, shape[0])?;
        let filters = weight.chunks_exact(shape[1..].iter().product());
        let scaled = filters.zip(&factor).flat_map(|(filter, factor)| filter.iter().map(move |w| w * factor));
        let weight: Vec<f32> = scaled.map(|w| w as f32).collect();
        let bias: Vec<f32> = summand.iter().map(|&b| b as f32).collect();
        match weight.iter().chain(&bias).all(|x| x.is_finite()) {
            true => Ok((weight, bias)),
            false => Err(self.wrong(&format!("{norm} makes values overflow"))),
        }
    }

    /// `weight * (x - mean) / sqrt(var + eps) + bias` as `factor * x + summand`
    fn affine(&mut self, name: &str, channels: usize) -> Result<Affine> {
        let mut take = |part: &str| self.take(&format!("{name}.{part}"), &[channels]);
        let (weight, bias) = (take("weight")?, take("bias")?);
        let (mean, var) = (take("running_mean")?, take("running_var")?);
        if var.iter().any(|&var| var < 0.0) {
            return Err(self.wrong(&format!("{name}.running_var holds a negative variance")));
        }
        let factor: Vec<f64> = weight.iter().zip(&var).map(|(w, var)| w / (var + EPSILON).sqrt()).collect();
        let summand = bias.iter().zip(&mean).zip(&factor).map(|((b, mean), factor)| b - mean * factor);
        Ok(Affine { summand: summand.collect(), factor })
    }

    /// The finite values of one tensor.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let Some(tensor) = self.given.remove(name) else {
            return Err(self.wrong(&format!("they lack the tensor {name}")));
        };
        if tensor.dims() != shape {
            return Err(self.wrong(&format!("{name} has shape {:?}, not {shape:?}", tensor.dims())));
        }
        if !matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
            return Err(self.wrong(&format!("{name} is of type {}, no float", tensor.dtype().as_str())));
        }
        let tensor = tensor.to_dtype(DType::F32)?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        if !values.iter().all(|x| x.is_finite()) {
            return Err(self.wrong(&format!("{name} holds a value that is no finite number")));
        }
        self.taken.insert(name.to_string(), tensor);
        Ok(values.into_iter().map(f64::from).collect())
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(ErrorKind::Model, format!("these are no weights of {}: {what}", self.kind.name()))
    }
}
