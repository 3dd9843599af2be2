//! `steersman-scheduler` as it is, where tests of this crate can start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    steersman_scheduler_plugin::command::main(steersman_scheduler_plugin::Registry::default())
}
