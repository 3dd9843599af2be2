//! Finds out what was stored: the last checkpoint, and what the logs say since.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::OpenError;
use super::disk::Disk;
use super::files::{Kind, Name};
use super::frame::{Found, Frames};
use super::record::{self, Record};
use crate::snapshot::{self, Objects, Slot};
use crate::{Key, Revision};

/// What was stored.
pub(crate) struct Recovered {
    /// The revision of the last write.
    pub(crate) revision: Revision,
    /// The objects of each resource.
    pub(crate) resources: BTreeMap<Arc<str>, Objects>,
    /// Where the log goes on; `None` if its last file was not begun or is still to be made.
    pub(crate) log: Option<LogEnd>,
    /// Files that nothing depends on any more.
    pub(crate) leftovers: Vec<String>,
}

/// The end of the log.
pub(crate) struct LogEnd {
    /// The file.
    pub(crate) name: Name,
    /// Its length without what was torn.
    pub(crate) length: u64,
    /// The number of the next frame.
    pub(crate) number: u32,
}

/// Objects as they come to be, write by write.
#[derive(Default)]
struct State {
    revision: Revision,
    resources: BTreeMap<Arc<str>, Objects>,
}

/// Reads everything. Changes nothing.
pub(crate) fn recover(disk: &impl Disk) -> Result<Recovered, OpenError> {
    let names = disk.list()?;
    let files: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
    let of = |kind| files.iter().filter(move |file| file.kind == kind);
    let mut state = State::default();
    let checkpoint = of(Kind::Checkpoint).max();
    if let Some(checkpoint) = checkpoint {
        state.read_checkpoint(disk, *checkpoint)?;
    }
    let mut logs: Vec<Name> = of(Kind::Log).copied().filter(|log| log.revision >= state.revision).collect();
    logs.sort();
    if let (Some(checkpoint), []) = (checkpoint, &*logs) {
        return Err(damage(
            *checkpoint,
            format!("{} is missing, where the writes since are", Name::log(state.revision)),
        ));
    }
    let mut end = None;
    for log in &logs {
        if log.revision != state.revision {
            let missing = format!("the writes after revision {} are missing before this file", state.revision);
            return Err(damage(*log, missing));
        }
        end = state.read_log(disk, *log, Some(log) == logs.last())?;
    }
    let needed = |name: &Name| Some(name) == checkpoint || logs.contains(name);
    let leftovers = names.into_iter().filter(|name| !Name::parse(name).is_some_and(|name| needed(&name))).collect();
    Ok(Recovered { revision: state.revision, resources: state.resources, log: end, leftovers })
}

impl State {
    fn read_checkpoint(&mut self, disk: &impl Disk, name: Name) -> Result<(), OpenError> {
        let mut frames = open(disk, name)?.ok_or_else(|| damage(name, "it ends before it begins"))?;
        let mut objects = 0;
        loop {
            let payload = match frames.next()? {
                Found::Frame(payload) => payload,
                Found::End | Found::Torn => return Err(damage(name, "its end is missing")),
                Found::Damaged(why) => return Err(damage(name, why)),
            };
            if let Some(counted) = super::checkpoint::end(&payload) {
                self.revision = name.revision;
                return if counted == objects { Ok(()) } else { Err(damage(name, "objects are missing")) };
            }
            objects += self.apply_all(name, &payload, |_, revision| revision <= name.revision)?;
        }
    }

    /// Returns where the log ends, if it begins; in the last one, the end may be torn.
    fn read_log(&mut self, disk: &impl Disk, name: Name, last: bool) -> Result<Option<LogEnd>, OpenError> {
        let mut frames = match open(disk, name)? {
            Some(frames) => frames,
            None if last => return Ok(None),
            None => return Err(damage(name, "it ends before it begins")),
        };
        loop {
            match frames.next()? {
                Found::Frame(payload) => {
                    self.apply_all(name, &payload, |before, revision| revision == before + 1)?;
                }
                Found::Torn if !last => return Err(damage(name, "its end is missing, and later files are there")),
                Found::End | Found::Torn => break,
                Found::Damaged(why) => return Err(damage(name, why)),
            }
        }
        Ok(Some(LogEnd { name, length: frames.position(), number: frames.number() }))
    }

    /// Applies the writes of a frame; `follows` says whether a revision may come after another.
    fn apply_all(
        &mut self,
        name: Name,
        mut payload: &[u8],
        follows: impl Fn(Revision, Revision) -> bool,
    ) -> Result<u64, OpenError> {
        let mut applied = 0;
        while !payload.is_empty() {
            let record = record::take(&mut payload).ok_or_else(|| damage(name, "a write in it makes no sense"))?;
            if !follows(self.revision, record.revision()) {
                let found = format!("revision {} follows on {}", record.revision(), self.revision);
                return Err(damage(name, found));
            }
            self.apply(record);
            applied += 1;
        }
        Ok(applied)
    }

    fn apply(&mut self, record: Record) {
        self.revision = self.revision.max(record.revision());
        match record {
            Record::Put(mut entry) => {
                let (resource, objects) = self.resource(&entry.key.resource);
                entry.key = shared(resource, objects, &entry.key);
                objects.insert(Slot(Arc::new(entry)));
            }
            Record::Delete(key, _) => {
                let (_, objects) = self.resource(&key.resource);
                snapshot::remove(objects, &key);
            }
        }
    }

    fn resource(&mut self, resource: &Arc<str>) -> (Arc<str>, &mut Objects) {
        if !self.resources.contains_key(resource) {
            self.resources.insert(Arc::clone(resource), Objects::new());
        }
        let mut from_here = self.resources.range_mut(Arc::clone(resource)..);
        let (resource, objects) = from_here.next().expect("it was made if it was not there");
        (Arc::clone(resource), objects)
    }
}

/// The key with strings that others share.
fn shared(resource: Arc<str>, objects: &Objects, key: &Key) -> Key {
    let namespace = snapshot::intern_namespace(objects, &key.namespace);
    Key { resource, namespace: namespace.unwrap_or_else(|| Arc::clone(&key.namespace)), name: Arc::clone(&key.name) }
}

/// The frames of a file behind its preface; `None` if not even that was written.
fn open(disk: &impl Disk, name: Name) -> Result<Option<Frames<Box<dyn Read>>>, OpenError> {
    let mut frames = Frames::new(disk.read(&name.to_string())?);
    match frames.next()? {
        Found::Frame(preface) if preface == name.preface() => Ok(Some(frames)),
        Found::Frame(_) => Err(damage(name, "it does not begin as this version of Steersman writes it")),
        Found::End | Found::Torn => Ok(None),
        Found::Damaged(why) => Err(damage(name, why)),
    }
}

fn damage(file: Name, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { file: file.to_string(), what: what.into() }
}
