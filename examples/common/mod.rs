//! What the examples of the lecture share.

use std::process::ExitCode;

use candle_core::Tensor;
use percept::train::Optimizer;
use percept::{Error, ErrorKind, Result};

/// 0, or 2 after it has said what is wrong.
pub fn exit_code<T>(result: Result<T>) -> ExitCode {
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// One step down the gradient of `loss`.
pub fn learn_from(loss: &Tensor, optimizer: &mut Optimizer) -> Result<()> {
    if optimizer.step(&[loss.backward()?])? {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Training, "the gradient is not finite; try another seed"))
    }
}
