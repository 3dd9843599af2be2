//! Names of properties as identifiers of CEL.
//!
//! Source: `k8s.io/apiserver/pkg/cel/escaping.go`.

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

const SPECIAL: &[(&str, &str)] = &[("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// The identifier by which an expression reaches the property of that name, or `None` if it can't.
pub fn escape(name: &str) -> Option<String> {
    let first = name.chars().next()?;
    if first.is_ascii_digit() || !name.chars().all(|it| it.is_ascii_alphanumeric() || "_.-/".contains(it)) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        match SPECIAL.iter().find(|(special, _)| rest.starts_with(special)) {
            Some((special, replacement)) => {
                escaped.push_str(replacement);
                rest = &rest[special.len()..];
            }
            None => {
                escaped.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Some(escaped)
}

/// The property that an identifier stands for, or `None` if it holds an escape that does not exist.
pub fn unescape(identifier: &str) -> Option<String> {
    if let Some(word) = identifier.strip_prefix("__").and_then(|it| it.strip_suffix("__"))
        && RESERVED.contains(&word)
    {
        return Some(word.to_owned());
    }
    let mut name = String::with_capacity(identifier.len());
    let mut rest = identifier;
    while let Some(at) = rest.find("__") {
        name.push_str(&rest[..at]);
        rest = &rest[at..];
        let (special, replacement) = SPECIAL.iter().find(|(_, replacement)| rest.starts_with(replacement))?;
        name.push_str(special);
        rest = &rest[replacement.len()..];
    }
    name.push_str(rest);
    Some(name)
}

/// Whether it is a word of the language, which may not stand as an identifier of its own.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}
