//! What is on a node in short: two nodes of one signature have the same amounts and the same kinds of pods.

use super::ResourceId;
use crate::pod::Pod;

/// The sum of a number for each thing that is on a node, so that it follows changes at the cost of the change. With 128 bits
/// from two unlike mixes no two nodes that differ will ever be met with the same sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature([u64; 2]);

impl std::hash::Hash for Signature {
    /// Half of it is enough to find it in a map, which compares the whole.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// What is being counted: things of one kind are never taken for those of another.
#[derive(Clone, Copy)]
enum Thing {
    Amount = 1,
    Pod,
    Held,
}

const SEEDS: [u64; 2] = [0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b];

/// Source of the constants: the generator SplitMix64.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Signature {
    fn of(thing: Thing, words: [u64; 3]) -> Self {
        let number = |seed: u64| {
            let all = std::iter::once(thing as u64).chain(words);
            all.fold(seed, |number, word| mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word))
        };
        Self(SEEDS.map(number))
    }

    /// What nodes have of a resource; nothing counts for nothing.
    pub(super) fn of_amount(resource: ResourceId, amount: i64) -> Self {
        if amount == 0 { Self::default() } else { Self::of(Thing::Amount, [resource as u64, amount as u64, 0]) }
    }

    /// A pod on a node: its kind and when it started, which is what tells victims apart.
    pub(super) fn of_pod(pod: &Pod) -> Self {
        let start = pod.start_time.map_or(i128::MAX, |start| start.as_nanosecond());
        Self::of(Thing::Pod, [pod.spec_id, start as u64, (start >> 64) as u64])
    }

    /// A pod for which a node is held.
    pub(super) fn of_held(pod: &Pod) -> Self {
        Self::of(Thing::Held, [pod.spec_id, 0, 0])
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, number)| *sum = sum.wrapping_add(number));
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, number)| *sum = sum.wrapping_sub(number));
    }
}
