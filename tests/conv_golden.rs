//! The convolutional front end equals PyTorch's Conv2d, ReLU and Linear (tests/golden/conv.py).

#[allow(dead_code, reason = "the sizes are those of the recurrent layers")]
mod golden;

use candle_core::Var;
use golden::{Lcg, assert_close, floats};
use percept::nn::conv::FrontEnd;
use percept::nn::kernels::Isa;
use percept::nn::{FrameShape, NetworkConfig};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/conv.json");

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let frames = golden["frames"].as_u64().unwrap() as usize;
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let [channels, height, width, rest] = numbers(&case["shape"])[..] else { panic!("{case}") };
        let shape = FrameShape { channels, height, width, rest };
        let config = NetworkConfig {
            conv_channels: numbers(&case["channels"]),
            conv_output_size: case["outputs"].as_u64().unwrap() as usize,
            ..NetworkConfig::default()
        };
        let mut lcg = Lcg(7);
        let mut draw = |shape: &[usize]| {
            let fan = shape[1..].iter().product::<usize>() as f64;
            Var::from_tensor(&(lcg.tensor(shape) / fan.sqrt()).unwrap()).unwrap()
        };
        let shapes = FrontEnd::shapes(&config, shape);
        let vars: Vec<(String, Var)> =
            shapes.iter().map(|(name, shape)| (name.clone(), draw(shape))).collect();
        let var = |name: &str| vars.iter().find(|(n, _)| n == name).unwrap().1.as_tensor().clone();
        let front_end = FrontEnd::new(&config, shape, |name| Ok(var(name))).unwrap().unwrap();
        let x = Var::from_tensor(&lcg.tensor(&[1, frames, shape.len()])).unwrap();
        let weighting = lcg.tensor(&[1, frames, front_end.output_size()]);

        let reference = ("reference", front_end.forward_reference(&x).unwrap());
        let fused = Isa::available()
            .map(|isa| (isa.name(), front_end.forward_with(isa, &x, &[frames], None).unwrap()));
        for (kernel, output) in std::iter::once(reference).chain(fused) {
            let what = format!("{shape:?}, {kernel}");
            assert_close(&output, &floats(&case["output"]), 1e-5, &what);
            let gradients = (&output * &weighting).unwrap().sum_all().unwrap().backward().unwrap();
            for (name, var) in &vars {
                let gradient = gradients.get(var).unwrap();
                let expected = case["gradient_sums"][name].as_f64().unwrap() as f32;
                let sum = gradient.abs().unwrap().sum_all().unwrap();
                assert_close(&sum, &[expected], 1e-5, &format!("{what}: gradient of {name}"));
                if name == "0.weight" {
                    assert_close(gradient, &floats(&case["gradient_0_weight"]), 1e-5, &what);
                }
            }
            let sums = gradients.get(&x).unwrap().abs().unwrap().sum(2).unwrap();
            assert_close(&sums, &floats(&case["gradient_x_sums"]), 1e-5, &format!("{what}: gradient of x"));
        }
    }
}
