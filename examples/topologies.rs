//! The five pictures of the lecture: what goes in, what comes out, and when.
//!
//! `cargo run --release --example topologies`
//!
//! ```text
//! one-to-one    one-to-many      many-to-one    many-to-many       many-to-many
//!     y          y  y  y  y                y          y  y  y       y  y  y  y
//!     │          │  │  │  │                │          │  │  │       │  │  │  │
//!     ■          ■──■──■──■       ■──■──■──■    ■──■──■──■──■       ■──■──■──■
//!     │          │                │  │  │  │    │  │  │             │  │  │  │
//!     x          x                x  x  x  x    x  x  x             x  x  x  x
//! ```
//!
//! Each learns a toy task on two hundred examples in seconds, and prints its shapes: B sequences, T time steps, D numbers in,
//! K symbols out.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use candle_nn::loss::cross_entropy;
use percept::Result;
use percept::nn::attention::Score;
use percept::nn::seq2seq::{EncoderDecoder, EncoderDecoderConfig};
use percept::nn::{CellKind, Network, NetworkConfig, Pooling};
use percept::train::{Optimizer, Schedule, TrainingConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sequences, and steps of those that are long.
const B: usize = 200;
const T: usize = 6;

/// What a task has reached.
#[derive(Debug)]
pub struct Figures {
    pub topology: &'static str,
    /// Share of the answers that are right.
    pub accuracy: f64,
}

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> Result<()> {
    run().map(|_| ())
}

pub fn run() -> Result<Vec<Figures>> {
    Ok(vec![one_to_one()?, one_to_many()?, many_to_one()?, encoder_decoder()?, frame_by_frame()?])
}

/// Two bits, and whether they differ: a network without a past.
fn one_to_one() -> Result<Figures> {
    let bits = random_symbols(2, 2);
    let differ: Vec<u32> = bits.iter().map(|pair| pair[0] ^ pair[1]).collect();
    let x =
        Tensor::from_iter(bits.iter().flatten().map(|&bit| bit as f32), &Device::Cpu)?.reshape((B, 1, 2))?;
    let (network, vars) = network(2, 2, Pooling::Last)?;
    learn("one-to-one", &x, vars, &differ, || network.forward(&x, &[1; B], None))
}

/// A number at the first step, and nothing after it: count down from it to 0.
fn one_to_many() -> Result<Figures> {
    let numbers: Vec<u32> = random_symbols(1, T as u32).concat();
    let countdown: Vec<u32> =
        numbers.iter().flat_map(|&n| (0..T as u32).map(move |t| n.saturating_sub(t))).collect();
    let first = |&n: &u32| (0..T * T).map(move |i| f32::from(i == n as usize));
    let x = Tensor::from_iter(numbers.iter().flat_map(first), &Device::Cpu)?.reshape((B, T, T))?;
    let (network, vars) = network(T, T, Pooling::None)?;
    learn("one-to-many", &x, vars, &countdown, || Ok(network.forward(&x, &[T; B], None)?.flatten(0, 1)?))
}

/// Symbols, and at the end which of them came first.
fn many_to_one() -> Result<Figures> {
    let symbols = random_symbols(T, 4);
    let first: Vec<u32> = symbols.iter().map(|sequence| sequence[0]).collect();
    let x = one_hot(&symbols, 4)?;
    let (network, vars) = network(4, 4, Pooling::Last)?;
    learn("many-to-one", &x, vars, &first, || network.forward(&x, &[T; B], None))
}

/// Symbols are read to their end, then written backwards: as many as there were, from 2 to 6.
fn encoder_decoder() -> Result<Figures> {
    const START: u32 = 4;
    let mut sources = random_symbols(T, 4);
    sources.iter_mut().enumerate().for_each(|(i, source)| source.truncate(2 + i % (T - 1)));
    let reversed: Vec<Vec<u32>> = sources.iter().map(|s| s.iter().rev().copied().collect()).collect();
    let told: Vec<Vec<u32>> = reversed.iter().map(|r| [&[START], &r[..r.len() - 1]].concat()).collect();
    let places: Vec<u32> =
        (0..B).flat_map(|b| (0..reversed[b].len()).map(move |t| (b * T + t) as u32)).collect();
    let places = Tensor::new(places, &Device::Cpu)?;
    let config = EncoderDecoderConfig {
        source_symbols: 4,
        target_symbols: 5,
        embedding_size: 8,
        cell: CellKind::Gru,
        hidden_size: 24,
        num_layers: 1,
        score: Score::General,
        dropout: 0.0,
    };
    let vars = EncoderDecoder::init(&config, 1)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = EncoderDecoder::new(&config, &weights)?;
    let x = one_hot(&sources, 4)?;
    learn("many-to-many, encoder-decoder", &x, vars, &reversed.concat(), || {
        let encoded = network.encode(&sources, None)?;
        let logits = network.decode(&encoded, &encoded.state, &told, None)?.logits;
        // Those of all targets one after the other, without what fills them up.
        Ok(logits.flatten(0, 1)?.index_select(&places, 0)?)
    })
}

/// Bits, and at every step whether there were an odd number of ones so far.
fn frame_by_frame() -> Result<Figures> {
    let bits = random_symbols(T, 2);
    let odd = |bits: &Vec<u32>| (1..=T).map(|t| bits[..t].iter().sum::<u32>() % 2).collect::<Vec<u32>>();
    let x = one_hot(&bits, 2)?;
    let (network, vars) = network(2, 2, Pooling::None)?;
    let parity: Vec<u32> = bits.iter().flat_map(odd).collect();
    learn("many-to-many, frame by frame", &x, vars, &parity, || {
        Ok(network.forward(&x, &[T; B], None)?.flatten(0, 1)?)
    })
}

/// One layer from the first step to the last, with its weights.
fn network(inputs: usize, outputs: usize, pooling: Pooling) -> Result<(Network, BTreeMap<String, Var>)> {
    let config = NetworkConfig {
        cell: CellKind::Lstm,
        hidden_size: 24,
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        pooling,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, inputs, outputs, 1)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    Ok((Network::new(&config, inputs, outputs, &weights)?, vars))
}

/// Has `logits`, `[N, K]`, become those of `due`, N symbols.
fn learn(
    topology: &'static str,
    x: &Tensor,
    vars: BTreeMap<String, Var>,
    due: &[u32],
    logits: impl Fn() -> Result<Tensor>,
) -> Result<Figures> {
    const STEPS: usize = 200;
    let training = TrainingConfig {
        learning_rate: 0.02,
        schedule: Schedule::Cosine,
        weight_decay: 0.0,
        ..TrainingConfig::default()
    };
    let mut optimizer = Optimizer::new(vars, &training, STEPS);
    let target = Tensor::new(due, &Device::Cpu)?;
    println!("{topology}: in {:?}, out {:?}", x.dims(), logits()?.dims());
    for step in 1..=STEPS {
        let loss = cross_entropy(&logits()?, &target)?;
        optimizer.step(&[loss.backward()?])?;
        if step % 50 == 0 {
            println!("  step {step:3}  loss {:.4}", loss.to_scalar::<f32>()?);
        }
    }
    let predicted = logits()?.argmax(1)?.to_vec1::<u32>()?;
    let right = predicted.iter().zip(due).filter(|(predicted, due)| predicted == due).count();
    println!("  {right} of {} right", due.len());
    Ok(Figures { topology, accuracy: right as f64 / due.len() as f64 })
}

/// `[B][length]` symbols below `kinds`, the same at each call.
fn random_symbols(length: usize, kinds: u32) -> Vec<Vec<u32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..B).map(|_| (0..length).map(|_| rng.random_range(0..kinds)).collect()).collect()
}

/// `[B, T, K]`: a 1 in the place of each symbol; nothing beyond a sequence's end.
fn one_hot(sequences: &[Vec<u32>], kinds: usize) -> Result<Tensor> {
    let mut values = vec![0f32; B * T * kinds];
    for (b, sequence) in sequences.iter().enumerate() {
        for (t, &symbol) in sequence.iter().enumerate() {
            values[(b * T + t) * kinds + symbol as usize] = 1.0;
        }
    }
    Ok(Tensor::from_vec(values, (B, T, kinds), &Device::Cpu)?)
}
