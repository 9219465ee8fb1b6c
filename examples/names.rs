//! Says from which language a surname is, letter by letter (many-to-one):
//!
//! ```text
//! cargo run --release --example names -- ../shared/data/text/names
//! cargo run --release --example names -- ../shared/data/text/names --name Satoshi --name Dostoyevsky
//! ```
//!
//! The folder holds a text file for each language, `Irish.txt`, with a surname on each line. Only what the last letter leaves
//! in the network is looked at:
//!
//! ```text
//! h_t = GRU(h_{t-1}, one-hot of letter t)      p(language) = softmax(W h_T + b)
//! ```
//!
//! Every tenth name of a language is for the test. With `--quick` it learns invented names in seconds.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use candle_nn::ops::softmax;
use clap::Parser;
use percept::nn::{CellKind, Network, NetworkConfig, Pooling};
use percept::train::{Optimizer, TrainingConfig};
use percept::{Error, ErrorKind, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Learns which language a surname is from.
#[derive(Parser)]
pub struct Args {
    /// A folder with a file of surnames for each language
    #[arg(required_unless_present = "quick")]
    folder: Option<PathBuf>,
    /// A small network learns invented names
    #[arg(long, conflicts_with = "folder")]
    quick: bool,
    /// Say of this name too where it is from; may be given several times
    #[arg(long)]
    name: Vec<String>,
    /// Times that every name is seen
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was reached on names that were not learned.
#[derive(Debug)]
pub struct Figures {
    pub accuracy: f64,
    /// What always saying the commonest language would reach.
    pub commonest: f64,
    /// The mean of the languages' own accuracies.
    pub balanced: f64,
}

/// Names by language.
type Names = BTreeMap<String, Vec<String>>;
/// Letters of a name as numbers, and the number of its language.
type Labelled = (Vec<u32>, u32);

const BATCH: usize = 64;

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> ExitCode {
    common::exit_code(run(&Args::parse()))
}

pub fn run(args: &Args) -> Result<Figures> {
    let names = match &args.folder {
        Some(folder) => read(folder)?,
        None => invented(),
    };
    let languages: Vec<&String> = names.keys().collect();
    let mut letters: Vec<char> = names.values().flatten().flat_map(|name| name.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    // A letter that no name has is none.
    let numbers = |name: &str| -> Vec<u32> {
        name.chars().filter_map(|c| letters.binary_search(&c).ok()).map(|i| i as u32).collect()
    };
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (language, names) in names.values().enumerate() {
        for (i, name) in names.iter().enumerate() {
            let part = if i % 10 == 0 { &mut test } else { &mut train };
            part.push((numbers(name), language as u32));
        }
    }

    let config = NetworkConfig {
        cell: CellKind::Gru,
        hidden_size: if args.quick { 32 } else { 128 },
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        pooling: Pooling::Last,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, letters.len(), languages.len(), args.seed)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = Network::new(&config, letters.len(), languages.len(), &weights)?;
    let training =
        TrainingConfig { learning_rate: if args.quick { 1e-2 } else { 5e-3 }, ..TrainingConfig::default() };
    let mut optimizer = Optimizer::new(vars, &training, args.epochs * train.len().div_ceil(BATCH));
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    println!(
        "{} names of {} languages, {} of them for the test",
        train.len() + test.len(),
        languages.len(),
        test.len()
    );
    for epoch in 1..=args.epochs {
        train.shuffle(&mut rng);
        let mut sum = 0.0;
        for batch in train.chunks(BATCH) {
            let (x, lengths) = one_hot(batch.iter().map(|(name, _)| name), letters.len())?;
            let due = Tensor::from_iter(batch.iter().map(|&(_, language)| language), &Device::Cpu)?;
            let loss = cross_entropy(&network.forward(&x, &lengths, None)?, &due)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            common::learn_from(&loss, &mut optimizer)?;
        }
        println!("epoch {epoch:2}  loss {:.3}", sum / train.len().div_ceil(BATCH) as f64);
    }

    let figures = evaluate(&network, &test, &languages, letters.len())?;
    for name in &args.name {
        let name_numbers = numbers(name);
        if name_numbers.is_empty() {
            let message = format!("--name {name:?} has no letter of the names that were learned");
            return Err(Error::new(ErrorKind::Config, message));
        }
        let (x, lengths) = one_hot([&name_numbers], letters.len())?;
        let scores = softmax(&network.forward(&x, &lengths, None)?.squeeze(0)?, 0)?.to_vec1::<f32>()?;
        let mut best: Vec<usize> = (0..languages.len()).collect();
        best.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let best = best.iter().take(3).map(|&i| format!("{} {:.2}", languages[i], scores[i]));
        println!("{name}: {}", best.collect::<Vec<_>>().join(", "));
    }
    Ok(figures)
}

/// Prints a line for each language and one for all.
fn evaluate(network: &Network, test: &[Labelled], languages: &[&String], letters: usize) -> Result<Figures> {
    // Of each language: names, and those of them that were known.
    let mut counts = vec![[0usize; 2]; languages.len()];
    for batch in test.chunks(BATCH) {
        let (x, lengths) = one_hot(batch.iter().map(|(name, _)| name), letters)?;
        let predicted = network.forward(&x, &lengths, None)?.argmax(1)?.to_vec1::<u32>()?;
        for ((_, language), predicted) in batch.iter().zip(predicted) {
            counts[*language as usize][0] += 1;
            counts[*language as usize][1] += usize::from(*language == predicted);
        }
    }
    let percent = |[all, right]: [usize; 2]| 100.0 * right as f64 / all as f64;
    for (language, &count) in languages.iter().zip(&counts) {
        println!("{language:12} {:4} of {:4}  {:5.1} %", count[1], count[0], percent(count));
    }
    let right = counts.iter().map(|count| count[1]).sum();
    let most = counts.iter().map(|count| count[0]).max().unwrap_or(0);
    let figures = Figures {
        accuracy: percent([test.len(), right]),
        commonest: percent([test.len(), most]),
        balanced: counts.iter().map(|&count| percent(count)).sum::<f64>() / counts.len() as f64,
    };
    println!(
        "accuracy {:.1} % (always the commonest: {:.1} %), mean of the languages {:.1} %",
        figures.accuracy, figures.commonest, figures.balanced
    );
    Ok(figures)
}

/// Names as `[B, T, K]`, a 1 in the place of each letter, and their lengths.
fn one_hot<'a>(
    names: impl IntoIterator<Item = &'a Vec<u32>>,
    letters: usize,
) -> Result<(Tensor, Vec<usize>)> {
    let names: Vec<&Vec<u32>> = names.into_iter().collect();
    let lengths: Vec<usize> = names.iter().map(|name| name.len()).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut values = vec![0f32; names.len() * longest * letters];
    for (b, name) in names.iter().enumerate() {
        for (t, &letter) in name.iter().enumerate() {
            values[(b * longest + t) * letters + letter as usize] = 1.0;
        }
    }
    Ok((Tensor::from_vec(values, (names.len(), longest, letters), &Device::Cpu)?, lengths))
}

fn read(folder: &Path) -> Result<Names> {
    let wrong = |message: &str| Error::new(ErrorKind::Dataset, message).with_path(folder);
    let mut names = Names::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(&e, folder))? {
        let path = entry.map_err(|e| Error::io(&e, folder))?.path();
        let (Some(language), true) = (path.file_stem(), path.extension().is_some_and(|e| e == "txt")) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&e, &path))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string);
        names.insert(language.to_string_lossy().into_owned(), lines.collect());
    }
    names.retain(|_, names| !names.is_empty());
    if names.len() < 2 {
        return Err(wrong("holds no two files LANGUAGE.txt with a name on each line; or try --quick"));
    }
    Ok(names)
}

/// Names of three languages that there are not: stems that they share, with endings of their own.
fn invented() -> Names {
    const STEMS: [&str; 20] = [
        "Bar", "Dor", "Fel", "Gan", "Har", "Jol", "Kar", "Lem", "Mor", "Nad", "Pol", "Ral", "Sam", "Tor",
        "Ulm", "Var", "Wen", "Yar", "Zel", "Oster",
    ];
    const ENDINGS: [(&str, [&str; 3]); 3] = [
        ("Ascanian", ["anov", "inov", "adenov"]),
        ("Borean", ["ansen", "ingsen", "adsen"]),
        ("Cascan", ["anelli", "inotti", "adini"]),
    ];
    let of_language = |endings: [&str; 3]| {
        STEMS.iter().flat_map(|stem| endings.map(|ending| format!("{stem}{ending}"))).collect()
    };
    ENDINGS.into_iter().map(|(language, endings)| (language.to_string(), of_language(endings))).collect()
}
