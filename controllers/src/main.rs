//! `steersman-controllers`: the controllers as a program of their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    steersman_controllers::command::main()
}
