//! Forecasts a time series, one step and many steps ahead:
//!
//! ```text
//! cargo run --release --example series -- ../shared/data/timeseries/monthly-sunspots.csv --season 132
//! ```
//!
//! The file is a CSV with a header; the last column is the series. An LSTM reads the past frame by frame and says at each what
//! the next value is:
//!
//! ```text
//! h_t = LSTM(h_{t-1}, x_t)      forecast of x_{t+1} = x_t + W h_t + b
//! ```
//!
//! To look many steps ahead it reads its own forecasts. Beside it stands the seasonal-naive forecast, what was a season ago
//! (Hyndman & Athanasopoulos, "Forecasting: principles and practice", 5.2); sunspots have a season of eleven years. The last
//! fifth of the series is for the test; the last fifth of what is before it says which weights to keep. With `--quick` it learns a series that it makes up, in seconds.
//!
//! Series that belong to classes are not forecast but classified; that is what `percept train` does with vectors:
//! `examples/time_series.rs` makes them and `examples/recipes/japanese_vowels.toml` learns nine speakers by their vowels.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candle_core::{Device, Tensor};
use candle_nn::loss::mse;
use clap::Parser;
use percept::nn::{CellKind, Network, NetworkConfig, Pooling, Weights};
use percept::train::{Optimizer, TrainingConfig};
use percept::{Error, ErrorKind, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Forecasts a time series.
#[derive(Parser)]
pub struct Args {
    /// A CSV file with a header; its last column is the series
    #[arg(required_unless_present = "quick")]
    series: Option<PathBuf>,
    /// A small network learns a series that is made up
    #[arg(long, conflicts_with = "series")]
    quick: bool,
    /// Values after which the series does the same again
    #[arg(long, default_value_t = 132)]
    season: usize,
    /// Values to look ahead
    #[arg(long, default_value_t = 36)]
    horizon: usize,
    /// Batches to learn from
    #[arg(long, default_value_t = 1000)]
    steps: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Root mean square errors over the test, in the series' own unit.
#[derive(Debug)]
pub struct Figures {
    /// One step ahead: the network, the value before, and the value a season ago.
    pub one_step: [f64; 3],
    /// Over all steps to the horizon: the same.
    pub multi_step: [f64; 3],
}

/// Values that are read at a time in training; the network warms up on the first of them.
const FRAMES: usize = 120;
const WARM_UP: usize = 24;
const BATCH: usize = 32;
/// Times at which the weights may be kept.
const CHECKS: usize = 20;

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

pub fn run(args: &Args) -> Result<Figures> {
    let series = match &args.series {
        Some(path) => read(path)?,
        None => made_up(args.season, args.seed),
    };
    let border = series.len() * 4 / 5;
    let least = (2 * FRAMES).max(args.season + 1);
    if args.season == 0 || args.horizon == 0 || border < least || series.len() < border + args.horizon {
        let message = format!(
            "{} values are too few for a season of {} and a horizon of {}: both must be at least 1, four fifths of the \
             series at least {least} values, and the rest a horizon",
            series.len(),
            args.season,
            args.horizon
        );
        return Err(Error::new(ErrorKind::Config, message));
    }
    // In numbers around 0, by the training part alone.
    let train = &series[..border];
    let mean = train.iter().sum::<f32>() / border as f32;
    let deviation = (train.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / border as f32).sqrt().max(1e-6);
    let scaled: Vec<f32> = series.iter().map(|v| (v - mean) / deviation).collect();
    println!("{} values, the last {} of them for the test", series.len(), series.len() - border);

    let network = learn(args, &scaled[..border])?;
    let figures = evaluate(args, &network, &scaled, border, f64::from(deviation))?;
    for (what, [network, last, season]) in
        [("one step ahead", figures.one_step), ("to the horizon", figures.multi_step)]
    {
        println!(
            "{what}: error {network:.2}; the value before {last:.2}; seasonal-naive {season:.2}; ratio to it {:.3}",
            network / season
        );
    }
    Ok(figures)
}

fn learn(args: &Args, series: &[f32]) -> Result<Network> {
    let config = NetworkConfig {
        cell: CellKind::Lstm,
        hidden_size: if args.quick { 16 } else { 48 },
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        pooling: Pooling::None,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, 1, 1, args.seed)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = Network::new(&config, 1, 1, &weights)?;
    let steps = if args.quick { 150 } else { args.steps };
    let training = TrainingConfig { learning_rate: 1e-2, ..TrainingConfig::default() };
    let mut optimizer = Optimizer::new(vars.clone(), &training, steps);
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let learned = series.len() * 4 / 5;
    let (mut best, mut kept) = (f32::INFINITY, None);
    for step in 1..=steps {
        // Pieces from anywhere, and each of their values' successors.
        let starts: Vec<usize> = (0..BATCH).map(|_| rng.random_range(0..learned - FRAMES)).collect();
        let piece =
            |by: usize| starts.iter().flat_map(|&start| series[start + by..][..FRAMES].to_vec()).collect();
        let x = Tensor::from_vec(piece(0), (BATCH, FRAMES, 1), &Device::Cpu)?;
        let next = Tensor::from_vec(piece(1), (BATCH, FRAMES, 1), &Device::Cpu)?;
        let loss = loss(&network, &x, &next, WARM_UP)?;
        if !optimizer.step(&[loss.backward()?])? {
            return Err(Error::new(ErrorKind::Training, "the gradient is not finite; try another seed"));
        }
        if step % (steps / CHECKS).max(1) == 0 {
            let count = series.len() - 1;
            let x = Tensor::from_slice(&series[..count], (1, count, 1), &Device::Cpu)?;
            let next = Tensor::from_slice(&series[1..], (1, count, 1), &Device::Cpu)?;
            let validation = self::loss(&network, &x, &next, learned)?.to_scalar::<f32>()?;
            println!("step {step:4}  loss {:.4}  validation {validation:.4}", loss.to_scalar::<f32>()?);
            if validation < best {
                let weights =
                    vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)));
                (best, kept) = (validation, Some(weights.collect::<Result<Weights>>()?));
            }
        }
    }
    let kept =
        kept.ok_or_else(|| Error::new(ErrorKind::Training, "nothing was learned; give more --steps"))?;
    Network::new(&config, 1, 1, &kept)
}

/// The mean square error of the forecasts of `next` after each of `x [B, T, 1]`, from frame `first` on.
fn loss(network: &Network, x: &Tensor, next: &Tensor, first: usize) -> Result<Tensor> {
    let (batch, frames, _) = x.dims3()?;
    let forecast = (x + network.forward(x, &vec![frames; batch], None)?)?;
    let known = |t: &Tensor| t.narrow(1, first, frames - first);
    Ok(mse(&known(&forecast)?, &known(next)?)?)
}

/// From each value of the test on, as far as the horizon is known.
fn evaluate(args: &Args, network: &Network, series: &[f32], border: usize, unit: f64) -> Result<Figures> {
    let (mut one_step, mut multi_step) = ([0f64; 3], [0f64; 3]);
    let read = |values: &[f32], state: Option<&_>| -> Result<(f32, _)> {
        let x = Tensor::from_slice(values, (1, values.len(), 1), &Device::Cpu)?;
        let (change, state) = network.forward_from(&x, &[values.len()], state, None)?;
        let change = change.flatten_all()?.to_vec1::<f32>()?;
        Ok((values[values.len() - 1] + change[values.len() - 1], state))
    };
    // All before the first forecast, then a value at a time.
    let (mut forecast, mut state) = read(&series[..border], None)?;
    let last_origin = series.len() - args.horizon;
    for origin in border..=last_origin {
        let (mut ahead, mut ahead_state) = (forecast, state.clone());
        for step in 0..args.horizon {
            let due = series[origin + step];
            // A season ago; beyond a season ahead, as many seasons as it takes to know it.
            let seasons = args.season * (step / args.season + 1);
            let errors = [ahead, series[origin - 1], series[origin + step - seasons]]
                .map(|said| f64::from(said - due).powi(2));
            for (i, error) in errors.into_iter().enumerate() {
                multi_step[i] += error;
                one_step[i] += if step == 0 { error } else { 0.0 };
            }
            if step + 1 < args.horizon {
                (ahead, ahead_state) = read(&[ahead], Some(&ahead_state))?;
            }
        }
        if origin < last_origin {
            (forecast, state) = read(&series[origin..=origin], Some(&state))?;
        }
    }
    let origins = (last_origin - border + 1) as f64;
    Ok(Figures {
        one_step: one_step.map(|sum| unit * (sum / origins).sqrt()),
        multi_step: multi_step.map(|sum| unit * (sum / origins / args.horizon as f64).sqrt()),
    })
}

fn read(path: &Path) -> Result<Vec<f32>> {
    let wrong = |message: String| Error::new(ErrorKind::Dataset, message).with_path(path);
    let mut file = csv::Reader::from_path(path).map_err(|e| wrong(format!("cannot be read as CSV: {e}")))?;
    let mut values = Vec::new();
    for row in file.records() {
        let row = row.map_err(|e| wrong(format!("is no CSV: {e}")))?;
        let text = row.iter().next_back().unwrap_or("").trim();
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => values.push(value),
            _ => {
                let line = row.position().map_or(0, csv::Position::line);
                return Err(wrong(format!(
                    "line {line} ends in {text:?}, which is no number; fill it in or leave it out"
                )));
            }
        }
    }
    Ok(values)
}

/// Waves whose height changes from season to season, and some noise.
fn made_up(season: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut height = 1.0;
    (0..10 * season.max(1))
        .map(|t| {
            if t % season.max(1) == 0 {
                height = rng.random_range(0.5..2.0);
            }
            let angle = std::f32::consts::TAU * t as f32 / season.max(1) as f32;
            50.0 * height * (1.0 - angle.cos()) + rng.random_range(-2.0..2.0)
        })
        .collect()
}
