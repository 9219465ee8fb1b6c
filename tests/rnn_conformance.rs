//! Every kernel that this machine has gives what the plain reference gives, forward and back: all cells, sizes that are
//! no multiple of a vector, unequal lengths, small and large batches.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use percept::nn::NetworkConfig;
use percept::nn::cell::CellKind;
use percept::nn::kernels::Isa;
use percept::nn::rnn::{Rnn, RnnOutput};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Case {
    config: NetworkConfig,
    input_size: usize,
    lengths: Vec<usize>,
}

fn random(shape: &[usize], rng: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn weights(case: &Case, rng: &mut ChaCha8Rng) -> BTreeMap<String, Var> {
    let scale = 1.0 / (case.config.hidden_size as f64).sqrt();
    Rnn::shapes(&case.config, case.input_size)
        .into_iter()
        .map(|(name, shape)| (name, Var::from_tensor(&(random(&shape, rng) * scale).unwrap()).unwrap()))
        .collect()
}

fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (actual, expected) = (values(actual), values(expected));
    // Sums over many frames have an error in proportion to the largest of them.
    let scale = expected.iter().fold(1f32, |scale, v| scale.max(v.abs()));
    for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
        assert!((a - e).abs() <= tolerance * scale, "{what}: element {i} is {a}, not {e}");
    }
}

fn check(case: &Case) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let vars = weights(case, &mut rng);
    let rnn = Rnn::new(&case.config, |name| Ok(vars[name].as_tensor().clone())).unwrap();
    let frames = case.lengths.iter().copied().max().unwrap().max(1);
    let x = Var::from_tensor(&random(&[case.lengths.len(), frames, case.input_size], &mut rng)).unwrap();
    let width = case.config.num_directions() * case.config.hidden_size;
    let on_output = random(&[case.lengths.len(), frames, width], &mut rng);
    let on_last = random(&[case.lengths.len(), width], &mut rng);
    let loss = |result: &RnnOutput| {
        let output = (&result.output * &on_output).unwrap().sum_all().unwrap();
        (output + (&result.last * &on_last).unwrap().sum_all().unwrap()).unwrap()
    };

    let reference = rnn.forward_reference(&x, &case.lengths, None).unwrap();
    let expected = loss(&reference).backward().unwrap();
    for isa in Isa::available() {
        let what = format!(
            "{:?} {} units, {} layers, {:?}, {}",
            case.config.cell,
            case.config.hidden_size,
            case.config.num_layers,
            case.lengths,
            isa.name()
        );
        let result = rnn.forward_with(isa, &x, &case.lengths, None).unwrap();
        assert_close(&result.output, &reference.output, 1e-5, &what);
        assert_close(&result.last, &reference.last, 1e-5, &what);
        let gradients = loss(&result).backward().unwrap();
        for (name, var) in vars.iter().map(|(name, var)| (name.as_str(), var)).chain([("x", &x)]) {
            match (gradients.get(var), expected.get(var)) {
                (Some(actual), Some(expected)) => {
                    assert_close(actual, expected, 2e-5, &format!("{what}: gradient of {name}"));
                }
                (actual, expected) => {
                    assert_eq!(actual.is_some(), expected.is_some(), "{what}: gradient of {name}");
                }
            }
        }
    }
}

#[test]
fn all_cells_all_sizes() {
    for cell in CellKind::ALL {
        for hidden_size in [1, 3, 17, 64, 129] {
            let config = NetworkConfig { cell, hidden_size, num_layers: 1, ..NetworkConfig::default() };
            check(&Case { config, input_size: 3, lengths: vec![4, 7, 1] });
        }
    }
}

#[test]
fn stacked_and_in_one_direction() {
    for cell in CellKind::ALL {
        for bidirectional in [false, true] {
            let base = NetworkConfig { cell, hidden_size: 9, num_layers: 3, ..NetworkConfig::default() };
            let config = NetworkConfig { bidirectional, ..base };
            check(&Case { config, input_size: 2, lengths: vec![5, 5] });
        }
    }
}

#[test]
fn batches_of_any_size() {
    for cell in CellKind::ALL {
        for batch in [1, 2, 5, 6, 7, 13, 65] {
            let config = NetworkConfig { cell, hidden_size: 20, num_layers: 1, ..NetworkConfig::default() };
            let lengths = (0..batch).map(|b| 1 + (b * 7) % 4).collect();
            check(&Case { config, input_size: 4, lengths });
        }
    }
}
