//! A configuration merged into a live object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Shape, item_step};
use crate::Object;
use crate::field_set::PathElement;
use crate::schema::{ListKind, TypeRef};

/// The live object with the configuration merged in: the configuration wins wherever both have a leaf; maps and lists
/// with several owners keep what only the live object has. The order of a list follows the configuration; items of the
/// live object only stand where they stood.
pub fn merge(live: &Value, config: &Value, ty: TypeRef<'_>) -> Value {
    merge_values(live, config, Some(ty))
}

fn merge_values(live: &Value, config: &Value, ty: Option<TypeRef<'_>>) -> Value {
    let Some(ty) = ty else {
        return config.clone();
    };
    match (Shape::of(ty, live), Shape::of(ty, config)) {
        (Shape::List(kind), Shape::List(_)) => {
            let (live_items, config_items) = (as_list(live), as_list(config));
            match live_items.is_empty() && config_items.is_empty() {
                true => config.clone(),
                false => Value::Array(merge_lists(live_items, config_items, kind, ty)),
            }
        }
        (Shape::Map, Shape::Map) => match (live.as_object(), config.as_object()) {
            (Some(live), config) if !live.is_empty() => Value::Object(merge_maps(live, config, ty)),
            _ => config.clone(),
        },
        _ => config.clone(),
    }
}

fn as_list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn merge_maps(live: &Object, config: Option<&Object>, ty: TypeRef<'_>) -> Object {
    let mut merged = live.clone();
    for (name, value) in config.into_iter().flatten() {
        let value = match live.get(name) {
            Some(live) => merge_values(live, value, ty.member(name)),
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// An item of either list with the step that leads to it. Items that have none (they can't be in a configuration) keep
/// their place.
type Item<'a> = (Option<PathElement>, &'a Value);

fn merge_lists(live: &[Value], config: &[Value], kind: &ListKind, ty: TypeRef<'_>) -> Vec<Value> {
    let items = ty.items();
    let steps = |list: &'_ [Value]| -> Vec<Option<PathElement>> {
        list.iter().map(|item| item_step(kind, items, item).ok()).collect()
    };
    let live: Vec<Item<'_>> = steps(live).into_iter().zip(live).collect();
    let config: Vec<Item<'_>> = steps(config).into_iter().zip(config).collect();
    // An item that stands twice in the live list is not merged but replaced.
    let mut by_step: BTreeMap<&PathElement, Option<&Value>> = BTreeMap::new();
    for (step, item) in &live {
        if let Some(step) = step {
            by_step.entry(step).and_modify(|item| *item = None).or_insert(Some(item));
        }
    }
    let merged_with_live = |(step, item): &Item<'_>| match step.as_ref().and_then(|step| by_step.get(step)) {
        Some(Some(live)) => merge_values(live, item, items),
        _ => (*item).clone(),
    };
    order(&live, &config)
        .into_iter()
        .map(|origin| match origin {
            Origin::Live(index) => live[index].1.clone(),
            Origin::Config(index) => merged_with_live(&config[index]),
        })
        .collect()
}

/// Where an item of the merged list comes from.
enum Origin {
    Live(usize),
    Config(usize),
}

fn order(live: &[Item<'_>], config: &[Item<'_>]) -> Vec<Origin> {
    let in_live: BTreeMap<&PathElement, usize> = positions(live);
    let in_config: BTreeMap<&PathElement, usize> = positions(config);
    // The applied items that are live, in the order applied: each pulls the live items before it along.
    let mut shared =
        config.iter().filter_map(|(step, _)| step.as_ref()).filter(|step| in_live.contains_key(step)).peekable();
    let mut merged = Vec::with_capacity(live.len() + config.len());
    let (mut i, mut j) = (0, 0);
    while i < live.len() || j < config.len() {
        if let Some((step, _)) = live.get(i) {
            match step.as_ref().and_then(|step| in_config.get(step)) {
                // Nobody applies it: it stays where it is.
                None => {
                    merged.push(Origin::Live(i));
                    i += 1;
                    continue;
                }
                // It was emitted already, or will be at the place that the configuration gives it.
                Some(at) if *at < j || shared.peek().copied() != step.as_ref() => {
                    i += 1;
                    continue;
                }
                Some(_) => {}
            }
        }
        if let Some((step, _)) = config.get(j) {
            merged.push(Origin::Config(j));
            j += 1;
            if shared.peek().copied() == step.as_ref() {
                shared.next();
            }
        }
    }
    merged
}

fn positions<'a>(items: &'a [Item<'_>]) -> BTreeMap<&'a PathElement, usize> {
    let mut positions = BTreeMap::new();
    for (index, (step, _)) in items.iter().enumerate() {
        if let Some(step) = step {
            positions.entry(step).or_insert(index);
        }
    }
    positions
}
