//! A scheduler with the plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    steersman_scheduler_plugin::command::main(steersman_sample_scheduler_plugin::plugins())
}
