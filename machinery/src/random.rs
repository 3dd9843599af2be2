//! Randomness as an input: uids, generated names and jitter come from a [`Random`] that was seeded on purpose.

use std::sync::{Arc, Mutex};

/// The alphabet of generated names: no vowels and no look-alikes, so that no words appear.
/// Source: `k8s.io/apimachinery/pkg/util/rand`.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A seeded source of randomness that can be shared between components. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<fastrand::Rng>>);

impl Random {
    /// A source that gives the same sequence for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A new source whose sequence depends on this one's state; for handing one to each component, so that the order in
    /// which they run does not change what each of them draws.
    pub fn fork(&self) -> Self {
        Self::seeded(self.next_u64())
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        self.with(|rng| rng.u64(..))
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.with(|rng| rng.u64(..bound)) }
    }

    /// A number in `[0, 1)`.
    pub fn unit(&self) -> f64 {
        self.with(fastrand::Rng::f64)
    }

    /// `length` characters for the end of a generated name.
    pub fn name_suffix(&self, length: usize) -> String {
        self.with(|rng| (0..length).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect())
    }

    /// A version 4 UUID, in lower case with hyphens.
    pub fn uuid(&self) -> String {
        let bits = self.with(|rng| rng.u128(..));
        let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    fn with<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let random = Random::seeded(seed);
            (random.uuid(), random.name_suffix(5), random.fork().next_u64())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn uuids_are_version_4() {
        let random = Random::seeded(1);
        for _ in 0..100 {
            let uuid = random.uuid();
            assert_eq!(uuid.len(), 36);
            assert_eq!(&uuid[14..15], "4");
            assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        }
    }
}
