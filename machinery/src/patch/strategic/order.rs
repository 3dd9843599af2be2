//! The order of a merged list.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::patch::{PatchError, go_print};

/// What identifies an item: the value of its merge key, or the item itself in a list of scalars.
fn id<'a>(item: &'a Value, key: Option<&str>) -> Option<&'a Value> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

/// Up to this length a list is gone through for each item that is looked for; a longer one gets an index.
const SHORT: usize = 32;

/// Where the items of a list are.
pub(super) struct Positions<'a> {
    list: &'a [Value],
    key: Option<&'a str>,
    index: Option<BTreeMap<String, usize>>,
}

impl<'a> Positions<'a> {
    pub(super) fn of(list: &'a [Value], key: Option<&'a str>) -> Self {
        let index = (list.len() > SHORT).then(|| {
            let mut index = BTreeMap::new();
            for (at, id) in list.iter().enumerate().filter_map(|(at, item)| Some((at, id(item, key)?))) {
                index.entry(id.to_string()).or_insert(at);
            }
            index
        });
        Self { list, key, index }
    }

    /// The first item that is identified by that.
    pub(super) fn find(&self, wanted: &Value) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&wanted.to_string()).copied(),
            None => self.list.iter().position(|candidate| id(candidate, self.key) == Some(wanted)),
        }
    }
}

/// The value of the merge key of an item of a patch, which must have it.
pub(super) fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, PatchError> {
    item.get(key).ok_or_else(|| {
        let item = go_print(item);
        PatchError::Untyped(format!("map: {item} does not contain declared merge key: {key}"))
    })
}

/// Checks that the items of `patch`, save those to be deleted, appear in `wanted` in the same relative order.
pub(super) fn check(patch: &[Value], wanted: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let mut rest = wanted.iter();
    let deleted = |item: &Value| key.is_some() && item.get("$patch").and_then(Value::as_str) == Some("delete");
    for item in patch.iter().filter(|item| !deleted(item)) {
        let item_id = match key {
            Some(key) => key_of(item, key)?,
            None => item,
        };
        if !rest.any(|candidate| id(candidate, key) == Some(item_id)) {
            let (patch, wanted) = (Value::from(patch.to_vec()), Value::from(wanted.to_vec()));
            let (patch, wanted) = (go_print(&patch), go_print(&wanted));
            let message =
                format!("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{wanted}\n");
            return Err(PatchError::Untyped(message));
        }
    }
    Ok(())
}

/// Orders `merged`: the items that are in `wanted` by that, the others as in `server`. Both orders hold; an item that is
/// in `server` only is put before the first wanted item that it preceded there.
pub(super) fn normalize(
    merged: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let (server, wanted) = (Positions::of(server, key), Positions::of(wanted, key));
    let mut patched = Vec::new();
    let mut server_only = Vec::new();
    for item in merged {
        let item_id = match key {
            Some(key) => key_of(&item, key)?,
            None => &item,
        };
        let live_at = server.find(item_id);
        match wanted.find(item_id) {
            Some(at) => patched.push((at, live_at, item)),
            None => server_only.push((live_at.unwrap_or(usize::MAX), live_at, item)),
        }
    }
    patched.sort_by_key(|(at, ..)| *at);
    server_only.sort_by_key(|(at, ..)| *at);
    Ok(interleave(server_only, patched))
}

type Placed = (usize, Option<usize>, Value);

fn interleave(left: Vec<Placed>, right: Vec<Placed>) -> Vec<Value> {
    let mut ordered = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    loop {
        let from_left = match (left.peek(), right.peek()) {
            (Some((_, Some(l), _)), Some((_, Some(r), _))) => l < r,
            (Some(_), Some(_)) => false,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let next = if from_left { left.next() } else { right.next() };
        ordered.extend(next.map(|(_, _, item)| item));
    }
    ordered
}
