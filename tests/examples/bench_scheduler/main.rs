//! `cargo xtask bench scheduler`: upstream's scheduler_perf workloads, by name.
//!
//! Arguments: parts of names, `--scale X` (all numbers times X), `--tls` (the scheduler speaks over a socket),
//! `--threads N`. The decisions alone, without an API: `bench_decisions` of the scheduler's crate.
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

mod decide;
mod load;
mod report;
mod run;
mod workload;

use anyhow::{Context, Result, bail};
use workload::{Tables, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Arguments {
    names: Vec<String>,
    scale: f64,
    tls: bool,
    threads: usize,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments { names: Vec::new(), scale: 1.0, tls: false, threads: 2 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tls" => parsed.tls = true,
            "--scale" => parsed.scale = arguments.next().context("--scale needs a number")?.parse()?,
            "--threads" => parsed.threads = arguments.next().context("--threads needs a number")?.parse()?,
            flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
            name => parsed.names.push(name.to_owned()),
        }
    }
    Ok(parsed)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let tables = Tables::read(arguments.scale)?;
    let wanted = |workload: &&Workload| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| workload.name.contains(name.as_str()))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads).enable_all().build()?;
    println!(
        "{:<66} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8} | {:>8} {:>8} {:>8}",
        "workload", "pods/s", "p50", "p90", "p95", "p99", "threshold", "times", "CPU/pod", "decision", "p50", "p99"
    );
    for workload in tables.workloads.iter().filter(wanted) {
        print!("{:<66}", workload.name);
        match runtime.block_on(run::run(&tables, workload, arguments.tls)) {
            Ok(throughput) => print_throughput(workload, &throughput),
            Err(error) => print!(" {error:#}"),
        }
        let decisions = decide::decide(&tables, workload)?;
        let micros = |time: std::time::Duration| format!("{:.1}us", time.as_secs_f64() * 1e6);
        print!(" | {:>8} {:>8} {:>8}", micros(decisions.mean), micros(decisions.median), micros(decisions.p99));
        println!();
    }
    Ok(())
}

fn print_throughput(workload: &Workload, throughput: &report::Throughput) {
    let average = throughput.average();
    let times = if workload.threshold > 0.0 { format!("{:.0}", average / workload.threshold) } else { String::new() };
    print!(" {average:>8.0}");
    for percent in [50, 90, 95, 99] {
        print!(" {:>8.0}", throughput.percentile(percent));
    }
    let cpu = throughput.cpu_per_pod().as_micros();
    print!(" {:>9} {times:>6} {:>8}", workload.threshold, format!("{cpu}us"));
    if std::env::var_os("BENCH_TIMES").is_some() {
        print!(
            " (created in {:.2?}, all in {:.2?}; {} events)",
            throughput.created,
            throughput.took(),
            throughput.told
        );
    }
}
