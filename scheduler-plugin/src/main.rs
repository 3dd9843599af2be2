//! `steersman-scheduler`: the scheduler as a program of its own.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    steersman_scheduler_plugin::command::main(steersman_scheduler_plugin::Registry::default())
}
