//! The cells that PyTorch lacks equal an independent NumPy script in float64, and the vanilla ones torch.nn.RNN
//! (tests/golden/cells.py): the plain reference and every kernel that this machine has.

mod golden;

use std::collections::BTreeMap;

use candle_core::Tensor;
use golden::{FRAMES, HIDDEN_SIZE, INPUT_SIZE, Lcg, assert_close, floats};
use percept::nn::kernels::Isa;
use percept::nn::rnn::{Rnn, RnnState};
use percept::nn::{CellKind, NetworkConfig};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/cells.json");

#[test]
fn outputs_and_final_states_are_those_of_the_golden_script() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let lengths: Vec<usize> = serde_json::from_value(golden["lengths"].clone()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let config = NetworkConfig {
            cell: serde_json::from_value::<CellKind>(case["cell"].clone()).unwrap(),
            hidden_size: HIDDEN_SIZE,
            num_layers: case["num_layers"].as_u64().unwrap() as usize,
            bidirectional: case["bidirectional"].as_bool().unwrap(),
            ..NetworkConfig::default()
        };
        let mut lcg = Lcg(7);
        let weights: BTreeMap<String, Tensor> = Rnn::shapes(&config, INPUT_SIZE)
            .into_iter()
            .map(|(name, shape)| (name, lcg.tensor(&shape)))
            .collect();
        let rnn = Rnn::new(&config, |name| Ok(weights[name].clone())).unwrap();
        let x = lcg.tensor(&[lengths.len(), FRAMES, INPUT_SIZE]);
        let from_zero = case["from_zero"].as_bool().unwrap();
        let initial = (!from_zero).then(|| {
            let shape = [config.num_layers * config.num_directions(), lengths.len(), HIDDEN_SIZE];
            // The script draws both for every cell.
            let (h, c) = (lcg.tensor(&shape), lcg.tensor(&shape));
            RnnState { h, c: config.cell.has_memory().then_some(c) }
        });
        let initial = initial.as_ref();

        let reference = ("reference", rnn.forward_reference(&x, &lengths, initial, None).unwrap());
        let fused = Isa::available()
            .map(|isa| (isa.name(), rnn.forward_with(isa, &x, &lengths, initial, None).unwrap()));
        for (kernel, result) in std::iter::once(reference).chain(fused) {
            let what = format!("{:?}, {} layers, {kernel}", config.cell, config.num_layers);
            assert_close(&result.output, &floats(&case["output"]), 1e-5, &what);
            assert_close(&result.state.h, &floats(&case["h_n"]), 1e-5, &what);
            assert_eq!(result.state.c.is_some(), config.cell.has_memory());
            if let Some(c) = &result.state.c {
                assert_close(c, &floats(&case["c_n"]), 1e-5, &what);
            }
        }
    }
}
