//! The `steersman` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    match steersman::command::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
