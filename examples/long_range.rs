//! Long dependencies: what the vanilla network cannot remember and gated cells can.
//!
//! ```text
//! cargo run --release --example long_range -- --frames 50,100,200 --picture long_range.png
//! ```
//!
//! * The adding problem (Hochreiter & Schmidhuber 1997): T random numbers, two of them marked, one in each half; say their sum at
//!   the end. Always saying 1 has a mean square error of 1/6 = 0.167.
//! * The copy problem: three symbols, T empty steps, then a sign to say the three symbols again (after Hochreiter & Schmidhuber 1997,
//!   Arjovsky et al. 2016). Guessing among eight symbols is wrong 87.5 % of the time.
//!
//! What is learned at a step is how the loss at the end depends on it. In a vanilla network that is a product of T matrices,
//! which vanishes (Bengio et al. 1994); the memory of an LSTM is a sum, c' = f * c + i * g, and where f is near 1 so is the
//! way back. The picture shows both: the error while learning, and the gradient at each step before anything is learned.
//!
//! Gates start as open as a memory of up to T steps needs (Tallec & Ollivier 2018), which vanilla networks do not have. With
//! `--quick` two cells try 60 steps in seconds.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::{D, Device, Tensor, Var};
use candle_nn::loss::{cross_entropy, mse};
use clap::{Parser, ValueEnum};
use percept::nn::{CellKind, Network, NetworkConfig, Pooling};
use percept::output::preview::{Curves, Line, Plot};
use percept::train::{Optimizer, Schedule, TrainingConfig};
use percept::{Error, ErrorKind, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Which cells solve the adding and copy problems, over how many steps.
#[derive(Parser)]
pub struct Args {
    /// Time steps from what is to be remembered to its use
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200])]
    frames: Vec<usize>,
    /// Only this problem
    #[arg(long)]
    problem: Option<Problem>,
    /// Batches to learn from
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    /// Units of the layer
    #[arg(long, default_value_t = 64)]
    hidden_size: usize,
    /// Draw error and gradient of the longest sequences, as PNG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// The vanilla network and the LSTM try 60 steps
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Problem {
    Adding,
    Copy,
}

/// How a cell did.
#[derive(Debug)]
pub struct Figures {
    pub problem: Problem,
    pub cell: &'static str,
    pub frames: usize,
    /// Adding: mean square error. Copy: share of symbols that are wrong. On sequences that were not learned.
    pub error: f64,
    /// The same at each of [`CHECKS`] times while it learned.
    history: Vec<f64>,
    /// Length of the loss' gradient at each time step's input, before anything was learned.
    pub gradients: Vec<f64>,
}

const CELLS: [(&str, CellKind); 5] = [
    ("vanilla", CellKind::RnnTanh),
    ("LSTM", CellKind::Lstm),
    ("peephole", CellKind::LstmPeepholeDiagonal),
    ("coupled", CellKind::LstmCoupled),
    ("GRU", CellKind::Gru),
];
/// Times at which the error is taken.
const CHECKS: usize = 30;
const BATCH: usize = 32;
/// The copy problem: symbols to remember, and kinds of them; beside these there are `empty` and `now`.
const SYMBOLS: usize = 3;
const KINDS: usize = 8;

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> ExitCode {
    common::exit_code(run(&Args::parse()))
}

pub fn run(args: &Args) -> Result<Vec<Figures>> {
    if args.steps < CHECKS || args.frames.iter().any(|&frames| frames < 2) {
        let message = format!("--steps must be at least {CHECKS}, and each of --frames at least 2");
        return Err(Error::new(ErrorKind::Config, message));
    }
    let frames = if args.quick { vec![60] } else { args.frames.clone() };
    let cells = if args.quick { &CELLS[..2] } else { &CELLS };
    let problems = match (args.problem, args.quick) {
        (Some(problem), _) => vec![problem],
        (None, true) => vec![Problem::Adding],
        (None, false) => vec![Problem::Adding, Problem::Copy],
    };
    let mut all = Vec::new();
    for problem in problems {
        let what = match problem {
            Problem::Adding => "adding: mean square error (0.167 without memory)",
            Problem::Copy => "copy: symbols that are wrong, in % (87.5 without memory)",
        };
        let names: Vec<String> = cells.iter().map(|(name, _)| format!("{name:>9}")).collect();
        println!("{what}\n{:>10} {}", "T", names.join(" "));
        for &frames in &frames {
            print!("{frames:>10}");
            for &(name, cell) in cells {
                let figures = learn(args, problem, name, cell, frames)?;
                match problem {
                    Problem::Adding => print!(" {:>9.4}", figures.error),
                    Problem::Copy => print!(" {:>9.1}", 100.0 * figures.error),
                }
                all.push(figures);
            }
            println!();
        }
    }
    if let Some(path) = &args.picture {
        picture(&all, path)?;
    }
    Ok(all)
}

fn learn(
    args: &Args,
    problem: Problem,
    name: &'static str,
    cell: CellKind,
    frames: usize,
) -> Result<Figures> {
    let (hidden_size, steps) = if args.quick { (32, 1200) } else { (args.hidden_size, args.steps) };
    let (inputs, outputs, pooling) = match problem {
        Problem::Adding => (2, 1, Pooling::Last),
        Problem::Copy => (KINDS + 2, KINDS, Pooling::None),
    };
    let config = NetworkConfig {
        cell,
        hidden_size,
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        pooling,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, inputs, outputs, args.seed)?;
    open_gates(&vars, cell, frames)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = Network::new(&config, inputs, outputs, &weights)?;
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let unseen = problem.batch(frames, 8 * BATCH, &mut rng)?;

    let x = Var::from_tensor(&unseen.0)?;
    let by_input = problem.loss(&network, &x, &unseen.1)?.backward()?;
    let by_input = by_input.get(&x).expect("the loss depends on the input").sqr()?.sum((0, 2))?.sqrt()?;
    let gradients = by_input.to_vec1::<f32>()?.into_iter().map(f64::from).collect();

    let training = TrainingConfig {
        learning_rate: if args.quick || problem == Problem::Copy { 1e-2 } else { 4e-3 },
        schedule: Schedule::Cosine,
        warmup_fraction: 0.0,
        weight_decay: 0.0,
        ..TrainingConfig::default()
    };
    let mut optimizer = Optimizer::new(vars, &training, steps);
    let mut history = vec![problem.error(&network, &unseen.0, &unseen.1)?];
    for step in 1..=steps {
        // Always new ones: nothing is learned by heart.
        let (x, due) = problem.batch(frames, BATCH, &mut rng)?;
        common::learn_from(&problem.loss(&network, &x, &due)?, &mut optimizer)?;
        if step % (steps / CHECKS) == 0 {
            history.push(problem.error(&network, &unseen.0, &unseen.1)?);
        }
    }
    let error = problem.error(&network, &unseen.0, &unseen.1)?;
    Ok(Figures { problem, cell: name, frames, error, history, gradients })
}

/// Sets the biases of what keeps the memory, f of an LSTM and z of a GRU, to ln(1..T) from the first unit to the last, so that
/// units forget after 1 to T steps; and those of what lets in, where that is a gate of its own, to the opposite.
fn open_gates(vars: &BTreeMap<String, Var>, cell: CellKind, frames: usize) -> Result<()> {
    let (keeps, lets_in) = match cell {
        CellKind::Lstm | CellKind::LstmPeepholeDiagonal => (1, Some(0)),
        CellKind::Gru => (1, None),
        CellKind::LstmCoupled => (0, None),
        _ => return Ok(()),
    };
    let bias = &vars["rnn.bias_ih_l0"];
    let mut values = bias.to_vec1::<f32>()?;
    let hidden = values.len() / cell.num_gates();
    for unit in 0..hidden {
        let open = (1.0 + (frames - 2) as f32 * unit as f32 / hidden as f32).ln();
        values[keeps * hidden + unit] = open;
        if let Some(block) = lets_in {
            values[block * hidden + unit] = -open;
        }
    }
    Ok(bias.set(&Tensor::new(values, &Device::Cpu)?)?)
}

impl Problem {
    /// Sequences `[B, T, D]` and what is due: `[B, 1]` sums, or `[B, SYMBOLS]` symbols.
    fn batch(self, frames: usize, batch: usize, rng: &mut ChaCha8Rng) -> Result<(Tensor, Tensor)> {
        let mut x = Vec::new();
        match self {
            Self::Adding => {
                let mut sums = Vec::new();
                for _ in 0..batch {
                    let marked = [rng.random_range(0..frames / 2), rng.random_range(frames / 2..frames)];
                    let values: Vec<f32> = (0..frames).map(|_| rng.random()).collect();
                    sums.push(marked.iter().map(|&t| values[t]).sum::<f32>());
                    x.extend(
                        values.iter().enumerate().flat_map(|(t, &v)| [v, f32::from(marked.contains(&t))]),
                    );
                }
                let x = Tensor::from_vec(x, (batch, frames, 2), &Device::Cpu)?;
                Ok((x, Tensor::from_vec(sums, (batch, 1), &Device::Cpu)?))
            }
            Self::Copy => {
                let (mut symbols, length) = (Vec::new(), frames + 2 * SYMBOLS);
                for _ in 0..batch {
                    let due: Vec<u32> = (0..SYMBOLS).map(|_| rng.random_range(0..KINDS as u32)).collect();
                    for t in 0..length {
                        let symbol = match due.get(t) {
                            Some(&symbol) => symbol as usize,
                            // `now` stands where the first symbol is due.
                            None => KINDS + usize::from(t == length - SYMBOLS),
                        };
                        x.extend((0..KINDS + 2).map(|kind| f32::from(kind == symbol)));
                    }
                    symbols.extend(due);
                }
                let x = Tensor::from_vec(x, (batch, length, KINDS + 2), &Device::Cpu)?;
                Ok((x, Tensor::from_vec(symbols, (batch, SYMBOLS), &Device::Cpu)?))
            }
        }
    }

    /// What the network says: `[B, 1]` sums, or `[B, SYMBOLS, KINDS]` logits.
    fn answer(self, network: &Network, x: &Tensor) -> Result<Tensor> {
        let (batch, length, _) = x.dims3()?;
        let logits = network.forward(x, &vec![length; batch], None)?;
        match self {
            Self::Adding => Ok(logits),
            Self::Copy => Ok(logits.narrow(1, length - SYMBOLS, SYMBOLS)?.contiguous()?),
        }
    }

    fn loss(self, network: &Network, x: &Tensor, due: &Tensor) -> Result<Tensor> {
        let answer = self.answer(network, x)?;
        match self {
            Self::Adding => Ok(mse(&answer, due)?),
            Self::Copy => Ok(cross_entropy(&answer.flatten(0, 1)?, &due.flatten_all()?)?),
        }
    }

    fn error(self, network: &Network, x: &Tensor, due: &Tensor) -> Result<f64> {
        match self {
            Self::Adding => Ok(self.loss(network, x, due)?.to_scalar::<f32>()?.into()),
            Self::Copy => {
                let wrong =
                    self.answer(network, x)?.argmax(D::Minus1)?.ne(due)?.flatten_all()?.to_vec1::<u8>()?;
                Ok(wrong.iter().map(|&wrong| f64::from(wrong)).sum::<f64>() / wrong.len() as f64)
            }
        }
    }
}

/// Of the longest sequences of each problem: the error while learning, and how far the gradient has shrunk.
fn picture(all: &[Figures], path: &std::path::Path) -> Result<()> {
    let longest = all.iter().map(|figures| figures.frames).max().unwrap_or(0);
    let mut plots = Vec::new();
    for problem in [Problem::Adding, Problem::Copy] {
        let shown: Vec<&Figures> =
            all.iter().filter(|figures| figures.problem == problem && figures.frames == longest).collect();
        let lines = |values: &dyn Fn(&Figures) -> Vec<f64>| {
            let line = |figures: &&Figures| Line {
                name: figures.cell,
                values: values(figures).into_iter().map(Some).collect(),
            };
            shown.iter().map(line).collect::<Vec<Line>>()
        };
        let (error, gradient) = match problem {
            Problem::Adding => (
                "adding: mean square error while learning",
                "adding: gradient, powers of ten below the largest, at each time step",
            ),
            Problem::Copy => (
                "copy: share of wrong symbols while learning",
                "copy: gradient, powers of ten below the largest, at each time step",
            ),
        };
        if !shown.is_empty() {
            plots.push(Plot {
                caption: error,
                axis: "30ths of the training",
                highest: 0.0,
                lines: lines(&|f| f.history.clone()),
            });
            plots.push(Plot { caption: gradient, axis: "time step", highest: 0.0, lines: lines(&shrunk) });
        }
    }
    let title = format!("Long dependencies: T = {longest}");
    Curves { title: &title, plots: &plots }.save(path)
}

/// Powers of ten that each step's gradient is below the largest, at most 40: f32 has none below.
fn shrunk(figures: &Figures) -> Vec<f64> {
    let largest = figures.gradients.iter().copied().fold(0.0, f64::max);
    figures.gradients.iter().map(|gradient| (largest / gradient).log10().clamp(0.0, 40.0)).collect()
}
