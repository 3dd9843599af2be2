//! `cargo run -p steersman-fuzz -- <target> [runs] [seed]`: changes the seeds of a target and runs it. The input that a
//! failure comes from is written to `fuzz/failures/`; put it among the seeds when the fault is mended.

use std::fs;
use std::panic;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use steersman_fuzz::{TARGETS, driver};
use steersman_machinery::random::Random;

/// Enough for a minute or so with most targets.
const RUNS: u64 = 200_000;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let Some(target) = arguments.first().and_then(|name| TARGETS.iter().find(|target| target.name == name)) else {
        bail!("name a target: {}", names.join(", "));
    };
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse().context("a number"));
    let (runs, seed) = (number(1, RUNS)?, number(2, 1)?);
    let seeds: Vec<Vec<u8>> = driver::seeds(target.name)?.into_iter().map(|(_, bytes)| bytes).collect();
    let random = Random::seeded(seed);
    for at in 0..runs {
        let input = driver::mutate(&seeds, &random);
        if panic::catch_unwind(|| (target.run)(&input)).is_err() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("failures");
            fs::create_dir_all(&folder)?;
            let file = folder.join(format!("{}-{seed}-{at}", target.name));
            fs::write(&file, &input)?;
            bail!("run {at} with seed {seed} failed; the input is in {}", file.display());
        }
    }
    eprintln!("{}: {runs} inputs made from {} seeds with seed {seed}: nothing found", target.name, seeds.len());
    Ok(())
}
