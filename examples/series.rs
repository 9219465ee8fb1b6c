//! Forecasts a time series, one step and many steps ahead:
//!
//! ```text
//! cargo run --release --example series -- ../shared/data/timeseries/monthly-sunspots.csv --season 132
//! ```
//!
//! The file is a CSV with a header; the last column is the series. An LSTM reads the past frame by frame and says at each by how
//! much the next H values differ from what it has just read:
//!
//! ```text
//! h_t = LSTM(h_{t-1}, x_t)      forecast of x_{t+1}, ..., x_{t+H} = x_t + W h_t + b
//! ```
//!
//! A network that only says the next value could read its own forecasts instead; but it never learns what its errors grow to,
//! and looks 36 months of sunspots ahead no better than the seasonal-naive forecast, what was a season ago (Hyndman &
//! Athanasopoulos, "Forecasting: principles and practice", 5.2). That stands beside it; sunspots have a season of eleven years.
//!
//! The last fifth of the series is for the test; the last fifth of what is before it says which weights to keep. On so few
//! values chance decides much, so several networks learn and their forecasts are averaged. With `--quick` a small one learns
//! a series that is made up, in seconds.
//!
//! Series that belong to classes are not forecast but classified; that is what `percept train` does with vectors:
//! `examples/time_series.rs` makes them and `examples/recipes/japanese_vowels.toml` learns nine speakers by their vowels.

mod common;

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
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Networks whose forecasts are averaged; each begins with other weights
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    networks: u64,
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

const BATCH: usize = 16;
/// Times at which the weights may be kept.
const CHECKS: usize = 20;

#[allow(dead_code, reason = "tests/examples.rs takes in this file as a module")]
fn main() -> ExitCode {
    common::exit_code(run(&Args::parse()))
}

pub fn run(args: &Args) -> Result<Figures> {
    let series = match &args.series {
        Some(path) => read(path)?,
        None => made_up(args.season, args.seed),
    };
    let border = series.len() * 4 / 5;
    let least = 2 * args.season + args.horizon + 1;
    let shortest_part = (border / 5).min(series.len() - border);
    if args.season == 0 || args.horizon == 0 || border * 4 / 5 < least || shortest_part <= args.horizon {
        let message = format!(
            "{} values are too few for a season of {} and a horizon of {}: both must be at least 1, sixteen of 25 parts of \
             the series two seasons and a horizon, four of them more than a horizon",
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

    let count = if args.quick { 1 } else { args.networks };
    let networks =
        (0..count).map(|i| learn(args, args.seed + i, &scaled[..border])).collect::<Result<Vec<_>>>()?;
    let figures = evaluate(args, &networks, &scaled, border, f64::from(deviation))?;
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

fn learn(args: &Args, seed: u64, series: &[f32]) -> Result<Network> {
    let config = NetworkConfig {
        cell: CellKind::Lstm,
        hidden_size: if args.quick { 16 } else { 48 },
        num_layers: 1,
        bidirectional: false,
        dropout: 0.0,
        pooling: Pooling::None,
        ..NetworkConfig::default()
    };
    let vars = Network::init(&config, 1, args.horizon, seed)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = Network::new(&config, 1, args.horizon, &weights)?;
    let steps = if args.quick { 150 } else { args.steps };
    let training = TrainingConfig { learning_rate: 1e-2, ..TrainingConfig::default() };
    let mut optimizer = Optimizer::new(vars.clone(), &training, steps);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let learned = series.len() * 4 / 5;
    let (mut best, mut kept) = (f32::INFINITY, None);
    for step in 1..=steps {
        // Two seasons from anywhere: the network warms up on the first of them.
        let frames = 2 * args.season;
        let pieces: Vec<&[f32]> = (0..BATCH)
            .map(|_| rng.random_range(0..=learned - frames - args.horizon))
            .map(|start| &series[start..][..frames + args.horizon])
            .collect();
        let loss = loss(&network, &pieces, args.horizon, args.season)?;
        common::learn_from(&loss, &mut optimizer)?;
        if step % (steps / CHECKS).max(1) == 0 {
            let validation = self::loss(&network, &[series], args.horizon, learned)?.to_scalar::<f32>()?;
            if validation < best {
                let weights =
                    vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)));
                (best, kept) = (validation, Some(weights.collect::<Result<Weights>>()?));
            }
        }
    }
    println!("learned from {steps} batches; the best mean square error in validation was {best:.4}");
    let kept =
        kept.ok_or_else(|| Error::new(ErrorKind::Training, "nothing was learned; give more --steps"))?;
    Network::new(&config, 1, args.horizon, &kept)
}

/// `x [B, T, 1]` -> `[B, T, H]`, at each frame the H values after it.
fn forecast(network: &Network, x: &Tensor) -> Result<Tensor> {
    let (batch, frames, _) = x.dims3()?;
    Ok(x.broadcast_add(&network.forward(x, &vec![frames; batch], None)?)?)
}

/// The mean square error of all forecasts from frame `first` on. The last values of each piece, a horizon of them, are not
/// read but only due.
fn loss(network: &Network, pieces: &[&[f32]], horizon: usize, first: usize) -> Result<Tensor> {
    let (batch, frames) = (pieces.len(), pieces[0].len() - horizon);
    let read = pieces.iter().flat_map(|piece| piece[..frames].to_vec()).collect();
    let forecasts = forecast(network, &Tensor::from_vec(read, (batch, frames, 1), &Device::Cpu)?)?;
    let counted = frames - first;
    let due =
        pieces.iter().flat_map(|piece| piece[first + 1..].windows(horizon)).flatten().copied().collect();
    let due = Tensor::from_vec(due, (batch, counted, horizon), &Device::Cpu)?;
    Ok(mse(&forecasts.narrow(1, first, counted)?, &due)?)
}

/// From each value of the test on, as far as the horizon is known.
fn evaluate(args: &Args, networks: &[Network], series: &[f32], border: usize, unit: f64) -> Result<Figures> {
    let (mut one_step, mut multi_step) = ([0f64; 3], [0f64; 3]);
    let frames = series.len() - args.horizon;
    let x = Tensor::from_slice(&series[..frames], (1, frames, 1), &Device::Cpu)?;
    let each = networks.iter().map(|network| forecast(network, &x)).collect::<Result<Vec<_>>>()?;
    let forecasts = Tensor::cat(&each, 0)?.mean(0)?.to_vec2::<f32>()?;
    let origins = border - 1..frames;
    for origin in origins.clone() {
        for (step, &ahead) in forecasts[origin].iter().enumerate() {
            let at = origin + 1 + step;
            // A season ago; beyond a season ahead, as many seasons as it takes to know it.
            let seasons = args.season * (step / args.season + 1);
            let errors = [ahead, series[origin], series[at - seasons]]
                .map(|said| f64::from(said - series[at]).powi(2));
            for (i, error) in errors.into_iter().enumerate() {
                multi_step[i] += error;
                one_step[i] += if step == 0 { error } else { 0.0 };
            }
        }
    }
    let origins = origins.len() as f64;
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
