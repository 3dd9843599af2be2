//! The layout of protobuf messages: `protobuf.txt`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Schema, StructId, schema, short};

/// How the fields of a struct lie in its protobuf message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// What stands in the message, by number.
    pub slots: Vec<(u32, Slot)>,
}

/// What has a number in a message.
#[derive(Clone, Debug)]
pub enum Slot {
    /// The field of the struct with that index.
    Field(usize),
    /// A message with fields that JSON has in the struct itself, because Go embeds the struct that declares them.
    Embedded(Message),
}

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let text = [include_str!("../protobuf.txt"), include_str!("../gated/protobuf.txt")].concat();
    parse(&text, schema()).expect("the tables are well formed: a test reads them")
});

/// The layout of the protobuf message of a struct.
pub fn message(id: StructId) -> &'static Message {
    &MESSAGES[id]
}

impl Message {
    /// What has that number.
    pub fn slot(&self, number: u32) -> Option<&Slot> {
        let at = self.slots.binary_search_by_key(&number, |(have, _)| *have).ok()?;
        Some(&self.slots[at].1)
    }

    fn insert(&mut self, path: &[u32], field: usize) -> Option<()> {
        let (number, rest) = path.split_first()?;
        let found = self.slots.binary_search_by_key(number, |(have, _)| *have);
        let slot = match (found, rest) {
            (Err(at), []) => {
                self.slots.insert(at, (*number, Slot::Field(field)));
                return Some(());
            }
            (Err(at), _) => {
                self.slots.insert(at, (*number, Slot::Embedded(Self::default())));
                &mut self.slots[at].1
            }
            (Ok(at), _) => &mut self.slots[at].1,
        };
        match slot {
            Slot::Embedded(message) => message.insert(rest, field),
            Slot::Field(_) => None,
        }
    }
}

fn parse(text: &str, schema: &Schema) -> Option<Vec<Message>> {
    let ids: BTreeMap<&str, StructId> = schema.structs.iter().map(|it| short(&it.name)).zip(0..).collect();
    let mut messages = vec![Message::default(); schema.structs.len()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let id = *ids.get(words.next()?)?;
        for word in words {
            let (field, path) = word.split_once('=')?;
            let at = schema.structs[id].fields.binary_search_by(|it| it.name.as_str().cmp(field)).ok()?;
            let path: Option<Vec<u32>> = path.split('.').map(|number| number.parse().ok()).collect();
            messages[id].insert(&path?, at)?;
        }
    }
    Some(messages)
}
