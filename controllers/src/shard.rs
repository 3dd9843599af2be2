//! The part of the work that one of several processes does: namespaces are dealt out by a hash of their names.

use std::fmt;
use std::str::FromStr;

/// One part of several. The Deployments and ReplicaSets of a namespace belong to exactly one part; everything that is
/// not told apart by namespace (nodes, namespaces, garbage, …) is the first part's.
///
/// Parse it from `i/n`, counted from `0/n` to `n-1/n`. All processes have to agree on `n`: stop all of them before
/// changing it, or two of them work on one namespace for a while. Each part may have stand-bys: give the processes of
/// one part a Lease of their own ([`Shard::lease`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// All of the work.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether the objects of `namespace` are this part's.
    pub fn owns(self, namespace: &str) -> bool {
        self.count == 1 || hash(namespace) % u64::from(self.count) == u64::from(self.index)
    }

    /// Whether the controller of this name has work in this part: all parts have Deployments and ReplicaSets.
    pub fn runs(self, controller: &str) -> bool {
        self.index == 0 || matches!(controller, "deployment-controller" | "replicaset-controller")
    }

    /// The name of the Lease that the processes of this part hold, given the one of an undivided process.
    pub fn lease(self, name: &str) -> String {
        if self == Self::WHOLE { name.to_owned() } else { format!("{name}-{}-of-{}", self.index, self.count) }
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// The hash of Fowler, Noll and Vo (variant 1a, 64 bits), folded so that its low bits, which decide, depend on all bytes.
/// It never changes: processes of different versions have to agree on it.
fn hash(text: &str) -> u64 {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    sum ^ (sum >> 32)
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

/// A text that is not a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a shard: write i/n, from 0/n to n-1/n, as in 0/3")]
pub struct InvalidShard(pub String);

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let shard = text.split_once('/').and_then(|(index, count)| {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
            Some(Self { index: digits(index)?, count: digits(count)? })
        });
        shard.filter(|shard| shard.index < shard.count).ok_or_else(|| InvalidShard(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for text in ["0/1", "0/3", "2/3"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["", "1", "3/3", "0/0", "-1/3", "+1/3", "a/b", "1/2/3"] {
            assert_eq!(text.parse::<Shard>(), Err(InvalidShard(text.to_owned())));
        }
    }

    #[test]
    fn every_namespace_belongs_to_one_part_and_the_parts_are_of_a_size() {
        let shards: Vec<Shard> = (0..5).map(|index| Shard { index, count: 5 }).collect();
        let mut sizes = [0; 5];
        for n in 0..1000 {
            let namespace = format!("team-{n}");
            let owners: Vec<usize> = (0..5).filter(|index| shards[*index].owns(&namespace)).collect();
            assert_eq!(owners.len(), 1, "{namespace}");
            sizes[owners[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (150..250).contains(size)), "{sizes:?}");
        assert!(Shard::WHOLE.owns("anything"));
    }

    #[test]
    fn what_has_no_namespace_is_the_first_parts() {
        let [first, second] = [Shard { index: 0, count: 2 }, Shard { index: 1, count: 2 }];
        assert!(first.runs("garbage-collector-controller") && !second.runs("garbage-collector-controller"));
        assert!(first.runs("deployment-controller") && second.runs("deployment-controller"));
        assert_eq!(Shard::WHOLE.lease("controllers"), "controllers");
        assert_eq!(second.lease("controllers"), "controllers-1-of-2");
    }
}
