//! The list in `metadata.managedFields`, read and written.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Conflict, UNKNOWN, Writer, forget_metadata};
use crate::Object;
use crate::clock;
use crate::field_set::FieldSet;
use crate::meta;
use crate::patch::apply::Comparison;

/// How many entries of updates an object may have; older ones are merged. Source: `DefaultMaxUpdateManagers`.
const MAX_UPDATE_ENTRIES: usize = 10;
/// The manager of merged entries.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// How a manager writes. In the order in which entries stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// The fields of one manager.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) subresource: String,
    pub(super) api_version: String,
    pub(super) time: Option<String>,
    /// The fields, once somebody has asked for them: most entries are written back as they were read.
    fields: OnceCell<FieldSet>,
    /// The entry as it was read, while nothing in it has changed.
    encoded: Option<Value>,
}

impl Entry {
    fn decode(value: &Value) -> Option<Self> {
        let text = |name: &str| meta::text(value, &[name]).to_owned();
        let operation = match meta::text(value, &["operation"]) {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" {
            return None;
        }
        Some(Self {
            manager: text("manager"),
            operation,
            subresource: text("subresource"),
            api_version: text("apiVersion"),
            time: value.get("time").and_then(Value::as_str).map(str::to_owned),
            fields: OnceCell::new(),
            encoded: Some(value.clone()),
        })
    }

    fn encoded_fields(&self) -> Option<&Value> {
        self.encoded.as_ref()?.get("fieldsV1").filter(|fields| !fields.is_null())
    }

    /// The fields; none if they can't be read.
    pub(super) fn fields(&self) -> &FieldSet {
        self.fields.get_or_init(|| {
            let decoded = self.encoded_fields().and_then(|fields| FieldSet::decode(fields).ok());
            decoded.unwrap_or_default()
        })
    }

    fn is_readable(&self) -> bool {
        self.encoded_fields().is_none_or(|fields| FieldSet::decode(fields).is_ok())
    }

    fn is_empty(&self) -> bool {
        match (self.fields.get(), self.encoded_fields()) {
            (Some(fields), _) => fields.is_empty(),
            (None, Some(fields)) => fields.as_object().is_none_or(Object::is_empty),
            (None, None) => true,
        }
    }

    fn owns_any(&self, paths: &FieldSet) -> bool {
        match (self.fields.get(), self.encoded_fields()) {
            (Some(fields), _) => fields.intersects(paths),
            (None, Some(fields)) => paths.intersects_encoded(fields),
            (None, None) => false,
        }
    }

    fn encode(self) -> Value {
        if let Some(encoded) = self.encoded {
            return encoded;
        }
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation.as_str(), "apiVersion": self.api_version,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields().encode(),
        });
        if let Some(time) = self.time {
            entry["time"] = Value::String(time);
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = Value::String(self.subresource);
        }
        entry
    }

    /// Entries of one manager are told apart by these; those of appliers not by version.
    fn id(&self) -> (&str, Operation, &str, &str) {
        let version = match self.operation {
            Operation::Apply => "",
            Operation::Update => self.api_version.as_str(),
        };
        (&self.manager, self.operation, version, &self.subresource)
    }

    fn seconds(&self) -> i64 {
        let time = self.time.as_deref().and_then(clock::parse_time);
        time.map_or(0, |time| time.as_second())
    }

    pub(super) fn set_version(&mut self, api_version: &str) {
        self.fields();
        api_version.clone_into(&mut self.api_version);
        self.encoded = None;
    }

    pub(super) fn set_time(&mut self, time: Option<String>) {
        self.fields();
        self.time = time;
        self.encoded = None;
    }

    pub(super) fn set_fields(&mut self, fields: FieldSet) {
        if fields != *self.fields() {
            self.fields = OnceCell::from(fields);
            self.encoded = None;
        }
    }
}

/// All entries of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(pub(super) Vec<Entry>);

impl Entries {
    /// Reads a list that a client sent; `None` if any of it can't be read.
    pub(super) fn decode_strictly(list: &Value) -> Option<Self> {
        let mut entries = Self::decode(Some(list))?;
        // Keys may be written otherwise than the server writes them.
        for entry in &mut entries.0 {
            if !entry.is_readable() {
                return None;
            }
            entry.fields();
            entry.encoded = None;
        }
        Some(entries)
    }

    /// Reads a list; `None` if it is none or has an entry of an unknown kind. No list is an empty one. Of two entries for
    /// the same manager the later one counts.
    pub(super) fn decode(list: Option<&Value>) -> Option<Self> {
        let list = match list {
            None | Some(Value::Null) => return Some(Self::default()),
            Some(list) => list.as_array()?,
        };
        let mut entries = Self::default();
        for value in list {
            let entry = Entry::decode(value)?;
            entries.0.retain(|old| old.id() != entry.id());
            entries.0.push(entry);
        }
        Some(entries)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records what an update changes: others lose it, the writer gets what it added or modified.
    pub(super) fn record(&mut self, writer: &Writer<'_>, changes: Comparison) {
        let mut written = changes.modified;
        written.add(changes.added);
        if !self.0.is_empty() {
            self.take_away(&written.union(&changes.removed));
        }
        forget_metadata(&mut written);
        if written.is_empty() {
            return;
        }
        let time = Some(clock::format_time(writer.now));
        let (manager, version) = (manager_name(writer), writer.api_version);
        let id = (manager, Operation::Update, version, writer.subresource);
        if let Some(mine) = self.0.iter().find(|entry| entry.id() == id) {
            written.add(mine.fields().clone());
        }
        self.put(writer, Operation::Update, written, time);
    }

    /// Takes paths away from everybody and drops who has nothing left.
    pub(super) fn take_away(&mut self, paths: &FieldSet) {
        for entry in self.0.iter_mut().filter(|entry| entry.owns_any(paths)) {
            entry.set_fields(entry.fields().difference(paths));
        }
        self.0.retain(|entry| !entry.is_empty());
    }

    /// Sets the writer's entry.
    pub(super) fn put(&mut self, writer: &Writer<'_>, operation: Operation, fields: FieldSet, time: Option<String>) {
        let entry = Entry {
            manager: manager_name(writer).to_owned(),
            operation,
            subresource: writer.subresource.to_owned(),
            api_version: writer.api_version.to_owned(),
            time,
            fields: OnceCell::from(fields),
            encoded: None,
        };
        self.0.retain(|old| old.id() != entry.id());
        if !entry.is_empty() {
            self.0.push(entry);
        }
    }

    /// Takes the entry of what the writer applied last out.
    pub(super) fn take_applied(&mut self, writer: &Writer<'_>) -> Option<Entry> {
        let id = (manager_name(writer), Operation::Apply, "", writer.subresource);
        let at = self.0.iter().position(|entry| entry.id() == id)?;
        Some(self.0.remove(at))
    }

    /// What anybody owns.
    pub(super) fn all_fields(&self) -> FieldSet {
        let mut all = FieldSet::default();
        for entry in &self.0 {
            all.add(entry.fields().clone());
        }
        all
    }

    /// Who owns any of these paths, by manager.
    pub(super) fn conflicts(&self, paths: &FieldSet) -> Vec<Conflict> {
        let mut owners: Vec<&Entry> = self.0.iter().collect();
        owners.sort_by(|a, b| a.id().cmp(&b.id()));
        let conflict =
            |owner: &Entry| Conflict { manager: describe(owner), fields: owner.fields().intersection(paths) };
        owners.into_iter().filter(|owner| owner.owns_any(paths)).map(conflict).collect()
    }

    /// Merges the oldest entries of updates, a version each, until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut surplus = self.updates().saturating_sub(MAX_UPDATE_ENTRIES);
        if surplus == 0 {
            return;
        }
        self.0.sort_by_key(|entry| (entry.operation, entry.seconds(), entry.manager.clone()));
        // Where the first of each version, or the entry that its successors are merged into, stands.
        let mut buckets: BTreeMap<String, usize> = BTreeMap::new();
        let mut index = 0;
        while surplus > 0 && index < self.0.len() {
            let entry = &self.0[index];
            if entry.operation == Operation::Apply {
                index += 1;
                continue;
            }
            let Some(&bucket) = buckets.get(&entry.api_version) else {
                buckets.insert(entry.api_version.clone(), index);
                index += 1;
                continue;
            };
            let merged = self.0.remove(index);
            let bucket = &mut self.0[bucket];
            bucket.set_fields(bucket.fields().union(merged.fields()));
            bucket.manager = ANCIENT_CHANGES.to_owned();
            bucket.subresource = String::new();
            bucket.time = merged.time;
            bucket.encoded = None;
            surplus -= 1;
        }
    }

    fn updates(&self) -> usize {
        let updates = self.0.iter().filter(|entry| entry.operation == Operation::Update);
        updates.count()
    }

    /// Writes the list, in upstream's order.
    pub(super) fn encode(mut self) -> Value {
        self.0.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.operation, entry.seconds());
            key(a).cmp(&key(b)).then_with(|| {
                (&a.manager, &a.api_version, &a.subresource).cmp(&(&b.manager, &b.api_version, &b.subresource))
            })
        });
        self.0.into_iter().map(Entry::encode).collect()
    }
}

fn manager_name<'a>(writer: &Writer<'a>) -> &'a str {
    match writer.manager {
        "" => UNKNOWN,
        name => name,
    }
}

/// A manager as conflicts name it.
fn describe(entry: &Entry) -> String {
    let mut text = crate::field::go_quote(&entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {}", crate::field::go_quote(&entry.subresource)));
    }
    if entry.operation == Operation::Update {
        text.push_str(&format!(" using {}", entry.api_version));
    }
    text
}

/// Whether two lists differ in nothing but times.
pub(super) fn same_but_times(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_array(), b.as_array()) else {
        return false;
    };
    let untimed = |entry: &Value| {
        let mut entry = entry.clone();
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("time");
        }
        entry
    };
    // Times decide the order, so the order may differ.
    let sorted = |list: &[Value]| {
        let mut list: Vec<Value> = list.iter().map(untimed).collect();
        list.sort_by_cached_key(Value::to_string);
        list
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}
