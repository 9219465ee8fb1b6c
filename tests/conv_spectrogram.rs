//! Convolutions over time and frequency: every kernel gives what the plain form gives, in training forward and back and at
//! inference; gradients are those of differences and have the same bits for any number of threads; running statistics
//! make of training what is inferred.

#[allow(dead_code, reason = "the tests of pictures use all of it")]
mod conv_common;

use candle_core::{DType, Device, Tensor};
use conv_common::*;
use percept::ErrorKind;
use percept::nn::conv::FrontEnd;
use percept::nn::kernels::Isa;
use percept::nn::{FrameShape, Network, NetworkConfig, Pooling};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn config(layers: &[(usize, [usize; 2])], outputs: usize) -> NetworkConfig {
    let (conv_channels, conv_pool) = layers.iter().copied().unzip();
    NetworkConfig {
        conv_channels,
        conv_pool,
        conv_output_size: outputs,
        dropout: 0.0,
        ..NetworkConfig::default()
    }
}

fn spectrogram(planes: usize, bins: usize) -> FrameShape {
    FrameShape { channels: planes, height: bins, width: 1, rest: 0 }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn plain(front_end: &FrontEnd, inputs: &Inputs) -> Tensor {
    front_end.train_reference(&inputs["x"]).unwrap()
}

#[test]
fn every_kernel_gives_what_the_plain_form_gives_in_training_and_at_inference() {
    let cases = [
        (spectrogram(1, 1), vec![(3, [1, 1])], 2, (1, 3)),
        (spectrogram(2, 5), vec![(4, [1, 2]), (17, [1, 3])], 5, (2, 4)),
        (spectrogram(1, 12), vec![(33, [2, 2]), (5, [3, 1])], 16, (3, 11)),
        (spectrogram(3, 40), vec![(8, [2, 2]), (16, [2, 2]), (70, [1, 4])], 65, (2, 19)),
    ];
    for (shape, layers, outputs, (batch, frames)) in cases {
        let config = config(&layers, outputs);
        let inputs = inputs(&config, shape, (batch, frames));
        let reference = |inputs: &Inputs| plain(&front_end(&config, shape, inputs), inputs);
        let (expected, expected_gradients) = (reference(&inputs), gradients(&inputs, reference));
        let inferred = front_end(&config, shape, &inputs).forward_reference(&inputs["x"]).unwrap();
        let lengths = vec![frames; batch];
        for isa in Isa::available() {
            let what = format!("{shape:?} {layers:?} {outputs} {}", isa.name());
            let fused = |inputs: &Inputs| {
                let front_end = front_end(&config, shape, inputs);
                front_end.forward_with(isa, &inputs["x"], &lengths, Some(&mut rng())).unwrap()
            };
            let inputs = in_f32(&inputs);
            for (name, gradient) in gradients(&inputs, fused) {
                assert_close(&gradient, &expected_gradients[&name], 2e-4, &format!("{what}: {name}"));
            }
            let front_end = front_end(&config, shape, &inputs);
            let out = front_end.forward_with(isa, &inputs["x"], &lengths, None).unwrap();
            assert_close(&out, &inferred, 1e-5, &what);
        }
        let vars = in_f32(&inputs);
        let learning = |inputs: &Inputs| {
            front_end(&config, shape, inputs).forward(&inputs["x"], &lengths, Some(&mut rng())).unwrap()
        };
        let x = candle_core::Var::from_tensor(&vars["0.weight"]).unwrap();
        let mut tracked = vars.clone();
        tracked.insert("0.weight".into(), x.as_tensor().clone());
        assert_close(&learning(&tracked), &expected, 1e-4, &format!("{shape:?} in training"));
    }
}

#[test]
fn gradients_are_those_of_differences() {
    let (shape, config) = (spectrogram(2, 5), config(&[(3, [2, 2]), (2, [1, 2])], 3));
    let reference = |inputs: &Inputs| plain(&front_end(&config, shape, inputs), inputs);
    assert_gradients_are_those_of_differences(&inputs(&config, shape, (2, 5)), reference, 1e-5);
}

#[test]
fn the_bits_of_a_sequence_do_not_depend_on_those_beside_it_or_on_padding() {
    let (shape, config) = (spectrogram(1, 13), config(&[(6, [2, 2]), (20, [1, 2]), (4, [2, 1])], 11));
    // More than a stretch of 128 frames that come out of four each.
    let inputs = in_f32(&inputs(&config, shape, (3, 1200)));
    let front_end = front_end(&config, shape, &inputs);
    assert_eq!((front_end.time_pool(), front_end.pooled_frames(1199)), (4, 300));
    let x = &inputs["x"];
    let lengths = [1200, 0, 717];
    let ragged = front_end.forward(x, &lengths, None).unwrap();
    assert_eq!(ragged.dims(), [3, 300, 11]);
    for (b, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        let alone = x.narrow(0, b, 1).unwrap().narrow(1, 0, length).unwrap().contiguous().unwrap();
        let alone = front_end.forward(&alone, &[length], None).unwrap();
        let together = ragged.narrow(0, b, 1).unwrap().narrow(1, 0, length.div_ceil(4)).unwrap();
        assert_eq!(bits(&together), bits(&alone), "clip {b}");
    }
}

#[test]
fn gradients_have_the_same_bits_for_any_number_of_threads_and_padding_has_none() {
    let (shape, config) = (spectrogram(1, 9), config(&[(5, [2, 2]), (18, [1, 2])], 7));
    let inputs = in_f32(&inputs(&config, shape, (7, 40)));
    let lengths = [40, 25, 39, 1, 40, 8, 0];
    let fused = |inputs: &Inputs| {
        front_end(&config, shape, inputs).forward(&inputs["x"], &lengths, Some(&mut rng())).unwrap()
    };
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| gradients(&inputs, fused))
    };
    let one = with_threads(1);
    for threads in [2, 3, 8] {
        for (name, gradient) in with_threads(threads) {
            assert_eq!(bits(&gradient), bits(&one[&name]), "{name}, {threads} threads");
        }
    }
    let padding = one["x"].narrow(0, 1, 1).unwrap().narrow(1, 25, 15).unwrap();
    assert!(values(&padding).iter().all(|&value| value == 0.0));
}

#[test]
fn a_network_gives_the_statistics_of_its_norms_and_a_padded_batch_gives_what_each_clip_gives() {
    let shape = spectrogram(1, 8);
    let network = NetworkConfig {
        hidden_size: 6,
        num_layers: 1,
        pooling: Pooling::Mean,
        ..config(&[(4, [2, 2]), (8, [2, 2])], 9)
    };
    let vars = Network::init(&network, shape, 3, 1).unwrap();
    assert_eq!(vars["conv.1.weight"].dims(), [8, 4, 3, 3]);
    assert_eq!(vars["conv.1.norm.running_var"].to_vec1::<f32>().unwrap(), [1.0; 8]);
    assert_eq!(vars["conv.linear.weight"].dims(), [9, 16]);

    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let learning = Network::new(&network, shape, 3, &weights).unwrap();
    let x = random(&[2, 13, 8], 3).to_dtype(DType::F32).unwrap();
    let (logits, statistics) = learning.train(&x, &[13, 6], &mut rng()).unwrap();
    assert_eq!(logits.dims(), [2, 3]);
    // 13 frames and 6 of 8 bands; then, pooled, 7 and 3 of 4.
    assert_eq!(statistics.iter().map(|s| (s.mean.len(), s.count)).collect::<Vec<_>>(), [(4, 152), (8, 40)]);
    let gradients = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in &vars {
        let is_learned = !percept::nn::conv::is_running_statistic(name);
        assert_eq!(gradients.get(var).is_some(), is_learned, "{name}");
    }

    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let answering = Network::new(&network, shape, 3, &weights).unwrap();
    let together = answering.forward(&x, &[13, 6], None).unwrap();
    let second = x.narrow(0, 1, 1).unwrap().narrow(1, 0, 6).unwrap();
    let alone = answering.forward(&second, &[6], None).unwrap();
    assert_close(&alone, &together.narrow(0, 1, 1).unwrap(), 1e-5, "the second clip");
    // A front end that does not learn stays as it is in training.
    let (frozen, none) = answering.train(&x, &[13, 6], &mut rng()).unwrap();
    assert!(none.is_empty());
    assert_close(&frozen, &together, 1e-5, "frozen");
}

#[test]
fn with_the_statistics_of_a_batch_inference_gives_what_training_gave() {
    let (shape, config) = (spectrogram(1, 12), config(&[(5, [1, 2]), (9, [1, 2])], 7));
    let mut inputs = in_f32(&inputs(&config, shape, (3, 20)));
    let lengths = [20, 20, 11];
    let weight = candle_core::Var::from_tensor(&inputs["0.weight"]).unwrap();
    inputs.insert("0.weight".into(), weight.as_tensor().clone());
    let learning = front_end(&config, shape, &inputs);
    let (trained, statistics) = learning.train(&inputs["x"], &lengths, &mut rng()).unwrap();
    for (l, norm) in statistics.into_iter().enumerate() {
        let tensor = |values: Vec<f32>| Tensor::from_vec(values.clone(), values.len(), &Device::Cpu).unwrap();
        inputs.insert(format!("{l}.norm.running_mean"), tensor(norm.mean));
        inputs.insert(format!("{l}.norm.running_var"), tensor(norm.variance));
    }
    let inferred = front_end(&config, shape, &inputs).forward(&inputs["x"], &lengths, None).unwrap();
    assert_close(&inferred, &trained, 1e-5, "the same statistics");
}

#[test]
fn what_cannot_be_is_an_error_in_words() {
    let message = |config: &NetworkConfig, shape: FrameShape| {
        let error = Network::init(config, shape, 2, 1).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        error.message
    };
    let pictures = FrameShape { channels: 1, height: 8, width: 8, rest: 0 };
    for shape in [FrameShape::from(40), pictures] {
        assert!(message(&config(&[(4, [1, 2])], 8), shape).contains("which need a spectrogram"));
    }
    let one_more = NetworkConfig { conv_channels: vec![4, 4], ..config(&[(4, [1, 2])], 8) };
    assert!(message(&one_more, spectrogram(1, 40)).starts_with("conv_pool has 1 layers and conv_channels 2"));
    assert!(
        message(&config(&[(4, [0, 2])], 8), spectrogram(1, 40)).starts_with("conv_pool has a pair of [0, 2]")
    );
    let tags = NetworkConfig { pooling: Pooling::None, ..config(&[(4, [2, 2])], 8) };
    assert!(message(&tags, spectrogram(1, 40)).contains("its first number is 1"));
}
