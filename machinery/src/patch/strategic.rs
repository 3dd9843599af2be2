//! Strategic merge patch: a merge patch that knows which lists merge, by which key, and takes directives (`$patch`,
//! `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`).
//! Source: Kubernetes doc "Update API Objects in Place Using kubectl patch"; `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use serde_json::Value;

use super::{PatchError, go_print, without_nulls};
use crate::Object;
use crate::schema::{PatchStrategy, Type, TypeRef};

mod order;

use order::Positions;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

const BAD_RETAIN_KEYS: PatchError = PatchError::BadFormat("invalid patch format of retainKeys");
const BAD_ORDER: PatchError = PatchError::BadFormat("invalid patch format of setElementOrder list");

/// The document, an object of type `ty`, after the patch. Directives of the patch are obeyed, not stored.
pub fn apply(document: &Value, patch: &Value, ty: TypeRef<'_>) -> Result<Value, PatchError> {
    match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => {
            merge_map(document.clone(), patch.clone(), Some(ty)).map(Value::Object)
        }
        (_, patch) => Err(PatchError::Malformed(format!("expected an object, got {patch}"))),
    }
}

/// How a member of an object is patched: by its declared strategy and with its type. Undeclared members have neither.
struct Member<'a> {
    ty: Option<TypeRef<'a>>,
    strategy: PatchStrategy,
}

impl<'a> Member<'a> {
    fn of(parent: Option<TypeRef<'a>>, name: &str) -> Self {
        Self {
            ty: parent.and_then(|parent| parent.member(name)),
            strategy: parent
                .and_then(|parent| parent.field(name))
                .map(|field| field.field().patch.clone())
                .unwrap_or_default(),
        }
    }

    fn merge_key(&self) -> Option<&str> {
        self.strategy.merge_key.as_deref()
    }

    fn items(&self) -> Option<TypeRef<'a>> {
        self.ty.and_then(TypeRef::items)
    }

    fn merge_list(&self, live: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, PatchError> {
        if self.strategy.merge { merge_list(live, patch, self) } else { Ok(patch) }
    }
}

fn merge_map(mut live: Object, mut patch: Object, ty: Option<TypeRef<'_>>) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => {
                let (directive, patch) = (go_print(directive), go_print(&Value::Object(patch)));
                Err(PatchError::Untyped(format!("unknown patch type: {directive} in map: {patch}")))
            }
        };
    }
    retain_keys(&mut live, &mut patch)?;
    merge_ordered_lists(&mut live, &mut patch, ty)?;
    for (name, value) in patch {
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            delete_scalars(&mut live, name, value);
        } else if value.is_null() {
            live.remove(&name);
        } else {
            merge_member(&mut live, name, value, ty)?;
        }
    }
    Ok(live)
}

fn merge_member(live: &mut Object, name: String, value: Value, ty: Option<TypeRef<'_>>) -> Result<(), PatchError> {
    let member = Member::of(ty, &name);
    let merged = match (live.get_mut(&name).map(Value::take), value) {
        (Some(Value::Object(old)), Value::Object(new)) if !member.strategy.replace => {
            Some(Value::Object(merge_map(old, new, member.ty)?))
        }
        (Some(Value::Object(_)), value @ Value::Object(_)) => Some(value),
        (Some(Value::Array(old)), Value::Array(new)) => Some(Value::Array(member.merge_list(old, new)?)),
        (Some(Value::Object(_) | Value::Array(_)) | None, value @ (Value::Object(_) | Value::Array(_))) => {
            without_directives(without_nulls(value))
        }
        (_, value) => without_directives(without_nulls(value)),
    };
    match merged {
        Some(merged) => drop(live.insert(name, merged)),
        None => drop(live.remove(&name)),
    }
    Ok(())
}

/// Obeys `$retainKeys`: the named members are the only ones that stay. The patch may set no others.
fn retain_keys(live: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let keys = match patch.remove(RETAIN_KEYS) {
        None => return Ok(()),
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(BAD_RETAIN_KEYS),
    };
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let retained = |name: &str| keys.contains(name);
    let sets = |(name, value): (&String, &Value)| {
        !value.is_null() && !name.starts_with(DELETE_FROM) && !name.starts_with(SET_ORDER)
    };
    if patch.iter().any(|entry| sets(entry) && !retained(entry.0)) {
        return Err(BAD_RETAIN_KEYS);
    }
    live.retain(|name, _| retained(name));
    Ok(())
}

/// Obeys each `$setElementOrder/<list>`: merges the list, if the patch has it, and puts it into that order.
fn merge_ordered_lists(live: &mut Object, patch: &mut Object, ty: Option<TypeRef<'_>>) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(wanted)) = patch.remove(&directive) else {
            return Err(BAD_ORDER);
        };
        let name = &directive[SET_ORDER.len()..];
        let member = Member::of(ty, name);
        let old = take_list(live, name)?;
        let new = take_list(patch, name)?;
        if let Some(new) = &new {
            order::check(new, &wanted, member.merge_key())?;
        }
        let server = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => new.into_iter().filter_map(without_directives).collect(),
            (Some(old), Some(new)) => member.merge_list(old, new)?,
        };
        let ordered = order::normalize(merged, &wanted, &server, member.merge_key())?;
        live.insert(name.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

fn take_list(map: &mut Object, name: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match map.get_mut(name) {
        None => Ok(None),
        Some(Value::Array(list)) => {
            let list = mem::take(list);
            map.remove(name);
            Ok(Some(list))
        }
        Some(_) => Err(BAD_ORDER),
    }
}

/// Obeys `$deleteFromPrimitiveList/<list>`; null deletes the whole list.
fn delete_scalars(live: &mut Object, name: &str, values: Value) {
    match (live.get_mut(name), values) {
        (Some(_), Value::Null) => drop(live.remove(name)),
        (Some(Value::Array(list)), Value::Array(values)) => {
            let gone = Positions::of(&values, None);
            list.retain(|item| gone.find(item).is_none());
        }
        _ => {}
    }
}

/// Merges two lists whose field has the strategy `merge`. Without an order given, the items of the patch stand in the
/// order of the patch, the others in that of the live list; new items come as early as these orders allow.
fn merge_list(live: Vec<Value>, patch: Vec<Value>, member: &Member<'_>) -> Result<Vec<Value>, PatchError> {
    if live.is_empty() && patch.is_empty() {
        return Ok(live);
    }
    if live.iter().chain(&patch).any(Value::is_array) {
        return Err(PatchError::DoesNotApply("lists of lists are not supported".to_owned()));
    }
    let maps = live.iter().chain(&patch).filter(|item| item.is_object()).count();
    if maps == 0 {
        let mut merged: Vec<Value> = live.iter().chain(&patch).cloned().collect();
        let first = Positions::of(&merged, None);
        let once: Vec<usize> = (0..merged.len()).filter(|at| first.find(&merged[*at]) == Some(*at)).collect();
        merged = once.into_iter().map(|at| merged[at].clone()).collect();
        return order::normalize(merged, &patch, &live, None);
    }
    if maps != live.len() + patch.len() {
        return Err(PatchError::Untyped("list element types are not identical".to_owned()));
    }
    let Some(key) = member.merge_key() else {
        let name = type_name(member.ty);
        return Err(PatchError::Untyped(format!("cannot merge lists without merge key for {name}")));
    };
    let (live, patch) = obey_item_directives(live, patch, key)?;
    let merged = merge_items(live.clone(), &patch, key, member.items())?;
    order::normalize(merged, &patch, &live, Some(key))
}

fn type_name(ty: Option<TypeRef<'_>>) -> &str {
    match ty.map(TypeRef::ty) {
        Some(Type::Struct(_)) => ty.and_then(TypeRef::as_struct).map_or("", |it| it.name.as_str()),
        _ => "",
    }
}

/// Obeys `$patch: delete` and `$patch: replace` among the items; gives what is left of both lists.
fn obey_item_directives(
    mut live: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut deleted = Vec::new();
    let mut replace = false;
    for item in patch {
        match item.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
            None => plain.push(item),
            Some("delete") => {
                order::key_of(&item, key)?;
                deleted.push(item);
            }
            Some("replace") => replace = true,
            Some("merge") => {
                let why = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Untyped(why.to_owned()));
            }
            Some(other) => {
                let (other, item) = (other.to_owned(), go_print(&item));
                return Err(PatchError::Untyped(format!("unknown patch type: {other} in map: {item}")));
            }
        }
    }
    if replace {
        return Ok((plain, Vec::new()));
    }
    let deleted = Positions::of(&deleted, Some(key));
    live.retain(|old| old.get(key).is_none_or(|id| deleted.find(id).is_none()));
    Ok((live, plain))
}

fn merge_items(
    mut live: Vec<Value>,
    patch: &[Value],
    key: &str,
    ty: Option<TypeRef<'_>>,
) -> Result<Vec<Value>, PatchError> {
    let places = {
        let before = Positions::of(&live, Some(key));
        let place = |item| order::key_of(item, key).map(|id| before.find(id));
        patch.iter().map(place).collect::<Result<Vec<_>, _>>()?
    };
    let first = Positions::of(patch, Some(key));
    // Where those are that are new: at the first of the patch that is like them.
    let mut added: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, item) in patch.iter().enumerate() {
        let id = order::key_of(item, key)?;
        let like = first.find(id).unwrap_or(at);
        match places[at].or_else(|| added.get(&like).copied()) {
            Some(place) => {
                let old = &mut live[place];
                if let (Value::Object(old_map), Value::Object(new)) = (old.take(), item.clone()) {
                    *old = Value::Object(merge_map(old_map, new, ty)?);
                }
            }
            None => {
                added.insert(like, live.len());
                live.push(item.clone());
            }
        }
    }
    Ok(live)
}

/// The value without the objects in it that carry a directive; `None` if it carries one itself.
fn without_directives(value: Value) -> Option<Value> {
    Some(match value {
        Value::Object(map) => {
            if map.contains_key(DIRECTIVE) {
                return None;
            }
            let kept = map.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().filter_map(without_directives).collect()),
        scalar => scalar,
    })
}

#[cfg(test)]
mod tests;
