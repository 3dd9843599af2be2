//! `steersman` as it is, where tests of this crate can start it.

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
