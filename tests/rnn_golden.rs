//! The recurrent layers equal torch.nn.LSTM and torch.nn.GRU (tests/golden/rnn.py), and a padded batch gives
//! what each sequence gives alone.

mod golden;

use candle_core::Var;
use golden::{FRAMES, HIDDEN_SIZE, INPUT_SIZE, Lcg, assert_close, floats};
use percept::nn::cell::CellKind;
use percept::nn::kernels::Isa;
use percept::nn::rnn::Rnn;
use percept::nn::{Network, NetworkConfig, Pooling};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/rnn.json");

fn config(cell: CellKind, num_layers: usize, bidirectional: bool) -> NetworkConfig {
    NetworkConfig { cell, hidden_size: HIDDEN_SIZE, num_layers, bidirectional, ..NetworkConfig::default() }
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let lengths: Vec<usize> =
        golden["lengths"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let cell: CellKind = serde_json::from_value(case["cell"].clone()).unwrap();
        let num_layers = case["num_layers"].as_u64().unwrap() as usize;
        let config = config(cell, num_layers, case["bidirectional"].as_bool().unwrap());
        let what = format!("{cell:?}, {num_layers} layers, bidirectional {}", config.bidirectional);

        let mut lcg = Lcg(7);
        let vars: Vec<(String, Var)> = Rnn::shapes(&config, INPUT_SIZE)
            .into_iter()
            .map(|(name, shape)| (name, Var::from_tensor(&lcg.tensor(&shape)).unwrap()))
            .collect();
        let rnn =
            Rnn::new(&config, |name| Ok(vars.iter().find(|(n, _)| n == name).unwrap().1.as_tensor().clone()))
                .unwrap();
        let x = lcg.tensor(&[lengths.len(), FRAMES, INPUT_SIZE]);
        let weighting = lcg.tensor(&[lengths.len(), FRAMES, config.num_directions() * HIDDEN_SIZE]);
        let reference = ("reference", rnn.forward_reference(&x, &lengths, None, None).unwrap());
        let fused = Isa::available()
            .map(|isa| (isa.name(), rnn.forward_with(isa, &x, &lengths, None, None).unwrap()));
        for (kernel, result) in std::iter::once(reference).chain(fused) {
            let what = format!("{what}, {kernel}");
            assert_close(&result.output, &floats(&case["output"]), 1e-5, &what);
            assert_close(&result.last, &floats(&case["last"]), 1e-5, &what);

            let loss = (&result.output * &weighting).unwrap().sum_all().unwrap();
            let gradients = loss.backward().unwrap();
            for (name, var) in &vars {
                let gradient = gradients.get(var).unwrap_or_else(|| panic!("{what}: {name} has no gradient"));
                let sum = gradient.abs().unwrap().sum_all().unwrap();
                let expected = case["gradient_sums"][name].as_f64().unwrap() as f32;
                assert_close(&sum, &[expected], 1e-5, &format!("{what}: gradient of {name}"));
                if name == "weight_ih_l0" {
                    assert_close(gradient, &floats(&case["gradient_weight_ih_l0"]), 1e-5, &what);
                }
            }
        }
    }
}

#[test]
fn a_padded_batch_gives_what_each_clip_gives_alone() {
    let lengths = [9, 1, 6, 3];
    for cell in [CellKind::Lstm, CellKind::Gru] {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention] {
            for bidirectional in [false, true] {
                let config = NetworkConfig { pooling, ..config(cell, 2, bidirectional) };
                let weights = Network::init(&config, INPUT_SIZE, 4, 1).unwrap();
                let weights = weights.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
                let network = Network::new(&config, INPUT_SIZE, 4, &weights).unwrap();
                // What lies in the padding must not matter: here it is not even zero.
                let x = Lcg(3).tensor(&[lengths.len(), 9, INPUT_SIZE]);
                let together = network.forward(&x, &lengths, None).unwrap();
                for (b, &length) in lengths.iter().enumerate() {
                    let clip = x.narrow(0, b, 1).unwrap().narrow(1, 0, length).unwrap();
                    let alone = network.forward(&clip, &[length], None).unwrap();
                    let expected = together.get(b).unwrap().to_vec1::<f32>().unwrap();
                    assert_close(&alone, &expected, 1e-5, &format!("{cell:?} {pooling:?} clip {b}"));
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let config = config(CellKind::Gru, 1, false);
    let vars = Network::init(&config, INPUT_SIZE, 2, 1).unwrap();
    let mut weights: percept::nn::Weights =
        vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let network = Network::new(&config, INPUT_SIZE, 2, &weights).unwrap();

    let wrong_width = Lcg(1).tensor(&[1, 4, 2]);
    let error = network.forward(&wrong_width, &[4], None).unwrap_err();
    assert!(error.to_string().contains("frames have 2 features where the network takes 3"), "{error}");
    let x = Lcg(1).tensor(&[1, 4, INPUT_SIZE]);
    for lengths in [&[][..], &[0], &[5], &[4, 4]] {
        assert!(network.forward(&x, lengths, None).is_err(), "{lengths:?}");
    }

    let head = weights.remove("head.bias").unwrap();
    let error = Network::new(&config, INPUT_SIZE, 2, &weights).unwrap_err();
    assert!(error.to_string().contains("`head.bias` is missing"), "{error}");
    weights.insert("head.bias".into(), head.narrow(0, 0, 1).unwrap());
    let error = Network::new(&config, INPUT_SIZE, 2, &weights).unwrap_err();
    assert!(error.to_string().contains("has shape [1]"), "{error}");
}
