//! Makes inputs out of seeds: bytes flipped, taken out, repeated, exchanged with those of other seeds, and with the words
//! that parsers care about.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use steersman_machinery::random::Random;

/// The largest input that is made. Larger ones are slow without being different.
const MAX_INPUT: usize = 16 * 1024;
/// The most changes of one input.
const MAX_CHANGES: u64 = 6;
/// What stands for something in one grammar or another.
const WORDS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e400",
    "9223372036854775808",
    "0.1",
    "\\u0000",
    "\\ud800",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "delete",
    "replace",
    "/-",
    "~1",
    "f:",
    "k:{",
    "v:",
    ".",
    "in (",
    "notin",
    "!",
    "=",
    "&a",
    "*a",
    "---\n",
    "\n  ",
    "Gi",
    "\u{feff}",
    "has(self.x)",
];

/// The seeds of a target, by name, and where they lie.
pub fn seeds(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths = fs::read_dir(folder)?.map(|entry| entry.map(|it| it.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).map(|bytes| (path, bytes))).collect()
}

/// An input made of the seeds. There must be at least one.
pub fn mutate(seeds: &[Vec<u8>], random: &Random) -> Vec<u8> {
    let mut input = pick(seeds, random).clone();
    for _ in 0..=random.below(MAX_CHANGES) {
        change(&mut input, seeds, random);
    }
    input.truncate(MAX_INPUT);
    input
}

fn pick<'a, T>(items: &'a [T], random: &Random) -> &'a T {
    &items[index(items.len(), random)]
}

/// A number below `bound`, which is at least 1.
fn index(bound: usize, random: &Random) -> usize {
    usize::try_from(random.below(bound.max(1) as u64)).unwrap_or_default()
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &Random) {
    let at = index(input.len() + 1, random);
    let length = index(input.len() - at + 1, random).min(64);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 => drop(input.drain(at..at + length)),
        2 => {
            let part: Vec<u8> = input[at..at + length].to_vec();
            let times = 1 + index(8, random);
            input.splice(at..at, part.repeat(times));
        }
        3 => drop(input.splice(at..at, pick(&WORDS, random).bytes())),
        4 => drop(input.splice(at..at + length, pick(&WORDS, random).bytes())),
        5 => {
            let other = pick(seeds, random);
            let from = index(other.len() + 1, random);
            let part: Vec<u8> = other[from..].iter().take(128).copied().collect();
            input.splice(at..at + length, part);
        }
        _ => input.insert(at, u8::try_from(random.below(256)).unwrap_or_default()),
    }
}
