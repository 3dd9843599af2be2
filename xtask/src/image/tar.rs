//! Tar archives that depend on nothing but their content: sorted, without times, owned by root.
//!
//! The format is POSIX's ustar.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Result, ensure};

/// A block of the format.
const BLOCK: usize = 512;
/// The longest name of an entry without the use of further fields.
const MAX_NAME: usize = 100;

/// What an archive is to hold, by path. Paths are relative; folders on the way are made.
#[derive(Default)]
pub(super) struct Tree {
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    Folder,
    File { content: Vec<u8>, mode: u32 },
    Link { to: String },
}

impl Tree {
    /// Puts a file that everybody may read.
    pub(super) fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put(path, Entry::File { content: content.into(), mode: 0o644 });
    }

    /// Puts a file that everybody may run.
    pub(super) fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put(path, Entry::File { content: content.into(), mode: 0o755 });
    }

    /// Puts a symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.put(path, Entry::Link { to: to.to_owned() });
    }

    fn put(&mut self, path: &str, entry: Entry) {
        let path = path.trim_start_matches('/');
        for (slash, _) in path.match_indices('/') {
            self.entries.entry(path[..=slash].to_owned()).or_insert(Entry::Folder);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The paths of the files, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| !matches!(entry, Entry::Folder)).map(|(path, _)| path.as_str())
    }

    /// The archive.
    ///
    /// # Errors
    /// If a name does not fit into the format.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (path, entry) in &self.entries {
            let (head, content) = match entry {
                Entry::Folder => (header(path, (b'5', ""), 0o755, 0)?, &[][..]),
                Entry::Link { to } => (header(path, (b'2', to), 0o777, 0)?, &[][..]),
                Entry::File { content, mode } => (header(path, (b'0', ""), *mode, content.len())?, content.as_slice()),
            };
            archive.write_all(&head)?;
            archive.write_all(content)?;
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        // Two blocks of zeros end an archive.
        archive.resize(archive.len() + 2 * BLOCK, 0);
        Ok(archive)
    }
}

fn header(path: &str, (kind, link): (u8, &str), mode: u32, size: usize) -> Result<[u8; BLOCK]> {
    for name in [path, link] {
        ensure!(name.len() <= MAX_NAME, "{name} is too long for a tar archive");
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    // Owner, group: root.
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    // The time.
    put(136, b"00000000000\0");
    // The sum is made with blanks in its own place.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_same_in_whatever_order_it_was_filled() {
        let files = [("b/two", "2"), ("a", "1"), ("b/c/three", "3")];
        let archive = |files: &mut dyn Iterator<Item = &(&str, &str)>| {
            let mut tree = Tree::default();
            files.for_each(|(path, content)| tree.file(path, *content));
            tree.archive().unwrap()
        };
        assert_eq!(archive(&mut files.iter()), archive(&mut files.iter().rev()));
    }

    #[test]
    fn folders_stand_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.program("/usr/bin/x", "x");
        tree.file("lib", "");
        let archive = tree.archive().unwrap();
        let names: Vec<_> = [0, 1, 2, 3]
            .map(|block| archive[block * BLOCK..].split(|byte| *byte == 0).next().unwrap())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .into();
        assert_eq!(names, ["lib", "usr/", "usr/bin/", "usr/bin/x"]);
        assert_eq!(archive.len(), 7 * BLOCK, "four headers, a block of content, two at the end");
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let mut tree = Tree::default();
        tree.file(&"x".repeat(101), "");
        assert!(tree.archive().is_err());
    }
}
