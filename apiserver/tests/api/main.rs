//! The API server as its clients see it, through the door that all of them use.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what is not as expected fails the test")]

mod admission;
mod aggregation;
mod attacks;
mod audit;
mod authorization;
mod certificates;
mod client;
mod connect;
mod conversions;
mod definitions;
mod deletes;
mod fairness;
mod formats;
mod lists;
mod patches;
mod plugins;
mod policies;
mod quotas;
mod rules;
mod tokens;
mod watches;
mod webhooks;
mod workloads;
mod writes;
