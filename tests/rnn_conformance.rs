//! Every kernel that this machine has gives what the plain reference gives, forward and back: all cells, sizes that are
//! no multiple of a vector, unequal lengths, small and large batches.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use percept::nn::NetworkConfig;
use percept::nn::cell::CellKind;
use percept::nn::kernels::Isa;
use percept::nn::rnn::{Rnn, RnnOutput, RnnState};
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
    let shape =
        [case.config.num_layers * case.config.num_directions(), case.lengths.len(), case.config.hidden_size];
    let state = |rng: &mut ChaCha8Rng| Var::from_tensor(&random(&shape, rng)).unwrap();
    let (h_0, c_0) = (state(&mut rng), state(&mut rng));
    let on_c = random(&shape, &mut rng);
    let initial = RnnState {
        h: h_0.as_tensor().clone(),
        c: case.config.cell.has_memory().then(|| c_0.as_tensor().clone()),
    };
    let loss = |result: &RnnOutput| {
        let output = (&result.output * &on_output).unwrap().sum_all().unwrap();
        let loss = (output + (&result.last * &on_last).unwrap().sum_all().unwrap()).unwrap();
        match &result.state.c {
            Some(c) => (loss + (c * &on_c).unwrap().sum_all().unwrap()).unwrap(),
            None => loss,
        }
    };

    let reference = rnn.forward_reference(&x, &case.lengths, Some(&initial), None).unwrap();
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
        let result = rnn.forward_with(isa, &x, &case.lengths, Some(&initial), None).unwrap();
        assert_close(&result.output, &reference.output, 1e-5, &what);
        assert_close(&result.last, &reference.last, 1e-5, &what);
        assert_close(&result.state.h, &reference.state.h, 1e-5, &what);
        if let (Some(actual), Some(expected)) = (&result.state.c, &reference.state.c) {
            assert_close(actual, expected, 1e-5, &what);
        }
        let gradients = loss(&result).backward().unwrap();
        let inputs = [("x", &x), ("h_0", &h_0), ("c_0", &c_0)];
        for (name, var) in vars.iter().map(|(name, var)| (name.as_str(), var)).chain(inputs) {
            // What has no influence may be left out, or be zero.
            let of = |all: &GradStore| all.get(var).cloned().unwrap_or_else(|| var.zeros_like().unwrap());
            assert_close(&of(&gradients), &of(&expected), 2e-5, &format!("{what}: gradient of {name}"));
        }
    }
}

#[test]
fn all_cells_all_sizes() {
    for cell in CellKind::ALL {
        for hidden_size in [1, 3, 17, 64, 129] {
            let config = NetworkConfig { cell, hidden_size, num_layers: 1, ..NetworkConfig::default() };
            check(&Case { config, input_size: 3, lengths: vec![4, 0, 7, 1] });
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

#[test]
fn no_frames_leave_the_state_as_it_is() {
    for cell in CellKind::ALL {
        let config = NetworkConfig { cell, hidden_size: 5, num_layers: 2, ..NetworkConfig::default() };
        check(&Case { config: config.clone(), input_size: 2, lengths: vec![0, 0] });

        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let vars = weights(&Case { config: config.clone(), input_size: 2, lengths: vec![] }, &mut rng);
        let rnn = Rnn::new(&config, |name| Ok(vars[name].as_detached_tensor())).unwrap();
        let nothing = Tensor::zeros((3, 0, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = rnn.forward(&nothing, &[0, 0, 0], None).unwrap_err();
        assert!(error.to_string().contains("[3, 0, 2]"), "{error}");
    }
}

/// A network of one unit whose output is tanh(x), or σ(x): one sequence of one frame for each x.
fn gate(cell: CellKind, isa: Isa, x: &[f32]) -> Vec<f32> {
    let config =
        NetworkConfig { cell, hidden_size: 1, num_layers: 1, bidirectional: false, ..Default::default() };
    let rnn = Rnn::new(&config, |name| {
        let rows = cell.num_gates();
        // tanh: the only gate. σ: z of a GRU, which keeps its share of h = 1 while n = 0.
        let row = if rows == 1 { 0 } else { 1 };
        let one_hot: Vec<f32> = (0..rows).map(|r| if r == row { 1.0 } else { 0.0 }).collect();
        Ok(match name {
            "weight_ih_l0" => Tensor::from_vec(one_hot, (rows, 1), &Device::Cpu)?,
            "weight_hh_l0" => Tensor::zeros((rows, 1), candle_core::DType::F32, &Device::Cpu)?,
            _ => Tensor::zeros(rows, candle_core::DType::F32, &Device::Cpu)?,
        })
    })
    .unwrap();
    let input = Tensor::from_slice(x, (x.len(), 1, 1), &Device::Cpu).unwrap();
    let h = Tensor::ones((1, x.len(), 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    let initial = RnnState { h, c: None };
    let result = rnn.forward_with(isa, &input, &vec![1; x.len()], Some(&initial), None).unwrap();
    result.output.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn tanh_and_sigmoid_are_within_5e_7() {
    let mut x: Vec<f32> = (-120_000..=120_000).map(|i| i as f32 * 1e-4).collect();
    x.extend([1e-30, -1e-30, 1e-8, 50.0, -50.0, 1e30, -1e30, f32::MAX, f32::INFINITY, f32::NEG_INFINITY]);
    for isa in Isa::available() {
        for (cell, exact) in
            [(CellKind::RnnTanh, f64::tanh as fn(f64) -> f64), (CellKind::Gru, |x| 1.0 / (1.0 + (-x).exp()))]
        {
            let worst = gate(cell, isa, &x)
                .iter()
                .zip(&x)
                .map(|(y, &x)| (f64::from(*y) - exact(f64::from(x))).abs())
                .fold(0.0, f64::max);
            assert!(worst < 5e-7, "{cell:?} on {}: {worst:e}", isa.name());
        }
        assert!(gate(CellKind::RnnTanh, isa, &[f32::NAN])[0].is_nan());
        assert!(gate(CellKind::RnnRelu, isa, &[f32::NAN])[0].is_nan());
    }
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn in_threads(threads: usize, rnn: &Rnn, isa: Isa, x: &Tensor, lengths: &[usize]) -> RnnOutput {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| rnn.forward_with(isa, x, lengths, None, None).unwrap())
}

/// Large weights are read by two cores together: one direction after the other, or both where there are four.
#[test]
fn cores_that_share_a_scan_give_the_bits_of_one() {
    for (cell, hidden_size, bidirectional) in [
        (CellKind::Gru, 430, true),
        (CellKind::GruResetBefore, 310, false),
        (CellKind::LstmPeephole, 129, false),
        (CellKind::RnnTanh, 260, true),
    ] {
        let config =
            NetworkConfig { cell, hidden_size, num_layers: 1, bidirectional, ..NetworkConfig::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let vars = weights(&Case { config: config.clone(), input_size: 7, lengths: vec![] }, &mut rng);
        let rnn = Rnn::new(&config, |name| Ok(vars[name].as_detached_tensor())).unwrap();
        for lengths in [vec![90], vec![70, 1, 0, 66]] {
            let x = random(&[lengths.len(), 90, 7], &mut rng);
            for isa in Isa::available() {
                let alone = in_threads(1, &rnn, isa, &x, &lengths);
                for threads in [2, 4] {
                    let together = in_threads(threads, &rnn, isa, &x, &lengths);
                    let what = format!("{cell:?} on {} with {threads} threads", isa.name());
                    assert_eq!(bits(&alone.output), bits(&together.output), "{what}");
                    assert_eq!(bits(&alone.state.h), bits(&together.state.h), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_clips_bits_do_not_depend_on_its_batch_or_the_threads() {
    for cell in CellKind::ALL {
        let config = NetworkConfig { cell, hidden_size: 40, num_layers: 2, ..NetworkConfig::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let vars = weights(&Case { config: config.clone(), input_size: 7, lengths: vec![] }, &mut rng);
        let rnn = Rnn::new(&config, |name| Ok(vars[name].as_detached_tensor())).unwrap();
        let lengths: Vec<usize> = (0..19).map(|b| 20 + b % 9).collect();
        let x = random(&[lengths.len(), 28, 7], &mut rng);
        for isa in Isa::available() {
            let together = in_threads(1, &rnn, isa, &x, &lengths);
            let three = in_threads(3, &rnn, isa, &x, &lengths);
            assert_eq!(bits(&together.output), bits(&three.output), "{cell:?} {}", isa.name());
            for (b, &length) in lengths.iter().enumerate() {
                let clip = x.narrow(0, b, 1).unwrap().narrow(1, 0, length).unwrap();
                let alone = rnn.forward_with(isa, &clip, &[length], None, None).unwrap();
                let expected = together.output.get(b).unwrap().narrow(0, 0, length).unwrap();
                assert_eq!(bits(&alone.output), bits(&expected), "{cell:?} {} clip {b}", isa.name());
            }
        }
    }
}
