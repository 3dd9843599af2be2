//! JSON patch: a list of operations. Source: RFC 6902, with the liberties of the library that upstream uses
//! (`evanphx/json-patch` v4), because clients see them: `replace` of an absent member adds it, `copy` of an absent member
//! copies null, an absent value is null, list indexes may be negative or have leading zeros, what stands before the first
//! `/` of a pointer is ignored.

use serde_json::Value;

use super::PatchError;
use crate::Object;
use crate::decode::{kind_of, parse_json};

mod strict;

pub use strict::check_strict;

/// How many operations a patch may have.
pub const MAX_OPERATIONS: usize = 10_000;
/// How many bytes of JSON the `copy` operations of a patch may add up to.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;
/// How many items of lists the operations of a patch may move by putting others before them or taking them away: each of ten
/// thousand of a list of five thousand.
const MAX_MOVED_ITEMS: usize = 50_000_000;

/// The document after all operations, in order. If one fails, the patch fails.
pub fn apply(document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations = operations(patch)?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    let mut document = document.clone();
    let mut work = Work::default();
    for operation in operations {
        Operation(operation).apply(&mut document, &mut work)?;
    }
    Ok(document)
}

/// What the operations of a patch have done so far, as far as it is bounded.
#[derive(Default)]
struct Work {
    copied_bytes: usize,
    moved_items: usize,
}

impl Work {
    fn moves(&mut self, items: usize) -> Result<(), Absent> {
        self.moved_items += items;
        match self.moved_items > MAX_MOVED_ITEMS {
            true => Err(Absent::Place(format!("the patch moves more than {MAX_MOVED_ITEMS} items of lists"))),
            false => Ok(()),
        }
    }
}

/// The operations of a patch. Null counts as none of them, or as one without members.
fn operations(patch: &[u8]) -> Result<Vec<Object>, PatchError> {
    let parsed = parse_json(patch).map_err(|error| PatchError::Malformed(error.to_string()))?;
    let unfit = |value: &Value, list: &str| {
        let kind = kind_of(value);
        PatchError::Malformed(format!("json: cannot unmarshal {kind} into Go value of type {list}handlers.jsonPatchOp"))
    };
    let items = match parsed.value {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        other => return Err(unfit(&other, "[]")),
    };
    let operation = |item| match item {
        Value::Null => Ok(Object::new()),
        Value::Object(operation) => Ok(operation),
        other => Err(unfit(&other, "")),
    };
    items.into_iter().map(operation).collect()
}

/// Checks that what an operation is and where it applies are texts, which upstream does unless fields are not to be
/// validated.
pub fn check_types(patch: &[u8]) -> Result<(), PatchError> {
    for operation in operations(patch)? {
        for name in ["op", "path", "from"] {
            match operation.get(name) {
                None | Some(Value::Null | Value::String(_)) => {}
                Some(other) => {
                    let kind = kind_of(other);
                    let field = format!("Go struct field jsonPatchOp.{name} of type string");
                    return Err(PatchError::Malformed(format!("json: cannot unmarshal {kind} into {field}")));
                }
            }
        }
    }
    Ok(())
}

/// An operation as it is written; what is needed of it depends on `op`.
struct Operation(Object);

impl Operation {
    fn apply(mut self, document: &mut Value, work: &mut Work) -> Result<(), PatchError> {
        let op = self.text("op").unwrap_or_default();
        match op.as_str() {
            "add" => {
                let path = self.path("path", "add")?;
                let value = self.value();
                let missing = || format!("add operation does not apply: doc is missing path: \"{path}\"");
                add(document, (&path, value), work)
                    .map_err(|why| why.at(missing, || format!("error in add for path: '{path}'")))
            }
            "remove" => {
                let path = self.path("path", "remove")?;
                let missing = || format!("remove operation does not apply: doc is missing path: \"{path}\"");
                let within = || format!("error in remove for path: '{path}'");
                remove(document, &path, work).map(drop).map_err(|why| why.at(missing, within))
            }
            "replace" => {
                let path = self.path("path", "replace")?;
                let value = self.value();
                let missing = || format!("replace operation does not apply: doc is missing path: {path}");
                let within = || format!("error in replace for path: '{path}'");
                replace(document, &path, value).map_err(|why| why.at(missing, within))
            }
            "move" => self.relocate(document, work),
            "copy" => self.copy(document, work),
            "test" => self.test(document),
            other => Err(PatchError::DoesNotApply(format!("Unexpected kind: {other}"))),
        }
    }

    fn relocate(&mut self, document: &mut Value, work: &mut Work) -> Result<(), PatchError> {
        let from = self.path("from", "move")?;
        let within = |path: &str| format!("error in move for path: '{path}'");
        let missing = || format!("move operation does not apply: doc is missing from path: {from}");
        let value = remove(document, &from, work).map_err(|why| why.at(missing, || within(&from)))?;
        let path = self.path("path", "move")?;
        let missing = || format!("move operation does not apply: doc is missing destination path: {path}");
        add(document, (&path, value), work).map_err(|why| why.at(missing, || within(&path)))
    }

    fn copy(&mut self, document: &mut Value, work: &mut Work) -> Result<(), PatchError> {
        let from = self.path("from", "copy")?;
        let missing = || format!("copy operation does not apply: doc is missing from path: {from}");
        let found = get(document, &from).map_err(|why| why.at(missing, || format!("error in copy for from: '{from}'")));
        let value = found?.cloned().unwrap_or_default();
        work.copied_bytes += value.to_string().len();
        let copied_bytes = work.copied_bytes;
        if copied_bytes > MAX_COPIED_BYTES {
            return Err(PatchError::DoesNotApply(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied_bytes}, exceeding the \
                 limit {MAX_COPIED_BYTES}"
            )));
        }
        let path = self.path("path", "copy")?;
        let missing = || format!("copy operation does not apply: doc is missing destination path: {path}");
        let within = || "error while adding value during copy".to_owned();
        add(document, (&path, value), work).map_err(|why| why.at(missing, within))
    }

    fn test(&mut self, document: &mut Value) -> Result<(), PatchError> {
        let expect = self.value();
        let path = self.path("path", "test")?;
        let missing = || format!("test operation does not apply: is missing path: {path}");
        let found =
            get(document, &path).map_err(|why| why.at(missing, || format!("error in test for path: '{path}'")))?;
        // A member that is absent is as good as null.
        match found.unwrap_or(&Value::Null) == &expect {
            true => Ok(()),
            false => Err(PatchError::DoesNotApply(format!("testing value {path} failed: test failed"))),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn path(&mut self, name: &str, operation: &str) -> Result<String, PatchError> {
        let failed =
            || PatchError::DoesNotApply(format!("{operation} operation failed to decode {name}: missing value"));
        self.text(name).ok_or_else(failed)
    }

    fn value(&mut self) -> Value {
        self.0.remove("value").unwrap_or_default()
    }
}

/// Why there is nothing at a pointer, or nothing can be put there.
enum Absent {
    /// What should contain it is not there.
    Container,
    /// It has no place in its container; the text is that of upstream's library.
    Place(String),
}

impl Absent {
    fn at(self, missing: impl FnOnce() -> String, within: impl FnOnce() -> String) -> PatchError {
        PatchError::DoesNotApply(match self {
            Self::Container => format!("{}: missing value", missing()),
            Self::Place(why) => format!("{}: {why}", within()),
        })
    }

    /// A step that is no index of the list.
    fn index(step: &str) -> Self {
        Self::Place(match step.parse::<i64>() {
            Ok(index) => format!("Unable to access invalid index: {index}: invalid index referenced"),
            Err(_) => format!("strconv.Atoi: parsing {}: invalid syntax", crate::field::go_quote(step)),
        })
    }
}

/// Splits a pointer into the steps to the container and the last step; `None` if it has no `/`.
fn steps(pointer: &str) -> Option<(Vec<String>, String)> {
    let mut steps: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
    let last = steps.pop()?;
    Some((steps, last))
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The place in a list of `len` items that `step` names; `len` itself only if `end` allows it.
fn list_index(step: &str, len: usize, end: bool) -> Option<usize> {
    let limit = if end { len + 1 } else { len };
    let index: i64 = step.parse().ok()?;
    let index = if index < 0 { index + i64::try_from(limit).ok()? } else { index };
    usize::try_from(index).ok().filter(|index| *index < limit)
}

fn container<'a>(document: &'a mut Value, pointer: &str) -> Result<(&'a mut Value, String), Absent> {
    let (parents, last) = steps(pointer).ok_or(Absent::Container)?;
    let mut here = document;
    for step in &parents {
        here = match here {
            Value::Object(map) => map.get_mut(step),
            Value::Array(list) => list_index(step, list.len(), false).and_then(|index| list.get_mut(index)),
            _ => None,
        }
        .ok_or(Absent::Container)?;
    }
    match here {
        Value::Object(_) | Value::Array(_) => Ok((here, last)),
        _ => Err(Absent::Container),
    }
}

/// What is at the pointer; `None` for an absent member of an object, an error for everything else that is absent.
fn get<'a>(document: &'a mut Value, pointer: &str) -> Result<Option<&'a Value>, Absent> {
    if pointer.is_empty() {
        return Ok(Some(document));
    }
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) => match list_index(&last, list.len(), false) {
            Some(index) => Ok(list.get(index)),
            None => Err(Absent::index(&last)),
        },
        other => Ok(other.get(&last)),
    }
}

fn add(document: &mut Value, (pointer, value): (&str, Value), work: &mut Work) -> Result<(), Absent> {
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let index = list_index(&last, list.len(), true).ok_or_else(|| Absent::index(&last))?;
            work.moves(list.len() - index)?;
            list.insert(index, value);
        }
        Value::Object(map) => drop(map.insert(last, value)),
        _ => return Err(Absent::Container),
    }
    Ok(())
}

fn replace(document: &mut Value, pointer: &str, value: Value) -> Result<(), Absent> {
    if pointer.is_empty() {
        *document = value;
        return Ok(());
    }
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) => {
            let index = list_index(&last, list.len(), false).ok_or_else(|| Absent::index(&last))?;
            list[index] = value;
        }
        Value::Object(map) => drop(map.insert(last, value)),
        _ => return Err(Absent::Container),
    }
    Ok(())
}

fn remove(document: &mut Value, pointer: &str, work: &mut Work) -> Result<Value, Absent> {
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) => match list_index(&last, list.len(), false) {
            Some(index) => {
                work.moves(list.len() - index)?;
                Ok(list.remove(index))
            }
            None => Err(Absent::index(&last)),
        },
        Value::Object(map) => map
            .remove(&last)
            .ok_or_else(|| Absent::Place(format!("Unable to remove nonexistent key: {last}: missing value"))),
        _ => Err(Absent::Container),
    }
}

#[cfg(test)]
mod tests;
