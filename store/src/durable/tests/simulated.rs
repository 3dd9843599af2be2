//! A disk that can lose power, or fail, at any step.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::durable::disk::{Disk, Output};

/// What a loss of power leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing: neither content nor names.
    All,
    /// Everything, as if the last syncs had been done.
    None,
    /// The first half of the content, and the names.
    SecondHalf,
    /// Every other sector; the others read as zeros.
    Sectors,
}

/// When the disk does not do as it is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// Nothing works from this step on.
    pub(super) power_lost_at: Option<usize>,
    /// This step alone fails.
    pub(super) failing: Option<usize>,
}

#[derive(Clone, Default)]
pub(super) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    plan: Plan,
    steps: usize,
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

struct OpenFile {
    disk: SimulatedDisk,
    index: usize,
}

impl SimulatedDisk {
    pub(super) fn new(plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(State { plan, ..State::default() })))
    }

    /// How many steps were taken that change anything.
    pub(super) fn steps(&self) -> usize {
        self.0.lock().steps
    }

    /// The disk after power came back.
    pub(super) fn after(&self, loss: Loss) -> Self {
        let before = self.0.lock().clone();
        let names = if loss == Loss::All { &before.synced_names } else { &before.names };
        let mut after = State::default();
        for (name, index) in names {
            let bytes = before.files[*index].left(loss);
            after.names.insert(name.clone(), after.files.len());
            after.files.push(Content { synced: bytes.len(), bytes });
        }
        after.synced_names = after.names.clone();
        Self(Arc::new(Mutex::new(after)))
    }

    /// The content of every file.
    pub(super) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock();
        state.names.iter().map(|(name, index)| (name.clone(), state.files[*index].bytes.clone())).collect()
    }

    /// A disk with these files.
    pub(super) fn with(contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (name, bytes) in contents {
            state.names.insert(name.clone(), state.files.len());
            state.files.push(Content { bytes: bytes.clone(), synced: bytes.len() });
        }
        state.synced_names = state.names.clone();
        Self(Arc::new(Mutex::new(state)))
    }

    fn step<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock();
        let step = state.steps;
        state.steps += 1;
        let Plan { power_lost_at, failing } = state.plan;
        if power_lost_at.is_some_and(|at| step >= at) || failing == Some(step) {
            return Err(io::Error::other("simulated"));
        }
        act(&mut state)
    }
}

impl State {
    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Content {
    fn left(&self, loss: Loss) -> Vec<u8> {
        let mut left = self.bytes.clone();
        match loss {
            Loss::All => left.truncate(self.synced),
            Loss::None => {}
            Loss::SecondHalf => left.truncate(self.synced + (self.bytes.len() - self.synced) / 2),
            Loss::Sectors => {
                let lost = |at: usize| at >= self.synced && (at / 512).is_multiple_of(2);
                (0..left.len()).filter(|at| lost(*at)).for_each(|at| left[at] = 0);
            }
        }
        left
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let state = self.0.lock();
        Ok(Box::new(io::Cursor::new(state.files[state.find(name)?].bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        let index = self.step(|state| {
            state.names.insert(name.to_owned(), state.files.len());
            state.files.push(Content::default());
            Ok(state.files.len() - 1)
        })?;
        Ok(Box::new(OpenFile { disk: self.clone(), index }))
    }

    fn append(&self, name: &str, length: u64) -> io::Result<Box<dyn Output>> {
        let index = self.step(|state| {
            let index = state.find(name)?;
            state.files[index].bytes.truncate(length as usize);
            state.files[index].synced = length as usize;
            Ok(index)
        })?;
        Ok(Box::new(OpenFile { disk: self.clone(), index }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(|state| {
            let index = state.find(from)?;
            state.names.remove(from);
            state.names.insert(to.to_owned(), index);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(|state| {
            state.find(name)?;
            state.names.remove(name);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.step(|state| {
            state.synced_names = state.names.clone();
            Ok(())
        })
    }
}

impl Output for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.step(|state| {
            state.files[self.index].bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step(|state| {
            let file = &mut state.files[self.index];
            file.synced = file.bytes.len();
            Ok(())
        })
    }
}
