//! JSON patch: a list of operations. Source: RFC 6902, with the liberties of the library that upstream uses
//! (`evanphx/json-patch` v4), because clients see them: `replace` of an absent member adds it, `copy` of an absent member
//! copies null, an absent value is null, list indexes may be negative or have leading zeros, what stands before the first
//! `/` of a pointer is ignored.

use serde_json::Value;

use super::PatchError;
use crate::Object;

mod strict;

pub use strict::check_strict;

/// How many operations a patch may have.
pub const MAX_OPERATIONS: usize = 10_000;
/// How many bytes of JSON the `copy` operations of a patch may add up to.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// The document after all operations, in order. If one fails, the patch fails.
pub fn apply(document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations: Vec<Object> =
        serde_json::from_slice(patch).map_err(|error| PatchError::Malformed(error.to_string()))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    let mut document = document.clone();
    let mut copied_bytes = 0;
    for operation in operations {
        Operation(operation).apply(&mut document, &mut copied_bytes)?;
    }
    Ok(document)
}

/// An operation as it is written; what is needed of it depends on `op`.
struct Operation(Object);

impl Operation {
    fn apply(mut self, document: &mut Value, copied_bytes: &mut usize) -> Result<(), PatchError> {
        let op = self.text("op").unwrap_or_default();
        match op.as_str() {
            "add" => {
                let path = self.path("path")?;
                let value = self.value();
                add(document, &path, value)
            }
            "remove" => remove(document, &self.path("path")?).map(drop),
            "replace" => {
                let path = self.path("path")?;
                let value = self.value();
                replace(document, &path, value)
            }
            "move" => {
                let from = self.path("from")?;
                let value = remove(document, &from)?;
                add(document, &self.path("path")?, value)
            }
            "copy" => {
                let value = get(document, &self.path("from")?)?.cloned().unwrap_or_default();
                *copied_bytes += value.to_string().len();
                if *copied_bytes > MAX_COPIED_BYTES {
                    return Err(fail("copy", "the copied values are too large"));
                }
                add(document, &self.path("path")?, value)
            }
            "test" => {
                let expect = self.value();
                let path = self.path("path")?;
                let found = get(document, &path)?;
                // A member that is absent is as good as null.
                match found.unwrap_or(&Value::Null) == &expect {
                    true => Ok(()),
                    false => Err(fail("test", &path)),
                }
            }
            other => Err(fail("unknown operation", other)),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn path(&mut self, name: &str) -> Result<String, PatchError> {
        self.text(name).ok_or_else(|| fail("missing", name))
    }

    fn value(&mut self) -> Value {
        self.0.remove("value").unwrap_or_default()
    }
}

fn fail(what: &str, path: &str) -> PatchError {
    PatchError::DoesNotApply(format!("{what}: {path}"))
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

fn container<'a>(document: &'a mut Value, pointer: &str) -> Result<(&'a mut Value, String), PatchError> {
    let (parents, last) = steps(pointer).ok_or_else(|| fail("no such container", pointer))?;
    let mut here = document;
    for step in &parents {
        here = match here {
            Value::Object(map) => map.get_mut(step),
            Value::Array(list) => list_index(step, list.len(), false).and_then(|index| list.get_mut(index)),
            _ => None,
        }
        .ok_or_else(|| fail("no such container", pointer))?;
    }
    match here {
        Value::Object(_) | Value::Array(_) => Ok((here, last)),
        _ => Err(fail("no such container", pointer)),
    }
}

/// What is at the pointer; `None` for an absent member of an object, an error for everything else that is absent.
fn get<'a>(document: &'a mut Value, pointer: &str) -> Result<Option<&'a Value>, PatchError> {
    if pointer.is_empty() {
        return Ok(Some(document));
    }
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) => match list_index(&last, list.len(), false) {
            Some(index) => Ok(list.get(index)),
            None => Err(fail("no such item", pointer)),
        },
        other => Ok(other.get(&last)),
    }
}

fn add(document: &mut Value, pointer: &str, value: Value) -> Result<(), PatchError> {
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let index = list_index(&last, list.len(), true).ok_or_else(|| fail("no such index", pointer))?;
            list.insert(index, value);
        }
        Value::Object(map) => drop(map.insert(last, value)),
        _ => return Err(fail("not a container", pointer)),
    }
    Ok(())
}

fn replace(document: &mut Value, pointer: &str, value: Value) -> Result<(), PatchError> {
    if pointer.is_empty() {
        *document = value;
        return Ok(());
    }
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) => {
            let index = list_index(&last, list.len(), false).ok_or_else(|| fail("no such index", pointer))?;
            list[index] = value;
        }
        Value::Object(map) => drop(map.insert(last, value)),
        _ => return Err(fail("not a container", pointer)),
    }
    Ok(())
}

fn remove(document: &mut Value, pointer: &str) -> Result<Value, PatchError> {
    let (container, last) = container(document, pointer)?;
    match container {
        Value::Array(list) => list_index(&last, list.len(), false).map(|index| list.remove(index)),
        Value::Object(map) => map.remove(&last),
        _ => None,
    }
    .ok_or_else(|| fail("nothing to remove", pointer))
}

#[cfg(test)]
mod tests;
