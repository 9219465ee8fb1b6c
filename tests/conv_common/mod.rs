//! What tests of the convolutional front ends share.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use percept::nn::conv::{FrontEnd, is_running_statistic};
use percept::nn::{FrameShape, NetworkConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Everything that a loss depends on, by name: the weights and `x`, in f64.
pub type Inputs = BTreeMap<String, Tensor>;

pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Weights of the size that training begins with, so that sums stay small; `x [batch, frames, D]`.
pub fn inputs(config: &NetworkConfig, shape: FrameShape, (batch, frames): (usize, usize)) -> Inputs {
    let shapes = FrontEnd::shapes(config, shape).into_iter();
    let weights = shapes.zip(1..).map(|((name, shape), seed)| {
        let fan: usize = shape[1..].iter().product();
        let values = (random(&shape, seed) * (2.0 / (fan as f64).sqrt())).unwrap();
        let is_variance = name.ends_with("_var");
        (name, if is_variance { (values.abs().unwrap() + 0.5).unwrap() } else { values })
    });
    weights.chain([("x".to_string(), random(&[batch, frames, shape.len()], 99))]).collect()
}

pub fn front_end(config: &NetworkConfig, shape: FrameShape, inputs: &Inputs) -> FrontEnd {
    FrontEnd::new(config, shape, |name| Ok(inputs[name].clone())).unwrap().unwrap()
}

pub fn in_f32(inputs: &Inputs) -> Inputs {
    inputs.iter().map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F32).unwrap())).collect()
}

pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

pub fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// A sum of all outputs, each with a weight of its own.
pub fn loss(output: &Tensor) -> Tensor {
    let weights = random(output.dims(), 7).to_dtype(output.dtype()).unwrap();
    (output * weights).unwrap().sum_all().unwrap()
}

/// Gradients by name of what `forward` makes of the inputs; none of running statistics.
pub fn gradients(inputs: &Inputs, forward: impl Fn(&Inputs) -> Tensor) -> BTreeMap<String, Tensor> {
    let vars: BTreeMap<_, _> =
        inputs.iter().map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap())).collect();
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let gradients = loss(&forward(&tensors)).backward().unwrap();
    let learned = vars.iter().filter(|(name, _)| !is_running_statistic(name));
    learned.map(|(name, var)| (name.clone(), gradients.get(var).unwrap().clone())).collect()
}

pub fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    for (i, (a, e)) in values(actual).into_iter().zip(values(expected)).enumerate() {
        assert!((a - e).abs() <= tolerance * e.abs().max(1.0), "{what}: element {i} is {a}, not {e}");
    }
}

/// The gradients of `plain` are those of differences.
pub fn assert_gradients_are_those_of_differences(
    inputs: &Inputs,
    plain: impl Fn(&Inputs) -> Tensor,
    tolerance: f64,
) {
    const STEP: f64 = 1e-6;
    for (name, gradient) in gradients(inputs, &plain) {
        let at = |i: usize, step: f64| {
            let mut changed = values(&inputs[&name]);
            changed[i] += step;
            let mut inputs = inputs.clone();
            let tensor = Tensor::from_vec(changed, inputs[&name].dims(), &Device::Cpu).unwrap();
            inputs.insert(name.clone(), tensor);
            loss(&plain(&inputs)).to_scalar::<f64>().unwrap()
        };
        for (i, value) in values(&gradient).into_iter().enumerate() {
            let difference = (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP);
            let what = format!("{name}, element {i}");
            assert!((value - difference).abs() < tolerance, "{what}: {value}, not {difference}");
        }
    }
}
