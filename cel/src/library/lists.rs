//! Functions on lists: Kubernetes', cel-go's extension in version 3, and sets.

use std::cmp::Ordering;

use super::{Outcome, fail, no_overload, operators};
use crate::types::Type;
use crate::value::{List, Value};

fn list<'v, 'a>(args: &'v [Value<'a>]) -> Option<&'v List<'a>> {
    match args {
        [Value::List(list), ..] => Some(list),
        _ => None,
    }
}

pub(crate) fn is_sorted<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let Some(list) = list(args) else { return no_overload() };
    let mut before: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(before) = &before {
            match before.compare(&item) {
                None => return no_overload(),
                Some(Ordering::Greater) => return Ok(Value::Bool(false)),
                _ => {}
            }
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

pub(crate) fn sum<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let Some(list) = list(args) else { return no_overload() };
    let mut items = list.iter();
    let Some(mut total) = items.next() else {
        return Ok(match list.element_type() {
            Some(Type::Double) => Value::Double(0.0),
            Some(Type::Duration) => Value::Duration(0),
            _ => Value::Int(0),
        });
    };
    for item in items {
        total = operators::add(&[total, item])?;
    }
    match total {
        Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_) => Ok(total),
        _ => no_overload(),
    }
}

fn extreme<'a>(args: &[Value<'a>], name: &str, wanted: Ordering) -> Outcome<'a> {
    let Some(list) = list(args) else { return no_overload() };
    let mut items = list.iter();
    let Some(mut best) = items.next() else { return fail(format!("{name} called on empty list")) };
    for item in items {
        match item.compare(&best) {
            None => return no_overload(),
            Some(order) if order == wanted => best = item,
            _ => {}
        }
    }
    Ok(best)
}

pub(crate) fn max<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    extreme(args, "max", Ordering::Greater)
}

pub(crate) fn min<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    extreme(args, "min", Ordering::Less)
}

pub(crate) fn distinct<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let Some(list) = list(args) else { return no_overload() };
    let mut items: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        if !items.iter().any(|have| have.equals(&item)) {
            items.push(item);
        }
    }
    Ok(Value::list(items))
}

pub(crate) fn flatten<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    fn into<'a>(list: &List<'a>, depth: i64, items: &mut Vec<Value<'a>>) {
        for item in list.iter() {
            match item {
                Value::List(inner) if depth > 0 => into(&inner, depth - 1, items),
                other => items.push(other),
            }
        }
    }
    let depth = match args {
        [Value::List(_)] => 1,
        [Value::List(_), Value::Int(depth)] if *depth < 0 => return fail("level must be non-negative"),
        [Value::List(_), Value::Int(depth)] => *depth,
        _ => return no_overload(),
    };
    let Some(list) = list(args) else { return no_overload() };
    let mut items = Vec::new();
    into(list, depth, &mut items);
    Ok(Value::list(items))
}

pub(crate) fn range<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(count)] => Ok(Value::list((0..*count).map(Value::Int).collect())),
        _ => no_overload(),
    }
}

pub(crate) fn reverse<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let Some(list) = list(args) else { return no_overload() };
    Ok(Value::list(list.iter().rev().collect()))
}

pub(crate) fn slice<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else { return no_overload() };
    if *start < 0 || *end < 0 {
        return fail(format!("cannot slice({start}, {end}), negative indexes not supported"));
    }
    if start > end {
        return fail(format!("cannot slice({start}, {end}), start index must be less than or equal to end index"));
    }
    if *end > list.len() as i64 {
        return fail(format!("cannot slice({start}, {end}), list is length {}", list.len()));
    }
    Ok(Value::list(list.iter().skip(*start as usize).take((end - start) as usize).collect()))
}

pub(crate) fn sort<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let Some(list) = list(args) else { return no_overload() };
    sorted(list, list)
}

pub(crate) fn sort_by_keys<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::List(list), Value::List(keys)] if list.len() == keys.len() => sorted(list, keys),
        _ => no_overload(),
    }
}

fn sorted<'a>(list: &List<'a>, keys: &List<'a>) -> Outcome<'a> {
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.iter().zip(list.iter()).collect();
    if let Some((first, _)) = pairs.first() {
        let kind = first.type_of();
        if pairs.iter().any(|(key, _)| key.type_of() != kind) {
            return fail("list elements must have the same type");
        }
        if first.compare(first).is_none() {
            return fail("list elements must be comparable");
        }
    }
    pairs.sort_by(|(one, _), (other, _)| one.compare(other).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

fn sets<'a>(args: &[Value<'a>], holds: fn(&List<'a>, &List<'a>) -> bool) -> Outcome<'a> {
    match args {
        [Value::List(one), Value::List(other)] => Ok(Value::Bool(holds(one, other))),
        _ => no_overload(),
    }
}

pub(crate) fn sets_contains<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    sets(args, |one, other| other.iter().all(|item| one.contains(&item)))
}

pub(crate) fn sets_equivalent<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let within = |one: &List<'a>, other: &List<'a>| {
        one.iter().all(|item| other.contains(&item)) && other.iter().all(|item| one.contains(&item))
    };
    sets(args, within)
}

pub(crate) fn sets_intersects<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    sets(args, |one, other| one.iter().any(|item| other.contains(&item)))
}
