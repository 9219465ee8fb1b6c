//! The convolutional front end: every kernel gives what the plain form gives, forward and back, whatever the sizes; the bits
//! of a frame do not depend on its neighbours, and those of the gradients not on the number of threads.

mod conv_common;

use candle_core::{DType, Tensor};
use conv_common::*;
use percept::nn::conv::FrontEnd;
use percept::nn::kernels::Isa;
use percept::nn::{FrameShape, Network, NetworkConfig, Pooling};
use percept::{ErrorKind, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn config(channels: &[usize], outputs: usize) -> NetworkConfig {
    NetworkConfig {
        conv_channels: channels.to_vec(),
        conv_output_size: outputs,
        dropout: 0.0,
        ..NetworkConfig::default()
    }
}

fn shape(channels: usize, height: usize, width: usize, rest: usize) -> FrameShape {
    FrameShape { channels, height, width, rest }
}

#[test]
fn every_kernel_gives_what_the_plain_form_gives_forward_and_back() {
    let cases = [
        (shape(1, 1, 1, 0), vec![3], 2),
        (shape(2, 5, 7, 3), vec![4, 17], 5),
        (shape(3, 1, 9, 0), vec![33, 5], 16),
        (shape(1, 33, 47, 3), vec![5, 8, 50, 70], 65),
        (shape(2, 32, 32, 0), vec![16, 32, 64], 64),
        (shape(3, 6, 2, 1), vec![1, 1, 1, 1], 1),
    ];
    for (shape, channels, outputs) in cases {
        let config = config(&channels, outputs);
        let inputs = inputs(&config, shape, (2, 3));
        let plain =
            |inputs: &Inputs| front_end(&config, shape, inputs).forward_reference(&inputs["x"]).unwrap();
        let (expected, expected_gradients) = (plain(&inputs), gradients(&inputs, plain));
        for isa in Isa::available() {
            let what = format!("{shape:?} {channels:?} {outputs} {}", isa.name());
            let fused = |inputs: &Inputs| {
                let front_end = front_end(&config, shape, inputs);
                front_end.forward_with(isa, &inputs["x"], &[3, 3], None).unwrap()
            };
            let inputs = in_f32(&inputs);
            assert_close(&fused(&inputs), &expected, 1e-5, &what);
            for (name, gradient) in gradients(&inputs, fused) {
                assert_close(&gradient, &expected_gradients[&name], 1e-4, &format!("{what}: {name}"));
            }
        }
    }
}

#[test]
fn gradients_are_those_of_differences() {
    for (shape, channels) in [(shape(2, 5, 7, 3), vec![3, 4]), (shape(1, 4, 1, 0), vec![2])] {
        let config = config(&channels, 3);
        let plain =
            |inputs: &Inputs| front_end(&config, shape, inputs).forward_reference(&inputs["x"]).unwrap();
        assert_gradients_are_those_of_differences(&inputs(&config, shape, (1, 2)), plain, 1e-6);
    }
}

#[test]
fn the_bits_of_a_frame_do_not_depend_on_those_beside_it_or_on_padding() {
    let (shape, config) = (shape(2, 13, 10, 2), config(&[6, 20], 11));
    let inputs = in_f32(&inputs(&config, shape, (3, 40)));
    let front_end = front_end(&config, shape, &inputs);
    let x = &inputs["x"];
    let all = front_end.forward(x, &[40, 40, 40], None).unwrap();
    assert_eq!(front_end.forward(x, &[0, 0, 0], None).unwrap().dims(), all.dims());
    let lengths = [40, 0, 17];
    let ragged = front_end.forward(x, &lengths, None).unwrap();
    for (b, &length) in lengths.iter().enumerate() {
        for t in 0..length {
            let frame = |of: &Tensor| of.narrow(0, b, 1).unwrap().narrow(1, t, 1).unwrap();
            let alone = front_end.forward(&frame(x).contiguous().unwrap(), &[1], None).unwrap();
            assert_eq!(bits(&frame(&all)), bits(&alone), "{b} {t}");
            assert_eq!(bits(&frame(&ragged)), bits(&alone), "{b} {t}");
        }
    }
}

#[test]
fn gradients_have_the_same_bits_for_any_number_of_threads_and_padding_has_none() {
    let (shape, config) = (shape(1, 9, 8, 1), config(&[5, 18], 7));
    // More than 64 parts of 16 frames.
    let inputs = in_f32(&inputs(&config, shape, (3, 400)));
    let lengths = [400, 250, 399];
    let fused = |inputs: &Inputs| {
        let out = front_end(&config, shape, inputs).forward(&inputs["x"], &lengths, None).unwrap();
        out.narrow(2, 0, 7).unwrap()
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
    let padding = one["x"].narrow(0, 1, 1).unwrap().narrow(1, 250, 150).unwrap();
    assert!(values(&padding).iter().all(|&value| value == 0.0));
}

#[test]
fn a_network_with_a_front_end_learns_and_a_padded_batch_gives_what_each_clip_gives() {
    let shape = shape(1, 6, 5, 2);
    let network =
        NetworkConfig { hidden_size: 6, num_layers: 1, pooling: Pooling::Mean, ..config(&[4, 8], 9) };
    let vars = Network::init(&network, shape, 3, 1).unwrap();
    let names: Vec<&str> = vars.keys().map(String::as_str).filter(|name| name.starts_with("conv.")).collect();
    let due = [
        "conv.0.bias",
        "conv.0.weight",
        "conv.1.bias",
        "conv.1.weight",
        "conv.linear.bias",
        "conv.linear.weight",
    ];
    assert_eq!(names, due);
    assert_eq!(vars["rnn.weight_ih_l0"].dims(), [18, 11]);

    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let learning = Network::new(&network, shape, 3, &weights).unwrap();
    let x = random(&[2, 5, shape.len()], 3).to_dtype(DType::F32).unwrap();
    let gradients = learning.forward(&x, &[5, 3], None).unwrap().sqr().unwrap().sum_all().unwrap().backward();
    let gradients = gradients.unwrap();
    for (name, var) in &vars {
        assert!(gradients.get(var).is_some_and(|gradient| gradient.dims() == var.dims()), "{name}");
    }

    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let answering = Network::new(&network, shape, 3, &weights).unwrap();
    let together = answering.forward(&x, &[5, 3], None).unwrap();
    let second = x.narrow(0, 1, 1).unwrap().narrow(1, 0, 3).unwrap();
    let alone = answering.forward(&second, &[3], None).unwrap();
    assert_close(&alone, &together.narrow(0, 1, 1).unwrap(), 1e-5, "the second clip");
}

#[test]
fn dropout_leaves_the_plain_numbers_and_what_it_leaves_grows() {
    let shape = shape(1, 4, 4, 3);
    let config = NetworkConfig { dropout: 0.5, ..config(&[4], 50) };
    let inputs = in_f32(&inputs(&config, shape, (1, 8)));
    let front_end = front_end(&config, shape, &inputs);
    let all = values(&front_end.forward(&inputs["x"], &[8], None).unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let dropped = values(&front_end.forward(&inputs["x"], &[8], Some(&mut rng)).unwrap());
    let mut zeros = 0;
    for (i, (a, d)) in all.into_iter().zip(dropped).enumerate() {
        match i % 53 < 50 {
            true => {
                zeros += usize::from(d == 0.0 && a != 0.0);
                assert!(d == 0.0 || d == 2.0 * a);
            }
            false => assert_eq!(d, a),
        }
    }
    assert!(zeros > 50, "{zeros}");
}

#[test]
fn what_cannot_be_is_an_error_in_words() {
    let message = |config: &NetworkConfig, shape: FrameShape| {
        let error = Network::init(config, shape, 2, 1).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        error.message
    };
    let no_planes = message(&config(&[4], 8), FrameShape::from(40));
    assert!(
        no_planes.contains("conv_channels asks for convolutions, which need pictures or a spectrogram"),
        "{no_planes}"
    );
    let too_many = message(&config(&[1024], 8), shape(1, 200, 200, 0));
    assert!(too_many.contains("10240000 numbers a frame for the linear layer"), "{too_many}");
    assert_eq!(
        message(&config(&[], 8), shape(3, 200, 200, 0)),
        "120000 features a frame: must be 1 to 65536"
    );
    assert!(message(&config(&[8, 0], 8), shape(1, 4, 4, 0)).starts_with("conv_channels has a layer of 0"));
    assert!(message(&config(&[8; 9], 8), shape(1, 4, 4, 0)).starts_with("conv_channels has 9 layers"));
    assert!(message(&config(&[8], 0), shape(1, 4, 4, 0)).starts_with("conv_output_size is 0"));

    let (shape, config) = (shape(1, 4, 4, 0), config(&[4], 8));
    let inputs = in_f32(&inputs(&config, shape, (2, 3)));
    let front_end = front_end(&config, shape, &inputs);
    for lengths in [&[3][..], &[3, 4]] {
        assert_eq!(front_end.forward(&inputs["x"], lengths, None).unwrap_err().kind, ErrorKind::Config);
    }
    let wrong: Result<_> = FrontEnd::new(&config, shape, |_| Ok(inputs["0.bias"].clone()));
    assert!(wrong.unwrap_err().message.contains("tensor `0.weight` has shape [4], not [4, 1, 3, 3]"));
}
