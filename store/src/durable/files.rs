//! Which files there are, and how each begins.
//!
//! `checkpoint-R` holds all objects as of revision R; `log-R` the writes after R, up to where the next log begins. All
//! objects are the last checkpoint and what the logs from there on say. A file under another name is one whose writing was
//! interrupted, or nobody's.

use crate::Revision;

/// How every file begins; the last two bytes are the version of the format.
const MAGIC: &[u8; 16] = b"steersman store1";

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// All objects as of a revision.
    Checkpoint,
    /// The writes after a revision.
    Log,
}

/// A file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// What it holds.
    pub(crate) kind: Kind,
    /// As of when, or since when.
    pub(crate) revision: Revision,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint-",
            Self::Log => "log-",
        }
    }
}

impl Name {
    /// The log of the writes after a revision.
    pub(crate) fn log(revision: Revision) -> Self {
        Self { kind: Kind::Log, revision }
    }

    /// The objects as of a revision.
    pub(crate) fn checkpoint(revision: Revision) -> Self {
        Self { kind: Kind::Checkpoint, revision }
    }

    /// What a file name says; `None` if it is not one of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Kind::Checkpoint, Kind::Log].into_iter().find_map(|kind| {
            let revision = name.strip_prefix(kind.prefix())?.parse().ok()?;
            let parsed = Self { kind, revision };
            (parsed.to_string() == name).then_some(parsed)
        })
    }

    /// The name of the file while it is being written.
    pub(crate) fn unfinished(self) -> String {
        format!("{self}.unfinished")
    }

    /// The first frame of the file: what it is.
    pub(crate) fn preface(self) -> Vec<u8> {
        let mut preface = MAGIC.to_vec();
        preface.push(self.kind as u8);
        preface.extend_from_slice(&self.revision.to_le_bytes());
        preface
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{:020}", self.kind.prefix(), self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not_ours() {
        for name in [Name::log(0), Name::log(7), Name::checkpoint(u64::MAX)] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for other in ["log-", "log-7", "log-00000000000000000007.unfinished", "lock", "checkpoint-x"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
