//! Gradients of every cell against differences of the loss itself: a mistake that the reference and candle's automatic
//! differentiation share, or the fused way back and its own way forward, shows here.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use percept::nn::NetworkConfig;
use percept::nn::cell::CellKind;
use percept::nn::kernels::Isa;
use percept::nn::rnn::{Rnn, RnnOutput, RnnState};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LENGTHS: [usize; 4] = [3, 1, 0, 5];
const FRAMES: usize = 5;
const INPUT_SIZE: usize = 2;

/// Everything that a loss depends on, by name: the weights, `x`, `h_0` and, if the cell has a memory, `c_0`.
type Inputs = BTreeMap<String, Tensor>;

fn config(cell: CellKind) -> NetworkConfig {
    NetworkConfig { cell, hidden_size: 3, num_layers: 2, dropout: 0.0, ..NetworkConfig::default() }
}

fn random(shape: &[usize], rng: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn inputs(config: &NetworkConfig, rng: &mut ChaCha8Rng) -> Inputs {
    let states = [4, LENGTHS.len(), config.hidden_size].to_vec();
    let mut shapes = Rnn::shapes(config, INPUT_SIZE);
    shapes.push(("x".into(), vec![LENGTHS.len(), FRAMES, INPUT_SIZE]));
    shapes.push(("h_0".into(), states.clone()));
    if config.cell.has_memory() {
        shapes.push(("c_0".into(), states));
    }
    shapes.into_iter().map(|(name, shape)| (name, random(&shape, rng))).collect()
}

/// A sum of all outputs and last states, each with a weight of its own.
fn loss(result: &RnnOutput) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let parts = [Some(&result.output), Some(&result.last), Some(&result.state.h), result.state.c.as_ref()];
    let terms = parts.into_iter().flatten().map(|part| {
        let weights = random(part.dims(), &mut rng).to_dtype(part.dtype()).unwrap();
        (part * weights).unwrap().sum_all().unwrap()
    });
    terms.reduce(|sum, term| (sum + term).unwrap()).unwrap()
}

fn network(config: &NetworkConfig, inputs: &Inputs) -> (Rnn, RnnState) {
    let rnn = Rnn::new(config, |name| Ok(inputs[name].clone())).unwrap();
    (rnn, RnnState { h: inputs["h_0"].clone(), c: inputs.get("c_0").cloned() })
}

fn reference_loss(config: &NetworkConfig, inputs: &Inputs) -> Tensor {
    let (rnn, initial) = network(config, inputs);
    loss(&rnn.forward_reference(&inputs["x"], &LENGTHS, Some(&initial), None).unwrap())
}

/// Central differences of the reference's loss, in f64.
fn differences(config: &NetworkConfig, inputs: &Inputs, name: &str) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let tensor = &inputs[name];
    let values = tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    (0..values.len())
        .map(|i| {
            let at = |value: f64| {
                let mut values = values.clone();
                values[i] = value;
                let mut inputs = inputs.clone();
                inputs.insert(name.into(), Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap());
                reference_loss(config, &inputs).to_scalar::<f64>().unwrap()
            };
            (at(values[i] + STEP) - at(values[i] - STEP)) / (2.0 * STEP)
        })
        .collect()
}

/// Gradients by name, of inputs in the precision of `dtype`.
fn gradients(inputs: &Inputs, dtype: DType, loss: impl Fn(&Inputs) -> Tensor) -> BTreeMap<String, Vec<f64>> {
    let vars: BTreeMap<_, _> = inputs
        .iter()
        .map(|(name, tensor)| (name.clone(), Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()))
        .collect();
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let gradients = loss(&tensors).backward().unwrap();
    let values = |var: &Var| {
        // What has no influence may be left out.
        let gradient = gradients.get(var).cloned().unwrap_or_else(|| var.zeros_like().unwrap());
        gradient.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
    };
    vars.iter().map(|(name, var)| (name.clone(), values(var))).collect()
}

fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * e.abs().max(1.0), "{what}: element {i} is {a}, not {e}");
    }
}

#[test]
fn gradients_are_the_differences_of_the_loss() {
    for cell in CellKind::ALL {
        let config = config(cell);
        // None of these networks' units is so near the kink of max(0, ·) that a step of a difference crosses it.
        let inputs = inputs(&config, &mut ChaCha8Rng::seed_from_u64(4));
        let plain = gradients(&inputs, DType::F64, |inputs| reference_loss(&config, inputs));
        let fused: Vec<_> = Isa::available()
            .map(|isa| {
                let loss = |inputs: &Inputs| {
                    let (rnn, initial) = network(&config, inputs);
                    loss(&rnn.forward_with(isa, &inputs["x"], &LENGTHS, Some(&initial), None).unwrap())
                };
                (isa.name(), gradients(&inputs, DType::F32, loss))
            })
            .collect();
        for name in inputs.keys() {
            let expected = differences(&config, &inputs, name);
            assert_close(&plain[name], &expected, 1e-7, &format!("{cell:?}, reference, {name}"));
            for (isa, fused) in &fused {
                assert_close(&fused[name], &expected, 2e-5, &format!("{cell:?}, {isa}, {name}"));
            }
        }
    }
}

#[test]
fn dropout_between_layers_is_the_same_fused_and_plain() {
    let config = NetworkConfig { dropout: 0.4, num_layers: 3, ..config(CellKind::Lstm) };
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let states = random(&[6, LENGTHS.len(), config.hidden_size], &mut rng);
    let mut inputs = inputs(&config, &mut rng);
    inputs.extend(["h_0", "c_0"].map(|name| (name.to_string(), states.clone())));
    let by = |run: &dyn Fn(&Rnn, &Tensor, &RnnState, &mut ChaCha8Rng) -> RnnOutput| {
        gradients(&inputs, DType::F32, |inputs| {
            let (rnn, initial) = network(&config, inputs);
            loss(&run(&rnn, &inputs["x"], &initial, &mut ChaCha8Rng::seed_from_u64(8)))
        })
    };
    let plain =
        by(&|rnn, x, initial, rng| rnn.forward_reference(x, &LENGTHS, Some(initial), Some(rng)).unwrap());
    for isa in Isa::available() {
        let fused =
            by(&|rnn, x, initial, rng| rnn.forward_with(isa, x, &LENGTHS, Some(initial), Some(rng)).unwrap());
        for (name, expected) in &plain {
            assert_close(&fused[name], expected, 2e-5, &format!("{}, {name}", isa.name()));
        }
    }
    let without = by(&|rnn, x, initial, _| rnn.forward_reference(x, &LENGTHS, Some(initial), None).unwrap());
    assert_ne!(plain["weight_ih_l2"], without["weight_ih_l2"]);
}
