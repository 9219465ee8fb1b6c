use std::process::ExitCode;

use clap::Parser;
use percept::cli::{self, Cli};
use percept::nn::kernels::Isa;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // An unknown kernel is said before anything is done with another.
    match Isa::from_environment().and_then(|_| cli.command.run()) {
        Ok(code) => code,
        Err(error) => {
            cli::report(&error);
            ExitCode::from(2)
        }
    }
}
