//! Runs recurrent layers that PyTorch has trained over a batch of sequences:
//!
//! `cargo run --release --example run_rnn -- weights.safetensors input.npy output.npy`

mod npy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candle_core::Tensor;
use clap::Parser;
use percept::nn::CellKind;
use percept::nn::state_dict::{Selection, StateDict};
use percept::{Error, ErrorKind, Result};

/// Runs recurrent layers from a PyTorch state dict over a batch of sequences.
#[derive(Parser)]
pub struct Args {
    /// State dict, as safetensors or as PyTorch's .pt
    weights: PathBuf,
    /// Sequences: float32 [B, T, D] in NumPy's format
    input: PathBuf,
    /// Where the hidden states go: float32 [B, T, directions·H], zero beyond a sequence's length
    output: PathBuf,
    /// rnn-tanh, rnn-relu, lstm, lstm-peephole, lstm-peephole-diagonal, lstm-coupled, gru or gru-reset-before;
    /// without it the number of gates decides: 4 lstm, 3 gru, 1 rnn-tanh
    #[arg(long, value_parser = cell_by_name)]
    cell: Option<CellKind>,
    /// Frames of each sequence, 0 to T: int64 [B]; without it all have T
    #[arg(long)]
    lengths: Option<PathBuf>,
    /// Which recurrent network of the file, by what stands before `weight_ih_l0`
    #[arg(long)]
    prefix: Option<String>,
}

#[allow(dead_code, reason = "tests/run_rnn.rs takes in this file as a module")]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    let selection = Selection { prefix: args.prefix.clone(), cell: args.cell };
    let state_dict = StateDict::load(&args.weights, &selection)?;
    describe(&state_dict);
    let x = npy::read_f32(&args.input)?;
    let [batch, frames, dim] = *x.dims() else {
        let message = format!("has shape {:?}; it must be [B, T, D]", x.dims());
        return Err(Error::new(ErrorKind::Dataset, message).with_path(&args.input));
    };
    if dim != state_dict.input_size || batch == 0 || frames == 0 {
        let due = state_dict.input_size;
        let message = format!("has shape {:?}; it must be [B, T, {due}], B and T at least 1", x.dims());
        return Err(Error::new(ErrorKind::Dataset, message).with_path(&args.input));
    }

    let lengths = match &args.lengths {
        Some(path) => read_lengths(path, batch, frames)?,
        None => vec![frames; batch],
    };
    check_finite(&x, &lengths).map_err(|e| e.with_path(&args.input))?;
    let result = state_dict.rnn()?.forward(&x, &lengths, None)?;
    npy::write_f32(&args.output, &result.output)
}

fn cell_by_name(name: &str) -> std::result::Result<CellKind, String> {
    serde_json::from_value(name.replace('-', "_").into()).map_err(|e| e.to_string())
}

/// What was read from the shapes, and what was put in for what is not there.
fn describe(StateDict { prefix, config, input_size, has_bias, .. }: &StateDict) {
    let (cell, hidden, layers) = (config.cell, config.hidden_size, config.num_layers);
    let directions = config.num_directions();
    eprintln!("{cell:?} `{prefix}`: {input_size} -> {hidden}, {layers} layer(s), {directions} direction(s)");
    if !has_bias {
        eprintln!("it has no biases: they are taken as zero");
    }
}

fn read_lengths(path: &Path, batch: usize, frames: usize) -> Result<Vec<usize>> {
    let wrong = |message: String| Error::new(ErrorKind::Dataset, message).with_path(path);
    let lengths = npy::read_i64(path)?;
    if lengths.len() != batch {
        return Err(wrong(format!("holds {} lengths for the input's {batch} sequences", lengths.len())));
    }
    let checked = lengths.into_iter().map(|length| match usize::try_from(length) {
        Ok(length) if length <= frames => Ok(length),
        _ => Err(wrong(format!("a length is {length}; it must be 0 to {frames}, the input's frames"))),
    });
    checked.collect()
}

/// What lies beyond a sequence's length does not matter.
fn check_finite(x: &Tensor, lengths: &[usize]) -> Result<()> {
    for (b, &length) in lengths.iter().enumerate() {
        for t in 0..length {
            if x.get(b)?.get(t)?.to_vec1::<f32>()?.iter().any(|v| !v.is_finite()) {
                let message = format!("holds a value that is not finite in sequence {b}, frame {t}");
                return Err(Error::new(ErrorKind::Dataset, message));
            }
        }
    }
    Ok(())
}
