//! Functions on texts: the standard ones and version 2 of cel-go's extension.

use super::{Outcome, fail, no_overload};
use crate::evaluator::some;
use crate::value::Value;

fn both<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(holds(text.as_str(), part.as_str()))),
        _ => no_overload(),
    }
}

pub(crate) fn contains<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    both(args, |text, part| text.contains(part))
}

pub(crate) fn starts_with<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    both(args, |text, part| text.starts_with(part))
}

pub(crate) fn ends_with<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    both(args, |text, part| text.ends_with(part))
}

fn out_of_range<'a>(at: i64) -> Outcome<'a> {
    fail(format!("index out of range: {at}"))
}

pub(crate) fn char_at<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Text(text), Value::Int(at)] = args else { return no_overload() };
    let mut characters = text.as_str().chars();
    let Ok(index) = usize::try_from(*at) else { return out_of_range(*at) };
    match characters.clone().nth(index) {
        Some(character) => Ok(Value::text(character.to_string())),
        None if characters.by_ref().count() == index => Ok(Value::text("")),
        None => out_of_range(*at),
    }
}

pub(crate) fn index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => search(text.as_str(), part.as_str(), 0, false),
        [Value::Text(text), Value::Text(part), Value::Int(from)] => search(text.as_str(), part.as_str(), *from, false),
        [Value::List(list), item] => {
            let at = list.iter().position(|it| it.equals(item));
            Ok(Value::Int(at.map_or(-1, |at| at as i64)))
        }
        _ => no_overload(),
    }
}

pub(crate) fn last_index_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => {
            let last = text.as_str().chars().count() as i64;
            search(text.as_str(), part.as_str(), last, true)
        }
        [Value::Text(text), Value::Text(part), Value::Int(from)] => search(text.as_str(), part.as_str(), *from, true),
        [Value::List(list), item] => {
            let at = list.iter().rposition(|it| it.equals(item));
            Ok(Value::Int(at.map_or(-1, |at| at as i64)))
        }
        _ => no_overload(),
    }
}

/// Where the part stands in the text, in characters: the first place from `from` on, or the last up to it.
fn search<'a>(text: &str, part: &str, from: i64, last: bool) -> Outcome<'a> {
    let length = text.chars().count() as i64;
    if part.is_empty() {
        return Ok(Value::Int(if last { from.min(length) } else { from }));
    }
    if from < 0 || (from > length || (from == length && !last && length > 0)) {
        return out_of_range(from);
    }
    let byte_of = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(at, _)| at);
    let place = |byte: usize| text[..byte].chars().count() as i64;
    let found = if last {
        // The match may begin at `from` and reach beyond.
        let end = byte_of(from).saturating_add(part.len()).min(text.len());
        let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text[..end].rfind(part).map(place).filter(|at| *at <= from)
    } else {
        let start = byte_of(from);
        text[start..].find(part).map(|at| place(start + at))
    };
    Ok(Value::Int(found.unwrap_or(-1)))
}

pub(crate) fn lower_ascii<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.as_str().to_ascii_lowercase())),
        _ => no_overload(),
    }
}

pub(crate) fn upper_ascii<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.as_str().to_ascii_uppercase())),
        _ => no_overload(),
    }
}

pub(crate) fn replace<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text), Value::Text(old), Value::Text(new)] => {
            Ok(Value::text(text.as_str().replace(old.as_str(), new.as_str())))
        }
        [Value::Text(text), Value::Text(old), Value::Text(new), Value::Int(count)] => {
            Ok(Value::text(match usize::try_from(*count) {
                Ok(count) => text.as_str().replacen(old.as_str(), new.as_str(), count),
                Err(_) => text.as_str().replace(old.as_str(), new.as_str()),
            }))
        }
        _ => no_overload(),
    }
}

pub(crate) fn split<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, limit) = match args {
        [Value::Text(text), Value::Text(separator)] => (text, separator, -1),
        [Value::Text(text), Value::Text(separator), Value::Int(limit)] => (text, separator, *limit),
        _ => return no_overload(),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let text = text.as_str();
    let parts: Vec<Value<'a>> = match separator.as_str() {
        _ if limit == 0 => Vec::new(),
        "" => {
            let mut parts: Vec<String> = text.chars().map(String::from).collect();
            if parts.len() > limit {
                let rest = parts.split_off(limit - 1).concat();
                parts.push(rest);
            }
            parts.into_iter().map(Value::text).collect()
        }
        separator => text.splitn(limit, separator).map(Value::text).collect(),
    };
    Ok(Value::list(parts))
}

pub(crate) fn substring<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (text, start, end) = match args {
        [Value::Text(text), Value::Int(start)] => (text.as_str(), *start, text.as_str().chars().count() as i64),
        [Value::Text(text), Value::Int(start), Value::Int(end)] => (text.as_str(), *start, *end),
        _ => return no_overload(),
    };
    let length = text.chars().count() as i64;
    if args.len() == 3 && start > end {
        return fail(format!("invalid substring range. start: {start}, end: {end}"));
    }
    if !(0..=length).contains(&start) {
        return out_of_range(start);
    }
    if !(0..=length).contains(&end) {
        return out_of_range(end);
    }
    let part: String = text.chars().skip(start as usize).take((end - start) as usize).collect();
    Ok(Value::text(part))
}

pub(crate) fn trim<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.as_str().trim())),
        _ => no_overload(),
    }
}

pub(crate) fn join<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::Text(separator)] => (list, separator.as_str()),
        _ => return no_overload(),
    };
    let mut joined = String::new();
    for (at, item) in list.iter().enumerate() {
        let Some(text) = item.as_str() else { return no_overload() };
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
        if joined.len() as u64 > crate::budget::PER_CALL_LIMIT * 10 {
            return Err(crate::EvaluationError::CallLimitExceeded);
        }
    }
    Ok(Value::text(joined))
}

pub(crate) fn quote<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(quoted(text.as_str()))),
        _ => no_overload(),
    }
}

/// With quotes, and escapes for what can't be seen.
pub(crate) fn quoted(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    result.push('"');
    for character in text.chars() {
        match character {
            '\u{7}' => result.push_str("\\a"),
            '\u{8}' => result.push_str("\\b"),
            '\u{c}' => result.push_str("\\f"),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            '\u{b}' => result.push_str("\\v"),
            '\\' => result.push_str("\\\\"),
            '"' => result.push_str("\\\""),
            other => result.push(other),
        }
    }
    result.push('"');
    result
}

/// A value in a message.
pub(crate) fn display(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.as_str().to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => super::conversions::format_double(*value),
        Value::Null => "null".to_owned(),
        other => other.to_json().map_or_else(|_| other.type_of().to_string(), |json| json.to_string()),
    }
}

pub(crate) fn escape_key<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.as_str().replace('~', "~0").replace('/', "~1"))),
        _ => no_overload(),
    }
}

/// The optional of a value that was found.
pub(crate) fn found(value: Option<Value<'_>>) -> Value<'_> {
    value.map_or(Value::Optional(None), some)
}
