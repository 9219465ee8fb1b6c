//! The encoder-decoder equals the same network in PyTorch (tests/golden/seq2seq.py), its search decodes as a known target
//! does, and it says what does not fit.

#[allow(dead_code, reason = "the sizes of other golden values")]
mod golden;

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use candle_nn::ops::log_softmax;
use golden::{Lcg, assert_close, floats};
use percept::ErrorKind;
use percept::nn::attention::Score;
use percept::nn::decode::BeamSearch;
use percept::nn::seq2seq::{EncoderDecoder, EncoderDecoderConfig};
use percept::nn::{CellKind, Weights};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/seq2seq.json");

fn config(cell: CellKind, score: Score, num_layers: usize) -> EncoderDecoderConfig {
    EncoderDecoderConfig {
        source_symbols: 5,
        target_symbols: 6,
        embedding_size: 3,
        cell,
        hidden_size: 4,
        num_layers,
        score,
        dropout: 0.0,
    }
}

fn network(config: &EncoderDecoderConfig) -> (EncoderDecoder, BTreeMap<String, Var>) {
    let mut lcg = Lcg(7);
    let shapes: BTreeMap<_, _> = EncoderDecoder::shapes(config).into_iter().collect();
    let vars: BTreeMap<String, Var> = shapes
        .into_iter()
        .map(|(name, shape)| (name, Var::from_tensor(&lcg.tensor(&shape)).unwrap()))
        .collect();
    let weights: Weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    (EncoderDecoder::new(config, &weights).unwrap(), vars)
}

/// The rows `[N, ..]` of `[B, T, ..]` that count.
fn valid(all: &Tensor, targets: &[Vec<u32>]) -> Tensor {
    let each: Vec<Tensor> = targets
        .iter()
        .enumerate()
        .map(|(b, target)| all.get(b).unwrap().narrow(0, 0, target.len()).unwrap())
        .collect();
    Tensor::cat(&each, 0).unwrap()
}

#[test]
fn logits_attention_and_gradients_are_those_of_pytorch() {
    let sources = [vec![1, 4, 2], vec![3], vec![0, 2, 4, 1, 3]];
    let targets = [vec![1, 5], vec![1, 0, 3, 2], vec![1]];
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let from = |key: &str| case[key].clone();
        let cell = serde_json::from_value(from("cell")).unwrap();
        let score = serde_json::from_value(from("score")).unwrap();
        let config = config(cell, score, case["num_layers"].as_u64().unwrap() as usize);
        let (network, vars) = network(&config);
        let encoded = network.encode(&sources, None).unwrap();
        let decoded = network.decode(&encoded, &encoded.state, &targets, None).unwrap();
        let what = format!("{config:?}");
        let logits = valid(&decoded.logits, &targets);
        assert_close(&logits, &floats(&case["logits"]), 1e-5, &what);
        assert_close(&valid(&decoded.attention, &targets), &floats(&case["attention"]), 1e-5, &what);

        let loss = log_softmax(&logits, 1).unwrap().sqr().unwrap().mean_all().unwrap();
        let gradients = loss.backward().unwrap();
        let expected = case["gradients"].as_object().unwrap();
        assert!(expected.len() >= 5);
        for (name, expected) in expected {
            let what = format!("{name} of {what}");
            assert_close(gradients.get(&vars[name]).expect(&what), &floats(expected), 1e-5, &what);
        }
    }
}

#[test]
fn a_search_scores_a_sequence_as_the_decoder_does_when_it_is_told() {
    let (network, _) = network(&config(CellKind::Lstm, Score::Additive, 2));
    let source = vec![1, 4, 2];
    let beam = BeamSearch { width: 3, max_length: 5, length_penalty: 0.6, end: 2 };
    let found = network.search(&source, 1, beam).unwrap();
    assert_eq!(found.len(), 3);
    for hypothesis in found {
        let mut told = vec![1];
        told.extend(&hypothesis.symbols);
        let mut due = hypothesis.symbols.clone();
        match due.len() < beam.max_length {
            true => due.push(beam.end),
            false => told.truncate(beam.max_length),
        }
        let encoded = network.encode(std::slice::from_ref(&source), None).unwrap();
        let decoded = network.decode(&encoded, &encoded.state, &[told], None).unwrap();
        let log_probabilities =
            log_softmax(&decoded.logits.get(0).unwrap(), 1).unwrap().to_vec2::<f32>().unwrap();
        let sum: f32 = log_probabilities.iter().zip(&due).map(|(row, &symbol)| row[symbol as usize]).sum();
        assert!((sum - hypothesis.log_probability).abs() < 1e-4, "{sum} {hypothesis:?}");
        let rows = decoded.attention.get(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows.len(), hypothesis.state.len());
        for (a, b) in rows.iter().flatten().zip(hypothesis.state.iter().flatten()) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let gru = config(CellKind::Gru, Score::General, 1);
    let refused = |config: &EncoderDecoderConfig| EncoderDecoder::init(config, 0).unwrap_err();
    assert!(refused(&EncoderDecoderConfig { score: Score::Dot, ..gru.clone() }).message.contains("general"));
    assert!(refused(&EncoderDecoderConfig { hidden_size: 0, ..gru.clone() }).message.contains("hidden_size"));
    let none = refused(&EncoderDecoderConfig { target_symbols: 0, ..gru.clone() });
    assert!(none.message.contains("target_symbols"), "{none}");

    let (network, vars) = network(&gru);
    for (sources, expected) in [(vec![vec![]], "empty"), (vec![], "empty"), (vec![vec![5]], "symbol 5")] {
        let error = network.encode(&sources, None).unwrap_err();
        assert!(error.kind == ErrorKind::Dataset && error.message.contains(expected), "{error}");
    }
    let mut weights: Weights =
        vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let removed = weights.remove("bridge.bias").unwrap();
    let error = EncoderDecoder::new(&gru, &weights).unwrap_err();
    assert!(error.kind == ErrorKind::Model && error.message.contains("`bridge.bias` is missing"), "{error}");
    weights.insert("bridge.bias".into(), removed.narrow(0, 0, 2).unwrap());
    let error = EncoderDecoder::new(&gru, &weights).unwrap_err();
    assert!(error.message.contains("[2], not [4]"), "{error}");
}
