//! Every seed through its target, a fixed number of changed ones, and inputs that are meant to take long.

#![expect(clippy::disallowed_methods, reason = "how long a parser takes is measured against a real clock")]
#![expect(clippy::panic, reason = "tests panic")]

use std::panic;
use std::time::{Duration, Instant};

use steersman_fuzz::{TARGETS, driver};
use steersman_machinery::random::Random;

/// The number that all inputs of these tests come from.
const SEED: u64 = 20_240_501;
/// How many changed inputs each target gets; those of whole requests start a server each.
const RUNS: u64 = 400;
const REQUESTS: u64 = 40;
/// No input may take that long, on a slow machine without optimisation. What is quadratic takes minutes.
const LIMIT: Duration = Duration::from_secs(20);

fn run(name: &str, run: fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    let shown = String::from_utf8_lossy(&input[..input.len().min(2000)]).into_owned();
    if panic::catch_unwind(|| run(input)).is_err() {
        panic!("{name} fails on {shown:?} (seed {SEED})");
    }
    let took = began.elapsed();
    assert!(took < LIMIT, "{name} takes {took:?} for {shown:?}");
}

#[test]
fn every_seed_passes_its_target() {
    for target in TARGETS {
        let seeds = driver::seeds(target.name).unwrap_or_else(|error| panic!("seeds of {}: {error}", target.name));
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (_, bytes) in seeds {
            run(target.name, target.run, &bytes);
        }
    }
}

#[test]
fn changed_seeds_pass_too() {
    for target in TARGETS {
        let seeds: Vec<_> = driver::seeds(target.name).into_iter().flatten().map(|(_, bytes)| bytes).collect();
        let random = Random::seeded(SEED);
        let runs = if target.name == "request" { REQUESTS } else { RUNS };
        for _ in 0..runs {
            run(target.name, target.run, &driver::mutate(&seeds, &random));
        }
    }
}

/// Deep nesting, long lists, names that stand many times, long runs of one character: none of it may cost more than its
/// length.
#[test]
fn nothing_takes_more_than_its_share() {
    let deep = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    let many = |item: &str, times: usize| vec![item; times].join(",");
    let inputs = [
        deep("[", "]", 100_000),
        deep("{\"a\":", "}", 100_000),
        "[".repeat(100_000),
        "(".repeat(50_000),
        format!("[{}]", many("1", 100_000)),
        format!("{{{}}}", many("\"a\":1", 50_000)),
        format!("{{\"metadata\":{{\"labels\":{{{}}}}}}}", many("\"a\":\"b\"", 20_000)),
        format!("a in ({})", many("b", 50_000)),
        many("a=b", 20_000),
        "9".repeat(100_000),
        format!("1e{}", "9".repeat(1000)),
        "a.".repeat(50_000),
        "!".repeat(20_000),
        format!("{}1", "-".repeat(20_000)),
        "\"\\u0041".repeat(20_000),
    ];
    for target in TARGETS.iter().filter(|target| target.name != "request") {
        for input in &inputs {
            run(target.name, target.run, input.as_bytes());
            run(target.name, target.run, format!("{input}\0{input}").as_bytes());
        }
    }
}

/// YAML has ways of its own to be small and mean much: aliases of aliases, and nesting.
#[test]
fn bodies_in_yaml_cost_what_they_weigh() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    let bodies =
        [bomb, "[".repeat(50_000), "- ".repeat(20_000), "a: {".repeat(20_000), "? ".repeat(20_000), "&a ".repeat(5000)];
    let target = TARGETS.iter().find(|target| target.name == "request").expect("there is one");
    for body in bodies {
        for kind in [
            "POST /api/v1/namespaces/default/configmaps\nContent-Type: application/yaml",
            "PATCH /api/v1/namespaces/default/configmaps/a?fieldManager=f\nContent-Type: application/apply-patch+yaml",
        ] {
            run(target.name, target.run, format!("{kind}\n\n{body}").as_bytes());
        }
    }
}
