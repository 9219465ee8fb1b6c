//! What the tests on golden values share: the generator of the scripts beside this file, and the comparison.

use candle_core::{Device, Tensor};
use serde_json::Value;

pub const INPUT_SIZE: usize = 3;
pub const HIDDEN_SIZE: usize = 5;
pub const FRAMES: usize = 7;

/// Numerical Recipes' linear congruential generator, as the scripts have it.
pub struct Lcg(pub u32);

impl Lcg {
    pub fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (self.0 >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
            })
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }
}

pub fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

pub fn assert_close(actual: &Tensor, expected: &[f32], tolerance: f32, what: &str) {
    let actual = actual.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * e.abs().max(1.0), "{what}: element {i} is {a}, not {e}");
    }
}
