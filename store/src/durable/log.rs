//! The log: writes are there before anybody sees them.

use std::io;

use super::disk::{Disk, Output};
use super::files::Name;
use super::frame;
use super::recovery::LogEnd;
use crate::Revision;

/// The log that is being written.
pub(crate) struct Log {
    /// The file.
    pub(crate) name: Name,
    file: Box<dyn Output>,
    frames: u32,
    /// Its length.
    pub(crate) bytes: u64,
    buffer: Vec<u8>,
}

impl Log {
    /// Begins a log for the writes after a revision.
    pub(crate) fn create(disk: &impl Disk, after: Revision) -> io::Result<Self> {
        let name = Name::log(after);
        let file = disk.create(&name.to_string())?;
        let mut log = Self { name, file, frames: 0, bytes: 0, buffer: Vec::new() };
        log.append(&name.preface())?;
        disk.sync()?;
        Ok(log)
    }

    /// Goes on where a log ended; what was torn there is cut off.
    pub(crate) fn resume(disk: &impl Disk, end: &LogEnd) -> io::Result<Self> {
        let file = disk.append(&end.name.to_string(), end.length)?;
        Ok(Self { name: end.name, file, frames: end.number, bytes: end.length, buffer: Vec::new() })
    }

    /// Adds a frame, and returns when it will survive a loss of power.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        frame::put(&mut self.buffer, self.frames, payload);
        self.file.write(&self.buffer)?;
        self.file.sync()?;
        self.frames += 1;
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }
}
