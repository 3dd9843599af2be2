//! What the creator of an object owns, remembered by the shape of the object: who creates objects mostly creates the same again
//! under another name.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Writer;
use crate::meta;
use crate::weight;

/// How many shapes are remembered.
const MOST: usize = 16;
/// What an object may weigh so that it is remembered: all together a megabyte. A usual pod weighs a fifth of that.
const HEAVIEST: usize = 64 << 10;

/// The shapes of the last objects that were created, with what their creators own. A shape is an object but for the texts and
/// numbers that stand outside of lists: those name no field.
///
/// One table must see objects of one set of types only: a kind's type may not change.
#[derive(Debug, Default)]
pub struct Alike(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    /// Manager, `apiVersion` and subresource of the write.
    by: [String; 3],
    object: Value,
    list: Value,
}

impl Alike {
    /// The managedFields of an object that is created, if one of its shape was by the same manager.
    pub(super) fn list(&self, writer: &Writer<'_>, object: &Value, time: &str) -> Option<Value> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|it| it.by == by(writer) && is_alike(&it.object, object))?;
        known.swap(0, at);
        let mut list = known[0].list.clone();
        drop(known);
        for entry in list.as_array_mut().into_iter().flatten() {
            entry["time"] = time.into();
        }
        Some(list)
    }

    /// Remembers what was found out for an object without managedFields, unless that is large.
    pub(super) fn note(&self, writer: &Writer<'_>, object: &Value, list: &Value) {
        if !weight::is_at_most(object, HEAVIEST) {
            return;
        }
        let known = Known { by: by(writer).map(str::to_owned), object: object.clone(), list: list.clone() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(MOST - 1);
        all.push_front(known);
    }
}

fn by<'a>(writer: &Writer<'a>) -> [&'a str; 3] {
    [writer.manager, writer.api_version, writer.subresource]
}

/// Whether two objects are of one kind and have the same fields and the same lists.
fn is_alike(a: &Value, b: &Value) -> bool {
    meta::text(a, &["kind"]) == meta::text(b, &["kind"]) && have_same_fields(a, b)
}

fn have_same_fields(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((key, value), (other, theirs))| key == other && have_same_fields(value, theirs))
        }
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) => true,
        (a, b) => a == b,
    }
}
