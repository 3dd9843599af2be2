//! YAML in the style of upstream's writer: block style, lists not indented, a text plain wherever that reads back as text.
//! Source: `sigs.k8s.io/yaml` and libyaml's rules for scalars. Long lines are not folded.

use serde_json::{Map, Value};

/// The document of a value.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut out, fields, 0),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        scalar => inline(&mut out, scalar, 0),
    }
    out.into_bytes()
}

fn mapping(out: &mut String, fields: &Map<String, Value>, indent: usize) {
    for (at, (key, value)) in fields.iter().enumerate() {
        // The first line of a list item stands behind its dash.
        if at > 0 || out.is_empty() || out.ends_with('\n') {
            pad(out, indent);
        }
        out.push_str(&one_line(key));
        out.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                out.push('\n');
                mapping(out, fields, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent);
            }
            scalar => {
                out.push(' ');
                inline(out, scalar, indent);
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Value], indent: usize) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || out.is_empty() || out.ends_with('\n') {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => mapping(out, fields, indent + 2),
            Value::Array(items) if !items.is_empty() => sequence(out, items, indent + 2),
            scalar => inline(out, scalar, indent),
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn inline(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_block(text) => return block(out, text, indent + 2),
        Value::String(text) => out.push_str(&one_line(text)),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
    out.push('\n');
}

/// Whether a text can be a literal block.
fn is_block(text: &str) -> bool {
    text.contains('\n') && !text.contains(" \n") && !text.ends_with(' ') && text.chars().all(is_printable)
}

fn is_printable(c: char) -> bool {
    c == '\n' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
}

fn block(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    match text.strip_suffix('\n') {
        None => out.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
    out.push('\n');
}

/// A text on one line: plain, or quoted if it would read as something else.
fn one_line(text: &str) -> String {
    let printable = text.chars().all(|c| c != '\n' && is_printable(c));
    if !printable || is_other_than_text(text) {
        return quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// JSON's quoting, which is valid in YAML but for characters that only YAML cannot print.
fn quoted(text: &str) -> String {
    let escape = |c: char| match u32::from(c) {
        _ if is_printable(c) => c.to_string(),
        code @ ..=0xff => format!("\\x{code:02X}"),
        code => format!("\\u{code:04X}"),
    };
    Value::from(text).to_string().chars().map(escape).collect()
}

/// Whether an unquoted text would read as null, a truth value, a number or a time; on the safe side.
fn is_other_than_text(text: &str) -> bool {
    const WORDS: [&str; 10] = ["~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let numeric = |c: char| c.is_ascii_hexdigit() || "+-.:_xXoOTtZz ".contains(c);
    text.is_empty()
        || text == "<<"
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        || matches!(text.to_ascii_lowercase().trim_start_matches(['+', '-']), ".inf" | ".nan")
        || (text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && text.contains(|c: char| c.is_ascii_digit())
            && text.chars().all(numeric))
}

fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().unwrap_or(' ');
    let blank_after_first = chars.next().is_none_or(|c| c == ' ');
    !("#,[]{}&*!|>'\"%@` ".contains(first)
        || ("-?:".contains(first) && blank_after_first)
        || text.starts_with("---")
        || text.starts_with("...")
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(to_bytes(value)).unwrap()
    }

    #[test]
    fn documents_look_as_upstream_writes_them() {
        let value = json!({
            "a": {"f:x": {".": {}, "k:{\"name\":\"y\"}": {}}}, "args": ["--listen", ":8080", "-", "a: b"], "n": [1, 1.5, null],
            "at": "2026-01-02T03:04:05Z", "no": "on", "one": "1", "image": "a/b:v1", "it's": "it's", "t": "a\tb",
            "list": [{"a": 1, "b": [[], [2, {"c": 3}]]}], "script": "set -e\n\nrun\n", "bare": "a\nb", "e": "", "s": " x ",
        });
        assert_eq!(
            text(&value),
            "a:\n  f:x:\n    .: {}\n    k:{\"name\":\"y\"}: {}\nargs:\n- --listen\n- :8080\n- '-'\n- 'a: b'\n\
             at: \"2026-01-02T03:04:05Z\"\nbare: |-\n  a\n  b\ne: \"\"\nimage: a/b:v1\nit's: it's\nlist:\n- a: 1\n  b:\n  - []\n  - - 2\n    - c: 3\n\
             \"n\":\n- 1\n- 1.5\n- null\n\"no\": \"on\"\none: \"1\"\ns: ' x '\nscript: |\n  set -e\n\n  run\nt: \"a\\tb\"\n"
        );
        assert_eq!(text(&json!({})), "{}\n");
        assert_eq!(text(&json!([])), "[]\n");
    }

    fn values() -> impl Strategy<Value = Value> {
        let texts =
            prop_oneof!["[a-z0-9:#' \\-\n\t\"{}\\[\\]é]{0,12}", "[-+.0-9eExT:_]{0,6}", "(null|~|Yes|<<|.nan| \n|\n\n)"];
        let leaf = prop_oneof![
            texts.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z0-9:#' {}\"\n-]{0,6}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn what_yaml_cannot_print_is_escaped() {
        assert_eq!(one_line("\u{7f}a\u{feff}\u{1}"), r#""\x7Fa\uFEFF\u0001""#);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn what_is_written_reads_back(value in values()) {
            let text = text(&value);
            let read: Value = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
