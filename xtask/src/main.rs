//! The project's commands: `cargo xtask <command>`.
#![expect(clippy::print_stdout, reason = "these commands talk to a person at a terminal")]

mod bench;
mod ci;
mod cli;
mod codegen;
mod crds;
mod demo;
mod ignored;
mod image;
mod kind;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
