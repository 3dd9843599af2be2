//! `steersman-controllers` as it is, where tests of this crate can start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    steersman_controllers::command::main()
}
