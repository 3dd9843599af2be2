//! The pods: what is known of them, how they live, and the loop that runs all of them.

mod address;
mod feed;
mod lifecycle;
mod manager;
mod object;
mod status;
#[cfg(test)]
mod tests;
mod view;

use std::hash::{DefaultHasher, Hash, Hasher};

pub(crate) use manager::run;

/// A hash that is the same in each run: the standard library's hasher has fixed keys if it is made this way.
pub(crate) fn stable_hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
