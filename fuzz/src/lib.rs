//! A fuzz target for every parser of untrusted input: a function over bytes that must neither panic nor take long, and
//! that states what else always holds. [`TARGETS`] lists them; the seeds of each lie in `seeds/<name>/`. The tests run
//! every seed and a fixed number of changed ones; `cargo run -p steersman-fuzz -- <name>` goes on as long as it is let.
//!
//! The driver is plain Rust and deterministic: one seed number gives one sequence of inputs on any machine. A
//! coverage-guided fuzzer can call the same functions.

pub mod driver;
pub mod targets;

pub use targets::{TARGETS, Target};
