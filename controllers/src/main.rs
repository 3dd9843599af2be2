//! `steersman-controllers`: the controllers as a program of their own.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    steersman_controllers::command::main()
}
