use std::process::ExitCode;

use clap::Parser;
use percept::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => {
            cli::report(&error);
            ExitCode::from(2)
        }
    }
}
