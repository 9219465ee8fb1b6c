//! Writes text a character at a time, as the lecture's network does with War and Peace (one-to-many):
//!
//! ```text
//! cargo run --release --example char_rnn -- ../shared/data/text/war_and_peace_pg2600.txt.gz --save peace.safetensors
//! cargo run --release --example char_rnn -- --load peace.safetensors --prefix "The prince " --temperature 0.7 --top-k 20
//! ```
//!
//! At every character the network says how likely each character is as the next one:
//!
//! ```text
//! h_t = LSTM(h_{t-1}, one-hot of character t)      p(character t + 1) = softmax(W h_t + b)
//! ```
//!
//! It learns by its mistakes on text that is there, and writes by drawing from p and reading what it has drawn. With `--quick`
//! it learns a nursery rhyme in seconds.

#[path = "../common/mod.rs"]
mod common;
mod saved;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use clap::Parser;
use flate2::read::MultiGzDecoder;
use percept::nn::decode::Sampler;
use percept::nn::rnn::RnnState;
use percept::nn::{CellKind, Network, NetworkConfig, Pooling, Weights};
use percept::train::{Optimizer, Schedule, TrainingConfig};
use percept::{Error, ErrorKind, Result};

/// Learns to write like a text, and writes.
#[derive(Parser)]
pub struct Args {
    /// The text to learn from, in UTF-8; may be packed by gzip
    #[arg(required_unless_present_any = ["quick", "load"])]
    text: Option<PathBuf>,
    /// A small network learns a nursery rhyme
    #[arg(long, conflicts_with_all = ["text", "load"])]
    quick: bool,
    /// Write with a network that was saved, learn nothing
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    load: Option<PathBuf>,
    /// Save what was learned
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Batches to learn from
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Units of each of the two layers
    #[arg(long, default_value_t = 128)]
    hidden_size: usize,
    /// Begin of what is written; its characters must be in the text
    #[arg(long, default_value = "\n")]
    prefix: String,
    /// Characters to write
    #[arg(long, default_value_t = 400)]
    length: usize,
    /// Below 1 the likely gets likelier; 0 takes the likeliest
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// Draw among so many of the likeliest characters only
    #[arg(long)]
    top_k: Option<usize>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was reached.
#[derive(Debug)]
pub struct Figures {
    /// Mean loss a character on text that was not learned, in nats: before and after. None where a network was loaded.
    pub losses: Option<[f64; 2]>,
    pub text: String,
}

/// A network and what its numbers mean.
pub struct CharRnn {
    config: NetworkConfig,
    /// All characters of the text, in order.
    symbols: Vec<char>,
    weights: Weights,
    network: Network,
}

impl CharRnn {
    fn new(config: NetworkConfig, symbols: Vec<char>, weights: Weights) -> Result<Self> {
        let network = Network::new(&config, symbols.len(), symbols.len(), &weights)?;
        Ok(Self { config, symbols, weights, network })
    }
}

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> ExitCode {
    common::exit_code(run(&Args::parse()))
}

pub fn run(args: &Args) -> Result<Figures> {
    let (model, losses) = match &args.load {
        Some(path) => (saved::load(path)?, None),
        None => {
            let (model, losses) = learn(args)?;
            (model, Some(losses))
        }
    };
    if let Some(path) = &args.save {
        saved::save(&model, path)?;
    }
    let text = write(&model, args, &args.prefix)?;
    println!("{text}");
    Ok(Figures { losses, text })
}

/// Trains a network; gives its loss before and after too.
fn learn(args: &Args) -> Result<(CharRnn, [f64; 2])> {
    let text = match &args.text {
        Some(path) => read(path)?,
        None => the_house_that_jack_built(),
    };
    // As Karpathy's char-rnn has them: sequences side by side, and characters of each that are learned at a time.
    let (batch, frames) = if args.quick { (4, 32) } else { (50, 50) };
    let (hidden_size, steps) = if args.quick { (64, 240) } else { (args.hidden_size, args.steps) };

    let mut symbols: Vec<char> = text.chars().collect();
    symbols.sort_unstable();
    symbols.dedup();
    let numbers: Vec<u32> =
        text.chars().map(|c| symbols.binary_search(&c).expect("a character of the text") as u32).collect();
    let (train, validation) = numbers.split_at(numbers.len() * 9 / 10);
    let [train, validation] = [train, validation].map(|part| Lanes::new(part, batch, frames, symbols.len()));
    let (train, validation) = (train?, validation?);

    let config = NetworkConfig {
        cell: CellKind::Lstm,
        hidden_size,
        num_layers: 2,
        bidirectional: false,
        dropout: 0.0,
        pooling: Pooling::None,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, symbols.len(), symbols.len(), args.seed)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = Network::new(&config, symbols.len(), symbols.len(), &weights)?;
    // What is learned so far, to write with.
    let model = || -> Result<CharRnn> {
        let weights = vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)));
        CharRnn::new(config.clone(), symbols.clone(), weights.collect::<Result<_>>()?)
    };

    let training = TrainingConfig {
        learning_rate: if args.quick { 1e-2 } else { 2e-3 },
        schedule: Schedule::Constant,
        weight_decay: 0.0,
        clip_norm: 5.0,
        ..TrainingConfig::default()
    };
    let mut optimizer = Optimizer::new(vars.clone(), &training, steps);
    let before = validation.loss(&model()?.network)?;
    println!("{} characters, {} of them different; loss {before:.3}", numbers.len(), symbols.len());
    let mut state: Option<RnnState> = None;
    for step in 0..steps {
        let (x, next) = train.piece(step % train.pieces)?;
        // The next piece goes on where this one ends, but no gradient flows back over the border.
        let begun = if step % train.pieces == 0 { None } else { state.as_ref() };
        let (logits, after) = network.forward_from(&x, &vec![frames; batch], begun, None)?;
        state = Some(after.detach());
        let loss = cross_entropy(&logits.flatten(0, 1)?, &next)?;
        common::learn_from(&loss, &mut optimizer)?;
        if [100, 300, 700, 2000].contains(&(step + 1)) {
            let loss = validation.loss(&model()?.network)?;
            println!(
                "\n--- iteration {}, validation loss {loss:.3}\n{}",
                step + 1,
                write(&model()?, args, "\n")?
            );
        }
    }
    let after = validation.loss(&model()?.network)?;
    println!("\n--- learned: validation loss {after:.4}");
    Ok((model()?, [before, after]))
}

/// Goes on from `prefix`.
fn write(model: &CharRnn, args: &Args, prefix: &str) -> Result<String> {
    let CharRnn { network, symbols, .. } = model;
    let mut sampler = Sampler::new(args.temperature, args.top_k, args.seed)?;
    let mut text = prefix.to_string();
    let mut read = Vec::new();
    for character in prefix.chars() {
        let Ok(number) = symbols.binary_search(&character) else {
            let message =
                format!("the network has never seen {character:?}, which is in the prefix; leave it out");
            return Err(Error::new(ErrorKind::Config, message));
        };
        read.push(number as u32);
    }
    if read.is_empty() {
        return Err(Error::new(ErrorKind::Config, "the prefix is empty; give one character at least"));
    }
    let mut state = None;
    for _ in 0..args.length {
        let x = one_hot(&read, 1, symbols.len())?;
        let (logits, after) = network.forward_from(&x, &[read.len()], state.as_ref(), None)?;
        let drawn = sampler.sample(&logits.get(0)?.get(read.len() - 1)?.to_vec1::<f32>()?)?;
        text.push(symbols[drawn as usize]);
        (read, state) = (vec![drawn], Some(after));
    }
    Ok(text)
}

/// A text as lanes side by side, `[B]` of equal length, that are read in pieces of `T` characters.
struct Lanes {
    numbers: Vec<u32>,
    batch: usize,
    frames: usize,
    /// Different characters.
    symbols: usize,
    /// Pieces of each lane.
    pieces: usize,
}

impl Lanes {
    fn new(numbers: &[u32], batch: usize, frames: usize, symbols: usize) -> Result<Self> {
        // The last character of a lane is known only as what comes next.
        let pieces = numbers.len().saturating_sub(1) / batch / frames;
        if pieces == 0 {
            let least = 10 * (batch * frames + 1);
            let message = format!("the text is too short: give at least {least} characters, or --quick");
            return Err(Error::new(ErrorKind::Dataset, message));
        }
        Ok(Self { numbers: numbers.to_vec(), batch, frames, symbols, pieces })
    }

    /// The characters of a piece `[B, T, K]` and what follows each, `[B·T]`.
    fn piece(&self, piece: usize) -> Result<(Tensor, Tensor)> {
        let lane = self.pieces * self.frames;
        let starts = (0..self.batch).map(|b| b * lane + piece * self.frames);
        let read: Vec<u32> =
            starts.clone().flat_map(|start| self.numbers[start..][..self.frames].to_vec()).collect();
        let next: Vec<u32> =
            starts.flat_map(|start| self.numbers[start + 1..][..self.frames].to_vec()).collect();
        let count = next.len();
        Ok((one_hot(&read, self.batch, self.symbols)?, Tensor::from_vec(next, count, &Device::Cpu)?))
    }

    /// The mean over all characters.
    fn loss(&self, network: &Network) -> Result<f64> {
        let (mut sum, mut state) = (0.0, None);
        for piece in 0..self.pieces {
            let (x, next) = self.piece(piece)?;
            let (logits, after) =
                network.forward_from(&x, &vec![self.frames; self.batch], state.as_ref(), None)?;
            sum += f64::from(cross_entropy(&logits.flatten(0, 1)?, &next)?.to_scalar::<f32>()?);
            state = Some(after);
        }
        Ok(sum / self.pieces as f64)
    }
}

/// `[B·T]` numbers -> `[B, T, K]`, a 1 in the place of each number.
fn one_hot(numbers: &[u32], batch: usize, symbols: usize) -> Result<Tensor> {
    let mut values = vec![0f32; numbers.len() * symbols];
    for (row, &number) in values.chunks_exact_mut(symbols).zip(numbers) {
        row[number as usize] = 1.0;
    }
    Ok(Tensor::from_vec(values, (batch, numbers.len() / batch, symbols), &Device::Cpu)?)
}

/// A text, or one that gzip has packed, without what Windows adds: the mark at its begin, two characters at a line's end.
fn read(path: &Path) -> Result<String> {
    let wrong = |message: &str| Error::new(ErrorKind::Dataset, message).with_path(path);
    let mut bytes = std::fs::read(path).map_err(|e| Error::io(&e, path))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        let unpacked = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text);
        unpacked.map_err(|e| wrong(&format!("cannot be unpacked: {e}; fetch it again")))?;
        bytes = text;
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text; save it as text in UTF-8"))?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

/// A cumulative rhyme: each verse is a line and all verses before it.
fn the_house_that_jack_built() -> String {
    const LINES: [&str; 11] = [
        "house that Jack built",
        "malt that lay in the",
        "rat that ate the",
        "cat that killed the",
        "dog that worried the",
        "cow with the crumpled horn that tossed the",
        "maiden all forlorn that milked the",
        "man all tattered and torn that kissed the",
        "priest all shaven and shorn that married the",
        "cock that crowed in the morn that woke the",
        "farmer sowing his corn that kept the",
    ];
    let verse = |verse: usize| {
        let lines: Vec<&str> = LINES[..=verse].iter().rev().copied().collect();
        format!("This is the {}.\n\n", lines.join("\n"))
    };
    (0..LINES.len()).map(verse).collect()
}
