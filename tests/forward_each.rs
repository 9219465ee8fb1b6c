//! What a network answers for a clip does not depend on the clips beside it: not one bit.

use candle_core::{Device, Tensor};
use percept::nn::cell::CellKind;
use percept::nn::{FrameShape, Network, NetworkConfig, Pooling, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIM: usize = 20;
/// One plane of `DIM` bands, as of a spectrogram.
const SHAPE: FrameShape = FrameShape { channels: 1, height: DIM, width: 1, rest: 0 };
const LABELS: usize = 7;

fn check(config: &NetworkConfig) {
    let weights: Weights = Network::init(config, SHAPE, LABELS, 3)
        .unwrap()
        .into_iter()
        .map(|(name, var)| (name, var.as_tensor().clone()))
        .collect();
    let network = Network::new(config, SHAPE, LABELS, &weights).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let clips: Vec<Vec<f32>> = [43, 1, 17, 100, 43, 2, 64, 8, 9]
        .iter()
        .map(|frames| (0..frames * DIM).map(|_| rng.random_range(-2.0..2.0f32)).collect())
        .collect();
    let together = |clips: &[&Vec<f32>]| {
        let lengths: Vec<usize> = clips.iter().map(|clip| clip.len() / DIM).collect();
        let longest = *lengths.iter().max().unwrap();
        let mut x = Vec::new();
        for (i, clip) in clips.iter().enumerate() {
            x.extend_from_slice(clip);
            x.resize((i + 1) * longest * DIM, 0.0);
        }
        let x = Tensor::from_vec(x, (clips.len(), longest, DIM), &Device::Cpu).unwrap();
        network.forward_each(&x, &lengths).unwrap()
    };
    let alone: Vec<Vec<f32>> = clips.iter().map(|clip| together(&[clip]).remove(0)).collect();
    let all: Vec<&Vec<f32>> = clips.iter().collect();
    for parts in [9, 4, 2] {
        let answers: Vec<Vec<f32>> = all.chunks(parts).flat_map(together).collect();
        assert_eq!(answers, alone, "{config:?}, {parts} at a time");
    }
    for (clip, alone) in clips.iter().zip(&alone) {
        let x = Tensor::from_slice(clip, (1, clip.len() / DIM, DIM), &Device::Cpu).unwrap();
        let usual = network.forward(&x, &[clip.len() / DIM], None).unwrap().squeeze(0).unwrap();
        assert_eq!(&usual.to_vec1::<f32>().unwrap(), alone, "{config:?}");
    }
}

#[test]
fn the_bits_of_a_clip_are_its_own_for_every_cell() {
    for cell in CellKind::ALL {
        for (num_layers, bidirectional, hidden_size) in [(1, false, 5), (2, true, 16), (2, true, 96)] {
            check(&NetworkConfig {
                cell,
                num_layers,
                bidirectional,
                hidden_size,
                pooling: Pooling::Mean,
                ..NetworkConfig::default()
            });
        }
    }
}

#[test]
fn the_bits_of_a_clip_are_its_own_for_every_pooling_and_behind_convolutions() {
    for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention] {
        for conv_channels in [vec![], vec![8, 16]] {
            let conv_pool = if conv_channels.is_empty() { vec![] } else { vec![[1, 2], [2, 2]] };
            check(&NetworkConfig {
                pooling,
                conv_pool,
                conv_output_size: 24,
                conv_channels,
                hidden_size: 33,
                ..NetworkConfig::default()
            });
        }
    }
}

#[test]
fn a_text_in_pieces_gives_the_logits_and_the_state_of_the_whole() {
    let config = NetworkConfig {
        cell: CellKind::LstmPeephole,
        hidden_size: 5,
        bidirectional: false,
        pooling: Pooling::None,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, 3, 4, 1).unwrap();
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().detach())).collect();
    let network = Network::new(&config, 3, 4, &weights).unwrap();
    let x = Tensor::randn(0f32, 1.0, (2, 7, 3), &Device::Cpu).unwrap();
    let (whole, last) = network.forward_from(&x, &[7, 7], None, None).unwrap();
    let (first, state) = network.forward_from(&x.narrow(1, 0, 4).unwrap(), &[4, 4], None, None).unwrap();
    let (second, end) =
        network.forward_from(&x.narrow(1, 4, 3).unwrap(), &[3, 3], Some(&state.detach()), None).unwrap();
    let difference = |a: &Tensor, b: &Tensor| {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
    };
    assert!(difference(&whole, &Tensor::cat(&[&first, &second], 1).unwrap()) < 1e-6);
    assert!(difference(&last.h, &end.h) < 1e-6 && difference(&last.c.unwrap(), &end.c.unwrap()) < 1e-6);

    let both = NetworkConfig { bidirectional: true, ..config };
    let vars = Network::init(&both, 3, 4, 1).unwrap();
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().detach())).collect();
    let network = Network::new(&both, 3, 4, &weights).unwrap();
    let error = network.forward_from(&x, &[7, 7], None, None).unwrap_err();
    assert!(error.message.contains("bidirectional = false"), "{error}");
}
