//! Convolutions over time and frequency equal PyTorch's Conv2d, BatchNorm2d, ReLU, MaxPool2d and Linear, in training and at
//! inference (tests/golden/conv_spectrogram.py).

#[allow(dead_code, reason = "the sizes are those of the recurrent layers")]
mod golden;

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use golden::{Lcg, assert_close, floats};
use percept::nn::conv::{FrontEnd, is_running_statistic};
use percept::nn::kernels::Isa;
use percept::nn::{FrameShape, NetworkConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/conv_spectrogram.json");

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// As the script draws them.
fn draw(lcg: &mut Lcg, name: &str, shape: &[usize]) -> Tensor {
    let values = lcg.tensor(shape);
    let is_scale = name.ends_with("norm.weight") || name.ends_with("running_var");
    match shape.len() {
        1 => values.affine(0.5, if is_scale { 1.0 } else { 0.0 }).unwrap(),
        _ => (values / (shape[1..].iter().product::<usize>() as f64).sqrt()).unwrap(),
    }
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let batch = number(&golden["batch"]);
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let frames = number(&case["frames"]);
        let shape = FrameShape {
            channels: number(&case["planes"]),
            height: number(&case["bins"]),
            width: 1,
            rest: 0,
        };
        let config = NetworkConfig {
            conv_channels: serde_json::from_value(case["channels"].clone()).unwrap(),
            conv_pool: serde_json::from_value(case["pool"].clone()).unwrap(),
            conv_output_size: number(&case["outputs"]),
            dropout: 0.0,
            ..NetworkConfig::default()
        };
        let mut lcg = Lcg(7);
        let mut vars = BTreeMap::new();
        for (name, shape) in FrontEnd::shapes(&config, shape) {
            vars.insert(name.clone(), Var::from_tensor(&draw(&mut lcg, &name, &shape)).unwrap());
        }
        let x = Var::from_tensor(&lcg.tensor(&[batch, frames, shape.len()])).unwrap();
        let learning =
            FrontEnd::new(&config, shape, |name| Ok(vars[name].as_tensor().clone())).unwrap().unwrap();
        let answering =
            FrontEnd::new(&config, shape, |name| Ok(vars[name].as_detached_tensor())).unwrap().unwrap();
        let lengths = vec![frames; batch];
        let weighting = lcg.tensor(&[batch, learning.pooled_frames(frames), learning.output_size()]);
        let reference = ("reference", learning.train_reference(&x).unwrap());
        let fused = Isa::available().map(|isa| {
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            (isa.name(), learning.forward_with(isa, &x, &lengths, Some(&mut rng)).unwrap())
        });
        for (kernel, output) in std::iter::once(reference).chain(fused) {
            let what = format!("{shape:?}, {kernel}");
            assert_close(&output, &floats(&case["output"]), 1e-5, &what);
            let gradients = (&output * &weighting).unwrap().sum_all().unwrap().backward().unwrap();
            for (name, var) in vars.iter().filter(|(name, _)| !is_running_statistic(name)) {
                let expected = floats(&case["gradients"][name]);
                let what = format!("{what}: gradient of {name}");
                assert_close(gradients.get(var).unwrap(), &expected, 1e-4, &what);
            }
            let expected = floats(&case["gradient_x"]);
            assert_close(gradients.get(&x).unwrap(), &expected, 1e-4, &format!("{what}: gradient of x"));
        }
        for isa in Isa::available() {
            let inferred = answering.forward_with(isa, &x.as_detached_tensor(), &lengths, None).unwrap();
            assert_close(&inferred, &floats(&case["inferred"]), 1e-5, &format!("{shape:?}, inferred"));
        }
    }
}
