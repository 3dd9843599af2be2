//! `cargo xtask bench api`: how fast the API server is over TLS, with the client in another process, and in process.
//!
//! The argument is the most pods (100,000 if there is none). If
//! `KUBEBUILDER_ASSETS` names a folder with etcd and kube-apiserver, they get the same load in the same run; else the
//! figures are printed beside those that were recorded of kube-apiserver 1.36.2 on two cores.
#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]

mod client;
mod in_process;
mod load;
mod server;
mod target;

use std::path::Path;

use anyhow::{Context, Result};
use load::Figures;
use target::Target;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pods that all but the last measurement have.
const PODS: usize = 10_000;
/// Pods of the last measurement.
const MANY_PODS: usize = 100_000;
/// Pods that a genuine server gets: as many as when the recorded figures were taken would take minutes.
const GENUINE_PODS: usize = 10_000;

/// What of a measurement is compared.
#[derive(Clone, Copy)]
enum Rate {
    /// So many a second.
    PerSecond,
    /// Megabytes a second.
    Megabytes,
}

/// A measurement, its rate, and what kube-apiserver 1.36.2 reached on two cores with TLS, 32 connections and the client
/// on the same cores.
const RECORDED: [(&str, Rate, Option<f64>); 5] = [
    ("creates", Rate::PerSecond, Some(1570.0)),
    ("gets", Rate::PerSecond, Some(5200.0)),
    ("lists of 500", Rate::PerSecond, Some(135.0)),
    ("whole lists", Rate::Megabytes, Some(105.0)),
    ("watch events", Rate::PerSecond, None),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, port] = arguments.as_slice()
        && mode == "serve"
    {
        return server::serve(port.parse()?).await;
    }
    if let [mode, pods] = arguments.as_slice()
        && mode == "in-process"
    {
        return in_process(pods.parse()?).await;
    }
    let many = arguments.first().map_or(Ok(MANY_PODS), |text| text.parse()).context("the most pods")?;
    let folder = std::env::temp_dir().join(format!("steersman-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&folder, many).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(folder: &Path, many: usize) -> Result<()> {
    let genuine = match std::env::var_os("KUBEBUILDER_ASSETS") {
        Some(assets) => {
            let target = target::genuine(Path::new(&assets), folder).await?;
            Some(all(&target, GENUINE_PODS, &[]).await?)
        }
        None => None,
    };
    let target = target::steersman().await?;
    all(&target, PODS, &genuine.unwrap_or_default()).await?;
    if many > PODS {
        report(
            (&format!("creates up to {many} pods"), None),
            &load::create(&target, PODS..many).await?,
            Rate::PerSecond,
        );
        report((&format!("gets of {many} pods"), None), &load::get(&target, many).await?, Rate::PerSecond);
        println!("{:<34}{:>9.0} MB", format!("resident with {many} pods"), target.resident()? as f64 / 1e6);
    }
    drop(target);
    in_process(many).await
}

/// The part without sockets; alone, it is what to put under a profiler.
async fn in_process(pods: usize) -> Result<()> {
    println!("\nin process, {pods} pods");
    in_process::run(pods, |what, figures| {
        report((what, None), figures, Rate::PerSecond);
    })
    .await
}

/// Measures everything; `compared` has the rates of the other server.
async fn all(target: &Target, pods: usize, compared: &[f64]) -> Result<Vec<f64>> {
    println!("\n{} over TLS, {pods} pods", target.name);
    println!(
        "{:<34}{:>12}{:>12}{:>8}{:>11}{:>11}{:>10}{:>10}",
        "", "", "genuine", "ratio", "server µs", "client µs", "p50 ms", "p99 ms"
    );
    let mut rates = Vec::new();
    for (at, (what, rate, recorded)) in RECORDED.into_iter().enumerate() {
        let figures = match what {
            "creates" => load::create(target, 0..pods).await?,
            "gets" => load::get(target, pods).await?,
            "lists of 500" => load::list(target, &load::collection(1)).await?,
            "whole lists" => load::list(target, "/api/v1/pods").await?,
            _ => load::watch(target).await?,
        };
        rates.push(report((what, compared.get(at).copied().or(recorded)), &figures, rate));
        if what == "creates" {
            println!("{:<34}{:>9.0} MB", "resident after the creates", target.resident()? as f64 / 1e6);
        }
    }
    println!("{:<34}{:>9.0} MB", "resident after all", target.resident()? as f64 / 1e6);
    Ok(rates)
}

/// Prints a line; returns the rate.
fn report((what, compared): (&str, Option<f64>), figures: &Figures, rate: Rate) -> f64 {
    let (value, unit) = match rate {
        Rate::PerSecond => (figures.per_second(), "/s"),
        Rate::Megabytes => (figures.megabytes_per_second(), " MB/s"),
    };
    let ratio = compared.map_or(String::new(), |compared| format!("{:.1}", value / compared));
    let compared = compared.map_or(String::new(), |compared| format!("{compared:.0}"));
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / figures.count.max(1) as f64;
    let ms = |percent| figures.percentile(percent).as_secs_f64() * 1000.0;
    println!(
        "{what:<34}{:>12}{compared:>12}{ratio:>8}{:>11.0}{:>11.0}{:>10.2}{:>10.2}   {:.0} MB/s",
        format!("{value:.0}{unit}"),
        each(figures.cpu.0),
        each(figures.cpu.1),
        ms(50),
        ms(99),
        figures.megabytes_per_second(),
    );
    value
}
