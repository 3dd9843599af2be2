//! How a file is divided: into frames that are whole, torn by a loss of power, or damaged, and which of the three can be
//! told.
//!
//! A frame is written in one go, and the next only after this one was synced. So at most the last frame of the last file
//! can be torn, and it was never acknowledged. A head is 16 bytes at a multiple of 16, which no disk tears; what a loss of
//! power leaves unwritten reads as zeros.
//!
//! ```text
//! | length of the payload: u32 | checksum of the payload: u32 | number of the frame: u32 | checksum of the head: u32 |
//! | payload, filled up with zeros to a multiple of 16 |
//! ```

use std::io::{self, Read};

/// The size of a head, and what heads are aligned to.
const HEAD: usize = 16;
/// What a disk writes whole or not at all, in the least favourable case.
const SECTOR: usize = 512;
/// No payload is larger: a larger length is damage.
const PAYLOAD_MAX: usize = 1 << 30;

/// What was found where a frame could be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole frame.
    Frame(Vec<u8>),
    /// The end of the file.
    End,
    /// The beginning of a frame whose rest never reached the disk.
    Torn,
    /// What cannot come from a loss of power.
    Damaged(&'static str),
}

/// Reads frames one after the other.
pub(crate) struct Frames<R> {
    file: R,
    number: u32,
    position: u64,
}

/// Writes `payload` as frame `number` behind what is in `buffer`, whose length is a multiple of 16.
pub(crate) fn put(buffer: &mut Vec<u8>, number: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("payloads are bounded far below 4 GiB");
    let mut head = [0; HEAD];
    head[0..4].copy_from_slice(&length.to_le_bytes());
    head[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    head[8..12].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&head[..12]);
    head[12..].copy_from_slice(&checksum.to_le_bytes());
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(payload);
    buffer.resize(buffer.len().next_multiple_of(HEAD), 0);
}

impl<R: Read> Frames<R> {
    /// From the beginning of a file.
    pub(crate) fn new(file: R) -> Self {
        Self { file, number: 0, position: 0 }
    }

    /// Where the last whole frame ends.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The number that the next frame has to have.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        let mut head = [0; HEAD];
        let filled = fill(&mut self.file, &mut head)?;
        if filled == 0 {
            return Ok(Found::End);
        }
        if filled < HEAD {
            return Ok(Found::Torn);
        }
        if head == [0; HEAD] {
            return self.unwritten();
        }
        if !fits(&head) {
            return Ok(Found::Damaged("the head of a frame does not fit its checksum"));
        }
        if word(&head, 8) != self.number {
            return Ok(Found::Damaged("a frame is missing or there twice"));
        }
        self.payload(word(&head, 0) as usize, word(&head, 4))
    }

    /// A head was not written. In the last frame that is a loss of power, and the rest of the sector was not written
    /// either; but if a later frame is there, this one had been synced.
    fn unwritten(&mut self) -> io::Result<Found> {
        let mut at = self.position as usize + HEAD;
        let mut block = [0; HEAD];
        while fill(&mut self.file, &mut block)? == HEAD {
            if !at.is_multiple_of(SECTOR) && at / SECTOR == self.position as usize / SECTOR && block != [0; HEAD] {
                return Ok(Found::Damaged("zeros where a frame should begin"));
            }
            if fits(&block) && word(&block, 8) > self.number {
                return Ok(Found::Damaged("a frame is missing"));
            }
            at += HEAD;
        }
        Ok(Found::Torn)
    }

    fn payload(&mut self, length: usize, checksum: u32) -> io::Result<Found> {
        if length > PAYLOAD_MAX {
            return Ok(Found::Damaged("a frame is larger than any that was ever written"));
        }
        let padded = length.next_multiple_of(HEAD);
        let mut payload = vec![0; padded];
        if fill(&mut self.file, &mut payload)? < padded {
            return Ok(Found::Torn);
        }
        if crc32fast::hash(&payload[..length]) != checksum || payload[length..].iter().any(|byte| *byte != 0) {
            let begin = self.position + HEAD as u64;
            return Ok(if has_empty_sector(begin, &payload) && self.rest_is_zeros()? {
                Found::Torn
            } else {
                Found::Damaged("the content of a frame does not fit its checksum")
            });
        }
        payload.truncate(length);
        self.position += (HEAD + padded) as u64;
        self.number += 1;
        Ok(Found::Frame(payload))
    }

    fn rest_is_zeros(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let filled = fill(&mut self.file, &mut buffer)?;
            if buffer[..filled].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            if filled < buffer.len() {
                return Ok(true);
            }
        }
    }
}

fn word(head: &[u8; HEAD], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// Whether this is the head of a frame. Content never looks like one: the number has a zero byte, and JSON has none.
fn fits(block: &[u8; HEAD]) -> bool {
    crc32fast::hash(&block[..12]) == word(block, 12)
}

/// Whether a sector of the disk that lies within the payload, or the part of one at either end, was never written. No
/// payload has as many zeros in a row; a short end may, which is why eight bytes are asked for.
fn has_empty_sector(begin: u64, payload: &[u8]) -> bool {
    let first = (SECTOR - begin as usize % SECTOR) % SECTOR;
    let (head, rest) = payload.split_at(first.min(payload.len()));
    let mut sectors = std::iter::once(head).chain(rest.chunks(SECTOR));
    sectors.any(|sector| sector.len() >= 8 && sector.iter().all(|byte| *byte == 0))
}

/// Reads until the buffer is full or the file ends; returns how much was read.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for (number, payload) in payloads.iter().enumerate() {
            put(&mut file, number as u32, payload);
        }
        file
    }

    /// The frames up to the first that is none, and what it is.
    fn read(file: &[u8]) -> (usize, Found) {
        let mut frames = Frames::new(file);
        loop {
            match frames.next().unwrap() {
                Found::Frame(_) => {}
                other => return (frames.number() as usize, other),
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let file = file(&[b"a", b"", &[7; 1000]]);
        let mut frames = Frames::new(&*file);
        for expect in [b"a".to_vec(), vec![], vec![7; 1000]] {
            assert_eq!(frames.next().unwrap(), Found::Frame(expect));
        }
        assert_eq!(frames.next().unwrap(), Found::End);
        assert_eq!(frames.position(), file.len() as u64);
    }

    #[test]
    fn a_file_that_ends_within_a_frame_is_torn_there() {
        let whole = file(&[&[1; 40], &[2; 40]]);
        let first = file(&[&[1; 40]]).len();
        for length in 0..whole.len() {
            let expect = match length {
                0 => (0, Found::End),
                length if length == first => (1, Found::End),
                length => (usize::from(length > first), Found::Torn),
            };
            assert_eq!(read(&whole[..length]), expect, "cut at {length}");
        }
    }

    #[test]
    fn sectors_that_were_never_written_make_the_last_frame_torn_and_others_damaged() {
        let payload: Vec<u8> = (0..4000).map(|at| (at % 250) as u8 + 1).collect();
        let one = file(&[&payload]);
        for sector in 0..one.len() / SECTOR {
            let mut torn = one.clone();
            torn[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
            assert_eq!(read(&torn), (0, Found::Torn), "sector {sector}");
            put(&mut torn, 1, b"next");
            assert!(matches!(read(&torn), (0, Found::Damaged(_))), "sector {sector}, with a frame behind");
        }
        let mut nothing = one.clone();
        nothing.fill(0);
        assert_eq!(read(&nothing), (0, Found::Torn));
    }

    #[test]
    fn a_flipped_bit_is_damage_wherever_it_is() {
        let whole = file(&[&[1; 40], &[2; 25]]);
        for at in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(matches!(read(&flipped), (_, Found::Damaged(_))), "bit {at}");
        }
    }
}
