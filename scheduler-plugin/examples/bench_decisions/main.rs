//! `cargo xtask bench scheduler --decisions`: how long the decisions of upstream's scheduler_perf workloads take, without an
//! API server: of this crate alone, so that it is soon built.
//!
//! Arguments: parts of names, `--scale X` (all numbers times X).
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

#[path = "../../../tests/examples/bench_scheduler/decide.rs"]
mod decide;
#[path = "../../../tests/examples/bench_scheduler/workload.rs"]
#[expect(dead_code, reason = "much of the table is for workloads through the API")]
mod workload;

use anyhow::{Context, Result, bail};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let (mut names, mut scale) = (Vec::new(), 1.0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--scale" => scale = arguments.next().context("--scale needs a number")?.parse()?,
            flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
            name => names.push(name.to_owned()),
        }
    }
    let tables = workload::Tables::read(scale)?;
    println!("{:<66} {:>9} {:>9} {:>9}", "workload", "decision", "p50", "p99");
    for workload in &tables.workloads {
        if !names.is_empty() && !names.iter().any(|name| workload.name.contains(name.as_str())) {
            continue;
        }
        let decisions = decide::decide(&tables, workload)?;
        let micros = |time: std::time::Duration| format!("{:.1}us", time.as_secs_f64() * 1e6);
        let (mean, median, p99) = (micros(decisions.mean), micros(decisions.median), micros(decisions.p99));
        println!("{:<66} {mean:>9} {median:>9} {p99:>9}", workload.name);
    }
    Ok(())
}
