//! Writes all objects into one file, a piece at a time between other work, so that the logs before can go.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, Output};
use super::files::Name;
use super::{frame, record};
use crate::snapshot::{Objects, Slot};
use crate::{Entry, EventKind};

/// Bytes that are written at a time: a write that comes in between waits for no more.
const PIECE: usize = 1 << 20;

/// How the last frame begins; no write does.
const END: u8 = 0;

/// A checkpoint that is being written.
pub(crate) struct Checkpoint {
    name: Name,
    file: Box<dyn Output>,
    /// The objects that are still to be written; the state they belong to never changes.
    objects: Box<dyn Iterator<Item = Arc<Entry>> + Send>,
    frames: u32,
    written: u64,
    bytes: u64,
}

impl Checkpoint {
    /// Begins to write the objects as of the revision that `name` says.
    pub(crate) fn begin(disk: &impl Disk, name: Name, objects: Vec<Objects>) -> io::Result<Self> {
        let objects = objects.into_iter().flat_map(|objects| objects.into_iter().map(|Slot(entry)| entry));
        let file = disk.create(&name.unfinished())?;
        let mut checkpoint = Self { name, file, objects: Box::new(objects), frames: 0, written: 0, bytes: 0 };
        checkpoint.put(&name.preface())?;
        Ok(checkpoint)
    }

    /// The file that it will be.
    pub(crate) fn name(&self) -> Name {
        self.name
    }

    /// Writes the next piece. Returns the size of the file once it is whole and will survive a loss of power.
    pub(crate) fn advance(&mut self, disk: &impl Disk) -> io::Result<Option<u64>> {
        let mut payload = Vec::with_capacity(PIECE + PIECE / 4);
        while payload.len() < PIECE {
            let Some(entry) = self.objects.next() else { break };
            record::put(&mut payload, EventKind::Put, &entry);
            self.written += 1;
        }
        if !payload.is_empty() {
            self.put(&payload)?;
            return Ok(None);
        }
        let mut end = vec![END];
        end.extend_from_slice(&self.written.to_le_bytes());
        self.put(&end)?;
        disk.rename(&self.name.unfinished(), &self.name.to_string())?;
        disk.sync()?;
        Ok(Some(self.bytes))
    }

    /// Pieces are synced one by one, so that the last sync does not hold up writes for as long as all of them take.
    fn put(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(payload.len() + 64);
        frame::put(&mut buffer, self.frames, payload);
        self.frames += 1;
        self.bytes += buffer.len() as u64;
        self.file.write(&buffer)?;
        self.file.sync()
    }
}

/// How many objects the checkpoint should have had, if this is its last frame.
pub(crate) fn end(payload: &[u8]) -> Option<u64> {
    match payload {
        [END, count @ ..] => Some(u64::from_le_bytes(count.try_into().ok()?)),
        _ => None,
    }
}
