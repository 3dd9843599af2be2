//! `steersman` as it is, where tests of this crate can start it; under the names of the other programs it is those.

use std::process::ExitCode;

fn main() -> ExitCode {
    steersman::command::main()
}
